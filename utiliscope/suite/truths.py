"""What an agent of the suite is in truth after, as a place among the candidates."""

from typing import NamedTuple

import jax
import numpy as np

from utiliscope.agents.agent import pursued
from utiliscope.agents.roster import Entry
from utiliscope.policies import Dirichlet
from utiliscope.values import expected_utility

from .worlds import SuiteWorld

_POLICIES, _SAME = 64, 1e-9


class Probes(NamedTuple):
    """Random policies of a world, `[S, A]` each, and the `values` `[policies, U]` that candidates give them."""

    policies: list
    values: np.ndarray


def probes(task: SuiteWorld) -> Probes:
    """64 random policies, by which utilities of `task` are told apart. Costs seconds."""
    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.key(0), _POLICIES)
        policies = [Dirichlet(1.0).sample(key, task.world) for key in keys]
    return Probes(policies, _values(task, policies, task.candidates.payoffs))


def true_place(task: SuiteWorld, known: Probes, entry: Entry, utility: str) -> int | None:
    """The place of the class that the agent pursues when it is given `utility`; None for nulls.

    Of several goals the first counts, which is the utility given. None as well for what is no candidate, such as the
    opposite of some utilities: then no score of a truth can be had. Costs a second.
    """
    if entry.kind == "null" or not utility:
        return None
    payoffs = pursued(entry.agent, task.world, task.grammar.parse(utility))
    if payoffs is None:
        return None
    places = np.flatnonzero(same_class(task, known, payoffs if payoffs.state.ndim == 1 else payoffs[0]))
    return int(places[0]) if len(places) else None


def same_class(task: SuiteWorld, known: Probes, payoffs) -> np.ndarray:
    """`[U]` whether a candidate's values are those of `payoffs` up to a positive affine map, over random policies.

    A utility is read off its values: two whose values on 64 random policies correlate to within 1e-9 of 1, so that they
    differ by less than about 4e-5 of their spread, are taken for one. In the suite's worlds no two candidates come
    nearer than 6e-6 (on the cliff, where a random policy hardly ever comes to the goal).
    """
    own, others = (part - part.mean(0) for part in (_values(task, known.policies, payoffs), known.values))
    scale = np.abs(others).max(0)
    constant = scale <= _SAME * max(scale.max(), 1.0)
    if np.abs(own).max() <= _SAME * max(scale.max(), 1.0):
        return constant
    norms = np.sqrt((own**2).sum() * (others**2).sum(0))
    return ~constant & (own @ others >= (1 - _SAME) * np.where(constant, 1.0, norms))


def _values(task, policies, payoffs):
    with jax.enable_x64(True):
        return np.array([np.asarray(expected_utility(task.world, one, payoffs)) for one in policies])

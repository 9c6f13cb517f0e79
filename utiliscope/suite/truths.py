"""What an agent of the suite is in truth after, as a place among the candidates."""

import jax
import numpy as np

from utiliscope.agents.agent import pursued
from utiliscope.agents.roster import Entry
from utiliscope.policies import Dirichlet
from utiliscope.utilities import Candidates
from utiliscope.values import expected_utility

from .worlds import SuiteWorld

_POLICIES, _SAME = 64, 1e-9


def true_place(task: SuiteWorld, candidates: Candidates, entry: Entry, utility: str) -> int | None:
    """The place of the class that the agent pursues when it is given `utility`; None for nulls.

    Of several goals the first counts, which is the utility given. None as well for what is no candidate, such as the
    opposite of some utilities: then no score of a truth can be had.
    """
    if entry.kind == "null" or not utility:
        return None
    payoffs = pursued(entry.agent, task.world, task.grammar.parse(utility))
    if payoffs is None:
        return None
    places = np.flatnonzero(same_class(task, candidates, payoffs if payoffs.state.ndim == 1 else payoffs[0]))
    return int(places[0]) if len(places) else None


def same_class(task: SuiteWorld, candidates: Candidates, payoffs) -> np.ndarray:
    """`[U]` whether a candidate's values are those of `payoffs` up to a positive affine map, over random policies.

    A utility is read off its values: two that agree on 64 random policies, to nine digits, are taken for one.
    """
    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.key(0), _POLICIES)
        policies = [Dirichlet(1.0).sample(key, task.world) for key in keys]
        own = np.array([float(expected_utility(task.world, one, payoffs)) for one in policies])
        others = np.array([np.asarray(expected_utility(task.world, one, candidates.payoffs)) for one in policies])
    own, others = (values - values.mean(0) for values in (own, others))
    scale = np.abs(others).max(0)
    constant = scale <= _SAME * max(scale.max(), 1.0)
    if np.abs(own).max() <= _SAME * max(scale.max(), 1.0):
        return constant
    norms = np.sqrt((own**2).sum() * (others**2).sum(0))
    return ~constant & (own @ others >= (1 - _SAME) * np.where(constant, 1.0, norms))

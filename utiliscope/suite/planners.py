"""Agents that plan, as methods of the suite: Boltzmann-rational, and of maximum causal entropy.

Both are softmax(Q / T) with Q the optimal or the soft action values of a candidate, on the product of the world with
what the candidate remembers. The temperature has its prior and is summed out by quadrature: plans are made once for
each candidate and temperature, and all recordings are read against them.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import numpy as np
from scipy.interpolate import CubicSpline
from scipy.special import log_softmax, logsumexp

from utiliscope.action_values import soft_action_values
from utiliscope.behaviour import Behaviour, check_fits
from utiliscope.cache import fingerprint, kept
from utiliscope.chains import joint_chain, step_payoffs
from utiliscope.errors import InputError
from utiliscope.planning import chain_action_values
from utiliscope.values import on_device
from utiliscope.world import WorldModel, world_model
from utiliscope.world.model import bare
from utiliscope.world.transition import SparseTransition, links

from .claims import Claims, claimed

_MOST_NODES = 2**12
_SPREAD = 3.0  # of ln T: the prior is LogNormal(0, 3), as in `fit`
_FINE = np.arange(-12.0, 12.001, 0.02)  # ln T, four standard deviations to each side
_COARSE = np.arange(-12.0, 12.001, 0.125)  # where soft plans are made; between them log policies are splines
_VERSION, _ROUNDED, _TOGETHER = 1, 16, 16


@dataclass(frozen=True)
class Planner:
    """soft: whether plans are of maximum causal entropy, else optimal and followed at random. simplicity: weight on
    code length.
    """

    soft: bool
    simplicity: float = 1.0

    def __call__(self, key, suite_world, candidates, behaviours: list[Behaviour]) -> Claims:
        """`Claims` without bits; extra: `log_temperature`, the posterior mean of ln T. `key` is not used: exact but for
        quadrature.

        An episode counts as beginning with its first recorded decision. Raises InputError for worlds with a horizon.
        """
        world = suite_world.world
        log_likelihood = planned_likelihoods(world, candidates.payoffs, behaviours, soft=self.soft)
        log_prior = log_softmax(-0.5 * (_FINE / _SPREAD) ** 2)
        summed = logsumexp(log_likelihood + log_prior, axis=-1)
        claims = claimed(summed, candidates, self.simplicity)
        share = np.exp(claims.log_prob[..., None] + log_likelihood + log_prior - summed[..., None])
        return claims._replace(extra=dict(log_temperature=(share * _FINE).sum((1, 2))))


def planned_likelihoods(world: WorldModel, payoffs, behaviours, *, soft: bool) -> np.ndarray:
    """`[J, U, T]` ln likelihood of the actions of each recording under each of `U` stacked payoffs, nats, at the
    temperatures exp(-12) to exp(12).
    """
    if world.horizon is not None:
        raise InputError("plans of the suite have no horizon; give a world without one and a discount below 1")
    for behaviour in behaviours:
        check_fits(behaviour, world)
    pieces = _pieces(world, behaviours)
    found = np.empty((len(behaviours), payoffs.num_utilities, len(_FINE)))
    for u in range(payoffs.num_utilities):
        nodes = joint_chain(world, payoffs[u], _MOST_NODES)
        if nodes is None:
            raise InputError(f"utility {u} has more than {_MOST_NODES} pairs of memory and state to plan over")
        counts = _node_counts(pieces, nodes, len(behaviours), world.num_actions)
        log_policy = _soft_policies(world, payoffs[u], nodes) if soft else _hard_policies(world, nodes)
        # One by one: products of several recordings are rounded by how many there are, and resumed runs have others.
        for job, own in enumerate(counts.reshape(len(counts), -1)):
            found[job, u] = log_policy.reshape(len(_FINE), -1) @ own
    return found


class _Pieces(NamedTuple):
    """Unbroken stretches of all recordings, `[E, T]`: actions, and places of each state among the successors of the
    last; `[E]` first states, lengths and the recordings they are from."""

    actions: np.ndarray
    places: np.ndarray
    first: np.ndarray
    length: np.ndarray
    job: np.ndarray


def _pieces(world, behaviours):
    successors, _ = links(world.transition)
    found = [
        (job, np.asarray(states)[: len(actions)], np.asarray(actions))
        for job, behaviour in enumerate(behaviours)
        for _, states, actions in behaviour.episodes()
    ]
    length = np.array([len(actions) for *_, actions in found])
    actions, places = np.zeros((2, len(found), length.max()), int)
    for row, (_, states, taken) in enumerate(found):
        actions[row, : len(taken)] = taken
        places[row, 1 : len(taken)] = np.argmax(successors[states[:-1]] == states[1:, None], axis=-1)
    return _Pieces(
        actions, places, np.array([states[0] for _, states, _ in found]), length, np.array([job for job, *_ in found])
    )


def _node_counts(pieces, nodes, number, num_actions):
    """`[J, n, A]` how often each action was taken at each node, all pieces read side by side."""
    counts = np.zeros((number, len(nodes.state), num_actions))
    here = pieces.first.copy()  # the first nodes are the states, with nothing to remember
    for t in range(pieces.actions.shape[1]):
        going = np.flatnonzero(t < pieces.length)
        if t:
            here[going] = nodes.onward[here[going], pieces.places[going, t]]
        np.add.at(counts, (pieces.job[going], here[going], pieces.actions[going, t]), 1.0)
    return counts


def _hard_policies(world, nodes):
    """`[T, n, A]` log softmax(Q / T) of optimal values; 0 where an action is not available, and so never counted."""
    q = chain_action_values(world, nodes)
    available = q > -np.inf
    below = np.where(available, q - q.max(-1, keepdims=True), 0.0)
    scores = np.where(available, below / np.exp(_FINE)[:, None, None], -np.inf)
    return np.where(available, log_softmax(scores, axis=-1), 0.0)


def _soft_policies(world, payoffs, nodes):
    """The same of soft values. An episode counts as over, and is worth nothing, when all that is remembered has ended
    and nothing is paid for steps: so do candidates without memory end in `models/maxent.py`."""
    steps, _ = step_payoffs(world, payoffs)
    available = np.asarray(world.available)[nodes.state]
    _, chance = links(world.transition)
    chance = chance[nodes.state]
    onward = np.where(nodes.onward >= 0, nodes.onward, np.arange(len(nodes.state))[:, None])
    ended = nodes.over | (nodes.over[onward] | ~(chance > 0).any(1)).all(1)
    terminal = ended & ~np.any(steps)
    discount = float(world.discount)
    name = fingerprint(_VERSION, onward, chance, available, discount, nodes.paid, terminal, _COARSE)
    log_policy = kept(
        "soft plans", name, lambda: {"log_policy": _planned(onward, chance, available, discount, nodes.paid, terminal)}
    )["log_policy"]
    return np.where(available, CubicSpline(_COARSE, log_policy)(_FINE), 0.0)


def _planned(onward, chance, available, discount, paid, terminal):
    """`[coarse T, n, A]` log softmax(Q / T), 0 where not available."""
    number = len(onward)
    # Chains of about one length share what is compiled: they are filled up with nodes where the episode is over.
    room = -number % _ROUNDED
    onward = np.concatenate([onward, np.repeat(np.arange(number, number + room)[:, None], onward.shape[1], axis=1)])
    stay = np.zeros((room, *chance.shape[1:]))
    stay[..., 0] = 1.0
    chance = np.concatenate([chance, stay])
    available, terminal = (
        np.concatenate([part, np.ones((room, *part.shape[1:]), bool)]) for part in (available, terminal)
    )
    paid = np.concatenate([paid, np.zeros((room, paid.shape[1]))])
    start = np.eye(number + room)[0]
    with jax.enable_x64(True):
        product = world_model(SparseTransition(onward, chance), start, discount, available=available)
        q = np.asarray(_soft_values(on_device(bare(product)), paid, terminal, np.exp(_COARSE)))[:, :number]
    available = q > -np.inf
    below = np.where(available, q - q.max(-1, keepdims=True), 0.0) / np.exp(_COARSE)[:, None, None]
    return np.where(available, log_softmax(np.where(available, below, -np.inf), axis=-1), 0.0)


@jax.jit
def _soft_values(product, paid, terminal, temperatures):
    """`[T, n, A]`."""

    def one(temperature):
        return soft_action_values(product, paid, temperature, terminal=terminal)

    return jax.lax.map(one, temperatures, batch_size=_TOGETHER)

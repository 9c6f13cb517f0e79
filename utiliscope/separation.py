"""What to record next: where the two likeliest utilities would show in different behaviour."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from .planning import optimal_policy
from .values import expected_utility
from .world.possible import World, weighted_worlds

_MOST_STATES = 500


def information(policy, log_prob, first: int, second: int) -> np.ndarray:
    r"""`[S]` bits that one more decision in a state is expected to tell about which of two utilities is true.

    The mutual information of the action and the utility, under the mean policies that draws give each of them:

    .. math:: I(s) = H\Big(\sum_k w_k \bar\pi_k(s)\Big) - \sum_k w_k H(\bar\pi_k(s))

    policy: `[chains, draws, S, A]`. log_prob: `[chains, draws, U]` ln posterior of the utility at each draw, nats.
    """
    policy = np.asarray(policy).reshape(-1, *np.shape(policy)[-2:])
    chance = np.exp(np.asarray(log_prob).reshape(len(policy), -1)[:, [first, second]])
    share = chance.sum(0) / chance.sum()
    means = np.einsum("nk,nsa->ksa", chance / np.maximum(chance.sum(0), 1e-300), policy)
    mixed = np.einsum("k,ksa->sa", share, means)
    return np.maximum(_entropy(mixed) - np.einsum("k,ks->s", share, _entropy(means)), 0.0)


def _entropy(chances):
    """Of the last axis, bits."""
    return -np.where(chances > 0, chances * np.log2(np.where(chances > 0, chances, 1.0)), 0.0).sum(-1)


def start_separation(world: World, payoffs) -> np.ndarray | None:
    """`[S]` how far the best policies for two utilities come apart in episodes from each state, from 0 to 1.

    The share of what there is to gain from a start that each best policy loses by the other's standard, the lesser of
    the two: near 1 an episode from there shows which utility is pursued, at 0 it can please both. Where one of them is
    constant any policy is its best one, and the random one stands for it: 1 where there is anything to gain by the
    other. payoffs: a stack of the two. None in worlds of more than 500 states. Costs `2 S` evaluations of three
    policies.
    """
    if world.num_states > _MOST_STATES:
        return None
    stack = [payoffs[k] for k in range(2)]
    policies = [optimal_policy(world, one) for one in stack]
    uniform = np.asarray(world.available) / np.asarray(world.available).sum(-1, keepdims=True)
    with jax.enable_x64(True):
        values = np.stack([_from_each(world, policy, payoffs) for policy in (*policies, uniform)])  # [3, S, 2]
    best, other, chance = values[[0, 1], :, [0, 1]], values[[1, 0], :, [0, 1]], values[2].T
    least = 1e-9 * np.abs(values).max((0, 1))[:, None]
    spread = np.ptp(values, axis=0).T
    constant = (spread <= least).all(1).any()
    if constant:
        other = chance
    room = best - np.minimum(chance, other)
    lost = np.where(room > least, (best - other) / np.where(room > least, room, 1.0), 0.0)
    return np.clip(lost.max(0) if constant else lost.min(0), 0.0, 1.0)


def _from_each(world, policy, payoffs):
    """`[S, U]` value of a policy from each state."""

    def value(initial):
        parts = [
            weight * expected_utility(dataclasses.replace(one, initial=initial), jnp.asarray(policy), payoffs)
            for weight, one in weighted_worlds(world)
        ]
        return sum(parts)

    return np.asarray(jax.lax.map(value, jnp.eye(world.num_states)))

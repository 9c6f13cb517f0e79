"""One policy for several possible worlds, which does not know which of them it is in: coordinate ascent.

The best such policy is hard to find: a best deterministic one is NP-hard (Steimle, Kaufman and Denton 2021,
"Multi-model Markov decision processes"). Coordinate ascent does well (Su and Petrik 2023, "Solving multi-model MDPs by
coordinate ascent and dynamic programming").
"""

from typing import NamedTuple

import numpy as np

from .errors import InputError
from .payoffs import Payoffs
from .world.possible import PossibleWorlds
from .world.transition import SparseTransition

# Ascent goes on from this many of the starts, the best ones.
_MOST_CLIMBS = 5
# Numbers that the transitions of all worlds together may take.
_MOST_NUMBERS = 2**28
# Gains below this share of the values are rounding, and none.
_NO_GAIN = 1e-11


class _Parts(NamedTuple):
    """The value as a sum over `B` worlds and `C` chains, which end on arrival.

    weights, discount: `[B]`. initial: `[B, S]`. transition: `[B, S, A, S]`. available: `[S, A]`.
    goes_on: `[C, S]` 0 where a chain ends. paid: `[C, S, A]` for a step. last: `[C, S]` for the last state.
    """

    weights: np.ndarray
    discount: np.ndarray
    initial: np.ndarray
    transition: np.ndarray
    available: np.ndarray
    goes_on: np.ndarray
    paid: np.ndarray
    last: np.ndarray


def shared_policy(world: PossibleWorlds, payoffs: Payoffs, starts: list[np.ndarray]) -> np.ndarray:
    """The best deterministic policy found from `starts`, deterministic policies `[S, A]` or all `[H, S, A]`.

    No worse than any of them; a local optimum: no other action in one state (with a horizon, in all states at one
    step) is better. Costs for each of five starts a few sweeps: `B` inverses `[S, S]` for each chain and as many
    rank-one updates as states; with a horizon, 2 H products.
    """
    numbers = len(world.worlds) * world.num_states**2 * world.num_actions
    if numbers > _MOST_NUMBERS:
        raise InputError(
            f"the best policy for {len(world.worlds)} possible worlds of {world.num_states} states takes {numbers:.2g} "
            f"numbers, more than {_MOST_NUMBERS:.2g}; take fewer worlds, or the best policy of each"
        )
    parts = _parts(world, payoffs)
    distinct = list({start.tobytes(): start for start in starts}.values())
    value, climb = (_value, _climb) if world.horizon is None else (_value_in_time, _climb_in_time)
    best_first = np.argsort([-value(parts, start) for start in distinct], kind="stable")
    ends = [climb(parts, distinct[i].copy()) for i in best_first[:_MOST_CLIMBS]]
    return max(ends, key=lambda policy: value(parts, policy))


def _parts(world, payoffs) -> _Parts:
    used = np.flatnonzero(np.asarray(payoffs.reach))
    targets = np.asarray(payoffs.targets)[used]
    state = np.asarray(payoffs.state, np.float64)
    last = np.concatenate([state[None], np.asarray(payoffs.reach)[used, None] * targets])
    paid = np.repeat(last[:, :, None], world.num_actions, axis=2)
    if payoffs.action is not None:
        paid[0] += np.asarray(payoffs.action)
    return _Parts(
        np.asarray(world.weights),
        np.array([float(one.discount) for one in world.worlds]),
        np.array([np.asarray(one.initial) for one in world.worlds]),
        np.array([_dense(one.transition) for one in world.worlds]),
        np.asarray(world.available),
        np.concatenate([np.ones((1, world.num_states)), ~targets]),
        paid,
        last,
    )


def _dense(transition):
    return transition.dense() if isinstance(transition, SparseTransition) else np.asarray(transition)


def _solved(parts, policy):
    """`[B, C, S, S]` inverses, `[B, C, S]` values ahead and `[B, C, S]` discounted visits of a `[S, A]` policy."""
    step = parts.discount[:, None, None] * np.einsum("sa,bsat->bst", policy, parts.transition)
    inverse = np.linalg.inv(np.eye(len(policy)) - parts.goes_on[:, :, None] * step[:, None])
    ahead = np.einsum("bcst,ct->bcs", inverse, np.einsum("ta,cta->ct", policy, parts.paid))
    return inverse, ahead, np.einsum("bs,bcst->bct", parts.initial, inverse)


def _value(parts, policy) -> float:
    return float(np.einsum("b,bs,bcs->", parts.weights, parts.initial, _solved(parts, policy)[1]))


def _climb(parts, policy):
    """Sweeps over the states, each taking its best action given all others, until none changes."""
    while True:
        inverse, ahead, visits = _solved(parts, policy)
        least = _NO_GAIN * (np.abs(parts.paid).max() + np.abs(ahead).max())
        changed = False
        for s in range(len(policy)):
            # A change of row s is a rank-one change of every chain in every world (Sherman and Morrison).
            moved = parts.transition[:, s] - (policy[s] @ parts.transition[:, s])[:, None]
            change = parts.discount[:, None, None, None] * parts.goes_on[:, s, None, None] * moved[:, None]
            gain = parts.paid[:, s] - (parts.paid[:, s] @ policy[s])[:, None]
            gain = gain + np.einsum("bcat,bct->bca", change, ahead)
            damping = 1 - np.einsum("bcat,bct->bca", change, inverse[:, :, :, s])
            gain = gain / damping
            total = np.einsum("b,bc,bca->a", parts.weights, visits[:, :, s], gain)
            total = np.where(parts.available[s], total, -np.inf)
            a = int(np.argmax(total))
            if total[a] <= least:
                continue
            across = np.einsum("bct,bctu->bcu", change[:, :, a], inverse) / damping[:, :, a, None]
            column = inverse[:, :, :, s].copy()
            inverse += column[..., None] * across[:, :, None]
            ahead += column * gain[:, :, a, None]
            visits += visits[:, :, s, None] * across
            policy[s] = np.eye(policy.shape[1])[a]
            changed = True
        if not changed:
            return policy


def _presence(parts, policy):
    """`[H + 1, B, C, S]` discounted chance of being in each state at each step, and of the chain having gone on."""
    present = [np.repeat(parts.initial[:, None], len(parts.goes_on), axis=1)]
    for row in policy:
        onward = np.einsum("bcs,sa,bsat->bct", present[-1] * parts.goes_on, row, parts.transition, optimize=True)
        present.append(parts.discount[:, None, None] * onward)
    return np.array(present)


def _value_in_time(parts, policy) -> float:
    present = _presence(parts, policy)
    steps = np.einsum("b,tbcs,tsa,csa->", parts.weights, present[:-1], policy, parts.paid, optimize=True)
    return float(steps + np.einsum("b,bcs,cs->", parts.weights, present[-1], parts.last))


def _climb_in_time(parts, policy):
    """Sweeps from the last step to the first, each taking its best actions given all others, until none changes."""
    rows = np.arange(policy.shape[1])
    while True:
        present = _presence(parts, policy)
        ahead = np.repeat(parts.last[None], len(parts.weights), axis=0)
        least = _NO_GAIN * (np.abs(parts.paid).max() + np.abs(ahead).max())
        changed = False
        for t in range(len(policy) - 1, -1, -1):
            onward = np.einsum("bsat,bct->bcsa", parts.transition, ahead, optimize=True)
            q = parts.paid + parts.discount[:, None, None, None] * parts.goes_on[:, :, None] * onward
            total = np.einsum("b,bcs,bcsa->sa", parts.weights, present[t], q)
            total = np.where(parts.available, total, -np.inf)
            current, best = policy[t].argmax(-1), total.argmax(-1)
            better = total[rows, best] - total[rows, current] > least
            policy[t, better] = np.eye(policy.shape[2])[best[better]]
            changed = changed or bool(better.any())
            ahead = np.einsum("sa,bcsa->bcs", policy[t], q)
        if not changed:
            return policy

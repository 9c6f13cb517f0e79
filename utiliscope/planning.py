"""The best policy for a utility, and the range of values that can be reached, by policy iteration in float64."""

import dataclasses
import itertools

import numpy as np
import scipy.sparse
import scipy.sparse.linalg

from .errors import InputError
from .payoffs import Payoffs, as_payoffs
from .shared_policies import shared_policy
from .world.possible import PossibleWorlds, World, mean_world, weighted_worlds
from .world.transition import SparseTransition, links, next_values, on_host

_MAX_TARGETS = 8

# Values closer than this share of their range are ties.
TIE_TOLERANCE = 1e-12
_ROUNDING = 1e-14  # of a step, relative to the absolute values that a solve adds up

_NO_GAIN = 1e-14  # of the largest value
_FEW_STATES, _FEW_SUCCESSORS = 300, 10
_MOST_INVERTED = 2000  # states of a sparse world whose inverses are worth their memory


def optimal_policy(world: World, utility) -> np.ndarray:
    """A policy of greatest expected utility: `[S, A]`, deterministic; `[H, S, A]` in a world with a horizon.

    Exact by policy iteration (backward induction with a horizon) for payoffs a step, and for one set of states to
    be reached. Where these are mixed the best course depends on what has been reached already; then the policy is
    the best found by changing one state at a time, which may be a local optimum (with a horizon: InputError).

    In `PossibleWorlds`, the best deterministic policy found by coordinate ascent, from what is best in each of them
    and in their mean: no worse than any of these, but it may be a local optimum. A policy that mixes actions can be
    better still, as it hedges against not knowing the world.

    Costs a few solves of an `[S, S]` system, for each of the 2^C sets of what may have been reached with C sets to
    reach; a mixture also C inverses for each change of the policy. Raises InputError for a stack of utilities.
    """
    payoffs = as_payoffs(world, utility)
    if payoffs.state.ndim != 1:
        raise InputError(f"utility is a stack of {payoffs.num_utilities}; give one, such as candidates.payoffs[0]")
    parts = np.flatnonzero(np.asarray(payoffs.reach))
    steps = bool(np.any(payoffs.state)) or (payoffs.action is not None and bool(np.any(payoffs.action)))
    mixed = len(parts) + steps > 1

    def best_in(one):
        _, choice = _plan(one, payoffs)
        policy = np.eye(one.num_actions)[choice]
        return _climb(one, payoffs, policy) if mixed and one.horizon is None else policy

    if isinstance(world, PossibleWorlds):
        return shared_policy(world, payoffs, [best_in(one) for one in (*world.worlds, mean_world(world))])
    if mixed and world.horizon is not None:
        raise InputError("the best policy for a sum with `reach` in a world with a horizon needs memory; give one form")
    return best_in(world)


def value_range(world: World, utility) -> tuple[float, float]:
    """The least and the greatest expected utility, over policies with memory of what has been reached.

    Of `PossibleWorlds` the weighted mean of each world's range: bounds from outside, exact where one policy is best,
    and one worst, in all of them. What policies can reach that do not know the world is hard to find.
    """
    payoffs = as_payoffs(world, utility)
    if isinstance(world, PossibleWorlds):
        ends = np.array([value_range(one, payoffs) for one in world.worlds])
        worst, best = np.asarray(world.weights) @ ends
        return float(worst), float(best)
    return -_plan(world, _mapped(payoffs, np.negative))[0], _plan(world, payoffs)[0]


def tie_tolerance(world: World, utility, worst: float, best: float) -> float:
    """The distance within which values tie: 1e-12 of their range, or what rounding does to them if that is more.

    Rounding is about 1e-14 / (1 - discount) of what the absolute payoffs are worth, however much of it cancels (1e-14
    of the steps with a horizon). Where this exceeds best - worst, the utility is constant.
    """
    absolute = _mapped(as_payoffs(world, utility), np.abs)
    size = sum(weight * _steps(one) * _plan(one, absolute)[0] for weight, one in weighted_worlds(world))
    return max(TIE_TOLERANCE * (best - worst), _ROUNDING * size)


def _mapped(payoffs, function):
    action = None if payoffs.action is None else function(np.asarray(payoffs.action))
    return Payoffs(function(np.asarray(payoffs.state)), action, function(np.asarray(payoffs.reach)), payoffs.targets)


def _slim(world):
    """`world`, kept sparse where that makes solves faster."""
    if isinstance(world.transition, SparseTransition) or world.num_states < _FEW_STATES:
        return world
    successors, chance = links(world.transition)
    few = successors.shape[1] * _FEW_SUCCESSORS < world.num_states
    return dataclasses.replace(world, transition=SparseTransition(successors, chance)) if few else world


def _plan(world, payoffs):
    """Best value, and the `[S]` or `[H, S]` actions to take while nothing has been reached."""
    world = _slim(world)
    used = np.flatnonzero(np.asarray(payoffs.reach))
    if len(used) > _MAX_TARGETS:
        raise InputError(f"a utility with {len(used)} sets to reach is too many to plan for; at most {_MAX_TARGETS}")
    inside = np.asarray(payoffs.targets)[used]
    weights = np.asarray(payoffs.reach, np.float64)[used]
    state = np.asarray(payoffs.state, np.float64)
    action = np.zeros((world.num_states, world.num_actions))
    action = action if payoffs.action is None else np.asarray(payoffs.action, np.float64)
    if not all(np.isfinite(part).all() for part in (state, action, weights)):
        raise InputError("the utility pays an amount that is not a finite number; check its payoffs for nan and inf")
    # Solved in units of its own, about its mean: neither a small unit nor a large constant may hide a gain.
    offset = state.mean()
    unit = max(float(np.abs(part).max(initial=0.0)) for part in (state - offset, action, weights)) or 1.0
    state, action, weights = (state - offset) / unit, action / unit, weights / unit

    # What has been reached only grows, so the modes are solved from "everything" back to "nothing".
    values = {}
    for size in range(len(used), -1, -1):
        for mode in itertools.combinations(range(len(used)), size):
            reached = np.isin(np.arange(len(used)), mode)
            new = inside & ~reached[:, None]
            arriving = new.any(0)
            # On arrival: the payment, then the same state in the mode where it counts as reached.
            onward = np.zeros((1 if world.horizon is None else world.horizon + 1, world.num_states))
            for s in np.flatnonzero(arriving):
                grown = tuple(np.flatnonzero(reached | inside[:, s]))
                onward[:, s] = weights[new[:, s]].sum() + values[grown][:, s]
            solve = _iterate if world.horizon is None else _induct
            values[mode], choice = solve(world, state, action, arriving, onward)
    return float(unit * (np.asarray(world.initial) @ values[()][-1]) + offset * _steps(world)), choice


def _steps(world):
    """What a payoff of 1 at every step is worth."""
    discount = float(world.discount)
    return 1 / (1 - discount) if world.horizon is None else (discount ** np.arange(world.horizon + 1)).sum()


def _masked_q(world, action, value):
    """`[S, A]` payoff of an action and the discounted value of what follows; unavailable ones -inf."""
    q = action + float(world.discount) * next_values(on_host(world.transition), value)
    return np.where(world.available, q, -np.inf)


def _iterate(world, state, action, fixed, onward):
    """Policy iteration with the values of `fixed` states given: `[1, S]` values and `[S]` actions."""
    rows = np.arange(world.num_states)
    choice = np.argmax(np.where(world.available, action, -np.inf), -1)
    reached = None
    while True:
        payoff = np.where(fixed, onward[0], state + action[rows, choice])
        value = _evaluated(world, choice, fixed, payoff)
        # Within rounding equal actions would take turns for ever: then values no longer rise.
        if reached is not None and value.sum() <= reached[0].sum():
            return reached[0][None], reached[1]
        reached = value, choice
        q = _masked_q(world, action, value)
        best = np.argmax(q, -1)
        gain = q[rows, best] - q[rows, choice]
        better = ~fixed & (gain > _NO_GAIN * np.abs(value).max())
        if not better.any():
            return value[None], choice
        choice = np.where(better, best, choice)


def _evaluated(world, choice, fixed, payoff):
    """`[S]` values where `choice` `[S]` is taken and paid `payoff` `[S]`, until a `fixed` state."""
    rows, discount = np.arange(world.num_states), float(world.discount)
    if isinstance(world.transition, SparseTransition):
        successors, chance = links(world.transition)
        step = np.where(fixed[:, None], 0.0, discount * chance[rows, choice])
        start, place = np.nonzero(step)
        entries = (step[start, place], (start, successors[start, place]))
        matrix = scipy.sparse.csc_array(entries, shape=(len(rows), len(rows)))
        return scipy.sparse.linalg.splu(scipy.sparse.eye_array(len(rows), format="csc") - matrix).solve(payoff)
    step = discount * np.asarray(world.transition)[rows, choice]
    step[fixed] = 0.0
    return np.linalg.solve(np.eye(len(rows)) - step, payoff)


def _induct(world, state, action, fixed, onward):
    """Backward induction: `[H + 1, S]` values by steps to go, and `[H, S]` actions by time."""
    value = np.where(fixed, onward[0], state)
    values, choices = [value], []
    for left in range(1, world.horizon + 1):
        q = _masked_q(world, action, value)
        choices.append(np.argmax(q, -1))
        value = np.where(fixed, onward[left], state + q.max(-1))
        values.append(value)
    return np.array(values), np.array(choices[::-1])


def chains(world: World, payoffs: Payoffs) -> tuple[np.ndarray, np.ndarray]:
    """One utility as a sum over Markov chains that end on arrival: `[C, S]` goes on, `[C, S, A]` payoff.

    Its value is  sum_c initial (I - discount diag(goes_on_c) P)^-1 r_c  with r_c the payoff under the policy.
    """
    state = np.asarray(payoffs.state, np.float64)
    steps = np.broadcast_to(state[:, None], (world.num_states, world.num_actions))
    if payoffs.action is not None:
        steps = steps + np.asarray(payoffs.action)
    used = np.flatnonzero(np.asarray(payoffs.reach))
    targets = np.asarray(payoffs.targets)[used]
    paid = np.asarray(payoffs.reach)[used][:, None, None] * targets[:, :, None] * np.ones(world.num_actions)
    if np.any(steps) or not len(used):
        targets = np.concatenate([np.zeros((1, world.num_states), bool), targets])
        paid = np.concatenate([steps[None], paid])
    return ~targets, paid


def _climb(world, payoffs, policy):
    """Change one state's action at a time, each time to the greatest gain, as long as there is one."""
    goes_on, paid = chains(world, payoffs)
    transition, discount = world.transition, float(world.discount)
    if isinstance(transition, SparseTransition):
        if world.num_states > _MOST_INVERTED:
            raise InputError(
                f"the best policy for a sum with `reach` takes inverses of {world.num_states} x {world.num_states} "
                f"numbers; in sparse worlds of more than {_MOST_INVERTED} states give one form"
            )
        transition = on_host(transition).dense()
    transition = np.asarray(transition)
    while True:
        step = discount * goes_on[:, :, None] * np.einsum("sa,sat->st", policy, transition)
        inverse = np.linalg.inv(np.eye(world.num_states) - step)
        value = np.einsum("cst,ta,cta->cs", inverse, policy, paid)
        visits = np.asarray(world.initial) @ inverse
        # A change of row s is a rank-one change of every chain (Sherman and Morrison).
        change = discount * goes_on[:, :, None, None] * (transition - (policy[:, :, None] * transition).sum(1)[:, None])
        gain = (paid - (policy * paid).sum(-1, keepdims=True)) + np.einsum("csat,ct->csa", change, value)
        damping = 1 - np.einsum("csat,cts->csa", change, inverse)
        gain = np.where(world.available, (visits[:, :, None] * gain / damping).sum(0), -np.inf)
        state, action = np.unravel_index(np.argmax(gain), gain.shape)
        if gain[state, action] <= 1e-11 * (np.abs(paid).max() + np.abs(value).max()):
            return policy
        policy = policy.copy()
        policy[state] = np.eye(world.num_actions)[action]

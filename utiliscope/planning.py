"""The best policy for a utility, and the range of values that can be reached, by policy iteration in float64."""

from typing import NamedTuple

import numpy as np
import scipy.sparse
import scipy.sparse.linalg

from .ascent import ascended
from .automata import Automaton
from .chains import Chain, joint_chain, used_automata
from .errors import InputError
from .payoffs import Payoffs, as_payoffs
from .world.possible import PossibleWorlds, World, mean_world, weighted_worlds
from .world.transition import SparseTransition, links, next_values, on_host

_MOST_NODES = 2**17

# Values closer than this share of their range are ties.
TIE_TOLERANCE = 1e-12
_ROUNDING = 1e-14  # of a step, relative to the absolute values that a solve adds up

_NO_GAIN = 1e-14  # of the largest value
_FEW_STATES, _FEW_SUCCESSORS = 300, 10


def optimal_policy(world: World, utility) -> np.ndarray:
    """A policy of greatest expected utility: `[S, A]`, deterministic; `[H, S, A]` in a world with a horizon.

    Exact by policy iteration (backward induction with a horizon) for payoffs a step, and for one set of states to
    be reached. For other sums and for forms with memory the best course depends on what has been seen already; then the
    policy is the best found by changing one state at a time (with a horizon, all states at one step), which may be a
    local optimum. So in `PossibleWorlds`, from what is best in each of them and in their mean: no worse than any of
    these. A policy that mixes actions can be better still, as it hedges against not knowing.

    Costs a few solves of a system of all pairs of memory and state, sparse where the world is; then, for up to five
    starts, an inverse for each form and a low-rank update for each change of the policy. Raises InputError for a stack
    of utilities.
    """
    payoffs = as_payoffs(world, utility)
    if payoffs.state.ndim != 1:
        raise InputError(f"utility is a stack of {payoffs.num_utilities}; give one, such as candidates.payoffs[0]")

    def best_in(one):
        return np.eye(one.num_actions)[_plan(one, payoffs)[1]]

    if isinstance(world, PossibleWorlds):
        return ascended(world, payoffs, [best_in(one) for one in (*world.worlds, mean_world(world))])
    policy = best_in(world)
    return policy if is_plain(payoffs) else ascended(world, payoffs, [policy])


def is_plain(payoffs: Payoffs) -> bool:
    """Whether there is nothing to remember that matters: payoffs a step alone, or one set of states to be reached."""
    some = used_automata(payoffs)
    steps = bool(np.any(payoffs.state)) or (payoffs.action is not None and bool(np.any(payoffs.action)))
    return not some or (len(some) == 1 and not steps and some[0][1].num_memories == 1)


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
    return -_plan(world, _scaled(payoffs, -1.0))[0], _plan(world, payoffs)[0]


def tie_tolerance(world: World, utility, worst: float, best: float) -> float:
    """The distance within which values tie: 1e-12 of their range, or what rounding does to them if that is more.

    Rounding is about 1e-14 / (1 - discount) of what the absolute payoffs are worth, however much of it cancels (1e-14
    of the steps with a horizon). Where this exceeds best - worst, the utility is constant.
    """
    absolute = _absolute(as_payoffs(world, utility))
    size = sum(weight * _steps(one) * _plan(one, absolute)[0] for weight, one in weighted_worlds(world))
    return max(TIE_TOLERANCE * (best - worst), _ROUNDING * size)


def _scaled(payoffs, factor, offset=0.0):
    """`factor` times the utility, with `offset` taken from its payoffs of states before."""
    action = None if payoffs.action is None else factor * np.asarray(payoffs.action)
    weight = None if payoffs.weight is None else factor * np.asarray(payoffs.weight)
    state, reach = factor * (np.asarray(payoffs.state) - offset), factor * np.asarray(payoffs.reach)
    return Payoffs(state, action, reach, payoffs.targets, weight, payoffs.automata)


def _absolute(payoffs):
    """Every payment of the utility as a gain."""
    state, action, reach, weight = (
        None if part is None else np.abs(np.asarray(part))
        for part in (payoffs.state, payoffs.action, payoffs.reach, payoffs.weight)
    )
    automata = tuple(Automaton(one.step, np.abs(np.asarray(one.pay))) for one in payoffs.automata)
    return Payoffs(state, action, reach, payoffs.targets, weight, automata)


def _plan(world, payoffs):
    """Best value, and the `[S]` or `[H, S]` actions to take on coming to a state with nothing to remember."""
    # Solved in units of its own, about its mean: neither a small unit nor a large constant may hide a gain.
    with np.errstate(over="ignore", invalid="ignore"):
        offset = float(np.mean(payoffs.state))
        remembered = [weight * np.asarray(one.pay) for weight, one in used_automata(payoffs)]
        parts = [np.asarray(payoffs.state) - offset, *remembered, *([] if payoffs.action is None else [payoffs.action])]
    if not all(np.isfinite(part).all() for part in parts):
        raise InputError("the utility pays an amount that is not a finite number; check its payoffs for nan and inf")
    unit = max(float(np.abs(part).max(initial=0.0)) for part in parts) or 1.0
    nodes = joint_chain(world, _scaled(payoffs, 1 / unit, offset), _MOST_NODES)
    if nodes is None:
        raise InputError(
            f"this utility has too much to remember to plan for it: more than {_MOST_NODES} pairs of memory and state; "
            "take fewer forms with memory, or forms that remember less"
        )
    values, choice = (_iterate if world.horizon is None else _induct)(on_nodes(world, nodes), nodes.paid, nodes.last)
    value = float(nodes.start @ values[-1])
    return unit * value + offset * _steps(world), choice[..., : world.num_states]


class NodeWorld(NamedTuple):
    """A world whose states are the nodes of a chain."""

    transition: object
    available: np.ndarray
    discount: float
    horizon: int | None


def on_nodes(world, nodes: Chain) -> NodeWorld:
    """`world` with nodes for states, sparse where that makes solves faster."""
    number, width = nodes.onward.shape
    _, chance = links(world.transition)
    transition = SparseTransition(np.maximum(nodes.onward, 0), chance[nodes.state])
    if number < _FEW_STATES or width * _FEW_SUCCESSORS >= number:
        transition = transition.dense()
    return NodeWorld(transition, np.asarray(world.available)[nodes.state], float(world.discount), world.horizon)


def _steps(world):
    """What a payoff of 1 at every step is worth."""
    discount = float(world.discount)
    return 1 / (1 - discount) if world.horizon is None else (discount ** np.arange(world.horizon + 1)).sum()


def _masked_q(world, paid, value):
    """`[N, A]` payoff of an action and the discounted value of what follows; unavailable ones -inf."""
    q = paid + world.discount * next_values(on_host(world.transition), value)
    return np.where(world.available, q, -np.inf)


def _iterate(world, paid, _, choice=None):
    """Policy iteration, from `choice` `[N]` if given: `[1, N]` values and `[N]` actions."""
    rows = np.arange(len(paid))
    choice = np.argmax(np.where(world.available, paid, -np.inf), -1) if choice is None else choice
    reached = None
    while True:
        value = _evaluated(world, choice, paid[rows, choice])
        # Within rounding equal actions would take turns for ever: then values no longer rise.
        if reached is not None and value.sum() <= reached[0].sum():
            return reached[0][None], reached[1]
        reached = value, choice
        q = _masked_q(world, paid, value)
        best = np.argmax(q, -1)
        gain = q[rows, best] - q[rows, choice]
        better = gain > _NO_GAIN * np.abs(value).max()
        if not better.any():
            return value[None], choice
        choice = np.where(better, best, choice)


def _evaluated(world, choice, payoff):
    """`[N]` values where `choice` `[N]` is taken and paid `payoff` `[N]`."""
    rows = np.arange(len(choice))
    if isinstance(world.transition, SparseTransition):
        successors, chance = links(world.transition)
        step = world.discount * chance[rows, choice]
        start, place = np.nonzero(step)
        entries = (step[start, place], (start, successors[start, place]))
        matrix = scipy.sparse.csc_array(entries, shape=(len(rows), len(rows)))
        return scipy.sparse.linalg.splu(scipy.sparse.eye_array(len(rows), format="csc") - matrix).solve(payoff)
    step = world.discount * np.asarray(world.transition)[rows, choice]
    return np.linalg.solve(np.eye(len(rows)) - step, payoff)


def _induct(world, paid, last):
    """Backward induction: `[H + 1, N]` values by steps to go, and `[H, N]` actions by time."""
    values, choices = [last], []
    for _ in range(world.horizon):
        q = _masked_q(world, paid, values[-1])
        choices.append(np.argmax(q, -1))
        values.append(q.max(-1))
    return np.array(values), np.array(choices[::-1])


def best_on_nodes(nodes: NodeWorld, paid, choice=None) -> tuple[np.ndarray, np.ndarray]:
    """`[N]` optimal values of the nodes and `[N]` best actions for `paid` `[N, A]`, by policy iteration from `choice`.

    For worlds without a horizon. Costs a solve for each time that some action is improved on.
    """
    values, choice = _iterate(nodes, paid, None, choice)
    return values[-1], choice


def chain_action_values(world, nodes: Chain) -> np.ndarray:
    """`[N, A]` optimal action values on the nodes of a chain, or `[H, N, A]` by time; -inf for unavailable actions."""
    there = on_nodes(world, nodes)
    if world.horizon is None:
        return _masked_q(there, nodes.paid, _iterate(there, nodes.paid, nodes.last)[0][-1])
    values, _ = _induct(there, nodes.paid, nodes.last)
    return np.array([_masked_q(there, nodes.paid, value) for value in values[-2::-1]])

"""What an agent that plans has before it: the world as it believes it to be, with what its utility must remember."""

import dataclasses
from typing import NamedTuple

import numpy as np

from utiliscope.chains import Chain, joint_chain
from utiliscope.errors import InputError
from utiliscope.payoffs import Payoffs, as_payoffs
from utiliscope.planning import chain_action_values, is_plain
from utiliscope.world.model import WorldModel
from utiliscope.world.possible import World
from utiliscope.world.transition import SparseTransition, collected, links

from .simulate import check_actual

_MOST_NODES = 2**17
_ROUNDING = 1e-12  # of the largest value: closer ones tie


class Outlook(NamedTuple):
    """The chain of pairs of memory and state on which an agent plans.

    believed: the world as the agent takes it to be. nodes: of `n` pairs, the first of them the states with nothing to
    remember; payoffs are in units of the largest, from the median one: decisions depend on neither. told_apart: how
    many nodes the agent distinguishes: all, or only the states where memory makes no difference to what is best.
    """

    believed: WorldModel
    nodes: Chain
    told_apart: int

    @property
    def successors(self) -> np.ndarray:
        """`[S, K]` states that may follow, in the world or in the agent's mind."""
        return links(self.believed.transition)[0]

    @property
    def available(self) -> np.ndarray:
        """`[n, A]`."""
        return np.asarray(self.believed.available)[self.nodes.state]

    @property
    def chance(self) -> np.ndarray:
        """`[n, A, K]` believed chance of each of `nodes.onward`."""
        return links(self.believed.transition)[1][self.nodes.state]

    def values(self) -> np.ndarray:
        """`[n, A]` optimal action values, or `[H, n, A]` by time; -inf for unavailable actions."""
        return chain_action_values(self.believed, self.nodes)

    def stake(self, values) -> float:
        """What a decision is worth: the mean of best less worst `values` `[..., n, A]` where they differ, else 1."""
        spread = values.max(-1) - np.where(self.available, values, np.inf).min(-1)
        counted = spread > 1e-9 * spread.max()
        return float(spread[counted].mean()) if counted.any() else 1.0


def outlook(world: World, utility, believed: WorldModel | None = None) -> Outlook:
    """The outlook of an agent with `utility` in `world`, which it takes for `believed` (by default for what it is).

    believed: of the same states, actions and availability; its moves, discount and horizon may differ. The agent keeps
    track of what it saw where the world surprises it: nodes are those that either of the two worlds leads to.

    Costs the walk through all pairs of memory and state. Raises InputError for a stack of utilities, payoffs that are
    not finite, and more than 2^17 pairs.
    """
    check_actual(world)
    payoffs = checked_payoffs(world, utility)
    believed = world if believed is None else believed
    if believed.transition is world.transition:
        possible = believed
    else:
        possible, believed = _with_common_links(world, believed)
    nodes = joint_chain(possible, payoffs, _MOST_NODES)
    if nodes is None:
        raise InputError(
            f"this utility has too much to remember to act on: more than {_MOST_NODES} pairs of memory and state; take "
            "fewer forms with memory, or forms that remember less"
        )
    usual = float(np.median(nodes.paid[np.asarray(world.available)[nodes.state]]))
    unit = max(np.abs(nodes.paid - usual).max(), np.abs(nodes.last - usual).max()) or 1.0
    nodes = nodes._replace(paid=(nodes.paid - usual) / unit, last=(nodes.last - usual) / unit)
    return Outlook(believed, nodes, world.num_states if is_plain(payoffs) else len(nodes.state))


def checked_payoffs(world: World, utility) -> Payoffs:
    """`utility` as `Payoffs`; raise InputError for a stack, and for amounts that are not finite."""
    payoffs = as_payoffs(world, utility)
    if payoffs.state.ndim != 1:
        raise InputError(f"utility is a stack of {payoffs.num_utilities}; give one, such as candidates.payoffs[0]")
    parts = [payoffs.state, payoffs.action, payoffs.reach, payoffs.weight, *(one.pay for one in payoffs.automata)]
    if not all(part is None or np.isfinite(np.asarray(part)).all() for part in parts):
        raise InputError("the utility pays an amount that is not a finite number; check its payoffs for nan and inf")
    return payoffs


def best_actions(values) -> np.ndarray:
    """`[..., A]` bool: the actions of greatest value, with those that tie with them within rounding."""
    finite = values > -np.inf
    slack = _ROUNDING * np.abs(values[finite]).max(initial=0.0)
    return finite & (values >= values.max(-1, keepdims=True) - slack)


def evenly(allowed) -> np.ndarray:
    """`[..., A]` the same probability for each of the `allowed` actions, bool."""
    return allowed / allowed.sum(-1, keepdims=True)


def _with_common_links(world, believed):
    """`world` with the moves of either (their mean), and `believed`, listing the same successors."""
    parts = [links(one.transition) for one in (world, believed)]
    entries = []
    for successors, chance in parts:
        state, action, place = np.nonzero(chance > 0)
        entries.append((state, action, successors[state, place], chance[state, action, place] / 2))
    mean = collected(*map(np.concatenate, zip(*entries, strict=True)), (world.num_states, world.num_actions))
    successors, chance = parts[1]
    common = np.asarray(mean.successors)
    match = successors[:, :, None] == common[:, None, :]
    earlier = common[:, :, None] == common[:, None, :]
    repeated = np.any(earlier & np.tri(common.shape[1], k=-1, dtype=bool), axis=-1)
    own = np.einsum("sak,skj->saj", chance, match & ~repeated[:, None, :])
    return _moving(world, mean), _moving(believed, SparseTransition(mean.successors, own))


def _moving(world, transition):
    return dataclasses.replace(world, transition=transition)

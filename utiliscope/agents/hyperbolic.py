"""Agents that discount hyperbolically, and so change their minds."""

from dataclasses import dataclass

import numpy as np

from utiliscope.behaviour import Behaviour
from utiliscope.errors import check_whole
from utiliscope.world.possible import World

from .course import Course, course, follow
from .knobs import check_between
from .outlook import Outlook, best_actions, evenly, outlook


@dataclass(frozen=True)
class Hyperbolic:
    r"""Weighs what is paid after d steps by the world's discount and a hyperbola of its delay.

    .. math:: \delta(d) = \gamma^d / (1 + k d)

    As the delay shrinks the weights change, so what seemed best for later is not what will seem best then. The
    `sophisticated` agent knows this, and plans with what its later selves will do; the naive one believes that they
    will do what it wants of them now.

    rate: k >= 0; at 0 both are the optimal agent that looks as far. depth: steps looked ahead in a world without a
    horizon, at every decision anew; in others the agent looks to the end.

    Costs `depth` sweeps over the nodes, and for the sophisticated agent up to `depth`^2 / 2, of which each is a product
    with all later ones; H times as many for the naive one in a world with a horizon.

    References: Ainslie (1975), Specious Reward; Evans, Stuhlmueller and Goodman (2016), Learning the Preferences of
    Ignorant, Inconsistent Agents.
    """

    rate: float | int = 1.0
    sophisticated: bool = False
    depth: int = 100

    def __post_init__(self):
        check_between("rate", self.rate, 0)
        check_whole("depth", self.depth, 1)

    def course(self, world: World, utility) -> Course:
        """What it does on each pair of memory and state."""
        view = outlook(world, utility)
        end = view.believed.horizon
        weights = self._weights(float(world.discount), self.depth if end is None else end)
        if self.sophisticated:
            rows = _sophisticated(view, weights)
            return course(view, rows[-1] if end is None else rows[::-1])
        if end is None:
            return course(view, evenly(best_actions(_naive(view, weights))))
        values = np.array([_naive(view, weights[: left + 1]) for left in range(end, 0, -1)])
        return course(view, evenly(np.array([best_actions(one) for one in values])))

    def record(self, key, world: World, utility, *, num_episodes: int, num_steps: int) -> Behaviour:
        """See `Agent.record`."""
        return follow(key, world, self.course(world, utility), num_episodes=num_episodes, num_steps=num_steps)

    def _weights(self, discount, steps):
        delay = np.arange(steps + 1)
        return discount**delay / (1 + self.rate * delay)


def _naive(view: Outlook, weights) -> np.ndarray:
    """`[n, A]` values of the present action if all later ones are chosen by the weights `[D + 1]` of now."""
    onward, chance = np.maximum(view.nodes.onward, 0), view.chance
    value = weights[-1] * view.nodes.last
    for weight in weights[-2::-1]:
        values = weight * view.nodes.paid + np.einsum("nak,nk->na", chance, value[onward])
        values = np.where(view.available, values, -np.inf)
        value = values.max(-1)
    return values


def _sophisticated(view: Outlook, weights) -> np.ndarray:
    """`[D, n, A]` what is done with 1 .. D steps to go, each knowing those that follow."""
    onward, chance = np.maximum(view.nodes.onward, 0), view.chance
    # What is to come is worth another amount to each self that waits for it: one column for each delay.
    ahead = view.nodes.last[:, None] * weights
    rows = []
    for _ in range(len(weights) - 1):
        later = ahead[:, 1:]
        values = weights[0] * view.nodes.paid + np.einsum("nak,nk->na", chance, later[onward, 0])
        row = evenly(best_actions(np.where(view.available, values, -np.inf)))
        moved = np.einsum("na,nak->nk", row, chance)
        paid = (row * view.nodes.paid).sum(-1)
        ahead = paid[:, None] * weights[: later.shape[1]] + np.einsum("nk,nkd->nd", moved, later[onward])
        rows.append(row)
    return np.array(rows)

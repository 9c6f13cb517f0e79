"""The agent that takes the world for more certain than it is."""

import dataclasses
from dataclasses import dataclass

import numpy as np

from utiliscope.behaviour import Behaviour
from utiliscope.world.model import WorldModel
from utiliscope.world.possible import World
from utiliscope.world.transition import SparseTransition, links

from .course import Course, course, follow
from .knobs import check_between
from .outlook import best_actions, evenly, outlook
from .simulate import check_actual


@dataclass(frozen=True)
class Overconfident:
    """Plans with chances raised to the power of `sharpness` and made to sum to 1: slips seem rarer than they are.

    sharpness: 1 is the optimal agent, large ones believe in the likeliest outcome alone. A deterministic world leaves
    nothing to be too sure of: there this is the optimal agent.

    References: Moore and Healy (2008), The Trouble with Overconfidence.
    """

    sharpness: float | int = 4.0

    def __post_init__(self):
        check_between("sharpness", self.sharpness, 1)

    def course(self, world: World, utility) -> Course:
        """What it does on each pair of memory and state."""
        view = outlook(world, utility, sharpened(world, self.sharpness))
        return course(view, evenly(best_actions(view.values())))

    def record(self, key, world: World, utility, *, num_episodes: int, num_steps: int) -> Behaviour:
        """See `Agent.record`."""
        return follow(key, world, self.course(world, utility), num_episodes=num_episodes, num_steps=num_steps)


def sharpened(world: World, power: float | int) -> WorldModel:
    """`world` with chances proportional to their `power`."""
    check_actual(world)
    successors, chance = links(world.transition)
    # Of the likeliest, or the powers of small chances would vanish together.
    raised = (chance / chance.max(-1, keepdims=True)) ** power
    return dataclasses.replace(
        world, transition=SparseTransition(successors.astype(np.int64), raised / raised.sum(-1, keepdims=True))
    )

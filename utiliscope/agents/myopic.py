"""The agent that cares little for later."""

import dataclasses
from dataclasses import dataclass

import numpy as np

from utiliscope.behaviour import Behaviour
from utiliscope.world.possible import World

from .course import Course, course, follow
from .knobs import check_between
from .outlook import best_actions, evenly, outlook
from .simulate import check_actual


@dataclass(frozen=True)
class Myopic:
    """Optimal for a discount of its own: `patience` times that of the world.

    patience: 1 is the optimal agent; 0 counts the payoff of the present step only.

    References: Jiang, Kulesza, Singh and Lewis (2015), The Dependence of Effective Planning Horizon on Model Accuracy.
    """

    patience: float | int = 0.5

    def __post_init__(self):
        check_between("patience", self.patience, 0, 1)

    def course(self, world: World, utility) -> Course:
        """What it does on each pair of memory and state."""
        check_actual(world)
        discount = np.asarray(self.patience * world.discount)
        view = outlook(world, utility, dataclasses.replace(world, discount=discount))
        return course(view, evenly(best_actions(view.values())))

    def record(self, key, world: World, utility, *, num_episodes: int, num_steps: int) -> Behaviour:
        """See `Agent.record`."""
        return follow(key, world, self.course(world, utility), num_episodes=num_episodes, num_steps=num_steps)

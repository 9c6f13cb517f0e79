"""A particle in a current."""

from dataclasses import dataclass

import numpy as np

from utiliscope.behaviour import Behaviour
from utiliscope.errors import check_whole
from utiliscope.world.possible import World

from .knobs import check_between
from .outlook import evenly
from .simulate import check_actual, simulate


@dataclass(frozen=True)
class Drift:
    """A random walk with a bias: one action with probability `bias`, else an available one at random.

    action: its number (modulo the number of actions). Where it is not available the walk has no bias. What it is given
    to pursue is ignored.

    References: Smoluchowski (1916), on Brownian motion under an outer force.
    """

    bias: float | int = 0.5
    action: int = 0

    def __post_init__(self):
        check_between("bias", self.bias, 0, 1)
        check_whole("action", self.action, 0)

    def pursued(self, world: World, utility) -> None:
        """Nothing."""
        return None

    def policy(self, world: World, utility=None) -> np.ndarray:
        """`[S, A]` what it does."""
        check_actual(world)
        available = np.asarray(world.available)
        action = self.action % world.num_actions
        pushed = np.where(available[:, action], self.bias, 0.0)[:, None]
        return pushed * np.eye(world.num_actions)[action] + (1 - pushed) * evenly(available)

    def record(self, key, world: World, utility, *, num_episodes: int, num_steps: int) -> Behaviour:
        """See `Agent.record`."""
        return simulate(key, world, self.policy(world), num_episodes=num_episodes, num_steps=num_steps)

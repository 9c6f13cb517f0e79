"""Chance, as an agent."""

from dataclasses import dataclass

import numpy as np

from utiliscope.behaviour import Behaviour
from utiliscope.world.possible import World

from .outlook import evenly
from .simulate import check_actual, simulate


@dataclass(frozen=True)
class RandomWalk:
    """Takes every available action with the same probability; what it is given to pursue is ignored.

    References: Pearson (1905), The Problem of the Random Walk.
    """

    def pursued(self, world: World, utility) -> None:
        """Nothing."""
        return None

    def policy(self, world: World, utility=None) -> np.ndarray:
        """`[S, A]` what it does."""
        check_actual(world)
        return evenly(np.asarray(world.available))

    def record(self, key, world: World, utility, *, num_episodes: int, num_steps: int) -> Behaviour:
        """See `Agent.record`."""
        return simulate(key, world, self.policy(world), num_episodes=num_episodes, num_steps=num_steps)

"""A clockwork: what it does depends on the time alone."""

from dataclasses import dataclass

import numpy as np

from utiliscope.behaviour import Behaviour
from utiliscope.errors import check_whole
from utiliscope.world.possible import World

from .fixed_route import nearest_available
from .simulate import check_actual, play


@dataclass(frozen=True)
class Clockwork:
    """Takes the actions by their numbers in turn, each for `period` steps, and begins with the first in every episode.

    Where one is not available the next by number is taken. What it is given to pursue is ignored, and nothing about it
    is random.

    References: La Mettrie (1747), L'homme machine.
    """

    period: int = 2

    def __post_init__(self):
        check_whole("period", self.period, 1)

    def pursued(self, world: World, utility) -> None:
        """Nothing."""
        return None

    def record(self, key, world: World, utility, *, num_episodes: int, num_steps: int) -> Behaviour:
        """See `Agent.record`."""
        check_actual(world)
        possible = nearest_available(np.asarray(world.available))

        def decide(_, t, state, memory):
            return possible[state, t // self.period % world.num_actions], memory

        return play(key, world, decide, num_episodes=num_episodes, num_steps=num_steps)

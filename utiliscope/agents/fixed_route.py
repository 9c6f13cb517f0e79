"""A route that is followed whatever happens."""

from dataclasses import dataclass

import jax
import numpy as np

from utiliscope.behaviour import Behaviour
from utiliscope.errors import check_whole
from utiliscope.world.possible import World

from .simulate import generator, play


@dataclass(frozen=True)
class FixedRoute:
    """Takes the same `length` actions in the same order, over and over and in every episode, wherever it is.

    They are drawn at random from the key, for each recording anew. Where one is not available the next by number is
    taken. What it is given to pursue is ignored.

    References: Fabre (1879), Souvenirs entomologiques, on wasps that follow theirs.
    """

    length: int = 8

    def __post_init__(self):
        check_whole("length", self.length, 1)

    def pursued(self, world: World, utility) -> None:
        """Nothing."""
        return None

    def record(self, key, world: World, utility, *, num_episodes: int, num_steps: int) -> Behaviour:
        """See `Agent.record`."""
        before, during = jax.random.split(key)
        route = generator(before).integers(world.num_actions, size=self.length)
        possible = nearest_available(np.asarray(world.available))

        def decide(_, t, state, memory):
            return possible[state, route[t % self.length]], memory

        return play(during, world, decide, num_episodes=num_episodes, num_steps=num_steps)


def nearest_available(available) -> np.ndarray:
    """`[S, A]` each action itself where it is `available` `[S, A]`, else the next one by number, and so round."""
    number = available.shape[1]
    order = (np.arange(number)[:, None] + np.arange(number)) % number  # [A, A] what is tried in place of each
    return order[np.arange(number), available[:, order].argmax(-1)]

"""The agent whose mistakes are rare where they cost much."""

from dataclasses import dataclass

import numpy as np

from utiliscope.behaviour import Behaviour
from utiliscope.world.possible import World

from .course import Course, course, follow
from .knobs import check_above_zero
from .outlook import outlook


@dataclass(frozen=True)
class Boltzmann:
    r"""Takes actions with odds of exp(difference of their optimal values / temperature).

    .. math:: \pi(a | s) \propto \exp(Q^*(s, a) / (T \, u))

    temperature: T > 0, in units u of what decisions are worth: the mean, over all pairs of memory and state where
    actions differ, of the best action's value less the worst's. At T = 1 the best is about e times as likely as the
    worst. The range of values over policies would be the wrong unit: it grows with the horizon while a single
    decision's share in it falls, so that one temperature would mean skill in one world and chance in another.

    References: Luce (1959), Individual Choice Behavior; Ramachandran and Amir (2007), Bayesian Inverse Reinforcement
    Learning.
    """

    temperature: float | int = 0.3

    def __post_init__(self):
        check_above_zero("temperature", self.temperature)

    def course(self, world: World, utility) -> Course:
        """What it does on each pair of memory and state."""
        view = outlook(world, utility)
        values = view.values()
        scores = (values - values.max(-1, keepdims=True)) / (self.temperature * view.stake(values))
        odds = np.exp(scores)
        return course(view, odds / odds.sum(-1, keepdims=True))

    def record(self, key, world: World, utility, *, num_episodes: int, num_steps: int) -> Behaviour:
        """See `Agent.record`."""
        return follow(key, world, self.course(world, utility), num_episodes=num_episodes, num_steps=num_steps)

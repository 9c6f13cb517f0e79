"""Pairs of a planner and a utility that explain the optimal agent's behaviour, and are not what it is.

Behaviour alone cannot tell them from it: each is recorded exactly as `Optimal` is. They are told apart by what they
are after, which a simplicity prior may or may not know.

References: Armstrong and Mindermann (2018), Occam's Razor Is Insufficient to Infer the Preferences of Irrational
Agents.
"""

from dataclasses import dataclass

import numpy as np

from utiliscope.behaviour import Behaviour
from utiliscope.payoffs import Payoffs
from utiliscope.world.possible import World

from .anti_rational import AntiRational, negated
from .course import Course, follow
from .optimal import Optimal
from .outlook import checked_payoffs


@dataclass(frozen=True)
class Indifferent:
    """(indifferent, 0): one that always does what is best for the given utility, whatever it is after: nothing."""

    def pursued(self, world: World, utility) -> Payoffs:
        """The utility 0."""
        return Payoffs(np.zeros(world.num_states), None, np.zeros(0), np.zeros((0, world.num_states), bool))

    def course(self, world: World, utility) -> Course:
        """What it does on each pair of memory and state."""
        return Optimal().course(world, utility)

    def record(self, key, world: World, utility, *, num_episodes: int, num_steps: int) -> Behaviour:
        """See `Agent.record`."""
        return follow(key, world, self.course(world, utility), num_episodes=num_episodes, num_steps=num_steps)


@dataclass(frozen=True)
class AntiRationalNegated:
    """(anti-rational, -R): one that is after the negative of the given utility R, and does its worst."""

    def pursued(self, world: World, utility) -> Payoffs:
        """The negative of the utility."""
        return negated(checked_payoffs(world, utility))

    def course(self, world: World, utility) -> Course:
        """What it does on each pair of memory and state."""
        return AntiRational().course(world, self.pursued(world, utility))

    def record(self, key, world: World, utility, *, num_episodes: int, num_steps: int) -> Behaviour:
        """See `Agent.record`."""
        return follow(key, world, self.course(world, utility), num_episodes=num_episodes, num_steps=num_steps)

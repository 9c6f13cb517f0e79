"""The agent that does its worst."""

from dataclasses import dataclass

import numpy as np

from utiliscope.behaviour import Behaviour
from utiliscope.payoffs import Payoffs
from utiliscope.world.possible import World

from .course import Course, follow
from .optimal import Optimal
from .outlook import checked_payoffs


@dataclass(frozen=True)
class AntiRational:
    """Takes an action of least expected utility: the optimal agent for the negative of its utility.

    References: Armstrong and Mindermann (2018), Occam's Razor Is Insufficient to Infer the Preferences of Irrational
    Agents.
    """

    def pursued(self, world: World, utility) -> Payoffs:
        """The negative of the utility."""
        return negated(checked_payoffs(world, utility))

    def course(self, world: World, utility) -> Course:
        """What it does on each pair of memory and state."""
        return Optimal().course(world, self.pursued(world, utility))

    def record(self, key, world: World, utility, *, num_episodes: int, num_steps: int) -> Behaviour:
        """See `Agent.record`."""
        return follow(key, world, self.course(world, utility), num_episodes=num_episodes, num_steps=num_steps)


def negated(payoffs: Payoffs) -> Payoffs:
    """One utility, or a stack, with the opposite sign."""
    state, action, reach, weight = (
        None if part is None else -np.asarray(part)
        for part in (payoffs.state, payoffs.action, payoffs.reach, payoffs.weight)
    )
    return Payoffs(state, action, reach, payoffs.targets, weight, payoffs.automata)

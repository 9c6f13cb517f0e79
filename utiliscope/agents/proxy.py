"""The agent that learned to want the wrong thing."""

from dataclasses import dataclass

from utiliscope.behaviour import Behaviour
from utiliscope.payoffs import Payoffs
from utiliscope.world.possible import World

from .course import Course, follow
from .optimal import Optimal
from .other_goals import other_goals


@dataclass(frozen=True)
class ProxySeeker:
    """Optimal for a correlate of its utility: the feature whose optimal agent gets most of the utility, yet not all.

    So does an agent act that was trained where that feature and the reward came together, and has learned to seek the
    feature: in the world of the recording they part (see `other_goals`).

    References: Langosco, Koch, Sharkey, Pfau and Krueger (2022), Goal Misgeneralization in Deep Reinforcement Learning.
    """

    def pursued(self, world: World, utility) -> Payoffs:
        """To be in that feature."""
        return other_goals(world, utility)[-1].payoffs

    def course(self, world: World, utility) -> Course:
        """What it does on each pair of memory and state."""
        return Optimal().course(world, self.pursued(world, utility))

    def record(self, key, world: World, utility, *, num_episodes: int, num_steps: int) -> Behaviour:
        """See `Agent.record`."""
        return follow(key, world, self.course(world, utility), num_episodes=num_episodes, num_steps=num_steps)

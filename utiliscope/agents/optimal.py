"""The optimal agent."""

from dataclasses import dataclass

from utiliscope.behaviour import Behaviour
from utiliscope.world.possible import World

from .course import Course, course, follow
from .outlook import best_actions, evenly, outlook


@dataclass(frozen=True)
class Optimal:
    """Takes an action of greatest expected utility, by policy iteration (Howard 1960); ties are broken at random.

    It remembers what a utility needs to be remembered, and nothing else: for payoffs a step, and for one set to be
    reached, its behaviour is a policy over states. Where all has been paid it acts at random.

    References: Howard (1960), Dynamic Programming and Markov Processes.
    """

    def course(self, world: World, utility) -> Course:
        """What it does on each pair of memory and state."""
        view = outlook(world, utility)
        return course(view, evenly(best_actions(view.values())))

    def record(self, key, world: World, utility, *, num_episodes: int, num_steps: int) -> Behaviour:
        """See `Agent.record`."""
        return follow(key, world, self.course(world, utility), num_episodes=num_episodes, num_steps=num_steps)

"""The agent that acts at random now and then."""

from dataclasses import dataclass

from utiliscope.behaviour import Behaviour
from utiliscope.world.possible import World

from .course import Course, course, follow
from .knobs import check_between
from .outlook import best_actions, evenly, outlook


@dataclass(frozen=True)
class EpsilonRandom:
    """The optimal agent, but with probability `share` it takes an available action at random, be it the best.

    References: Watkins (1989), Learning from Delayed Rewards, where such random actions serve exploration.
    """

    share: float | int = 0.1

    def __post_init__(self):
        check_between("share", self.share, 0, 1)

    def course(self, world: World, utility) -> Course:
        """What it does on each pair of memory and state."""
        view = outlook(world, utility)
        best = evenly(best_actions(view.values()))
        return course(view, (1 - self.share) * best + self.share * evenly(view.available))

    def record(self, key, world: World, utility, *, num_episodes: int, num_steps: int) -> Behaviour:
        """See `Agent.record`."""
        return follow(key, world, self.course(world, utility), num_episodes=num_episodes, num_steps=num_steps)

"""The agent for which good enough is good."""

from dataclasses import dataclass

from utiliscope.behaviour import Behaviour
from utiliscope.world.possible import World

from .course import Course, course, follow
from .knobs import check_between
from .outlook import best_actions, evenly, outlook


@dataclass(frozen=True)
class Satisficing:
    """Takes any action that is good enough, at random among them.

    slack: an action is good enough if its optimal value falls short of the best one's by no more than this share of
    what decisions are worth: the mean, over all pairs of memory and state where actions differ, of the best value less
    the worst. So it is choosy where much depends on it. 0 is the optimal agent.

    References: Simon (1956), Rational Choice and the Structure of the Environment.
    """

    slack: float | int = 0.5

    def __post_init__(self):
        check_between("slack", self.slack, 0)

    def course(self, world: World, utility) -> Course:
        """What it does on each pair of memory and state."""
        view = outlook(world, utility)
        values = view.values()
        enough = values >= values.max(-1, keepdims=True) - self.slack * view.stake(values)
        return course(view, evenly((enough & view.available) | best_actions(values)))

    def record(self, key, world: World, utility, *, num_episodes: int, num_steps: int) -> Behaviour:
        """See `Agent.record`."""
        return follow(key, world, self.course(world, utility), num_episodes=num_episodes, num_steps=num_steps)

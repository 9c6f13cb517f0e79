"""The agent that is after two things in turn."""

from dataclasses import dataclass

from utiliscope.behaviour import Behaviour
from utiliscope.errors import check_whole
from utiliscope.payoffs import Payoffs, stack_payoffs
from utiliscope.world.possible import World

from .optimal import Optimal
from .other_goals import other_goals
from .outlook import checked_payoffs
from .simulate import drawn, play


@dataclass(frozen=True)
class TwoGoals:
    """Optimal for the given utility for `period` steps of an episode, then for another for as long, and so on.

    The other is to be in that feature of the world whose optimal agent gets least of the utility (see `other_goals`).
    Neither is planned with the other in mind.

    References: Atkinson and Birch (1970), The Dynamics of Action, on the alternation of motives.
    """

    period: int = 5

    def __post_init__(self):
        check_whole("period", self.period, 1)

    def pursued(self, world: World, utility) -> Payoffs:
        """A stack of two: the utility and the other goal."""
        return stack_payoffs([checked_payoffs(world, utility), other_goals(world, utility)[0].payoffs])

    def record(self, key, world: World, utility, *, num_episodes: int, num_steps: int) -> Behaviour:
        """See `Agent.record`."""
        goals = checked_payoffs(world, utility), other_goals(world, utility)[0].payoffs
        courses = [Optimal().course(world, goal) for goal in goals]

        def decide(random, t, state, nodes):
            # Both keep track of what has happened, also while the other is pursued.
            nodes = [
                state if nodes is None else one.after(node, state)
                for one, node in zip(courses, nodes or [None, None], strict=True)
            ]
            turn = t // self.period % 2
            return drawn(random, courses[turn].at(t, nodes[turn])), nodes

        return play(key, world, decide, num_episodes=num_episodes, num_steps=num_steps)

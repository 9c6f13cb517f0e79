"""The agent that looks a few steps ahead."""

import dataclasses
from dataclasses import dataclass

import numpy as np

from utiliscope.behaviour import Behaviour
from utiliscope.errors import check_whole
from utiliscope.world.possible import World

from .course import Course, course, follow
from .outlook import Outlook, best_actions, evenly, outlook


@dataclass(frozen=True)
class Lookahead:
    """Plans exactly as far as `depth` steps, at every decision anew: what is paid from then on does not count.

    With depth 1 it sees what its next state pays. Where nothing in sight is worth more than the rest it acts at random.
    In a world with a horizon it sees its end when this is near, and with a depth of the horizon it is optimal.

    References: Simon (1955), A Behavioral Model of Rational Choice; Kearns, Mansour and Ng (2002), A Sparse Sampling
    Algorithm for Near-Optimal Planning in Large Markov Decision Processes.
    """

    depth: int = 3

    def __post_init__(self):
        check_whole("depth", self.depth, 1)

    def course(self, world: World, utility) -> Course:
        """What it does on each pair of memory and state."""
        view = outlook(world, utility)
        return course(view, evenly(best_actions(near_values(view, self.depth))))

    def record(self, key, world: World, utility, *, num_episodes: int, num_steps: int) -> Behaviour:
        """See `Agent.record`."""
        return follow(key, world, self.course(world, utility), num_episodes=num_episodes, num_steps=num_steps)


def near_values(view: Outlook, depth: int) -> np.ndarray:
    """`[n, A]` action values of the next `depth` steps with the state they end in, or `[H, n, A]` by time."""
    end = view.believed.horizon
    seen = depth if end is None else min(depth, end)
    values = view._replace(believed=dataclasses.replace(view.believed, horizon=seen)).values()
    return values[0] if end is None else np.concatenate([np.repeat(values[:1], end - seen, axis=0), values])

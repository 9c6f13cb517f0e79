"""The agent that takes the world for less certain than it is."""

import dataclasses
from dataclasses import dataclass

import numpy as np

from utiliscope.behaviour import Behaviour
from utiliscope.world.model import WorldModel
from utiliscope.world.possible import World
from utiliscope.world.transition import SparseTransition, links

from .course import Course, course, follow
from .knobs import check_between
from .outlook import best_actions, evenly, outlook
from .simulate import check_actual


@dataclass(frozen=True)
class Underconfident:
    """Plans as if, with chance `doubt`, another action were carried out: an available one at random.

    doubt: 0 is the optimal agent; at 1 no action makes a difference. It keeps away from what it could slip into, in
    deterministic worlds as well.

    References: Moore and Healy (2008), The Trouble with Overconfidence.
    """

    doubt: float | int = 0.4

    def __post_init__(self):
        check_between("doubt", self.doubt, 0, 1)

    def course(self, world: World, utility) -> Course:
        """What it does on each pair of memory and state."""
        view = outlook(world, utility, flattened(world, self.doubt))
        return course(view, evenly(best_actions(view.values())))

    def record(self, key, world: World, utility, *, num_episodes: int, num_steps: int) -> Behaviour:
        """See `Agent.record`."""
        return follow(key, world, self.course(world, utility), num_episodes=num_episodes, num_steps=num_steps)


def flattened(world: World, doubt: float | int) -> WorldModel:
    """`world` where an available action at random is carried out with chance `doubt`."""
    check_actual(world)
    successors, chance = links(world.transition)
    any_action = np.einsum("sa,sak->sk", evenly(np.asarray(world.available)), chance)
    mixed = np.where(
        np.asarray(world.available)[:, :, None], (1 - doubt) * chance + doubt * any_action[:, None], chance
    )
    return dataclasses.replace(world, transition=SparseTransition(successors.astype(np.int64), mixed))

"""The agent that does not know all the ways."""

import dataclasses
from dataclasses import dataclass

import jax
import numpy as np

from utiliscope.behaviour import Behaviour
from utiliscope.world.model import WorldModel
from utiliscope.world.possible import World
from utiliscope.world.transition import collected, links

from .course import Course, course, follow
from .knobs import check_between
from .outlook import best_actions, evenly, outlook
from .simulate import check_actual, generator


@dataclass(frozen=True)
class Forgetful:
    """Plans with a part of the world: it has forgotten each way from one state to another with probability `share`.

    It believes to stay where it is whenever it would go a forgotten way, and does not learn better. What is forgotten
    is drawn from the key, for each recording anew.

    References: Tolman (1948), Cognitive Maps in Rats and Men; Reddy, Dragan and Levine (2018), Where Do You Think
    You're Going?
    """

    share: float | int = 0.2

    def __post_init__(self):
        check_between("share", self.share, 0, 1)

    def remembered(self, key, world: World) -> WorldModel:
        """The world as this agent believes it to be."""
        check_actual(world)
        successors, chance = links(world.transition)
        home = np.arange(world.num_states)[:, None]
        forgotten = (generator(key).random(successors.shape) < self.share) & (successors != home)
        state, action, place = np.nonzero(chance > 0)
        following = np.where(forgotten[state, place], state, successors[state, place])
        shape = world.num_states, world.num_actions
        moves = collected(state, action, following, chance[state, action, place], shape)
        return dataclasses.replace(world, transition=moves)

    def course_of(self, key, world: World, utility) -> Course:
        """What it does on each pair of memory and state, with what it has forgotten by `key`."""
        view = outlook(world, utility, self.remembered(key, world))
        return course(view, evenly(best_actions(view.values())))

    def record(self, key, world: World, utility, *, num_episodes: int, num_steps: int) -> Behaviour:
        """See `Agent.record`."""
        before, during = jax.random.split(key)
        steps = self.course_of(before, world, utility)
        return follow(during, world, steps, num_episodes=num_episodes, num_steps=num_steps)

"""The agent that has learned by trial and error, for some time."""

from dataclasses import dataclass

import jax
import numpy as np

from utiliscope.behaviour import Behaviour
from utiliscope.errors import check_whole
from utiliscope.world.possible import World

from .course import Course, course, follow
from .knobs import check_between
from .outlook import Outlook, best_actions, evenly, outlook
from .q_learning_kernel import train
from .simulate import generator


@dataclass(frozen=True)
class QLearner:
    """A tabular Q-learner, recorded after `training_steps` steps in the world; it learns no more while it is recorded.

    It knows the states and what its utility remembers, and no chances. In training it explores: a random action with
    probability `exploration`, else one of the best so far; a trial ends with probability 1 - discount at every step, or
    at the horizon. Its values begin at 0, which is worth the median payoff for ever, and the n-th correction of one has
    weight n^-0.6. When recorded it takes the action of greatest value, at random among equals: so it acts at random
    where it has never been paid. It learns anew for each recording, by the key.

    References: Watkins (1989), Learning from Delayed Rewards; the weights are from Even-Dar and Mansour (2003),
    Learning Rates for Q-Learning.
    """

    training_steps: int = 10_000
    exploration: float | int = 0.3

    def __post_init__(self):
        check_whole("training_steps", self.training_steps, 0)
        check_between("exploration", self.exploration, 0, 1)

    def course_of(self, key, world: World, utility) -> Course:
        """What it does on each pair of memory and state, after the training that `key` brings."""
        view = outlook(world, utility)
        return course(view, evenly(best_actions(self._learned(generator(key), world, view))))

    def record(self, key, world: World, utility, *, num_episodes: int, num_steps: int) -> Behaviour:
        """See `Agent.record`."""
        before, during = jax.random.split(key)
        steps = self.course_of(before, world, utility)
        return follow(during, world, steps, num_episodes=num_episodes, num_steps=num_steps)

    def _learned(self, random, world, view: Outlook):
        """`[n, A]` action values, or `[H, n, A]` by time; -inf for unavailable actions."""
        nodes, available = view.nodes, view.available
        values = train(
            random,
            np.cumsum(np.asarray(world.initial, np.float64)),
            nodes.onward.astype(np.int64),
            np.cumsum(view.chance, axis=-1),
            available,
            nodes.paid,
            nodes.last,
            float(world.discount),
            world.horizon or 0,
            self.training_steps,
            float(self.exploration),
        )
        values = np.where(available, values, -np.inf)
        return values if world.horizon is not None else values[0]

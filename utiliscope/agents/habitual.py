"""The agent that does what it did last."""

from dataclasses import dataclass

import numpy as np

from utiliscope.behaviour import Behaviour
from utiliscope.world.possible import World

from .knobs import check_between
from .optimal import Optimal
from .simulate import drawn, play


@dataclass(frozen=True)
class Habitual:
    """Repeats its last action with probability `share`, where that is available; else it does what `base` does.

    base: any agent with a `course`. An episode begins without a last action. With share 0 its recordings are those of
    `base`.

    References: Thorndike (1911), Animal Intelligence; Miller, Shenhav and Ludvig (2019), Habits without Values.
    """

    share: float | int = 0.3
    base: object = Optimal()

    def __post_init__(self):
        check_between("share", self.share, 0, 1)

    def record(self, key, world: World, utility, *, num_episodes: int, num_steps: int) -> Behaviour:
        """See `Agent.record`."""
        steps, available = self.base.course(world, utility), np.asarray(world.available)

        def decide(random, t, state, memory):
            if memory is None:
                # A stream beside the base's, whose draws then stay what they were without habits.
                (habits,), node, last = random.spawn(1), state, None
            else:
                habits, node, last = memory
                node = steps.after(node, state)
            action = drawn(random, steps.at(t, node))
            if last is not None:
                repeats = (habits.random(len(state)) < self.share) & available[state, last]
                action = np.where(repeats, last, action)
            return action, (habits, node, action)

        return play(key, world, decide, num_episodes=num_episodes, num_steps=num_steps)

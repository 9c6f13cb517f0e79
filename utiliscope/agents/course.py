"""`Course`: what an agent does for each pair of what it remembers and where it is, and recordings of it."""

from typing import NamedTuple

import numpy as np

from utiliscope.behaviour import Behaviour
from utiliscope.errors import InputError
from utiliscope.world.possible import World

from .outlook import Outlook
from .simulate import drawn, play


class Course(NamedTuple):
    """Probabilities of actions on `n` nodes, each a memory and the state that is read next.

    The first nodes are the states with nothing to remember, where every episode begins.

    state: `[n]` state of each node. onward: `[n, K]` the node at each of `successors[state]`, -1 where nothing leads.
    successors: `[S, K]`. policy: `[n, A]`, or `[H, n, A]` by time.
    """

    state: np.ndarray
    onward: np.ndarray
    successors: np.ndarray
    policy: np.ndarray

    @property
    def by_state(self) -> np.ndarray:
        """`[S, A]` or `[H, S, A]`: the policy of an agent that need not remember. Raises InputError for others."""
        if len(self.state) > len(self.successors):
            raise InputError(
                "this utility needs memory, so that the agent's behaviour is no policy over states; use record"
            )
        return self.policy

    def after(self, node, state) -> np.ndarray:
        """`[E]` the nodes in `state` `[E]`, on coming from `node` `[E]`."""
        place = np.argmax(self.successors[self.state[node]] == state[:, None], axis=-1)
        return self.onward[node, place]

    def at(self, t: int, node) -> np.ndarray:
        """`[E, A]` probabilities of actions at time t."""
        return (self.policy if self.policy.ndim == 2 else self.policy[t])[node]


def course(view: Outlook, policy) -> Course:
    """The course of `policy` `[n, A]` or `[H, n, A]` on the nodes of `view`, of which only those told apart count."""
    kept, nodes, successors = view.told_apart, view.nodes, view.successors
    onward = nodes.onward
    if kept == view.believed.num_states:
        onward = np.where(onward[:kept] >= 0, successors, -1)
    return Course(nodes.state[:kept], onward, successors, np.asarray(policy)[..., :kept, :])


def follow(key, world: World, steps: Course, *, num_episodes: int, num_steps: int) -> Behaviour:
    """Recorded decisions of one that follows the course `steps` in `world`, as those of `play`."""

    def decide(random, t, state, node):
        node = state if node is None else steps.after(node, state)
        return drawn(random, steps.at(t, node)), node

    return play(key, world, decide, num_episodes=num_episodes, num_steps=num_steps)

"""Maximum causal entropy IRL as `imitation` has it (Gleave and others 2022), a peer: one reward, and no posterior.

It is optional: `pip install imitation`, which needs a gymnasium below 1. Its `MCEIRL` learns a number for each state,
such that the soft policy of a finite horizon visits states as often as was recorded; there is no discount, as version
1.0.1 plans without one even when it counts with one. What is learned says how states compare, not which candidate is
how probable: claims have a reward, and only the scores of one.

Its horizon is fixed, its actions are always available, and it counts the state after the last decision, to which its
policy goes at random. So episodes that end before the longest one go to a state where they are over, with the chance
at which recorded visits of a state were the last, actions that are not available go to one that nobody goes to, and
one more decision, at random, is added to every recorded episode.
"""

import functools
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from utiliscope.behaviour import Behaviour, check_fits
from utiliscope.errors import InputError
from utiliscope.world.transition import SparseTransition

from .claims import Claims, joined

_BARRED = -1e6  # reward of what is not available


@dataclass(frozen=True)
class Imitation:
    """`MCEIRL` from a reward of 0, by Adam with `learning_rate`, until visits of each state in an episode are within
    `tolerance` of those recorded, or for `iterations`.

    Few recorded episodes where moves are random need not be what any policy can come to on average: then rewards grow
    without end, and it is as well to end early. As they are here, rewards come as far as by imitation's own settings,
    1000 iterations at 0.01.
    """

    learning_rate: float = 0.1
    iterations: int = 100
    tolerance: float = 0.01

    def __call__(self, key, suite_world, candidates, behaviours: list[Behaviour]) -> Claims:
        """`Claims` of rewards alone; extra: `visits_gap`, by how much the visits of a state are off at most, and
        `converged`, 1 if that is within the tolerance. `key` is not used, nor are the candidates.

        Each recording is learned from by itself (see `reader`): up to 20 ms an iteration. Raises InputError without
        imitation, for worlds with a horizon, and for recordings whose last next state is unknown.
        """
        read = self.reader(key, suite_world, candidates)
        return joined([read(behaviour) for behaviour in behaviours])

    def reader(self, key, suite_world, candidates) -> Callable[[Behaviour], Claims]:
        """What makes the claims of one recording."""
        unavailable = why_not()
        if unavailable:
            raise InputError(unavailable)
        world = suite_world.world
        if world.horizon is not None:
            raise InputError("imitation is given the recorded horizon; give a world without one")

        def read(behaviour) -> Claims:
            reward, gap = self.learned(demonstrated(world, behaviour))
            extra = dict(visits_gap=np.array([gap]), converged=np.array([float(gap <= self.tolerance)]))
            return Claims(None, None, extra, reward[None])

        return read

    def learned(self, shown: "Demonstrated") -> tuple[np.ndarray, float]:
        """`[S]` reward, and the gap between its visits and those shown."""
        from imitation.algorithms.mce_irl import MCEIRL
        from imitation.util.logger import HierarchicalLogger
        from seals.base_envs import TabularModelPOMDP
        from stable_baselines3.common.logger import Logger

        number = len(shown.visits)
        env = TabularModelPOMDP(
            transition_matrix=shown.moves,
            # Where it is over, nothing is seen: its reward is 0.
            observation_matrix=np.delete(np.eye(number), number - 2, axis=1),
            reward_matrix=np.zeros(number),
            horizon=shown.horizon,
            initial_state_dist=shown.start,
        )
        net = _reward_table()(env)
        trainer = MCEIRL(
            shown.visits,
            env,
            net,
            np.random.default_rng(0),  # for its policy to act by, which it is not asked to
            optimizer_kwargs=dict(lr=self.learning_rate),
            linf_eps=self.tolerance,
            log_interval=None,
            custom_logger=HierarchicalLogger(Logger(None, []), []),
        )
        visits = trainer.train(self.iterations)
        return net.planned_for.numpy(), float(np.abs(visits - shown.visits).max())


def why_not() -> str | None:
    """Why imitation cannot be called, or None if it can."""
    if importlib.util.find_spec("imitation"):
        return None
    return "imitation is not installed; run: pip install imitation (in an environment for gymnasium below 1)"


class Demonstrated(NamedTuple):
    """A recording as `imitation` takes it, with two states more: where an episode is over, and where barred actions go.

    moves: `[S + 2, A, S + 2]`. start: `[S + 2]`. horizon: decisions. visits: `[S + 2]` in an episode, on average.
    """

    moves: np.ndarray
    start: np.ndarray
    horizon: int
    visits: np.ndarray


def demonstrated(world, behaviour: Behaviour) -> Demonstrated:
    """`Demonstrated` of a recording; episodes start as they did."""
    check_fits(behaviour, world)
    number, sparse = world.num_states, isinstance(world.transition, SparseTransition)
    episodes = [(states, len(actions)) for _, states, actions in behaviour.episodes()]
    if any(len(states) == length for states, length in episodes):
        raise InputError("an episode's last next_state is unknown; imitation counts it as a visit: record it")
    longest = max(length for _, length in episodes)
    full = [length == longest for _, length in episodes]
    first, last = (np.array([states[place] for states, _ in episodes]) for place in (0, -1))
    ended = np.bincount(last[~np.array(full)], minlength=number)
    decided = behaviour.counts().sum(1)
    ends = ended / np.maximum(decided + ended, 1)
    moves = np.zeros((number + 2, world.num_actions, number + 2))
    moves[:number, :, :number] = world.transition.dense() if sparse else world.transition
    moves[:number] *= (1 - ends)[:, None, None]
    moves[:number, :, number] = ends[:, None]
    barred = np.zeros((number + 2, world.num_actions), bool)
    barred[:number] = ~np.asarray(world.available)
    moves[barred] = np.eye(number + 2)[-1]
    moves[[-2, -1], :, [-2, -1]] = 1.0
    # When all that is left is one decision, imitation's policy takes any action as often.
    visits = moves[last[full]].mean(1).sum(0)
    visits[number] += sum(longest + 1 - length for _, length in episodes if length < longest)
    for states, _ in episodes:
        np.add.at(visits, states, 1.0)
    start = np.bincount(first, minlength=number + 2)
    return Demonstrated(moves, start / len(episodes), longest + 1, visits / len(episodes))


@functools.cache
def _reward_table():
    """A `RewardNet` that is one number for each state; made here, as its kind is there only with imitation."""
    import torch
    from imitation.rewards.reward_nets import RewardNet

    class RewardTable(RewardNet):
        def __init__(self, env):
            super().__init__(env.observation_space, env.action_space)
            self.of_states = torch.nn.Parameter(torch.zeros(env.obs_dim - 1, dtype=torch.float64))

        def forward(self, state, action, next_state, done):
            # `MCEIRL` makes one step more, after the reward that its visits are of.
            self.planned_for = self.of_states.detach().clone()
            return state[:, :-1] @ self.of_states + _BARRED * state[:, -1]

    return RewardTable

"""The agent that thinks ahead at random: Monte Carlo tree search, as long as its budget lasts."""

from dataclasses import dataclass

import jax
import numpy as np

from utiliscope.behaviour import Behaviour
from utiliscope.errors import check_whole
from utiliscope.world.possible import World

from .course import course
from .outlook import outlook
from .simulate import generator, play

# Sizes below are compiled together.
_LEAST_EPISODES, _LEAST_ROOM = 16, 64


@dataclass(frozen=True)
class TreeSearch:
    """Searches a tree of what may come, at every decision anew, and takes the most visited action; of these the best.

    The search is that of mctx, with actions by UCT, and the outcomes of an action as nodes of their own, visited in
    proportion to their chances: with a growing budget it comes to the optimal action. It knows the world. What lies
    beyond the tree is judged by the mean of `rollouts` random courses of `rollout_length` steps.

    num_simulations: the budget of a decision; every one adds a node, be it an action or an outcome.

    Costs some `num_simulations` x `rollout_length` small steps a decision, for all episodes together. Compiled for
    powers of 2 of nodes, episodes and simulations (at least 64, 16 and 64), in some seconds.

    References: Coulom (2006), Efficient Selectivity and Backup Operators in Monte-Carlo Tree Search; Kocsis and
    Szepesvari (2006), Bandit Based Monte-Carlo Planning; Antonoglou, Schrittwieser, Ozair, Hubert and Silver (2022),
    Planning in Stochastic Environments with a Learned Model.
    """

    num_simulations: int = 16
    rollouts: int = 4
    rollout_length: int = 30

    def __post_init__(self):
        check_whole("num_simulations", self.num_simulations, 1)
        check_whole("rollouts", self.rollouts, 1)
        check_whole("rollout_length", self.rollout_length, 1)

    def record(self, key, world: World, utility, *, num_episodes: int, num_steps: int) -> Behaviour:
        """See `Agent.record`."""
        # mctx takes a second to import, and other agents do without.
        from .tree_search_kernel import power_of_two, search, tables

        view = outlook(world, utility)
        known, tracked = tables(view), course(view, view.available * 1.0)
        before, during = jax.random.split(key)
        missing = power_of_two(num_episodes, _LEAST_EPISODES) - num_episodes
        seeds = generator(before)
        options = dict(
            room=power_of_two(self.num_simulations, _LEAST_ROOM),
            rollouts=self.rollouts,
            rollout_length=self.rollout_length,
            horizon=world.horizon,
        )

        def decide(_, t, state, node):
            node = state if node is None else tracked.after(node, state)
            with jax.enable_x64(True):
                seed = seeds.integers(2**32, size=4, dtype=np.uint32)
                action = search(seed, np.pad(node, (0, missing)), t, known, self.num_simulations, **options)
            return np.asarray(action)[:num_episodes], node

        return play(during, world, decide, num_episodes=num_episodes, num_steps=num_steps)

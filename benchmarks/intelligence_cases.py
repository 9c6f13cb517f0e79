"""What `benchmarks/intelligence.py` measures with: worlds of known answers, a prior of one's own, a plain population,
and counters of the policies that each engine values.
"""

import contextlib
import math
import os
import time
import types
from unittest import mock

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import utiliscope as us
from utiliscope import curve_engines, row_kernels, row_splitting
from utiliscope.climbing import Moves
from utiliscope.payoffs import as_payoffs
from utiliscope.planning import tie_tolerance, value_range
from utiliscope.splitting import climb_by_steps

KEY = jax.random.key(0)


def corner_grid(size, *, slip, sparse=False):
    """A square grid with the goal "G" in a corner; its world and the goal's payoffs."""
    rows = ["." * size] * (size - 1) + ["." * (size - 1) + "G"]
    world = us.gridworld(rows, slip=slip, discount=0.9, sparse=sparse)
    return world, world.features["G"] * 1.0


def contexts(number):
    """`number` contexts with 2 actions; a policy is worth how many it gets right."""
    stay = us.sparse_transition(np.repeat(np.arange(number)[:, None], 2, axis=1))
    world = us.world_model(stay, np.full(number, 1 / number), 0.5)
    return world, number / 2 * np.tile([1.0, 0.0], (number, 1))


def bandit(arms):
    """One state; a policy is worth the chance it gives the first arm."""
    return us.world_model(np.ones((1, arms, 1)), [1.0], 0.5), 0.5 * np.eye(arms)[:1]


def of_policy(world, policy, utility, num_particles=1024, prior=us.UniformDeterministic()):
    run = dict(policy_prior=prior, method="split", num_particles=num_particles)
    found = us.intelligence(KEY, world, policy, utility, **run)
    return found.value, found.std_error


def of_normal_features(distance, number=5):
    world = us.world_model(np.tile(np.eye(number), (number, 1, 1)), np.full(number, 1 / number), 0.5)
    weights = np.arange(1.0, number + 1) / np.linalg.norm(np.arange(1.0, number + 1))
    # The world is there for its number of states: what policies can reach in it says nothing about these values.
    ends = dict(stop_at=distance, reach=1e6, max_bits=400)
    tail = us.value_tail(KEY, world, weights, policy_prior=NormalFeatures(), num_particles=1024, **ends)
    return float(tail.bits(distance)), float(tail.std_error(distance))


def exact_bits(size, slip):
    """sum_s log2(A / best actions): strictly best ones, and those that one flip from the best policy ties with."""
    world, goal = corner_grid(size, slip=slip)
    payoffs = as_payoffs(world, goal)
    policy = us.optimal_policy(world, goal)
    step = 0.9 * np.einsum("sa,sat->st", policy, world.transition)
    inverse = np.linalg.inv(np.eye(size**2) - step)
    q = goal[:, None] + 0.9 * world.transition @ (inverse @ goal)
    loss = q.max(-1, keepdims=True) - q
    tolerance = tie_tolerance(world, payoffs, *value_range(world, payoffs))
    effect = (np.asarray(world.initial) @ inverse)[:, None] * loss
    return [float(np.log2(4 / near.sum(-1)).sum()) for near in (loss < 1e-13, effect < tolerance)]


class NormalFeatures(eqx.Module):
    """ "Policies" that are standard normal features; a utility's payoffs at the states are the features' weights."""

    @property
    def atomic(self):
        return False

    def num_moves(self, world):
        return world.num_states

    def sample(self, key, world):
        return jnp.full((world.num_states, world.num_actions), 1 / world.num_actions)

    def draw(self, key, world):
        return jax.random.normal(key, (world.num_states,))

    def perturb(self, key, features, world):
        """Preconditioned Crank-Nicolson, its step drawn anew each time from 0.01 to 1: the normal stays invariant."""
        step_key, key = jax.random.split(key)
        step = 10 ** (-2 * jax.random.uniform(step_key))
        new = jnp.sqrt(1 - step**2) * features + step * jax.random.normal(key, features.shape)
        return new, jnp.zeros(())

    def value(self, features, world, payoffs):
        return features @ payoffs.state


class FreshSolves:
    """Particles valued by a dense solve at each proposal: the same splitting without rank-one changes."""

    def __init__(self, random, world, payoffs, policy):
        self.random, self.policy = random, policy
        self.transition, self.payoffs = np.asarray(world.transition), payoffs
        self.initial, self.discount = np.asarray(world.initial), float(world.discount)
        self.moves = max(policy.shape[1], 40)
        self.values, self.order, self.proposed = self._values(policy), np.arange(len(policy)), 0

    climb = climb_by_steps

    def copy(self, places, parents):
        self.policy[places], self.values[places] = self.policy[parents], self.values[parents]

    def move(self, which, level):
        _, num_states, num_actions = self.policy.shape
        for _ in range(self.moves):
            new = self.policy[which].copy()
            states = self.random.integers(num_states, size=len(which))
            now = new[np.arange(len(which)), states].argmax(-1)
            other = (now + self.random.integers(1, num_actions, size=len(which))) % num_actions
            new[np.arange(len(which)), states] = np.eye(num_actions)[other]
            values = self._values(new)
            kept = values > level
            self.policy[which[kept]], self.values[which[kept]] = new[kept], values[kept]
        self.proposed += self.moves * len(which)

    def _values(self, policy):
        step = self.discount * np.einsum("nsa,sat->nst", policy, self.transition)
        right = np.broadcast_to(self.payoffs[:, None], (*policy.shape[:2], 1))
        return np.linalg.solve(np.eye(len(self.payoffs)) - step, right)[..., 0] @ self.initial


@contextlib.contextmanager
def counted():
    """A list of how many policies the engines value inside: rows' moves, and proposals of a prior of one's own.

    A move of a deterministic row values every other action; a move of a stochastic one, which splits the chances of
    each of A - 1 pairs of actions anew, is counted as one policy.
    """
    policies, sizes = [], []
    levels_of, plain_mover, kernels_of = curve_engines.levels_of, curve_engines.plain_mover, row_splitting.kernels

    def kernels(problem):
        def moves(*tables):
            made = kernels_of(problem).moves(*tables)
            others = problem.rules[0].shape[1] - 1 if problem.kind == row_kernels.DETERMINISTIC else 1

            def move(random, which, level, warmth, num_moves, particles):
                policies.append(len(which) * num_moves * others)
                made.move(random, which, level, warmth, num_moves, particles)

            def climb(random, ends, record, num_moves, *rest):
                levels, done = made.climb(random, ends, record, num_moves, *rest)
                policies.append(int(record.dead[: levels - done].sum()) * num_moves * others)
                return levels, done

            return Moves(move, climb)

        return types.SimpleNamespace(moves=moves)

    def mover(*parts, **size):
        made = plain_mover(*parts, **size)
        sizes.append(made.num_particles * made.num_moves)
        return made

    def levels(populations):
        policies.append((int(populations.count) - 1) * sizes[-1])
        return levels_of(populations)

    with (
        mock.patch.object(row_splitting, "kernels", kernels),
        mock.patch.object(curve_engines, "plain_mover", mover),
        mock.patch.object(curve_engines, "levels_of", levels),
    ):
        yield policies


def timed(function):
    """What `function` gives, and the seconds it took."""
    started = time.perf_counter()
    found = function()
    return found, time.perf_counter() - started


def load():
    """The load average beside a figure: other programs on the machine make it slower."""
    return f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores"


def bits_of(log_probability):
    return -log_probability / math.log(2)

"""Splitting in JAX, for any prior that can be perturbed and on any device: populations of random policies.

Guyader, Hengartner and Matzner-Lober (2011), in batches: at each level all particles at or below the median are
killed, ties and all, copies of the strictly better ones take their places, and every particle then moves by a chain
that leaves the prior, cut off at the level, invariant. The share that survives multiplies the estimate.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .policies import choice_states
from .row_redraws import row_move
from .splitting import Run
from .values import expected_utility
from .world.model import reachable_states

# Between two levels, however few the states: with one state of 9 actions 2 proposals leave 8 times the stated error.
_FEWEST_PROPOSALS = 40


class Populations(NamedTuple):
    """What a run leaves behind, for `L` levels of `N` particles.

    values: `[L, N]` values of each population, before the level's kill.
    survivors: `[L]` how many were strictly above the level; 0 where the population could not be split further.
    count: number of levels used.
    particles: what the last level left, for inspection: of a run that was done, copies of its survivors.
    """

    values: jax.Array
    survivors: jax.Array
    count: jax.Array
    particles: object


class Climb(NamedTuple):
    """Where a population stands: `particles`, the random numbers to come, and what happened at up to `L` levels.

    values, survivors, count: as in `Populations`. done: whether it cannot be split further, or has reached the end.
    """

    key: jax.Array
    particles: object
    values: jax.Array
    survivors: jax.Array
    count: jax.Array
    done: jax.Array


def climb(key, particles, mover, *, tolerance, target, max_levels) -> Climb:
    """Raise a population by up to `max_levels`, until its level has reached `target` or it cannot be split.

    mover: `move(key, particles, level)` gives particles with `.values` `[N]` above `level`. Under `jit`, and under
    `vmap`, which goes on until all are there; memory is max_levels * N values and the particles.
    """
    number = particles.values.shape[0]
    middle = (number - 1) // 2

    def raise_level(one):
        key, copy_key, move_key = jax.random.split(one.key, 3)
        order = jnp.argsort(one.particles.values)
        level = one.particles.values[order[middle]] + tolerance
        alive = jnp.sum(one.particles.values > level)
        done = (alive == 0) | (level >= target)
        values = one.values.at[one.count].set(one.particles.values)
        survivors = one.survivors.at[one.count].set(alive)

        # The dead are the first in `order`; each takes the place of a survivor drawn at random.
        drawn = jax.random.randint(copy_key, (number,), number - jnp.maximum(alive, 1), number)
        parent = jnp.where(jnp.arange(number) < number - alive, drawn, jnp.arange(number))
        copies = jax.tree.map(lambda x: x[order[parent]], one.particles)
        moved = jax.lax.cond(done, lambda some: some, lambda some: mover.move(move_key, some, level), copies)
        return Climb(key, moved, values, survivors, one.count + 1, done)

    values = jnp.zeros((max_levels, number), particles.values.dtype)
    start = Climb(key, particles, values, jnp.zeros(max_levels, int), jnp.zeros((), int), jnp.zeros((), bool))
    return jax.lax.while_loop(lambda one: ~one.done & (one.count < max_levels), raise_level, start)


def traced_split(key, mover, *, tolerance, best, reach, stop_at, max_levels) -> Populations:
    """Raise a population until its level has come the share `reach` of the way from the mean random value to `best`,
    or to `stop_at`, until it cannot be split, or until `max_levels` are used.

    mover: besides `move` (see `climb`), `draw(key)` gives the first particles.
    """
    draw_key, key = jax.random.split(key)
    particles = mover.draw(draw_key)
    mean = particles.values.mean()
    target = jnp.minimum(mean + reach * (best - mean), stop_at)
    end = climb(key, particles, mover, tolerance=tolerance, target=target, max_levels=max_levels)
    return Populations(end.values, end.survivors, end.count, end.particles)


def levels_of(populations: Populations) -> Run:
    """The same as what the host's splitting leaves behind."""
    count = int(populations.count)
    values, survivors = np.sort(populations.values[:count], axis=1), np.asarray(populations.survivors[:count])
    size = values.shape[1]
    killed = [values[i] if i + 1 == count else values[i, : size - survivors[i]] for i in range(count)]
    return Run(killed, [int(alive) for alive in survivors], size)


class Particles(NamedTuple):
    """particle: what the prior draws, `[N, ...]`. values: `[N]`."""

    particle: object
    values: jax.Array


class PlainMover(NamedTuple):
    """Moves by the prior's own proposal, each with a fresh evaluation: any prior, any world. The oracle."""

    draw_one: object
    perturb: object
    value: object
    num_particles: int
    num_moves: int

    def draw(self, key) -> Particles:
        particle = jax.vmap(self.draw_one)(jax.random.split(key, self.num_particles))
        return Particles(particle, jax.vmap(self.value)(particle))

    def move(self, key, state, level) -> Particles:
        def step(state, key):
            propose_key, accept_key = jax.random.split(key)
            keys = jax.random.split(propose_key, self.num_particles)
            new, log_ratio = jax.vmap(self.perturb)(keys, state.particle)
            values = jax.vmap(self.value)(new)
            chance = jnp.log(jax.random.uniform(accept_key, values.shape))
            accept = (values > level) & (chance < log_ratio)
            chosen = jax.tree.map(
                lambda a, b: jnp.where(accept.reshape(-1, *[1] * (a.ndim - 1)), a, b), Particles(new, values), state
            )
            return chosen, None

        return jax.lax.scan(step, state, jax.random.split(key, self.num_moves))[0]


def proposals(num_sweeps, length) -> int:
    """Proposals between two levels."""
    return num_sweeps * max(2 * length, _FEWEST_PROPOSALS)


def _length(policy_prior, world) -> int:
    """How many proposals change a whole particle."""
    if hasattr(policy_prior, "num_moves"):
        return policy_prior.num_moves(world)
    return getattr(policy_prior, "horizon", world.num_states)


def plain_mover(world, payoffs, policy_prior, *, num_particles, num_sweeps) -> PlainMover:
    """Fresh evaluations under any prior that can be perturbed."""
    if hasattr(policy_prior, "perturb"):
        return PlainMover(
            lambda key: policy_prior.draw(key, world),
            lambda key, particle: policy_prior.perturb(key, particle, world),
            lambda particle: policy_prior.value(particle, world, payoffs),
            num_particles,
            proposals(num_sweeps, _length(policy_prior, world)),
        )
    states = jnp.asarray(choice_states(world, reachable_states(world)))
    available, perturb_row = jnp.asarray(world.available), row_move(policy_prior)

    def perturb(key, policy):
        state_key, row_key = jax.random.split(key)
        state = jax.random.choice(state_key, states)
        row, log_ratio = perturb_row(row_key, policy[state], available[state], state)
        return policy.at[state].set(row), log_ratio

    return PlainMover(
        lambda key: policy_prior.sample(key, world),
        perturb,
        lambda policy: expected_utility(world, policy, payoffs),
        num_particles,
        proposals(num_sweeps, len(states)),
    )

"""Splitting in JAX, for any prior that can be perturbed and on any device: populations of random policies.

Guyader, Hengartner and Matzner-Lober (2011), in batches: at each level all particles at or below the median are
killed, ties and all, copies of the strictly better ones take their places, and every particle then moves by a chain
that leaves the prior, cut off at the level, invariant. The share that survives multiplies the estimate.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .policies import choice_states
from .splitting import Run
from .values import expected_utility
from .world.model import reachable_states
from .world.possible import PossibleWorlds
from .world.transition import links

# Between two levels, however few the states: with one state of 9 actions 2 proposals leave 8 times the stated error.
_FEWEST_PROPOSALS = 40


class Populations(NamedTuple):
    """What a run leaves behind, for `L` levels of `N` particles.

    values: `[L, N]` values of each population, before the level's kill.
    survivors: `[L]` how many were strictly above the level; 0 where the population could not be split further.
    count: number of levels used.
    particles: the last population, for inspection.
    """

    values: jax.Array
    survivors: jax.Array
    count: jax.Array
    particles: object


def traced_split(key, mover, *, num_particles, tolerance, best, reach, stop_at, max_levels) -> Populations:
    """Raise a population until its level has come the share `reach` of the way from the mean random value to `best`,
    or to `stop_at`, until it cannot be split, or until `max_levels` are used.

    mover: `draw(key) -> state` with `.values` `[N]`, and `move(key, state, level) -> state` with values above
    `level`. Under `jit`; memory is max_levels * N values and one state.
    """
    middle = (num_particles - 1) // 2

    def unfinished(carry):
        return ~carry[-1]

    def raise_level(carry):
        key, state, values, survivors, index, _ = carry
        key, copy_key, move_key = jax.random.split(key, 3)
        order = jnp.argsort(state.values)
        level = state.values[order[middle]] + tolerance
        alive = jnp.sum(state.values > level)
        last = (alive == 0) | (level >= target) | (index + 1 >= max_levels)
        values = values.at[index].set(state.values)
        survivors = survivors.at[index].set(alive)

        # The dead are the first in `order`; each takes the place of a survivor drawn at random.
        drawn = jax.random.randint(copy_key, (num_particles,), num_particles - jnp.maximum(alive, 1), num_particles)
        parent = jnp.where(jnp.arange(num_particles) < num_particles - alive, drawn, jnp.arange(num_particles))
        copies = jax.tree.map(lambda x: x[order[parent]], state)
        state = jax.lax.cond(last, lambda s: s, lambda s: mover.move(move_key, s, level), copies)
        return key, state, values, survivors, index + 1, last

    draw_key, key = jax.random.split(key)
    state = mover.draw(draw_key)
    mean = state.values.mean()
    target = jnp.minimum(mean + reach * (best - mean), stop_at)
    values = jnp.zeros((max_levels, num_particles), state.values.dtype)
    survivors = jnp.zeros(max_levels, int)
    carry = (key, state, values, survivors, jnp.zeros((), int), jnp.zeros((), bool))
    _, state, values, survivors, count, _ = jax.lax.while_loop(unfinished, raise_level, carry)
    return Populations(values, survivors, count, state)


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


def _proposals(num_sweeps, length) -> int:
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
            _proposals(num_sweeps, _length(policy_prior, world)),
        )
    states = jnp.asarray(choice_states(world, reachable_states(world)))
    available, perturb_row = jnp.asarray(world.available), _row_move(policy_prior)

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
        _proposals(num_sweeps, len(states)),
    )


class Solved(NamedTuple):
    """Policies with the inverses that value them.

    policy: `[N, S, A]`. values: `[N]`.
    """

    policy: jax.Array
    values: jax.Array


class RowMover(NamedTuple):
    """Moves of one row at a time, valued by rank-one updates, for priors of independent rows without a horizon.

    A changed row of P changes each chain's I - discount P by rank one (Sherman and Morrison), so that a proposal
    costs O(S) and an accepted move O(S^2). Inverses are made afresh at every sweep, and values are recomputed from
    them, so that no drift builds up.
    """

    perturb_row: object
    sample: object
    available: jax.Array
    initial: jax.Array
    discount: jax.Array
    goes_on: jax.Array  # [C, S]
    paid: jax.Array  # [C, S, A]
    states: jax.Array  # [R] the states whose rows matter
    successors: jax.Array  # [S, K] where each state can lead; repeated where fewer, with `onward` 0
    onward: jax.Array  # [S, A, K] probabilities of going there
    num_particles: int
    num_sweeps: int
    block: int

    def draw(self, key) -> Solved:
        policy = jax.vmap(self.sample)(jax.random.split(key, self.num_particles))
        return Solved(policy, jax.lax.map(self._value, policy, batch_size=self.block))

    def _system(self, policy):
        step = self.discount * jnp.einsum("sa,sak->sk", policy, self.onward)
        number = policy.shape[0]
        step = jnp.zeros((number, number)).at[jnp.arange(number)[:, None], self.successors].add(step)
        return jnp.eye(number) - self.goes_on[:, :, None] * step

    def _value(self, policy):
        payoff = jnp.einsum("sa,csa->cs", policy, self.paid)
        return jnp.sum(self.initial @ jnp.linalg.solve(self._system(policy), payoff[..., None])[..., 0].T)

    def move(self, key, state, level) -> Solved:
        blocks = self.num_particles // self.block
        split_up = jax.tree.map(lambda x: x.reshape(blocks, self.block, *x.shape[1:]), state)

        def sweeps(arguments):
            key, block = arguments

            def sweep(block, key):
                return self._sweep(key, block, level), None

            return jax.lax.scan(sweep, block, jax.random.split(key, self.num_sweeps))[0]

        moved = jax.lax.map(sweeps, (jax.random.split(key, blocks), split_up))
        return jax.tree.map(lambda x: x.reshape(self.num_particles, *x.shape[2:]), moved)

    def _sweep(self, key, block, level) -> Solved:
        order_key, key = jax.random.split(key)
        inverse = jax.vmap(lambda policy: jnp.linalg.inv(self._system(policy)))(block.policy)  # [N, C, S, S]
        payoff = jnp.einsum("nsa,csa->ncs", block.policy, self.paid)
        ahead = jnp.einsum("ncst,nct->ncs", inverse, payoff)
        visits = jnp.einsum("s,ncst->nct", self.initial, inverse)
        values = jnp.einsum("s,ncs->n", self.initial, ahead)
        carry = (block.policy, inverse, ahead, visits, values)
        states = jax.random.permutation(order_key, self.states)
        keys = jax.random.split(key, states.shape[0])

        def step(carry, arguments):
            policy, inverse, ahead, visits, values = carry
            state, key = arguments
            propose_key, accept_key = jax.random.split(key)
            row = policy[:, state]
            propose = jax.vmap(self.perturb_row, (0, 0, None, None))
            new, log_ratio = propose(jax.random.split(propose_key, self.block), row, self.available[state], state)
            change = (new - row) @ self.onward[state] * self.discount  # [N, K]
            following = self.successors[state]  # [K]
            goes_on = self.goes_on[:, state]
            column = inverse[:, :, :, state]  # [N, C, S]
            gain = goes_on * jnp.einsum("nk,nck->nc", change, ahead[:, :, following])
            gain = gain + (new - row) @ self.paid[:, state].T
            damping = 1 - goes_on * jnp.einsum("nk,nck->nc", change, column[:, :, following])
            proposed = values + jnp.sum(visits[:, :, state] * gain / damping, axis=-1)
            chance = jnp.log(jax.random.uniform(accept_key, values.shape))
            accept = (proposed > level) & (chance < log_ratio)

            scale = jnp.where(accept[:, None], 1 / damping, 0.0)
            across = goes_on[:, None] * jnp.einsum("nk,nckt->nct", change, inverse[:, :, following])
            across = across * scale[:, :, None]
            inverse = inverse + column[..., None] * across[:, :, None, :]
            ahead = ahead + column * (gain * scale)[..., None]
            visits = visits + visits[:, :, state][..., None] * across
            policy = policy.at[:, state].set(jnp.where(accept[:, None], new, row))
            values = jnp.where(accept, proposed, values)
            return (policy, inverse, ahead, visits, values), None

        (policy, _, _, _, values), _ = jax.lax.scan(step, carry, (states, keys))
        return Solved(policy, values)


def row_mover(world, links, chains, policy_prior, *, num_particles, num_sweeps) -> RowMover:
    """Rank-one moves for one utility, given by its `chains` and the world's `links`; works on traced arrays."""
    goes_on, paid = chains
    states, successors, onward = links
    # Blocks of particles whose inverses fit a processor's cache.
    block = math.gcd(num_particles, max(1, 2 ** round(math.log2(2**17 / paid[..., 0].size / paid.shape[1]))))
    return RowMover(
        _row_move(policy_prior),
        lambda key: policy_prior.sample(key, world),
        jnp.asarray(world.available),
        jnp.asarray(world.initial),
        jnp.asarray(world.discount),
        jnp.asarray(goes_on),
        jnp.asarray(paid),
        jnp.asarray(states),
        jnp.asarray(successors),
        jnp.asarray(onward),
        num_particles,
        math.ceil(_proposals(num_sweeps, states.shape[0]) / states.shape[0]),
        block,
    )


def _row_move(policy_prior):
    """Moves one row, given its state: only rows of concentrations of their own need to know it."""
    if np.ndim(getattr(policy_prior, "concentration", 0.0)):
        return policy_prior.perturb_row
    return lambda key, row, available, _: policy_prior.perturb_row(key, row, available)


def world_links(world):
    """What a changed row touches: `[R]` states with choices, `[S, K]` successors and `[S, A, K]` chances of them."""
    if isinstance(world, PossibleWorlds):
        return choice_states(world, reachable_states(world)), None, None
    return choice_states(world, reachable_states(world)), *links(world.transition)

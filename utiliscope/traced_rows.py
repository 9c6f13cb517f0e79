"""Moves of one row of a policy at a time in JAX, valued by rank-one updates: for splitting on any device."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from .policies import choice_states
from .row_redraws import mixes_in_one_round, row_redraw
from .traced_splitting import proposals
from .world.model import reachable_states
from .world.transition import links

# Rows between two levels, however few the states (as in `row_splitting.py`).
_FEWEST_REDRAWS = 24


class Solved(NamedTuple):
    """Policies with the inverses that value them.

    policy: `[N, S, A]`. values: `[N]`.
    """

    policy: jax.Array
    values: jax.Array


class RowMover(NamedTuple):
    """Moves of one row at a time, valued by rank-one updates, for priors of independent rows without a horizon.

    A changed row of P changes each chain's I - discount P by rank one (Sherman and Morrison), so that what any new row
    is worth costs O(A) once the successors have been looked at, O(A K), and a change O(S^2). Inverses are made afresh
    at every sweep, and values are recomputed from them, so that no drift builds up.
    """

    redraw: object
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
            following, onward = self.successors[state], self.discount * self.onward[state]  # [K], [A, K]
            goes_on = self.goes_on[:, state, None]
            column, here = inverse[:, :, :, state], visits[:, :, state]  # [N, C, S], [N, C]
            # What a unit of each action adds to a visit, and how often it leads back.
            gains = goes_on * jnp.einsum("ak,nck->nca", onward, ahead[:, :, following]) + self.paid[:, state]
            loops = goes_on * jnp.einsum("ak,nck->nca", onward, column[:, :, following])

            def redrawn(key, row, value, here, gains, loops):
                def above(new):
                    return value + _gained(new - row, here, gains, loops) > level

                return self.redraw(key, row, above, self.available[state], state)

            row = policy[:, state]
            new = jax.vmap(redrawn)(jax.random.split(key, self.block), row, values, here, gains, loops)
            change = new - row
            damping = 1 - jnp.einsum("na,nca->nc", change, loops)
            scale = jnp.einsum("na,nca->nc", change, gains) / damping
            across = jnp.einsum("na,ak,nckt->nct", change, onward, inverse[:, :, following])
            across = goes_on * across / damping[:, :, None]
            values = values + jnp.sum(here * scale, axis=-1)
            inverse = inverse + column[..., None] * across[:, :, None, :]
            ahead = ahead + column * scale[..., None]
            visits = visits + here[..., None] * across
            return (policy.at[:, state].set(new), inverse, ahead, visits, values), None

        (policy, _, _, _, values), _ = jax.lax.scan(step, carry, (states, keys))
        return Solved(policy, values)


def row_mover(world, links, chains, policy_prior, *, num_particles, num_sweeps) -> RowMover:
    """Rank-one moves for one utility, given by its `chains` and the world's `links`; works on traced arrays."""
    goes_on, paid = chains
    states, successors, onward = links
    # Blocks of particles whose inverses fit a processor's cache; whatever the number of chains, as each has keys.
    block = math.gcd(num_particles, max(1, 2 ** round(math.log2(2**17 / paid.shape[1] ** 2))))
    num_rows = states.shape[0]
    wanted = num_sweeps * max(num_rows, _FEWEST_REDRAWS)
    wanted = wanted if mixes_in_one_round(policy_prior) else proposals(num_sweeps, num_rows)
    return RowMover(
        row_redraw(policy_prior),
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
        math.ceil(wanted / num_rows),
        block,
    )


def _gained(change, here, gains, loops):
    """What a change `[A]` of a row adds to the value: a sum over chains, exact however large it is."""
    return jnp.sum(here * (gains @ change) / (1 - loops @ change))


def world_links(world):
    """What a changed row touches: `[R]` states with choices, `[S, K]` successors and `[S, A, K]` chances of them."""
    return choice_states(world, reachable_states(world)), *links(world.transition)

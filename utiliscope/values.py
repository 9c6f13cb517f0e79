"""Exact values of policies: occupancies, first arrivals and expected utility by linear solves.

Policies are `[S, A]`, or `[H, S, A]` for one that changes with time. All functions are differentiable in the
policy, and work under `jit` and `vmap`.
"""

import contextlib
import operator
from functools import partial
from typing import NamedTuple, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np

from .errors import InputError
from .fixed_points import backward_solution, forward_solution
from .payoffs import as_payoffs
from .world.model import WorldModel, bare
from .world.possible import PossibleWorlds, World, averaged
from .world.transition import SparseTransition, next_values, push, under

_MOST_SOLVED = 300  # pairs of memory and state in a dense solve


class Occupancy(NamedTuple):
    """Expected discounted visits.

    state: `[S]` visits to each state, from s_0 to the last state.
    action: `[S, A]` times each action is taken there.
    """

    state: jax.Array
    action: jax.Array


def expected_utility(world: World, policy, utility, *, horizon: SupportsIndex | None = None):
    r"""Expected utility V of `policy`, exactly.

    .. math:: V = E\Big[\sum_t \gamma^t \big(u(s_t, a_t) + \sum_d w_d \, \mathrm{pay}_d(m_{d,t}, s_t)\big)
        + \sum_c w_c \gamma^{T_c}\Big]

    world: one, or `PossibleWorlds`, over which V is averaged.
    policy: `[S, A]`, or `[H, S, A]` time-dependent. utility: `[S]` or `[S, A]` payoffs a step, a utility program,
    or `Payoffs`; a stack of `U` of them gives `[U]` values from the same solves.
    horizon: number of actions; by default the world's, else for a time-dependent policy its length, else without
    end. With H actions the payoffs of states count s_0 .. s_H.

    Returns float64 whatever the precision of the run, unless inside a transformation such as `jit` or `grad`.
    Raises InputError for shapes that do not fit the world.

    Costs one solve of an `[S, S]` system and one for each set to be reached; with a horizon, H products instead. An
    automaton of M memories counts as a world of M S states. So for every possible world. With a `SparseTransition` the
    solves are iterative, of about 1e-12 relative error, and need a few dozen numbers for each state.
    """
    payoffs = as_payoffs(world, utility)
    check_shape(world, policy)
    with full_precision(world, policy, payoffs):
        return _expected_utility(on_device(bare(world)), jnp.asarray(policy), on_device(payoffs), _whole(horizon))


def _expected_utility(world, policy, payoffs, horizon):
    if isinstance(world, PossibleWorlds):
        return averaged(lambda one: _expected_utility(one, policy, payoffs, horizon), world)
    horizon = episode_length(world, policy, horizon)
    visits = _occupancy(world, policy, horizon)
    value = payoffs.state @ visits.state
    if payoffs.action is not None:
        value = value + jnp.sum(payoffs.action * visits.action, axis=(-2, -1))
    if payoffs.targets.shape[0]:
        value = value + payoffs.reach @ _arrival(world, policy, payoffs.targets, horizon)
    if payoffs.automata:
        value = value + payoffs.weight @ _remembered(world, policy, payoffs.automata, horizon)
    return value


def occupancy(world: World, policy, *, horizon: SupportsIndex | None = None) -> Occupancy:
    """Expected discounted visits to states and uses of actions under `policy`, `[S, A]` or `[H, S, A]`.

    Without a horizon the visits sum to 1 / (1 - discount). Of `PossibleWorlds` the weighted mean.
    """
    return _occupancy(on_device(bare(world)), jnp.asarray(policy), _whole(horizon))


# The parts are compiled, once for each shape, and not the whole: utilities have many shapes, made of few.
_compiled = partial(jax.jit, static_argnames="horizon")


@_compiled
def _occupancy(world, policy, horizon):
    if isinstance(world, PossibleWorlds):
        return averaged(lambda one: _occupancy(one, policy, horizon), world)
    horizon = episode_length(world, policy, horizon)
    if horizon is None and isinstance(world.transition, SparseTransition):
        visits = _sparse_visits(world, policy)
        return Occupancy(visits, visits[:, None] * policy)
    if horizon is None:
        system = jnp.eye(world.num_states) - world.discount * state_transition(world, policy)
        visits = jnp.linalg.solve(system.T, jnp.asarray(world.initial))
        return Occupancy(visits, visits[:, None] * policy)

    def step(carry, row):
        present, weight, states, actions = carry
        taken = present[:, None] * row
        following = push(world.transition, taken)
        return (following, weight * world.discount, states + weight * present, actions + weight * taken), None

    start = jnp.asarray(world.initial)
    zeros = jnp.zeros((world.num_states, world.num_actions), start.dtype)
    carry, _ = jax.lax.scan(step, (start, jnp.ones((), start.dtype), zeros[:, 0], zeros), _rows(policy, horizon))
    last, weight, states, actions = carry
    return Occupancy(states + weight * last, actions)


def arrival(world: World, policy, targets, *, horizon: SupportsIndex | None = None):
    """`[C]` expected discount**T, with T the first time in each of `targets` `[C, S]` (never: 0).

    Read as a chance: of reaching the set before an end that comes with probability 1 - discount at every step. Of
    `PossibleWorlds` the weighted mean.
    """
    return _arrival(on_device(bare(world)), jnp.asarray(policy), jnp.asarray(on_device(targets)), _whole(horizon))


@_compiled
def _arrival(world, policy, targets, horizon):
    if isinstance(world, PossibleWorlds):
        return averaged(lambda one: _arrival(one, policy, targets, horizon), world)
    horizon = episode_length(world, policy, horizon)
    if horizon is None and isinstance(world.transition, SparseTransition):
        return _sparse_arrival(world, policy, targets)
    if horizon is None:
        step = world.discount * state_transition(world, policy)

        def solve(target):
            system = jnp.eye(world.num_states) - jnp.where(target[:, None], 0.0, step)
            return world.initial @ jnp.linalg.solve(system, target.astype(step.dtype))

        return jax.vmap(solve)(targets)

    def advance(carry, row):
        absent, weight, total = carry
        total = total + weight * jnp.sum(absent * targets, -1)
        absent = jnp.where(targets, 0.0, absent)
        chain = under(world.transition, row)
        absent = jax.vmap(lambda present: push(chain, present[:, None]))(absent)
        return (absent, weight * world.discount, total), None

    start = jnp.broadcast_to(jnp.asarray(world.initial), targets.shape)
    carry = (start, jnp.ones((), start.dtype), jnp.zeros(targets.shape[0], start.dtype))
    (absent, weight, total), _ = jax.lax.scan(advance, carry, _rows(policy, horizon))
    return total + weight * jnp.sum(absent * targets, -1)


def remembered(world: World, policy, automata, *, horizon: SupportsIndex | None = None):
    """`[D]` expected discounted sum of what each automaton pays; of `PossibleWorlds` the weighted mean.

    Each is a chain over pairs of memory and state: a solve with `[M S, M S]` numbers where these are few, else an
    iterative one of a few dozen numbers for each pair.
    """
    return _remembered(on_device(bare(world)), jnp.asarray(policy), on_device(tuple(automata)), _whole(horizon))


def _remembered(world, policy, automata, horizon):
    if isinstance(world, PossibleWorlds):
        return averaged(lambda one: _remembered(one, policy, automata, horizon), world)
    horizon = episode_length(world, policy, horizon)
    # Those of one size go together.
    sizes = [machine.num_memories for machine in automata]
    parts = {}
    for size in sorted(set(sizes)):
        some = [d for d, own in enumerate(sizes) if own == size]
        step = jnp.stack([automata[d].step for d in some])
        pay = jnp.stack([automata[d].pay for d in some])
        if horizon is None:
            found = _remembered_for_ever(world, policy, step, pay)
        else:
            found = _remembered_in_time(world, _rows(policy, horizon), step, pay)
        parts.update(zip(some, found, strict=True))
    return jnp.stack([parts[d] for d in range(len(sizes))])


@jax.jit
def _remembered_for_ever(world, policy, step, pay):
    """`[D]` for automata of one size, `[D, M, S]`."""
    _, size, num_states = step.shape
    chain = under(world.transition, policy)
    few = size * num_states <= _MOST_SOLVED and not isinstance(chain, SparseTransition)

    def of_one(step, pay):
        goes_on, following = step >= 0, jnp.maximum(step, 0)

        def ahead(value):
            onward = jax.vmap(lambda memory: next_values(chain, memory)[:, 0])(value.reshape(size, num_states))
            onward = jnp.take_along_axis(onward, following, axis=0)
            return world.discount * jnp.where(goes_on, onward, 0.0).reshape(-1)

        right = pay.astype(world.initial.dtype).reshape(-1)
        if few:
            system = jnp.eye(right.shape[0]) - jax.vmap(ahead, out_axes=1)(jnp.eye(right.shape[0]))
            value = jnp.linalg.solve(system, right)
        else:
            value = backward_solution(ahead, right)
        return world.initial @ value.reshape(size, num_states)[0]

    return jax.vmap(of_one)(step, pay)


@jax.jit
def _remembered_in_time(world, rows, step, pay):
    number, size, num_states = step.shape
    memories, places = jnp.arange(size)[None, :, None, None], jnp.arange(num_states)
    goes_on = (step >= 0) * 1.0

    def read(present):
        """Memories after reading the states, `[D, M, S]`."""
        moved = (jnp.maximum(step, 0)[:, None] == memories) * (present * goes_on)[:, None]  # [D, M new, M old, S]
        return moved.sum(2)

    def advance(carry, row):
        present, weight, total = carry
        total = total + weight * (present * pay).sum((1, 2))
        chain = under(world.transition, row)
        flat = read(present).reshape(-1, num_states)
        flat = jax.vmap(lambda mass: push(chain, mass[:, None]))(flat)
        return (flat.reshape(step.shape), weight * world.discount, total), None

    start = jnp.zeros(step.shape, world.initial.dtype).at[:, 0, places].set(world.initial)
    carry = (start, jnp.ones((), start.dtype), jnp.zeros(number, start.dtype))
    (present, weight, total), _ = jax.lax.scan(advance, carry, rows)
    return total + weight * (present * pay).sum((1, 2))


def _sparse_visits(world, policy):
    """`[S]` discounted visits without a horizon."""
    chain = under(world.transition, policy)
    return forward_solution(lambda visits: world.discount * push(chain, visits[:, None]), world.initial)


def _sparse_arrival(world, policy, targets):
    """`[C]` expected discount to arrival without a horizon."""
    chain = under(world.transition, policy)

    def from_everywhere(target):
        def ahead(value):
            return jnp.where(target, 0.0, world.discount * next_values(chain, value)[:, 0])

        return world.initial @ backward_solution(ahead, target.astype(world.initial.dtype))

    return jax.vmap(from_everywhere)(targets)


def on_device(tree):
    """Host arrays of `tree` as JAX arrays in the precision of the moment.

    They are copied first: JAX remembers a host array that it met in a trace in the precision it had then, and would
    mix the two.
    """
    return jax.tree.map(lambda x: jnp.asarray(x.copy()) if isinstance(x, np.ndarray) else x, tree)


def full_precision(*inputs):
    """Float64 for the time being where all `inputs` are concrete; what is being transformed keeps its precision."""
    leaves = [*jax.tree.leaves(inputs), jnp.zeros(())]
    traced = any(isinstance(leaf, jax.core.Tracer) for leaf in leaves)
    return contextlib.nullcontext() if traced else jax.enable_x64(True)


def check_shape(world: World, policy) -> None:
    """Raise InputError unless `policy` is `[S, A]` or `[H, S, A]`."""
    shape = (world.num_states, world.num_actions)
    if jnp.ndim(policy) not in (2, 3) or jnp.shape(policy)[-2:] != shape:
        raise InputError(
            f"policy has shape {jnp.shape(policy)}, not [states, actions] = {shape} (or [steps, states, actions])"
        )


def state_transition(world: WorldModel, policy):
    """`[S, S]` transition matrix under a `[S, A]` policy."""
    chain = under(world.transition, policy)
    return (chain.dense() if isinstance(chain, SparseTransition) else chain)[:, 0]


def episode_length(world: World, policy, horizon: int | None = None) -> int | None:
    """How many actions an episode has: `horizon`, else the world's, else a time-dependent policy's length."""
    given = world.horizon if horizon is None else horizon
    if jnp.ndim(policy) == 2:
        return given
    length = policy.shape[0]
    if given is not None and given > length:
        raise InputError(f"the policy covers {length} steps of an episode of {given}; give one row of it per step")
    return length if given is None else given


def _whole(horizon):
    return None if horizon is None else operator.index(horizon)


def _rows(policy, horizon):
    """`[H, S, A]` policy of each step."""
    if policy.ndim == 2:
        return jnp.broadcast_to(policy, (horizon, *policy.shape))
    return policy[:horizon]

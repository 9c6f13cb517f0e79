"""The curvature of a policy's mean value over possible worlds, and Newton's equations in all S A logarithms."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from .design_point import Method, Solver, solve, solver

_STEEP = 100.0  # curvature across the surface V = v; along it, it is about 1


class Possible(NamedTuple):
    """Worlds `[C]` with dense transitions `[C, S, A, S]`, their weights `[C]` and what may be done, `[S, A]`."""

    transition: jax.Array
    initial: jax.Array
    discount: jax.Array
    weight: jax.Array
    available: jax.Array


class _Parts(NamedTuple):
    """V, its gradient `[S, A]` and its Hessian `[S A, S A]`."""

    value: jax.Array
    gradient: jax.Array
    hessian: jax.Array


class _System(NamedTuple):
    """H + s grad V grad V^T `[S A, S A]`, s, grad V `[S A]`."""

    solver: Solver
    steep: jax.Array
    gradient: jax.Array


def _parts(plain, reward, x) -> _Parts:
    """Means over worlds."""
    policy = jax.nn.softmax(jnp.where(plain.available, x, -jnp.inf), axis=-1)
    each = jax.vmap(lambda *one: _of_one(*one, policy, reward))(plain.transition, plain.initial, plain.discount)
    return jax.tree.map(lambda part: jnp.tensordot(plain.weight, part, 1), each)


def _of_one(transition, initial, discount, policy, reward) -> _Parts:
    states, actions = policy.shape
    visits_from = jnp.linalg.inv(jnp.eye(states) - discount * jnp.einsum("sa,sat->st", policy, transition))
    visits = initial @ visits_from
    state_value = visits_from @ (policy * reward).sum(-1)
    advantage = reward + discount * transition @ state_value - state_value[:, None]
    share = policy * advantage
    # What a change of one row does to visits, and what these are then worth by a change of another.
    arrivals = discount * transition @ visits_from
    arrivals = arrivals - jnp.einsum("sa,sat->st", policy, arrivals)[:, None]
    moved = (visits[:, None] * policy)[..., None] * arrivals
    between = (moved[..., None] * share).reshape(states * actions, states * actions)
    within = jnp.einsum("sa,ab->sab", share, jnp.eye(actions)) - share[:, :, None] * policy[:, None]
    within = visits[:, None, None] * (within - policy[:, :, None] * share[:, None])
    within = jnp.einsum("sab,st->satb", within, jnp.eye(states)).reshape(between.shape)
    return _Parts(initial @ state_value, visits[:, None] * share, between + between.T + within)


def _system(plain, shape, slope, parts, x, careful) -> _System:
    """The same along the surface V = v, and positive where f has its least there.

    Neither the steps to the surface nor det H (grad V^T H^-1 grad V) depend on s; H itself may be singular.
    """
    gradient = parts.gradient.reshape(-1)
    steep = _STEEP / jnp.maximum((gradient**2).sum(), jnp.finfo(x.dtype).tiny)
    hessian = jnp.diag(jnp.exp(x).reshape(-1)) - jnp.where(careful, 0.0, slope) * parts.hessian
    return _System(solver(hessian + steep * jnp.outer(gradient, gradient), gradient), steep, gradient)


def _solved(system, short, gap):
    found, along = solve(system.solver, short.reshape(-1)), system.solver.across
    change = (gap + system.gradient @ found) / (system.gradient @ along)
    return (change * along - found).reshape(short.shape), change - system.steep * gap


def _minimal(system):
    return system.solver.minimal


def _log_curvature(plain, shape, slope, parts, x):
    equations, _, gradient = _system(plain, shape, slope, parts, x, False)
    half = jnp.log(jnp.diagonal(equations.factor)).sum()
    return half + 0.5 * jnp.log(gradient @ equations.across) - 0.5 * jnp.log(shape).sum()


def _normal(plain, shape, x):
    return x


POSSIBLE_WORLDS = Method(_parts, _system, _solved, _minimal, _log_curvature, _normal)

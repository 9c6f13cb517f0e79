r"""The curvature of a policy's value in one world, and Newton's equations with it, by rows.

With policies p = softmax(x), visits d, advantages D, and N = (I - gamma P_p)^-1, the Hessian of V is

.. math:: M N E + E^T N^T M^T + \text{a block for each row},

where E_{s,sa} = p_sa D_sa and M_{sa,s'} = gamma d_s p_sa (P_sa,s' - (P_p)_ss'). At the design point, where
e^x = c + t grad V, the blocks of f - t V are B = (I - 1 p^T)^T diag(c) (I - 1 p^T) + p p^T sum(c): positive, and
inverted in closed form. Elsewhere they are put as if it were so: what this changes of Newton's method vanishes with the
distance from its end, and it converges as fast. Left to solve are the equations for the changes y of the states'
values and w of t d, `[2 S + 1]` with that of t:

.. math:: (L - t X) y - e w = -E B^{-1} F, \quad -t^2 W y + (L - t X)^T w - u \rho = -t M^T B^{-1} F,
    \quad \rho \cdot y = v - V,

L = I - gamma P_p, X = E B^-1 M, W = M^T B^-1 M, e the diagonal of E B^-1 E^T, rho the chances of first states and F
what is short of e^x - c = t grad V. The step is B^-1 (t M y + E^T w - F).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import lu_factor, lu_solve

from .design_point import Method


class One(NamedTuple):
    """A world's dense transition `[S, A, S]`, first states `[S]`, discount, and what may be done, `[S, A]`."""

    transition: jax.Array
    initial: jax.Array
    discount: jax.Array
    available: jax.Array


class _Parts(NamedTuple):
    """V, its gradient `[S, A]`, p and E `[S, A]`, d `[S]`, L `[S, S]` and M `[S, A, S]`."""

    value: jax.Array
    gradient: jax.Array
    policy: jax.Array
    share: jax.Array
    onward: jax.Array
    moved: jax.Array


class _System(NamedTuple):
    """The equations' matrix `[2 S + 1, 2 S + 1]`, the t in it, and what it was made of."""

    matrix: jax.Array
    slope: jax.Array
    shape: jax.Array
    parts: _Parts


def _parts(plain, reward, x) -> _Parts:
    policy = _policy(plain, x)
    chain = jnp.einsum("sa,sat->st", policy, plain.transition)
    onward = jnp.eye(len(chain)) - plain.discount * chain
    factor = lu_factor(onward)
    visits = lu_solve(factor, plain.initial, trans=1)
    state_value = lu_solve(factor, (policy * reward).sum(-1))
    share = policy * (reward + plain.discount * plain.transition @ state_value - state_value[:, None])
    moved = (plain.discount * visits[:, None] * policy)[..., None] * (plain.transition - chain[:, None])
    return _Parts(plain.initial @ state_value, visits[:, None] * share, policy, share, onward, moved)


def _policy(plain, x):
    return jax.nn.softmax(jnp.where(plain.available, x, -jnp.inf), axis=-1)


def _width(shape, policy):
    """`[S]` p^T diag(c)^-1 p."""
    return (policy**2 / shape).sum(-1)


def _within(shape, policy, right):
    """B^-1 of columns `[S, A, n]` with rows that sum to 0."""
    scaled = policy / shape
    mean = jnp.einsum("sa,san->sn", scaled, right) / _width(shape, policy)[:, None]
    return (right - policy[..., None] * mean[:, None]) / shape[..., None]


def _system(plain, shape, slope, parts, x, careful) -> _System:
    slope = jnp.where(careful, 0.0, slope)
    states = len(plain.initial)
    pushed = _within(shape, parts.policy, parts.share[..., None])[..., 0]
    shifted = _within(shape, parts.policy, parts.moved)
    crossed = parts.onward - slope * jnp.einsum("sa,sat->st", pushed, parts.moved)
    heavier = parts.moved.reshape(-1, states).T @ shifted.reshape(-1, states)
    own = jnp.diag((pushed * parts.share).sum(-1))
    first = plain.initial[:, None]
    none = jnp.zeros_like(first)
    rows = [[crossed, -own, none], [-(slope**2) * heavier, crossed.T, -first], [first.T, none.T, jnp.zeros((1, 1))]]
    return _System(jnp.block(rows), slope, shape, parts)


def _solved(system, short, gap):
    _, slope, shape, parts = system
    states = len(short)
    still = _within(shape, parts.policy, short[..., None])[..., 0]
    behind = slope * jnp.einsum("sat,sa->t", parts.moved, still)
    right = jnp.concatenate([-(parts.share * still).sum(-1), -behind, gap[None]])
    found = jnp.linalg.solve(system.matrix, right)
    worth, visited = found[:states], found[states:-1]
    push = slope * parts.moved @ worth + parts.share * visited[:, None]
    return _within(shape, parts.policy, push[..., None])[..., 0] - still, found[-1]


def _minimal(system):
    """Without w and with y in units of what rows change, H along the surface is a matrix `[S, S]`."""
    states = len(system.parts.onward)
    crossed, own = system.matrix[:states, :states], -jnp.diagonal(system.matrix[:states, states:-1])
    scale = jnp.sqrt(jnp.maximum(own, 0.0))
    across = scale * jnp.linalg.solve(crossed.T, system.matrix[-1, :states])
    across = across / jnp.maximum(jnp.linalg.norm(across), jnp.finfo(across.dtype).tiny)
    ways = jnp.linalg.solve(crossed, jnp.diag(scale))
    curved = jnp.eye(states) + ways.T @ system.matrix[states:-1, :states] @ ways
    along = jnp.eye(states) - jnp.outer(across, across)
    return jnp.isfinite(jnp.linalg.cholesky(along @ curved @ along + jnp.outer(across, across))).all()


def _log_curvature(plain, shape, slope, parts, x):
    """det H grad V^T H^-1 grad V det L^2 = det B det(the equations' matrix), from both ways to eliminate."""
    blocks = jnp.log(jnp.where(plain.available, shape, 0.0).sum(-1) * _width(shape, parts.policy)).sum()
    whole = jnp.linalg.slogdet(_system(plain, shape, slope, parts, x, False).matrix)[1]
    return 0.5 * (blocks + whole) - jnp.linalg.slogdet(parts.onward)[1]


def _normal(plain, shape, x):
    """With rows of e^x that sum to those of c, as they do at the design point."""
    total = jnp.where(plain.available, shape, 0.0).sum(-1, keepdims=True)
    shift = jax.nn.logsumexp(jnp.where(plain.available, x, -jnp.inf), axis=-1, keepdims=True)
    return jnp.where(plain.available, x - shift + jnp.log(total), jnp.log(shape))


ONE_WORLD = Method(_parts, _system, _solved, _minimal, _log_curvature, _normal)

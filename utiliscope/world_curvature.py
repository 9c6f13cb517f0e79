r"""The curvature of a policy's value in one world, and Newton's equations with it, by rows.

With policies p = softmax(x), visits d, advantages D, and N = (I - gamma P_p)^-1, the Hessian of V is

.. math:: M N E + E^T N^T M^T + \text{a block for each row},

where E_{s,sa} = p_sa D_sa and M_{sa,s'} = gamma d_s p_sa (P_sa,s' - (P_p)_ss'). At the design point, where
e^x = c + t grad V, the blocks of f - t V are B = (I - 1 p^T)^T diag(c) (I - 1 p^T) + p p^T sum(c): positive, and
inverted in closed form. Elsewhere they are put as if it were so: what this changes of Newton's method vanishes with the
distance from its end, and it converges as fast. Left to solve are the equations for the changes y of the states'
values, w of t d, and u of t:

.. math:: (L - t X) y - e w = -E B^{-1} F, \quad -t^2 W y + (L - t X)^T w - u \rho = -t M^T B^{-1} F,
    \quad \rho \cdot y = v - V,

L = I - gamma P_p, X = E B^-1 M, W = M^T B^-1 M, e the diagonal of E B^-1 E^T, rho the chances of first states and F
what is short of e^x - c = t grad V. The step is B^-1 (t M y + E^T w - F). Without y, which is G^-1 (.. + e w) for
G = L - t X, they are of a symmetric matrix, I - sqrt(e) t^2 G^-T W G^-1 sqrt(e).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import lu_factor, lu_solve

from .design_point import Method, Solver, solve, solver

_STEEP = 100.0  # curvature across the surface V = v; along it, it is about 1


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


class _Equations(NamedTuple):
    """G = L - t X `[S, S]`, e `[S]`, W `[S, S]`, and the t in them."""

    crossed: jax.Array
    own: jax.Array
    heavier: jax.Array
    slope: jax.Array


class _System(NamedTuple):
    """`_Equations`, y eliminated by G^-1, for w = h + Q e w: Q, s^2 = e, a = s G^-T rho, k, I - s Q s + k a a^T."""

    equations: _Equations
    inverse: jax.Array
    back: jax.Array
    scale: jax.Array
    across: jax.Array
    steep: jax.Array
    solver: Solver
    initial: jax.Array
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


def _equations(shape, slope, parts) -> _Equations:
    states = len(shape)
    pushed = _within(shape, parts.policy, parts.share[..., None])[..., 0]
    shifted = _within(shape, parts.policy, parts.moved)
    crossed = parts.onward - slope * jnp.einsum("sa,sat->st", pushed, parts.moved)
    heavier = parts.moved.reshape(-1, states).T @ shifted.reshape(-1, states)
    return _Equations(crossed, (pushed * parts.share).sum(-1), heavier, slope)


def _system(plain, shape, slope, parts, x, careful) -> _System:
    """Along the surface V = v the matrix is positive where f has its least there; across it, it is steepened."""
    equations = _equations(shape, jnp.where(careful, 0.0, slope), parts)
    inverse = jnp.linalg.inv(equations.crossed)
    back = equations.slope**2 * inverse.T @ equations.heavier @ inverse
    scale = jnp.sqrt(jnp.maximum(equations.own, 0.0))
    across = scale * (plain.initial @ inverse)
    steep = _STEEP / jnp.maximum((across**2).sum(), jnp.finfo(across.dtype).tiny)
    matrix = jnp.eye(len(scale)) - scale[:, None] * back * scale + steep * jnp.outer(across, across)
    return _System(equations, inverse, back, scale, across, steep, solver(matrix, across), plain.initial, shape, parts)


def _solved(system, short, gap):
    slope, shape, parts, inverse = system.equations.slope, system.shape, system.parts, system.inverse
    still = _within(shape, parts.policy, short[..., None])[..., 0]
    first = -(parts.share * still).sum(-1)
    second = -slope * jnp.einsum("sat,sa->t", parts.moved, still)
    bent = second @ inverse + system.back @ first
    gap = gap - system.initial @ (inverse @ first)
    found, along = solve(system.solver, system.scale * bent), system.solver.across
    change = (gap - system.across @ found) / (system.across @ along)
    whole = system.scale * (found + change * along)
    change = change - system.steep * gap
    worth = inverse @ (first + whole)
    visited = bent + change * (system.initial @ inverse) + system.back @ whole
    push = slope * parts.moved @ worth + parts.share * visited[:, None]
    return _within(shape, parts.policy, push[..., None])[..., 0] - still, change


def _minimal(system):
    return system.solver.minimal


def _log_curvature(plain, shape, slope, parts, x):
    """det H grad V^T H^-1 grad V det L^2 = det B det(the equations' matrix), from both ways to eliminate."""
    blocks = jnp.log(jnp.where(plain.available, shape, 0.0).sum(-1) * _width(shape, parts.policy)).sum()
    crossed, own, heavier, _ = _equations(shape, slope, parts)
    first = plain.initial[:, None]
    none = jnp.zeros_like(first)
    rows = [[crossed, -jnp.diag(own), none], [-(slope**2) * heavier, crossed.T, -first]]
    whole = jnp.block([*rows, [first.T, none.T, jnp.zeros((1, 1))]])
    return 0.5 * (blocks + jnp.linalg.slogdet(whole)[1]) - jnp.linalg.slogdet(parts.onward)[1]


def _normal(plain, shape, x):
    """With rows of e^x that sum to those of c, as they do at the design point."""
    total = jnp.where(plain.available, shape, 0.0).sum(-1, keepdims=True)
    shift = jax.nn.logsumexp(jnp.where(plain.available, x, -jnp.inf), axis=-1, keepdims=True)
    return jnp.where(plain.available, x - shift + jnp.log(total), jnp.log(shape))


ONE_WORLD = Method(_parts, _system, _solved, _minimal, _log_curvature, _normal)

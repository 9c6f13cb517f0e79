"""The likeliest policies that are worth a given value, by Newton's method: the design point of `laplace.py`.

Sought are x = ln G and t with e^x - c = t grad V(x) and V(x) = v, where f = sum (e^x - c x) is least. How the curvature
of V is put, and with it the equations of a step solved, is a `Method`.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_factor, cho_solve

_TRIED, _MOST_STEPS = 40, 160  # of Newton's method, each time and in all
_LONGEST, _PRECISION = 1.0, 1e-5  # of its steps, in each ln G; the last one leaves the square of its size


class Method(NamedTuple):
    """What is known of V at x, and solved with it. `plain` are the world's arrays, x and c are `[S, A]`.

    parts: of (plain, reward, x): at least `value` and `gradient` `[S, A]` of V, both linear in the reward.
    system: of (plain, c, t, parts, x, careful): a step's equations; if careful, those for a V that is linear in x.
    solved: of (system, short, gap): the step m `[S, A]` and the change u of t, with H m - u grad V = -short and
        m . grad V = gap, for H the Hessian of f - t V. Linear in short and gap.
    minimal: of a system, whether H is positive along the surface V = v.
    log_curvature: of (plain, c, t, parts, x): half the ln of grad V^T H^-1 grad V det H / det H_0, differentiable.
    normal: of (plain, c, x): x with what neither V nor a step depends on set right.
    """

    parts: Callable
    system: Callable
    solved: Callable
    minimal: Callable
    log_curvature: Callable
    normal: Callable


class Solver(NamedTuple):
    """A symmetric matrix, its Cholesky factor, whether it is positive, and its inverse times one vector."""

    matrix: jax.Array
    factor: jax.Array
    minimal: jax.Array
    across: jax.Array


def solver(matrix, across) -> Solver:
    factor = cho_factor(matrix)[0]
    minimal = jnp.isfinite(jnp.diagonal(factor)).all()
    return Solver(matrix, factor, minimal, _solve(matrix, factor, minimal, across))


def solve(solver: Solver, right):
    """Matrix^-1 right, also where the matrix is not positive; linear in `right`."""
    return _solve(*solver[:3], right)


def _solve(matrix, factor, minimal, right):
    return jax.lax.cond(
        minimal, lambda right: cho_solve((factor, False), right), lambda right: jnp.linalg.solve(matrix, right), right
    )


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def design_point(method: Method, plain, shape, reward, value):
    """x `[S, A]` and t for Gamma variables of `shape` c `[S, A]`, and payoffs `[S, A]`; nan if they are not found.

    It starts from the mean policy. If it does not come to a minimum it begins anew, more carefully: at first as if V
    were linear in x, which leads down, and with shorter steps each time. Differentiable in reward and value.
    """
    start = jnp.log(shape), jnp.zeros_like(value)

    def step(state):
        x, slope, longest, _, count = state
        at = method.parts(plain, reward, x)
        careful = (longest < _LONGEST) & (count % _TRIED < _TRIED // 2)
        system = method.system(plain, shape, slope, at, x, careful)
        short = jnp.exp(x) - shape - slope * at.gradient
        move, change = method.solved(system, short, value - at.value)
        size = jnp.abs(move).max()
        scale = jnp.minimum(1.0, longest / size)
        close = (size <= _PRECISION) & ~careful
        anew = ~jnp.isfinite(size) | (close & ~method.minimal(system)) | ((count % _TRIED == _TRIED - 1) & ~close)
        # Long ones are cut each by itself: what is far from its end would else hold up the rest.
        move = jnp.clip(move, -longest, longest)
        moved = method.normal(plain, shape, x + move), slope + scale * change
        x, slope = jax.tree.map(partial(jnp.where, anew), start, moved)
        count = jnp.where(anew, (count // _TRIED + 1) * _TRIED, count + 1)
        return x, slope, jnp.where(anew, longest / 2, longest), close & ~anew, count

    def goes_on(state):
        return ~state[3] & (state[4] < _MOST_STEPS)

    first = (*start, jnp.full_like(value, _LONGEST), False, 0)
    x, slope, _, arrived, _ = jax.lax.while_loop(goes_on, step, first)
    return jax.tree.map(lambda found: jnp.where(arrived, found, jnp.nan), (x, slope))


@design_point.defjvp
def _design_point_jvp(method, primals, tangents):
    """The same conditions, differentiated. Worlds and priors are constants."""
    plain, shape, reward, value = primals
    _, _, reward_change, value_change = tangents
    x, slope = design_point(method, plain, shape, reward, value)
    at = method.parts(plain, reward, x)

    def linear(reward):
        here = method.parts(plain, reward, x)
        return here.value, here.gradient

    rise, turn = jax.jvp(linear, (reward,), (reward_change,))[1]
    system = method.system(plain, shape, slope, at, x, False)
    return (x, slope), method.solved(system, -slope * turn, value_change - rise)

"""Solutions of x = b + M x for sparse discounted chains, where no `[S, S]` matrix is to be made.

Plain iteration x <- b + M x shrinks the residual by the discount each time, and so always ends; near discount 1 it
takes log(1e-16) / log(discount) steps. Between its sweeps a Krylov step takes away what is slow to fade. It counts
only where it helps, as policies that walk in circles are hard for Krylov methods.
"""

from functools import partial

import jax
import jax.numpy as jnp

_SWEEPS = 32  # of plain iteration in a round, and
_DIRECTIONS = 16  # of a Krylov step
_MOST_ROUNDS = 2000  # 64 000 sweeps: enough for a discount of 0.9995 even where no Krylov step helps
_ROUNDING = 8  # units of rounding in a residual that is as small as it gets
_DEPENDENT = 1e-8  # a direction of which so little is new is left out


def forward_solution(moved, right):
    """x `[S]` with x = right + moved(x), where `moved` sums to less than what it moves: visits of states."""
    return _solution(moved, right, _total, _greatest)


def backward_solution(expected, right):
    """x `[S]` with x = right + expected(x), where `expected` is a discounted mean: values of states."""
    return _solution(expected, right, _greatest, _total)


def _solution(advance, right, norm, transposed_norm):
    """Linear in `right`, and differentiable in what `advance` is made of; NaN where it has not converged."""
    return jax.lax.custom_linear_solve(
        lambda x: x - advance(x), right, partial(_solve, norm=norm), partial(_solve, norm=transposed_norm)
    )


def _solve(system, right, norm):
    """x with system(x) = right, to rounding, where x - system(x) shrinks the `norm`."""
    rounding = _ROUNDING * jnp.finfo(right.dtype).eps

    def unfinished(carry):
        _, _, settled, rounds = carry
        return ~settled & (rounds < _MOST_ROUNDS)

    def one_round(carry):
        x, residual, _, rounds = carry
        # The last round is one more than is needed: it takes away what rounding left to errors that are slow to fade.
        # What is not a number is not going to become one.
        settled = ~(norm(residual) > rounding * (norm(right) + norm(x)))
        stepped = x + _krylov_step(system, residual)
        left = right - system(stepped)
        better = norm(left) < norm(residual)
        start = jnp.where(better, stepped, x), jnp.where(better, left, residual)

        def sweep(_, carry):
            x, residual = carry
            x = x + residual
            return x, right - system(x)

        return *jax.lax.fori_loop(0, _SWEEPS, sweep, start), settled, rounds + 1

    start = right, right - system(right), jnp.zeros((), bool), 0
    x, _, settled, _ = jax.lax.while_loop(unfinished, one_round, start)
    return jnp.where(settled, x, jnp.nan)


def _krylov_step(system, residual):
    """The step that lessens the squared residual most, along it and its images: generalised conjugate residuals."""

    def one_more(i, carry):
        step, left, directions, images = carry
        direction, image = left, system(left)
        size = jnp.linalg.norm(image)
        for _ in range(2):  # once is not enough in floating point
            known = images @ image
            direction, image = direction - known @ directions, image - known @ images
        new = jnp.linalg.norm(image)
        scale = jnp.where(new > _DEPENDENT * size, 1 / jnp.where(new > 0, new, 1.0), 0.0)
        direction, image = direction * scale, image * scale
        share = image @ left
        directions, images = directions.at[i].set(direction), images.at[i].set(image)
        return step + share * direction, left - share * image, directions, images

    none = jnp.zeros((_DIRECTIONS, *residual.shape), residual.dtype)
    return jax.lax.fori_loop(0, _DIRECTIONS, one_more, (jnp.zeros_like(residual), residual, none, none))[0]


def _total(x):
    return jnp.abs(x).sum()


def _greatest(x):
    return jnp.abs(x).max()

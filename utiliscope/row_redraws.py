"""New rows for policies in JAX, from a prior of independent rows cut off to where a policy is good enough.

Each redraw leaves that law invariant, for any test `above(row)`. They are the moves of the compiled splitting (see
`row_kernels.py`), but with a fixed number of tries, so that a device runs all particles in step.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from .policies import Dirichlet, UniformDeterministic

Redraw = Callable

# Who has found nothing after so many shrinks stays, which is reversible too.
_MOST_SHRINKS = 12
_TIGHTENED = 6


def row_redraw(policy_prior) -> Redraw:
    """`redraw(key, row, above, available, state)`: a new row `[A]` of that state, or the old one.

    above: whether a row would do. For our own priors a redraw nearly forgets the row that was there; others get one
    Metropolis-Hastings step of their `perturb_row`.
    """
    if type(policy_prior) is UniformDeterministic:
        return _another_action
    if type(policy_prior) is Dirichlet:
        return shares_redraw(policy_prior.concentration)
    perturb_row = row_move(policy_prior)

    def redraw(key, row, above, available, state):
        propose_key, accept_key = jax.random.split(key)
        new, log_ratio = perturb_row(propose_key, row, available, state)
        accept = above(new) & (jnp.log(jax.random.uniform(accept_key)) < log_ratio)
        return jnp.where(accept, new, row)

    return redraw


def mixes_in_one_round(policy_prior) -> bool:
    """Whether one redraw of each state's row is enough, as for our own priors."""
    return type(policy_prior) in (UniformDeterministic, Dirichlet)


def row_move(policy_prior):
    """A prior's `perturb_row`, given the state: only rows of concentrations of their own need to know it."""
    if isinstance(policy_prior, Dirichlet) and np.ndim(policy_prior.concentration):
        return policy_prior.perturb_row
    return lambda key, row, available, _: policy_prior.perturb_row(key, row, available)


def _another_action(key, row, above, available, state):
    """Any of the actions that would do, the present one among them: Gibbs sampling."""
    one_hot = jnp.eye(row.shape[0], dtype=row.dtype)
    fits = (available & jax.vmap(above)(one_hot)) | (row == 1)
    return one_hot[jnp.argmax(jnp.where(fits, jax.random.uniform(key, fits.shape), -1.0))]


def shares_redraw(concentration) -> Redraw:
    """For Dirichlet rows, of one concentration or of `[S, A]` (which may be traced): pairs of actions, one less than
    there are, split what they have together anew, by slice sampling of their log odds.

    Given its total, the split of two actions is Beta(b, c) of their concentrations: in log odds x^b (1 - x)^c, below
    x^b and below (1 - x)^c, which bounds a slice on either side. Its logarithm is concave, so that Newton's method from
    outside comes nearer to the slice and never into it. Then the interval shrinks towards the present point.
    """

    def redraw(key, row, above, available, state):
        def split_pair(row, key):
            draws = jax.random.uniform(key, (2 + row.shape[0] + _MOST_SHRINKS,), row.dtype)
            scores = jnp.where(available, draws[2 : 2 + row.shape[0]], -1.0)
            first = jnp.argmax(scores)
            second = jnp.argmax(scores.at[first].set(-2.0))
            total, tiny = row[first] + row[second], jnp.finfo(row.dtype).tiny
            now = jnp.log(jnp.maximum(row[first], tiny)) - jnp.log(jnp.maximum(row[second], tiny))
            own = concentration if np.ndim(concentration) == 0 else jnp.asarray(concentration)[state]
            one, other = jnp.broadcast_to(jnp.asarray(own, row.dtype), row.shape)[jnp.array([first, second])]
            height = _share(now, one, other)[1] + jnp.log1p(-draws[0])

            def at(share):
                return row.at[first].set(total * share[0]).at[second].set(total * share[1])

            def shrink(carry, draw):
                low, high, found, done = carry
                odds = low + (high - low) * draw
                share, log_share = _share(odds, one, other)
                good = (log_share >= height) & above(at(share))
                new = jnp.where(odds < now, odds, low), jnp.where(odds < now, high, odds)
                return (*new, jnp.where(done | ~good, found, share), done | good), None

            low, high = height / one, -height / other
            for _ in range(_TIGHTENED):
                low, high = (_nearer(end, height, one, other) for end in (low, high))
            start = (jnp.minimum(low, now), jnp.maximum(high, now), jnp.zeros(2, row.dtype), jnp.zeros((), bool))
            (_, _, found, done), _ = jax.lax.scan(shrink, start, draws[2 + row.shape[0] :])
            return jnp.where(done & (available.sum() > 1), at(found), row), None

        return jax.lax.scan(split_pair, row, jax.random.split(key, max(row.shape[0] - 1, 1)))[0]

    return redraw


def _nearer(odds, height, one, other):
    """A Newton step towards where ln x^one (1 - x)^other is the height; none where it is flat."""
    share, log_share = _share(odds, one, other)
    slope = one * share[1] - other * share[0]
    return jnp.where(log_share < height, odds + (height - log_share) / jnp.where(slope == 0, jnp.inf, slope), odds)


def _share(odds, one, other):
    """The share x with these log odds and 1 - x, `[2]`, and ln x^one (1 - x)^other."""
    small = jnp.exp(-jnp.abs(odds))
    share = jnp.where(jnp.array([odds < 0, odds >= 0]), small, 1.0) / (1 + small)
    below, above = jnp.minimum(odds, 0.0), jnp.maximum(odds, 0.0)
    return share, one * below - other * above - (one + other) * jnp.log1p(small)

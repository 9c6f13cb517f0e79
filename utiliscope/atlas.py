"""An atlas of random policies: how rare a value is, for any weights of features at once.

A utility that is linear in features is worth theta . mu(pi), with mu the expected discounted feature counts of a policy
(THEORY, fact 8). So one weighted sample of feature counts of random policies serves every theta: the particles of
splitting runs in several directions, each counted by how densely all runs together cover its place (see
`atlas_runs.py`).
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

# Of the sigmoid that smooths the step, in units of the length s over which the tail falls by e. Below a value the mass
# grows as exp(x / s), and smoothing by a width of r s multiplies it by pi r / sin(pi r); r is known from the same sums,
# and the factor is taken out.
WIDTH = 0.35
_LOOKS = 2  # at the length s, from that of a normal tail; each finds a third of it at the least
_WIDEST = 0.9  # r, where the factor is 9
FEWEST = 30.0  # effective particles beyond a value: fewer do not tell how rare it is


class Atlas(eqx.Module):
    """Feature counts of `M` random policies, weighted to represent the random-policy prior, and the `K` runs of up to
    `J` levels that they come from.

    counts: `[M, F]` expected discounted feature counts mu.
    log_weight: `[M]` ln of each particle's share of the prior, nats; -inf is padding.
    mean, covariance: `[F]` and `[F, F]` of mu under the prior: what the smoothing width is measured by.
    directions: `[K, F]` theta of each run.
    levels: `[K, J]` rising theta . mu that the particles of each level exceed; the first is -inf, +inf is padding.
    log_mass: `[K, J]` ln of the chance to exceed them, nats.
    created: `[K, J]` how many particles were drawn above each level; 0 is padding.
    """

    counts: Float[Array | np.ndarray, "M F"]
    log_weight: Float[Array | np.ndarray, " M"]
    mean: Float[Array | np.ndarray, " F"]
    covariance: Float[Array | np.ndarray, "F F"]
    directions: Float[Array | np.ndarray, "K F"]
    levels: Float[Array | np.ndarray, "K J"]
    log_mass: Float[Array | np.ndarray, "K J"]
    created: Float[Array | np.ndarray, "K J"]

    def __len__(self) -> int:
        """Number of particles, padding included."""
        return self.counts.shape[0]

    @property
    def num_runs(self) -> int:
        return self.directions.shape[0]


def bits(atlas: Atlas, weights, value, *, width: float = WIDTH, most=jnp.inf):
    r"""Intelligence of policies worth `value` for the utility of `weights` `[F]`, in bits, as far as the atlas shows.

    .. math:: g = -\tfrac12 \log_2 \big((p \,\sin \pi r / \pi r)^2 + (n \bar w)^2\big), \quad
        p = \sum_i w_i \sigma_i, \quad
        \sigma_i = \sigma\Big(\frac{\theta\cdot\mu_i - v}{\omega}\Big), \quad r = 1 - \frac{1}{p} \sum_i w_i \sigma_i^2

    The step is smoothed over omega = about `width` s, with s the length over which the tail falls by e: exact where it
    falls exponentially over a few omega, from which r = omega / s is taken; high by up to 0.2 bits in the bulk.

    n = 30 particles of the mean weight of those beyond v, w = sum w^2 sigma / p, bound g: where the atlas is empty all
    is unknown, not rare, and g a lower bound (`is_unknown`). Where N effective particles lie beyond v they lower g by
    0.72 (n / N)^2 bits.

    most: -log2 xi({pi}), which g cannot exceed, where single policies have a chance of their own.

    Differentiable in `weights` and `value`; does not depend on the scale of `weights` if `value` goes with it.
    Costs O(M F). Chances down to 2^-500.
    """
    seen, steep, heavy, _ = _beyond(atlas, weights, value, width)
    r = jnp.clip(1 - steep / seen, 1e-3, _WIDEST)
    # As a sum of logarithms: squares of chances would underflow.
    chance = jnp.log(seen * jnp.sinc(r))
    shown = 0.5 * jnp.logaddexp(2 * chance, 2 * jnp.log(FEWEST * heavy / seen))
    return jnp.minimum(jnp.maximum(-shown / math.log(2), 0.0), most)


def effective_number(atlas: Atlas, weights, value, *, width: float = WIDTH):
    """How many particles beyond `value` there are, counted by their mean weight: p^2 / sum w^2 sigma. Costs O(M F)."""
    seen, _, heavy, missed = _beyond(atlas, weights, value, width)
    return seen**2 / heavy * jnp.exp(missed)


def std_error(atlas: Atlas, weights, value, *, width: float = WIDTH):
    """Standard error of `bits`, in bits, on the safe side: that of the effective number of particles beyond `value`,
    and of one run's way up there, 1.1 sqrt(g / (N ln 2)) for N particles; runs in like directions know it better.
    """
    number = effective_number(atlas, weights, value, width=width)
    population = atlas.created[:, 0].max()
    way_up = 1.08**2 * bits(atlas, weights, value, width=width) / (population * math.log(2))
    return jnp.sqrt(1 / (number * math.log(2) ** 2) + way_up)


def is_unknown(atlas: Atlas, weights, value, *, width: float = WIDTH):
    """Whether fewer than 30 effective particles lie beyond `value`: then `bits` is a lower bound, and says little."""
    return effective_number(atlas, weights, value, width=width) < FEWEST


def _beyond(atlas, weights, value, width):
    """Sums of w sigma, w sigma^2 and w^2 sigma, and how far (<= 0, in omega) the last particle is beyond the value."""
    variance = jnp.maximum(weights @ atlas.covariance @ weights, jnp.finfo(weights.dtype).tiny)
    above = (value - atlas.mean @ weights) / jnp.sqrt(variance)
    # In the precision of the counts: what is compared is of order 1. A normal tail falls by e over sd / sqrt(1 + z^2).
    scale = jnp.sqrt((1 + above**2) / variance)
    kind = atlas.counts.dtype
    beyond = atlas.counts @ (weights * scale).astype(kind) - (value * scale).astype(kind)
    real, mass = atlas.log_weight > -jnp.inf, jnp.exp(atlas.log_weight)
    # Values beyond all particles are seen from the last one: sigmoids that are 0 would say nothing.
    missed = jnp.minimum(jnp.where(real, beyond, -jnp.inf).max(), 0.0)
    beyond = beyond - missed

    def seen(omega):
        share = jax.nn.sigmoid(beyond / omega.astype(kind)).astype(weights.dtype)
        reach = mass * share
        return reach.sum(), reach @ share, reach @ mass

    omega = jnp.asarray(width, weights.dtype)
    for _ in range(_LOOKS):
        total, squares, _ = seen(omega)
        omega = omega * width / jnp.maximum(1 - squares / total, width)
    return *seen(omega), missed.astype(weights.dtype) / omega

"""An atlas of random policies: how rare a value is, for any weights of features at once.

A utility that is linear in features is worth theta . mu(pi), with mu the expected discounted feature counts of a policy
(THEORY, fact 8). So one weighted sample of feature counts of random policies serves every theta: the particles of
splitting runs in several directions, each counted by how densely all runs together cover its place (see
`atlas_runs.py`).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

# Of the sigmoid that smooths the step, as a share of the standard deviation of theta . mu among random policies. Where
# the mass above v falls by e over s, smoothing multiplies it by pi r / sin(pi r), r = width / s: 0.024 bits at r = 0.1,
# and 0.15 at 0.25. A normal tail has r of about 0.02 z: 0.1 at 20 bits, 0.23 at 100.
WIDTH = 0.02
FEWEST = 10.0  # effective particles beyond a value: fewer do not tell how rare it is


class Atlas(eqx.Module):
    """Feature counts of `M` random policies, weighted to represent the random-policy prior, and the `K` runs of up to
    `J` levels that they come from.

    counts: `[M, F]` expected discounted feature counts mu.
    log_weight: `[M]` ln of each particle's share of the prior, nats; -inf is padding.
    covariance: `[F, F]` of mu under the prior: the unit of the smoothing width.
    directions: `[K, F]` theta of each run.
    levels: `[K, J]` rising theta . mu that the particles of each level exceed; the first is -inf, +inf is padding.
    log_mass: `[K, J]` ln of the chance to exceed them, nats.
    created: `[K, J]` how many particles were drawn above each level; 0 is padding.
    """

    counts: Float[Array | np.ndarray, "M F"]
    log_weight: Float[Array | np.ndarray, "M"]
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


def bits(atlas: Atlas, weights, value, *, width: float = WIDTH, most: float = jnp.inf):
    r"""Intelligence of policies worth `value` for the utility of `weights` `[F]`, in bits, for all that the atlas shows.

    .. math:: g = -\log_2 \Big[\sum_i w_i\,\sigma\Big(\frac{\theta\cdot\mu_i - v}{\omega}\Big) + w_{top}\Big]

    with omega = `width` standard deviations of theta . mu among random policies, and w_top the weight of the particle
    that is worth most. The latter bounds g where the atlas is empty: what is not seen there is unknown, not rare, and
    g only a lower bound (`is_unknown`). Where n particles lie beyond v it lowers g by 1.44 / n bits.

    most: -log2 xi({pi}), which g cannot exceed, where single policies have a chance of their own.

    Differentiable in `weights` and `value`; does not depend on the scale of `weights` if `value` goes with it.
    Costs O(M F). Chances down to 2^-1000.
    """
    worth, reach = _beyond(atlas, weights, value, width)
    highest = jnp.argmax(jnp.where(atlas.log_weight > -jnp.inf, jax.lax.stop_gradient(worth), -jnp.inf))
    chance = reach.sum() + jnp.exp(atlas.log_weight[highest])
    return jnp.minimum(jnp.maximum(-jnp.log2(chance), 0.0), most)


def effective_number(atlas: Atlas, weights, value, *, width: float = WIDTH):
    """How many equally weighted particles those beyond `value` are worth: (sum w)^2 / sum w^2. Costs O(M F)."""
    _, reach = _beyond(atlas, weights, value, width)
    # By the largest of them: squares of weights below 2^-500 are 0.
    share = reach / jnp.maximum(reach.max(), jnp.finfo(reach.dtype).tiny)
    number = share.sum() ** 2 / jnp.maximum((share**2).sum(), jnp.finfo(reach.dtype).tiny)
    # Far beyond the last particle the sigmoids are those of a few that do not reach.
    return jnp.minimum(number, reach.sum() / jnp.exp(_lightest(atlas)))


def std_error(atlas: Atlas, weights, value, *, width: float = WIDTH):
    """Standard error of `bits`, in bits: that of an effective number of independent particles beyond `value`, and of
    the chances of the levels they were found above, to which each run of N particles adds sqrt(g / (N ln 2)) bits.

    Runs of like directions share their levels; the best run alone is counted here, so that the error is on the safe
    side. Costs O(M F + K J).
    """
    number = effective_number(atlas, weights, value, width=width)
    bits_there = bits(atlas, weights, value, width=width)
    population = jnp.maximum(atlas.created[:, 0].max(), 1.0)
    return jnp.sqrt(1 / (number * jnp.log(2.0) ** 2) + 1.08**2 * bits_there / (population * jnp.log(2.0)))


def is_unknown(atlas: Atlas, weights, value, *, width: float = WIDTH):
    """Whether fewer than 10 effective particles lie beyond `value`: then `bits` is a lower bound, and says little."""
    return effective_number(atlas, weights, value, width=width) < FEWEST


def _beyond(atlas, weights, value, width):
    """`[M]` theta . mu, and the weights of particles times how far they are beyond `value`."""
    worth = atlas.counts @ weights
    tiny = jnp.finfo(worth.dtype).tiny
    spread = jnp.sqrt(jnp.maximum(weights @ atlas.covariance @ weights, tiny))
    return worth, jnp.exp(atlas.log_weight) * jax.nn.sigmoid((worth - value) / (width * spread))


def _lightest(atlas):
    return jnp.where(atlas.log_weight > -jnp.inf, atlas.log_weight, jnp.inf).min()

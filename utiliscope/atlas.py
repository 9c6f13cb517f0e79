"""An atlas of how rare values are, for any weights of features at once.

Laplace's method (`laplace.py`) gives the bits of a value for any utility within a bit or so; splitting gives them for
one utility within a stated error. Runs in several directions of weights, those in which a posterior lies, say how far
Laplace's bits are off there, and a smooth correction is learned from them.

The particles of the runs together would be a sample of all random policies (THEORY, section 6), but it has holes: in
directions between those of the runs rare policies are missing, what is missing counts as intelligence, and that is
where NUTS then goes. A correction has none.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .errors import InputError
from .laplace import check_laplace, laplace_bits
from .payoffs import Payoffs
from .tails import value_tail
from .values import on_device
from .world.model import bare
from .world.possible import World

_HEIGHTS = 8  # of each run at which bits are compared
_LEAST_BITS = 1.0
_MOST_STATES = 256
_STEADY = 0.1  # bits; what no correction of two terms follows
_PRIOR = np.array([1.0, 0.1])  # of the coefficients, in sd: a bit at 1 bit, a tenth of all bits


class Atlas(eqx.Module):
    """`K` splitting runs, each compared with Laplace's method at `J` heights.

    directions: `[K, F]` weights theta of each run.
    bits, error, laplace: `[K, J]` at the same values: by splitting, its standard error, and by Laplace's method.
    coefficients: `[2]` a and b of the correction a g / sqrt(1 + g) + b g to Laplace's bits g.
    """

    directions: Float[Array | np.ndarray, "K F"]
    bits: Float[Array | np.ndarray, "K J"]
    error: Float[Array | np.ndarray, "K J"]
    laplace: Float[Array | np.ndarray, "K J"]
    coefficients: Float[Array | np.ndarray, "2"]

    def __len__(self) -> int:
        """Number of runs."""
        return self.directions.shape[0]

    def without_runs(self) -> "Atlas":
        """The correction alone, which is all that a program needs: of one size, whatever it was learned from."""
        none = np.zeros((0, _HEIGHTS))
        return Atlas(np.zeros((0, self.directions.shape[1])), none, none, none, np.asarray(self.coefficients))

    @property
    def deepest(self) -> float:
        """Bits up to which the runs reach."""
        return float(np.max(self.bits))

    @property
    def left_over(self) -> float:
        """Root mean square of what the correction leaves, in bits, the runs' own errors included."""
        return float(np.sqrt(np.mean((self.bits - _corrected(self.laplace, self.coefficients)) ** 2)))


def atlas_bits(atlas: Atlas, world: World, reward, value, *, policy_prior):
    """Intelligence in bits of a policy worth `value`, for payoffs `[S]` or `[S, A]`: Laplace's, corrected.

    Differentiable, and costs what `laplace_bits` does; nan where that is.
    """
    return jnp.maximum(_corrected(laplace_bits(world, reward, value, policy_prior=policy_prior), atlas.coefficients), 0)


def _corrected(bits, coefficients):
    return bits + coefficients[0] * bits / (1 + bits) ** 0.5 + coefficients[1] * bits


def make_atlas(
    key, world: World, features, directions, *, policy_prior, max_bits: float = 60.0, num_particles: int = 256
) -> Atlas:
    """An atlas from a splitting run of `max_bits` for each of `directions` `[K, F]`, over state `features` `[F, S]`.

    Costs `K` value tails of `num_particles` policies (see `value_tail`). Raises InputError for priors that are not
    Dirichlet, for worlds with a horizon or of more than 256 states, and for features and directions that do not fit.
    `key` is consumed.
    """
    check_laplace(world, policy_prior)
    features, directions = np.asarray(features, np.float64), np.asarray(directions, np.float64)
    if world.num_states > _MOST_STATES:
        raise InputError(
            f"an atlas is of worlds of up to {_MOST_STATES} states, this one has {world.num_states}. Compare a set of "
            "candidate utilities instead (Grammar, SparseWeights)"
        )
    if features.ndim != 2 or features.shape[1] != world.num_states or not np.isfinite(features).all():
        raise InputError(f"features have shape {features.shape}, not [features, {world.num_states} states] of numbers")
    if directions.ndim != 2 or directions.shape[1] != len(features) or not len(directions):
        raise InputError(
            f"directions have shape {directions.shape}, not [runs, {len(features)} features], with a run at least"
        )
    size = np.abs(directions).max(1, keepdims=True)
    if not (np.isfinite(size).all() and (size > 0).all()):
        raise InputError("a direction is zero or not finite; every run needs weights to climb by")
    directions = directions / size
    number = len(directions)
    rewards = directions @ features
    payoffs = Payoffs(rewards, None, np.zeros((number, 0)), np.zeros((0, world.num_states), bool))
    runs = dict(policy_prior=policy_prior, num_particles=num_particles, max_bits=max_bits)
    tails = value_tail(key, world, payoffs, **runs)
    values, bits, error = (np.zeros((number, _HEIGHTS)) for _ in range(3))
    for k in range(number):
        rising = -np.asarray(tails.log2_prob[k])
        bits[k] = np.linspace(min(_LEAST_BITS, rising[-1]), min(max_bits, rising[-1]), _HEIGHTS)
        values[k] = np.interp(bits[k], rising, tails.values[k])
        error[k] = np.interp(bits[k], rising, tails.log2_error[k])
    with jax.enable_x64(True):
        laplace = np.asarray(_laplace(on_device(bare(world)), rewards, values, policy_prior))
    known = np.isfinite(laplace)
    laplace, error = np.where(known, laplace, bits), np.where(known, error, np.inf)
    return Atlas(directions, bits, error, laplace, _coefficients(bits, error, laplace))


def joined(*atlases: Atlas) -> Atlas:
    """The runs of several atlases of one world and prior, and the correction that all of them together say."""
    names = "directions", "bits", "error", "laplace"
    directions, bits, error, laplace = (
        np.concatenate([np.asarray(getattr(one, name)) for one in atlases]) for name in names
    )
    return Atlas(directions, bits, error, laplace, _coefficients(bits, error, laplace))


@jax.jit
def _laplace(world, rewards, values, policy_prior):
    """`[K, J]` Laplace's bits of `values` `[K, J]` for `rewards` `[K, S]`; compiled once for all rounds."""

    def one(reward, value):
        return laplace_bits(world, reward, value, policy_prior=policy_prior)

    return jax.lax.map(lambda run: jax.vmap(one, (None, 0))(*run), (rewards, values))


def _coefficients(bits, error, laplace):
    """By least squares, each run counted once: its errors go with one another."""
    precision = 1 / (bits.shape[1] * (error**2 + _STEADY**2))
    basis = np.stack([laplace / np.sqrt(1 + laplace), laplace], axis=-1)
    normal = np.einsum("kj,kja,kjb->ab", precision, basis, basis) + np.diag(_PRIOR**-2)
    return np.linalg.solve(normal, np.einsum("kj,kja,kj->a", precision, basis, bits - laplace))

"""What `fit` is told, checked before any work."""

from numbers import Real

import numpy as np
from numpyro import distributions as dist

from .errors import InputError, check_whole
from .laws import check_law
from .policies import check_prior
from .utilities import Candidates, FeatureWeights
from .world.model import check_world


def positive(name, value, zero=False):
    """`value`, a number above 0 (with `zero` also 0) or a distribution over such numbers, else InputError."""
    if isinstance(value, dist.Distribution):
        support = value.support
        positive = support in (dist.constraints.positive, dist.constraints.unit_interval)
        positive |= getattr(support, "lower_bound", -1.0) >= 0
        if positive and not value.batch_shape and not value.event_shape:
            return value
        raise InputError(f"{name} has a prior over other than positive numbers; take one such as LogNormal(0, 1)")
    if isinstance(value, Real | np.floating) and (value > 0 or (zero and value == 0)) and np.isfinite(value):
        return float(value)
    raise InputError(f"{name} is {value!r}; give a number above 0, or a NumPyro distribution to infer it")


def check_settings(world, policy_prior, law, candidates, weights, simplicity, shape, num_steps, seed) -> None:
    """Raise InputError for the first of `fit`'s settings that is wrong."""
    check_world(world)
    check_prior(policy_prior)
    check_law(law)
    if candidates is not None and not (isinstance(candidates, Candidates) and len(candidates)):
        raise InputError(
            f"candidates is {candidates!r:.60}; give what Grammar(world).enumerate() or candidate_set(...) return"
        )
    if weights is not None and not isinstance(weights, FeatureWeights):
        raise InputError(f"weights is {weights!r:.60}; give FeatureWeights(world)")
    if not (isinstance(simplicity, Real) and np.isfinite(simplicity) and simplicity >= 0):
        raise InputError(f"simplicity is {simplicity}; it must be a weight >= 0")
    for (name, value), least in zip(shape._asdict().items(), (1, 4, 1), strict=True):
        check_whole(name, value, least)
    check_whole("num_steps", 1 if num_steps is None else num_steps, 1)
    check_seed(seed)


def check_seed(seed) -> None:
    """Raise InputError unless `seed` is a whole number from 0 to 2^32 - 1."""
    if not hasattr(seed, "__index__") or not 0 <= seed < 2**32:
        raise InputError(f"seed is {seed}; it must be a whole number from 0 to 2^32 - 1")

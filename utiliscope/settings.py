"""What `fit` is told, checked before any work."""

from numbers import Real

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import distributions as dist
from numpyro import handlers
from scipy.special import ndtr

from .errors import InputError, check_whole
from .laws import check_law, sampled_law
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
    for name, least in dict(num_warmup=1, num_samples=4, num_chains=1).items():
        check_whole(name, getattr(shape, name), least)
    if not (isinstance(shape.target_accept, Real) and 0 < shape.target_accept < 1):
        raise InputError(f"target_accept is {shape.target_accept!r}; it must be a share between 0 and 1, such as 0.9")
    check_whole("num_steps", 1 if num_steps is None else num_steps, 1)
    check_seed(seed)


def check_seed(seed) -> None:
    """Raise InputError unless `seed` is a whole number from 0 to 2^32 - 1."""
    if not hasattr(seed, "__index__") or not 0 <= seed < 2**32:
        raise InputError(f"seed is {seed}; it must be a whole number from 0 to 2^32 - 1")


def check_asked(given: dict, wanted, program) -> None:
    """Raise InputError for the first of `given` that was given (is not None) and that the program does not ask for."""
    for name, value in given.items():
        if value is not None and name not in wanted:
            known = getattr(program, "__name__", program)
            raise InputError(f"the program {known!r} asks for no {name}, so it would do nothing; leave it out")


def check_method(method, guide, num_steps, target_accept) -> None:
    """Raise InputError for settings of a variational guide or of NUTS where there is none."""
    if method != "svi" and not (guide is None and num_steps is None):
        raise InputError(
            f"guide and num_steps are those of method='svi'; with {method!r} they would do nothing, leave them out"
        )
    if method != "nuts" and target_accept is not None:
        raise InputError(f"target_accept is that of method='nuts'; with {method!r} it would do nothing, leave it out")


def check_weighing(counts, world, weights, policy_prior, law, simplicity) -> None:
    """Raise InputError for the first thing that keeps weights from being inferred with an atlas."""
    if not isinstance(weights, FeatureWeights):
        raise InputError(f"weights is {weights!r:.60}; give FeatureWeights(world)")
    if counts.shape != (world.num_states, world.num_actions) or not (np.isfinite(counts) & (counts >= 0)).all():
        raise InputError(f"counts have shape {counts.shape}; give how often each action was taken, [states, actions]")
    if not hasattr(policy_prior, "distribution"):
        raise InputError(f"{type(policy_prior).__name__} has no density; weights are inferred with Dirichlet(...)")
    if not (hasattr(policy_prior, "concentration") and world.horizon is None):
        raise InputError(
            "an atlas is made of Dirichlet rows in a world without a horizon; give Dirichlet(...) and such a one"
        )
    check_law(law)
    law.log_mean()  # an improper law is refused before the work begins
    with handlers.seed(rng_seed=0), handlers.trace() as sites:
        sampled_law(law)
    if sites:
        raise InputError(
            f"the law's {', '.join(sites)} would be inferred, which the atlas does not do; give numbers: "
            "ExponentialLaw(0.8)"
        )
    with jax.enable_x64(True):
        try:
            np.asarray(weights.prior.icdf(jnp.asarray(ndtr(0.5))))
        except (NotImplementedError, ImportError):
            raise InputError(
                f"the prior {type(weights.prior).__name__} has no quantiles (icdf); use one such as Cauchy or Normal"
            ) from None
        far = np.asarray(weights.prior.log_prob(jnp.array([1e6, 1e9])))
    # A density that falls as |theta|^-k has no integral to the power k^-1.
    with np.errstate(invalid="ignore"):
        falls = (far[0] - far[1]) / np.log(1e3)
    if not simplicity > 0 or simplicity * falls <= 1:
        raise InputError(
            f"simplicity is {simplicity}: weighted so little, the prior of weights has no end and the posterior is "
            f"improper; choose more than {1 / falls if falls > 1 else 0:.2g}, or a prior with lighter tails"
        )

"""Intelligence laws h(g): how the operator's intelligence re-weighs random policies."""

import dataclasses
import math
from typing import Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from jax import Array
from jax.scipy.special import logsumexp
from numpyro import distributions as dist

from .cache import described
from .errors import InputError
from .noisy_readings import LEAST_BITS, LN2, far_nodes, gamma_nodes, log_mean_of_readings

_BITS_TOLERANCE = 1e-9  # of bits that are the same
_NOISE_NODES = 32  # where means over noise are taken for finitely many policies


@runtime_checkable
class IntelligenceLaw(Protocol):
    """h(g), up to a constant. Weights are ln h in nats; g is in bits. Parameters with a prior are inferred."""

    def log_weight(self, bits): ...

    def log_mean(self) -> float:
        """ln E[h(g)] over random policies when no two of them tie: then g is Exponential(ln 2)."""


Parameter = float | Array | dist.Distribution


class ExponentialLaw(eqx.Module):
    """h(g) = 2^(beta g): each bit of intelligence makes an operator 2^beta times likelier.

    beta: a number, or a NumPyro distribution for one that is inferred. Without ties E[h] = 1 / (1 - beta), which
    diverges at beta >= 1: there the law is improper unless random policies are finitely many.
    """

    beta: Parameter = 0.8

    def log_weight(self, bits):
        return self.beta * LN2 * bits

    def log_mean(self):
        beta = self.beta
        known = not isinstance(beta, jax.core.Tracer | dist.Distribution)
        # A prior may come as close to 1 as it likes: the likelihood vanishes there.
        most = float(beta) if known else getattr(getattr(beta, "support", None), "upper_bound", 0.0)
        if (known and most >= 1) or most > 1 or (isinstance(beta, dist.Distribution) and _unbounded(beta)):
            raise InputError(
                f"{described(self)} is improper over continuous random policies: E[2^(beta g)] "
                "diverges at beta >= 1. Use beta < 1 (a prior such as Uniform(0, 1)), or a finite policy prior with "
                "the achieved reading"
            )
        return 0.0 if isinstance(beta, dist.Distribution) else -jnp.log1p(-beta)

    def log_noisy_mean(self, sigma):
        return self.log_mean() + (self.beta * LN2 * sigma) ** 2 / 2


class BumpLaw(eqx.Module):
    """The operator's intelligence is Gamma distributed, of mean `mean` bits: intelligent, but not perfect.

    mean: bits. shape: of the Gamma density; 1 falls from 0 on, above it there is a bump, narrower for larger ones. Both
    are numbers, or NumPyro distributions for what is inferred.
    """

    mean: Parameter = 10.0
    shape: Parameter = 2.0

    def __check_init__(self):
        for name in ("mean", "shape"):
            value = getattr(self, name)
            if isinstance(value, float | int) and not 0 < value < math.inf:
                raise InputError(f"BumpLaw({name}={value}): it must be a number above 0, or a distribution over such")

    def log_weight(self, bits):
        return DensityLaw(dist.Gamma(self.shape, self.shape / self.mean)).log_weight(bits)

    def log_mean(self):
        return 0.0

    def log_noisy_mean(self, sigma):
        return log_mean_of_readings(self.log_weight, sigma, *gamma_nodes(self.mean, self.shape))


class DensityLaw(eqx.Module):
    """The operator's intelligence has `density`, a NumPyro distribution over [0, inf) bits: h = f(g) / (ln 2 2^-g).

    A Gamma rises and then falls: intelligent, but not perfect.
    """

    density: dist.Distribution

    def log_weight(self, bits):
        bits = jnp.maximum(bits, LEAST_BITS)
        return self.density.log_prob(bits) + LN2 * bits - math.log(LN2)

    def log_mean(self) -> float:
        return 0.0

    def log_noisy_mean(self, sigma):
        known = isinstance(self.density, dist.Gamma)
        nodes = gamma_nodes(self.density.mean, self.density.concentration) if known else far_nodes()
        return log_mean_of_readings(self.log_weight, sigma, *nodes)


class RandomMixture(eqx.Module):
    """With chance `share` the operator is but a random policy, else one of `law`.

    h = share + (1 - share) h_law / Z_law(U), whose mean over random policies is 1.
    """

    law: IntelligenceLaw = ExponentialLaw()
    share: Parameter = 0.1

    def __check_init__(self):
        if isinstance(self.share, float | int) and not 0 <= self.share <= 1:
            raise InputError(f"RandomMixture(share={self.share}): the share of random operators is from 0 to 1")

    def log_weight(self, bits):
        return self._mixed(self.law.log_weight(bits) - self.law.log_mean())

    def log_mean(self):
        self.law.log_mean()
        return 0.0

    def log_relative_weight(self, tails, bits):
        return self._mixed(log_intelligence_weight(self.law, tails, bits))

    def _mixed(self, log_weight):
        return jnp.logaddexp(jnp.log(self.share), jnp.log1p(-self.share) + log_weight)


def _unbounded(prior) -> bool:
    """Whether a prior has no upper end, or none that is known."""
    support = prior.support
    return support is not dist.constraints.unit_interval and not hasattr(support, "upper_bound")


def check_law(law) -> None:
    """Raise InputError unless `law` is an intelligence law."""
    if not isinstance(law, IntelligenceLaw) or isinstance(law, type):
        raise InputError(f"intelligence_law is {law!r}; give a law such as ExponentialLaw(0.8) or DensityLaw(...)")


def sampled_law(law: IntelligenceLaw, site: str = "{}") -> IntelligenceLaw:
    """`law` with every parameter that has a prior drawn from it: inside a program, a site of the parameter's name.

    site: how sites are called, with {} for the name.
    """
    drawn = {}
    for name in getattr(law, "__dataclass_fields__", {}):
        value = getattr(law, name)
        if isinstance(value, IntelligenceLaw):
            drawn[name] = sampled_law(value, site)
        elif isinstance(value, dist.Distribution) and not isinstance(law, DensityLaw):
            drawn[name] = numpyro.sample(site.format(name), value)
    return dataclasses.replace(law, **drawn) if drawn else law


def log_intelligence_weight(law: IntelligenceLaw, tails, bits):
    """ln h(g) / Z(U) in nats, for `bits` = g `[U]`: how much likelier intelligence makes a policy than xi does.

    For a utility that ties all policies the weight is 1: g = 0 carries no information.
    """
    if hasattr(law, "log_relative_weight"):
        return law.log_relative_weight(tails, bits)
    weight = law.log_weight(jnp.where(tails.constant(), 1.0, bits)) - log_normaliser(law, tails)
    return jnp.where(tails.constant(), 0.0, weight)


def log_noisy_weight(law: IntelligenceLaw, tails, bits, sigma, error):
    """ln h(g + n) / E[h(g + n)] in nats, of a reading of g = `bits` `[U]` with noise n = sigma `error`, bits.

    The mean is over random policies and Normal(0, sigma) noise; a law may know it as `log_noisy_mean(sigma)`, else it
    is found by quadrature. Where no two policies tie it is the same for every utility.
    """
    if isinstance(law, RandomMixture):
        return law._mixed(log_noisy_weight(law.law, tails, bits, sigma, error))
    if tails.atomic:
        nodes, shares = np.polynomial.hermite_e.hermegauss(_NOISE_NODES)
        _, heights, log_mass = tails.cells(None, None)
        each = law.log_weight(heights[..., None] + sigma * nodes) + np.log(shares / shares.sum())
        log_mean = logsumexp(log_mass + logsumexp(each, axis=-1), axis=-1)
    elif hasattr(law, "log_noisy_mean"):
        log_mean = law.log_noisy_mean(sigma)
    else:
        log_mean = log_mean_of_readings(law.log_weight, sigma, *far_nodes())
    weight = law.log_weight(jnp.where(tails.constant(), 1.0, bits) + sigma * error) - log_mean
    return jnp.where(tails.constant(), 0.0, weight)


def log_normaliser(law: IntelligenceLaw, tails):
    """ln Z(U) = ln E[h(g)] over random policies, in nats, one for each tail: E_xi[h(g)] of any law h.

    Without ties the same number for every U; with finitely many policies the sum over the tail's steps.
    """
    if hasattr(law, "log_relative_weight"):
        return jnp.zeros(tails.values.shape[:-1])
    if not tails.atomic:
        return law.log_mean()
    _, bits, log_mass = tails.cells(None, None)
    return logsumexp(log_mass + law.log_weight(bits), axis=-1)


def intelligence_survival(tails, bits):
    """P(g >= `bits`) over random policies, one for each tail: the law of g under the prior itself.

    Without ties 2^-bits: g is Exponential(ln 2). With finitely many policies g only takes the values of the tail's
    steps, and the chance is that of the first step that is as high; beyond the end of the curve, 0 if it is complete,
    else at most the chance of its last step, which is returned.
    """
    bits = jnp.asarray(bits)
    if not tails.atomic:
        return jnp.where(tails.constant(), (bits <= 0) * 1.0, jnp.exp2(-jnp.maximum(bits, 0.0)))
    heights = -jnp.asarray(tails.log2_prob)
    reached = heights >= bits[..., None] - _BITS_TOLERANCE
    chance = jnp.max(jnp.where(reached, jnp.exp2(-heights), 0.0), axis=-1)
    return jnp.where(reached.any(-1) | tails.complete, chance, jnp.exp2(-heights[..., -1]))

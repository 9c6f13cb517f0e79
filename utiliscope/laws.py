"""Intelligence laws h(g): how the operator's intelligence re-weighs random policies."""

import math
from typing import Protocol, runtime_checkable

import equinox as eqx
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from numpyro import distributions as dist

from .errors import InputError

LN2 = math.log(2.0)

# A population of N random policies cannot tell g below about 1 / N from 0, where a density may vanish.
_LEAST_BITS = 1e-4
_BITS_TOLERANCE = 1e-9  # of bits that are the same


@runtime_checkable
class IntelligenceLaw(Protocol):
    """h(g), up to a constant. Weights are ln h in nats; g is in bits."""

    def log_weight(self, bits): ...

    def log_mean(self) -> float:
        """ln E[h(g)] over random policies when no two of them tie: then g is Exponential(ln 2)."""


class ExponentialLaw(eqx.Module):
    """h(g) = 2^(beta g): each bit of intelligence makes an operator 2^beta times likelier.

    Without ties E[h] = 1 / (1 - beta), which diverges at beta >= 1: there the law is improper unless random
    policies are finitely many.
    """

    beta: float = 0.8

    def log_weight(self, bits):
        return self.beta * LN2 * bits

    def log_mean(self) -> float:
        if self.beta >= 1:
            raise InputError(
                f"ExponentialLaw(beta={self.beta}) is improper over continuous random policies: E[2^(beta g)] "
                "diverges at beta >= 1. Use beta < 1, or a finite policy prior with the achieved reading"
            )
        return -math.log1p(-self.beta)


class DensityLaw(eqx.Module):
    """The operator's intelligence has `density`, a NumPyro distribution over [0, inf) bits: h = f(g) / (ln 2 2^-g).

    A Gamma rises and then falls: intelligent, but not perfect.
    """

    density: dist.Distribution

    def log_weight(self, bits):
        bits = jnp.maximum(bits, _LEAST_BITS)
        return self.density.log_prob(bits) + LN2 * bits - math.log(LN2)

    def log_mean(self) -> float:
        return 0.0


def check_law(law) -> None:
    """Raise InputError unless `law` is an intelligence law."""
    if not isinstance(law, IntelligenceLaw) or isinstance(law, type):
        raise InputError(f"intelligence_law is {law!r}; give a law such as ExponentialLaw(0.8) or DensityLaw(...)")


def log_intelligence_weight(law: IntelligenceLaw, tails, bits):
    """ln h(g) / Z(U) in nats, for `bits` = g `[U]`: how much likelier intelligence makes a policy than xi does.

    For a utility that ties all policies the weight is 1: g = 0 carries no information.
    """
    weight = law.log_weight(jnp.where(tails.constant(), 1.0, bits)) - log_normaliser(law, tails)
    return jnp.where(tails.constant(), 0.0, weight)


def log_normaliser(law: IntelligenceLaw, tails):
    """ln Z(U) = ln E[h(g)] over random policies, in nats, one for each tail: E_xi[h(g)] of any law h.

    Without ties the same number for every U; with finitely many policies the sum over the tail's steps.
    """
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

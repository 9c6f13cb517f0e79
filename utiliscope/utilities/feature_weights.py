r"""`FeatureWeights`: the prior over utilities that pay continuous weights for features.

.. math:: U(s_0, s_1, \dots) = \sum_t \gamma^t \, \theta \cdot \phi(s_t)
"""

import math
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from numbers import Real

import jax
import numpy as np
import numpyro
from jax.scipy.special import ndtr
from numpyro import distributions as dist

from utiliscope.errors import InputError
from utiliscope.world.possible import World

from .priors import payment_features

_LEAST_MASS = 1e-9
_LIGHT = dist.Normal, dist.Laplace, dist.Logistic, dist.Gumbel


@dataclass(frozen=True, eq=False)
class FeatureWeights:
    """Every feature has a weight of its own, drawn from one density.

    world: whose features are weighed; bools count as 0 and 1. states: whether single states are features too; by
    default only if there are no others. features: more features, by name: `[S]`, or a function of a state's name.
    prior: a NumPyro distribution over the real line. The default, a Cauchy density of scale 1, is sparse: in cells of
    width 1 a weight of n takes about 2 log2 n + log2 pi bits, as many as Elias gamma needs for a sign and n.
    precision: d, the width of the cells in which weights are told apart when they are priced.

    The bits of weights theta are  sum_i -log2 P(|x_i - theta_i| < d / 2).

    Raises InputError for worlds without anything to weigh, features that are not finite, a prior that is no density of
    one real number, and a precision that is not above 0.
    """

    world: World
    _: KW_ONLY
    states: bool | None = None
    features: Mapping | None = None
    prior: dist.Distribution | None = None
    precision: float | int = 1.0

    def __post_init__(self):
        values, _ = payment_features(self.world, self.features, self.states)
        object.__setattr__(self, "names", tuple(str(atom) for atom in values))
        object.__setattr__(self, "values", np.array(list(values.values()), np.float64))
        prior = dist.Cauchy(0.0, 1.0) if self.prior is None else self.prior
        object.__setattr__(self, "prior", prior)
        if not isinstance(prior, dist.Distribution) or prior.batch_shape or prior.event_shape:
            raise InputError(f"prior is {prior!r:.80}; give the density of one weight, such as dist.Cauchy(0.0, 1.0)")
        if prior.support is not dist.constraints.real:
            raise InputError(f"prior has the support {prior.support}; weights are any real numbers")
        if not (isinstance(self.precision, Real) and 0 < self.precision < math.inf):
            raise InputError(f"precision is {self.precision!r}; it must be a finite number above 0")

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def distribution(self) -> dist.Distribution:
        """The prior of all weights, `[F]`."""
        return self.prior.expand([len(self)]).to_event(1)

    def code_length(self, weights):
        """`[...]` bits of weights `[..., F]` at the stated precision."""
        weights, half = np.asarray(weights, np.float64), self.precision / 2
        with jax.enable_x64(True):
            mass = np.asarray(self.prior.cdf(weights + half)) - np.asarray(self.prior.cdf(weights - half))
            log_density = np.asarray(self.prior.log_prob(weights))
        # Far out a difference of masses has no digits left, and the density hardly changes within a cell.
        in_nats = np.where(mass > _LEAST_MASS, np.log(np.maximum(mass, _LEAST_MASS)), log_density + np.log(2 * half))
        return -in_nats.sum(-1) / math.log(2)


def sampled_weights(weights: FeatureWeights):
    """The site `weights` `[F]` of a program.

    Priors with heavy tails are sampled by their normal scores: from such tails NUTS would not come back.
    """
    if isinstance(weights.prior, _LIGHT):
        return numpyro.sample("weights", weights.distribution)
    score = numpyro.sample("score", dist.Normal().expand([len(weights)]).to_event(1))
    return numpyro.deterministic("weights", weights.prior.icdf(ndtr(score)))

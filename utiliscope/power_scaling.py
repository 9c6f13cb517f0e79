r"""How a posterior answers to its weights: simplicity alpha and intelligence beta, by power-scaling, without a new fit.

With alpha and beta multiplied by a and b, each draw of a policy, at which utilities have probabilities p(U), counts for

.. math:: w = \sum_U p(U) e^{\Delta(U)}, \qquad
    \Delta(U) = -(a - 1)\,\alpha K(U) \ln 2 + \ln \frac{h^b(g)}{\mathrm{E}[h^b]} - \ln \frac{h(g)}{\mathrm{E}[h]},

and at it utilities have probabilities p e^Delta / w. Draws of a policy tell of other weights by importance: w smoothed
(Vehtari, Simpson, Gelman, Yao and Gabry 2024). For alpha alone Delta is the same at every draw, and reweighting exact.

Reference: Kallioinen, Paananen, Buerkner and Vehtari (2024), "Detecting and diagnosing prior and likelihood sensitivity
with power-scaling".
"""

from typing import NamedTuple

import arviz as az  # noqa: F401 - gives xarray its accessor
import jax
import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import logsumexp

from .errors import InputError
from .estimate import share_error
from .laws import LN2, ExponentialLaw, IntelligenceLaw
from .posterior import mean_error
from .recorded_law import recorded_law

# Trapezoids over bits, geometric: means of laws to about 1e-6.
_BITS = np.concatenate([[0.0], np.geomspace(1e-4, 4000.0, 2**14 - 1)])
_DECAYED = -30.0  # nats: an integrand that ends above this has not converged
_AGREES = 1e-3  # nats
_POWERS = (0.99, 1.01)  # ArviZ's own
_LEAST_TAIL = 5  # weights to which a Pareto law can be fitted


class PowerScaled(NamedTuple):
    """Utilities `[U]` under other weights. probability; std_error (Monte Carlo, of draws and value tails); pareto_k of
    the importance weights: above 0.7 they, and so the probabilities and their errors, are not to be trusted. 0 where
    none were needed, inf for fewer draws than 25."""

    probability: np.ndarray
    std_error: np.ndarray
    pareto_k: float


def power_scaled(
    posterior: xr.DataTree,
    *,
    simplicity: float = 1.0,
    intelligence: float = 1.0,
    intelligence_law: IntelligenceLaw | None = None,
) -> PowerScaled:
    """The posterior of utilities with alpha multiplied by `simplicity` and beta by `intelligence`.

    posterior: of `fit`, with one operator. beta is the exponent of h: ExponentialLaw(beta) becomes
    ExponentialLaw(intelligence beta), any other law h^intelligence, each with its own mean over random policies.
    intelligence_law: that of the fit; needed only where it is not read off the posterior, see `recorded_law`.

    Simplicity is exact for every program whose utilities have prior 2^(-simplicity K), given the posterior.
    Intelligence takes importance weights of policies, and is there for the program "candidates" only: others are summed
    exactly, and fitted anew in no time, or have no policies to reweigh. Raises InputError there, for laws with
    inferred parameters, and where h^intelligence is improper.
    """
    draws, _ = _groups(posterior)
    for name, factor in (("simplicity", simplicity), ("intelligence", intelligence)):
        if not (np.isfinite(factor) and factor >= 0):
            raise InputError(f"{name} is {factor}; it multiplies the weight of the fit, a number from 0")
    log_prob = draws["utility_log_prob"].values
    change = (simplicity - 1) * _simplicity(posterior)
    pareto_k = 0.0
    if intelligence != 1:
        weights = _Weights(posterior, intelligence_law)
        change = change + weights.log_weight(intelligence) - weights.log_weight(1.0)
    change = np.broadcast_to(change, log_prob.shape)
    log_weight = logsumexp(log_prob + change, axis=-1)
    shares = np.exp(log_prob + change - log_weight[..., None])
    if intelligence != 1:
        log_weight, pareto_k = _smoothed(log_weight)
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.mean()
    probability = (weight[..., None] * shares).mean((0, 1))
    error = mean_error(weight[..., None] * (shares - probability))
    error = np.hypot(error, _tail_error(posterior, intelligence_law, intelligence, np.exp(log_prob), probability))
    return PowerScaled(probability, error, pareto_k)


def trade_off_sensitivity(
    posterior: xr.DataTree, *, most: int = 8, intelligence_law: IntelligenceLaw | None = None
) -> pd.DataFrame:
    """How the probabilities of the `most` likeliest utilities answer to the weights on simplicity and intelligence.

    Columns: utility; probability; simplicity_slope and intelligence_slope, how much the probability changes for each
    doubling of alpha or beta, to first order, and their Monte Carlo errors simplicity_slope_error and
    intelligence_slope_error; simplicity_psense and intelligence_psense, ArviZ's power-scaling sensitivity of whether U
    is the operator's utility: above 0.05 it is called sensitive (Kallioinen and others 2024).

    Slopes are covariances over draws with the utility summed out: exact but for the draws, no weights needed. What is
    scaled is -alpha K ln 2, and of intelligence the gain of ln(h^b / E[h^b]) with b at 1: for ExponentialLaw
    beta ln 2 g - beta / (1 - beta), and 0 for a utility that ties all policies; the chance of the recorded actions
    stays as it is. ArviZ's measure, the cumulative Jensen-Shannon distance for each doubling at powers 0.99 and 1.01,
    takes draws of the utility (`utility_index`): NaN where no draw, or every one, is that utility. It is relative to
    how probable a utility is: slopes say what matters. How far draws of NUTS tell of other weights, `power_scaled` says
    by its Pareto k. Where it has no intelligence those columns are NaN (`why_not` tells).

    posterior, intelligence_law: as in `power_scaled`. Takes no new simulation.
    """
    draws, constant = _groups(posterior)
    log_prob = draws["utility_log_prob"].values
    probability = np.exp(log_prob).mean((0, 1))
    kept = np.lexsort((constant["code_length"].values, -probability))[:most]
    scores = {"simplicity": np.broadcast_to(_simplicity(posterior), log_prob.shape)}
    if intelligence_law is not None or why_not(posterior) is None:
        scores["intelligence"] = _Weights(posterior, intelligence_law).score()
    table = pd.DataFrame({"utility": draws["utility"].values.astype(str)[kept], "probability": probability[kept]})
    for name in ("simplicity", "intelligence"):
        slope = error = sense = np.full(len(kept), np.nan)
        if name in scores:
            slope, error = _slopes(log_prob, scores[name])
            sense = _psense(draws["utility_index"].values, kept, scores[name])
            slope, error = slope[kept], error[kept]
        table[f"{name}_slope"], table[f"{name}_slope_error"], table[f"{name}_psense"] = slope, error, sense
    return table


def why_not(posterior: xr.DataTree) -> str | None:
    """Why intelligence cannot be power-scaled, in words; None if it can."""
    try:
        _Weights(posterior, None)
    except InputError as error:
        return str(error)
    return None


def _unknown(posterior, law) -> str | None:
    """Why the weights of the draws are not known, from what the posterior says of itself."""
    attributes = posterior["posterior"].attrs
    if (attributes.get("program"), attributes.get("reading")) != ("candidates", "policy"):
        return (
            f"the program {attributes.get('program')!r} with reading {attributes.get('reading')!r} has no policies "
            "whose intelligence could be weighed otherwise; fit again with another law"
        )
    if not str(attributes.get("policy_prior", "")).startswith("Dirichlet"):
        return f"under {attributes.get('policy_prior')} random policies tie; fit again with another law"
    if law is None and recorded_law(posterior) is None:
        return (
            f"the law {attributes.get('intelligence_law')} is not one of numbers only; give intelligence_law, or, if "
            "its parameters were inferred, look at their posterior"
        )
    return None


class _Weights:
    """ln h^b(g) / E[h^b] of a posterior's draws, `[chain, draw, U]` nats; 0 for utilities that tie all policies."""

    def __init__(self, posterior, law):
        if (reason := _unknown(posterior, law)) is not None:
            raise InputError(reason)
        self.law = recorded_law(posterior) if law is None else law
        draws = posterior["posterior"].dataset
        bits = draws["intelligence"].values
        with jax.enable_x64(True):
            self.log_h, self.curve = (np.asarray(self.law.log_weight(some), float) for some in (bits, _BITS))
        # What the draws themselves say of ln h / E[h], up to a constant for each draw.
        told = draws["utility_log_prob"].values - _simplicity(posterior)
        own = self.log_h - self._log_mean(1.0)
        free = int(bits.mean((0, 1)).argmax())  # one that does not tie all policies
        told = told - (told - own)[..., [free]]
        self.ties = np.abs(told).mean((0, 1)) < np.abs(told - own).mean((0, 1))
        self.ties &= (bits == 0).all((0, 1))
        if np.abs(told - np.where(self.ties, 0.0, own)).max() > _AGREES:
            raise InputError(f"{self.law} is not the law that this posterior was made with; give that one")

    def log_weight(self, power):
        return np.where(self.ties, 0.0, power * self.log_h - self._log_mean(power))

    def score(self):
        """What log_weight gains with the power, at 1."""
        density = np.exp(self.curve - LN2 * _BITS - self._log_mean(1.0)) * LN2
        return np.where(self.ties, 0.0, self.log_h - np.trapezoid(density * self.curve, _BITS))

    def _log_mean(self, power):
        if isinstance(self.law, ExponentialLaw):
            return float(ExponentialLaw(power * self.law.beta).log_mean())
        each = power * self.curve - LN2 * _BITS
        if not each[-1] < each.max() + _DECAYED:
            raise InputError(f"{self.law} to the power {power:g} is improper over continuous random policies; lower it")
        return float(np.log(LN2 * np.trapezoid(np.exp(each - each.max()), _BITS)) + each.max())


def _groups(posterior):
    draws, constant = posterior["posterior"].dataset, posterior["constant_data"].dataset
    if "utility_log_prob" not in draws:
        raise InputError("this posterior has weights of features instead of utilities: nothing here has a code length")
    if "subject_log_prob" in draws:
        raise InputError("operators who share a mixture of utilities move together; fit again with another simplicity")
    return draws, constant


def _simplicity(posterior):
    """`[U]` ln 2^(-alpha K)."""
    constant, attributes = posterior["constant_data"].dataset, posterior["posterior"].attrs
    return -float(attributes.get("simplicity", 1.0)) * LN2 * constant["code_length"].values


def _tail_error(posterior, law, power, before, probability):
    """`[U]` what the value tails' errors bring to `probability`; of unknown laws, as in the fit, relatively."""
    draws, constant = posterior["posterior"].dataset, posterior["constant_data"].dataset
    if "intelligence_std_error" not in constant:
        return np.zeros(len(probability))
    law = recorded_law(posterior) if law is None else law
    if law is None:
        return constant["probability_tail_error"].values * probability / before.mean((0, 1))
    bits, step = draws["intelligence"].values.mean((0, 1)), 0.01
    slope = (np.asarray(law.log_weight(bits + step)) - np.asarray(law.log_weight(bits))) / step
    return share_error(probability, power * np.nan_to_num(slope) * constant["intelligence_std_error"].values)


def _slopes(log_prob, score):
    """`[U]` change of the probabilities for each doubling, and its error: Cov(is U, score) ln 2."""
    share = np.exp(log_prob)
    probability = share.mean((0, 1))
    mean = (share * score).sum(-1, keepdims=True)  # of each draw
    slope = (share * score).mean((0, 1)) - probability * mean.mean()
    # The slope is a function of means over draws; this is how far each draw moves it.
    moved = share * score - probability * mean - share * mean.mean()
    return LN2 * slope, LN2 * mean_error(moved)


def _smoothed(log_weight):
    """Log weights smoothed by PSIS, and their Pareto k; as they are if the largest are alike, or too few to smooth."""
    number = log_weight.size
    tail = int(3 * np.sqrt(number)) if number > 225 else number // 5
    if tail > 1 and np.ptp(np.sort(log_weight, axis=None)[-tail:]) < 1e-9:
        return log_weight, 0.0
    if tail < _LEAST_TAIL:
        return log_weight, np.inf
    dims = ("chain", "draw")
    smooth, pareto_k = xr.DataArray(-log_weight, dims=dims).azstats.psislw(dim=list(dims))
    return smooth.transpose(*dims).values, float(pareto_k)


def _psense(index, kept, score):
    """ArviZ's sensitivity of whether each of the utilities at `kept` is the drawn one; NaN where all draws agree.

    Weights are those of powers near 1, not smoothed: smoothing fails where draws tie, and these are nearly equal.
    """
    dims = ("chain", "draw")
    drawn = np.take_along_axis(score, index[..., None], -1)[..., 0]
    weights = [np.exp((power - 1) * (drawn - drawn.mean())) for power in _POWERS]
    lower, upper = (xr.DataArray(weight / weight.sum(), dims=dims) for weight in weights)
    found = np.full(len(kept), np.nan)
    for place, u in enumerate(kept):
        is_it = xr.DataArray((index == u).astype(float), dims=dims)
        if 0 < is_it.mean() < 1:
            sense = is_it.to_dataset(name="is_it").azstats.power_scale_sense(
                lower_w=lower, upper_w=upper, lower_alpha=_POWERS[0], upper_alpha=_POWERS[1]
            )
            found[place] = float(sense["is_it"])
    return found

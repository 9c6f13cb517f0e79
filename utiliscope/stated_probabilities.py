"""Whether probabilities are stated as often as they come true."""

import math

import numpy as np
from scipy.stats import chi2
from scipy.stats import f as fisher

_REPEATS, _TOGETHER = 10_000, 500


def probability_score(probability, utility):
    """Whether stated probabilities `[N, ..., U]` are those with which utilities `[N, ...]` are true.

    Returns scores `[U + 1]`, their standard errors, and the p-value that all are 0. The first U are the means of
    [U is true] - P(U); the last of P(true) - sum P^2, which is below 0 for overconfidence.

    With one utility a simulation the errors are those that the probabilities themselves state, and p is the share of
    10 000 sets of truths, drawn as stated, whose scores lie as far out; below that share of chi^2. Where hardly ever
    the unlikely is true, scores without such a case are less spread than scores are. Of several utilities in each
    simulation, whose dependence is not stated, Hotelling's test takes the spread as it is seen.
    """
    probability, utility = np.asarray(probability, float), np.asarray(utility)
    if utility.ndim == 1:
        return _as_stated(probability, utility)
    apart = np.eye(probability.shape[-1])[utility] - probability
    scores = np.concatenate([apart, (apart * probability).sum(-1, keepdims=True)], axis=-1)
    scores = scores.reshape(len(scores), -1, scores.shape[-1]).mean(1)
    number, mean = len(scores), scores.mean(0)
    # Probabilities sum to 1: one of their scores, and whatever else never varies, says nothing new.
    kept = np.flatnonzero(scores.std(0) > 1e-12)
    kept = kept[1:] if len(kept) > 1 else kept
    free = len(kept)
    if not 0 < free < number:
        return mean, scores.std(0) / math.sqrt(number), 1.0
    covariance = np.atleast_2d(np.cov(scores[:, kept].T))
    squared = number * mean[kept] @ np.linalg.pinv(covariance, rcond=1e-9) @ mean[kept]
    free = np.linalg.matrix_rank(covariance, rtol=1e-9)
    chance = fisher.sf(squared * (number - free) / (free * (number - 1)), free, number - free)
    return mean, scores.std(0, ddof=1) / math.sqrt(number), float(chance)


def _as_stated(probability, utility):
    """`probability_score` of one utility a simulation."""
    number, size = probability.shape
    # What each outcome `[N, U]` would score, `[N, U, U + 1]`.
    last = probability - (probability**2).sum(-1, keepdims=True)
    each = np.concatenate([np.eye(size) - probability[:, None], last[..., None]], axis=-1)
    place = np.arange(number)
    mean = each[place, utility].mean(0)
    covariance = np.einsum("nu,nuj,nuk->jk", probability, each, each) / number
    error = np.sqrt(np.diagonal(covariance) / number)
    inverse = np.linalg.pinv(covariance, rcond=1e-9, hermitian=True)
    if np.abs(mean - covariance @ (inverse @ mean)).max() > 1e-6:
        return mean, error, 0.0  # what was true had no probability
    random, shares = np.random.default_rng(0), probability.cumsum(-1)
    shares[:, -1] = np.inf
    more = 0
    for _ in range(_REPEATS // _TOGETHER):
        drawn = (random.random((_TOGETHER, number, 1)) > shares).sum(-1)
        found = each[place, drawn].mean(1)
        more += int((_distance(found, inverse) >= (1 - 1e-9) * _distance(mean, inverse)).sum())
    chance = (1 + more) / (1 + _REPEATS)
    if not more:
        free = np.linalg.matrix_rank(covariance, rtol=1e-9, hermitian=True)
        chance = min(chance, float(chi2.sf(number * _distance(mean, inverse), free)))
    return mean, error, chance


def _distance(mean, inverse):
    return np.einsum("...j,jk,...k->...", mean, inverse, mean)

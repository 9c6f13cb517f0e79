"""Whether ranks are uniform: their ECDF against a simultaneous envelope, with an exact p-value.

Reference: Saeilynoja, Buerkner and Vehtari (2022), Graphical test for discrete uniformity and its applications in
goodness-of-fit evaluation and multiple sample comparison. The coverage, there simulated or found by recursion, is here
that of a Poisson process given its total: one convolution for each possible rank.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.stats import binom, poisson

from .errors import InputError

_ROUNDING = 1e-9  # of probabilities that are the same


class Envelope(NamedTuple):
    """What the number of ranks <= i, for i from 0 to L - 1, stays within with a chance of at least `coverage`.

    lowest, highest: `[L]` whole numbers, both inside.
    """

    lowest: np.ndarray
    highest: np.ndarray
    coverage: float


def rank(random, truth, draws) -> np.ndarray:
    """Ranks of `truth` `[N]` among `draws` `[N, L]`, from 0 to L; a rank among ties is drawn by `random`, evenly."""
    truth, draws = np.asarray(truth)[:, None], np.asarray(draws)
    return (draws < truth).sum(1) + random.integers(0, (draws == truth).sum(1) + 1)


def cumulative(ranks, num_draws: int) -> np.ndarray:
    """`[L]` how many of `ranks` `[N]` are <= i, for i from 0 to L - 1. Raises InputError for ranks not in 0..L."""
    ranks = np.asarray(ranks)
    if ranks.ndim != 1 or not len(ranks) or ranks.min() < 0 or ranks.max() > num_draws:
        raise InputError(f"ranks among {num_draws} draws are whole numbers from 0 to {num_draws}, one a simulation")
    return np.cumsum(np.bincount(ranks, minlength=num_draws + 1))[:-1]


@lru_cache
def envelope(number: int, num_draws: int, coverage: float = 0.95) -> Envelope:
    """The simultaneous envelope of the ECDF of `number` uniform ranks among `num_draws` draws.

    At each point it is the central interval of a binomial distribution; all have the same level, the largest at which
    the whole ECDF stays inside with a chance of `coverage`.
    """
    low, high = -30.0, 0.0
    for _ in range(60):
        middle = (low + high) / 2
        if _staying(number, num_draws, np.exp(middle)) >= coverage:
            low = middle
        else:
            high = middle
    lowest, highest = _band(number, num_draws, np.exp(low))
    return Envelope(lowest, highest, _staying(number, num_draws, np.exp(low)))


def is_outside(ranks, num_draws: int, coverage: float = 0.95) -> bool:
    """Whether the ECDF of `ranks` `[N]` leaves its envelope."""
    counted, inside = cumulative(ranks, num_draws), envelope(len(ranks), num_draws, coverage)
    return bool(((counted < inside.lowest) | (counted > inside.highest)).any())


def p_value(ranks, num_draws: int) -> float:
    """The chance that uniform ranks have an ECDF as extreme, at its most extreme point, as that of `ranks` `[N]`."""
    counted = cumulative(ranks, num_draws)
    level = _two_sided(len(ranks), num_draws)[counted, np.arange(num_draws)].min()
    return float(np.clip(1 - _staying(len(ranks), num_draws, level), 0.0, 1.0))


@lru_cache
def _two_sided(number, num_draws):
    """`[N + 1, L]` twice the chance that a count at a point is as low as each, or as high, whichever is less."""
    counts, share = np.arange(number + 1)[:, None], np.arange(1, num_draws + 1) / (num_draws + 1)
    return 2 * np.minimum(binom.cdf(counts, number, share), binom.sf(counts - 1, number, share))


def _band(number, num_draws, level):
    """`[L]` lowest and highest counts whose two-sided probability is above `level`; -1 is the highest of none."""
    inside = _two_sided(number, num_draws) > level * (1 + _ROUNDING)
    return inside.argmax(0), np.where(inside.any(0), number - inside[::-1].argmax(0), -1)


def _staying(number, num_draws, level):
    """The chance that the ECDF of uniform ranks stays in the band of `level`."""
    lowest, highest = _band(number, num_draws, level)
    counts = np.arange(number + 1)
    step = poisson.pmf(counts, number / (num_draws + 1))
    alive = np.zeros(number + 1)
    alive[0] = 1.0
    for low, high in zip(lowest, highest, strict=True):
        if high < low:
            return 0.0
        alive = np.convolve(alive, step)[: number + 1] * ((counts >= low) & (counts <= high))
    return float(alive @ step[::-1] / poisson.pmf(number, number))

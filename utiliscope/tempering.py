"""Tempering: populations of random policies at rising preference for value, for worlds of many states.

Splitting takes one step for each nat of rarity, and new policies at each. A population with density exp(preference V)
with respect to the prior needs about the square root of so many steps (an annealed particle filter: Del Moral, Doucet
and Jasra 2006). All its values together, each weighed by the density of the mixture that it came from (Ferrenberg and
Swendsen 1989), are one weighted sample of the prior that reaches up to the best value.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

# Share of the population that a step's weights may leave effective.
_KEPT = 0.9
# Steps for which policies that come from one are not independent of each other.
_MEMORY = 4
# Nats at one step: where the last values below the top are left behind, steps are too long to tell.
_MOST_MISSED = 0.5


class Ladder(NamedTuple):
    """`J` preferences and the values of `N` policies after their moves at each.

    preferences: `[J]` rising from 0. values: `[J, N]`. log_z: `[J]` ln E exp(preference V) in nats, and `variance`
    `[J]` of it.
    """

    preferences: np.ndarray
    values: np.ndarray
    log_z: np.ndarray
    variance: np.ndarray


def temper(random, population, *, best, tolerance, reach, stop_at, max_bits, threads=1) -> Ladder:
    """Raise the preference until half of the population is the share `reach` of the way from the mean random value to
    `best`, or at `stop_at`, until all its values tie, or until values as high are rarer than `max_bits`.

    population: with `values`, `copy(places, parents)` and `sweep(n, warmth)`, which moves policy `n` under the prior
    times exp(value / warmth). Costs one sweep of each policy at each preference.
    """
    size = len(population.values)
    mean = population.values.mean()
    target = min(mean + reach * (best - mean), stop_at) - tolerance
    preference, log_z, variance, lag = 0.0, 0.0, 0.0, 0.0
    rungs, before = [(0.0, population.values.copy(), 0.0, 0.0)], population.values.copy()
    lineage: list[tuple[np.ndarray, np.ndarray]] = []
    with ThreadPoolExecutor(threads) as pool:
        while True:
            middle = np.median(population.values)
            # Of values that all tie no preference is too strong: the next one would be infinite.
            tied = np.ptp(population.values) <= tolerance
            if tied or middle >= target or preference * middle - log_z >= max_bits * np.log(2):
                return Ladder(*map(np.array, zip(*rungs, strict=True)))
            step = _next_step(population.values)
            weights = step * (population.values - population.values.max())
            total = logsumexp(weights)
            shares = np.exp(weights - total)
            excess = shares - 1 / size
            spread = np.sum(excess**2)
            # The logarithm of an unbiased estimate is too low by half its relative variance.
            log_z += total - np.log(size) + step * population.values.max() + spread / 2
            variance += _variance(excess, lineage)
            preference += step
            # Values still rise where a sweep does not forget the last preference: what is left of that lies between
            # nothing and as much as the sweep has moved them. Half of it is made good, and half is an error.
            missed = total + step * population.values.max() - logsumexp(step * before)
            lag += np.clip(missed, -_MOST_MISSED, _MOST_MISSED) / 2
            parents = _resampled(random, shares)
            lineage = [(excess, parents), *lineage[: _MEMORY - 1]]
            population.copy(np.arange(size), parents)
            before = population.values.copy()
            list(pool.map(population.sweep, range(size), [1 / preference] * size))
            rungs.append((preference, population.values.copy(), log_z + lag, variance + lag**2))


def _variance(excess, lineage):
    """The relative variance that a step adds: of the sums over families, and twice their covariance with what their
    ancestors had in excess at each of the last steps (fixed-lag genealogy: Olsson and Douc 2019). `lineage`: excess and
    parents of those steps, the latest first.
    """
    family, total = np.arange(len(excess)), 0.0
    for before, parents in lineage:
        family = parents[family]
        total += 2 * np.sum(before * np.bincount(family, excess, len(excess)))
    own = np.sum(np.bincount(family, excess, len(excess)) ** 2)
    # Never less than if all were independent: the covariances are noisy.
    return max(own + total, np.sum(excess**2))


def _next_step(values):
    """The rise of preference whose weights leave the share `_KEPT` of the population effective."""
    below = values - values.max()
    low, high = 0.0, 50 / max(values.std(), 1e-300)
    for _ in range(60):
        middle = (low + high) / 2
        weights = np.exp(middle * below)
        enough = weights.sum() ** 2 > _KEPT * len(values) * (weights**2).sum()
        low, high = (middle, high) if enough else (low, middle)
    return low


def _resampled(random, shares):
    """`[N]` parents by systematic resampling; those that stay keep their places."""
    size = len(shares)
    chosen = np.searchsorted(np.cumsum(shares), (random.random() + np.arange(size)) / size)
    counts = np.bincount(np.minimum(chosen, size - 1), minlength=size)
    parents = np.arange(size)
    parents[counts == 0] = np.repeat(np.arange(size), np.maximum(counts - 1, 0))
    return parents


def log_weights(ladder: Ladder):
    """`[J, N]` ln of what each value stands for under the prior."""
    centre = ladder.values[0].mean()
    energy = np.multiply.outer(ladder.preferences, ladder.values.ravel() - centre)
    energy -= (ladder.log_z - ladder.preferences * centre)[:, None]
    weights = -logsumexp(energy, axis=0) - np.log(ladder.values.shape[1])
    return weights.reshape(ladder.values.shape)

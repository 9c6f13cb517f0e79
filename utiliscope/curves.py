"""Knots of value tails: from the levels of a splitting run, or from a ladder of tempered policies."""

import numpy as np

from .splitting import Run, leaders
from .tempering import Ladder, log_weights

_MAX_KNOTS = 1024


def curve_of_levels(run: Run, tolerance, best, atomic) -> dict[str, np.ndarray]:
    """The staircase of a run: every particle stands for its population's share until it is killed.

    An estimate of a chance is unbiased, its logarithm too low by half its relative variance: this is made good, so
    that bits are unbiased.
    """
    log_reached, variance = 0.0, 0.0
    values, heights, errors = [], [], []
    for killed, alive in zip(run.killed, run.survivors, strict=True):
        share = 1 - np.searchsorted(killed, killed - tolerance) / run.size
        spread = (1 - share) / (run.size * share)
        values.append(killed)
        heights.append(log_reached + np.log(share) + spread / 2)
        errors.append(np.sqrt(variance + spread))
        if alive:
            share = alive / run.size
            spread = (1 - share) / alive
            log_reached += np.log(share) + spread / 2
            variance += spread
    return _thinned(*map(np.concatenate, (values, heights, errors)), tolerance, best, atomic)


def curve_of_ladder(ladder: Ladder, tolerance, best, atomic) -> dict[str, np.ndarray]:
    """The staircase of all values of a ladder, each with the weight that it has under the prior."""
    weights, place = log_weights(ladder).ravel(), np.repeat(np.arange(len(ladder.values)), ladder.values.shape[1])
    order = np.argsort(ladder.values.ravel())
    values, weights, place = ladder.values.ravel()[order], weights[order], place[order]
    above = np.logaddexp.accumulate(weights[::-1])[::-1]
    squares = np.logaddexp.accumulate(2 * weights[::-1])[::-1]
    # The first of those that tie speaks for them all.
    first = np.searchsorted(values, values - tolerance)
    # What lies below is counted where it is the smaller part: P(V >= v) = 1 at the lowest value.
    heights = above[first] - above[0]
    share = np.exp(heights)
    local = np.exp(np.maximum(squares[first] - 2 * above[first], -700)) * (1 - share)
    # The variance of ln Z at the preference under which such values are common.
    common = np.maximum.accumulate(np.median(ladder.values, axis=1))
    errors = np.sqrt(np.interp(values, common, ladder.variance) + local)
    return _thinned(values, np.minimum(heights, 0.0), errors, tolerance, best, atomic)


def curve_of_constant(value, tolerance) -> dict[str, np.ndarray]:
    zero = np.zeros(1)
    end = dict(tolerance=np.array(tolerance), complete=np.array(True))
    return dict(values=np.array([value]), log2_prob=zero, log2_error=zero, **end)


def _thinned(values, heights, errors, tolerance, best, atomic):
    """Ties keep their first, which is their highest; then the curve is thinned evenly in bits. From nats to bits."""
    # In a continuous crowd neighbours are closer than that without being ties.
    first = leaders(values, tolerance) if atomic else np.concatenate([[True], np.diff(values) > 0])
    heights, errors = np.minimum.accumulate(heights) / np.log(2), errors / np.log(2)
    keep = np.flatnonzero(first)
    if len(keep) > _MAX_KNOTS:
        spaced = np.searchsorted(-heights[keep], np.linspace(0, -heights[keep[-1]], _MAX_KNOTS), side="left")
        keep = keep[np.unique(np.minimum(np.concatenate([spaced, [len(keep) - 1]]), len(keep) - 1))]
    complete = atomic and bool(values[keep[-1]] >= best - tolerance)
    return dict(
        values=values[keep],
        log2_prob=heights[keep],
        log2_error=errors[keep],
        tolerance=np.array(tolerance),
        complete=np.array(complete),
    )

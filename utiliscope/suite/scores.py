"""How good one claim about a utility is: a posterior over candidates against the class of the true utility.

The true utility is one of the candidates: all programs that agree with it up to a positive affine map on every sequence
of the world are one class, and a claim about any of them is one about it.
"""

import numpy as np

from utiliscope.errors import InputError
from utiliscope.regret import acting_regrets, reward_regrets

from .yardsticks import Yardsticks, distances_from, reward_distances

# ln P(true) of a method that leaves the truth out altogether; what is finite is told as it is.
LOG_FLOOR = -1000.0
# Mass from which a class counts as claimed.
CLAIM = 0.95
_NORMALISED = 1e-6
_TIE = 1e-12
_OF_ANY = ("entropy_bits", "best_mass", "claimed_95", "none_claimed", "claimed_false")
_OF_TRUTH = (
    "true_mass", "true_rank", "log_score", "floored", "brier", "best_true", "claimed_true",
    "regret", "regret_changed", "random_regret", "random_regret_changed", "prior_regret", "prior_regret_changed",
    "epic_expected", "epic_mean", "starc_expected", "starc_mean",
)  # fmt: skip


def score(log_prob, truth: int | None, yardsticks: Yardsticks) -> dict[str, float]:
    """The scores of one posterior.

    log_prob: `[U]` nats, normalised. truth: place of the true utility's class, or None for behaviour that has no
    utility; then only the first five scores are numbers, and the others nan.

    entropy_bits: of the posterior.
    best_mass: of the best class. claimed_95: 1 if that is at least 0.95 and the class is not "0", which prefers
    nothing. none_claimed: 1 - claimed_95. claimed_false: claimed, and not the truth; of a null every claim is.

    true_mass, true_rank: of the true class; those that tie share their mean rank. log_score: ln P(true), nats; where a
    method gives the truth no mass at all, floored = 1 and it is -1000. brier: squared distance of the posterior from
    the truth, in [0, 2]. best_true: whether the best class is the true one (among n that tie, 1 / n). claimed_true.
    regret: of acting on the posterior in the recorded world, 0 as good as can be and 1 as bad (`regret.py`).
    regret_changed: in the changed one. random_regret..., prior_regret...: of acting at random, and on the prior.
    epic_expected, starc_expected: distance from the true reward, averaged over the posterior. epic_mean, starc_mean:
    distance of the posterior's mean reward, each utility in the units in which its values range over 1; so the mean
    of two opposite beliefs, which is 0, is at 1/2.

    Raises InputError for a `log_prob` of another shape, or not normalised. Costs a few sparse solves in each world.
    """
    probability = _checked(log_prob, len(yardsticks.prior))
    tied = probability >= probability.max() - _TIE
    best = int(np.argmax(tied))
    mass = float(probability[best])
    claimed = float(mass >= CLAIM and best != yardsticks.constant)
    row = {
        "entropy_bits": float(-(probability * np.log2(np.where(probability > 0, probability, 1.0))).sum()) + 0.0,
        "best_mass": mass,
        "claimed_95": claimed,
        "none_claimed": 1.0 - claimed,
        "claimed_false": claimed * float(best != truth),
    }
    if truth is None:
        return row | dict.fromkeys(_OF_TRUTH, np.nan)
    log_true = float(log_prob[truth])
    row |= {
        "true_mass": float(probability[truth]),
        "true_rank": _rank(probability, truth),
        "log_score": max(log_true, LOG_FLOOR) if np.isneginf(log_true) else log_true,
        "floored": float(np.isneginf(log_true)),
        "brier": float(((probability - (np.arange(len(probability)) == truth)) ** 2).sum()),
        "best_true": float(tied[truth]) / float(tied.sum()),
        "claimed_true": claimed * float(best == truth),
    }
    row |= _regrets(lambda stakes: acting_regrets(stakes, probability), truth, yardsticks)
    return row | _distances(probability, truth, yardsticks)


def score_reward(reward, truth: int | None, yardsticks: Yardsticks) -> dict[str, float]:
    """The scores of `score` of one reward `[S]`, paid at every step: regrets, and distances from the true reward.

    All others are nan: they are of posteriors. A distance is both the expected one and that of the mean.
    """
    row = dict.fromkeys((*_OF_ANY, *_OF_TRUTH), np.nan)
    if truth is None:
        return row
    row |= _regrets(lambda stakes: reward_regrets(stakes, reward), truth, yardsticks)
    for name, distance in reward_distances(yardsticks, truth, reward).items():
        row |= {f"{name}_expected": distance, f"{name}_mean": distance}
    return row


def _regrets(regrets_in, truth, yardsticks):
    found = {}
    worlds = zip(("", "_changed"), (yardsticks.recorded, yardsticks.changed), strict=True)
    for place, (suffix, stakes) in enumerate(worlds):
        found[f"regret{suffix}"] = float(regrets_in(stakes)[truth])
        found[f"random_regret{suffix}"] = float(yardsticks.random_regret[place, truth])
        found[f"prior_regret{suffix}"] = float(yardsticks.prior_regret[place, truth])
    return found


def _distances(probability, truth, yardsticks):
    mean = (probability * yardsticks.recorded.units)[None]
    each = np.eye(len(probability))
    found = {}
    for name, products in (("epic", yardsticks.epic), ("starc", yardsticks.starc)):
        found[f"{name}_expected"] = float(probability @ distances_from(products, truth, each))
        found[f"{name}_mean"] = float(distances_from(products, truth, mean)[0])
    return found


def _rank(probability, truth) -> float:
    above = (probability > probability[truth] + _TIE).sum()
    equal = (np.abs(probability - probability[truth]) <= _TIE).sum()
    return float(above + (equal + 1) / 2)


def _checked(log_prob, number):
    log_prob = np.asarray(log_prob, np.float64)
    if log_prob.shape != (number,):
        raise InputError(f"log_prob has shape {log_prob.shape}; give one for each of {number} candidates")
    probability = np.exp(log_prob)
    if not abs(probability.sum() - 1) < _NORMALISED:
        raise InputError(f"the posterior sums to {probability.sum():.6g}, not 1; take off logsumexp(log_prob)")
    return probability / probability.sum()

r"""The weights of simplicity and intelligence that find the utilities of known agents best.

For a recording with evidence E(U) under a law h, and utilities of K(U) bits,

.. math:: P(U) \propto 2^{-\alpha K(U)} \, \big( e + (1 - e) E(U) \big),

e a share of operators that are but random policies. Its score is ln P(true). Every combination of alpha, e, the law and
the concentration of random policies is scored on every recording: evidence does not depend on alpha and e, so nothing
is simulated again. A mean is over families, in each over agents, in each over recordings.

Whole families are left out in turn: what is chosen on the others is scored on the one left out (Stone 1974,
Cross-validatory choice and assessment of statistical predictions).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

from utiliscope.laws import LN2

from .evidence import Evidence, Laws, check_families

SIMPLICITIES = tuple(np.round(np.arange(0.0, 2.01, 0.1), 10))
SHARES = (0.0, 0.02, 0.1, 0.3, 0.5, 0.7)


class Scores(NamedTuple):
    """Mean ln P(true) in nats of `F` families under every setting: `[F, A, M, C, L]`.

    families: `[F]` names. simplicities `[A]`, shares `[M]`, and of `laws` the concentrations `[C]` and laws `[L]`.
    by_recording: `[R, A, M, C, L]`; `prior` `[R]` that of the prior alone, with alpha of 1.
    """

    families: list[str]
    simplicities: tuple[float, ...]
    shares: tuple[float, ...]
    laws: Laws
    by_family: np.ndarray
    by_recording: np.ndarray
    prior: np.ndarray


class Setting(NamedTuple):
    """One setting, as places along the four axes of `Scores`."""

    simplicity: int
    share: int
    concentration: int
    law: int


def score_settings(evidence: Sequence[Evidence], laws: Laws, *, simplicities=SIMPLICITIES, shares=SHARES) -> Scores:
    """Every setting on every recording. Costs `R A M C L U` exponentials; memory `R A M C L` numbers."""
    families = check_families(evidence)
    simplicities, shares = tuple(map(float, simplicities)), tuple(map(float, shares))
    by_recording = np.stack([_of_one(one, simplicities, shares) for one in evidence])
    prior = np.array([_log_share(-LN2 * one.code_length, one.truth) for one in evidence])
    by_family = np.stack([_mean_of_family(evidence, by_recording, name) for name in families])
    return Scores(families, simplicities, shares, laws, by_family, by_recording, prior)


def best_setting(by_family) -> Setting:
    """The setting of greatest mean over families; of those that tie the first."""
    mean = by_family.mean(0)
    return Setting(*(int(place) for place in np.unravel_index(np.argmax(mean), mean.shape)))


def left_out(scores: Scores) -> list[Setting]:
    """For each family what is best on all others."""
    return [best_setting(np.delete(scores.by_family, place, axis=0)) for place in range(len(scores.families))]


def standing(scores: Scores) -> Setting:
    """1:1, as near as can be: alpha of 1, none random, concentration 1, and the greatest beta that is proper.

    2^(g - K) itself has no meaning over continuous policies: its mean over them diverges (THEORY, section 3).
    """
    laws = scores.laws
    beta = [float(law.split(":")[1]) if law.startswith("exponential") else -np.inf for law in laws.laws]
    nearest = lambda values: int(np.argmin(np.abs(np.asarray(values) - 1.0)))  # noqa: E731
    share = int(np.argmin(scores.shares))
    return Setting(nearest(scores.simplicities), share, nearest(laws.concentrations), int(np.argmax(beta)))


def monte_carlo_error(one: Evidence, scores: Scores, setting: Setting) -> float:
    """The standard error of one recording's score under a setting, nats, from that of its evidence.

    To first order, errors of the candidates taken as independent and of one size: all that `Evidence` keeps of them.
    Recordings of one world share the errors of its value tails.
    """
    share, place = scores.shares[setting.share], (setting.concentration, setting.law)
    log_evidence = one.log_evidence[place]
    with np.errstate(divide="ignore"):
        mixed = np.logaddexp(np.log(share), np.log1p(-share) + log_evidence)
    log_joint = mixed - LN2 * scores.simplicities[setting.simplicity] * one.code_length
    slope = (np.arange(len(log_joint)) == one.truth) - np.exp(log_joint - logsumexp(log_joint))
    moved = slope * np.exp(np.log1p(-share) + log_evidence - mixed)
    return float(one.std_error[place] * np.sqrt((moved**2).sum()))


def _mean_of_family(evidence, by_recording, family):
    agents = sorted({one.job.agent for one in evidence if one.family == family})
    places = [[r for r, one in enumerate(evidence) if one.job.agent == agent] for agent in agents]
    return np.mean([by_recording[some].mean(0) for some in places], axis=0)


def _of_one(one, simplicities, shares):
    """`[A, M, C, L]`"""
    prior = -LN2 * np.multiply.outer(np.array(simplicities), one.code_length)
    found = np.empty((len(simplicities), len(shares), *one.log_evidence.shape[:2]))
    for place, share in enumerate(shares):
        with np.errstate(divide="ignore"):
            mixed = np.logaddexp(np.log(share), np.log1p(-share) + one.log_evidence)
        for a, log_prior in enumerate(prior):
            found[a, place] = _log_share(mixed + log_prior, one.truth)
    return found


def _log_share(log_joint, truth):
    return log_joint[..., truth] - logsumexp(log_joint, axis=-1)

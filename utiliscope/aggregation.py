"""One utility of many operators."""

import numpy as np

from .errors import InputError
from .payoffs import Payoffs
from .planning import tie_tolerance, value_range
from .utilities import Candidates
from .utilities.meaning import weighted_sum
from .world.possible import World


def aggregate_utility(world: World, candidates: Candidates, shares) -> Payoffs:
    r"""What several operators want together: the mean of their utilities, each of which runs from 0 to 1 in `world`.

    .. math:: U(s_0, s_1, \dots) = \sum_k p_k \frac{U_k(s_0, s_1, \dots)}{\max_\pi V_k(\pi) - \min_\pi V_k(\pi)}

    Utilities have no common unit; this one gives every operator the same say, whatever theirs is (relative
    utilitarianism, Dhillon and Mertens 1999). Constants say nothing.

    shares: `[U]` p_k, how many operators have each utility, on any scale: of `fit(program="population")` these are
    `utility_table(posterior).set_index("utility").loc[candidates.names, "probability"]`. Raises InputError for shares
    that are negative, not finite or all 0. Costs two plans for each candidate with a share.
    """
    shares = np.asarray(shares, np.float64)
    if shares.shape != (len(candidates),):
        raise InputError(f"shares has shape {shares.shape}; give one for each of {len(candidates)} candidates")
    if not np.isfinite(shares).all() or (shares < 0).any() or not shares.any():
        raise InputError("shares have to be finite, not negative, and not all 0: how many operators have each utility")
    shares = shares / shares.sum()
    weights, parts = [], []
    for k in np.flatnonzero(shares):
        one = candidates.payoffs[int(k)]
        worst, best = value_range(world, one)
        if best - worst > tie_tolerance(world, one, worst, best):
            weights.append(shares[k] / (best - worst))
            parts.append(one)
    return weighted_sum(world, weights, parts)

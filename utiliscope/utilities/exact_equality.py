"""Which sums of forms are one hypothesis, by exact residues; rounded walks only where a sign is not plain."""

import numpy as np

from utiliscope.residues import PRIME, canonical, gathered, quotients, ratios

from .exact_walks import exact_values, sign_of


def proportional(world, parts, rows, weights) -> tuple[np.ndarray, np.ndarray] | None:
    """`[N]` a number for each sum of weighted forms, the same for multiples of each other up to a constant, and `[N]`
    the sign of each in its group, 0 where that is not plain; or None where exact values are not known.

    Constants are group 0. parts: the stack of what each form pays. rows: `[N, m]` places in it. weights: `[N, m]`.
    """
    if (weights != np.rint(weights)).any() or (np.abs(weights) >= 2**53).any():
        return None
    values = exact_values(world, parts)
    if values is None:
        return None
    sums = np.zeros((len(rows), values.shape[1]), np.uint64)
    for column, weight in zip(rows.T, weights.T, strict=True):
        there = np.flatnonzero(weight)
        whole = weight[there].astype(np.int64)
        factor = np.where(whole < 0, PRIME + whole, whole).astype(np.uint64)
        gathered(there, column[there], factor, values, sums)
    canonical(sums.reshape(-1))

    group, sign = np.zeros(len(sums), int), np.ones(len(sums), int)
    varies = np.flatnonzero(sums.any(1))
    if not len(varies):
        return group, sign
    keys = ratios(sums[varies])
    order = np.lexsort(keys.T)
    fresh = np.append(True, (np.diff(keys[order], axis=0) != 0).any(1))
    place = np.empty(len(order), int)
    place[order] = np.cumsum(fresh) - 1
    group[varies] = place + 1
    # The first of each group: `lexsort` keeps the order of equals.
    first = order[fresh][place]
    factor = quotients(sums[varies, 0], sums[varies[first], 0])
    different, which = np.unique(factor, return_inverse=True)
    sign[varies] = np.array([sign_of(one) for one in different.tolist()])[which]
    return group, sign

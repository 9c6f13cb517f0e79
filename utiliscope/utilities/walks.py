"""Random walks in a world, and what is expected along them: exactly, by matrices, dense or sparse."""

import numpy as np
import scipy.sparse
from scipy.sparse.linalg import splu

# Steps whose successors are drawn anew at each step. They tell apart sequences that make the same moves in another
# order, which walks of one kernel cannot.
FRESH_STEPS = 6
# A set of more states is cut out of a sparse matrix, which is then factorised anew.
_MOST_COLUMNS = 16


def dense_kernels(rng, pairs, num_states, walks) -> np.ndarray:
    """`[walks, S, S]` transition matrices, uniform over those that use the moves `pairs` `[M, 2]`."""
    weights = np.zeros((walks, num_states, num_states))
    weights[:, pairs[:, 0], pairs[:, 1]] = rng.standard_exponential((walks, len(pairs)))
    return weights / weights.sum(-1, keepdims=True)


def sparse_kernel(rng, pairs, num_states) -> scipy.sparse.csr_array:
    """One such matrix `[S, S]`, of M numbers."""
    weights = rng.standard_exponential(len(pairs))
    weights /= np.bincount(pairs[:, 0], weights, num_states)[pairs[:, 0]]
    return scipy.sparse.csr_array((weights, tuple(pairs.T)), shape=(num_states, num_states))


def expectations(first, new_kernel, targets, discount, horizon):
    """`[*walks, S]` discounted visits and `[*walks, C]` discount to arrival in each of `targets` `[C, S]`.

    first: `[*walks, S]` where the walks begin. new_kernel: draws a kernel, one for each of the first steps; then the
    last is kept. Sparse kernels serve one walk, without the axis.
    """
    present, visits = first[..., None, :], np.zeros_like(first)
    absent = present * np.ones((len(targets), 1))
    reached = np.zeros((*first.shape[:-1], len(targets)))
    kernel = new_kernel()
    length = FRESH_STEPS if horizon is None else horizon
    for step in range(length):
        visits = visits + discount**step * present[..., 0, :]
        reached = reached + discount**step * (absent * targets).sum(-1)
        present = present @ kernel
        absent = np.where(targets, 0, absent) @ kernel
        kernel = new_kernel() if step < FRESH_STEPS else kernel
    weight = discount**length
    if horizon is not None:
        return visits + weight * present[..., 0, :], reached + weight * (absent * targets).sum(-1)
    rest = _sparse_rest if scipy.sparse.issparse(kernel) else _dense_rest
    more_visits, more_reached = rest(discount * kernel, present, absent, targets)
    return visits + weight * more_visits, reached + weight * more_reached


def _dense_rest(step, present, absent, targets):
    """What follows without end, in `[walks, S, S]` discounted steps."""
    stays = np.linalg.inv(np.eye(step.shape[-1]) - step)
    reached = np.zeros(absent.shape[:-1])
    for c, target in enumerate(targets):
        # Visits to a set all follow its first arrival: stays[:, set] = arrival[:, set] @ stays[set, set].
        inside = np.flatnonzero(target)
        once = np.linalg.solve(stays[:, inside[:, None], inside], np.ones((len(stays), len(inside), 1)))
        reached[:, c] = (absent[:, c, None] @ stays[:, :, inside] @ once)[:, 0, 0]
    return (present @ stays)[:, 0], reached


def _sparse_rest(step, present, absent, targets):
    """The same in `[S, S]` discounted steps, by factorisations."""
    one = scipy.sparse.eye_array(step.shape[0], format="csr")
    system = splu((one - step).tocsc())
    reached = np.zeros(len(targets))
    for c, target in enumerate(targets):
        inside = np.flatnonzero(target)
        if not len(inside):
            continue
        if len(inside) <= _MOST_COLUMNS:
            stays = system.solve(one[:, inside].toarray())
            reached[c] = absent[c] @ stays @ np.linalg.solve(stays[inside], np.ones(len(inside)))
        else:
            # A walk that stops on arrival is in the set once.
            stopping = scipy.sparse.diags_array((~target).astype(float)) @ step
            reached[c] = splu((one - stopping).tocsc()).solve(absent[c], trans="T")[inside].sum()
    return system.solve(present[0], trans="T"), reached

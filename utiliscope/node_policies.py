"""Visits and values of a policy on the nodes of a chain, in float64 on the host: one solve each, sparse where that is
faster."""

import numpy as np
import scipy.sparse
import scipy.sparse.linalg

from .planning import NodeWorld
from .world.transition import SparseTransition


def random_policy(available) -> np.ndarray:
    """`[n, A]` the policy that takes each `available` action equally often."""
    available = np.asarray(available)
    return available / available.sum(-1, keepdims=True)


def node_visits(nodes: NodeWorld, start, policy) -> np.ndarray:
    """`[n]` expected discounted visits under `policy` `[n, A]`, from chances `start` `[n]`; they sum to 1 / (1 - g)."""
    # Where nobody comes, rounding leaves something on either side of 0.
    return np.maximum(_solved(nodes, policy, np.asarray(start, np.float64), transposed=True), 0.0)


def node_values(nodes: NodeWorld, policy, paid) -> np.ndarray:
    """`[U, n]` discounted sum, from each node, of what `policy` `[n, A]` is `paid` `[U, n]` a step."""
    return _solved(nodes, policy, np.asarray(paid, np.float64).T, transposed=False).T


def _solved(nodes, policy, right, transposed):
    size, discount = len(policy), float(nodes.discount)
    if not isinstance(nodes.transition, SparseTransition):
        system = np.eye(size) - discount * np.einsum("na,nat->nt", policy, np.asarray(nodes.transition))
        return np.linalg.solve(system.T if transposed else system, right)
    flow = discount * np.einsum("na,nak->nk", policy, np.asarray(nodes.transition.chance))
    here, place = np.nonzero(flow)
    entries = (flow[here, place], (here, np.asarray(nodes.transition.successors)[here, place]))
    system = scipy.sparse.eye_array(size, format="csc") - scipy.sparse.csc_array(entries, shape=(size, size))
    return scipy.sparse.linalg.splu(system.tocsc()).solve(right, trans="T" if transposed else "N")

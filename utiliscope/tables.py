"""Tables of particles, compiled: copied, corrected and made afresh. What stands in them: `low_rank.py`."""

from typing import NamedTuple

import numpy as np

from .kernel_cache import njit

MOVES_OF_A_VALUE = 2  # before it is corrected

# What is compiled into a loop elsewhere is so at each call: calls between compiled functions are compiled twice.
_INLINE = dict(nogil=True, cache=True, error_model="numpy", inline="always")


class Particles(NamedTuple):
    """policy `[N, S, A]`, table `[N, C, M + 1, W]`, values `[N]`; accepted `[1]`, a counter of moves."""

    policy: np.ndarray
    table: np.ndarray
    values: np.ndarray
    accepted: np.ndarray


def table_width(columns):
    """Four vectors of four numbers are added at a time; rows that lie multiples of 16 apart crowd the same lines."""
    return (columns // 8) * 8 + (4 if columns % 8 < 4 else 12)


@njit(nogil=True, cache=True, error_model="numpy")
def value_particles(which, chains, weight, particles):
    """Whole tables of the particles in `which`, afresh, and their values; `weight` `[C, n]` of the first nodes.

    Gauss and Jordan's inversion of I - discount P, bordered; diagonally dominant, it needs no pivots. O(n^2 W).
    """
    nodes, count, onward, chance, paid = chains
    policy, table, values, _ = particles
    num_chains, num_nodes = weight.shape
    last = table.shape[3] - 1
    for n in which:
        values[n] = 0.0
        for c in range(num_chains):
            one = table[n, c]
            for v in range(num_nodes + 1):
                for j in range(last + 1):
                    one[v, j] = 0.0
            for v in range(num_nodes):
                one[v, v] = 1.0
                one[num_nodes, v] = -weight[c, v]
            for s in range(count.shape[1]):
                for i in range(count[c, s]):
                    v = nodes[c, s, i]
                    for a in range(policy.shape[2]):
                        share = policy[n, s, a]
                        if share == 0.0:
                            continue
                        one[v, last] += share * paid[c, s, i, a]
                        for k in range(chance.shape[3]):
                            t = onward[c, s, i, k]
                            if t >= 0:
                                one[v, t] -= share * chance[c, s, a, k]
            for v in range(num_nodes):
                scale = 1 / one[v, v]
                one[v, v] = 1.0
                for j in range(last + 1):
                    one[v, j] *= scale
                for t in range(num_nodes + 1):
                    factor = one[t, v]
                    if t == v or factor == 0.0:
                        continue
                    one[t, v] = 0.0
                    for j in range(last + 1):
                        one[t, j] -= factor * one[v, j]
            values[n] += one[num_nodes, last]


@njit(**_INLINE)
def correct_value(n, chains, weight, particles):
    """The value without what rounding has added to its table, to first order: visits, times what is left of
    (I - discount P) x = r by the values to come x. O(n A K)."""
    nodes, count, onward, chance, paid = chains
    policy, table, values, _ = particles
    num_nodes, last = weight.shape[1], table.shape[3] - 1
    total = 0.0
    for c in range(len(weight)):
        one = table[n, c]
        for s in range(count.shape[1]):
            for i in range(count[c, s]):
                v = nodes[c, s, i]
                left = -one[v, last]
                for a in range(policy.shape[2]):
                    share = policy[n, s, a]
                    if share == 0.0:
                        continue
                    worth = paid[c, s, i, a]
                    for k in range(chance.shape[3]):
                        t = onward[c, s, i, k]
                        if t >= 0:
                            worth += chance[c, s, a, k] * one[t, last]
                    left += share * worth
                total += weight[c, v] * one[v, last] + one[num_nodes, v] * left
    values[n] = total


@njit(**_INLINE)
def copy_particle(place, parent, age, particles):
    """A copy of particle `parent` in place of another."""
    policy, table, values, _ = particles
    values[place], age[place] = values[parent], age[parent]
    for s in range(policy.shape[1]):
        for a in range(policy.shape[2]):
            policy[place, s, a] = policy[parent, s, a]
    for c in range(table.shape[1]):
        for t in range(table.shape[2]):
            for j in range(table.shape[3]):
                table[place, c, t, j] = table[parent, c, t, j]

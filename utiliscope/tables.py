"""Tables of particles, compiled: made afresh, corrected and copied. What stands in them: `row_kernels`."""

from numba import njit


def table_width(columns):
    """Four vectors of four numbers are added at a time; rows that lie multiples of 16 apart crowd the same lines."""
    return (columns // 8) * 8 + (4 if columns % 8 < 4 else 12)


@njit(nogil=True, cache=True, error_model="numpy")
def value_particles(which, chains, weight, policy, table, values):
    """Whole tables of the particles in `which`, afresh, and their values; `weight` `[C, n]` of the first nodes.

    Gauss and Jordan's inversion of I - discount P, bordered; diagonally dominant, it needs no pivots. O(n^2 W).
    """
    nodes, count, onward, chance, paid = chains
    num_chains, num_nodes = weight.shape
    last = table.shape[3] - 1
    for n in which:
        values[n] = 0.0
        for c in range(num_chains):
            one = table[n, c]
            one[:] = 0.0
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


@njit(nogil=True, cache=True, error_model="numpy")
def correct_values(which, chains, weight, policy, table, values):
    """The values without what rounding has added to their tables, to first order: visits, times what is left of
    (I - discount P) x = r by the values to come x. O(n A K)."""
    nodes, count, onward, chance, paid = chains
    num_nodes, last = weight.shape[1], table.shape[3] - 1
    for n in which:
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


@njit(nogil=True, cache=True)
def copy_particles(places, parents, numbers):
    """Copies of the rows `parents` of `numbers` `[N, D]` in `places`, none of which is among them."""
    for i in range(len(places)):
        place, parent = places[i], parents[i]
        for j in range(numbers.shape[1]):
            numbers[place, j] = numbers[parent, j]

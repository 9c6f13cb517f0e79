"""Whole numbers modulo the prime 2^61 - 1, in which nothing is ever rounded, compiled.

A residue is a number below 2^61 + 8; only `canonical` makes it the one below the prime. Arrays of residues end in an
axis of `WALKS` walks (see `residue_walks.py`), each with numbers of its own.
"""

import numpy as np

from .kernel_cache import njit

PRIME = 2**61 - 1
# Three differences between walks: one for the scale of a program, two to tell programs apart.
WALKS = 4

_P, ZERO, _1, _2 = np.uint64(PRIME), np.uint64(0), np.uint64(1), np.uint64(2)
_30, _31, _61 = np.uint64(30), np.uint64(31), np.uint64(61)
_LOW30, _LOW31 = np.uint64(2**30 - 1), np.uint64(2**31 - 1)


@njit(nogil=True, cache=True)
def fold(a):
    return (a & _P) + (a >> _61)


@njit(nogil=True, cache=True)
def times(a, b):
    """a b, from products of halves: 2^62 is 2, and 2^61 is 1."""
    high, low, other, small = a >> _31, a & _LOW31, b >> _31, b & _LOW31
    middle = high * small + low * other
    return fold(((high * other) << _1) + (middle >> _30) + ((middle & _LOW30) << _31) + low * small)


@njit(nogil=True, cache=True)
def minus(a, b):
    return fold(a + (_P << _1) - b)


@njit(nogil=True, cache=True)
def canonical(values):
    """In place, for a flat array."""
    for i in range(len(values)):
        values[i] %= _P


@njit(nogil=True, cache=True)
def inverse(a):
    """1 / a, which is a^(p - 2)."""
    result, power, left = _1, a, _P - _2
    while left > ZERO:
        if left & _1:
            result = times(result, power)
        power = times(power, power)
        left >>= _1
    return result % _P


@njit(nogil=True, cache=True)
def gathered(rows, columns, factors, values, found):
    """`found[row] += factor * values[column]` for each entry of a sparse matrix."""
    for i in range(len(rows)):
        for k in range(values.shape[1]):
            found[rows[i], k] = fold(found[rows[i], k] + times(factors[i], values[columns[i], k]))


@njit(nogil=True, cache=True)
def shared(rows, columns, factors, values, found):
    """The same, with factors `[N, K]`, one for each walk."""
    for i in range(len(rows)):
        for k in range(values.shape[1]):
            found[rows[i], k] = fold(found[rows[i], k] + times(factors[i, k], values[columns[i], k]))


@njit(nogil=True, cache=True)
def projected(values, directions):
    """`[N, E]` the product of `[N, D]` and `[D, E]`."""
    found = np.zeros((values.shape[0], directions.shape[1]), np.uint64)
    for i in range(values.shape[0]):
        for d in range(values.shape[1]):
            for e in range(directions.shape[1]):
                found[i, e] = fold(found[i, e] + times(values[i, d], directions[d, e]))
    return found


@njit(nogil=True, cache=True)
def ratios(values):
    """`[N, D - 1]` columns of `[N, D]`, divided by the first one."""
    found = np.empty((values.shape[0], values.shape[1] - 1), np.uint64)
    for i in range(len(values)):
        one = inverse(values[i, 0])
        for k in range(1, values.shape[1]):
            found[i, k - 1] = times(values[i, k], one) % _P
    return found


@njit(nogil=True, cache=True)
def quotients(above, below):
    """`[N]` above / below."""
    found = np.empty(len(above), np.uint64)
    for i in range(len(above)):
        found[i] = times(above[i], inverse(below[i])) % _P
    return found


@njit(nogil=True, cache=True)
def normalised(weights, begin):
    """`[M, K]` weights of moves, in place, those of each state summing to 1."""
    for s in range(len(begin) - 1):
        for k in range(weights.shape[1]):
            total = ZERO
            for e in range(begin[s], begin[s + 1]):
                total = fold(total + weights[e, k])
            one = inverse(total)
            for e in range(begin[s], begin[s + 1]):
                weights[e, k] = times(weights[e, k], one)


@njit(nogil=True, cache=True)
def copied(values, found):
    """Into `found`, of one shape. Slices that are assigned take a second each to compile."""
    source, target = values.reshape(-1), found.reshape(-1)
    for i in range(len(source)):
        target[i] = source[i]


@njit(nogil=True, cache=True)
def cleared(found):
    target = found.reshape(-1)
    for i in range(len(target)):
        target[i] = ZERO


@njit(nogil=True, cache=True)
def add_one(found):
    for k in range(WALKS):
        found[k] = fold(found[k] + _1)


@njit(nogil=True, cache=True)
def factorise(system):
    """`[n, n, K]` in place: lower and upper factors, with the inverse pivots on the diagonal.

    Random residues have no small pivots, so rows stay in order; an entry that is 0 in one walk is 0 in all.
    """
    size = len(system)
    for i in range(size):
        for k in range(WALKS):
            system[i, i, k] = inverse(system[i, i, k])
        for j in range(i + 1, size):
            if system[j, i, 0] == ZERO:
                continue
            for k in range(WALKS):
                system[j, i, k] = times(system[j, i, k], system[i, i, k])
            for c in range(i + 1, size):
                if system[i, c, 0] != ZERO:
                    for k in range(WALKS):
                        system[j, c, k] = minus(system[j, c, k], times(system[j, i, k], system[i, c, k]))


@njit(nogil=True, cache=True)
def solve(factors, right):
    """`[n, K]` in place."""
    size = len(factors)
    for i in range(size):
        for j in range(i):
            if factors[i, j, 0] != ZERO:
                for k in range(WALKS):
                    right[i, k] = minus(right[i, k], times(factors[i, j, k], right[j, k]))
    for i in range(size - 1, -1, -1):
        for j in range(i + 1, size):
            if factors[i, j, 0] != ZERO:
                for k in range(WALKS):
                    right[i, k] = minus(right[i, k], times(factors[i, j, k], right[j, k]))
        for k in range(WALKS):
            right[i, k] = times(right[i, k], factors[i, i, k])

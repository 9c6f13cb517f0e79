"""Exact sums along random walks, compiled: whole numbers modulo the prime 2^61 - 1, in which nothing is ever rounded.

A residue is a number below 2^61 + 8; only `canonical` makes it the one below the prime. Arrays of residues end in an
axis of `WALKS` walks, each with kernels of its own. A kernel is a list of weights of the moves; those of each state sum
to 1, and they are random residues, so they stand for probabilities without being any.
"""

import numpy as np
from numba import njit

PRIME = 2**61 - 1
# Three differences between walks: one for the scale of a program, two to tell programs apart.
WALKS = 4

_P, _0, _1, _2 = np.uint64(PRIME), np.uint64(0), np.uint64(1), np.uint64(2)
_30, _31, _61 = np.uint64(30), np.uint64(31), np.uint64(61)
_LOW30, _LOW31 = np.uint64(2**30 - 1), np.uint64(2**31 - 1)


@njit(nogil=True, cache=True, inline="always")
def _fold(a):
    return (a & _P) + (a >> _61)


@njit(nogil=True, cache=True, inline="always")
def times(a, b):
    """a b, from products of halves: 2^62 is 2, and 2^61 is 1."""
    high, low, other, small = a >> _31, a & _LOW31, b >> _31, b & _LOW31
    middle = high * small + low * other
    return _fold(((high * other) << _1) + (middle >> _30) + ((middle & _LOW30) << _31) + low * small)


@njit(nogil=True, cache=True, inline="always")
def _minus(a, b):
    return _fold(a + (_P << _1) - b)


@njit(nogil=True, cache=True)
def canonical(values):
    """In place, for a flat array."""
    for i in range(len(values)):
        values[i] %= _P


@njit(nogil=True, cache=True)
def inverse(a):
    """1 / a, which is a^(p - 2)."""
    result, power, left = _1, a, _P - _2
    while left > _0:
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
            found[rows[i], k] = _fold(found[rows[i], k] + times(factors[i], values[columns[i], k]))


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
            total = _0
            for e in range(begin[s], begin[s + 1]):
                total = _fold(total + weights[e, k])
            one = inverse(total)
            for e in range(begin[s], begin[s + 1]):
                weights[e, k] = times(weights[e, k], one)


@njit(nogil=True, cache=True)
def visits(first, begin, end, chance, length, endless):
    """`[S, K]` discounted visits and `[M, K]` discounted uses of the moves.

    first: `[S, K]`. begin: `[S + 1]` where the moves of each state start. end: `[M]` where they lead. chance: `[T, M, K]`
    discounted kernels, one a step; the last stays. length: steps before the rest, which is `endless` or none.
    """
    num_states = len(first)
    present, visited, used = first.copy(), first.copy(), np.zeros(chance.shape[1:], np.uint64)
    for t in range(length):
        kernel = chance[min(t, len(chance) - 1)]
        after = np.zeros_like(first)
        for s in range(num_states):
            for e in range(begin[s], begin[s + 1]):
                for k in range(WALKS):
                    flow = times(present[s, k], kernel[e, k])
                    used[e, k] = _fold(used[e, k] + flow)
                    after[end[e], k] = _fold(after[end[e], k] + flow)
        present = after
        if t < length - 1 or not endless:
            for s in range(num_states):
                for k in range(WALKS):
                    visited[s, k] = _fold(visited[s, k] + present[s, k])
    if endless:
        kernel = chance[-1]
        # Visits are row vectors: the system is transposed.
        system = np.zeros((num_states, num_states, WALKS), np.uint64)
        for s in range(num_states):
            system[s, s] += _1
            for e in range(begin[s], begin[s + 1]):
                for k in range(WALKS):
                    system[end[e], s, k] = _minus(system[end[e], s, k], kernel[e, k])
        _factorise(system)
        _solve(system, present)
        for s in range(num_states):
            for k in range(WALKS):
                if length:
                    visited[s, k] = _fold(visited[s, k] + present[s, k])
            for e in range(begin[s], begin[s + 1]):
                for k in range(WALKS):
                    used[e, k] = _fold(used[e, k] + times(present[s, k], kernel[e, k]))
    return visited, used


@njit(nogil=True, cache=True)
def _factorise(system):
    """`[n, n, K]` in place: lower and upper factors, with the inverse pivots on the diagonal.

    Random residues have no small pivots, so rows stay in order; an entry that is 0 in one walk is 0 in all.
    """
    size = len(system)
    for i in range(size):
        for k in range(WALKS):
            system[i, i, k] = inverse(system[i, i, k])
        for j in range(i + 1, size):
            if system[j, i, 0] == _0:
                continue
            for k in range(WALKS):
                system[j, i, k] = times(system[j, i, k], system[i, i, k])
            for c in range(i + 1, size):
                if system[i, c, 0] != _0:
                    for k in range(WALKS):
                        system[j, c, k] = _minus(system[j, c, k], times(system[j, i, k], system[i, c, k]))


@njit(nogil=True, cache=True)
def _solve(factors, right):
    """`[n, K]` in place."""
    size = len(factors)
    for i in range(size):
        for j in range(i):
            if factors[i, j, 0] != _0:
                for k in range(WALKS):
                    right[i, k] = _minus(right[i, k], times(factors[i, j, k], right[j, k]))
    for i in range(size - 1, -1, -1):
        for j in range(i + 1, size):
            if factors[i, j, 0] != _0:
                for k in range(WALKS):
                    right[i, k] = _minus(right[i, k], times(factors[i, j, k], right[j, k]))
        for k in range(WALKS):
            right[i, k] = times(right[i, k], factors[i, i, k])


@njit(nogil=True, cache=True)
def _keeping(keeps, begin, end, kernel, system):
    """The factors of what a memory is worth that is kept in the states `keeps` `[S]`."""
    system[:] = _0
    for s in range(len(keeps)):
        system[s, s] += _1
        if keeps[s]:
            for e in range(begin[s], begin[s + 1]):
                for k in range(WALKS):
                    system[s, end[e], k] = _minus(system[s, end[e], k], kernel[e, k])
    _factorise(system)


@njit(nogil=True, cache=True)
def _ahead(m, onward, paid, worth, itself, begin, end, kernel, found):
    """`[S, K]` into `found`: what memory m pays and what follows; where it is kept, only if `itself`."""
    for s in range(len(begin) - 1):
        for k in range(WALKS):
            found[s, k] = paid[m, s]
        new = onward[m, s]
        if new < 0 or (new == m and not itself):
            continue
        for e in range(begin[s], begin[s + 1]):
            for k in range(WALKS):
                found[s, k] = _fold(found[s, k] + times(kernel[e, k], worth[new, end[e], k]))


@njit(nogil=True, cache=True)
def _peel(leads, known, order):
    """Appends memories to `order` that lead only to themselves and to `known` ones; how many it is then."""
    number, before = 0, -1
    while number > before:
        before = number
        for m in range(len(leads) - 1, -1, -1):
            if known[m]:
                continue
            ready = True
            for q in range(len(leads)):
                if leads[m, q] and q != m and not known[q]:
                    ready = False
                    break
            if ready:
                known[m] = True
                order[number] = m
                number += 1
    return number


@njit(nogil=True, cache=True)
def _evaluate(order, onward, paid, worth, slot, kept, factors, ready, begin, end, kernel):
    """What the memories in `order` are worth, each from those before it.

    slot: `[M]` the factors of each memory, -1 for one that is never kept; the last slot is made anew each time.
    kept: `[M, S]`.
    """
    for m in order:
        _ahead(m, onward, paid, worth, False, begin, end, kernel, worth[m])
        if slot[m] < 0:
            continue
        if not ready[slot[m]]:
            _keeping(kept[m], begin, end, kernel, factors[slot[m]])
            ready[slot[m]] = slot[m] < len(factors) - 1
        _solve(factors[slot[m]], worth[m])


@njit(nogil=True, cache=True)
def _round(root, order, onward, paid, worth, slot, kept, factors, ready, begin, end, kernel):
    """The worth of memories that lead to each other: those in `order` by that of `root`, and this by itself."""
    num_states = len(begin) - 1
    nothing, constant = np.zeros_like(paid), np.zeros((num_states, WALKS), np.uint64)
    column, system = np.zeros_like(constant), np.zeros((num_states, num_states, WALKS), np.uint64)
    worth[root] = _0
    _evaluate(order, onward, paid, worth, slot, kept, factors, ready, begin, end, kernel)
    _ahead(root, onward, paid, worth, True, begin, end, kernel, constant)
    # Memories outside the round, which are worth something without it, count once.
    outside = worth.copy()
    for m in range(len(worth)):
        worth[m] = _0
    for j in range(num_states):
        worth[root] = _0
        worth[root, j] = _1
        _evaluate(order, onward, nothing, worth, slot, kept, factors, ready, begin, end, kernel)
        _ahead(root, onward, nothing, worth, True, begin, end, kernel, column)
        for s in range(num_states):
            for k in range(WALKS):
                if column[s, k] != _0:
                    system[s, j, k] = _minus(_0, column[s, k])
        system[j, j] += _1
    _factorise(system)
    _solve(system, constant)
    worth[:] = outside
    worth[root] = constant
    _evaluate(order, onward, paid, worth, slot, kept, factors, ready, begin, end, kernel)


@njit(nogil=True, cache=True)
def _rest(leads, onward, paid, slot, kept, factors, ready, begin, end, kernel, worth):
    """`[M, S, K]` into `worth`, what an automaton pays without end; whether it was found."""
    size = len(onward)
    known, order = np.zeros(size, np.bool_), np.zeros(size, np.int64)
    while True:
        number = _peel(leads, known, order)
        _evaluate(order[:number], onward, paid, worth, slot, kept, factors, ready, begin, end, kernel)
        if known.all():
            return True
        found = False
        for root in range(size):
            if known[root]:
                continue
            then = known.copy()
            then[root] = True
            number = _peel(leads, then, order)
            found = True
            for q in range(size):
                found = found and (then[q] or not leads[root, q])
            if found:
                _round(
                    root, order[:number], onward, paid, worth, slot, kept, factors, ready, begin, end, kernel
                )  # fmt: skip
                known[:] = then
                break
        if not found:
            return False


@njit(nogil=True, cache=True)
def automaton_values(starts, steps, pays, slots, num_slots, first, begin, end, chance, length, endless):
    """`[D, K]` what each automaton pays, and whether all were found.

    starts: `[D + 1]` the first row of each in steps and pays `[rows, S]`. slots: `[rows]`, see `_evaluate`, of
    `num_slots`. The others are those of `visits`.
    """
    num_states = len(begin) - 1
    factors = np.zeros((num_slots + 1 if endless else 0, num_states, num_states, WALKS), np.uint64)
    ready = np.zeros(num_slots + 1, np.bool_)
    found = np.zeros((len(starts) - 1, WALKS), np.uint64)
    for d in range(len(starts) - 1):
        onward, paid = steps[starts[d] : starts[d + 1]], pays[starts[d] : starts[d + 1]]
        slot, size = slots[starts[d] : starts[d + 1]], starts[d + 1] - starts[d]
        leads, kept = np.zeros((size, size), np.bool_), np.zeros((size, num_states), np.bool_)
        for m in range(size):
            for s in range(num_states):
                kept[m, s] = onward[m, s] == m
                if onward[m, s] >= 0:
                    leads[m, onward[m, s]] = True
        # The memories that there can be after so many steps.
        live = np.zeros((length + 1, size), np.bool_)
        live[0, 0] = True
        for t in range(length):
            for m in range(size):
                if live[t, m]:
                    live[t + 1] |= leads[m]
        worth, before = np.zeros((size, num_states, WALKS), np.uint64), np.zeros((size, num_states, WALKS), np.uint64)
        if endless:
            if not _rest(leads, onward, paid, slot, kept, factors, ready, begin, end, chance[-1], worth):
                return found, False
        else:
            for m in range(size):
                for s in range(num_states):
                    worth[m, s] = paid[m, s]
        for t in range(length - 1, -1, -1):
            kernel = chance[min(t, len(chance) - 1)]
            for m in range(size):
                if live[t, m]:
                    _ahead(m, onward, paid, worth, True, begin, end, kernel, before[m])
            worth, before = before, worth
        for s in range(num_states):
            for k in range(WALKS):
                found[d, k] = _fold(found[d, k] + times(first[s, k], worth[0, s, k]))
    return found, True

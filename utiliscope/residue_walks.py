"""Exact sums along random walks, compiled, in residues modulo a prime (see `residues.py`).

A kernel is a list of weights of the moves, `[M, K]` for K walks; those of each state sum to 1, and they are random
residues, so they stand for probabilities without being any.
"""

import numpy as np

from .kernel_cache import njit
from .residues import WALKS, ZERO, add_one, cleared, copied, factorise, fold, minus, solve, times


@njit(nogil=True, cache=True)
def visits(first, begin, end, chance, length, endless):
    """`[S, K]` discounted visits and `[M, K]` discounted uses of the moves.

    first: `[S, K]`. begin: `[S + 1]` where the moves of each state start. end: `[M]` where they lead. chance:
    `[T, M, K]` discounted kernels, one a step; the last stays. length: steps before the rest, which is `endless` or
    none.
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
                    used[e, k] = fold(used[e, k] + flow)
                    after[end[e], k] = fold(after[end[e], k] + flow)
        present = after
        if t < length - 1 or not endless:
            for s in range(num_states):
                for k in range(WALKS):
                    visited[s, k] = fold(visited[s, k] + present[s, k])
    if endless:
        kernel = chance[-1]
        # Visits are row vectors: the system is transposed.
        system = np.zeros((num_states, num_states, WALKS), np.uint64)
        for s in range(num_states):
            add_one(system[s, s])
            for e in range(begin[s], begin[s + 1]):
                for k in range(WALKS):
                    system[end[e], s, k] = minus(system[end[e], s, k], kernel[e, k])
        factorise(system)
        solve(system, present)
        for s in range(num_states):
            for k in range(WALKS):
                visited[s, k] = fold(visited[s, k] + present[s, k])
            for e in range(begin[s], begin[s + 1]):
                for k in range(WALKS):
                    used[e, k] = fold(used[e, k] + times(present[s, k], kernel[e, k]))
    return visited, used


@njit(nogil=True, cache=True)
def _keeping(keeps, begin, end, kernel, system):
    """The factors of what a memory is worth that is kept in the states `keeps` `[S]`."""
    cleared(system)
    for s in range(len(keeps)):
        add_one(system[s, s])
        if keeps[s]:
            for e in range(begin[s], begin[s + 1]):
                for k in range(WALKS):
                    system[s, end[e], k] = minus(system[s, end[e], k], kernel[e, k])
    factorise(system)


@njit(nogil=True, cache=True)
def _onto(worth, begin, end, kernel, products, found):
    """`[S, K]` into `found`: what `[S, K]` is worth a step before. products: `[M, K]` of space."""
    # Flat arrays, which the compiler multiplies several at a time.
    flat, factor = products.reshape(-1), kernel.reshape(-1)
    for e in range(len(end)):
        for k in range(WALKS):
            products[e, k] = worth[end[e], k]
    for i in range(flat.size):
        flat[i] = times(factor[i], flat[i])
    for s in range(len(begin) - 1):
        for k in range(WALKS):
            total = ZERO
            for e in range(begin[s], begin[s + 1]):
                total = fold(total + products[e, k])
            found[s, k] = total


@njit(nogil=True, cache=True)
def _ahead(m, onward, paid, before, itself, found):
    """`[S, K]` into `found`: what memory m pays and what follows; where it is kept, only if `itself`.

    before: `[M, S, K]` what the memories are worth a step before.
    """
    for s in range(onward.shape[1]):
        new = onward[m, s]
        if new < 0 or (new == m and not itself):
            for k in range(WALKS):
                found[s, k] = paid[m, s]
        else:
            for k in range(WALKS):
                found[s, k] = fold(paid[m, s] + before[new, s, k])


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
def _evaluate(order, onward, paid, worth, before, products, slot, kept, factors, ready, begin, end, kernel):
    """What the memories in `order` are worth, each from those before it, and what that is a step before.

    slot: `[M]` the factors of each memory, -1 for one that is never kept; the last slot is made anew each time.
    kept: `[M, S]`.
    """
    for m in order:
        _ahead(m, onward, paid, before, False, worth[m])
        if slot[m] >= 0:
            if not ready[slot[m]]:
                _keeping(kept[m], begin, end, kernel, factors[slot[m]])
                ready[slot[m]] = slot[m] < len(factors) - 1
            solve(factors[slot[m]], worth[m])
        _onto(worth[m], begin, end, kernel, products, before[m])


@njit(nogil=True, cache=True)
def _depths(root, order, onward, depth):
    """Into `depth` `[M]`, the steps from each memory to `root`, -1 outside; False where they depend on what is read."""
    for m in range(len(depth)):
        depth[m] = -1
    depth[root] = 0
    for m in order:
        new = onward[m, 0]
        for s in range(onward.shape[1]):
            if onward[m, s] != new:
                return False
        if new < 0 or depth[new] < 0:
            return False
        depth[m] = depth[new] + 1
    return True


@njit(nogil=True, cache=True)
def _round(root, order, onward, paid, worth, before, products, powers, slot, kept, factors, ready, begin, end, kernel):
    """The worth of memories that lead to each other: those in `order` by that of `root`, and this by itself.

    powers: `[D, S, S, K]` columns of the kernel's powers, which rounds of `every` have in common.
    """
    num_states = len(begin) - 1
    nothing, constant = np.zeros_like(paid), np.zeros((num_states, WALKS), np.uint64)
    column, system = np.zeros_like(constant), np.zeros((num_states, num_states, WALKS), np.uint64)
    cleared(worth[root])
    cleared(before[root])
    _evaluate(order, onward, paid, worth, before, products, slot, kept, factors, ready, begin, end, kernel)
    _ahead(root, onward, paid, before, True, constant)
    depth = np.zeros(len(onward), np.int64)
    if len(order) < len(powers) and _depths(root, order, onward, depth):
        for s in range(num_states):
            new = onward[root, s]
            for j in range(num_states):
                if new >= 0 and depth[new] >= 0:
                    for k in range(WALKS):
                        system[s, j, k] = minus(ZERO, powers[depth[new], j, s, k])
            add_one(system[s, s])
    else:
        # Memories outside the round, which are worth something without it, count once.
        outside = before.copy()
        cleared(before)
        for j in range(num_states):
            cleared(worth[root])
            add_one(worth[root, j])
            _onto(worth[root], begin, end, kernel, products, before[root])
            _evaluate(order, onward, nothing, worth, before, products, slot, kept, factors, ready, begin, end, kernel)
            _ahead(root, onward, nothing, before, True, column)
            for s in range(num_states):
                for k in range(WALKS):
                    if column[s, k] != ZERO:
                        system[s, j, k] = minus(ZERO, column[s, k])
            add_one(system[j, j])
        copied(outside, before)
    factorise(system)
    solve(system, constant)
    copied(constant, worth[root])
    _onto(constant, begin, end, kernel, products, before[root])
    _evaluate(order, onward, paid, worth, before, products, slot, kept, factors, ready, begin, end, kernel)


@njit(nogil=True, cache=True)
def _rest(leads, onward, paid, worth, before, products, powers, slot, kept, factors, ready, begin, end, kernel):
    """`[M, S, K]` into `worth`, what an automaton pays without end; whether it was found."""
    size = len(onward)
    known, order = np.zeros(size, np.bool_), np.zeros(size, np.int64)
    while True:
        number = _peel(leads, known, order)
        _evaluate(order[:number], onward, paid, worth, before, products, slot, kept, factors, ready, begin, end, kernel)
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
                    root, order[:number], onward, paid, worth, before, products, powers, slot, kept, factors, ready,
                    begin, end, kernel,
                )  # fmt: skip
                known = then
                break
        if not found:
            return False


@njit(nogil=True, cache=True)
def automaton_values(
    starts, steps, pays, opened, slots, num_slots, num_powers, first, begin, end, chance, length, endless
):
    """`[rows, K]` what each automaton pays from each memory where it is `opened` `[rows]`, and whether all were found.

    starts: `[D + 1]` the first row of each in steps and pays `[rows, S]`. slots: `[rows]`, see `_evaluate`, of
    `num_slots`. num_powers: see `_round`. The others are those of `visits`.
    """
    num_states = len(begin) - 1
    factors = np.zeros((num_slots + 1 if endless else 0, num_states, num_states, WALKS), np.uint64)
    ready = np.zeros(num_slots + 1, np.bool_)
    products = np.zeros((len(end), WALKS), np.uint64)
    powers = np.zeros((num_powers if endless else 0, num_states, num_states, WALKS), np.uint64)
    one = np.zeros((num_states, WALKS), np.uint64)
    for j in range(num_states):
        cleared(one)
        add_one(one[j])
        for d in range(len(powers)):
            _onto(one if d == 0 else powers[d - 1, j], begin, end, chance[-1], products, powers[d, j])
    found = np.zeros((len(steps), WALKS), np.uint64)
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
        for m in range(size):
            live[0, m] = opened[starts[d] + m]
        for t in range(length):
            for m in range(size):
                if live[t, m]:
                    for q in range(size):
                        live[t + 1, q] |= leads[m, q]
        worth, before = np.zeros((size, num_states, WALKS), np.uint64), np.zeros((size, num_states, WALKS), np.uint64)
        if not endless:
            for m in range(size):
                for s in range(num_states):
                    for k in range(WALKS):
                        worth[m, s, k] = paid[m, s]
        elif not _rest(
            leads, onward, paid, worth, before, products, powers, slot, kept, factors, ready, begin, end, chance[-1]
        ):
            return found, False
        for t in range(length - 1, -1, -1):
            kernel = chance[min(t, len(chance) - 1)]
            for m in range(size):
                if live[t + 1, m]:
                    _onto(worth[m], begin, end, kernel, products, before[m])
            for m in range(size):
                if live[t, m]:
                    _ahead(m, onward, paid, before, True, worth[m])
        for m in range(size):
            if live[0, m]:
                for s in range(num_states):
                    for k in range(WALKS):
                        row = starts[d] + m
                        found[row, k] = fold(found[row, k] + times(first[s, k], worth[m, s, k]))
    return found, True

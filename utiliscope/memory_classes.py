"""The smallest automaton, found by compiled code."""

import numpy as np

from .kernel_cache import njit


@njit(nogil=True, cache=True)
def smallest_machine(step, pay):
    """Step and pay of the smallest automaton that pays the same along every sequence: memories that agree on all that
    may follow are one (Moore's refinement), those that are never entered are left out, and 0 stays first.

    step: `[M, S]` memories left, -1 for the end. pay: `[M, S]`.
    """
    size, num_states = step.shape
    # The end is a memory like another, which pays nothing.
    follows, paid = np.full((size + 1, num_states), size), np.zeros((size + 1, num_states))
    for m in range(size):
        for s in range(num_states):
            if step[m, s] >= 0:
                follows[m, s] = step[m, s]
            # There is one 0.
            paid[m, s] = pay[m, s] + 0.0
    group = _classes(follows, paid.view(np.int64))
    order, place = _come_upon(follows, group, size)
    left, gained = np.full((max(1, len(order)), num_states), np.int32(-1)), np.zeros((max(1, len(order)), num_states))
    for i in range(len(order)):
        for s in range(num_states):
            left[i, s] = place[group[follows[order[i], s]]]
            gained[i, s] = paid[order[i], s]
    return left, gained


@njit(nogil=True, cache=True)
def _classes(step, pay):
    """`[M]` a number for each memory, the same for those that agree on all that may follow.

    step: `[M, S]` memories, all of them rows. pay: `[M, S]` the bits of what is paid.
    """
    size, num_states = step.shape
    group, number = _numbered(pay, np.zeros(size, np.int64), False)
    rows = np.empty((size, num_states), np.int64)
    while True:
        for m in range(size):
            for s in range(num_states):
                rows[m, s] = group[step[m, s]]
        finer, more = _numbered(rows, group, True)
        if more == number:
            return group
        group, number = finer, more


@njit(nogil=True, cache=True)
def _numbered(rows, group, within):
    """`[M]` a number for each row (`within`: and its group), the same for equal ones, and how many there are."""
    size, slots = len(rows), 4
    while slots < 2 * size:
        slots *= 2
    found, first, mixed = np.empty(size, np.int64), np.empty(size, np.int64), np.empty(size, np.int64)
    held, number = np.full(slots, -1), 0
    for m in range(size):
        mixed[m] = group[m]
        for value in rows[m]:
            mixed[m] = (mixed[m] ^ value) * 1099511628211 + (mixed[m] >> 29)
        at = (mixed[m] ^ (mixed[m] >> 32)) & (slots - 1)
        while held[at] >= 0:
            other = first[held[at]]
            if mixed[other] == mixed[m] and (not within or group[other] == group[m]) and _same(rows, m, other):
                break
            at = (at + 1) & (slots - 1)
        if held[at] < 0:
            held[at], first[number] = number, m
            number += 1
        found[m] = held[at]
    return found, number


@njit(nogil=True, cache=True)
def _same(rows, one, other):
    s = 0
    while s < rows.shape[1] and rows[one, s] == rows[other, s]:
        s += 1
    return s == rows.shape[1]


@njit(nogil=True, cache=True)
def _come_upon(step, group, end):
    """One memory of each class but that of `end`, in the order in which they are come upon from memory 0 on; and `[M]`
    the place of each class in it, -1 for the end."""
    size, num_states = step.shape
    place, order, number = np.full(size, -2), np.empty(size, np.int64), 0
    place[group[end]] = -1
    if place[group[0]] == -2:
        place[group[0]], order[0], number = 0, 0, 1
    there, at = np.zeros(size, np.bool_), 0
    while at < number:
        for s in range(num_states):
            there[step[order[at], s]] = True
        for m in range(size):
            if there[m] and place[group[m]] == -2:
                place[group[m]], order[number] = number, m
                number += 1
            there[m] = False
        at += 1
    return order[:number], place

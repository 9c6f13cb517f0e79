"""Adaptive multilevel splitting: populations of random policies, each above a low value of the last one.

Guyader, Hengartner and Matzner-Lober (2011), a quarter at a time: all particles at or below the population's lower
quartile are killed, ties and all; copies of strictly better ones take their places, and move by a chain that leaves
the prior, cut off at the level, invariant. The share that survives multiplies the estimate.
"""

import math
from typing import NamedTuple, Protocol

import numpy as np

from .kernel_cache import njit

# A quarter's error is 1.08 times that of single kills, a half's 1.20; smaller shares mean more passes of the loop.
_KILLED = 0.25
LEVELS_AT_ONCE = 64


class Record(NamedTuple):
    """What happened at up to `L` levels of a population of `N`.

    killed: `[L, N]` rising values at or below each level, the first `dead` `[L]` of a row; alive `[L]` how many were
    above. bits: `[1]` -log2 of the share that survived all levels so far.
    """

    killed: np.ndarray
    dead: np.ndarray
    alive: np.ndarray
    bits: np.ndarray


class Population(Protocol):
    """`N` particles with `values` `[N]`."""

    values: np.ndarray

    def climb(self, random, ends, record) -> tuple[int, bool]:
        """Pass a record's levels: how many there were, and whether the last of all was among them. ends: see `fall`."""


def climb_by_steps(population, random, ends, record) -> tuple[int, bool]:
    """`climb` for a population in `order` `[N]` with `copy(places, parents)`, and `move(which, level)` under the prior
    cut off at the level."""
    parents = np.empty_like(population.order)
    for index in range(len(record.dead)):
        level, dead, last = fall(random, ends, record, index, population.values, population.order, parents)
        if last:
            return index + 1, True
        population.copy(population.order[:dead], parents[:dead])
        population.move(population.order[:dead], level)
    return len(record.dead), False


class Run(NamedTuple):
    """What splitting leaves behind, level by level.

    killed: `L` rising arrays, the values at or below each level; the last one is a whole population.
    survivors: `L` how many were strictly above the level; the last 0 if the population was extinct.
    size: number of particles.
    """

    killed: list[np.ndarray]
    survivors: list[int]
    size: int


def split(population, random, *, tolerance, best, reach, stop_at, max_bits) -> Run:
    """Raise a population until its level has come the share `reach` of the way from the mean random value to `best`,
    or to `stop_at`, until all its values tie, or until what is left is rarer than `max_bits`.
    """
    size, mean = len(population.values), population.values.mean()
    ends = (float(min(mean + reach * (best - mean), stop_at)), float(tolerance), float(max_bits))
    counts = np.zeros((2, LEVELS_AT_ONCE), int)
    record = Record(np.empty((LEVELS_AT_ONCE, size)), *counts, np.zeros(1))
    killed, survivors, done = [], [], False
    while not done:
        levels, done = population.climb(random, ends, record)
        killed += [values[:dead].copy() for values, dead in zip(record.killed[:levels], record.dead, strict=False)]
        survivors += record.alive[:levels].tolist()
    return Run(killed, survivors, size)


@njit(nogil=True, cache=True, inline="always")
def fall(random, ends, record, index, values, order, parents):
    """The next level, into row `index` of the record: it, how many fall, and whether it is the last.

    ends: target, tolerance, most bits. order: `[N]` the particles, now by rising values: those that fall are the first.
    Each gets one of the others as its parent, in `parents` `[N]`.
    """
    target, tolerance, max_bits = ends
    size = len(values)
    _sort(values, order, parents)
    level = values[order[max(int(_KILLED * size), 1) - 1]] + tolerance
    dead = 0
    # A value that is no number is never above.
    while dead < size and not values[order[dead]] > level:
        dead += 1
    last = dead == size or level >= target or record.bits[0] >= max_bits
    record.alive[index], record.dead[index] = size - dead, size if last else dead
    for i in range(record.dead[index]):
        record.killed[index, i] = values[order[i]]
    if not last:
        record.bits[0] -= math.log2(1 - dead / size)
        for i in range(dead):
            parents[i] = order[dead + int(random.random() * (size - dead))]
    return level, dead, last


@njit(nogil=True, cache=True, inline="always")
def _sort(values, order, spare):
    """Sort `order` by `values`, merging runs of 1, 2, 4, ...: NumPy's sorts take seconds to compile."""
    size, width, one, other = len(order), 1, order, spare
    while width < size:
        for start in range(0, size, 2 * width):
            middle, end = min(start + width, size), min(start + 2 * width, size)
            i, j = start, middle
            for k in range(start, end):
                if i < middle and (j >= end or values[one[i]] <= values[one[j]]):
                    other[k] = one[i]
                    i += 1
                else:
                    other[k] = one[j]
                    j += 1
        one, other = other, one
        width *= 2
    for k in range(size):
        order[k] = one[k]


@njit(nogil=True, cache=True)
def leaders(values, tolerance):
    """Which of rising values is more than `tolerance` above the last one so marked: a crowd is more than one tie."""
    marked = np.zeros(len(values), np.bool_)
    last = -np.inf
    for i in range(len(values)):
        if values[i] > last + tolerance:
            marked[i], last = True, values[i]
    return marked

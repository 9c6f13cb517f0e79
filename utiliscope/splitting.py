"""Adaptive multilevel splitting: populations of random policies, each above a low value of the last one.

Guyader, Hengartner and Matzner-Lober (2011), a quarter at a time: all particles at or below the population's lower
quartile are killed, ties and all; copies of strictly better ones take their places, and move by a chain that leaves
the prior, cut off at the level, invariant. The share that survives multiplies the estimate.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numba import njit

from .tables import MOVES_OF_A_VALUE, copy_particle, correct_value

# A quarter's error is 1.08 times that of single kills, a half's 1.20; smaller shares mean more passes of the loop.
_KILLED = 0.25
_LEVELS_AT_ONCE = 64


class Record(NamedTuple):
    """What happened at up to `L` levels of a population of `N`.

    killed: `[L, N]` rising values at or below each level, the first `dead` `[L]` of a row; alive `[L]` how many were
    above. bits: `[1]` -log2 of the share that survived all levels so far.
    """

    killed: np.ndarray
    dead: np.ndarray
    alive: np.ndarray
    bits: np.ndarray


class Population:
    """`N` particles with `values` `[N]`, in `order` `[N]`."""

    values: np.ndarray
    order: np.ndarray

    def copy(self, places, parents):
        """Put copies of `parents` in `places`."""
        raise NotImplementedError

    def move(self, which, level):
        """Move particles, under the prior cut off at `level`: their values stay above it."""
        raise NotImplementedError

    def climb(self, random, ends, record) -> tuple[int, bool]:
        """Pass a record's levels: how many there were, and whether the last of all was among them. See `fall`."""
        parents = np.empty_like(self.order)
        for index in range(len(record.dead)):
            level, dead, last = fall(random, ends, record, index, self.values, self.order, parents)
            if last:
                return index + 1, True
            self.copy(self.order[:dead], parents[:dead])
            self.move(self.order[:dead], level)
        return len(record.dead), False


class Moves(NamedTuple):
    """What moves particles, in tables (see `tables.py`) and in place.

    move: of (random, which, level, warmth, num_moves, particles). Each particle in `which` gets `num_moves` changes, of
        the rows in turn. What stays invariant is the prior cut off at `level`, weighted by exp(value / warmth) where
        `warmth` > 0: then each change has a level of its own, an exponential variate below the present value (a slice
        of that weight).
    climb: of (random, ends, record, num_moves, order, age, chains, weight, particles); as `Population.climb`.
    """

    move: Callable
    climb: Callable


def bound(move_one, climb, parts, room) -> Moves:
    """Compiled functions of one particle and of a population, with the last of their arguments."""

    def move(random, which, level, warmth, num_moves, particles):
        for n in which:
            move_one(random, n, level, warmth, num_moves, particles, parts, room)

    return Moves(move, lambda *arguments: climb(*arguments, parts, room))


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
    counts = np.zeros((2, _LEVELS_AT_ONCE), int)
    record = Record(np.empty((_LEVELS_AT_ONCE, size)), *counts, np.zeros(1))
    killed, survivors, done = [], [], False
    while not done:
        levels, done = population.climb(random, ends, record)
        killed += [values[:dead].copy() for values, dead in zip(record.killed[:levels], record.dead, strict=False)]
        survivors += record.alive[:levels].tolist()
    return Run(killed, survivors, size)


@njit(nogil=True, cache=True, inline="always")
def climb(move, random, ends, record, num_moves, order, age, chains, weight, particles, parts, room):
    """As `Population.climb`, with tables and compiled moves. age: `[N]` rounds of moves since a table was fresh."""
    parents = np.empty_like(order)
    for index in range(len(record.dead)):
        level, dead, last = fall(random, ends, record, index, particles.values, order, parents)
        if last:
            return index + 1, True
        for i in range(dead):
            n = order[i]
            copy_particle(n, parents[i], age, particles)
            move(random, n, level, 0.0, num_moves, particles, parts, room)
            age[n] += 1
            if age[n] % MOVES_OF_A_VALUE == 0:
                correct_value(n, chains, weight, particles)
    return len(record.dead), False


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
    while dead < size and values[order[dead]] <= level:
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

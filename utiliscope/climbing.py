"""Splitting of particles in tables (see `tables.py`), level after level in compiled code: while it runs, threads do not
wait for one another's interpreter.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .kernel_cache import njit
from .splitting import fall
from .tables import MOVES_OF_A_VALUE, copy_particle, correct_value


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


def bound(move_one, climb_all, parts, room) -> Moves:
    """Compiled functions of one particle and of a population, with the last of their arguments."""

    def move(random, which, level, warmth, num_moves, particles):
        for n in which:
            move_one(random, n, level, warmth, num_moves, particles, parts, room)

    return Moves(move, lambda *arguments: climb_all(*arguments, parts, room))


@njit(nogil=True, cache=True, inline="always")
def climb_tables(move, random, ends, record, num_moves, order, age, chains, weight, particles, parts, room):
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

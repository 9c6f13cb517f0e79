"""Populations as the oracle moves them, step by step, and moves that are looked at."""

from utiliscope import tables
from utiliscope.climbing import Moves
from utiliscope.row_splitting import WholeInverses
from utiliscope.splitting import climb_by_steps


class LevelByLevel(WholeInverses):
    """What is compiled as a whole, a step at a time."""

    climb = climb_by_steps

    def copy(self, places, parents):
        for place, parent in zip(places, parents, strict=True):
            tables.copy_particle(place, parent, self.age, self.particles)

    def move(self, which, level):
        self.proposed += self.num_moves * len(which)
        self.moves.move(self.random, which, level, 0.0, self.num_moves, self.particles)
        self.age[which] += 1
        for n in which[self.age[which] % tables.MOVES_OF_A_VALUE == 0]:
            tables.correct_value(n, self.problem.chains, self.problem.weight, self.particles)


def watched(kernels, problem, check):
    """In place of `row_splitting.kernels`: `check(rows, row_place, column_place, particles)` after each move."""

    def moves(_, rows, row_place, column_place):
        made = kernels(problem).moves(problem, rows, row_place, column_place)

        def move(random, which, level, warmth, num_moves, particles):
            made.move(random, which, level, warmth, num_moves, particles)
            check(rows, row_place, column_place, particles)

        return Moves(move, made.climb)

    class Watched:
        pass

    Watched.moves = staticmethod(moves)
    return lambda _: Watched

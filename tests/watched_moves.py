"""Moves of rows that are looked at: what a patch changed is compared with what it should be."""

from utiliscope.splitting import Moves


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

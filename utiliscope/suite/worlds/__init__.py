"""The worlds of the suite, by name: each a function that makes it."""

from collections.abc import Callable

from .grids import cliff, grid
from .hub import hub
from .labyrinth import labyrinth
from .random_sparse import random_sparse
from .suite_world import SuiteWorld

__all__ = ["WORLDS", "SuiteWorld", "cliff", "grid", "hub", "labyrinth", "random_sparse"]

# Dialects: the weights of forms. Sets are single features, but for EITHER.
_ALL = ("and", "or", "not", "avoid", "end", "every", "visits", "sequence", "within")
_SILENT = dict.fromkeys(_ALL, 0.0)
SUMS = _SILENT | {"time": 3 / 4, "reach": 1 / 4}
ORDER = _SILENT | {"time": 1 / 2, "reach": 1 / 4, "sequence": 1 / 8}
AGAIN = _SILENT | {"time": 1 / 4, "reach": 1 / 4, "sequence": 1 / 8, "every": 1 / 8}
OFTEN = _SILENT | {"time": 1 / 4, "reach": 1 / 4, "sequence": 1 / 8, "visits": 1 / 8}
SOON = _SILENT | {"time": 1 / 4, "reach": 1 / 2, "within": 1 / 4}
EITHER = _SILENT | {"time": 1 / 2, "reach": 1 / 4, "or": 1 / 8}

_TILES = "a..b .#.. ..a. b..G"
_SLIPPERY = "a...b .#.#. ..a.. b...."
_ROOMS = "...#..k ....... #.###.# ....... w..#..G"
_FIELD = "..a.. .#..b ..... b..#. ..a.G"


def _tiles() -> SuiteWorld:
    world = grid(_TILES, slip=0.0)
    changed = grid(_TILES, slip=0.2, walls=[("0,1", "0,2"), ("2,2", "2,3")])
    truths = ("reach(G)", "-time(b)", "time(a) - time(b)", "sequence(a, b)")
    return SuiteWorld(world, changed, truths, 12, ORDER, 4, num_steps=20)


def _slippery_tiles() -> SuiteWorld:
    world = grid(_SLIPPERY, slip=0.2)
    changed = grid(_SLIPPERY, slip=0.05, walls=[("0,1", "0,2"), ("2,0", "3,0"), ("2,3", "2,4")])
    truths = ("time(a) - 2*time(b)", "reach(a) - time(b)", "time(a) + time(b)", "reach(b)")
    return SuiteWorld(world, changed, truths, 12, SUMS, 4, num_steps=20)


def _four_rooms() -> SuiteWorld:
    world = grid(_ROOMS, slip=0.1)
    # One door less: what was a detour is the way.
    changed = grid(_ROOMS, slip=0.1, walls=[("1,5", "2,5")])
    truths = ("reach(G)", "-time(w)", "sequence(k, G)")
    return SuiteWorld(world, changed, truths, 11.5, ORDER, 4, num_steps=30)


def _cliff() -> SuiteWorld:
    truths = ("reach(G)", "reach(G) - time(c)", "-time(c)")
    return SuiteWorld(cliff(slip=0.1), cliff(slip=0.3, start="1,2"), truths, 12, SUMS, 4, num_steps=30)


def _labyrinth() -> SuiteWorld:
    # Left and right exchanged on the way to the water, and some wrong turns.
    changed = labyrinth(3, slip=0.1, mirrored=("first", "LR", "R"))
    truths = ("reach(water)", "sequence(water, home)", "every(water, 3)", "time(home)")
    return SuiteWorld(labyrinth(3), changed, truths, 11, AGAIN, 4, num_steps=40)


def _sparse() -> SuiteWorld:
    truths = ("time(x)", "time(a) - time(b)", "reach(a)")
    return SuiteWorld(random_sparse(0), random_sparse(0, changes=0.5), truths, 12, SUMS, 4, num_steps=20)


def _sparse_order() -> SuiteWorld:
    size = dict(num_states=14, num_actions=3, branching=2, marked=3)
    truths = ("sequence(a, b)", "-time(a)", "reach(b)", "-time(x)")
    return SuiteWorld(
        random_sparse(1, **size), random_sparse(1, **size, changes=0.5), truths, 12, ORDER, 4, num_steps=30
    )


def _hub() -> SuiteWorld:
    truths = ("reach(a)", "-time(hub)", "visits(a, 2)", "sequence(a, b)")
    return SuiteWorld(hub(), hub(slip=0.2, ring=False), truths, 11, OFTEN, 2, num_steps=20)


def _field_corner() -> SuiteWorld:
    world = grid(_FIELD, slip=0.1, start="0,0")
    changed = grid(_FIELD, slip=0.1, walls=[("2,1", "2,2"), ("2,2", "2,3")])
    truths = ("reach(G)", "within(3, reach(a))", "-time(b)", "time(a)")
    return SuiteWorld(world, changed, truths, 12.5, SOON, 4, num_steps=6, partial=True)


def _rooms_corner() -> SuiteWorld:
    world = grid(_ROOMS, slip=0.1, start="0,0")
    changed = grid(_ROOMS, slip=0.1, start="2,5")
    truths = ("reach(G)", "time(k)", "-time(w)", "reach(k or w)")
    return SuiteWorld(world, changed, truths, 12, EITHER, 4, num_steps=8, partial=True)


WORLDS: dict[str, Callable[[], SuiteWorld]] = {
    "tiles": _tiles,
    "slippery-tiles": _slippery_tiles,
    "four-rooms": _four_rooms,
    "cliff": _cliff,
    "labyrinth": _labyrinth,
    "sparse": _sparse,
    "sparse-order": _sparse_order,
    "hub": _hub,
    "field-corner": _field_corner,
    "rooms-corner": _rooms_corner,
}

"""A binary labyrinth in the manner of Rosenberg, Zhang, Perona and Meister (2021), with corridors.

Theirs has six levels of T-junctions between the entrance and 64 dead ends. Here a corridor, too, is a state, where one
goes on or turns back, so that not every decision is one between left and right.
"""

import numpy as np

from utiliscope.world import WorldModel, world_model

ACTIONS = ("on", "left", "right", "back")


def labyrinth(levels: int = 3, *, discount: float = 0.95, slip: float = 0.0, mirrored=(), start=None) -> WorldModel:
    """A home, `levels` levels of junctions below it, and 2^levels dead ends, with a corridor above each of them.

    Actions are "on" (at home and in corridors), "left" and "right" (at junctions) and "back" (but at home); others are
    not available. slip: chance of taking another of the available actions. mirrored: names of junctions, such as "L" or
    "LR" (the turns that lead there; the first is ""), whose left and right are exchanged. start: where episodes begin,
    by default at home.

    Features: `home`, `water` at one dead end, `ends`, all dead ends. States are named by the turns that lead there,
    with "/" for a corridor: "LR/" leads to "LR".
    """
    places = _places(levels)
    names = ["home", *(name for place in places for name in (f"{place}/", place or "first"))]
    index = {name: i for i, name in enumerate(names)}
    next_state = np.full((len(names), len(ACTIONS)), -1)
    next_state[0, 0] = index["/"]
    for place in places:
        corridor, junction = index[f"{place}/"], index[place or "first"]
        parent = 0 if not place else index[place[:-1] or "first"]
        next_state[corridor, [0, 3]] = junction, parent
        next_state[junction, 3] = corridor
        if len(place) < levels:
            turns = "RL" if (place or "first") in mirrored else "LR"
            next_state[junction, [1, 2]] = [index[f"{place}{turn}/"] for turn in turns]
    available = next_state >= 0
    transition = _slipping(next_state, available, slip)
    marks = np.array(names)
    ends = np.array([len(name) == levels and "/" not in name for name in names]) & (marks != "home")
    return world_model(
        transition,
        marks == ("home" if start is None else start),
        discount,
        available=available,
        state_names=names,
        action_names=ACTIONS,
        features={"home": marks == "home", "water": marks == "LRL"[:levels], "ends": ends},
        xy=_drawn(names, levels),
    )


def _places(levels):
    """The turns that lead to each junction and dead end, level by level."""
    places = [""]
    for level in range(levels):
        places += [place + turn for place in places if len(place) == level for turn in "LR"]
    return places


def _slipping(next_state, available, slip):
    """`[S, A, S]` where another available action is taken with chance `slip`, each equally likely."""
    size = len(next_state)
    moves = np.where(available[..., None], np.eye(size)[next_state], 0.0)
    others = available.sum(1)[:, None, None] - 1
    astray = np.where(others > 0, (moves.sum(1, keepdims=True) - moves) / np.maximum(others, 1), moves)
    return (1 - slip) * moves + slip * astray


def _drawn(names, levels):
    """`[S, 2]`: deeper is lower, left is left."""
    xy = []
    for name in names:
        turns = "" if name in ("home", "first") else name.rstrip("/")
        across = sum((1 if turn == "R" else -1) * 2.0 ** (levels - 1 - i) for i, turn in enumerate(turns))
        depth = -1.0 if name == "home" else 2.0 * len(turns) + (0 if name.endswith("/") else 1)
        xy.append((across, -depth))
    return xy

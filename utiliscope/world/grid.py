"""`gridworld`: a world from a drawing."""

import numpy as np

from utiliscope.errors import InputError, listed

from .model import WorldModel, world_model
from .transition import sparse_transition

_MOVES = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}


def gridworld(rows, *, slip=0.0, discount=0.95, initial=None, sparse: bool = False) -> WorldModel:
    """A grid drawn in characters: `#` wall, `.` free, any other character a free cell and a state feature.

    rows: equally long strings, or one string with line breaks. States are the free cells in reading order,
    named "row,column"; actions are up, down, left, right, and a bump stays.
    slip: chance of moving by another action, each of the other three equally likely.
    initial: `[S]` probabilities; uniform if not given.
    sparse: whether to keep the moves of each state only, for grids of more than about a thousand cells.
    """
    rows = rows.split() if isinstance(rows, str) else [str(row) for row in rows]
    if not rows:
        raise InputError("the grid has no rows; draw free cells with '.' and walls with '#'")
    if any(len(row) != len(rows[0]) for row in rows):
        raise InputError(f"the rows of a grid have lengths {listed(len(row) for row in rows)}; they must be equal")
    if not isinstance(slip, int | float | np.number) or not 0 <= slip <= 1:
        raise InputError(f"slip is {slip}; it must be a probability")
    cells = [(r, c) for r, row in enumerate(rows) for c, mark in enumerate(row) if mark != "#"]
    if not cells:
        raise InputError("the grid has walls only; draw a free cell with '.'")
    state_of = {cell: state for state, cell in enumerate(cells)}

    targets = np.array(
        [
            [state_of.get((r + down, c + right), state) for down, right in _MOVES.values()]
            for (r, c), state in state_of.items()
        ]
    )
    transition = _sparse(targets, slip) if sparse else _dense(targets, slip)

    marks = np.array([rows[r][c] for r, c in cells])
    return world_model(
        transition,
        np.full(len(cells), 1 / len(cells)) if initial is None else initial,
        discount,
        state_names=[f"{r},{c}" for r, c in cells],
        action_names=list(_MOVES),
        features={str(mark): marks == mark for mark in sorted(set(marks) - {"."})},
        xy=[(c, -r) for r, c in cells],
    )


def _dense(targets, slip):
    """`[S, A, S]` transition of `targets` `[S, A]`."""
    num_states, number = targets.shape
    moves = np.eye(num_states)[targets]
    others = moves.sum(1, keepdims=True) - moves
    return (1 - slip) * moves + slip / (number - 1) * others


def _sparse(targets, slip):
    """The same, without an array of `[S, A, S]`: each action leads to any of the targets."""
    num_states, number = targets.shape
    chance = np.where(np.eye(number, dtype=bool), 1 - slip, slip / (number - 1))
    shape = (num_states, number, number)
    return sparse_transition(np.broadcast_to(targets[:, None], shape), np.broadcast_to(chance, shape))

"""Grids: coloured tiles, four rooms (after Sutton, Precup and Singh 1999), a cliff (Sutton and Barto 2018, sec. 6.5).

All are much smaller than theirs, so that the value tails of some fifty utilities take less than a minute.
"""

from collections.abc import Iterable

import numpy as np

from utiliscope.world import WorldModel, gridworld, world_model


def grid(
    rows: str, *, slip: float, discount: float = 0.9, start: str | None = None, walls: Iterable = ()
) -> WorldModel:
    """A `gridworld` of lines in one string, separated by spaces.

    start: the cell "row,column" where every episode begins, or None for anywhere. walls: pairs of neighbouring cells,
    "row,column" each, between which there is no way in either direction: who tries bumps and stays.
    """
    open_grid = gridworld(rows.split(), slip=slip, discount=discount)
    names = open_grid.state_names
    transition = np.array(open_grid.transition)
    for pair in walls:
        one, other = (names.index(cell) for cell in pair)
        for here, there in ((one, other), (other, one)):
            transition[here, :, here] += transition[here, :, there]
            transition[here, :, there] = 0.0
    initial = np.array(open_grid.initial) if start is None else np.eye(len(names))[names.index(start)]
    return rebuilt(open_grid, transition=transition, initial=initial)


def cliff(*, slip: float, start: str = "3,0") -> WorldModel:
    """Four rows; from every cell `c` of the cliff, whatever is done, back to the start; who is at `G` stays there."""
    ground = grid("...... ...... ...... .ccccG", slip=slip, start=start)
    transition = np.array(ground.transition)
    fallen, arrived = np.flatnonzero(ground.features["c"]), np.flatnonzero(ground.features["G"])
    transition[fallen] = np.eye(ground.num_states)[ground.state_names.index("3,0")]
    transition[arrived] = np.eye(ground.num_states)[arrived][:, None]
    return rebuilt(ground, transition=transition)


def rebuilt(world: WorldModel, *, transition=None, initial=None) -> WorldModel:
    """`world` with other moves or starts, checked."""
    return world_model(
        world.transition if transition is None else transition,
        world.initial if initial is None else initial,
        float(world.discount),
        available=world.available,
        state_names=world.state_names,
        action_names=world.action_names,
        features=world.features,
        xy=world.xy,
    )

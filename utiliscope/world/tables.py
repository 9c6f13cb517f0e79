"""The transition in the entries of a world file: a table, next states, or the two arrays of a sparse world."""

import numpy as np

from utiliscope.errors import InputError

from .transition import SparseTransition, check_states, sparse_transition, whole_numbers

_MOST_DENSE = 2**26  # numbers that a transition of next states may have; a bigger one is made sparse


def one_layout(key, ndim, table, available, xy, layout):
    """The arrays of one world, where `table` may be a stack of them."""
    table = number_array(key, table)
    axes = ["states", "actions", "states"][:ndim]
    if table.ndim == ndim:
        if layout is not None:
            raise InputError(f"layout is {layout}, but {key} holds one world {list(table.shape)}; leave layout out")
        return table, available, xy
    if table.ndim != ndim + 1:
        raise InputError(f"{key} has shape {table.shape}; it must be {axes}".replace("'", ""))
    choice = f"choose one with layout=0..{len(table) - 1}"
    if layout is None:
        raise InputError(f"{key} holds {len(table)} layouts {list(table.shape)}; {choice}")
    if not isinstance(layout, int | np.integer) or isinstance(layout, bool) or not 0 <= layout < len(table):
        raise InputError(f"layout is {layout!r}, but {key} holds {len(table)} layouts; {choice}")
    available = available if np.ndim(available) != 3 else available[layout]
    return table[layout], available, xy if np.ndim(xy) != 3 else xy[layout]


def sparse_arrays(successors, chance, layout) -> SparseTransition:
    """The transition of a sparse world's two arrays."""
    successors, chance = whole_numbers("successors", successors), number_array("chance", chance)
    shapes = successors.shape, chance.shape
    if layout is not None or successors.ndim != 2 or chance.ndim != 3 or shapes[0] != shapes[1][::2]:
        raise InputError(
            f"successors and chance have shapes {shapes[0]} and {shapes[1]}; they must be [states, successors] and "
            "[states, actions, successors] of one world, without a layout"
        )
    check_states("successors", successors, len(successors))
    return SparseTransition(successors, chance)


def moved(next_state):
    """`[S, A]` next states to a transition and available `[S, A]`."""
    num_states = len(next_state)
    bad = ~((next_state >= -1) & (next_state < num_states) & (next_state % 1 == 0))
    if bad.any():
        where = np.argwhere(bad)[0].tolist()
        raise InputError(
            f"next_state{where} is {next_state[tuple(where)]:g}; states are 0..{num_states - 1}, "
            "and -1 says that the action is not available"
        )
    possible = next_state >= 0
    if num_states * next_state.size > _MOST_DENSE:
        return sparse_transition(next_state), possible
    return np.eye(num_states)[next_state.astype(int)] * possible[:, :, None], possible


def flags(key, values, shape) -> np.ndarray:
    values = number_array(key, values)
    if values.shape != shape:
        raise InputError(f"{key} has shape {values.shape}, not {shape}; give one truth value for each")
    if not np.isin(values, (0, 1)).all():
        raise InputError(f"{key} holds {values[~np.isin(values, (0, 1))][0]:g}; give true and false, or 1 and 0")
    return values == 1


def number_array(key, values) -> np.ndarray:
    try:
        return np.array(values, np.float64)
    except (TypeError, ValueError):
        pass
    lengths = [len(row) if isinstance(row, list) else 0 for row in values] if isinstance(values, list) else []
    odd = next((row for row, length in enumerate(lengths) if length != lengths[0]), None)
    if odd is not None:
        raise InputError(
            f"{key}[{odd}] has {lengths[odd]} entries and {key}[0] has {lengths[0]}; make them equally long"
        )
    raise InputError(f"{key} is not an array of numbers with rows of equal length")

"""`from_gymnasium`: the world of a tabular Gymnasium environment, and its reward."""

from typing import NamedTuple

import numpy as np

from utiliscope.errors import InputError

from .model import WorldModel, world_model
from .transition import collected


class _Moves(NamedTuple):
    """The table `P` as columns: `[N]` moves of positive probability."""

    state: np.ndarray
    action: np.ndarray
    next_state: np.ndarray
    probability: np.ndarray
    reward: np.ndarray
    ends: np.ndarray


def from_gymnasium(env, *, discount, sparse: bool = False) -> WorldModel:
    """The world of an environment with a table: `env.unwrapped.P[s][a]` = [(probability, s', reward, terminated)].

    Moves that terminate lead into absorbing states with one action. A state becomes absorbing if it is entered by
    terminating moves only; where it is also entered or started in alive, its terminating moves lead to an added
    state "done". Time limits, which are no part of `P`, are left out.

    sparse: whether to keep the moves of each state only, for tables of more than about a thousand states.

    Features: of a character map `desc` with a cell for each state, one for each mark but "." and " "; of
    CliffWalking, cliff (cells which send back and are never entered), start and goal.
    """
    table = _table(env)
    moves, available = _moves(table)
    num_states, num_actions = available.shape
    start = _start(table, num_states)
    absorbing, redirected = _endings(moves, start, num_states)

    size = num_states + int(redirected.any())
    targets = np.where(redirected, num_states, moves.next_state)
    transition = collected(moves.state, moves.action, targets, moves.probability, (size, num_actions))
    transition = transition if sparse else transition.dense()
    available = _grown(available & ~absorbing[:, None], size)  # a state without actions becomes absorbing
    if start is None:
        start = np.ones(num_states) if absorbing.all() else (~absorbing).astype(float)
        start /= start.sum()
    return world_model(
        transition,
        _grown(start, size),
        discount,
        available=available,
        state_names=[str(state) for state in range(num_states)] + ["done"] * (size - num_states),
        features={name: _grown(values, size) for name, values in _features(table, absorbing).items()},
        xy=_drawn(table, size, num_states),
    )


def gymnasium_reward(env, world) -> np.ndarray:
    """`[S, A]` expected reward of a step in `world = from_gymnasium(env)`; zero once the episode has ended."""
    table = _table(env)
    moves, available = _moves(table)
    num_states, num_actions = available.shape
    absorbing, redirected = _endings(moves, _start(table, num_states), num_states)
    shape = (num_states + int(redirected.any()), num_actions)
    if (world.num_states, world.num_actions) != shape:
        raise InputError(
            f"the world has {world.num_states} states and {world.num_actions} actions, and {_name(env)} makes one of "
            f"{shape[0]} and {shape[1]}; take the world from from_gymnasium of this environment"
        )
    reward = np.zeros(shape)
    np.add.at(reward, (moves.state, moves.action), moves.probability * moves.reward)
    reward[:num_states][absorbing] = 0.0
    return reward


def _name(env) -> str:
    spec = getattr(env, "spec", None)
    return getattr(spec, "id", None) or type(env).__name__


def _table(env):
    """The innermost environment, which holds the table."""
    table = getattr(env, "unwrapped", env)
    if getattr(table, "P", None) is None:
        raise InputError(
            f"{_name(env)} has no table `P` of transitions; from_gymnasium reads tabular environments such as "
            "FrozenLake-v1 only: number the states of others yourself and build the world with world_model"
        )
    return table


def _moves(table) -> tuple[_Moves, np.ndarray]:
    """The moves in `P`, and `[S, A]` whether it has an entry."""
    try:
        actions = {int(state): dict(_pairs(row)) for state, row in _pairs(table.P)}
        num_states, num_actions = len(actions), 1 + max(int(action) for row in actions.values() for action in row)
    except (TypeError, ValueError):
        num_states = 0
    if num_states == 0 or set(actions) != set(range(num_states)):
        raise InputError(f"{_name(table)}: the table `P` must have the states 0, 1, ... as keys, with actions in each")
    available = np.zeros((num_states, num_actions), bool)
    rows = []
    for state, row in actions.items():
        for action, outcomes in row.items():
            available[state, action] = True
            for outcome in outcomes:
                try:
                    probability, target, reward, ends = map(float, outcome)
                except (TypeError, ValueError):
                    raise InputError(
                        f"{_name(table)}: P[{state}][{action}] holds {outcome}; "
                        "each entry must be the numbers (probability, next state, reward, terminated)"
                    ) from None
                rows.append((state, action, probability, target, reward, ends))
    columns = np.array(rows, np.float64).reshape(-1, 6).T
    outside = ~np.isin(columns[3], np.arange(num_states))
    if outside.any():
        state, action, _, target = columns[:4, outside][:, 0]
        raise InputError(
            f"{_name(table)}: P[{state:g}][{action:g}] leads to {target:g}; states are 0..{num_states - 1}"
        )
    state, action, probability, next_state, reward, ends = columns[:, columns[2] != 0]
    state, action, next_state = (column.astype(int) for column in (state, action, next_state))
    return _Moves(state, action, next_state, probability, reward, ends != 0), available


def _pairs(row):
    return row.items() if isinstance(row, dict) else enumerate(row)


def _endings(moves, start, num_states) -> tuple[np.ndarray, np.ndarray]:
    """`[S]` which states are absorbing, and `[N]` which moves lead to an added state instead of where they say."""
    outside = moves.state != moves.next_state

    def among(chosen):
        return np.bincount(moves.next_state[chosen], minlength=num_states) > 0

    started = ~among(outside) if start is None else start > 0
    entered_alive = among(outside & ~moves.ends)
    leaves = np.bincount(moves.state[outside | ~moves.ends], minlength=num_states) > 0
    over = among(moves.ends & ~outside) & ~leaves  # every step there ends the episode again
    absorbing = ~started & (over | (among(moves.ends & outside) & ~entered_alive))
    return absorbing, moves.ends & ~absorbing[moves.next_state]


def _start(table, num_states):
    """`[S]` probabilities, or None if the environment does not tell."""
    start = getattr(table, "initial_state_distrib", None)
    if start is None:
        return None
    start = np.asarray(start, np.float64)
    if start.shape != (num_states,):
        raise InputError(f"{_name(table)}: initial_state_distrib has shape {start.shape}, and `P` {num_states} states")
    return start


def _grown(values, size) -> np.ndarray:
    """`values` with zeros added up to `size` along the first axis."""
    return np.concatenate([values, np.zeros((size - len(values), *values.shape[1:]), values.dtype)])


def _map(table, num_states):
    """`[rows, columns]` characters if each state is a cell of `desc`, else None."""
    cells = np.asarray(getattr(table, "desc", None))
    cells = cells.astype(str) if cells.dtype.kind in "SU" else None
    if cells is not None and cells.ndim == 1 and len(set(map(len, cells))) == 1:
        cells = np.array([list(row) for row in cells])
    if cells is None or cells.ndim != 2 or cells.size != num_states or cells.dtype.itemsize != 4:
        return None
    return cells


def _features(table, absorbing) -> dict[str, np.ndarray]:
    num_states = len(absorbing)
    cells = _map(table, num_states)
    if cells is not None:
        return {str(mark): cells.ravel() == mark for mark in sorted(set(cells.ravel()) - {".", " "})}
    cliff = np.asarray(getattr(table, "_cliff", None))
    if cliff.dtype != bool or cliff.size != num_states:
        return {}
    features = {"cliff": cliff.ravel(), "goal": absorbing}
    start = getattr(table, "start_state_index", None)
    return features if start is None else features | {"start": np.arange(num_states) == start}


def _drawn(table, size, num_states):
    """`[S, 2]` coordinates of a grid, with an added state at its upper right, or None."""
    cells = _map(table, num_states)
    shape = cells.shape if cells is not None else getattr(table, "shape", None)
    if not (isinstance(shape, tuple) and len(shape) == 2 and np.prod(shape) == num_states):
        return None
    rows, columns = np.unravel_index(np.arange(num_states), shape)
    xy = np.stack([columns, -rows], -1).astype(np.float64)
    return np.concatenate([xy, np.full((size - num_states, 2), (shape[1], 0.0))])

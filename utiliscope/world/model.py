"""`WorldModel`: the tabular world in which behaviour is recorded and policies are compared."""

import dataclasses

import equinox as eqx
import numpy as np
import scipy.sparse
import scipy.sparse.csgraph
from jaxtyping import Array, Bool, Float

from utiliscope.errors import InputError, listed

from .transition import SparseTransition, check_states, likeliest, links, moves, with_loops

# Worlds keep float64 on the host, whatever precision a run of JAX uses: rounding makes ties look strict.
_SUM_TOLERANCE = 1e-6


class WorldModel(eqx.Module):
    """Tabular world of `S` states and `A` actions.

    Build one with `world_model`, which checks it. A state sequence is s_0, s_1, ...: without a horizon it
    never ends and step t weighs discount**t; with a horizon of H it is s_0 .. s_H, after H actions.

    transition: `[S, A, S]` probability of the next state, or a `SparseTransition`; the last axis sums to 1.
        Unavailable actions are stored as self-loops and never used.
    initial: `[S]` probability of the first state.
    discount: scalar per step, in [0, 1); with a horizon also 1.
    available: `[S, A]` whether an action can be taken; every state has at least one.
    features: name to `[S]`, bool (a predicate over states) or float (an amount).
    xy: `[S, 2]` where states are drawn, or None.
    state_names, action_names: what states and actions are called in recordings and tables.
    horizon: number of actions in an episode, or None.
    """

    transition: Float[Array | np.ndarray, "*B S A S"] | SparseTransition
    initial: Float[Array | np.ndarray, "*B S"]
    discount: Float[Array | np.ndarray, "*B"]
    available: Bool[Array | np.ndarray, "*B S A"]
    features: dict[str, Bool[Array | np.ndarray, " S"] | Float[Array | np.ndarray, " S"]]
    xy: Float[Array | np.ndarray, "S 2"] | None = None
    state_names: tuple[str, ...] = eqx.field(static=True, default=())
    action_names: tuple[str, ...] = eqx.field(static=True, default=())
    horizon: int | None = eqx.field(static=True, default=None)

    @property
    def num_states(self) -> int:
        return self.transition.shape[-1]

    @property
    def num_actions(self) -> int:
        return self.transition.shape[-2]


def world_model(
    transition,
    initial,
    discount,
    *,
    available=None,
    state_names=None,
    action_names=None,
    features=None,
    xy=None,
    horizon=None,
) -> WorldModel:
    """A checked `WorldModel` from arrays.

    transition: `[S, A, S]`, or what `sparse_transition` makes; rows of available actions sum to 1 (those of
    unavailable ones are ignored).
    initial: `[S]` probabilities. discount: in [0, 1), or in [0, 1] with a `horizon`.
    available: `[S, A]` bool, all by default; a state with no action at all becomes absorbing, with one action.
    state_names, action_names: unique strings, by default "0", "1", ...
    features: name to `[S]` bool or float array. xy: `[S, 2]` coordinates. horizon: number of actions, or None.

    Raises InputError for shapes that disagree, NaN, negative probabilities and rows that do not sum to 1.
    """
    if isinstance(transition, SparseTransition):
        check_states("successors", np.asarray(transition.successors), transition.shape[-1])
    else:
        transition = _numbers("transition", transition)
    if transition.ndim != 3 or transition.shape[0] != transition.shape[2]:
        raise InputError(f"transition has shape {transition.shape}; it must be [states, actions, states]")
    num_states, num_actions, _ = transition.shape
    if num_states == 0 or num_actions == 0:
        raise InputError(f"transition has shape {transition.shape}; a world needs a state and an action")

    available = np.ones((num_states, num_actions)) if available is None else _numbers("available", available)
    if available.shape != (num_states, num_actions):
        raise InputError(f"available has shape {available.shape}, not [states, actions] = {transition.shape[:2]}")
    if not np.isin(available, (0, 1)).all():
        raise InputError("available holds other values than true and false; it says which actions can be taken")
    available = available == 1
    stuck = ~available.any(-1)
    available[stuck, 0] = True
    transition = with_loops(transition, available & ~stuck[:, None])
    if isinstance(transition, SparseTransition):
        _check_probabilities("transition", transition.chance, transition.successors)
    else:
        _check_probabilities("transition", transition)

    initial = _numbers("initial", initial)
    if initial.shape != (num_states,):
        raise InputError(f"initial has shape {initial.shape}, not [states] = ({num_states},)")
    _check_probabilities("initial", initial)

    horizon = _checked_horizon(horizon)
    discount = _numbers("discount", discount)
    limit = "[0, 1)" if horizon is None else "[0, 1]"
    if discount.ndim or not 0 <= discount <= 1 or (discount == 1 and horizon is None):
        raise InputError(f"discount is {discount}; it must be one number in {limit}")

    return WorldModel(
        transition=transition,
        initial=initial,
        discount=discount,
        available=available,
        features=_checked_features({} if features is None else features, num_states),
        xy=_checked_xy(xy, num_states),
        state_names=_checked_names("state_names", state_names, num_states),
        action_names=_checked_names("action_names", action_names, num_actions),
        horizon=horizon,
    )


def check_world(world) -> None:
    """Raise InputError for anything but a `WorldModel`, or `PossibleWorlds`."""
    if not all(isinstance(one, WorldModel) for one in _members(world)):
        shown = repr(world) if isinstance(world, str) else f"a {type(world).__name__}"
        raise InputError(f"world is {shown}, not a WorldModel; read a file with read_world(path)")


def _members(world) -> tuple:
    """The worlds of a `PossibleWorlds`, which is defined on top of this file, or the one world."""
    return getattr(world, "worlds", (world,))


def bare(world):
    """`world` without features and names: what values depend on, so that compiled code serves every such world.

    Of `PossibleWorlds` each world.
    """
    if hasattr(world, "worlds"):
        return dataclasses.replace(world, worlds=tuple(map(bare, world.worlds)))
    return dataclasses.replace(world, features={}, xy=None, state_names=(), action_names=())


def absorbing_states(world) -> np.ndarray:
    """`[S]` bool: states that no available action leaves, in any possible world."""
    if hasattr(world, "worlds"):
        return np.all([absorbing_states(one) for one in world.worlds], axis=0)
    successors, chance = links(world.transition)
    home = successors == np.arange(world.num_states)[:, None]
    stays = np.where(home[:, None, :], chance, 0.0).sum(-1) >= 1 - _SUM_TOLERANCE
    return (stays | ~np.asarray(world.available)).all(-1)


def reachable_states(world) -> np.ndarray:
    """`[S]` bool: states that some policy visits with positive probability from `initial`, in some possible world."""
    if hasattr(world, "worlds"):
        return np.any([reachable_states(one) for one in world.worlds], axis=0)
    start, end = moves(world.transition, world.available).T
    first = np.flatnonzero(np.asarray(world.initial) > 0)
    # One more node leads to all first states, and the search begins there.
    root, size = world.num_states, world.num_states + 1
    start, end = np.append(start, np.full(len(first), root)), np.append(end, first)
    graph = scipy.sparse.csr_array((np.ones(len(start)), (start, end)), shape=(size, size))
    found = scipy.sparse.csgraph.breadth_first_order(graph, root, return_predecessors=False)
    return np.isin(np.arange(world.num_states), found)


def is_deterministic(world) -> bool:
    """Whether every available action has one next state (in each possible world; which one may be open)."""
    if hasattr(world, "worlds"):
        return all(map(is_deterministic, world.worlds))
    return bool((likeliest(world.transition)[1] >= 1 - _SUM_TOLERANCE).all())


def _numbers(name, values) -> np.ndarray:
    try:
        array = np.array(values, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} is not an array of numbers: {error}") from None
    return array


def _check_probabilities(name, array, columns=None):
    """Raise InputError unless the last axis holds probabilities, of the next states `columns` `[S, K]` if given."""
    for problem, bad in (
        ("is not a finite number", ~np.isfinite(array)),
        ("is negative", array < -_SUM_TOLERANCE),
    ):
        if bad.any():
            where = tuple(int(i) for i in np.argwhere(bad)[0])
            place = where if columns is None else (*where[:-1], int(columns[where[0], where[-1]]))
            raise InputError(f"{name}{list(place)} {problem} ({array[where]}); probabilities are numbers >= 0")
    sums = array.sum(-1)
    off = np.abs(sums - 1) > _SUM_TOLERANCE
    if off.any():
        where = [int(i) for i in np.argwhere(off)[0]]
        total = sums[tuple(where)]
        place = f"{name}{where}" if where else name
        more = f" ({int(off.sum())} such rows)" if off.sum() > 1 else ""
        raise InputError(
            f"{place} sums to {total:.6g}, not 1{more}; divide counts by their sum, "
            "and mark actions that do not exist in `available`"
        )


def _checked_horizon(horizon):
    if horizon is None:
        return None
    whole = isinstance(horizon, int | float | np.number) and not isinstance(horizon, bool) and horizon % 1 == 0
    if not whole or horizon < 1:
        raise InputError(f"horizon is {horizon}; it must be a whole number of actions, at least 1")
    return int(horizon)


def _checked_names(what, names, size) -> tuple[str, ...]:
    if names is None:
        return tuple(str(i) for i in range(size))
    if isinstance(names, str) or np.ndim(names) != 1:
        raise InputError(f"{what} is {names!r}; it must be a list of {size} names")
    names = tuple(str(name) for name in names)
    if len(names) != size:
        raise InputError(f"{what} has {len(names)} names for {size}")
    repeated = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < size else []
    if repeated:
        raise InputError(f"{what} repeats {listed(repeated)}; names must be unique")
    return names


def _checked_features(features, num_states):
    checked = {}
    if not isinstance(features, dict):
        raise InputError(f"features is a {type(features).__name__}; it must map names to one value for each state")
    for name, values in features.items():
        if not isinstance(name, str) or not name:
            raise InputError(f"a feature is named {name!r}; names are non-empty strings")
        numbers = _numbers(f"feature {name!r}", values)
        values = numbers == 1 if np.asarray(values).dtype == bool else numbers
        if values.shape != (num_states,):
            raise InputError(f"feature {name!r} has shape {values.shape}, not [states] = ({num_states},)")
        if not np.isfinite(values).all():
            state = int(np.argmin(np.isfinite(values)))
            raise InputError(f"feature {name!r} is {values[state]} at state {state}; features are finite")
        checked[name] = values
    return checked


def _checked_xy(xy, num_states):
    if xy is None:
        return None
    xy = _numbers("xy", xy)
    if xy.shape != (num_states, 2) or not np.isfinite(xy).all():
        raise InputError(f"xy has shape {xy.shape}; it must be finite, [states, 2] = ({num_states}, 2)")
    return xy

"""`read_world` and `write_world`: worlds in .json, .json.gz and .npz files."""

import gzip
import json
import pathlib
import zipfile
import zlib

import numpy as np

from utiliscope.errors import InputError, listed
from utiliscope.outputs import written_whole

from .annotations import annotated_features, annotated_xy, short_names
from .model import WorldModel, world_model
from .possible import PossibleWorlds, World
from .tables import flags, moved, number_array, one_layout, sparse_arrays
from .transition import SparseTransition, links

_SUFFIXES = (".json.gz", ".json", ".npz")
_FORMAT = "utiliscope world 1"  # marks files of `write_world`, which hold nothing to be guessed
_UNREADABLE = (OSError, EOFError, ValueError, RecursionError, RuntimeError, zlib.error, zipfile.BadZipFile)


def read_world(path, *, discount=None, initial=None, layout=None) -> WorldModel:
    """The world in a .json, .json.gz or .npz file.

    Keys: `transition` `[S, A, S]`, or `next_state` `[S, A]` with -1 for an action that is not available (sparse if the
    world is big), or, for a sparse world, `successors` `[S, K]` and `chance` `[S, A, K]`.
    Optional: initial (`[S]`, or one state), discount, horizon, states and actions (names), xy `[S, 2]`,
    available `[S, A]` (with next_state: an action is available where both say so), absorbing (states, or
    `[S]` bool; these become self-loops with action 0 alone), features (name to `[S]`; in .npz `feature:NAME`).

    discount: overrides the file; 0.95 if neither gives one.
    initial: `[S]` probabilities, a state's number or its name; overrides the file; uniform if neither gives one.
    layout: which world of a stack, where next_state is `[layouts, S, A]` or transition `[layouts, S, A, S]`.

    Other keys become features where their meaning is plain, and are ignored otherwise:
    an integer NAME_state or NAME_node marks that state in a bool feature NAME, and start_state is also `initial`
    if nothing else gives it; in JSON, a list of fewer than S distinct state numbers is a bool feature;
    `[S]` numbers are a float feature, `[S]` booleans a bool feature;
    `[S]` short strings are a bool feature for each value but ".", named by the first word of KEY_meaning[value]
    if there is one, else by the value. Without xy, the first `[S, 2]` numbers are taken for it.
    Action names beyond 20 characters are cut, at a bracket or punctuation mark if there is one.
    """
    path = pathlib.Path(path)
    entries = _read_json(path) if _suffix(path) != ".npz" else _read_npz(path)
    if not {"transition", "next_state", "successors"} & set(entries):
        raise InputError(
            f"{path} is not a world file: it has neither `transition` nor `next_state`; "
            f"keys found: {listed(entries, 12) or 'none'}"
        )
    try:
        return _world(entries, discount, initial, layout)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def write_world(world: World, path) -> None:
    """Write `world` as .json, .json.gz or .npz; `read_world` gives back the same world.

    A sparse world is written as `successors` and `chance`, another one without chance as `next_state`, and any other
    as `transition`. The file appears whole or not at all.
    """
    path = pathlib.Path(path)
    suffix = _suffix(path)
    if isinstance(world, PossibleWorlds):
        raise InputError("a file holds one world; write each of possible.worlds by itself, and keep their weights")
    if np.ndim(world.transition) != 3:
        raise InputError(f"transition has shape {np.shape(world.transition)}; write the worlds of a batch one by one")
    entries = _entries(world)
    if suffix == ".npz":
        _check_npz_names(world)
        entries |= {f"feature:{name}": values for name, values in entries.pop("features").items()}
    else:
        text = json.dumps(entries, default=lambda array: array.tolist()).encode()

    with written_whole(path) as partial, open(partial, "wb") as file:
        if suffix == ".npz":
            np.savez_compressed(file, **entries)
        else:
            file.write(gzip.compress(text, mtime=0) if suffix == ".json.gz" else text)


def _suffix(path) -> str:
    for suffix in _SUFFIXES:
        if path.name.lower().endswith(suffix):
            return suffix
    raise InputError(f"{path} cannot be a world file: its name must end in .json, .json.gz or .npz")


def _entries(world) -> dict:
    available = np.asarray(world.available)
    entries = {"format": _FORMAT, "discount": float(world.discount), "initial": np.asarray(world.initial)}
    if isinstance(world.transition, SparseTransition):
        successors, chance = links(world.transition)
        entries |= {"successors": successors, "chance": chance, "available": available}
    elif np.isin(transition := np.asarray(world.transition), (0, 1)).all():
        entries["next_state"] = np.where(available, transition.argmax(-1), -1)
    else:
        entries |= {"transition": transition, "available": available}
    if world.horizon is not None:
        entries["horizon"] = world.horizon
    if world.xy is not None:
        entries["xy"] = np.asarray(world.xy)
    if world.state_names:
        entries["states"] = list(world.state_names)
    if world.action_names:
        entries["actions"] = list(world.action_names)
    return entries | {"features": {name: np.asarray(values) for name, values in world.features.items()}}


def _check_npz_names(world):
    lost = [name for name in [*world.state_names, *world.action_names, *world.features] if not _encodes(name)]
    if lost:
        raise InputError(f"an .npz file cannot keep the names {listed(map(repr, lost))}; write .json instead")


def _encodes(name) -> bool:
    return "\0" not in name and name == name.encode("utf-8", "ignore").decode()


def _read_json(path) -> dict:
    try:
        content = path.read_bytes()
        entries = json.loads(gzip.decompress(content) if _suffix(path) == ".json.gz" else content)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; check the path of the world file") from None
    except _UNREADABLE as error:
        raise InputError(
            f"{path} cannot be read as JSON: {error}; see read_world for what a world file holds"
        ) from None
    if not isinstance(entries, dict):
        raise InputError(f"{path} is not a world file: it holds a {type(entries).__name__}, not an object with keys")
    return entries


def _read_npz(path) -> dict:
    try:
        with open(path, "rb") as file:
            archive = np.load(file, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                raise ValueError("it holds one bare array")
            arrays = {name.removesuffix(".npy"): np.asarray(archive[name]) for name in archive.zip.namelist()}
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; check the path of the world file") from None
    except (*_UNREADABLE, KeyError, MemoryError) as error:
        reason = "it is no .npz archive of numbers" if "unsafely" in str(error) else error
        raise InputError(f"{path} cannot be read as .npz: {reason}; write it with np.savez, without objects") from None
    entries = {name: array.item() if array.shape == () else array for name, array in arrays.items()}
    features = {name.removeprefix("feature:"): array for name, array in entries.items() if name.startswith("feature:")}
    return {name: value for name, value in entries.items() if not name.startswith("feature:")} | {"features": features}


def _world(entries, discount, initial, layout) -> WorldModel:
    tables = [key for key in ("transition", "next_state", "successors") if key in entries]
    if len(tables) > 1:
        raise InputError(f"it has both `{tables[0]}` and `{tables[1]}`; remove one")
    available, xy = entries.get("available"), entries.get("xy")
    if "transition" in entries:
        transition, available, xy = one_layout("transition", 3, entries["transition"], available, xy, layout)
        available = None if available is None else flags("available", available, transition.shape[:2])
    elif "successors" in entries:
        transition = sparse_arrays(entries["successors"], entries.get("chance"), layout)
        available = None if available is None else flags("available", available, transition.shape[:2])
    else:
        next_state, available, xy = one_layout("next_state", 2, entries["next_state"], available, xy, layout)
        transition, possible = moved(next_state)
        available = possible if available is None else possible & flags("available", available, possible.shape)
    num_states = transition.shape[0]

    state_names = _names("states", entries.get("states"), num_states)
    action_names = _names("actions", entries.get("actions"), transition.shape[1])
    known = state_names or tuple(map(str, range(num_states)))
    if entries.get("absorbing") is not None:
        available = np.ones(transition.shape[:2], bool) if available is None else available
        available[_absorbing(entries["absorbing"], known)] = False
    features = entries.get("features") or {}
    if not isinstance(features, dict):
        raise InputError(f"features is a {type(features).__name__}; it must map names to one value for each state")
    if entries.get("format") != _FORMAT:
        features = annotated_features(entries, num_states) | features
        action_names = short_names(action_names)
        xy = annotated_xy(entries, num_states) if xy is None else xy

    return world_model(
        transition,
        _start(_first(initial, entries.get("initial"), entries.get("start_state")), known),
        _first(discount, entries.get("discount"), 0.95),
        available=available,
        state_names=state_names,
        action_names=action_names,
        features=features,
        xy=xy,
        horizon=entries.get("horizon"),
    )


def _first(*values):
    return next((value for value in values if value is not None), None)


def _names(key, names, size) -> tuple[str, ...] | None:
    if names is None:
        return None
    names = list(names) if isinstance(names, list | np.ndarray) else None
    if names is None or any(isinstance(name, list | dict | np.ndarray | None) for name in names):
        raise InputError(f"{key} must be a list of names")
    if len(names) != size:
        raise InputError(f"{key} has {len(names)} names for {size}; give one for each, in order")
    return tuple(map(str, names))


def _state(key, state, names) -> int:
    if isinstance(state, str) and state in names:
        return names.index(state)
    try:
        number = float(state)
    except (TypeError, ValueError):
        number = np.nan
    if isinstance(state, bool | np.bool_) or not (number % 1 == 0 and 0 <= number < len(names)):
        raise InputError(f"{key} names the state {state!r}; states are 0..{len(names) - 1} or {listed(names)}")
    return int(number)


def _absorbing(states, names) -> np.ndarray:
    states = np.asarray(states).tolist() if np.ndim(states) else [states]
    if len(states) == len(names) and all(isinstance(state, bool) for state in states):
        return np.array(states)
    return np.isin(np.arange(len(names)), [_state("absorbing", state, names) for state in states])


def _start(initial, names):
    """`[S]` probabilities from such probabilities, one state, or nothing."""
    if initial is None:
        return np.full(len(names), 1 / len(names))
    if isinstance(initial, str) or np.shape(initial) == ():
        return np.arange(len(names)) == _state("initial", initial, names)
    return number_array("initial", initial)

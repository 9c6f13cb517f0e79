"""What the annotations of a world file mean: features, coordinates and short names from keys nobody has to write.

The rules are those in the docstring of `read_world`; whatever none of them covers is left alone.
"""

import re

import numpy as np

_FIXED_KEYS = {"transition", "next_state", "initial", "discount", "horizon", "states", "actions", "features", "xy"}
_FIXED_KEYS |= {"successors", "chance", "available", "absorbing", "format"}
_SIZES = {"shape", "size", "dimensions", "grid_shape", "grid_size"}  # integer lists that number no states
_NAME_LENGTH = 20


def annotated_features(entries, num_states) -> dict[str, np.ndarray]:
    """Name to `[S]` bool or float feature, from `entries` as read from JSON (lists) or .npz (arrays)."""
    found = {}
    for key, value in entries.items():
        values = None if key in _FIXED_KEYS | _SIZES else _flat(value)
        if values is None:
            continue
        kind, each_state = values.dtype.kind, values.shape == (num_states,)
        place = re.fullmatch(r"(.+)_(?:state|node)", key)
        if values.ndim == 0:
            if place and kind == "i" and 0 <= values < num_states:
                found.setdefault(place[1], np.arange(num_states) == values)
        elif each_state and kind == "U":
            for name, marked in _letters(values, entries.get(f"{key}_meaning"), found):
                found.setdefault(name, marked)
        elif each_state and kind in "biuf":
            if np.isfinite(values).all():
                found[key] = values if kind == "b" else values.astype(np.float64)
        elif isinstance(value, list) and kind == "i" and _numbers_states(values, num_states):
            found[key] = np.isin(np.arange(num_states), values)
    return found


def annotated_xy(entries, num_states) -> np.ndarray | None:
    """The first `[S, 2]` of finite numbers among the keys without a fixed meaning, or None."""
    for key, value in entries.items():
        if key not in _FIXED_KEYS and isinstance(value, list | np.ndarray) and len(value) == num_states:
            try:
                pairs = np.array(value, np.float64)
            except (TypeError, ValueError):
                continue
            if pairs.shape == (num_states, 2) and np.isfinite(pairs).all():
                return pairs
    return None


def short_names(names) -> tuple[str, ...] | None:
    """Names of at most about 20 characters, still unique."""
    if names is None:
        return None
    short = [
        name if len(name) <= _NAME_LENGTH else re.split(r"[(;:,]", name)[0].strip()[:_NAME_LENGTH] for name in names
    ]
    return tuple(
        cut if cut and short.count(cut) == 1 else name if len(name) <= _NAME_LENGTH else f"{cut} {index}".strip()
        for index, (name, cut) in enumerate(zip(names, short, strict=True))
    )


def _flat(value):
    """`value` as a 0- or 1-dimensional array of one kind, or None."""
    if isinstance(value, np.ndarray):
        return value if value.ndim == 1 else None
    items = value if isinstance(value, list) else [value]
    kinds = {type(item) for item in items}
    if not any(kinds and kinds <= same for same in ({int, float}, {bool}, {str})):
        return None
    return np.array(value)


def _letters(values, meanings, taken):
    """A name and `[S]` bool for each of the few short strings in `values`, without "."."""
    letters = list(dict.fromkeys(values.tolist()))
    if len(letters) == len(values) or max(map(len, letters)) > _NAME_LENGTH:
        return
    for letter in letters:
        meaning = meanings.get(letter) if isinstance(meanings, dict) else None
        word = re.match(r"[^\W\d]\w*", meaning) if isinstance(meaning, str) else None
        if letter not in {".", ""}:
            yield word[0] if word and word[0] not in taken else letter, values == letter


def _numbers_states(values, num_states) -> bool:
    """Whether `values` are distinct states, not all of them."""
    distinct = 0 < len(set(values.tolist())) == len(values) < num_states
    return bool(distinct and values.min() >= 0 and values.max() < num_states)

"""`Behaviour`: recorded decisions, and `read_behaviour`, which checks them against the world."""

import dataclasses

import numpy as np
import pandas as pd

from .errors import InputError, listed
from .recordings import MISSING_WORDS, recorded_rows
from .world import WorldModel

_REQUIRED = ["episode", "t", "state", "action"]
_COUNTING = "; rows count from 0, the first below the header"


@dataclasses.dataclass(frozen=True, eq=False)
class Behaviour:
    """Recorded decisions in a world of `num_states` states and `num_actions` actions.

    Read it with `read_behaviour`, which checks it.

    table: one row a decision, sorted by episode and t: columns episode, t, state, action, next_state (numbers;
        next_state is -1 where unknown), then whatever else was recorded.
    """

    table: pd.DataFrame
    num_states: int
    num_actions: int

    @property
    def num_episodes(self) -> int:
        return self.table["episode"].nunique()

    @property
    def num_decisions(self) -> int:
        return len(self.table)

    def counts(self) -> np.ndarray:
        """`[S, A]` how often each action was taken in each state."""
        pairs = self.table["state"].to_numpy() * self.num_actions + self.table["action"].to_numpy()
        counts = np.bincount(pairs, minlength=self.num_states * self.num_actions)
        return counts.reshape(self.num_states, self.num_actions).astype(np.float64)

    def where(self, **columns) -> "Behaviour":
        """The decisions whose columns have the given values, also given as text: where(subject="B1", maze="3")."""
        kept = np.ones(len(self.table), bool)
        for name, value in columns.items():
            if name not in self.table:
                raise InputError(f"the recording has no column {name!r}; its columns are {listed(self.table, 20)}")
            column = self.table[name]
            same, reads_same = column == value, column.astype(str) == str(value)
            matches = same.to_numpy(bool, na_value=False) | reads_same.to_numpy(bool, na_value=False)
            if not (kept & matches).any():
                others = listed(map(repr, column[kept].unique().tolist()), 10)
                raise InputError(f"no decision has {name} = {value!r} (left to choose from: {others})")
            kept &= matches
        return dataclasses.replace(self, table=self.table[kept].reset_index(drop=True))

    def episodes(self):
        """Iterate over (label, states, actions) of unbroken episodes: `[n]` actions, `[n + 1]` states.

        Where the last next state is unknown, `[n]` states. What `where` has cut into pieces comes piece by piece.
        """
        episode, t, state, action, next_state = (self.table[name].to_numpy() for name in [*_REQUIRED, "next_state"])
        breaks = np.flatnonzero((episode[1:] != episode[:-1]) | (t[1:] != t[:-1] + 1)) + 1
        for start, stop in zip([0, *breaks], [*breaks, len(t)], strict=True):
            last = next_state[stop - 1 : stop]
            yield episode[start], np.concatenate([state[start:stop], last[last >= 0]]), action[start:stop]


def read_behaviour(source, world: WorldModel) -> Behaviour:
    """Recorded decisions, checked against `world`.

    source: a .csv, .csv.gz, .parquet or .jsonl file, a DataFrame, a Minari dataset or the id of a local one. One row
    is one decision. Columns: episode (numbers or text), t (rising by 1 within an episode, from any number), state
    and action (numbers from 0, or names as in the world), optionally next_state; all others are kept.
    Text that reads as a number is a name if every such entry of the column is one, else a number.

    An empty next_state, or -1, is filled from the following decision, and at the end of an episode from the world
    where only one next state is possible; else it is -1.

    Raises InputError for missing columns or values, unknown states or actions, actions that are not available,
    gaps and repetitions in t, and moves that the world cannot make.
    """
    table, name = recorded_rows(source)
    missing = [column for column in _REQUIRED if column not in table]
    if missing:
        raise InputError(
            f"{name} has no column {listed(missing)}; columns found: {listed(table, 12) or 'none'}. "
            "A recording has one row for each decision, with episode, t, state and action"
        )
    repeated = table.columns[table.columns.duplicated()]
    if len(repeated):
        raise InputError(f"{name} has more than one column {listed(repeated)}; rename or drop the others")
    if table.empty:
        raise InputError(f"{name} holds no decisions; it must have at least one row")
    try:
        return _checked(table.reset_index(drop=True), world)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


def _checked(table, world) -> Behaviour:
    known = {"episode": _labels(table["episode"]), "t": _times(table["t"])}
    given = [table["state"]] + ([table["next_state"]] if "next_state" in table else [])
    states = _resolved(given, world.state_names, world.num_states, "state")
    known["state"] = states[0]
    known["action"] = _resolved([table["action"]], world.action_names, world.num_actions, "action")[0]
    known["next_state"] = states[-1] if len(given) > 1 else np.full(len(table), -1)
    checked = pd.concat([pd.DataFrame(known), table.drop(columns=list(known), errors="ignore")], axis=1)
    checked = checked.sort_values(["episode", "t"], kind="stable")
    rows = checked.index.to_numpy()
    checked = checked.reset_index(drop=True)

    def place(i):
        return f"row {rows[i]} (episode {checked['episode'][i]}, t {checked['t'][i]})"

    def refuse(what, bad, describe, advice):
        """Raise InputError if any of `bad` `[N]`, with the first places in the order of the source."""
        found = np.flatnonzero(bad)
        if len(found):
            found = found[np.argsort(rows[found], kind="stable")]
            shown = "; ".join(f"{place(i)}: {describe(i)}" for i in found[:5])
            raise InputError(f"{what}: {shown}{_more(len(found) - 5)}. {advice}{_COUNTING}")

    episode, t, state, action, next_state = (checked[name].to_numpy() for name in known)
    next_state = next_state.copy()
    state_names = world.state_names or tuple(map(str, range(world.num_states)))
    action_names = world.action_names or tuple(map(str, range(world.num_actions)))

    follows = np.append(episode[1:] == episode[:-1], False)  # whether the next row is of the same episode
    step = np.append(t[1:] - t[:-1], 1)
    refuse(
        "t must rise by 1 within an episode",
        follows & (step != 1),
        lambda i: f"followed by {'the same t' if step[i] == 0 else f't {t[i + 1]}'} in row {rows[i + 1]}",
        "Give each unbroken stretch of decisions its own episode, and each decision one row",
    )
    refuse(
        "actions that are not available",
        ~np.asarray(world.available)[state, action],
        lambda i: f"{action_names[action[i]]} in {state_names[state[i]]}",
        "Check that this recording belongs to this world",
    )
    following = np.append(state[1:], -1)
    refuse(
        "next_state is not where the next decision is taken",
        follows & (next_state >= 0) & (next_state != following),
        lambda i: f"{state_names[next_state[i]]}, but row {rows[i + 1]} is in {state_names[following[i]]}",
        "Correct next_state or leave it out",
    )
    next_state = np.where(follows & (next_state < 0), following, next_state)
    transition = np.asarray(world.transition)
    certain = np.where(transition.max(-1) >= 1 - 1e-6, transition.argmax(-1), -1)
    next_state = np.where(next_state < 0, certain[state, action], next_state)
    refuse(
        "moves that the world cannot make",
        (next_state >= 0) & ~(transition[state, action, next_state] > 0),
        lambda i: f"{action_names[action[i]]} from {state_names[state[i]]} to {state_names[next_state[i]]}",
        "Check that this recording belongs to this world",
    )
    return Behaviour(checked.assign(next_state=next_state), world.num_states, world.num_actions)


def _more(count) -> str:
    return f" and {count} more" if count > 0 else ""


def _refused(what, values, bad, advice):
    """InputError that lists the rows `bad` of a column."""
    found = np.flatnonzero(bad)
    shown = "; ".join(f"row {i}: {values.iloc[i]!r}" for i in found[:5])
    return InputError(f"{what}: {shown}{_more(len(found) - 5)}. {advice}{_COUNTING}")


def _labels(column) -> pd.Series:
    """Episode labels: integers if all are, else text."""
    absent = column.isna()
    if absent.any():
        raise _refused("decisions without an episode", column, absent, "Say to which episode each belongs")
    if pd.api.types.is_integer_dtype(column):
        return column.astype(np.int64)
    numbers = _floats(column)
    if pd.api.types.is_numeric_dtype(column) and (numbers % 1 == 0).all() and (numbers.abs() <= 2**53).all():
        return numbers.astype(np.int64)
    return column.astype(str)


def _floats(column) -> pd.Series:
    """`[N]` float64, NaN where the entry is no number."""
    if pd.api.types.is_numeric_dtype(column):
        return column.astype(np.float64)
    return pd.to_numeric(column.astype(str), errors="coerce").astype(np.float64)


def _times(column) -> pd.Series:
    numbers = _floats(column)
    bad = ~(numbers % 1 == 0) | (numbers.abs() > 2**53)
    if bad.any():
        raise _refused("t is not a whole number", column, bad, "Number the decisions of an episode one by one")
    return numbers.astype(np.int64)


def _resolved(columns, names, size, what) -> list[np.ndarray]:
    """State or action numbers `[N]` of `columns`; in all but the first, -1 where there is none."""
    number_of = {name: number for number, name in enumerate(names)}
    try:
        coded = [pd.factorize(column) for column in columns]
    except TypeError:
        raise InputError(f"{what} holds lists; give numbers 0..{size - 1} or names") from None
    values = [value for _, distinct in coded for value in distinct]
    digits = [
        value for value in values if isinstance(value, str) and _whole(value) is not None and value not in MISSING_WORDS
    ]
    as_names = all(value in number_of for value in digits)

    def number(value):
        if isinstance(value, str) and value in number_of and (as_names or _whole(value) is None):
            return number_of[value]
        if isinstance(value, str) and value in MISSING_WORDS:
            return -1
        whole = _whole(value)
        return whole if whole is not None and -1 <= whole < size else -2

    resolved = []
    for column, (codes, distinct) in zip(columns, coded, strict=True):
        numbers = np.append(np.array([number(value) for value in distinct], np.int64), -1)[codes]
        bad = numbers < (-1 if resolved else 0)
        if bad.any():
            advice = f"{what.capitalize()}s are 0..{size - 1}" + (f" or {listed(names)}" if names else "")
            raise _refused(f"{column.name} is missing or unknown", column, bad, advice)
        resolved.append(numbers)
    return resolved


def _whole(value) -> int | None:
    """The whole number that `value` is or reads as."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return int(number) if number % 1 == 0 and not isinstance(value, bool | np.bool_) else None

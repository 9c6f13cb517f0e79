"""`Behaviour`: recorded decisions, and `read_behaviour`, which checks them against the world."""

import dataclasses

import numpy as np
import pandas as pd

from .errors import InputError, listed
from .recordings import MISSING_WORDS, recorded_rows
from .world.model import check_world
from .world.possible import World, mean_world
from .world.transition import chance_of, likeliest

_COLUMNS = ["episode", "t", "state", "action", "next_state"]
_ROUNDING = 1e-6  # of probabilities, as in world_model


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
        episode, t, state, action, next_state = (self.table[name].to_numpy() for name in _COLUMNS)
        breaks = np.flatnonzero((episode[1:] != episode[:-1]) | (t[1:] != t[:-1] + 1)) + 1
        for start, stop in zip([0, *breaks], [*breaks, len(t)], strict=True):
            last = next_state[stop - 1 : stop]
            yield episode[start], np.concatenate([state[start:stop], last[last >= 0]]), action[start:stop]


def check_fits(behaviour: Behaviour, world: World) -> None:
    """Raise InputError if `behaviour` was read for a world of another size."""
    recorded = (behaviour.num_states, behaviour.num_actions)
    size = (world.num_states, world.num_actions)
    if recorded != size:
        raise InputError(
            f"the recording was read for a world of {recorded[0]} states and {recorded[1]} actions, and this one has "
            f"{size[0]} and {size[1]}; read it again with read_behaviour(..., world)"
        )


def read_behaviour(source, world: World) -> Behaviour:
    """Recorded decisions, checked against `world`.

    source: a .csv, .csv.gz, .parquet or .jsonl file, a DataFrame, a Minari dataset or the id of a local one. One row
    is one decision. Columns: episode (numbers or text), t (rising by 1 within an episode, from any number), state
    and action (numbers from 0, or names as in the world), optionally next_state; all others are kept.
    Where text reads as numbers and the names do too, it is taken for names, if that explains no less of it.

    An empty next_state, or -1, is filled from the following decision, and at the end of an episode from the world
    where only one next state is possible; else it is -1.

    Raises InputError for missing columns or values, unknown states or actions, actions that are not available,
    gaps and repetitions in t, and moves that the world cannot make (of `PossibleWorlds`: that none of them can).
    """
    check_world(world)
    table, name = recorded_rows(source)
    missing = [column for column in _COLUMNS[:4] if column not in table]
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
    table = table.reset_index(drop=True)
    try:
        return _checked(_numbered(table, world), table, world)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


def _numbered(table, world) -> pd.DataFrame:
    """`table` with numbers for t, states and actions, sorted by episode and t; the index tells the rows of `table`."""
    given = ["state", "next_state"] if "next_state" in table else ["state"]
    known = {
        "episode": _labels(table),
        "t": _times(table),
        "next_state": np.full(len(table), -1),
        **_resolved(table, given, world.state_names, world.num_states),
        **_resolved(table, ["action"], world.action_names, world.num_actions),
    }
    columns = pd.DataFrame({name: known[name] for name in _COLUMNS})
    columns = pd.concat([columns, table.drop(columns=_COLUMNS, errors="ignore")], axis=1)
    return columns.sort_values(["episode", "t"], kind="stable")


def _checked(numbered, table, world) -> Behaviour:
    """The `numbered` rows of `table`, if `world` can make all their moves."""
    rows = numbered.index.to_numpy()
    episode, t, state, action, next_state = (numbered[name].to_numpy() for name in _COLUMNS)
    state_names = world.state_names or tuple(map(str, range(world.num_states)))
    action_names = world.action_names or tuple(map(str, range(world.num_actions)))
    transition = mean_world(world).transition

    follows = np.append(episode[1:] == episode[:-1], False)  # whether the next row is of the same episode
    step = np.append(t[1:] - t[:-1], 1)
    _refuse(
        "t must rise by 1 within an episode",
        follows & (step != 1),
        lambda i: f"followed by {'the same t' if step[i] == 0 else f't {t[i + 1]}'} in row {rows[i + 1]}",
        "Give each unbroken stretch of decisions its own episode, and each decision one row",
        table,
        rows,
    )
    _refuse(
        "actions that are not available",
        ~np.asarray(world.available)[state, action],
        lambda i: f"{action_names[action[i]]} in {state_names[state[i]]}",
        "Check that the recording belongs to this world",
        table,
        rows,
    )
    following = np.append(state[1:], -1)
    _refuse(
        "next_state is not where the next decision is taken",
        follows & (next_state >= 0) & (next_state != following),
        lambda i: f"{state_names[next_state[i]]}, but row {rows[i + 1]} is in {state_names[following[i]]}",
        "Correct next_state or leave it out",
        table,
        rows,
    )
    likely, chance = likeliest(transition)
    only = np.where(chance >= 1 - _ROUNDING, likely, -1)
    next_state = np.where(next_state >= 0, next_state, np.where(follows, following, only[state, action]))
    _refuse(
        "moves that the world cannot make",
        (next_state >= 0) & ~(chance_of(transition, state, action, next_state) > 0),
        lambda i: f"{action_names[action[i]]} from {state_names[state[i]]} to {state_names[next_state[i]]}",
        "Check that the recording belongs to this world",
        table,
        rows,
    )
    checked = numbered.assign(next_state=next_state).reset_index(drop=True)
    return Behaviour(checked, world.num_states, world.num_actions)


def _refuse(what, bad, describe, advice, table, rows=None):
    """Raise InputError if any of `bad` `[N]`, telling the first; `rows` `[N]` are their places in `table`."""
    found = np.flatnonzero(bad)
    if len(found) == 0:
        return
    rows = np.arange(len(table)) if rows is None else rows
    found = found[np.argsort(rows[found], kind="stable")]
    episode, t = table["episode"], table["t"]
    shown = [f"row {rows[i]} (episode {episode[rows[i]]}, t {t[rows[i]]}): {describe(i)}" for i in found[:5]]
    more = f" and {len(found) - 5} more" if len(found) > 5 else ""
    raise InputError(f"{what}: {'; '.join(shown)}{more}. {advice}; rows count from 0, the first below the header")


def _shown(value) -> str:
    return repr(value) if isinstance(value, str) else str(value)


def _labels(table) -> pd.Series:
    """Episode labels: integers if all are, else text."""
    column = table["episode"].infer_objects()
    _refuse("decisions without an episode", column.isna(), lambda i: "empty", "Say which episode each is from", table)
    if pd.api.types.is_integer_dtype(column):
        return column.astype(np.int64)
    numbers = _floats(column)
    if pd.api.types.is_numeric_dtype(column) and (numbers % 1 == 0).all() and (numbers.abs() <= 2**53).all():
        return numbers.astype(np.int64)
    return column.astype(str)


def _times(table) -> pd.Series:
    numbers = _floats(table["t"])
    bad = ~(numbers % 1 == 0) | (numbers.abs() > 2**53)
    advice = "Number the decisions of an episode one by one"
    _refuse("t is not a whole number", bad, lambda i: _shown(table["t"][i]), advice, table)
    return numbers.astype(np.int64)


def _floats(column) -> pd.Series:
    """`[N]` float64, NaN where the entry is no number."""
    if pd.api.types.is_numeric_dtype(column):
        return column.astype(np.float64)
    return pd.to_numeric(column.astype(str), errors="coerce").astype(np.float64)


def _resolved(table, columns, names, size) -> dict[str, np.ndarray]:
    """Column to `[N]` numbers of states or actions; in next_state, -1 where there is none."""
    number_of = {name: number for number, name in enumerate(names)}
    try:
        coded = {column: pd.factorize(table[column]) for column in columns}
    except TypeError:
        raise InputError(f"{columns[0]} holds lists or objects; give numbers 0..{size - 1} or names") from None
    texts = {value for _, distinct in coded.values() for value in distinct if isinstance(value, str)}
    digits = [text for text in texts if _whole(text) not in {None, -1}]
    strange = len([text for text in digits if text not in number_of]), len([d for d in digits if _whole(d) >= size])
    digits_are_names = strange[0] <= strange[1]

    def number(value):
        whole = _whole(value)
        if isinstance(value, str) and value in number_of and (digits_are_names or whole is None):
            return number_of[value]
        if isinstance(value, str) and value in MISSING_WORDS:
            return -1
        return whole if whole is not None and -1 <= whole < size else -2

    resolved = {}
    for column, (codes, distinct) in coded.items():
        numbers = np.append(np.array([number(value) for value in distinct], np.int64), -1)[codes]
        least = -1 if column == "next_state" else 0
        advice = f"It must be one of 0..{size - 1}" + (f" or {listed(names)}" if names else "")
        entries = table[column]
        _refuse(f"{column} is missing or unknown", numbers < least, lambda i, e=entries: _shown(e[i]), advice, table)
        resolved[column] = numbers
    return resolved


def _whole(value) -> int | None:
    """The whole number that `value` is or reads as."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return int(number) if number % 1 == 0 and not isinstance(value, bool | np.bool_) else None

"""`recorded_rows`: the rows of a recording, wherever it is kept."""

import json
import pathlib
import zlib

import numpy as np
import pandas as pd

from .errors import InputError

MISSING_WORDS = ["", "NA", "N/A", "NaN", "nan", "null", "None"]
_SUFFIXES = (".csv.gz", ".csv", ".parquet", ".jsonl")
_UNREADABLE = (OSError, EOFError, ValueError, RecursionError, zlib.error)


def recorded_rows(source) -> tuple[pd.DataFrame, str]:
    """The rows of `source`, and what to call it."""
    if isinstance(source, pd.DataFrame):
        return source.copy(), "the DataFrame"
    if hasattr(source, "iterate_episodes"):
        return _minari_rows(source), "the Minari dataset"
    if not isinstance(source, str | pathlib.Path):
        raise InputError(f"behaviour is a {type(source).__name__}; give a file, a DataFrame or a Minari dataset")
    path = pathlib.Path(source)
    suffix = next((suffix for suffix in _SUFFIXES if path.name.lower().endswith(suffix)), None)
    if suffix is None and isinstance(source, str) and not path.exists():
        return _minari_rows(_minari_dataset(source)), f"the Minari dataset {source}"
    if suffix is None:
        raise InputError(f"{path} cannot be a recording: its name must end in .csv, .csv.gz, .parquet or .jsonl")
    if not path.is_file():
        raise InputError(f"{path} does not exist or is a folder; check the path of the recording")
    try:
        return _READERS[suffix](path), str(path)
    except ImportError:
        raise InputError(
            f"{path} needs pyarrow to be read: pip install 'utiliscope[data]', or save it as .csv"
        ) from None
    except _UNREADABLE as error:
        raise InputError(f"{path} cannot be read as {suffix}: {str(error).strip()}") from None


def _csv_rows(path) -> pd.DataFrame:
    columns = pd.read_csv(path, nrows=0).columns
    exact = {name: [""] for name in ("state", "action", "next_state") if name in columns}  # "NA" may be a name
    table = pd.read_csv(
        path,
        dtype=dict.fromkeys(exact, str),
        na_values={name: exact.get(name, MISSING_WORDS) for name in columns},
        keep_default_na=False,
        low_memory=False,
    )
    if not isinstance(table.index, pd.RangeIndex):
        raise ValueError(f"its rows have more entries than its header, which names {len(columns)} columns")
    return table


def _jsonl_rows(path) -> pd.DataFrame:
    rows = []
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            row = json.loads(line) if line.strip() else {}
            if not isinstance(row, dict):
                raise ValueError(f"line {number} is no object with keys")
            rows += [row] if row else []
    return pd.DataFrame(rows)


_READERS = {".csv": _csv_rows, ".csv.gz": _csv_rows, ".parquet": pd.read_parquet, ".jsonl": _jsonl_rows}


def _minari_dataset(name):
    try:
        import minari
    except ImportError:
        raise InputError(
            f"{name} is no file, and reading it as a Minari dataset needs minari: pip install 'utiliscope[data]'"
        ) from None
    try:
        return minari.load_dataset(name)
    except (*_UNREADABLE, AttributeError, KeyError) as error:
        raise InputError(f"{name} is neither a file nor a Minari dataset on this machine: {error}") from None


def _minari_rows(dataset) -> pd.DataFrame:
    """One row a step of a dataset whose observations and actions are single numbers."""
    tables = []
    for episode in dataset.iterate_episodes():
        states, actions = (np.asarray(values) for values in _discrete(episode))
        if len(states) != len(actions) + 1:
            raise InputError(
                f"episode {episode.id} has {len(actions)} actions and {len(states)} observations, not one more"
            )
        tables.append(
            pd.DataFrame(
                {
                    "episode": episode.id,
                    "t": np.arange(len(actions)),
                    "state": states[:-1],
                    "action": actions,
                    "next_state": states[1:],
                    "reward": episode.rewards,
                }
            )
        )
    return (
        pd.concat(tables)
        if tables
        else pd.DataFrame(columns=["episode", "t", "state", "action", "next_state", "reward"])
    )


def _discrete(episode):
    for what, values in (("observations", episode.observations), ("actions", episode.actions)):
        if isinstance(values, dict | tuple) or np.ndim(values) != 1 or np.asarray(values).dtype.kind not in "iu":
            raise InputError(
                f"the Minari dataset has {what} that are not single whole numbers; number its states and actions "
                "and pass a DataFrame with columns episode, t, state, action"
            )
    return episode.observations, episode.actions

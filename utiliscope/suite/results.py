"""Results on disk: one JSON file a job, written whole or not at all, and one table of all of them.

A folder holds `suite.json` (what makes results comparable), `jobs.jsonl` (the plan), `jobs/NAME.json` (results),
`failed/NAME.json` (why a job has none) and, at the end, `results.parquet`. Numbers that are not finite stand in the
files as NaN and Infinity, as Python's json reads them.
"""

import dataclasses
import json
import os
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path

from utiliscope.errors import InputError, listed
from utiliscope.outputs import written_whole

from .jobs import FIELDS, Job, job_from

FORMAT = 1  # of the files below; a folder with another one is not gone on with
TABLE = "results.parquet"
VARIANT = "variant"  # a list in rows of several claims: the entries beside it are lists, too, an element for each
KEPT = "grid_"  # how entries begin that are written down for `tuning`, and are no scores


def result_path(folder: Path, job: Job) -> Path:
    """Where the result of `job` is."""
    return folder / "jobs" / f"{job.name}.json"


def failure_path(folder: Path, job: Job) -> Path:
    """Where it is said why `job` has no result."""
    return folder / "failed" / f"{job.name}.json"


def plain_row(row: Mapping) -> dict:
    """`row` as JSON has it: texts, numbers, and lists of them for arrays.

    Raises TypeError for anything else, or for an entry called as a field of the job is.
    """
    clash = FIELDS.keys() & row.keys()
    if clash:
        raise TypeError(f"a row names {listed(sorted(clash))}, as the job does")
    return json.loads(json.dumps({name: _plain(name, entry) for name, entry in row.items()}))


def _plain(name, entry):
    if not isinstance(name, str):
        raise TypeError(f"a row is named {name!r}; names are texts")
    entry = entry.tolist() if hasattr(entry, "tolist") else entry
    if isinstance(entry, list | tuple):
        return [_plain(name, part) for part in entry]
    if not isinstance(entry, str | int | float | None):
        raise TypeError(f"the row's {name} is of type {type(entry).__name__}; it must be a text, a number or an array")
    return entry


def write_result(folder: Path, job: Job, row: Mapping) -> None:
    """Write the plain `row` of `job`, on disk when this returns; an earlier failure is forgotten.

    Raises InputError if it cannot be written: then nothing is there, or what was there before.
    """
    write_json(result_path(folder, job), {"job": dataclasses.asdict(job), "row": dict(row)})
    failure_path(folder, job).unlink(missing_ok=True)


def write_failure(folder: Path, job: Job, reason: str, trace: str = "") -> None:
    """Write why `job` has no result: one line, and where it was raised."""
    entries = {"job": dataclasses.asdict(job), "reason": reason, "trace": trace.splitlines()}
    write_json(failure_path(folder, job), entries)


def write_json(path: Path, entries: Mapping) -> None:
    """Write a file that is there whole or not at all, even when the machine stops."""
    text = json.dumps(entries, indent=1, ensure_ascii=False) + "\n"
    with written_whole(path) as partial, open(partial, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def read_result(path: Path) -> tuple[Job, dict] | None:
    """Job and row of a file, or None if it cannot be read: half a file, or another one put there."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        job, row = job_from(entries["job"], str(path)), entries["row"]
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return (job, row) if isinstance(row, dict) and path.stem == job.name else None


def finished(folder: Path, jobs: Iterable[Job]) -> tuple[set[Job], list[Path]]:
    """Which of `jobs` have a result in `folder`, and the files that are there but cannot be read."""
    done, unreadable = set(), []
    for job in jobs:
        path = result_path(folder, job)
        if read_result(path) is not None:
            done.add(job)
        elif path.exists():
            unreadable.append(path)
    return done, unreadable


def failures(folder: Path) -> dict[Job, str]:
    """The jobs that failed, each with its reason."""
    found = {}
    for path in sorted((folder / "failed").glob("*.json")):
        try:
            entries = json.loads(path.read_text(encoding="utf-8"))
            found[job_from(entries["job"], str(path))] = str(entries["reason"])
        except (OSError, ValueError, TypeError, KeyError):
            continue
    return found


def collect(folder: Path):
    """All results of `folder` as a DataFrame, sorted by job: the fields of the job, then the entries of its row.

    A job whose row lists several variants makes a row for each, with the variant's name for its method. Rows need not
    have the same entries; what one lacks is missing there. A file that cannot be read is left out, with a warning.
    Raises InputError if there is no result.
    """
    import pandas as pd

    paths = sorted((folder / "jobs").glob("*.json"))
    found = [read_result(path) for path in paths]
    unreadable = [path.name for path, result in zip(paths, found) if result is None]
    if unreadable:
        warnings.warn(
            f"{len(unreadable)} result files in {folder} cannot be read and are left out: {listed(unreadable)}",
            stacklevel=2,
        )
    results = sorted((result for result in found if result is not None), key=lambda result: result[0])
    if not results:
        raise InputError(f"{folder} holds no results; name the folder of a suite that has run")
    return pd.DataFrame([one for job, row in results for one in _spread(dataclasses.asdict(job), row)])


def _spread(job, row):
    entries = {name: value for name, value in row.items() if not name.startswith(KEPT) and name != VARIANT}
    if VARIANT not in row:
        return [{**job, **entries}]
    return [
        {**job, "method": variant, **{name: values[place] for name, values in entries.items()}}
        for place, variant in enumerate(row[VARIANT])
    ]


def write_table(folder: Path) -> Path:
    """Write the table of all results as `results.parquet` in `folder`, whole or not at all; returns its path.

    Raises InputError if there are none, if an entry is a text in some rows and a number in others, or if the file
    cannot be written.
    """
    import pyarrow as pa

    table = collect(folder)
    path = folder / TABLE
    try:
        with written_whole(path) as partial:
            table.to_parquet(partial, index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise InputError(f"{path} cannot be written: {error.args[-1]}; rows must agree on what is a number") from None
    return path

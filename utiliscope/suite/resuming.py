"""Beginning a suite in a folder, or going on with one that was interrupted."""

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from utiliscope.cache import fingerprint
from utiliscope.errors import InputError, listed

from .jobs import Job, read_jobs, write_jobs
from .results import FORMAT, finished, write_json

SETTINGS, PLAN = "suite.json", "jobs.jsonl"


class Start(NamedTuple):
    """missing: the jobs to run, in the order of the plan. done: how many have a result already."""

    missing: tuple[Job, ...]
    done: int


def begin(folder: Path, jobs: Sequence[Job], settings: Mapping, *, resume: bool) -> Start:
    """Make `folder` ready for `jobs`: plan and settings are written, and it is found what is still to be done.

    settings: what makes results comparable, plain JSON; the same when resuming.
    resume: go on with what is there; jobs that failed are run again, and the plan may have grown.

    Raises InputError, before anything is changed, if the folder holds results and `resume` is not asked for, if its
    settings differ, or if its plan has jobs that `jobs` lacks. Files that cannot be read count as missing, with a
    warning.
    """
    jobs = tuple(dict.fromkeys(jobs))
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; choose another folder")
    if _has_results(folder):
        if not resume:
            raise InputError(f"{folder} holds results already; go on with them with --resume, or choose another folder")
        _check_settings(folder, settings)
        _check_plan(folder, jobs)
    try:
        for part in (folder / "jobs", folder / "failed"):
            part.mkdir(parents=True, exist_ok=True)
            for partial in part.glob(".*.tmp"):  # of a run that was killed while it wrote
                partial.unlink()
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror or error}; choose another folder") from None
    write_json(folder / SETTINGS, {"format": FORMAT, "settings": dict(settings)})
    write_jobs(folder / PLAN, jobs)
    done, unreadable = finished(folder, jobs)
    if unreadable:
        warnings.warn(
            f"{len(unreadable)} result files in {folder} cannot be read and are made anew: "
            f"{listed(path.name for path in unreadable)}",
            stacklevel=2,
        )
    return Start(tuple(job for job in jobs if job not in done), len(done))


def read_settings(folder: Path) -> dict:
    """The settings that the results of `folder` were made with.

    Raises InputError if they cannot be read or are of another version.
    """
    path = folder / SETTINGS
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        version, settings = entries["format"], dict(entries["settings"])
    except (OSError, ValueError, TypeError, KeyError):
        raise InputError(
            f"{path} cannot be read, so its results cannot be gone on with; choose another folder"
        ) from None
    if version != FORMAT:
        raise InputError(f"the results in {folder} are of format {version}, not {FORMAT}; choose another folder")
    return settings


def agents_settings(agents_file: str | None) -> dict:
    """What settings say of the user's own agents: `agents_file`, found from anywhere, and `agents_code`, by which it is
    known whether the file is still the same one. Without a file `agents_file` is None, and all there is.

    agents_file: "FILE.py" or "FILE.py:NAME". Raises InputError if it cannot be read.
    """
    if agents_file is None:
        return dict(agents_file=None)
    file, separator, name = agents_file.partition(":")
    path = Path(file).resolve()
    try:
        code = fingerprint(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"the agents file {path} cannot be read: {reason}; see that it is there") from None
    return dict(agents_file=f"{path}{separator}{name}", agents_code=code)


def check_agents(folder: Path, settings: Mapping) -> None:
    """Raise InputError if the agents of the results in `folder` are no longer those that their file defines."""
    agents_file = settings.get("agents_file")
    if agents_settings(agents_file).get("agents_code") != settings.get("agents_code"):
        raise InputError(
            f"{agents_file} is not what it was when the results in {folder} were made; put it back as it was, or run "
            "the suite anew in another folder"
        )


def read_plan(folder: Path) -> tuple[Job, ...]:
    """The jobs that `folder` was made for; raises InputError if they cannot be read."""
    return read_jobs(folder / PLAN)


def _has_results(folder):
    return any(next((folder / part).glob("*.json"), None) for part in ("jobs", "failed"))


def _check_settings(folder, settings):
    there, here = read_settings(folder), json.loads(json.dumps(dict(settings)))
    absent = "not set"
    differ = [
        f"{name} is {there.get(name, absent)} there and {here.get(name, absent)} here"
        for name in sorted(there.keys() | here.keys())
        if there.get(name, absent) != here.get(name, absent)
    ]
    if differ:
        raise InputError(
            f"{folder} was made with other settings: {listed(differ)}; use the same ones, or choose another folder"
        )


def _check_plan(folder, jobs):
    try:
        lacking = sorted(set(read_plan(folder)) - set(jobs))
    except InputError as error:
        warnings.warn(f"{error}; the plan is made anew", stacklevel=3)
        return
    if lacking:
        raise InputError(
            f"{folder} was made for {len(lacking)} jobs that are not asked for now "
            f"({listed((job.name for job in lacking), 3)}); a suite that is gone on with can only grow"
        )

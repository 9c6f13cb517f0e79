"""What happens to a batch: its jobs finish one by one, fail, or are tried again when it breaks off."""

import importlib
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from utiliscope.errors import InputError, users_line
from utiliscope.suite.jobs import Job
from utiliscope.suite.results import plain_row

_LONGEST_REASON = 500  # characters


@dataclass(frozen=True)
class Finished:
    """A job and its row, as plain JSON."""

    job: Job
    row: dict


@dataclass(frozen=True)
class Failed:
    """A job that gets no row. reason: one line. trace: where it was raised, if it was."""

    job: Job
    reason: str
    trace: str = ""


@dataclass(frozen=True)
class Broken:
    """A batch broke off. died: its worker was killed, so that it is not known which job did it, if any."""

    reason: str
    trace: str = ""
    died: bool = False


@dataclass(frozen=True)
class Task:
    """Jobs of one shape that are run in one call.

    jobs: those that have no row yet, in order.
    given: how many there were when the call began.
    again: these jobs are left over from a call that broke off.
    suspected: how often a worker died when the first of the jobs was the one in progress.
    """

    jobs: tuple[Job, ...]
    given: int
    again: bool = False
    suspected: int = 0

    def without(self, job: Job) -> "Task":
        """What is left to do when `job` is done."""
        return replace(self, jobs=tuple(other for other in self.jobs if other != job))


def tasks(batches: Sequence[tuple[Job, ...]]) -> list[Task]:
    """A task for each batch."""
    return [Task(tuple(jobs), len(jobs)) for jobs in batches]


def after(task: Task, broken: Broken) -> list[Task | Failed]:
    """What becomes of the jobs that a broken batch leaves without a row.

    The first of them is most likely to blame: it is tried again alone, and the others together; if they break off
    too, each alone. A job has failed that raised alone, or that was in progress twice, at last alone, when its worker
    died: once may have had nothing to do with it.
    """
    if not task.jobs:
        return []
    (first, *rest), suspected = task.jobs, task.suspected + broken.died
    if task.given == 1 and (not broken.died or suspected > 1):
        return [Failed(first, broken.reason, broken.trace)]
    others = [(job,) for job in rest] if task.again else [tuple(rest)] * bool(rest)
    return [Task((first,), 1, True, suspected), *(Task(jobs, len(jobs), True) for jobs in others)]


def found(run: str) -> Callable:
    """The function of a dotted name; raises InputError if there is none."""
    module, _, name = run.rpartition(".")
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, ValueError, AttributeError) as error:
        raise InputError(f"{run} cannot be imported: {error}; name a function as package.module.function") from None
    return function


def events_of(function: Callable, jobs: Sequence[Job], settings: Mapping) -> Iterator[Finished | Failed | Broken]:
    """Run one batch: what becomes of each job, and last, if it broke off, why."""
    waiting = dict.fromkeys(jobs)
    try:
        for job, row in function(tuple(jobs), dict(settings)):
            if job not in waiting:
                raise RuntimeError(f"the run function gave a row for {job}, for which it was not asked, or not again")
            del waiting[job]
            yield _event(job, row)
    except Exception as error:
        yield Broken(one_line(error), _trace(error))
        return
    for job in waiting:
        yield Failed(job, "the run function gave no row for it")


def _event(job, row):
    if isinstance(row, Exception):
        return Failed(job, one_line(row), _trace(row))
    try:
        return Finished(job, plain_row(row))
    except (TypeError, AttributeError) as error:
        return Failed(job, one_line(error), _trace(error))


def one_line(error: BaseException) -> str:
    """The message of `error`, with its type, and its line in a user's file, unless it says all by itself."""
    text = " ".join(str(error).split())
    kind = f"{type(error).__name__}{users_line(error)}"
    kind = "" if isinstance(error, InputError) else f"{kind}: " if text else kind
    return f"{kind}{text}"[:_LONGEST_REASON]


def _trace(error):
    return "".join(traceback.format_exception(error))

"""What happens to a batch: its jobs finish one by one, fail, or are tried again when it breaks off."""

import importlib
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from utiliscope.errors import InputError
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
    breaks: how many calls with these jobs broke off before.
    """

    jobs: tuple[Job, ...]
    given: int
    breaks: int = 0

    def without(self, job: Job) -> "Task":
        """What is left to do when `job` is done."""
        return replace(self, jobs=tuple(other for other in self.jobs if other != job))


def tasks(batches: Sequence[tuple[Job, ...]]) -> list[Task]:
    """A task for each batch."""
    return [Task(tuple(jobs), len(jobs)) for jobs in batches]


def after(task: Task, broken: Broken) -> list[Task | Failed]:
    """What becomes of the jobs that a broken batch leaves without a row.

    The first of them is most likely to blame: it is tried again alone, and the others together. If that breaks off
    too, each is tried alone. One that broke off alone has failed, if it raised; if its worker was killed, which may
    have had nothing to do with it, it has failed when that is the second time.
    """
    if task.given == 1 and task.jobs and (not broken.died or task.breaks):
        return [Failed(task.jobs[0], broken.reason, broken.trace)]
    first, rest = task.jobs[:1], task.jobs[1:]
    parts = [first, rest] if task.breaks == 0 else [(job,) for job in task.jobs]
    return [Task(part, len(part), task.breaks + 1) for part in parts if part]


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
    """The message of `error`, with its type unless it says all by itself."""
    text = " ".join(str(error).split())
    kind = "" if isinstance(error, InputError) else f"{type(error).__name__}: " if text else type(error).__name__
    return f"{kind}{text}"[:_LONGEST_REASON]


def _trace(error):
    return "".join(traceback.format_exception(error))

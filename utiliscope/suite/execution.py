"""Running a suite: every job that has no result yet gets one, or a reason why it has none."""

import contextlib
import dataclasses
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from .executors import Executor
from .executors.batches import Finished
from .jobs import Job, batches
from .results import write_failure, write_result
from .resuming import Start, begin

Progress = Callable[[int, int, int, dict | None], None]


class Outcome(NamedTuple):
    """How a run ended. done, failed: jobs that have a result, and those that could get none. total: of the plan."""

    done: int
    failed: int
    total: int

    @property
    def exit_code(self) -> int:
        """0 if every job has its result, else 1."""
        return 0 if self.done == self.total else 1


def execute(
    jobs: Sequence[Job],
    run: str,
    folder: Path,
    *,
    settings: Mapping,
    executor: Executor,
    batch: int = 16,
    resume: bool = False,
    start: Start | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Run `jobs` and write what becomes of each into `folder`, at once and whole (see `results`).

    run: dotted name of the run function (see `Executor.events`), which workers import.
    settings: plain JSON given to the run function; written down, and when resuming they must be the same.
    executor: `Serial()`, `Processes(workers)` or `Cluster(workers, scheduler)`.
    batch: at most so many jobs, of one world and method, in a call of the run function.
    resume: run only what is missing or failed; without it a folder with results is refused.
    start: what `begin` gave for these jobs, where it has been called already; `resume` then says nothing.
    progress: called with (done, failed, total, last), once at the start and then for every job; `last` is the job's
        fields with its row or its `reason`, None at the start.

    A job that raises, or that kills its worker, is recorded as failed and the others go on. Raises InputError for
    input that cannot be used and if results cannot be written; KeyboardInterrupt, with a message that says how to go
    on, for Ctrl-C: workers are stopped and what was written stays.
    """
    start = begin(folder, jobs, settings, resume=resume) if start is None else start
    done, failed, total = start.done, 0, start.done + len(start.missing)
    say = progress or (lambda *_: None)
    say(done, failed, total, None)
    if not start.missing:
        return Outcome(done, failed, total)
    try:
        with (
            _interruptible(),
            contextlib.closing(executor.events(batches(start.missing, batch), run, settings)) as events,
        ):
            for event in events:
                if isinstance(event, Finished):
                    write_result(folder, event.job, event.row)
                    done, last = done + 1, event.row
                else:
                    write_failure(folder, event.job, event.reason, event.trace)
                    failed, last = failed + 1, {"reason": event.reason}
                say(done, failed, total, {**dataclasses.asdict(event.job), **last})
    except KeyboardInterrupt:
        message = f"interrupted; {done} of {total} results are in {folder}, the same command with --resume goes on"
        raise KeyboardInterrupt(message) from None
    return Outcome(done, failed, total)


@contextlib.contextmanager
def _interruptible():
    """Ctrl-C raises, whatever the command line has made of it: there is something to stop and to say."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)

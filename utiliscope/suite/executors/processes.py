"""Worker processes on this machine, each replaced when it dies.

The pool of `concurrent.futures` gives up all of its work when one worker is killed; here that costs what its run
function has not yielded: the job in progress, or, of methods that plan once for a whole batch, that batch (see
`run.run_batch`). Workers live as long as there is work, so that JAX compiles once in each.
"""

import contextlib
import multiprocessing
import signal
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from utiliscope.errors import InputError, check_whole
from utiliscope.suite.jobs import Job

from .batches import Broken, Failed, Finished, Task, after, tasks
from .children import cores, deaf_to_interrupts, thread_limit
from .worker import IDLE, READY, serve

_DEAD = "dead"
_PATIENCE = 5.0  # seconds for a worker to end by itself when there is no more work
_MOST_STILLBORN = 3  # workers in a row that die before they are ready


@dataclass(frozen=True)
class Processes:
    """Runs batches in `workers` processes, started anew (spawn); one for each core if None."""

    workers: int | None = None

    def __post_init__(self):
        if self.workers is not None:
            check_whole("workers", self.workers, 1)

    def events(self, batches: Sequence[tuple[Job, ...]], run: str, settings: Mapping) -> Iterator[Finished | Failed]:
        """See `Executor.events`. Raises InputError or RuntimeError if no worker can be started."""
        size = max(1, min(self.workers or cores(), len(batches)))
        team = _Team(tasks(batches), run, dict(settings), size)
        try:
            while team.has_work():
                team.fill()
                yield from team.heard()
            team.dismiss()
        finally:
            team.kill()


@dataclass(eq=False)
class _Worker:
    """A process, our end of its pipe, what it is at, and the shape of what it has compiled."""

    process: BaseProcess
    pipe: Connection
    ready: bool = False
    task: Task | None = None
    shape: tuple[str, str] | None = None


class _Team:
    """The workers, and the tasks that none of them has."""

    def __init__(self, work: list[Task], run: str, settings: dict, size: int):
        self.pending = deque(work)
        self.run, self.settings, self.size = run, settings, size
        self.workers: list[_Worker] = []
        self.stillborn = 0

    def has_work(self) -> bool:
        return bool(self.pending) or any(worker.task for worker in self.workers)

    def fill(self) -> None:
        """Give idle workers a task, and start as many workers as there is work for."""
        for worker in self.workers:
            if worker.ready and worker.task is None and self.pending:
                task = self._choose(worker)
                # One that has died meanwhile is heard of as a task that broke off.
                with contextlib.suppress(OSError):
                    worker.pipe.send((task.jobs, self.settings))
                worker.task, worker.shape = task, task.jobs[0].shape
        starting = sum(not worker.ready for worker in self.workers)
        idle_or_starting = starting + sum(worker.ready and worker.task is None for worker in self.workers)
        wanted = min(len(self.pending) - idle_or_starting, self.size - len(self.workers))
        for _ in range(wanted):
            self.workers.append(_started(self.run, self.size))

    def _choose(self, worker) -> Task:
        """What it has compiled for already, else what no other worker is at, else the first."""
        others = {other.shape for other in self.workers if other is not worker}
        shapes = [task.jobs[0].shape for task in self.pending]
        place = next((place for place, shape in enumerate(shapes) if shape == worker.shape), None)
        if place is None:
            place = next((place for place, shape in enumerate(shapes) if shape not in others), 0)
        task = self.pending[place]
        del self.pending[place]
        return task

    def heard(self) -> Iterator[Finished | Failed]:
        """Wait until a worker says something or dies; what becomes of jobs by that."""
        wait([end for worker in self.workers for end in (worker.pipe, worker.process.sentinel)])
        for worker in list(self.workers):
            # What a worker said before it died is still in the pipe.
            while worker in self.workers and (message := _message(worker)) is not None:
                yield from self._lost(worker) if message == _DEAD else self._taken(worker, message)

    def _taken(self, worker, message):
        if message == READY:
            worker.ready, self.stillborn = True, 0
        elif message == IDLE:
            worker.task = None
        elif not isinstance(message, Broken):
            worker.task = worker.task.without(message.job)
            yield message
        elif worker.task is None:
            raise InputError(message.reason)
        else:
            broken, worker.task = worker.task, replace(worker.task, jobs=())
            yield from self._broken(broken, message)

    def _lost(self, worker):
        self.workers.remove(worker)
        reason = _ended(worker)
        if not worker.ready:
            self.stillborn += 1
            if self.stillborn >= _MOST_STILLBORN:
                raise RuntimeError(
                    f"workers die while they start ({reason}); a script that runs a suite in processes does so "
                    "below `if __name__ == '__main__':`"
                )
        elif worker.task is not None:
            broken = Broken(f"its worker died twice, at last by {reason}", died=True)
            yield from self._broken(worker.task, broken)

    def _broken(self, task, broken):
        for part in after(task, broken):
            if isinstance(part, Failed):
                yield part
            else:
                self.pending.append(part)

    def dismiss(self) -> None:
        """Let idle workers end by themselves."""
        for worker in self.workers:
            with contextlib.suppress(OSError):
                worker.pipe.send(None)
        for worker in self.workers:
            worker.process.join(_PATIENCE)

    def kill(self) -> None:
        """End what still runs: workers write nothing, so nothing is left half done."""
        for worker in self.workers:
            worker.process.kill()
        for worker in self.workers:
            _ended(worker)
        self.workers.clear()


def _message(worker):
    """What it says next, None if nothing, _DEAD if it never will."""
    alive = worker.process.is_alive()  # asked first: it may say something and die in between
    try:
        if worker.pipe.poll():
            return worker.pipe.recv()
    except (EOFError, OSError):
        return _DEAD
    return None if alive else _DEAD


def _started(run, size) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, run), daemon=True)
    try:
        with thread_limit(size), deaf_to_interrupts():
            process.start()
    finally:
        theirs.close()  # or the pipe would not end with the worker
    return _Worker(process, ours)


def _ended(worker) -> str:
    """Wait for the end of a dead worker; how it came about."""
    worker.pipe.close()
    worker.process.join(_PATIENCE)
    code = worker.process.exitcode
    if code is None:  # its pipe is gone but it is not: it closed it
        worker.process.kill()
        worker.process.join()
        return "closing its pipe"
    worker.process.close()
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return f"signal {-code} ({signal.Signals(-code).name})"
    return f"signal {-code}"

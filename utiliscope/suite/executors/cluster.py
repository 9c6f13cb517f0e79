"""Workers of dask.distributed: on this machine, or wherever a scheduler has them.

Results come back to this process, which writes them: workers need no shared disk, only an installation of this
package. A batch is one task. When its worker is killed the scheduler tries it again elsewhere; a batch that goes on
killing workers is taken apart, and its jobs are run alone, one after the other.

On a SLURM cluster, dask-jobqueue (an own installation: `pip install dask-jobqueue`) makes the workers. Keep it in a
session of its own, on a node that may submit jobs and that the others reach::

    from dask_jobqueue import SLURMCluster

    cluster = SLURMCluster(
        cores=1, processes=1, memory="4GB", walltime="04:00:00", scheduler_options={"port": 8786},
        job_script_prologue=["export OMP_NUM_THREADS=1 NPROC=1"],
    )
    cluster.scale(jobs=64)  # or cluster.adapt(maximum_jobs=64)
    print(cluster.scheduler_address)
    input("Enter ends the workers")

and give the suite that address, `--executor dask --scheduler tcp://NODE:8786`. Workers that reach their walltime are
lost like killed ones: the batch that they were at is run again. Schedulers started by hand
(`dask scheduler --scheduler-file FILE`, `dask worker --scheduler-file FILE`) are named by that file.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from utiliscope.errors import InputError, check_whole
from utiliscope.suite.jobs import Job

from .batches import Broken, Failed, Finished, Task, after, events_of, found, tasks
from .threads import cores, thread_limit

_TRIES = (
    2  # of a batch whose worker dies, on a cluster of our own; others have `distributed.scheduler.allowed-failures`
)
_PATIENCE = 30  # seconds for a scheduler to answer
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class Cluster:
    """Runs batches on a dask cluster.

    workers: processes of a cluster on this machine; one for each core if None.
    scheduler: address (`tcp://...`) or scheduler file of another cluster, which has its own workers.
    """

    workers: int | None = None
    scheduler: str | None = None

    def __post_init__(self):
        if self.workers is not None:
            check_whole("workers", self.workers, 1)
            if self.scheduler is not None:
                raise InputError("the workers of a cluster that has a scheduler are its own; leave out their number")

    def events(self, batches: Sequence[tuple[Job, ...]], run: str, settings: Mapping) -> Iterator[Finished | Failed]:
        """See `Executor.events`; jobs come in batches.

        Raises InputError if distributed is not installed, or if the scheduler does not answer or goes away.
        """
        distributed = _distributed()
        work, suspects = tasks(batches), deque()
        with contextlib.ExitStack() as stack:
            size = max(1, min(self.workers or cores(), len(batches)))
            client = stack.enter_context(self._client(distributed, size))
            stack.callback(_cancel, client, futures := {})

            def submit(task):
                future = client.submit(whole_batch, run, task.jobs, dict(settings), pure=False)
                futures[future] = task
                return future

            coming = distributed.as_completed([submit(task) for task in work])
            for future in coming:
                task = futures.pop(future)
                for part in _parts(future, task, self._where()):
                    if isinstance(part, Task):
                        suspects.append(part)
                    else:
                        yield part
                # All that a dying worker holds is suspected; one at a time, suspicion is right.
                if not futures and suspects:
                    coming.add(submit(suspects.popleft()))

    def _where(self):
        return self.scheduler or "the scheduler on this machine"

    @contextlib.contextmanager
    def _client(self, distributed, size):
        if self.scheduler is None:
            with (
                thread_limit(size),
                distributed.LocalCluster(
                    n_workers=size,
                    threads_per_worker=1,
                    dashboard_address=None,
                    silence_logs=False,
                    memory_limit=None,
                    scheduler_kwargs={"allowed_failures": _TRIES - 1},
                ) as cluster,
                distributed.Client(cluster) as client,
            ):
                yield client
            return
        with _other_client(distributed, self.scheduler) as client:
            yield client


def whole_batch(run: str, jobs: tuple[Job, ...], settings: dict) -> list[Finished | Failed | Broken]:
    """What becomes of a batch, on a worker; a worker with several threads runs one batch at a time."""
    with _ONE_AT_A_TIME:
        return list(events_of(found(run), jobs, settings))


def _parts(future, task, where):
    """Events of a batch, and tasks for what it left undone."""
    if future.status == "finished":
        events = future.result()
    elif future.status == "error":
        error = future.exception()
        if type(error).__name__ != "KilledWorker":
            raise error
        # The scheduler has tried it on several workers already.
        task, events = Task(task.jobs, task.given, task.breaks), [Broken(str(error), died=True)]
    else:
        raise InputError(f"{where} went away; see why, then go on with --resume")
    for event in events:
        if isinstance(event, Broken):
            yield from after(task, event)
        else:
            task = task.without(event.job)
            yield event


def _other_client(distributed, scheduler):
    try:
        if "://" in scheduler:
            return distributed.Client(scheduler, timeout=_PATIENCE)
        if not Path(scheduler).is_file():
            raise InputError(
                f"there is no scheduler file {scheduler}; name the one of a scheduler that runs, or its address tcp://..."
            )
        return distributed.Client(scheduler_file=scheduler, timeout=_PATIENCE)
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"no scheduler answers at {scheduler}: {error}; see that it runs and can be reached") from None


def _cancel(client, futures):
    """What is not needed any more; a cluster that is not ours would go on with it."""
    with contextlib.suppress(Exception):
        client.cancel(list(futures))


def _distributed():
    try:
        import distributed
    except ImportError:
        raise InputError(
            "the executor dask needs distributed: pip install 'utiliscope[dask]', or choose the executor process"
        ) from None
    return distributed

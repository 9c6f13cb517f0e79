"""Workers of dask.distributed: on this machine, or wherever a scheduler has them.

Results come back to this process, which writes them: workers need no shared disk, only an installation of this
package. A batch is one task, and its rows come together: a worker that is killed costs what was done of its batch. The
scheduler tries that again elsewhere; a batch that goes on killing workers is taken apart, and its jobs are run alone,
one after the other.

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
import importlib.util
import logging
import queue
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from pathlib import Path

from utiliscope.errors import InputError, check_whole
from utiliscope.suite.jobs import Job

from .batches import Broken, Failed, Finished, Task, after, events_of, found, tasks
from .children import cores, deaf_to_interrupts, thread_limit

_TRIES = (
    2  # of a batch whose worker dies, on a cluster of our own; others have `distributed.scheduler.allowed-failures`
)
_PATIENCE = 30  # seconds for a scheduler to answer
_LOOK_EVERY = 1.0  # seconds, for lost workers
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
        _check_installed()
        work, suspects = tasks(batches), deque()
        size = max(1, min(self.workers or cores(), len(batches)))
        with _cluster(size) if self.scheduler is None else _other_cluster(self.scheduler) as (client, refill):
            coming, running = queue.SimpleQueue(), {}

            def submit(task):
                future = client.submit(whole_batch, run, task.jobs, dict(settings), pure=False)
                running[future] = task
                future.add_done_callback(coming.put)

            try:
                for task in work:
                    submit(task)
                while running:
                    try:
                        future = coming.get(timeout=_LOOK_EVERY)
                    except queue.Empty:
                        refill()
                        continue
                    for part in _parts(future, running.pop(future), refill):
                        if isinstance(part, Task):
                            suspects.append(part)
                        else:
                            yield part
                    # All that a dying worker holds is suspected; one at a time, suspicion is right.
                    if not running and suspects:
                        submit(suspects.popleft())
            finally:
                # A cluster that is not ours would go on with what nobody waits for.
                with contextlib.suppress(Exception):
                    client.cancel(list(running))


def whole_batch(run: str, jobs: tuple[Job, ...], settings: dict) -> list[Finished | Failed | Broken]:
    """What becomes of a batch, on a worker; a worker with several threads runs one batch at a time."""
    with _ONE_AT_A_TIME:
        return list(events_of(found(run), jobs, settings))


def _parts(future, task, refill):
    """Events of a batch, and tasks for what it left undone."""
    from distributed import KilledWorker

    try:
        events = _gathered(future, refill)
    except KilledWorker:
        events = [Broken("every worker that tried it died", died=True)]
    except CancelledError:
        raise InputError("the scheduler went away; see why, then go on with --resume") from None
    for event in events:
        if isinstance(event, Broken):
            yield from after(task, event)
        else:
            task = task.without(event.job)
            yield event


def _gathered(future, refill):
    """The result, which is computed again if its worker died before it gave it away."""
    while True:
        try:
            return future.result(timeout=_LOOK_EVERY)
        except TimeoutError:
            refill()


@contextlib.contextmanager
def _cluster(size):
    """A client of a cluster on this machine, and what brings back workers that were lost for good."""
    from distributed import Client, LocalCluster

    with contextlib.ExitStack() as stack:
        stack.enter_context(thread_limit(size))
        with deaf_to_interrupts():
            cluster = LocalCluster(
                n_workers=size,
                threads_per_worker=1,
                dashboard_address=None,
                silence_logs=logging.CRITICAL,
                memory_limit=None,
                scheduler_kwargs={"allowed_failures": _TRIES - 1},
            )
        client = stack.enter_context(Client(stack.enter_context(cluster)))
        # A worker that dies while it starts is not started again by itself; `scale` does so once it counts as lost.
        yield client, lambda: cluster.scale(size) if len(cluster.scheduler_info["workers"]) < size else None


@contextlib.contextmanager
def _other_cluster(scheduler):
    """A client of the cluster at an address or of a scheduler file; its workers are not ours to bring back."""
    from distributed import Client

    if "://" not in scheduler and not Path(scheduler).is_file():
        raise InputError(
            f"there is no scheduler file {scheduler}; name the one of a scheduler that runs, or its address tcp://..."
        )
    where = {"address": scheduler} if "://" in scheduler else {"scheduler_file": scheduler}
    try:
        client = Client(**where, timeout=_PATIENCE)
    except (OSError, ValueError) as error:
        raise InputError(f"no scheduler answers at {scheduler}: {error}; see that it runs and can be reached") from None
    with client:
        yield client, lambda: None


def _check_installed():
    if importlib.util.find_spec("distributed") is None:
        raise InputError(
            "the executor dask needs distributed: pip install 'utiliscope[dask]', or choose the executor process"
        )

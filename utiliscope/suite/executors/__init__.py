"""Where the jobs of a suite run: in this process, in others on this machine, or on a cluster.

An executor gives what becomes of each job as soon as it is known; it writes nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

from utiliscope.errors import InputError
from utiliscope.suite.jobs import Job

from .batches import Failed, Finished
from .cluster import Cluster
from .processes import Processes
from .serial import Serial

EXECUTORS = {"serial": Serial, "process": Processes, "dask": Cluster}


@runtime_checkable
class Executor(Protocol):
    """How batches of jobs are run."""

    def events(self, batches: Sequence[tuple[Job, ...]], run: str, settings: Mapping) -> Iterator[Finished | Failed]:
        """What becomes of each job of `batches`, in the order in which it is known.

        run: dotted name of the run function, `package.module.function`: it takes a batch and the settings and yields
        `(job, row)` one by one, in any order; an exception in place of the row says that this job failed. What it has
        yielded is kept when it is killed or interrupted, on a cluster only with the whole batch.
        """


def named_executor(name: str, *, workers: int | None = None, scheduler: str | None = None) -> Executor:
    """The executor of that name.

    workers: how many processes; one for each core if not given.
    scheduler: of dask, an address or a scheduler file; a cluster on this machine if not given.
    Raises InputError for a name or an option that there is not.
    """
    if name not in EXECUTORS:
        raise InputError(f"there is no executor {name!r}; choose one of {', '.join(EXECUTORS)}")
    if scheduler is not None and name != "dask":
        raise InputError(f"the executor {name} has no scheduler; leave it out, or choose dask")
    if name == "serial":
        if workers not in (None, 1):
            raise InputError(f"the executor serial has one worker, not {workers}; choose process or dask")
        return Serial()
    return Processes(workers) if name == "process" else Cluster(workers, scheduler)

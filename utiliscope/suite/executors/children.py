"""How child processes start: with their share of the cores, and deaf to Ctrl-C, which is their parent's to answer."""

import contextlib
import os
import signal
from multiprocessing import resource_tracker

# What says how many threads libraries start, read once. XLA's processor client reads NPROC (PJRT_NPROC in newer
# releases), Python itself, from 3.13 on, PYTHON_CPU_COUNT: thread pools of the package are as large as os.cpu_count().
_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NPROC",
    "PJRT_NPROC",
    "PYTHON_CPU_COUNT",
)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def thread_limit(workers: int):
    """Children started in here share the cores evenly; what the user has set already stays as it is."""
    limit = str(max(1, cores() // workers))
    before = {name: os.environ.get(name) for name in _VARIABLES}
    os.environ.update({name: limit for name, value in before.items() if value is None})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value  # dask sets some of its own


@contextlib.contextmanager
def deaf_to_interrupts():
    """Children started in here, or by threads started in here, take over the mask and never see Ctrl-C."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # which comes with the first child otherwise, and unmasks
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

"""Run functions that only do arithmetic, importable by workers: what they do is named by the job's agent."""

import os
import pathlib
import signal
import sys
import time

from utiliscope.errors import InputError


def run(jobs, settings):
    """Rows that depend on the job and the settings alone."""
    for job in jobs:
        time.sleep(settings.get("seconds", 0.0))
        _misbehave(job, settings)
        yield job, row(job, settings)


def row(job, settings):
    return {
        "score": job.seed * 0.1 + settings.get("particles", 0) / 3,
        "hash": job.recording_hash,
        "label": f"{job.agent} in {job.world}",
        "evidence": [[float("-inf"), job.seed / 7], [1.5, 2.5]],
    }


def together(jobs, settings):
    """All jobs of the batch before the first row, as under vmap."""
    for job in jobs:
        _misbehave(job, settings)
    for job in jobs:
        yield job, row(job, settings)


def one_by_one(jobs, settings):
    """A job that cannot be done is said to have failed."""
    for job in reversed(jobs):
        yield job, InputError("no such\nutility") if job.agent == "wrong" else row(job, settings)


def unusable_rows(jobs, settings):
    rows = {"object": {"entry": object()}, "clash": {"seed": 1}, "number": {3: 1.0}, "fine": {"entry": 1}}
    for job in jobs:
        if job.agent != "silent":
            yield job, rows[job.agent]


def foreign(jobs, settings):
    yield "not a job", {}


def threads(jobs, settings):
    for job in jobs:
        yield job, {"pid": os.getpid(), "omp": int(os.environ["OMP_NUM_THREADS"]), "jax": "jax" in sys.modules}


def _misbehave(job, settings):
    if job.agent == "raises":
        raise ZeroDivisionError(f"seed {job.seed}\ndivides nothing")
    if job.agent == "kills":
        os.kill(os.getpid(), signal.SIGKILL)
    if job.agent == "exits":
        os._exit(7)
    if job.agent == "kills once" and "marker" in settings:
        marker = pathlib.Path(settings["marker"]) / f"{job.world}-{job.seed}"
        if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    if job.agent == "tells its worker" and "marker" in settings:
        (pathlib.Path(settings["marker"]) / f"worker-{os.getpid()}").touch()

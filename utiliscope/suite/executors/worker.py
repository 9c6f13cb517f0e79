"""What a worker process does: import the run function, then run the batches that come through a pipe.

Only what is importable without JAX is imported here; the run function's module brings the rest.
"""

import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import Connection

from .batches import Broken, events_of, found, one_line

READY, IDLE = "ready", "idle"


def serve(pipe: Connection, run: str) -> None:
    """Run each `(jobs, settings)` that `pipe` gives, sending every event as it comes and IDLE after each batch.

    READY is sent when the run function is there, `Broken` when it cannot be imported. Ends when `pipe` gives None.
    """
    # Ctrl-C goes to all processes of a terminal; where there are no masks, it is ignored from here on.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        function = found(run)
    except Exception as error:
        pipe.send(Broken(one_line(error)))
        return
    pipe.send(READY)
    while (batch := pipe.recv()) is not None:
        for event in events_of(function, *batch):
            pipe.send(event)
        pipe.send(IDLE)


def _end_with_parent():
    """A supervisor that is killed cannot say so, and compiled code may run for minutes before it is missed."""
    multiprocessing.parent_process().join()
    os._exit(1)

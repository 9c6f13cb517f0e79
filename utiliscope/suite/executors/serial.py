"""One job after the other, in this process."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from utiliscope.suite.jobs import Job

from .batches import Broken, Failed, Finished, after, events_of, found, tasks


@dataclass(frozen=True)
class Serial:
    """Runs everything here: a job that kills its process kills the run, which can be resumed."""

    def events(self, batches: Sequence[tuple[Job, ...]], run: str, settings: Mapping) -> Iterator[Finished | Failed]:
        """See `Executor.events`."""
        function, pending = found(run), deque(tasks(batches))
        while pending:
            task = pending.popleft()
            for event in events_of(function, task.jobs, settings):
                if not isinstance(event, Broken):
                    task = task.without(event.job)
                    yield event
                    continue
                for part in after(task, event):
                    if isinstance(part, Failed):
                        yield part
                    else:
                        pending.append(part)

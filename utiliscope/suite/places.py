"""Where the true utilities of a suite stand among the candidates, worked out once for each world and utility."""

import functools

import numpy as np

from .truths import probes, true_place
from .worlds import WORLDS, SuiteWorld


@functools.cache
def task_of(world: str) -> SuiteWorld:
    """The world of the suite of that name, made once in each process, and so its candidates."""
    return WORLDS[world]()


class Places:
    """Called with a world, an agent and a true utility it gives `(code_length [U], place)`; None for the place of what
    is no candidate. Of a null it is that of "0", which prefers nothing.
    """

    def __init__(self, agents_file: str | None = None):
        from utiliscope.agents.roster import read_roster

        self._roster, self._probes, self._known = read_roster(agents_file), {}, {}

    def __call__(self, world: str, agent: str, utility: str) -> tuple[np.ndarray, int | None]:
        task, entry = task_of(world), self._roster[agent]
        code_length, names = np.asarray(task.candidates.code_length), task.candidates.names
        if entry.kind == "null":
            return code_length, names.index("0") if "0" in names else None
        # Most agents are after what they are given: for them all it is worked out once.
        key = world, utility, agent if hasattr(entry.agent, "pursued") else None
        if key not in self._known:
            if world not in self._probes:
                self._probes[world] = probes(task)
            self._known[key] = true_place(task, self._probes[world], entry, utility)
        return code_length, self._known[key]

"""Where the true utilities of a suite stand among the candidates, worked out once for each world and agent."""

import numpy as np

from .truths import true_place
from .worlds import WORLDS


class Places:
    """Called with a world, an agent and a true utility it gives `(code_length [U], place)`; None for the place of what
    is no candidate. Of a null it is that of "0", which prefers nothing.
    """

    def __init__(self, agents_file: str | None = None):
        from utiliscope.agents.roster import read_roster

        self._roster, self._worlds, self._known = read_roster(agents_file), {}, {}

    def __call__(self, world: str, agent: str, utility: str) -> tuple[np.ndarray, int | None]:
        if world not in self._worlds:
            task = WORLDS[world]()
            self._worlds[world] = task, task.candidates
        task, candidates = self._worlds[world]
        key = world, agent, utility
        if key not in self._known:
            entry = self._roster[agent]
            null = candidates.names.index("0") if "0" in candidates.names else None
            self._known[key] = null if entry.kind == "null" else true_place(task, candidates, entry, utility)
        return np.asarray(candidates.code_length), self._known[key]

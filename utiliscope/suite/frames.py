"""Results as one table, each row with what is known of its agent."""

from pathlib import Path

from .results import collect
from .resuming import read_settings


def results_frame(folder: Path):
    """`collect(folder)` with the columns `family` and `kind` of the agent ("agent", "null" or "degenerate")."""
    from utiliscope.agents.roster import read_roster

    frame, roster = collect(folder), read_roster(read_settings(folder).get("agents_file"))
    place = list(frame.columns).index("method") + 1
    for name in ("kind", "family"):
        frame.insert(place, name, [getattr(roster[agent], name) for agent in frame["agent"]])
    return frame

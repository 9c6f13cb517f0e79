"""Results as one table, each row with what is known of its agent."""

from pathlib import Path

from utiliscope.errors import InputError, listed

from .results import collect
from .resuming import read_settings


def results_frame(folder: Path):
    """`collect(folder)` with the columns `family` and `kind` of the agent ("agent", "null" or "degenerate").

    Raises InputError for a folder without results, and for agents that are no longer there.
    """
    from utiliscope.agents.roster import read_roster

    frame, roster = collect(folder), read_roster(read_settings(folder).get("agents_file"))
    unknown = sorted(set(frame["agent"]) - roster.keys())
    if unknown:
        raise InputError(
            f"{folder} holds recordings of {listed(unknown)}, no longer among the agents; put them back into their file"
        )
    place = list(frame.columns).index("method") + 1
    for name in ("kind", "family"):
        frame.insert(place, name, [getattr(roster[agent], name) for agent in frame["agent"]])
    return frame

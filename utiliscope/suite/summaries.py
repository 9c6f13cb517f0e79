"""Means of scores over jobs with their errors, rates with their intervals, and how far stated probabilities are right.

Errors are over seeds, unless goals are asked for. Worlds, agents, utilities and numbers of episodes are a design,
chosen and not drawn: a row counts by its distance from the mean of its cell, which is all rows that differ from it by
the seed alone. Rows that read the same recording are not independent, such as those of several methods: their distances
are added up before they are squared. So an error says how much a mean would move with other seeds, not with other
agents. Errors over goals say how much it would move with other pairs of a world and a goal as well, taken as drawn: all
that was recorded in a world for one goal counts together. They are larger, and can be had from a single seed.
"""

import numpy as np
import pandas as pd
from scipy.stats import beta

from utiliscope.errors import InputError, listed

RECORDING = ("world", "agent", "utility", "num_episodes", "seed")
RATES = ("best_true", "claimed_95", "claimed_true", "claimed_false", "none_claimed", "floored")
_NOT_SCORES = (*RECORDING, "method", "family", "kind", "job")
_CONFIDENCE = 0.95


def summary(frame: pd.DataFrame, by, *, scores=None, over: str = "seeds") -> pd.DataFrame:
    """One row for each group of jobs: `jobs`, `recordings`, and of each score its mean and `NAME_error`.

    frame: one row for each job, with the columns world, agent, utility, num_episodes, seed, method and the scores, nan
    where a score does not apply: such rows do not count for it. by: names of columns. scores: of which columns; by
    default all that hold numbers and do not name the job. over: "seeds" or "goals", what errors are over.

    NAME_error: standard error, clustered by recording (see above); over seeds cells of a single one say nothing of it,
    and it is nan where there are no others. Rates have `NAME_low` and `NAME_high` beside: the 95 % interval of
    Clopper and Pearson (1934) with as many trials as recordings, which is wide rather than narrow.
    """
    by = [by] if isinstance(by, str) else list(by)
    missing = sorted({*by, *RECORDING} - set(frame.columns))
    if missing:
        raise InputError(f"the frame has no column {listed(missing)}; it has {listed(frame.columns, 30)}")
    if scores is None:
        scores = [name for name in frame.select_dtypes("number").columns if name not in (*_NOT_SCORES, *by)]
    if over not in ("seeds", "goals"):
        raise InputError(f"errors are over seeds or over goals, not over {over!r}")
    rows = []
    for key, group in frame.groupby(by, sort=True, dropna=False):
        row = dict(zip(by, key, strict=True)) | {"jobs": len(group), "recordings": _recordings(group)}
        for name in scores:
            row |= _of_score(group, name, _error if over == "seeds" else _error_over_goals)
        rows.append(row)
    return pd.DataFrame(rows)


def calibration_table(frame: pd.DataFrame, *, edges=(0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)) -> pd.DataFrame:
    """How often the best class is the true one, against the mass that it was given, in bins of that mass.

    frame: as of `summary`, with `best_mass` and `best_true`; rows without a truth are left out. edges: of the bins; a
    mass at an edge is in the bin above it, and 1 in the last.

    Columns: low, high, jobs, recordings, stated (mean mass), frequency (of the truth), and frequency_error: binomial,
    sqrt(f (1 - f) / recordings), as rows of a bin do not share a cell; low and high ends of its 95 % interval
    (Clopper and Pearson) as frequency_low, frequency_high. Empty bins are left out.
    """
    frame = frame[frame.best_true.notna()]
    edges = np.asarray(edges, np.float64)
    if edges.ndim != 1 or len(edges) < 2 or (np.diff(edges) <= 0).any():
        raise InputError(f"edges are {edges.tolist()}; give at least two rising numbers")
    outside = (frame.best_mass < edges[0]) | (frame.best_mass > edges[-1] + 1e-9)
    if outside.any():
        raise InputError(f"{int(outside.sum())} stated masses lie outside of {edges[0]:g}..{edges[-1]:g}; widen edges")
    place = np.minimum(np.searchsorted(edges, frame.best_mass, side="right") - 1, len(edges) - 2)
    rows = []
    for index in np.unique(place):
        some = frame[place == index]
        frequency, number = float(some.best_true.mean()), _recordings(some)
        low, high = interval(frequency, number)
        rows.append(
            {
                "low": edges[index],
                "high": edges[index + 1],
                "jobs": len(some),
                "recordings": number,
                "stated": float(some.best_mass.mean()),
                "frequency": frequency,
                "frequency_error": float(np.sqrt(frequency * (1 - frequency) / number)),
                "frequency_low": low,
                "frequency_high": high,
            }
        )
    return pd.DataFrame(rows)


def interval(rate: float, trials: float | int, confidence: float = _CONFIDENCE) -> tuple[float, float]:
    """The interval of Clopper and Pearson for a rate seen in so many trials; hits need not be whole."""
    hits, tail = rate * trials, (1 - confidence) / 2
    low = float(beta.ppf(tail, hits, trials - hits + 1)) if hits > 0 else 0.0
    high = float(beta.ppf(1 - tail, hits + 1, trials - hits)) if hits < trials else 1.0
    return low, high


def _of_score(group, name, error):
    group = group[group[name].notna()]
    found = {name: float(group[name].mean()) if len(group) else np.nan, f"{name}_error": error(group, name)}
    if name in RATES:
        low, high = interval(found[name], _recordings(group)) if len(group) else (np.nan, np.nan)
        found |= {f"{name}_low": low, f"{name}_high": high}
    return found


def _error(group, name) -> float:
    """Standard error of the mean of a column without nan, over seeds."""
    # Whatever names a job beside its seed makes a cell, utilities of nulls (none) included.
    cell = [one for one in (*RECORDING, "method") if one != "seed" and one in group.columns]
    cells = group.groupby(cell, dropna=False, sort=False)[name]
    size, mean = cells.transform("size"), cells.transform("mean")
    several = (size > 1).to_numpy()
    if not several.any():
        return float("nan")
    # Distances from a mean of n rows are short by (n - 1) / n in the square.
    apart = ((group[name] - mean) * np.sqrt(size / np.maximum(size - 1, 1))).to_numpy()[several]
    total = np.bincount(_codes(group[several]), apart)
    return float(np.sqrt((total**2).sum() / (several.sum() * len(group))))


def _error_over_goals(group, name) -> float:
    if not len(group):
        return float("nan")
    goals = group.groupby(["world", "utility"], dropna=False, sort=False).ngroup().to_numpy()
    return clustered_error(group[name].to_numpy(float), goals, _codes(group))


def clustered_error(values, goals, recordings) -> float:
    """Standard error of the mean of `[N]` values, `[N]` goals taken as drawn; of recordings if there is one goal alone.

    Distances from the mean that share a goal are added up before they are squared. nan for a single recording.
    """
    clusters = goals if len(np.unique(goals)) > 1 else recordings
    total = np.bincount(np.unique(clusters, return_inverse=True)[1], values - values.mean())
    number = len(total)
    return float(np.sqrt((total**2).sum() * number / (number - 1)) / len(values)) if number > 1 else float("nan")


def _recordings(group) -> int:
    return len(np.unique(_codes(group))) if len(group) else 0


def _codes(group) -> np.ndarray:
    """`[N]` a number for each recording."""
    return group.groupby(list(RECORDING), dropna=False, sort=False).ngroup().to_numpy()

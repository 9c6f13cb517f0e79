"""Two methods against each other on the same recordings: where one wins, ties and loses."""

import numpy as np
import pandas as pd

from utiliscope.errors import InputError, listed

from .summaries import RECORDING, clustered_error

LOWER_IS_BETTER = (
    "true_rank", "brier", "regret", "regret_changed", "epic_expected", "epic_mean", "starc_expected", "starc_mean",
    "claimed_false", "floored",
)  # fmt: skip
_ERRORS = 2.0  # standard errors from which a difference counts


def versus(frame: pd.DataFrame, method: str, other: str, *, score: str = "log_score", by="agent") -> pd.DataFrame:
    """One row for each group of recordings that both methods have read: by how much `method` scores better.

    frame: as of `summary`. by: a column or several. Columns: those of `by`, recordings, difference (positive where
    `method` is better, also of scores that are better when lower), difference_error (of the mean, see below; nan for
    one recording), ahead (share of recordings where `method` is better, a half where both are alike: a mean
    can be that of few mistakes), and verdict: "wins" or "loses" from two standard errors on, else "ties".

    Worlds and goals are taken as drawn (see `clustered_error`). Two standard errors of three goals are little: of many
    verdicts some are chance.

    Raises InputError for a method that the frame does not have, or two that have no recording in common.
    """
    by = [by] if isinstance(by, str) else list(by)
    unknown = [name for name in (method, other) if name not in set(frame["method"])]
    if unknown:
        raise InputError(f"there is no method {listed(unknown)}; the frame has {listed(sorted(set(frame['method'])))}")
    known = frame[frame[score].notna()]
    keys = list(dict.fromkeys([*RECORDING, *by]))
    one, two = (known[known.method == name].set_index(keys)[score] for name in (method, other))
    apart = (two - one if score in LOWER_IS_BETTER else one - two).dropna()
    if apart.empty:
        raise InputError(f"{method} and {other} have no recording in common with a {score}")
    pairs = pd.DataFrame({"apart": apart, "ahead": (np.sign(apart) + 1) / 2})
    table = pairs.groupby(level=by, sort=True).agg(
        recordings=("apart", "size"), difference=("apart", "mean"), error=("apart", _error), ahead=("ahead", "mean")
    )
    table = table.reset_index()
    error = table.pop("error")
    # Where both always say the same there is no doubt, and nothing to win.
    sure = np.abs(table.difference) > _ERRORS * error.fillna(np.inf)
    verdict = np.where(table.difference > 0, "wins", "loses")
    return table.assign(difference_error=error, verdict=np.where(sure, verdict, "ties"))


def _error(apart) -> float:
    """Standard error of the mean of one group's differences."""
    goals = apart.groupby(level=["world", "utility"], dropna=False, sort=False).ngroup().to_numpy()
    return clustered_error(apart.to_numpy(), goals, np.arange(len(apart)))


def best_of(frame: pd.DataFrame, methods, score: str = "log_score") -> str | None:
    """The one of `methods` with the best mean score; None if the frame has none of them."""
    means = frame[frame.method.isin(list(methods))].groupby("method")[score].mean().dropna()
    if means.empty:
        return None
    return str(means.idxmin() if score in LOWER_IS_BETTER else means.idxmax())

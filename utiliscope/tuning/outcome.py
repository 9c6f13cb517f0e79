"""What `tune` finds and writes: the weights, the table of families, and the surface."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from utiliscope.errors import InputError, listed
from utiliscope.outputs import written_whole

from .evidence import read_evidence
from .search import Scores, best_setting, score_settings
from .surface import plot_surface
from .tables import ALL, family_table, law_text, weights_of
from .weights_file import Weights, write_weights


class Outcome(NamedTuple):
    """scores: of every setting. families: see `family_table`. weights: what is best on all families. left_out: agents
    with recordings that cannot be scored, be it all or some (see `read_evidence`).
    """

    scores: Scores
    families: pd.DataFrame
    weights: Weights
    left_out: tuple[str, ...] = ()

    def text(self) -> str:
        """A table of families and the weights, to print."""
        shown = self.families.copy()
        for name in ("tuned", "one_to_one", "oracle", "prior", "gain"):
            error = shown.pop(f"{name}_error")
            shown[name] = [_with_error(value, spread) for value, spread in zip(shown[name], error)]
        shown["law"] = [law_text(law, share) for law, share in zip(shown["law"], shown["random_share"])]
        chosen = self.weights
        others = (
            f"\nrecordings left out, since no candidate is known to be pursued in them, of: {listed(self.left_out, 60)}"
        )
        return (
            shown.drop(columns=["random_share", "monte_carlo"]).to_string(index=False)
            + (others if self.left_out else "")
            + f"\nsimplicity {chosen.simplicity:g}, law {chosen.law}, random policies {chosen.random_policies}"
        )


def _with_error(value, error) -> str:
    # One seed alone says nothing of the error.
    return f"{value:.2f}" + ("" if np.isnan(error) else f" ± {error:.2f}")


def tune_on(folder: Path, *, nulls: bool = True) -> Outcome:
    """Tune on the results of a suite whose method "intelligence" has run.

    nulls: whether what is after nothing counts, with "0" for its utility. Raises InputError for a folder without a
    suite or without evidence, for agents of the user's own that have changed since, and for a single family of agents.
    Costs seconds for each thousand of recordings, and about half a minute for each world, to see which candidates are
    the true utilities.
    """
    from utiliscope.suite.places import Places
    from utiliscope.suite.resuming import SETTINGS, check_agents, read_settings

    from .families import Families

    if not (folder / SETTINGS).exists():
        raise InputError(
            f"{folder} holds no suite; run `utiliscope suite --out {folder}` first, or name the folder of one that "
            "has run"
        )
    settings = read_settings(folder)
    check_agents(folder, settings)
    agents_file = settings.get("agents_file")
    laws, evidence, passed_over = read_evidence(folder, Families(agents_file), Places(agents_file))
    if not nulls:
        evidence = [one for one in evidence if one.kind != "null"]
    scores = score_settings(evidence, laws)
    weights = weights_of(scores, best_setting(scores.by_family))
    return Outcome(scores, family_table(evidence, scores), weights, tuple(passed_over))


def write_outcome(out: Path, outcome: Outcome, names: tuple[str, str, str]) -> None:
    """Write weights, families and surface into `out` under `names`, each whole or not at all."""
    weights, table, surface = (Path(out) / name for name in names)
    with written_whole(table) as partial:
        outcome.families.to_csv(partial, index=False)
    with written_whole(surface) as partial:
        plot_surface(outcome.scores).savefig(partial, format="png", dpi=150)
    every = outcome.families[outcome.families.family == ALL].iloc[0]
    tuned = {
        "families": outcome.scores.families,
        "recordings": int(every.recordings),
        "log_score_left_out": round(float(every.tuned), 4),
        "log_score_left_out_error": round(float(every.tuned_error), 4),
        "log_score_one_to_one": round(float(every.one_to_one), 4),
    }
    write_weights(weights, outcome.weights, tuned)

"""What tuning came to: every family's score under what the others chose, under 1:1, and under its own best setting."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from utiliscope.suite.summaries import summary

from .evidence import Evidence
from .search import Scores, Setting, best_setting, left_out, monte_carlo_error, standing
from .weights_file import Weights

ALL = "all families"


def family_table(evidence: Sequence[Evidence], scores: Scores) -> pd.DataFrame:
    """One row a family, and one for all together: mean ln P(true) in nats, each with `_error`.

    tuned: under what is best on the other families. one_to_one: alpha of 1 and beta as near to 1 as is proper. oracle:
    under what is best on the family itself, which nobody can know. prior: of simplicity alone. gain: tuned less
    one_to_one, recording by recording. monte_carlo: what of the error of `tuned` is that of the evidence (see
    `monte_carlo_error`), taken as independent between recordings; the spread over recordings and families has it
    already, but for what recordings of a world share.

    Errors of a family are over its goals (see `summary`), nan where there is but one; those of all are over
    families, taken as drawn from all kinds.
    """
    chosen, usual, places = left_out(scores), standing(scores), {name: f for f, name in enumerate(scores.families)}
    own = [best_setting(scores.by_family[f : f + 1]) for f in range(len(scores.families))]
    rows = []
    for r, one in enumerate(evidence):
        f = places[one.family]
        found = scores.by_recording[r]
        tuned, fixed = found[chosen[f]], found[usual]
        noise = monte_carlo_error(one, scores, chosen[f])
        rows.append(
            {"family": one.family, "world": one.job.world, "agent": one.job.agent, "utility": one.job.utility}
            | {"num_episodes": one.job.num_episodes, "seed": one.job.seed}
            | dict(tuned=tuned, one_to_one=fixed, oracle=found[own[f]], prior=scores.prior[r], gain=tuned - fixed)
            | dict(monte_carlo=noise)
        )
    frame = pd.DataFrame(rows)
    columns = ["tuned", "one_to_one", "oracle", "prior", "gain"]
    # Agents of a family count alike, as they do in the choice.
    of_agents = summary(frame, ["family", "agent"], scores=columns)
    errors = summary(frame, "family", scores=columns, over="goals").set_index("family")
    found = []
    for name in scores.families:
        agents = of_agents[of_agents.family == name]
        row = {"family": name, "recordings": int(agents.recordings.sum()), **settings_of(scores, chosen[places[name]])}
        for column in columns:
            row[column] = agents[column].mean()
            row[f"{column}_error"] = float(errors.loc[name, f"{column}_error"])
        of_family = frame[frame.family == name]
        weight = 1 / of_family.groupby("agent").agent.transform("size") / of_family.agent.nunique()
        row["monte_carlo"] = float(np.sqrt(((weight * of_family.monte_carlo) ** 2).sum()))
        found.append(row)
    table = pd.DataFrame(found)
    every = {"family": ALL, "recordings": len(frame), **settings_of(scores, best_setting(scores.by_family))}
    for column in columns:
        every[column] = table[column].mean()
        every[f"{column}_error"] = table[column].std(ddof=1) / np.sqrt(len(table))
    every["monte_carlo"] = float(np.sqrt((table.monte_carlo**2).sum()) / len(table))
    return pd.concat([table, pd.DataFrame([every])], ignore_index=True)


def settings_of(scores: Scores, setting: Setting) -> dict:
    """alpha, share, concentration and law of a setting, by name."""
    return {
        "simplicity": scores.simplicities[setting.simplicity],
        "random_share": scores.shares[setting.share],
        "concentration": scores.laws.concentrations[setting.concentration],
        "law": scores.laws.laws[setting.law],
    }


def weights_of(scores: Scores, setting: Setting) -> Weights:
    """The same as `weights.toml` has it."""
    found = settings_of(scores, setting)
    law = law_text(found["law"], found["random_share"])
    return Weights(float(found["simplicity"]), law, f"dirichlet:{found['concentration']:g}")


def law_text(law: str, random_share: float) -> str:
    """A law with a share of random operators, as `--law` has it."""
    return law + (f"+random:{random_share:g}" if random_share else "")

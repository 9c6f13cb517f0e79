"""The report of a suite: one HTML file with agents by methods, methods side by side, and false discoveries."""

from importlib.metadata import version
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from utiliscope.errors import listed
from utiliscope.inlined import inlined
from utiliscope.outputs import written_whole

from .comparison import best_of, versus
from .frames import results_frame
from .intelligence import of_intelligence
from .pictures import (
    plot_agents_by_methods,
    plot_false_discoveries,
    plot_lengths,
    plot_stated_probabilities,
    plot_versus,
)
from .results import failures
from .resuming import read_settings
from .summaries import RECORDING, summary

REPORT = "report.html"
_SCORES = {
    "log_score": "ln P(true)", "best_true": "true goal first", "true_rank": "its rank", "regret": "regret",
    "regret_changed": "regret, changed world", "epic_expected": "EPIC", "starc_expected": "STARC",
    "claimed_true": "rightly claimed", "claimed_false": "wrongly claimed", "none_claimed": "none claimed",
}  # fmt: skip


def write_suite_report(folder: Path) -> Path:
    """Write `report.html` into a folder of results, whole or not at all; returns its path.

    Raises InputError for a folder without results.
    """
    folder = Path(folder)
    frame = results_frame(folder)
    known = frame[(frame.kind == "agent") & frame.log_score.notna()]
    parts = []
    if len(known):
        parts.append(
            _picture(
                "Agents by methods",
                plot_agents_by_methods(known),
                "Mean ln P(true) of each agent under each method, with its standard error over goals; the "
                "best of a row in bold. What is darker is better.",
            )
        )
    agents = frame[(frame.kind == "agent") & (frame.regret.notna() | frame.log_score.notna())]
    if len(agents):
        table = summary(agents, "method", scores=list(_SCORES), over="goals")
        note = (
            "± is one standard error over goals. Regret: 0 as good as can be, 1 as bad. A goal is claimed when it is "
            "given 95 % or more. –: does not apply; a method that finds one reward gives no probabilities."
        )
        parts.append(_table("Methods side by side", table, _SCORES, note))
    ours, rival = _rivals(known)
    if ours and rival:
        parts.append(
            _picture(
                f"{ours} against {rival}",
                plot_versus(known, ours, rival),
                "The best weighting by intelligence and the best of those that assume a planner, by these very scores, "
                f"on the same recordings. To the right {ours} gives the truth more; within two standard errors of 0, "
                "over worlds and goals, it is a tie.",
            )
        )
    if len(known) and frame.num_episodes.nunique() > 1:
        parts.append(
            _picture(
                "Lengths of recordings",
                plot_lengths(frame),
                "What more episodes are worth to each method, over all agents, with standard errors over goals.",
            )
        )
        for length in sorted(set(agents.num_episodes)):
            table = summary(agents[agents.num_episodes == length], "method", scores=list(_SCORES), over="goals")
            parts.append(_table(f"Methods at {_episodes(length)}", table, _SCORES, note))
    if len(known):
        parts.append(
            _picture(
                "Stated probabilities",
                plot_stated_probabilities(known),
                "How often the likeliest utility is the true one, against the probability that it was given, with 95 % "
                "intervals. Below the diagonal a method is surer than it should be.",
            )
        )
    if ((frame.kind == "null") & frame.claimed_95.notna()).any():
        parts.append(
            _picture(
                "What is after nothing",
                plot_false_discoveries(frame),
                "How often each method claims a goal, at 95 %, of what is after nothing.",
            )
        )
        parts.append(_claims_by_length(frame))
    degenerate = frame[frame.kind == "degenerate"]
    if len(degenerate):
        note = (
            "These act as the optimal agent does, by a planner that makes up for a utility of another kind: none at "
            "all, or the opposite. No behaviour can tell; ln P is of the utility that they are said to have."
        )
        scores = {"log_score": "ln P(said)", "best_mass": "mass of the likeliest"}
        table = summary(degenerate, "method", scores=list(scores), over="goals")
        parts.append(_table("Degenerate pairs", table, scores, note))
    failed = failures(folder)
    numbers = {"agent": frame.agent.nunique(), "world": frame.world.nunique(), "claim": len(frame)}
    counted = ", ".join(f"{number} {name}{'s' * (number > 1)}" for name, number in numbers.items())
    under = counted + (f"; {len(failed)} job{'s' * (len(failed) > 1)} failed" if failed else "")
    template = Environment(
        loader=PackageLoader("utiliscope"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    ).get_template("suite.html")
    text = template.render(
        title="Agents whose utility is known",
        under=under,
        answer=_findings(frame, known),
        parts=parts,
        settings=[(name, str(value)) for name, value in read_settings(folder).items()],
        version=version("utiliscope"),
    )
    with written_whole(folder / REPORT) as partial:
        partial.write_text(text, encoding="utf-8")
    return folder / REPORT


def _findings(frame, known) -> list[str]:
    """What the suite says, in sentences."""
    found = []
    if len(known):
        means = known.groupby("method").log_score.mean().sort_values(ascending=False)
        agents = known.pivot_table(index="agent", columns="method", values="log_score")
        won = agents.idxmax(axis=1).value_counts()
        found.append(
            f"The truth is likeliest under {means.index[0]}: mean ln P(true) {means.iloc[0]:.2f}"
            + (f", before {means.index[1]} with {means.iloc[1]:.2f}." if len(means) > 1 else ".")
        )
        best = ", ".join(f"{name} {count}" for name, count in won.items())
        found.append(f"Agents for which each is best: {best}.")
        ours, rival = _rivals(known)
        if ours and rival:
            verdicts = versus(known, ours, rival).groupby("verdict").agent.apply(lambda names: listed(names, 60))
            found += [f"Against {rival}, {ours} {verdict} on {names}." for verdict, names in verdicts[::-1].items()]
    nulls = frame[(frame.kind == "null") & frame.claimed_95.notna()]
    if len(nulls):
        rates = nulls.groupby("method").claimed_95.mean().sort_values()
        found.append(
            "Of what is after nothing a goal is claimed in: "
            + ", ".join(f"{name} {100 * rate:.0f} %" for name, rate in rates.items())
            + " of its recordings."
        )
    return found


def _claims_by_length(frame) -> dict:
    """How often a goal is claimed of what is after nothing, by method and number of episodes."""
    nulls = frame[(frame.kind == "null") & frame.claimed_95.notna()]
    rates = nulls.pivot_table(index="method", columns="num_episodes", values="claimed_95")
    rows = [[method, *(f"{100 * rate:.1f} %" for rate in row)] for method, row in rates.iterrows()]
    columns = ["method", *(_episodes(length) for length in rates.columns)]
    note = f"Share of {len(nulls[list(RECORDING)].drop_duplicates())} recordings in all."
    return dict(heading="Claims by length", image="", width=0, caption="", rows=rows, columns=columns, note=note)


def _episodes(number) -> str:
    return f"{number} episode{'s' * (number > 1)}"


def _rivals(known) -> tuple[str | None, str | None]:
    """The best claim by intelligence, and the best of those that assume a planner, by mean ln P(true)."""
    if not len(known):
        return None, None
    methods = set(known.method)
    ours = of_intelligence(methods)
    return best_of(known, ours), best_of(known, methods - {*ours, "prior"})


def _picture(heading, figure, caption) -> dict:
    image, width = inlined(figure)
    return dict(heading=heading, image=image, width=width, caption=caption, rows=[], columns=[], note="")


def _table(heading, table, scores, note) -> dict:
    table = table.sort_values("log_score", ascending=False)
    rows = [
        [row["method"], str(row["recordings"]), *(_number(row[name], row[f"{name}_error"]) for name in scores)]
        for _, row in table.iterrows()
    ]
    columns = ["method", "recordings", *scores.values()]
    return dict(heading=heading, image="", width=0, caption="", rows=rows, columns=columns, note=note)


def _number(value, error) -> str:
    if np.isnan(value):
        return "–"
    return f"{value:.3f}" + ("" if np.isnan(error) else f" ± {error:.3f}")

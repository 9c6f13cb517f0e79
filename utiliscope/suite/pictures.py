"""Pictures of a suite: agents by methods, two methods apart, lengths of recordings, false claims, probabilities."""

import numpy as np
import pandas as pd
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from utiliscope.picture_style import CHAINS, FAINT, INK, MUTED

from .comparison import versus
from .summaries import calibration_table, summary


def plot_agents_by_methods(frame: pd.DataFrame, score: str = "log_score") -> Figure:
    """Mean `score` of every agent, in rows by family, under every method, with its standard error over goals.

    frame: of `results_frame`; agents without a truth are left out. Darker is better: of log scores the scale ends at
    the tenth part that is worst. One recording has no error.
    """
    known = frame[frame[score].notna()]
    table = summary(known, ["family", "agent", "method"], scores=[score], over="goals")
    agents = list(dict.fromkeys(table.sort_values(["family", "agent"])["agent"]))
    methods = _ordered(table, score)
    mean = table.pivot(index="agent", columns="method", values=score).loc[agents, methods].to_numpy()
    error = table.pivot(index="agent", columns="method", values=f"{score}_error").loc[agents, methods].to_numpy()
    # Few agents leave room for the name of the colours.
    height = max(1.4 + 0.25 * len(agents), 2.6)
    figure = Figure(figsize=(2.6 + 1.15 * len(methods), height), layout="constrained")
    axes = figure.subplots()
    low, high = np.nanquantile(mean, 0.1), np.nanmax(mean)
    shown = axes.imshow(mean, aspect="auto", cmap="Blues", norm=Normalize(low, max(high, low + 1e-9)))
    for (row, column), value in np.ndenumerate(mean):
        if np.isnan(value):
            continue
        dark = (value - low) / max(high - low, 1e-9) > 0.6
        spread = "" if np.isnan(error[row, column]) else f" ± {error[row, column]:.2f}"
        best = value >= np.nanmax(mean[row]) - 1e-12
        axes.text(
            column, row, f"{value:.2f}{spread}", ha="center", va="center", fontsize=7.5,
            color="white" if dark else INK, fontweight="bold" if best else "normal",
        )  # fmt: skip
    axes.set_xticks(range(len(methods)), methods, fontsize=8.5, rotation=20, ha="left")
    axes.xaxis.tick_top()
    axes.set_yticks(range(len(agents)), agents, fontsize=8.5, parse_math=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    figure.colorbar(shown, ax=axes, shrink=max(0.5, 1.6 / height), label=_NAMES.get(score, score), extend="min")
    return figure


def plot_versus(frame: pd.DataFrame, method: str, other: str, score: str = "log_score") -> Figure:
    """By how much `method` scores better than `other`, agent by agent, with two standard errors (see `versus`)."""
    table = versus(frame, method, other, score=score).sort_values("difference").reset_index(drop=True)
    figure = Figure(figsize=(7.2, 1.2 + 0.19 * len(table)), layout="constrained")
    axes = figure.subplots()
    place, colours = np.arange(len(table)), {"wins": CHAINS[0], "ties": MUTED, "loses": CHAINS[4]}
    for verdict, colour in colours.items():
        some = (table.verdict == verdict).to_numpy()
        spread = 2 * table.difference_error[some].fillna(0)
        axes.errorbar(
            table.difference[some], place[some], xerr=spread, fmt="o", markersize=3.5, color=colour, elinewidth=0.9,
            label=f"{method} {verdict}: {some.sum()}",
        )  # fmt: skip
    axes.axvline(0, color=INK, linewidth=0.8)
    if score == "log_score":
        # A few mistakes that were made with certainty would hide all else.
        axes.set_xscale("symlog", linthresh=1.0, linscale=1.0)
        axes.xaxis.set_major_formatter("{x:g}")
    axes.set_yticks(place, table.agent, fontsize=8, parse_math=False)
    axes.set_xlabel(f"{_NAMES.get(score, score)}: {method} better than {other} (± two standard errors)", fontsize=8.5)
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def plot_lengths(frame: pd.DataFrame) -> Figure:
    """Mean ln P(true) and mean regret of each method against the number of episodes recorded."""
    known = frame[frame.kind == "agent"]
    lengths = sorted(set(known.num_episodes))
    methods = _ordered(known[known.log_score.notna()], "log_score")
    methods += sorted(set(known.method) - set(methods))
    figure = Figure(figsize=(9.6, max(3.6, _legend_height(methods))), layout="constrained")
    for axes, score in zip(figure.subplots(1, 2), ("log_score", "regret"), strict=True):
        table = summary(known, ["method", "num_episodes"], scores=[score], over="goals").set_index("method")
        for m, method in enumerate(methods):
            # A method need not have both scores, but the legend is one.
            own = table.loc[[method]]
            # Side by side, that errors can be told apart.
            beside = own.num_episodes * 1.02 ** (m - len(methods) / 2)
            axes.errorbar(
                beside, own[score], yerr=own[f"{score}_error"], **_look(m), markersize=3.5, linewidth=1.1,
                elinewidth=0.7, label=method,
            )  # fmt: skip
        axes.set_xscale("log")
        axes.set_xticks(lengths, [str(length) for length in lengths])
        axes.minorticks_off()
        axes.set_xlabel("episodes recorded")
        axes.set_ylabel(_NAMES[score])
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=INK, labelsize=8.5)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def plot_false_discoveries(frame: pd.DataFrame) -> Figure:
    """How often each method claims a utility at 95 % for what is after nothing, with the 95 % interval."""
    nulls = frame[(frame.kind == "null") & frame.claimed_95.notna()]
    each = summary(nulls, ["agent", "method"], scores=["claimed_95"])
    known, agents = frame[frame.log_score.notna()], sorted(set(each.agent))
    methods = _ordered(known, "log_score") if len(known) else sorted(set(each.method))
    height = max(1.2 + max(0.5, 0.09 * len(methods)) * len(agents), _legend_height(methods))
    figure = Figure(figsize=(8.4, height), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(methods)
    for m, method in enumerate(methods):
        some = each[each.method == method].set_index("agent").reindex(agents)
        place = np.arange(len(agents)) + (m - (len(methods) - 1) / 2) * width
        bar = dict(color=CHAINS[m % len(CHAINS)], hatch=("", "////", "....")[m // len(CHAINS) % 3], edgecolor="white")
        axes.barh(place, some.claimed_95, height=0.85 * width, linewidth=0, label=method, **bar)
        spread = np.stack([some.claimed_95 - some.claimed_95_low, some.claimed_95_high - some.claimed_95])
        axes.errorbar(some.claimed_95, place, xerr=np.maximum(spread, 0), fmt="none", ecolor=MUTED, elinewidth=0.7)
    axes.set_yticks(range(len(agents)), agents, fontsize=9, parse_math=False)
    axes.invert_yaxis()
    axes.axvline(0.05, color=INK, linewidth=0.8, linestyle=":")
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("recordings in which some goal is given 95 % or more (dotted: one in twenty)")
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def plot_stated_probabilities(frame: pd.DataFrame) -> Figure:
    """How often the likeliest utility is the true one, against the probability that each method gives it."""
    known = frame[frame.best_true.notna()]
    methods = _ordered(known, "log_score")
    figure = Figure(figsize=(6.4, max(4.4, _legend_height(methods))), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1.2, zorder=1)
    for m, method in enumerate(methods):
        table = calibration_table(known[known.method == method])
        spread = np.stack([table.frequency - table.frequency_low, table.frequency_high - table.frequency])
        axes.errorbar(
            table.stated, table.frequency, yerr=np.maximum(spread, 0), **_look(m), markersize=3.5, linewidth=1.1,
            elinewidth=0.7, label=method,
        )  # fmt: skip
    axes.set(xlabel="probability of the likeliest utility", ylabel="share of recordings where it is the true one")
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02))
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK, labelsize=8.5)
    return figure


def _look(place) -> dict:
    """Colour and line of the method at `place`: with more methods than colours, lines differ."""
    again = place // len(CHAINS)
    return dict(color=CHAINS[place % len(CHAINS)], linestyle=("-", "--", ":")[again % 3], marker="os^"[again % 3])


def _legend_height(methods) -> float:
    """Inches that a picture with `methods` in its legend needs."""
    return 0.8 + 0.18 * len(methods)


_NAMES = {"log_score": "mean ln P(true), nats", "best_true": "share with the true goal first", "regret": "mean regret"}


def _ordered(table, score) -> list[str]:
    """Methods, the best first."""
    return list(table.groupby("method")[score].mean().sort_values(ascending=False).index)

"""Pictures of a posterior: a DataTree in, a matplotlib Figure out.

Figures belong to nobody: no pyplot, no global state, the same in a notebook, a report and a thread.
"""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from .diagnostics import LEAST_ESS, MOST_RHAT, convergence
from .picture_style import BLUE, CHAINS, FAINT, INK, MUTED, RED, percent, plain, title
from .picture_style import shortened as shortened
from .posterior import utility_table
from .recording_plot import plot_recording as plot_recording
from .tradeoff_plot import plot_tradeoff as plot_tradeoff


def plot_utilities(posterior: xr.DataTree, most: int = 15) -> Figure:
    """The likeliest utilities, at most `most`: posterior probability with its Monte Carlo error, beside code length.

    Of those below 0.05 % only enough are shown to make six.
    """
    table = utility_table(posterior)
    most = min(most, max(6, int((table["probability"] >= 5e-4).sum())))
    shown = table.head(most)
    figure = Figure(figsize=(8.4, 1.1 + 0.31 * len(shown)), layout="constrained")
    chance, length = figure.subplots(1, 2, sharey=True, width_ratios=(2.4, 1))
    rows = np.arange(len(shown))
    colours = [BLUE if row == 0 else "#8fb4cc" for row in rows]

    chance.barh(rows, shown["probability"], color=colours, height=0.68)
    chance.errorbar(
        shown["probability"], rows, xerr=shown["probability_error"], fmt="none", ecolor=INK, elinewidth=1.1, capsize=2
    )
    reach = float((shown["probability"] + shown["probability_error"]).max())
    for row, probability, error in zip(rows, shown["probability"], shown["probability_error"], strict=True):
        chance.text(probability + error + 0.012 * reach, row, percent(probability), va="center", fontsize=8, color=INK)
    chance.set_xlim(0, 1.14 * reach)
    chance.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0 if reach > 0.08 else 1))
    chance.set_yticks(rows, [title(name) for name in shown["utility"]], fontsize=9)
    chance.set_ylim(len(shown) - 0.4, -0.6)
    chance.set_xlabel("posterior probability")

    length.barh(rows, shown["code_length"], color=FAINT, height=0.68)
    longest = float(shown["code_length"].max())
    for row, bits in zip(rows, shown["code_length"], strict=True):
        length.text(bits + 0.02 * longest, row, f"{bits:.1f}", va="center", fontsize=8, color=MUTED)
    length.set_xlim(0, 1.2 * longest)
    length.set_xlabel("code length (bits)")
    for axes in (chance, length):
        plain(axes)
        axes.tick_params(axis="y", length=0)
    rest = table["probability"].iloc[most:]
    if len(rest):
        chance.set_title(f"{len(rest)} others, together {percent(rest.sum())}", fontsize=8, color=MUTED, loc="right")
    return figure


def plot_diagnostics(posterior: xr.DataTree) -> Figure:
    """The sampler's health: log density by chain, energies, R-hat and effective sample size of every number.

    What was summed has no sampler, and gets a sentence instead; a variational guide shows its importance ratios.
    """
    if "sample_stats" not in posterior.children:
        figure = Figure(figsize=(7.2, 0.9), layout="constrained")
        figure.text(0.02, 0.5, "No sampler ran: the posterior was summed exactly.", va="center", color=INK, fontsize=11)
        return figure
    stats = posterior["sample_stats"].dataset
    if "log_ratio" in stats:
        return _plot_ratios(stats["log_ratio"].values, posterior["posterior"].attrs)
    figure = Figure(figsize=(8.4, 5.2), layout="constrained")
    (trace, energy), (rhat_axes, ess_axes) = figure.subplots(2, 2)

    density = stats["lp"].values
    for chain, values in enumerate(density):
        trace.plot(values, color=CHAINS[chain % len(CHAINS)], linewidth=0.7, alpha=0.85)
    diverging = np.argwhere(stats["diverging"].values)
    if len(diverging):
        heights = density[tuple(diverging.T)]
        trace.scatter(diverging[:, 1], heights, marker="x", s=22, color=RED, zorder=4, label="diverging")
        trace.legend(frameon=False, fontsize=8)
    trace.set(xlabel="draw", ylabel="log density")
    trace.set_title(f"Chains ({len(density)})", fontsize=10, loc="left")

    _energies(energy, stats["energy"].values)
    rhat, ess = convergence(posterior)
    _numbers(rhat_axes, rhat[np.isfinite(rhat)], MOST_RHAT, "R-hat", "above")
    _numbers(ess_axes, ess[np.isfinite(ess)], float(LEAST_ESS), "effective sample size", "below")
    for axes in (trace, energy, rhat_axes, ess_axes):
        plain(axes)
    return figure


def _energies(energy, levels):
    """A histogram of energies `[chains, draws]` and of the steps between them."""
    energy.set_title("Energy", fontsize=10, loc="left")
    if not np.isfinite(levels).all():
        energy.text(0.5, 0.5, "not finite at every draw", ha="center", transform=energy.transAxes, color=MUTED)
        return
    marginal, steps = (levels - levels.mean()).ravel(), np.diff(levels, axis=-1).ravel()
    edges = np.histogram_bin_edges(np.concatenate([marginal, steps]), 40)
    energy.hist(marginal, edges, density=True, color=BLUE, alpha=0.55, label="energy")
    energy.hist(steps, edges, density=True, histtype="step", color=INK, linewidth=1.2, label="its steps")
    energy.legend(frameon=False, fontsize=8)
    energy.set(xlabel="energy, centred", yticks=[])
    least = float(np.min(np.square(np.diff(levels, axis=-1)).mean(-1) / levels.var(-1)))
    energy.set_title(f"Energy (lowest BFMI {least:.2f})", fontsize=10, loc="left")


def _plot_ratios(log_ratio, attributes) -> Figure:
    """How uneven the importance ratios of a guide's draws are: all but equal if the guide is the posterior."""
    figure = Figure(figsize=(7.2, 2.6), layout="constrained")
    axes = figure.subplots()
    for chain, values in enumerate(log_ratio):
        share = np.sort(np.exp(values - values.max()))[::-1]
        share = np.cumsum(share) / share.sum()
        axes.plot(np.arange(1, len(share) + 1) / len(share), share, color=CHAINS[chain % len(CHAINS)], linewidth=1.2)
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1.0, zorder=1)
    axes.set(xlabel="share of draws, the heaviest first", ylabel="share of weight", xlim=(0, 1), ylim=(0, 1.02))
    axes.set_title(f"Pareto k {float(attributes['pareto_k']):.2f}, the worst guide's", fontsize=10, loc="left")
    plain(axes)
    return figure


def _numbers(axes, values, limit, what, wrong):
    """A histogram of diagnostics against their limit."""
    if len(values) == 0:
        axes.text(0.5, 0.5, f"no {what}: too few chains or draws", ha="center", transform=axes.transAxes, color=MUTED)
        axes.set(xticks=[], yticks=[])
        return
    edges = np.histogram_bin_edges(np.append(values, limit), 30)
    axes.hist(values, edges, color=BLUE, alpha=0.75)
    axes.axvline(limit, color=RED, linewidth=1.2, linestyle="--")
    bad = int((values > limit).sum() if wrong == "above" else (values < limit).sum())
    axes.set(xlabel=what, ylabel="numbers")
    axes.set_title(f"{bad} of {len(values)} {wrong} {limit:g}", fontsize=10, loc="left")

"""Pictures of a posterior: a DataTree in, a matplotlib Figure out.

Figures belong to nobody: no pyplot, no global state, the same in a notebook, a report and a thread.
"""

import re

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from .diagnostics import LEAST_ESS, MOST_RHAT, convergence
from .posterior import utility_table
from .recording_plot import plot_recording as plot_recording

INK, MUTED, FAINT, BLUE, RED = "#1f2933", "#7b8794", "#d9dee4", "#2a6f97", "#c1443c"
CHAINS = ("#2a6f97", "#e09f3e", "#4f9d69", "#9a5fa8", "#c1443c", "#7b8794", "#3fa7a3", "#b5838d")
_LONGEST_NAME = 34


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
        chance.text(probability + error + 0.012 * reach, row, _percent(probability), va="center", fontsize=8, color=INK)
    chance.set_xlim(0, 1.14 * reach)
    chance.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0 if reach > 0.08 else 1))
    chance.set_yticks(rows, [_title(name) for name in shown["utility"]], fontsize=9)
    chance.set_ylim(len(shown) - 0.4, -0.6)
    chance.set_xlabel("posterior probability")

    length.barh(rows, shown["code_length"], color=FAINT, height=0.68)
    longest = float(shown["code_length"].max())
    for row, bits in zip(rows, shown["code_length"], strict=True):
        length.text(bits + 0.02 * longest, row, f"{bits:.1f}", va="center", fontsize=8, color=MUTED)
    length.set_xlim(0, 1.2 * longest)
    length.set_xlabel("code length (bits)")
    for axes in (chance, length):
        _plain(axes)
        axes.tick_params(axis="y", length=0)
    rest = table["probability"].iloc[most:]
    if len(rest):
        chance.set_title(f"{len(rest)} others, together {_percent(rest.sum())}", fontsize=8, color=MUTED, loc="right")
    return figure


def plot_tradeoff(posterior: xr.DataTree, label: int = 6) -> Figure:
    """Code length against intelligence: what a good explanation trades. Area is posterior probability.

    Under an ExponentialLaw over continuous random policies, a utility's weight is 2^(beta g - simplicity K): the
    grey lines join equal weights. `label` of the likeliest are named.
    """
    table = utility_table(posterior)
    attributes = posterior["posterior"].attrs
    figure = Figure(figsize=(7.2, 4.9), layout="constrained")
    axes = figure.subplots()
    x, y = table["code_length"].to_numpy(), table["intelligence"].to_numpy()
    finite = np.isfinite(y)
    y = np.where(finite, y, y[finite].max(initial=0.0))
    probability = table["probability"].to_numpy()
    area = 16 + 900 * probability
    error = np.where(np.isfinite(table["std_error"]), table["std_error"], 0.0)
    likely = probability >= 1e-3

    axes.errorbar(x, y, yerr=error, fmt="none", ecolor=MUTED, elinewidth=0.9, capsize=2, zorder=2)
    axes.scatter(x[~likely], y[~likely], s=14, color="#b4bec8", linewidths=0, zorder=3)
    axes.scatter(x[likely], y[likely], s=area[likely], color=BLUE, alpha=0.72, edgecolors="white", zorder=4)
    bound = table["is_lower_bound"].to_numpy() & (likely | (np.arange(len(x)) < label))
    axes.scatter(x[bound], y[bound] + 0.02 * np.ptp(y), marker="^", s=16, color=RED, zorder=5)

    pad_x, pad_y = 0.08 * max(np.ptp(x), 1.0), 0.09 * max(np.ptp(y), 1.0)
    axes.set(xlim=(x.min() - pad_x, x.max() + 2 * pad_x), ylim=(min(y.min(), 0) - pad_y, y.max() + 1.6 * pad_y))
    axes.set_xlabel("code length K (bits): longer is a priori less likely")
    axes.set_ylabel("intelligence g (bits)")
    axes.yaxis.set_major_locator(MaxNLocator(nbins=8))
    _plain(axes)
    notes = [
        "Area is posterior probability; grey dots are below 0.1 %"
        + "; red marks: at least this much" * bool(bound.any())
    ]
    step = _equal_weight_lines(axes, attributes)
    if step:
        notes.append(f"Lines join equal weights, each {step:g} bits (a factor of {_factor(step)}) above the next")
    figure.supxlabel("\n".join(notes), fontsize=8, color=MUTED)
    figure.draw_without_rendering()
    count = max(1, min(label, int((probability >= 0.005).sum())))
    names = [_title(name) for name in table["utility"][:count]]
    _label_apart(figure, axes, x, y, np.where(likely, area, 14), names)
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

    levels = stats["energy"].values
    marginal, steps = (levels - levels.mean()).ravel(), np.diff(levels, axis=-1).ravel()
    edges = np.histogram_bin_edges(np.concatenate([marginal, steps]), 40)
    energy.hist(marginal, edges, density=True, color=BLUE, alpha=0.55, label="energy")
    energy.hist(steps, edges, density=True, histtype="step", color=INK, linewidth=1.2, label="its steps")
    energy.legend(frameon=False, fontsize=8)
    energy.set(xlabel="energy, centred", yticks=[])
    least = float(np.min(np.square(np.diff(levels, axis=-1)).mean(-1) / levels.var(-1)))
    energy.set_title(f"Energy (lowest BFMI {least:.2f})", fontsize=10, loc="left")

    rhat, ess = convergence(posterior)
    _numbers(rhat_axes, rhat[np.isfinite(rhat)], MOST_RHAT, "R-hat", "above")
    _numbers(ess_axes, ess[np.isfinite(ess)], float(LEAST_ESS), "effective sample size", "below")
    for axes in (trace, energy, rhat_axes, ess_axes):
        _plain(axes)
    return figure


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
    _plain(axes)
    return figure


def _title(name: str) -> str:
    return "0 (no goal)" if name == "0" else shortened(name)


def shortened(name: str, longest: int = _LONGEST_NAME) -> str:
    """`name`, cut in the middle if it is too long to print in a picture."""
    if len(name) <= longest:
        return name
    return f"{name[: longest - 12]} … {name[-9:]}"


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


def _equal_weight_lines(axes, attributes) -> float:
    """Lines of equal beta g - simplicity K; the step between them in bits, 0 if there are none."""
    law = re.fullmatch(r"ExponentialLaw\(beta=([-+.\de]+)\)", attributes.get("intelligence_law", ""))
    beta, simplicity = float(law[1]) if law else 0.0, float(attributes.get("simplicity", 1.0))
    if beta <= 0 or not attributes.get("policy_prior", "").startswith("Dirichlet"):
        return 0.0
    left, right = axes.get_xlim()
    low, high = axes.get_ylim()
    lowest, highest = beta * low - simplicity * right, beta * high - simplicity * left
    step = next((s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500) if (highest - lowest) / s <= 12), 1000)
    for weight in np.arange(np.ceil(lowest / step), np.floor(highest / step) + 1) * step:
        axes.axline((0.0, weight / beta), slope=simplicity / beta, color="#d8dee4", linewidth=0.9, zorder=1)
    axes.set(xlim=(left, right), ylim=(low, high))
    return float(step)


def _factor(bits: float) -> str:
    return f"{2**bits:,.0f}" if bits <= 20 else f"2^{bits:g}"


def _label_apart(figure, axes, x, y, area, names):
    """Names beside their points, each where it covers least of points, of names and of what lies outside."""
    canvas = figure.canvas
    renderer = canvas.get_renderer() if hasattr(canvas, "get_renderer") else figure._get_renderer()
    scale = figure.dpi / 72
    places = axes.transData.transform(np.column_stack([x, y]))
    radius = np.sqrt(area / np.pi) * scale
    taken = [(px - r, py - r, px + r, py + r) for (px, py), r in zip(places, radius, strict=True)]
    frame = axes.get_window_extent(renderer)
    for index, name in enumerate(names):
        text = axes.annotate(name, (x[index], y[index]), xytext=(0, 0), textcoords="offset points", fontsize=9)
        text.set(color=INK, zorder=6)
        size = text.get_window_extent(renderer)
        best = None
        for extra in (3.0, 12.0, 24.0, 40.0):
            away = radius[index] + extra * scale
            for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1), (0.7, 0.7), (0.7, -0.7), (-0.7, 0.7), (-0.7, -0.7)):
                left = places[index][0] + dx * away - (0.5 - 0.5 * np.sign(dx)) * size.width
                bottom = places[index][1] + dy * away - (0.5 - 0.5 * np.sign(dy)) * size.height
                box = (left, bottom, left + size.width, bottom + size.height)
                cost = sum(_shared(box, other) for other in taken) + 0.02 * extra * size.height
                inside = _shared(box, (frame.x0, frame.y0, frame.x1, frame.y1))
                cost += 10 * (size.width * size.height - inside)
                if best is None or cost < best[0]:
                    best = cost, box, extra
        _, box, extra = best
        offset = (np.array(box[:2]) - places[index]) / scale
        # Text is placed by its baseline; a descender's worth keeps it inside its box.
        text.set_position((offset[0], offset[1] + 2.0))
        if extra > 10:
            near = np.clip(places[index], box[:2], box[2:])
            end = axes.transData.inverted().transform(near)
            axes.plot([x[index], end[0]], [y[index], end[1]], color=MUTED, linewidth=0.6, zorder=2)
        taken.append(box)


def _shared(one, other) -> float:
    """Area that two boxes (left, bottom, right, top) share."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(width, 0.0) * max(height, 0.0)


def _percent(probability: float) -> str:
    if probability >= 0.0995:
        return f"{100 * probability:.0f} %"
    return f"{100 * probability:.1f} %" if probability >= 0.0005 else "< 0.1 %"


def _plain(axes):
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(colors=INK, labelsize=8.5)

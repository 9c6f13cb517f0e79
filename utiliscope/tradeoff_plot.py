"""The plane that a good explanation lies in: code length against intelligence, its front and its level lines."""

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .laws import ExponentialLaw
from .picture_style import BLUE, INK, MUTED, RED, plain, title
from .posterior import utility_table
from .recorded_law import recorded_law

_LEVEL, _FRONT = "#d8dee4", "#e09f3e"


def tradeoff_front(posterior: xr.DataTree) -> pd.DataFrame:
    """The rows of `utility_table` that no other beats in both code length and intelligence, the shortest first.

    A utility is on the front if every other that is as short has fewer bits, and every other with as many bits is
    longer; of utilities that are alike in both, all are. Whatever the weights on simplicity and intelligence, the
    utility with the greatest 2^(beta g - simplicity K) is on it. Intelligence is the posterior mean: utilities that
    are closer than their errors may trade places. Raises InputError for a posterior over weights.
    """
    table = utility_table(posterior)
    return table[_on_front(table)].sort_values(["code_length", "intelligence"], ignore_index=True)


def plot_tradeoff(posterior: xr.DataTree, label: int = 6) -> Figure:
    """Code length against intelligence: what a good explanation trades. Area is posterior probability.

    The stair is the front (`tradeoff_front`): the most bits that a code of each length explains. `label` of the
    likeliest utilities are named; bars are standard errors of the mean intelligence.

    Iso-posterior lines: under an ExponentialLaw over continuous random policies a utility's weight is
    2^(beta g - simplicity K), and grey lines of slope simplicity / beta join equal weights. They are exact at one
    policy, and near for means over policies. A utility that ties all policies ("0") has weight 2^(-simplicity K),
    without the (1 - beta) of all others: it counts as log2(1 / (1 - beta)) / beta bits higher than it is drawn. Other
    laws have no such lines.
    """
    table = utility_table(posterior)
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
    plain(axes)
    _draw_front(axes, x[finite], y[finite], _on_front(table)[finite])
    notes = [
        "Area is posterior probability; grey dots are below 0.1 %"
        + "; red marks: at least this much" * bool(bound.any()),
        "The stair is the front: the most bits for each code length",
    ]
    step = _equal_weight_lines(axes, posterior)
    if step:
        notes.append(f"Lines join equal weights, each {step:g} bits (a factor of {_factor(step)}) above the next")
    figure.supxlabel("\n".join(notes), fontsize=8, color=MUTED)
    figure.draw_without_rendering()
    count = max(1, min(label, int((probability >= 0.005).sum())))
    names = [title(name) for name in table["utility"][:count]]
    _label_apart(figure, axes, x, y, np.where(likely, area, 14), names)
    return figure


def _on_front(table) -> np.ndarray:
    """`[U]` whether no other utility is as short and as intelligent, and better in one of them."""
    length, bits = table["code_length"].to_numpy(), table["intelligence"].to_numpy()
    as_good = (length[:, None] <= length) & (bits[:, None] >= bits)
    better = (length[:, None] < length) | (bits[:, None] > bits)
    return np.isfinite(bits) & ~(as_good & better).any(0)


def _draw_front(axes, x, y, front):
    """A stair through the front, on to the right edge."""
    if not front.any():
        return
    order = np.lexsort((y[front], x[front]))
    across, up = x[front][order], y[front][order]
    across, up = np.append(across, axes.get_xlim()[1]), np.append(up, up[-1])
    axes.step(across, up, where="post", color=_FRONT, linewidth=1.4, alpha=0.9, zorder=2.5)


def _equal_weight_lines(axes, posterior) -> float:
    """Lines of equal beta g - simplicity K; the step between them in bits, 0 if there are none."""
    law, attributes = recorded_law(posterior), posterior["posterior"].attrs
    beta, simplicity = getattr(law, "beta", 0.0), float(attributes.get("simplicity", 1.0))
    known = isinstance(law, ExponentialLaw) and beta > 0
    if not known or not attributes.get("policy_prior", "").startswith("Dirichlet"):
        return 0.0
    left, right = axes.get_xlim()
    low, high = axes.get_ylim()
    lowest, highest = beta * low - simplicity * right, beta * high - simplicity * left
    step = next((s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500) if (highest - lowest) / s <= 12), 1000)
    for weight in np.arange(np.ceil(lowest / step), np.floor(highest / step) + 1) * step:
        axes.axline((0.0, weight / beta), slope=simplicity / beta, color=_LEVEL, linewidth=0.9, zorder=1)
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

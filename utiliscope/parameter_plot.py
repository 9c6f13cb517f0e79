"""The picture of inferred parameters: what is believed of each with the recording, and without it."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from .errors import InputError
from .parameters import parameter_draws
from .picture_style import BLUE, INK, MUTED, plain, shortened

_BINS, _COLUMNS, _TICKS = 36, 3, 4
_MANY_TIMES = 30.0  # a positive parameter that spans more is drawn on a log scale


def plot_parameters(posterior: xr.DataTree, most: int = 9) -> Figure:
    """The first `most` parameters of `parameter_table`: draws with the recording (filled) and without it (line).

    Each picture spans what is believed with the recording; of the prior only what lies there is seen, in proportion.
    Raises InputError for a posterior without parameters.
    """
    shown = parameter_draws(posterior, most)
    if not shown:
        raise InputError("this posterior has no parameters: only utilities were inferred, see plot_utilities")
    columns = min(_COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(2.8 * columns, 2.2 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (name, draws, before) in zip(panels, shown, strict=False):
        _plot_one(axes, draws, before)
        lost = 1 - np.isfinite(draws).mean()
        called = shortened(name) + (f" ({lost:.0%} not finite)" if lost else "")
        axes.set_title(called, fontsize=10, loc="left", color=INK)
        axes.set_yticks([])
        plain(axes)
        axes.spines["left"].set_visible(False)
    for axes in panels[len(shown) :]:
        axes.set_axis_off()
    return figure


def _plot_one(axes, draws, before):
    draws = draws[np.isfinite(draws)]
    if draws.size == 0:
        return axes.text(0.5, 0.5, "not finite", ha="center", transform=axes.transAxes, color=MUTED)
    low, high = np.quantile(draws, (0.001, 0.999))
    scale = np.log if draws.min() > 0 and high > _MANY_TIMES * low else np.asarray
    if scale is np.log:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(numticks=_TICKS))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(_TICKS))
        axes.ticklabel_format(axis="x", useOffset=False)
    ends = scale(np.array([low, high]))
    room = 0.05 * np.ptp(ends) or 0.5 * max(abs(ends[0]), 1.0) * 1e-3
    edges = np.linspace(ends[0] - room, ends[1] + room, _BINS + 1)
    drawn = np.exp(edges) if scale is np.log else edges
    axes.stairs(_heights(scale, draws, edges), drawn, fill=True, color=BLUE, alpha=0.55)
    if before is not None:
        inside = before[np.isfinite(before) & ((before > 0) | (scale is not np.log))]
        axes.stairs(_heights(scale, inside, edges, before.size), drawn, color=INK, linewidth=1.2)
    return None


def _heights(scale, draws, edges, number=None):
    """Share of draws in each bin."""
    return np.histogram(scale(draws), edges)[0] / max(draws.size if number is None else number, 1)

"""The picture of a posterior over weights of features."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from .summaries import weight_table

_INK, _MUTED, _BLUE, _RED = "#1f2933", "#7b8794", "#2a6f97", "#c1443c"


def plot_weights(posterior: xr.DataTree, most: int = 25) -> Figure:
    """Weights over the largest one of each draw: posterior mean and the middle 90 % of draws, of `most` features."""
    table = weight_table(posterior)
    kept = table["weight"].abs().sort_values(ascending=False).index[:most]
    shown = table.loc[sorted(kept)].reset_index(drop=True)
    draws = posterior["posterior"].dataset
    weights = draws["weights"].values.reshape(-1, draws.sizes["weight"])
    weights = weights / np.maximum(np.abs(weights).max(-1, keepdims=True), np.finfo(float).tiny)
    place = {str(name): i for i, name in enumerate(draws["weight"].values)}
    low, high = np.quantile(weights[:, [place[name] for name in shown["feature"]]], [0.05, 0.95], axis=0)

    figure = Figure(figsize=(7.2, 1.0 + 0.28 * len(shown)), layout="constrained")
    axes, rows = figure.subplots(), np.arange(len(shown))
    colours = [_BLUE if weight >= 0 else _RED for weight in shown["weight"]]
    axes.hlines(rows, low, high, colors=colours, alpha=0.45, linewidth=3)
    axes.scatter(shown["weight"], rows, color=colours, s=22, zorder=3)
    axes.axvline(0, color=_MUTED, linewidth=0.8)
    axes.set(xlim=(-1.08, 1.08), ylim=(len(shown) - 0.4, -0.6), xlabel="weight, over the largest of the draw")
    axes.set_yticks(rows, shown["feature"], fontsize=9)
    if len(table) > len(shown):
        axes.set_title(f"{len(table) - len(shown)} others with smaller weights", fontsize=8, color=_MUTED, loc="right")
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_MUTED)
    axes.tick_params(colors=_INK, labelsize=8.5)
    return figure

"""The picture of a path: which utility is likeliest as intelligence counts for more."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from .beta_path import takeovers
from .laws import LN2
from .picture_style import CHAINS, INK, MUTED, plain, title

_REST = "#c3cad2"
_COLOURS = tuple(colour for colour in CHAINS if colour != MUTED)
_TICKS = (0.0, 0.25, *(1 - 0.5**k for k in range(1, 11)))


def plot_law_path(path: xr.Dataset, label: int = 6) -> Figure:
    """Posterior probability along beta, of what `law_path` returns, with one standard error as a band.

    The `label` utilities that are the likeliest somewhere or come nearest to it have colours; all others are grey.
    Marks and dotted lines show where one takes over (`takeovers`). Halving the distance of beta to 1 takes the same
    room everywhere: above it stand the bits that operators have on average.
    """
    betas, probability = path["beta"].values, path["probability"].values
    error, names = path["probability_error"].values, path["utility"].values.astype(str)
    crossings = takeovers(path)
    shown = _shown(probability, label)
    figure = Figure(figsize=(8.4, 4.4), layout="constrained")
    axes = figure.subplots()
    across = _halvings(betas)
    rest = [u for u in range(len(names)) if u not in set(shown)]
    axes.plot(across, probability[:, rest], color=_REST, linewidth=0.8, zorder=2)
    for place, u in enumerate(shown):
        colour = _COLOURS[place % len(_COLOURS)]
        low, high = probability[:, u] - error[:, u], probability[:, u] + error[:, u]
        axes.fill_between(across, np.maximum(low, 0), np.minimum(high, 1), color=colour, alpha=0.2, linewidth=0)
        axes.plot(across, probability[:, u], color=colour, linewidth=1.8, label=title(names[u]), zorder=3)
    if rest:
        axes.plot([], [], color=_REST, linewidth=0.8, label=f"{len(rest)} other{'s' if len(rest) > 1 else ''}")
    for row in crossings.itertuples():
        middle = _halvings(row.beta)
        axes.vlines(middle, 0, row.probability, color=MUTED, linewidth=0.9, linestyle=":", zorder=1)
        span = np.clip([row.beta - row.beta_error, row.beta + row.beta_error], betas[0], betas[-1])
        axes.hlines(row.probability, *_halvings(span), color=INK, linewidth=1.0, zorder=4)
        axes.scatter(middle, row.probability, s=18, color="white", edgecolors=INK, linewidths=1.0, zorder=5)

    axes.set(xlim=(across[0], across[-1]), ylim=(0, 1.05 * float((probability + error)[:, shown].max())))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_ylabel("posterior probability")
    axes.set_xlabel("beta: how many times likelier, in powers of 2, a bit makes an operator")
    ticks = np.array([tick for tick in _TICKS if betas[0] <= tick <= betas[-1]])
    axes.set_xticks(_halvings(ticks), [f"{tick:.3g}" for tick in ticks])
    plain(axes)
    above = axes.secondary_xaxis("top")
    above.set_xticks(_halvings(ticks), [f"{bits:.3g}" for bits in 1 / (LN2 * (1 - ticks))])
    above.set_xlabel("mean intelligence of operators under the law (bits)", fontsize=8.5, color=MUTED)
    above.tick_params(colors=MUTED, labelsize=8, length=2)
    above.spines["top"].set_visible(False)
    figure.legend(loc="outside right upper", frameon=False, fontsize=8.5)
    figure.supxlabel(_note(path, len(crossings)), fontsize=8, color=MUTED)
    return figure


def _shown(probability, label):
    """Utilities in the order in which they are at their likeliest; those first that lead somewhere."""
    nearest = (probability / probability.max(1, keepdims=True)).max(0)
    order = np.lexsort((-probability.max(0), -nearest))[:label]
    return sorted(order, key=lambda u: int(probability[:, u].argmax()))


def _note(path, number):
    told = f"{number} takeover{'s' if number != 1 else ''}; bands and bars: one standard error"
    share = float((path["beyond"] * path["probability"]).sum("utility").max())
    if share > 0.05:
        told += f"; up to {share:.0%} of the evidence is extrapolated beyond the value tails"
    return told


def _halvings(beta):
    """How often the distance to 1 has been halved."""
    return -np.log2(np.maximum(1 - beta, 1e-9))

"""The picture of power-scaling: what other weights on simplicity and intelligence would have found."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from .diagnostics import most_pareto_k
from .errors import InputError
from .laws import ExponentialLaw, IntelligenceLaw
from .picture_style import CHAINS, FAINT, INK, MUTED, plain, title
from .posterior import utility_table
from .power_scaling import power_scaled, why_not
from .recorded_law import recorded_law

_FACTORS = 2.0 ** np.linspace(-1, 1, 17)
_COLOURS = tuple(colour for colour in CHAINS if colour != MUTED)


def plot_sensitivity(
    posterior: xr.DataTree, label: int = 5, *, intelligence_law: IntelligenceLaw | None = None
) -> Figure:
    """Probability of the `label` likeliest utilities with the weights halved to doubled, by `power_scaled`.

    Left: simplicity alpha, exact given the draws. Right: beta, or the power of a law that has none; its lines end where
    the law is improper, or the Pareto k of the importance weights is too large. Without a right side where intelligence
    cannot be power-scaled. Bands are one standard error.
    """
    names = list(utility_table(posterior)["utility"][:label])
    places = [list(posterior["posterior"]["utility"].values.astype(str)).index(name) for name in names]
    simplicity = float(posterior["posterior"].attrs.get("simplicity", 1.0))
    law = recorded_law(posterior) if intelligence_law is None else intelligence_law
    sides = []
    if simplicity > 0:
        sides.append(("simplicity", simplicity, "weight on simplicity, alpha"))
    if intelligence_law is not None or why_not(posterior) is None:
        beta = law.beta if isinstance(law, ExponentialLaw) else 1.0
        what = "weight on intelligence, beta" if isinstance(law, ExponentialLaw) else "power of the intelligence law"
        sides.append(("intelligence", float(beta), what))
    if not sides:
        raise InputError("simplicity is 0 and intelligence cannot be power-scaled: there is no weight to vary")
    figure = Figure(figsize=(3.2 + 2.7 * len(sides), 3.5), layout="constrained")
    cut = False
    panels = figure.subplots(1, len(sides), sharey=True, squeeze=False)[0]
    for axes, (which, own, what) in zip(panels, sides, strict=True):
        told = _told(posterior, which, intelligence_law)
        across = own * np.array([factor for factor, _ in told])
        probability, error = (np.array([getattr(of, name)[places] for _, of in told]) for name in _PARTS)
        axes.axvline(own, color=FAINT, linewidth=1.2, zorder=1)
        for u, name in enumerate(names):
            colour, middle = _COLOURS[u % len(_COLOURS)], probability[:, u]
            low, high = np.maximum(middle - error[:, u], 0), np.minimum(middle + error[:, u], 1)
            axes.fill_between(across, low, high, color=colour, alpha=0.2, linewidth=0)
            axes.plot(across, middle, color=colour, linewidth=1.7, label=title(name))
            axes.scatter(own, middle[across == own], color=colour, s=16, zorder=4)
        axes.set_xscale("log", base=2)
        ticks = own * 2.0 ** np.arange(-1, 1.5, 0.5)
        ticks = ticks[(ticks > across[0] / 1.01) & (ticks < across[-1] * 1.01)]
        axes.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
        axes.minorticks_off()
        axes.set(xlabel=what, xlim=(across[0] / 1.03, across[-1] * 1.03))
        cut |= len(told) < len(_FACTORS)
        plain(axes)
    panels[0].set_ylabel("posterior probability")
    panels[0].yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    panels[0].set_ylim(0, min(1.02, 1.05 * max(axes.get_ylim()[1] for axes in panels)))
    handles, texts = panels[0].get_legend_handles_labels()
    if cut:
        note = "Lines end where the law is improper, or the draws no longer tell (Pareto k)"
        figure.supxlabel(note, fontsize=8, color=MUTED)
    figure.legend(handles, texts, loc="outside right upper", frameon=False, fontsize=8.5, labelcolor=INK)
    return figure


_PARTS = ("probability", "std_error")


def _told(posterior, which, law):
    """Factors and what `power_scaled` says there, from 1 on outwards as far as it can be trusted."""
    told, sizes = {}, posterior["posterior"].sizes
    most = most_pareto_k(sizes["chain"] * sizes["draw"])
    for factors in (_FACTORS[_FACTORS >= 1], _FACTORS[_FACTORS < 1][::-1]):
        for factor in map(float, factors):
            try:
                found = power_scaled(posterior, **{which: factor}, intelligence_law=law)
            except InputError:  # improper from here on
                break
            if factor != 1 and not found.pareto_k <= most:  # not a number: no tail could be fitted
                break
            told[factor] = found
    return sorted(told.items())

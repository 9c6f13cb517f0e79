"""The surface of score over simplicity and intelligence, as a picture with its uncertainty."""

import numpy as np
from matplotlib.figure import Figure

from utiliscope.picture_style import BLUE, FAINT, INK, MUTED, RED

from .search import Scores, Setting, apart, best_setting, left_out


def plot_surface(scores: Scores, setting: Setting | None = None) -> Figure:
    """Mean ln P(true) over alpha and beta, for the concentration and the share of `setting`, by default the best one.

    The white line is where a setting is as good as the best within a standard error over families, paired; crosses are
    what is best with one family left out. Beside it the score along beta at the best alpha, with that error, and the
    bump laws'. A surface needs two values of alpha and of beta at least, else ValueError.
    """
    best = best_setting(scores.by_family) if setting is None else setting
    betas = {place: float(law.split(":")[1]) for place, law in enumerate(scores.laws.laws) if _is_exponential(law)}
    if len(betas) < 2 or len(scores.simplicities) < 2:
        raise ValueError("a surface needs at least two values of beta and of alpha")
    places = sorted(betas, key=betas.get)
    beta, alpha = np.array([betas[place] for place in places]), np.array(scores.simplicities)
    mean = scores.by_family.mean(0)
    below, error = apart(scores.by_family, best)
    shown = mean[:, best.share, best.concentration][:, places]
    near = (below - error)[:, best.share, best.concentration][:, places]

    figure = Figure(figsize=(9.2, 4.2), layout="constrained")
    surface, profile = figure.subplots(1, 2, width_ratios=(1.25, 1))
    levels = np.linspace(np.quantile(shown, 0.1), shown.max(), 15)
    filled = surface.contourf(beta, alpha, shown, levels, cmap="Blues", extend="min")
    figure.colorbar(filled, ax=surface, label="mean ln P(true), nats", format="%.2f")
    if (near > 0).any() and (near < 0).any():
        surface.contour(beta, alpha, near, [0.0], colors="white", linewidths=1.6)
    chosen = [one for one in left_out(scores) if one.law in betas]
    jitter = np.linspace(-0.012, 0.012, max(len(chosen), 2))[: len(chosen)]
    across = [betas[one.law] + shift for one, shift in zip(chosen, jitter)]
    surface.scatter(across, [alpha[one.simplicity] for one in chosen], marker="x", s=24, color=INK, linewidths=1.0)
    a, b = np.unravel_index(np.argmax(shown), shown.shape)
    surface.scatter(beta[b], alpha[a], s=60, facecolors="none", edgecolors=RED, linewidths=1.8, zorder=5)
    surface.set(xlabel="beta, weight on intelligence", ylabel="alpha, weight on simplicity")
    surface.set_title("○ best   × one family left out   — within an error", fontsize=8.5, color=MUTED, loc="left")

    height = shown[a]
    spread = error[a, best.share, best.concentration][places]
    profile.fill_between(beta, height - spread, height + spread, color=FAINT, linewidth=0)
    profile.plot(beta, height, color=BLUE, marker="o", markersize=3.5)
    profile.set(xlabel="beta", ylabel="mean ln P(true), nats")
    profile.set_title(
        f"alpha = {alpha[a]:g}; error of the distance from the best", fontsize=8.5, color=MUTED, loc="left"
    )
    bumps = [place for place, law in enumerate(scores.laws.laws) if not _is_exponential(law)]
    if bumps:
        over = mean[:, best.share, best.concentration][:, bumps]
        a, place = np.unravel_index(np.argmax(over), over.shape)
        profile.axhline(over[a, place], color=RED, linewidth=1.0, linestyle="--")
        name = f"best bump: {scores.laws.laws[bumps[place]]}, alpha = {alpha[a]:g}"
        profile.annotate(
            name, (beta[0], over[a, place]), xytext=(2, 3), textcoords="offset points", fontsize=8, color=RED
        )
    for axes in (surface, profile):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=INK, labelsize=8.5)
    note = f"concentration {scores.laws.concentrations[best.concentration]:g}, share of random operators "
    figure.supxlabel(note + f"{scores.shares[best.share]:g}; {len(scores.families)} families", fontsize=8, color=MUTED)
    return figure


def _is_exponential(law) -> bool:
    return law.startswith("exponential")

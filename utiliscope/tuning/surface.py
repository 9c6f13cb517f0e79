"""The surface of score over simplicity and intelligence, as a picture with its uncertainty."""

from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from utiliscope.picture_style import BLUE, FAINT, INK, MUTED, RED

from .search import Scores, Setting, best_setting


class Surface(NamedTuple):
    """Scores of `F` families over `A` alphas and `B` rising betas, at one concentration and share: `[F, A, B]` nats."""

    alpha: np.ndarray
    beta: np.ndarray
    by_family: np.ndarray

    @property
    def best(self) -> tuple[int, int]:
        """The place of the greatest mean over families."""
        return _best(self.by_family)

    def left_out(self) -> list[tuple[int, int]]:
        """What is best on the surface without each family."""
        return [_best(np.delete(self.by_family, place, axis=0)) for place in range(len(self.by_family))]

    def below(self):
        """`[A, B]` how far each mean is below the best one, and its standard error over families, paired."""
        distance = self.by_family[(slice(None), *self.best)][:, None, None] - self.by_family
        return distance.mean(0), distance.std(0, ddof=1) / np.sqrt(len(distance))


def surface_of(scores: Scores, setting: Setting | None = None) -> Surface:
    """The exponential laws at the concentration and the share of `setting`, by default of the best setting of all.

    Raises ValueError for fewer than two values of alpha or of beta.
    """
    at = best_setting(scores.by_family) if setting is None else setting
    betas = {place: float(law.split(":")[1]) for place, law in enumerate(scores.laws.laws) if _is_exponential(law)}
    if len(betas) < 2 or len(scores.simplicities) < 2:
        raise ValueError("a surface needs at least two values of beta and of alpha")
    places = sorted(betas, key=betas.get)
    by_family = scores.by_family[:, :, at.share, at.concentration][..., places]
    return Surface(np.array(scores.simplicities), np.array([betas[place] for place in places]), by_family)


def plot_surface(scores: Scores, setting: Setting | None = None) -> Figure:
    """Mean ln P(true) over alpha and beta, for the concentration and the share of `setting`, by default the best one.

    Inside the white line a setting is as good as the best of the surface within a standard error over families,
    paired; crosses are what is best with one family left out. Beside it the score along beta at the best alpha, with
    that error, and the best of the bump laws. Raises ValueError for fewer than two values of alpha or of beta.
    """
    at = best_setting(scores.by_family) if setting is None else setting
    found = surface_of(scores, at)
    figure = Figure(figsize=(9.2, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    filled = _draw_surface(left, found)
    figure.colorbar(filled, ax=left, label="mean ln P(true), nats", format="%.2f")
    _draw_profile(right, found)
    _draw_bump(right, scores, at)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=INK, labelsize=8.5)
    note = f"concentration {scores.laws.concentrations[at.concentration]:g}, share of random operators "
    figure.supxlabel(note + f"{scores.shares[at.share]:g}; {len(scores.families)} families", fontsize=8, color=MUTED)
    return figure


def _draw_surface(axes, found):
    mean, (below, error) = found.by_family.mean(0), found.below()
    levels = np.linspace(np.quantile(mean, 0.1), mean.max(), 15)
    filled = axes.contourf(found.beta, found.alpha, mean, levels, cmap="Blues", extend="min")
    near = below - error
    near[found.best] = near.min() - 1e-6  # without an error of its own
    axes.contour(found.beta, found.alpha, near, [0.0], colors="white", linewidths=1.6)
    chosen = found.left_out()
    # Crosses at one place lie beside each other.
    aside = np.linspace(-0.012, 0.012, len(chosen)) * np.ptp(found.beta)
    across = [found.beta[b] + shift for (_, b), shift in zip(chosen, aside)]
    crosses = dict(marker="x", s=24, color=INK, linewidths=1.0, clip_on=False, zorder=4)
    axes.scatter(across, [found.alpha[a] for a, _ in chosen], **crosses)
    a, b = found.best
    ring = dict(s=70, facecolors="none", edgecolors=RED, linewidths=1.8, clip_on=False, zorder=5)
    axes.scatter(found.beta[b], found.alpha[a], **ring)
    axes.set(xlabel="beta, weight on intelligence", ylabel="alpha, weight on simplicity")
    axes.set_title("○ best   × one family left out   white: within an error", fontsize=8.5, color=MUTED, loc="left")
    return filled


def _draw_profile(axes, found):
    a, _ = found.best
    height, spread = found.by_family.mean(0)[a], found.below()[1][a]
    axes.fill_between(found.beta, height - spread, height + spread, color=FAINT, linewidth=0)
    axes.plot(found.beta, height, color=BLUE, marker="o", markersize=3.5)
    axes.set(xlabel="beta", ylabel="mean ln P(true), nats")
    title = f"alpha = {found.alpha[a]:g}; band: error of the distance"
    axes.set_title(title, fontsize=8.5, color=MUTED, loc="left")
    axes.margins(y=0.12)


def _draw_bump(axes, scores, at):
    bumps = [place for place, law in enumerate(scores.laws.laws) if not _is_exponential(law)]
    if not bumps:
        return
    over = scores.by_family.mean(0)[:, at.share, at.concentration][:, bumps]
    a, place = np.unravel_index(np.argmax(over), over.shape)
    axes.axhline(over[a, place], color=RED, linewidth=1.0, linestyle="--")
    name = f"best bump: {scores.laws.laws[bumps[place]]}, alpha = {scores.simplicities[a]:g}"
    axes.annotate(
        name, (0.02, over[a, place]), xycoords=("axes fraction", "data"), xytext=(0, -4), textcoords="offset points",
        fontsize=8, color=RED, va="top",
    )  # fmt: skip


def _best(by_family) -> tuple[int, int]:
    mean = by_family.mean(0)
    a, b = np.unravel_index(np.argmax(mean), mean.shape)
    return int(a), int(b)


def _is_exponential(law) -> bool:
    return law.startswith("exponential")

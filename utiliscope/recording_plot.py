"""The picture of a recording: where it went in the world, and how often."""

import numpy as np
import xarray as xr
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import CSS4_COLORS, LinearSegmentedColormap, PowerNorm, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

_INK, _MUTED, _LINK, _WALL = "#1f2933", "#7b8794", "#cfd6dd", "#3e4c59"
_FEATURES = ("#c1443c", "#4f9d69", "#9a5fa8", "#e09f3e", "#3fa7a3", "#b5838d", "#6b705c", "#d16ba5")
_VISITS = LinearSegmentedColormap.from_list("visits", ["#ffffff", "#d3e4ef", "#8fb8d3", "#4a8db7", "#1d5b86"])
_HALO = [withStroke(linewidth=2.4, foreground="white")]
# More marks than these would be ink, not information.
_MOST_FEATURES, _MOST_LABELS, _MOST_STARTS = 8, 3, 12


def plot_recording(posterior: xr.DataTree) -> Figure:
    """The recording drawn on its world.

    States are coloured by visits, and arrows are as wide as their moves are frequent (width goes with the square
    root). Features and the starts of episodes are marked. States lie where the world's `xy` puts them, on squares
    if that is a grid, else where springs along the moves pull them.
    """
    constant, observed = posterior["constant_data"].dataset, posterior["observed_data"].dataset
    number = constant.sizes["state"]
    moves = np.asarray(constant["moves"].values, int).reshape(-1, 2)
    moves = moves[moves[:, 0] != moves[:, 1]]
    xy = np.asarray(constant["xy"].values, float) if "xy" in constant else spring_layout(number, moves)
    visits, taken, starts = _travelled(observed, number, moves)
    grid = _grid_step(xy, moves)
    unit = grid or _typical_length(xy, moves)

    span = np.maximum(np.ptp(xy, axis=0), unit) + 1.4 * unit
    # Small worlds need no large picture.
    most = np.clip(0.95 * span.max() / unit, 3.6, 6.4) if grid else 6.4
    width = np.clip(most * np.sqrt(span[0] / span[1]), 3.2, 8.4)
    figure = Figure(figsize=(width + 1.5, np.clip(width * span[1] / span[0], 2.6, 8.0) + 0.4), layout="constrained")
    axes = figure.subplots()
    norm = PowerNorm(0.5, 0, max(visits.max(), 1))
    if grid:
        _draw_grid(axes, xy, grid, moves, visits, norm)
        others = moves[np.abs(xy[moves[:, 0]] - xy[moves[:, 1]]).max(-1) > 1.01 * grid]
    else:
        others = moves
    _draw_links(axes, xy, others)
    if not grid:
        size = _node_area(figure, span, unit)
        crowd = (0.35 + 0.65 * np.sqrt(visits / max(visits.max(), 1))) * size
        axes.scatter(*xy.T, s=crowd, c=visits, cmap=_VISITS, norm=norm, edgecolors=_MUTED, linewidths=0.7, zorder=3)
    _draw_arrows(axes, xy, taken, unit, reach=1.0 if grid else 0.86)
    handles = _draw_features(axes, constant, xy, unit, bool(grid), 0 if grid else _node_area(figure, span, unit))
    handles += _draw_starts(axes, xy, starts, unit, bool(grid))

    axes.set_aspect("equal")
    margin = 0.7 * unit
    (left, low), (right, high) = xy.min(0) - margin, xy.max(0) + margin
    axes.set(xlim=(left, right), ylim=(low, high))
    axes.set_axis_off()
    bar = figure.colorbar(ScalarMappable(norm, _VISITS), ax=axes, shrink=0.6, pad=0.02, aspect=24)
    bar.set_label("visits", fontsize=8.5, color=_INK)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)
    if handles:
        columns = min(len(handles), 4)
        figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=8.5)
    return figure


def spring_layout(number: int, moves: np.ndarray, rounds: int = 200) -> np.ndarray:
    """`[S, 2]` places: linked states pull and all push, from a circle on (Fruchterman-Reingold)."""
    angle = 2 * np.pi * np.arange(number) / max(number, 1)
    xy = np.column_stack([np.cos(angle), np.sin(angle)])
    if number < 3 or number > 600 or len(moves) == 0:
        return xy
    linked = np.zeros((number, number))
    linked[moves[:, 0], moves[:, 1]] = linked[moves[:, 1], moves[:, 0]] = 1.0
    ideal = 2 / np.sqrt(number)
    for step in range(rounds):
        apart = xy[:, None] - xy[None]
        distance = np.maximum(np.linalg.norm(apart, axis=-1), 1e-3)
        strength = ideal**2 / distance**2 - linked * distance / ideal
        push = np.einsum("ijk,ij->ik", apart, strength)
        length = np.maximum(np.linalg.norm(push, axis=-1, keepdims=True), 1e-9)
        xy = xy + push / length * np.minimum(length, 0.15 * (1 - step / rounds))
    return xy


def _travelled(observed, number, moves):
    """`[S]` visits, `[S, S]` moves seen within episodes, and the states where episodes start."""
    state, episode = observed["state_visited"].values.astype(int), observed["episode"].values
    visits = np.bincount(state, minlength=number)
    new = np.append(True, episode[1:] != episode[:-1])
    if "next_state" in observed:
        following = observed["next_state"].values.astype(int)
        known = following >= 0
        last = np.append(new[1:], True) & known
        visits = visits + np.bincount(following[last], minlength=number)
    else:
        # A recording that was cut by a filter has neighbours that no move joins.
        following, known = np.append(state[1:], 0), np.append(~new[1:], False)
    taken = np.zeros((number, number))
    np.add.at(taken, (state[known], following[known]), 1.0)
    possible = np.zeros((number, number), bool)
    possible[moves[:, 0], moves[:, 1]] = True
    return visits, np.where(possible, taken, 0.0), np.unique(state[new])


def _grid_step(xy, moves) -> float:
    """The side of a cell where states lie on a square grid and nearly all moves go to neighbours; else 0."""
    if len(xy) < 2 or len(moves) == 0:
        return 0.0
    lengths = np.abs(xy[moves[:, 0]] - xy[moves[:, 1]]).max(-1)
    step = float(lengths.min())
    if step <= 0:
        return 0.0
    places = (xy - xy.min(0)) / step
    on_grid = np.abs(places - np.round(places)).max() < 1e-6
    distinct = len(np.unique(np.round(places), axis=0)) == len(xy)
    return step if on_grid and distinct and np.mean(lengths <= 1.01 * step) >= 0.9 else 0.0


def _typical_length(xy, moves) -> float:
    lengths = np.linalg.norm(xy[moves[:, 0]] - xy[moves[:, 1]], axis=-1)
    lengths = lengths[lengths > 0]
    return float(np.quantile(lengths, 0.25)) if len(lengths) else max(float(np.ptp(xy)), 1.0)


def _node_area(figure, span, unit) -> float:
    """Area in points^2 of a node of about half a typical move."""
    width, height = figure.get_size_inches()
    points = 72 * min((width - 1.5) / span[0], height / span[1]) * unit
    return float(np.clip((0.55 * points) ** 2, 14, 700))


def _draw_grid(axes, xy, step, moves, visits, norm):
    """Cells as squares on a dark ground, and a wall where neighbours have no move between them."""
    low, size = xy.min(0) - step / 2, np.ptp(xy, axis=0) + step
    axes.add_patch(Rectangle(low, *size, facecolor="#c3ccd5", linewidth=0, zorder=0.5))
    corners = 0.5 * step * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    cells = PolyCollection(xy[:, None] + corners, array=visits, cmap=_VISITS, norm=norm, edgecolors="#c3ccd5")
    cells.set(linewidth=0.6, zorder=1)
    axes.add_collection(cells)
    at = {tuple(np.round(place / step).astype(int)): state for state, place in enumerate(xy - xy.min(0))}
    linked = {tuple(sorted(move)) for move in moves.tolist()}
    walls = []
    for (column, row), state in at.items():
        for right, up in ((1, 0), (0, 1), (-1, 0), (0, -1)):
            other = at.get((column + right, row + up))
            if other is None or tuple(sorted((state, other))) not in linked:
                middle, along = np.array([right, up]) / 2, np.array([up, right]) / 2
                walls.append([xy[state] + step * (middle - along), xy[state] + step * (middle + along)])
    axes.add_collection(LineCollection(walls, colors=_WALL, linewidths=1.8, capstyle="projecting", zorder=2))


def _draw_links(axes, xy, moves):
    pairs = np.unique(np.sort(moves, axis=-1), axis=0) if len(moves) else moves
    axes.add_collection(LineCollection(xy[pairs], colors=_LINK, linewidths=0.8, zorder=1))


def _draw_arrows(axes, xy, taken, unit, reach):
    """One arrow for each move taken, to the right of the line so that the way back has its own."""
    origins, ends = np.nonzero(taken)
    if len(origins) == 0:
        return
    count = taken[origins, ends]
    size = np.sqrt(count / count.max())
    start, end = xy[origins], xy[ends]
    length = np.linalg.norm(end - start, axis=-1, keepdims=True)
    along = (end - start) / np.maximum(length, 1e-12)
    aside = np.column_stack([along[:, 1], -along[:, 0]])
    half = (0.012 + 0.06 * size[:, None]) * unit
    head, wide = np.minimum(3.2 * half + 0.04 * unit, 0.4 * length), 1.9 * half + 0.02 * unit
    shift = aside * 0.11 * unit
    gap = np.minimum(0.2 * unit / reach, 0.3 * length)
    tail, tip = start + along * gap + shift, end - along * gap + shift
    neck = tip - along * head
    outline = [tail + aside * half, neck + aside * half, neck + aside * wide, tip]
    outline += [neck - aside * wide, neck - aside * half, tail - aside * half]
    order = np.argsort(count)
    arrows = PolyCollection(np.stack(outline, axis=1)[order], facecolors=_INK, linewidths=0, zorder=4)
    arrows.set_alpha(0.35 + 0.5 * size[order])
    axes.add_collection(arrows)


def _draw_features(axes, constant, xy, unit, grid, node_area):
    """Sets of states as frames or rings, named on the spot where they are few; amounts are not drawn."""
    handles, placed = [], np.zeros(len(xy))
    features = constant["features"]
    for name, values in zip(features["feature"].values.astype(str), features.values, strict=True):
        inside = np.flatnonzero(values == 1)
        if not np.isin(values, (0, 1)).all() or len(inside) == 0 or len(handles) == _MOST_FEATURES:
            continue
        colour = _colour(name, len(handles))
        if grid:
            half = (0.45 - 0.065 * placed[inside, None, None]) * unit
            corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
            frames = PolyCollection(xy[inside, None] + half * corners, facecolors="none", edgecolors=colour)
            frames.set(linewidth=2.2, zorder=3)
            axes.add_collection(frames)
        else:
            ring = node_area * (1.15 + 0.55 * placed[inside])
            axes.scatter(*xy[inside].T, s=ring, facecolors="none", edgecolors=colour, linewidths=1.5, zorder=5)
        if len(inside) <= _MOST_LABELS:
            for state in inside:
                # Names of one place stand above one another.
                up = 0.28 - 0.22 * placed[state] if grid else 0.5 + 0.42 * placed[state]
                side = -0.38 if grid else 0.0
                place = xy[state] + unit * np.array([side, up])
                text = axes.text(*place, name, color=colour, fontsize=9, fontweight="bold", zorder=7)
                text.set(ha="left" if grid else "center", va="center", path_effects=_HALO)
        placed[inside] += 1
        marker = "s" if grid else "o"
        style = dict(linestyle="none", markerfacecolor="none", markeredgewidth=2, markersize=8)
        states = f"{len(inside)} states" if len(inside) > 1 else "1 state"
        handles.append(Line2D([], [], marker=marker, markeredgecolor=colour, label=f"{name} ({states})", **style))
    return handles


def _colour(name, place):
    """A feature that is called after a colour has it, darkened where it would not show on white."""
    if name.lower() not in CSS4_COLORS:
        return _FEATURES[place]
    rgb = np.array(to_rgb(name.lower()))
    brightness = rgb @ [0.3, 0.59, 0.11]
    return tuple(rgb * min(1.0, 0.66 / max(brightness, 1e-9)))


def _draw_starts(axes, xy, starts, unit, grid):
    style = dict(marker="D", linestyle="none", markersize=5.5, markerfacecolor="white", markeredgecolor=_INK)
    if len(starts) > _MOST_STARTS:
        return [Line2D([], [], linestyle="none", label=f"episodes start in {len(starts)} states")]
    place = xy[starts] + (unit * np.array([-0.3, -0.3]) if grid else 0.0)
    axes.plot(*place.T, markeredgewidth=1.2, zorder=6, **style)
    return [Line2D([], [], label="episodes start", **style)]

"""Pictures: they show what the table says, on any world, and leave pyplot alone."""

import io
import sys

import arviz as az
import numpy as np
import pytest
import xarray as xr

from utiliscope.diagnostics import convergence
from utiliscope.plots import (
    plot_diagnostics,
    plot_recording,
    plot_tradeoff,
    plot_utilities,
    shortened,
)
from utiliscope.recording_plot import spring_layout

ALL = [plot_utilities, plot_tradeoff, plot_recording, plot_diagnostics]


def posterior_of(world="grid", number=8, chains=2, draws=40, sampled=True, best=None, beyond=0.0) -> xr.DataTree:
    """A made-up posterior of the form that `fit` returns."""
    rng = np.random.default_rng(0)
    names = ["0", "reach(G)", 'time("a name that is much too long for a picture")']
    names = [*names, *(f"reach(f{i})" for i in range(number - 3))]
    if world == "grid":
        cells = [(c, -r) for r in range(3) for c in range(3) if (r, c) != (1, 1)]
        steps = [
            (i, j) for i, a in enumerate(cells) for j, b in enumerate(cells) if np.abs(np.subtract(a, b)).sum() <= 1
        ]
        xy = np.array(cells, float)
    else:  # a binary tree, not on squares
        steps = [(i, (i - 1) // 2) for i in range(1, 7)] + [((i - 1) // 2, i) for i in range(1, 7)]
        xy = np.array([[0, 0], [-2, 1.5], [2, 1.5], [-3, 3], [-1, 3], [1, 3], [3, 3]], float)
    size = len(xy)
    logits = np.zeros(number)
    logits[1 if best is None else best] = 4.0
    log_prob = logits + 0.3 * rng.normal(size=(chains, draws, number))
    log_prob -= np.log(np.exp(log_prob).sum(-1, keepdims=True))
    bits = np.abs(np.linspace(0, 20, number) + rng.normal(size=(chains, draws, number)))
    bits[..., 0] = 0.0
    state = np.array([0, 1, 2, 0, 1, 2]) if world == "grid" else np.array([0, 1, 3, 0, 2, 5])
    following = np.array([1, 2, 4, 1, 2, -1]) if world == "grid" else np.array([1, 3, 1, 2, 5, 2])
    features = np.zeros((3, size))
    features[0, 2] = features[1, :4] = 1.0
    features[2] = np.linspace(0, 2, size)
    constant = {"initial": np.full(size, 1 / size), "features": features, "moves": np.array(steps), "xy": xy}
    constant |= {"code_length": np.linspace(1, 9, number), "intelligence_std_error": np.full(number, 0.3)}
    constant["probability_tail_error"] = np.zeros(number)
    constant["beyond_tail"] = np.full(number, beyond) * (np.arange(number) == 1)
    groups = {
        "posterior": {
            "utility_log_prob": log_prob,
            "intelligence": bits,
            "policy": rng.random((chains, draws, size, 2)),
        },
        "observed_data": {
            "state_visited": state,
            "action_taken": np.zeros(6, int),
            "next_state": following,
            "episode": np.array([0, 0, 0, 1, 1, 1]),
        },
        "constant_data": constant,
    }
    if sampled:
        groups["sample_stats"] = {
            "lp": rng.normal(size=(chains, draws)),
            "energy": rng.normal(size=(chains, draws)),
            "diverging": np.arange(chains * draws).reshape(chains, draws) == 3,
        }
    dims = {"utility_log_prob": ["utility"], "intelligence": ["utility"], "policy": ["state", "action"]}
    dims |= {"features": ["feature", "state"], "moves": ["move", "end"], "xy": ["state", "axis"], "initial": ["state"]}
    dims |= {name: ["decision"] for name in groups["observed_data"]}
    dims |= {
        name: ["utility"]
        for name in (
            *constant.keys() & {"code_length", "intelligence_std_error", "probability_tail_error", "beyond_tail"},
        )
    }
    tree = az.from_dict(groups, dims=dims, coords={"utility": names, "feature": ["G", "blue", "height"]})
    tree["posterior"].attrs.update(
        policy_prior="Dirichlet(concentration=1.0)",
        intelligence_law="ExponentialLaw(beta=0.8)",
        reading="policy" if sampled else "achieved",
        program="candidates" if sampled else "achieved",
        simplicity=1.0,
        seed=0,
        num_particles=64,
    )
    if sampled:
        tree["posterior"].attrs.update(max_rhat=1.004, min_ess=812.3, num_divergences=0)
    tree["constant_data"].attrs.update(discount=0.9, horizon=0)
    return tree


def without(tree, group, *names):
    kept = {name: node.dataset for name, node in tree.children.items()}
    kept[group] = kept[group].drop_vars(names)
    return xr.DataTree.from_dict(kept)


def renamed(tree, names):
    """`tree` with other utilities' names."""
    groups = {name: node.dataset for name, node in tree.children.items()}
    for name, group in groups.items():
        if "utility" in group.dims:
            groups[name] = group.assign_coords(utility=list(names))
    return xr.DataTree.from_dict(groups)


def texts(figure):
    artists = [text for axes in figure.axes for text in axes.texts + axes.get_yticklabels()]
    titles = [axes.get_title(side) for axes in figure.axes for side in ("left", "center", "right")]
    legends = [text for legend in figure.legends for text in legend.get_texts()]
    return [text.get_text() for text in artists + figure.texts + legends] + titles


SETTINGS = [{}, {"number": 40}, {"sampled": False}, {"chains": 1}, {"best": 0}, {"beyond": 0.5}]


def is_fast(settings, world, plot):
    """Only the recording is drawn by what the world is like, and hardly by anything else."""
    return (world == "tree" and not settings) or (plot is plot_recording) == (world == "tree")


@pytest.mark.parametrize(
    ("settings", "world", "plot"),
    [
        pytest.param(*case, marks=[] if is_fast(*case) else pytest.mark.slow)
        for case in [(settings, world, plot) for settings in SETTINGS for world in ("grid", "tree") for plot in ALL]
    ],
)
def test_every_picture_can_be_drawn(plot, world, settings):
    buffer = io.BytesIO()
    plot(posterior_of(world, **settings)).savefig(buffer, format="png", dpi=60)
    assert buffer.getvalue().startswith(b"\x89PNG")


def test_pictures_leave_pyplot_alone():
    for plot in ALL:
        plot(posterior_of())
    if "matplotlib.pyplot" in sys.modules:
        assert sys.modules["matplotlib.pyplot"].get_fignums() == []


def test_utilities_are_named_with_their_probability():
    tree = posterior_of(number=20)
    shown = texts(plot_utilities(tree, most=10))
    chance = float(np.exp(tree["posterior"]["utility_log_prob"].values).mean((0, 1))[1])
    assert "reach(G)" in shown and f"{100 * chance:.0f} %" in shown
    assert any(text.startswith("10 others, together ") for text in shown)
    assert "0 (no goal)" in texts(plot_utilities(posterior_of(best=0)))
    assert all(len(text) <= 40 for text in shown)


def test_long_names_keep_both_ends():
    assert shortened("reach(G)") == "reach(G)"
    cut = shortened("time(beginning" + "x" * 50 + "the end)")
    assert cut.startswith("time(beginning") and cut.endswith("the end)") and len(cut) <= 34


def test_tradeoff_labels_do_not_overlap():
    figure = plot_tradeoff(posterior_of(number=12))
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 6
    for index, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[:index])


def test_equal_weights_have_the_slope_of_the_law():
    tree = posterior_of()
    tree["posterior"].attrs.update(simplicity=0.5, intelligence_law="ExponentialLaw(beta=0.25)")
    slopes = {line.get_slope() for line in plot_tradeoff(tree).axes[0].lines if hasattr(line, "get_slope")}
    assert slopes == {2.0}
    tree["posterior"].attrs["intelligence_law"] = "DensityLaw(density=Gamma(concentration=2.0, rate=0.1))"
    assert not any(hasattr(line, "get_slope") for line in plot_tradeoff(tree).axes[0].lines)


def test_recording_names_features_and_counts_visits():
    figure = plot_recording(posterior_of())
    shown = texts(figure)
    assert "G" in shown and "G (1 state)" in shown and "blue (4 states)" in shown and "episodes start" in shown
    assert not any("height" in text for text in shown)
    cells = figure.axes[0].collections[0]
    # Two episodes of three decisions; the first also ends somewhere, in state 4.
    np.testing.assert_array_equal(cells.get_array(), [2, 2, 2, 0, 1, 0, 0, 0])


def test_recording_without_places_or_next_states():
    tree = without(without(posterior_of("tree"), "constant_data", "xy"), "observed_data", "next_state")
    figure = plot_recording(tree)
    figure.draw_without_rendering()
    assert "episodes start" in texts(figure)


def test_springs_keep_states_apart():
    moves = np.array([(i, (i + 1) % 6) for i in range(6)])
    xy = spring_layout(6, moves)
    apart = np.linalg.norm(xy[:, None] - xy[None], axis=-1)[~np.eye(6, dtype=bool)]
    assert np.isfinite(xy).all() and apart.min() > 0.2
    np.testing.assert_array_equal(xy, spring_layout(6, moves))


def test_convergence_agrees_with_arviz():
    tree = posterior_of()
    rhat, ess = convergence(tree)
    policy = az.rhat(tree["posterior"].dataset[["policy"]])["policy"].values.ravel()
    assert np.isin(np.round(policy, 9), np.round(rhat, 9)).all()
    assert len(rhat) == len(ess) == 8 + 7 + 8 * 2  # log probabilities, bits that vary, policy


def test_no_sampler_no_diagnostics():
    assert any("summed exactly" in text for text in texts(plot_diagnostics(posterior_of(sampled=False))))

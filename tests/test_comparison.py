"""Two methods on the same recordings, against differences by hand."""

import io
import itertools

import numpy as np
import pandas as pd
import pytest

from utiliscope.errors import InputError
from utiliscope.suite.comparison import best_of, versus
from utiliscope.suite.pictures import plot_false_discoveries, plot_lengths, plot_versus


def frame_of(number=12):
    """Method "a" is ahead of "b" by 1 on agent "x", behind on "y", and neither on "z"; "c" has read x alone."""
    random, rows = np.random.default_rng(0), []
    for agent, seed in itertools.product("xyz", range(number)):
        base, noise = random.normal(scale=5), 0.3 * random.normal()
        ahead = {"x": 1.0, "y": -1.0, "z": 0.0}[agent]
        scores = {"a": base + ahead + noise, "b": base} | ({"c": base} if agent == "x" else {})
        for method, value in scores.items():
            recording = dict(world="w", agent=agent, utility="u", num_episodes=1 + 9 * (seed % 2), seed=seed)
            rows.append(recording | dict(method=method, kind="agent", log_score=value, regret=-value))
    return pd.DataFrame(rows).sample(frac=1.0, random_state=0)


def test_differences_are_paired():
    frame = frame_of()
    table = versus(frame, "a", "b").set_index("agent")
    assert table.verdict.to_dict() == {"x": "wins", "y": "loses", "z": "ties"} and set(table.recordings) == {12}
    wide = frame[frame.agent == "x"].pivot(index="seed", columns="method", values="log_score")
    apart = wide.a - wide.b
    assert table.difference["x"] == pytest.approx(apart.mean())
    # The spread of the recordings themselves, 5, is in both.
    assert table.difference_error["x"] == pytest.approx(apart.std() / np.sqrt(12)) and table.difference_error["x"] < 0.3
    assert table.ahead["x"] == (apart > 0).mean()
    turned = versus(frame, "b", "a").set_index("agent")
    np.testing.assert_allclose(turned.difference, -table.difference)
    np.testing.assert_allclose(turned.ahead, 1 - table.ahead)
    lower = versus(frame, "a", "b", score="regret").set_index("agent")
    np.testing.assert_allclose(lower.difference, table.difference)


def test_recordings_of_one_goal_are_not_independent():
    """Said ten times over, what was found in six worlds is no surer."""
    random, rows = np.random.default_rng(1), []
    for world, apart in enumerate(random.normal(size=6)):
        for seed in range(10):
            recording = dict(world=f"w{world}", agent="x", utility="u", num_episodes=1, seed=seed, kind="agent")
            rows += [recording | dict(method=name, log_score=value) for name, value in (("a", apart), ("b", 0.0))]
    often, once = (versus(pd.DataFrame(some), "a", "b") for some in (rows, [row for row in rows if row["seed"] == 0]))
    assert often.recordings[0] == 60 and once.recordings[0] == 6
    assert often.difference_error[0] == pytest.approx(once.difference_error[0]) and once.difference_error[0] > 0.1


def test_only_common_recordings_count():
    frame = frame_of()
    assert list(versus(frame, "a", "c").agent) == ["x"]
    assert versus(frame, "a", "b", by=["agent", "num_episodes"]).recordings.tolist() == [6] * 6
    assert versus(frame[frame.seed == 0], "a", "b").verdict.tolist() == ["ties"] * 3
    with pytest.raises(InputError, match="no method d"):
        versus(frame, "a", "d")
    apart = frame[np.where(frame.agent == "x", frame.method == "c", frame.method == "a")]
    with pytest.raises(InputError, match="no recording in common"):
        versus(apart, "a", "c")


def test_the_best():
    frame = frame_of()
    frame["log_score"] += np.where(frame.method == "b", 3.0, 0.0)
    assert best_of(frame, ["a", "b"]) == "b" and best_of(frame, ["d"]) is None
    frame["regret"] = -frame.log_score
    assert best_of(frame, ["a", "b"], "regret") == "b"


def test_pictures_are_drawn():
    frame = frame_of()
    axes = plot_versus(frame, "a", "b").axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["y", "z", "x"]
    plot_versus(frame.replace({"agent": {"x": "$5_or_$6_^"}}), "a", "b").savefig(io.BytesIO())
    score, regret = plot_lengths(frame).axes
    assert [text.get_text() for text in score.get_xticklabels()] == ["1", "10"] and len(regret.containers) == 3


def test_more_methods_than_colours_are_told_apart():
    """Four laws at four concentrations, with one agent after nothing: legends fit, and no two methods look alike."""
    frame = frame_of()
    frame = frame[frame.method == "b"]
    names = [f"law-{law} (dirichlet:{at})" for law in range(4) for at in (0.25, 0.5, 1, 2)]
    many = pd.concat([frame.assign(method=name, log_score=frame.log_score - m) for m, name in enumerate(names)])
    figure = plot_lengths(many)
    figure.draw_without_rendering()
    (looks, labels) = figure.axes[1].get_legend_handles_labels()
    lines = [one.lines[0] for one in looks]
    assert sorted(labels) == sorted(names)
    assert len({(one.get_color(), one.get_linestyle(), one.get_marker()) for one in lines}) == 16
    null = many[many.agent == "x"].assign(kind="null", log_score=np.nan, claimed_95=1.0)
    figure = plot_false_discoveries(null)
    figure.draw_without_rendering()
    bars = [one.patches[0] for one in figure.axes[0].containers if hasattr(one, "patches") and one.patches]
    assert len({(one.get_facecolor(), one.get_hatch()) for one in bars}) == 16

"""What is inferred beside utilities: the table against ArviZ, what is left out, the picture, and where it is told."""

import itertools

import arviz as az
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import utiliscope as us
from utiliscope.checks import check_posterior
from utiliscope.diagnostics import diagnose, problems
from utiliscope.parameters import COLUMNS, parameter_draws
from utiliscope.report import report_html


def posterior_of(sites, dims=None, coords=None, prior=None, **attributes) -> xr.DataTree:
    """A posterior of one decision in a world of two states."""
    groups = {
        "posterior": sites,
        "observed_data": {
            "state_visited": np.array([0]),
            "action_taken": np.array([0]),
            "next_state": np.array([1]),
            "episode": np.array([0]),
            "counts": np.eye(2),
        },
        "constant_data": {
            "initial": np.array([1.0, 0.0]),
            "features": np.zeros((0, 2)),
            "moves": np.array([[0, 1]]),
            "code_length": np.array([1.0, 2.0]),
        },
    }
    if prior:
        groups["prior"] = prior
    known = {"counts": ["state", "action"], "initial": ["state"], "features": ["feature", "state"]}
    known |= {"moves": ["move", "end"], "utility_log_prob": ["utility"], "code_length": ["utility"]}
    known |= {"intelligence": ["utility"] if "utility_log_prob" in sites else [], "policy": ["state", "action"]}
    known |= {name: ["decision"] for name in ("state_visited", "action_taken", "next_state", "episode")}
    names = {"state": ["a", "b"], "action": ["x", "y"], "utility": ["0", "reach(b)"], "feature": []}
    tree = az.from_dict(groups, dims=known | (dims or {}), coords=names | (coords or {}))
    tree["posterior"].attrs.update(program="mine", **attributes)
    return tree


@pytest.fixture(scope="module")
def sites():
    random = np.random.default_rng(0)
    walk = random.normal(size=(4, 250, 2)).cumsum(1) / 10 + random.normal(size=(4, 250, 2))
    return {
        "share": walk,
        "temperature": np.exp(random.normal(size=(4, 250))),
        "utility_log_prob": np.log(np.full((4, 250, 2), 0.5)),
        "intelligence": random.random((4, 250, 2)),
        "policy": random.random((4, 250, 2, 2)),
    }


def test_the_table_agrees_with_arviz(sites):
    tree = posterior_of(sites, {"share": ["where"]}, {"where": ["home", "away"]})
    table = us.parameter_table(tree)
    assert list(table["parameter"]) == ["share[home]", "share[away]", "temperature"]
    for row, draws in zip(table.itertuples(), [*np.moveaxis(sites["share"], -1, 0), sites["temperature"]], strict=True):
        assert row.median == pytest.approx(np.median(draws))
        assert row.mean == pytest.approx(draws.mean()) and row.sd == pytest.approx(draws.std())
        assert (row.low, row.high) == pytest.approx(tuple(np.quantile(draws, [0.05, 0.95])))
        assert row.std_error == pytest.approx(float(az.mcse(draws)))
        assert row.r_hat == pytest.approx(float(az.rhat(draws))) and row.ess == pytest.approx(float(az.ess(draws)))
    assert table[["prior_low", "prior_high"]].isna().all(axis=None)


def test_what_was_believed_before_stands_beside(sites):
    before = {"temperature": np.linspace(1.0, 3.0, 1000).reshape(4, 250)}
    table = us.parameter_table(posterior_of(sites, prior=before)).set_index("parameter")
    assert tuple(table.loc["temperature", ["prior_low", "prior_high"]]) == pytest.approx((1.1, 2.9))
    assert np.isnan(table.loc["share[0]", "prior_low"])
    draws = {name: other for name, _, other in parameter_draws(posterior_of(sites, prior=before), 9)}
    assert draws["temperature"] == pytest.approx(before["temperature"].ravel()) and draws["share[1]"] is None


def test_what_was_given_is_no_parameter(sites):
    given = {name: values for name, values in sites.items() if name not in ("share", "temperature")}
    given["temperature"] = np.full((4, 250), 0.3)
    table = us.parameter_table(posterior_of(given, temperature="0.3"))
    assert table.empty and tuple(table.columns) == COLUMNS
    # A number of a user's own that does not vary is told: it stands nowhere else.
    own = us.parameter_table(posterior_of(given | {"evidence": np.full((4, 250), -2.0)}, temperature="0.3"))
    assert list(own["parameter"]) == ["evidence"]
    assert own["std_error"][0] == 0 and np.isnan(own["r_hat"][0]) and np.isnan(own["ess"][0])


def test_bits_of_weights_are_a_parameter_and_those_of_utilities_are_not(sites):
    assert "intelligence" not in set(us.parameter_table(posterior_of(sites))["parameter"])
    bits = {"weights": np.ones((2, 20, 3)), "intelligence": np.random.default_rng(1).random((2, 20))}
    assert list(us.parameter_table(posterior_of(bits))["parameter"]) == ["intelligence"]


def test_few_draws_and_one_chain():
    few = us.parameter_table(posterior_of({"p": np.array([[0.1, 0.2, 0.4, 0.3]])}))
    assert few["mean"][0] == pytest.approx(0.25) and few[["r_hat", "ess"]].isna().all(axis=None)
    one = us.parameter_table(posterior_of({"p": np.random.default_rng(2).random((1, 50))}))
    assert np.isnan(one["r_hat"][0]) and one["ess"][0] > 10


def test_a_program_without_utilities_has_a_report_and_a_check(sites):
    tree = posterior_of({"p": sites["temperature"]}, prior={"p": sites["temperature"]})
    page = report_html(tree)
    assert "The program mine has no utilities to tell apart. What it infers" in page
    assert "<h2>Parameters</h2>" in page and "parameters.csv" in page and "utilities compared" not in page
    assert "<td><code>p</code></td>" in page and "Code length" not in page
    said = {one.what: one.says for one in check_posterior(tree)}
    low, middle, high = np.quantile(sites["temperature"], [0.05, 0.5, 0.95])
    assert said["parameters"] == f"p = {middle:.3g} ({low:.3g} to {high:.3g}): medians, and the middle 90 % of draws"
    with pytest.raises(us.InputError, match=r"other parameters instead of utilities: see parameter_table"):
        us.utility_table(tree)


def test_the_picture_shows_what_the_recording_told():
    random = np.random.default_rng(3)
    sites = {"narrow": 2 + 0.1 * random.normal(size=(2, 500)), "wide": np.exp(3 * random.normal(size=(2, 500)))}
    prior = {"narrow": 2 + random.normal(size=(2, 500)), "wide": np.exp(3 * random.normal(size=(2, 500)))}
    figure = us.plot_parameters(posterior_of(sites, prior=prior))
    narrow, wide = figure.axes[:2]
    assert (narrow.get_title(loc="left"), wide.get_title(loc="left")) == ("narrow", "wide")
    assert narrow.get_xscale() == "linear" and wide.get_xscale() == "log"
    told, before = (patch.get_data().values.sum() for patch in narrow.patches)
    assert told > 0.99 and 0.15 < before < 0.45  # of the prior only what lies where the posterior does
    with pytest.raises(us.InputError, match="no parameters"):
        us.plot_parameters(posterior_of({"utility_log_prob": np.log(np.full((2, 9, 2), 0.5))}))


def test_constant_and_infinite_numbers_can_be_drawn():
    sites = {"still": np.full((2, 20), 5.0), "zero": np.zeros((2, 20)), "never": np.full((2, 20), np.inf)}
    figure = us.plot_parameters(posterior_of(sites))
    assert len([axes for axes in figure.axes if axes.get_title(loc="left")]) == 3
    assert pd.notna(us.parameter_table(posterior_of(sites))["mean"]).all()


def test_carriers_are_hidden_in_our_own_programs_only():
    sites = {"error": np.random.default_rng(4).random((2, 50))}
    assert list(us.parameter_table(posterior_of(sites))["parameter"]) == ["error"]
    noisy = posterior_of(sites)
    noisy["posterior"].attrs["program"] = "noisy"
    assert us.parameter_table(noisy).empty
    noisy["posterior"].attrs["own_program"] = 1  # one that is called like ours
    assert not us.parameter_table(noisy).empty


def test_what_is_told_of_each_decision_has_no_prior():
    sites = {"surprise": np.random.default_rng(8).random((2, 50, 7))}
    table = us.parameter_table(posterior_of(sites, prior={"surprise": np.zeros((2, 50, 0))}))
    assert len(table) == 7 and table["prior_low"].isna().all()
    assert len(us.plot_parameters(posterior_of(sites), most=2).axes) == 2


def test_the_median_is_told_of_heavy_tails():
    """What an uninformative recording leaves of a LogNormal(0, 3): its mean is of a few draws."""
    sites = {"temperature": np.exp(3 * np.random.default_rng(9).normal(size=(4, 500)))}
    row = us.parameter_table(posterior_of(sites)).iloc[0]
    assert row["median"] == pytest.approx(np.median(sites["temperature"])) and row["mean"] > 20 * row["median"]
    assert f"temperature = {row['median']:.3g} (" in check_posterior(posterior_of(sites))[-2].says


def test_what_is_not_a_number_is_told_so():
    sites = {"p": np.random.default_rng(5).random((2, 50)), "bad": np.random.default_rng(6).random((2, 50))}
    sites["bad"][0, :5] = np.nan
    tree = posterior_of(sites)
    row = us.parameter_table(tree).set_index("parameter").loc["bad"]
    assert np.isnan(row["mean"]) and np.isnan(row["std_error"])
    stats = {name: (("chain", "draw"), np.zeros((2, 50))) for name in ("lp", "diverging")}
    tree["sample_stats"] = xr.DataTree(xr.Dataset(stats))
    found = diagnose(tree)
    assert found["share_broken"] == pytest.approx(0.05)
    assert problems(found)[0] == "5% of the draws have numbers that are NaN, or a log density that is not finite"
    assert any("(5% not finite)" in axes.get_title(loc="left") for axes in us.plot_parameters(tree).axes)


def test_ticks_keep_apart():
    random = np.random.default_rng(7)
    sites = {"small": 0.017 + 0.003 * random.random((2, 400)), "far": 21 + 1e-4 * random.random((2, 400))}
    figure = us.plot_parameters(posterior_of(sites))
    figure.canvas.draw()
    for axes in figure.axes:
        shown = [label.get_window_extent() for label in axes.get_xticklabels() if label.get_text()]
        assert len(shown) >= 2 and all(one.x1 < other.x0 for one, other in itertools.pairwise(shown))
        assert not axes.xaxis.get_offset_text().get_text()

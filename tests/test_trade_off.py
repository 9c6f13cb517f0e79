"""Code length against intelligence: fronts, paths along beta and power-scaling, in a bandit whose posterior is known.

From the start one of three arms is taken, each for good. Among Dirichlet(1) rows an arm that has share x is as good or
better with chance (1 - x)^2, so g = -2 log2(1 - x); after counts n the share is Beta(1 + n_u, 2 + N - n_u), and all
evidence is a ratio of beta functions.
"""

import arviz as az
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import betaln, logsumexp, softmax

import utiliscope as us
from utiliscope.cache import described
from utiliscope.errors import InputError
from utiliscope.laws import LN2
from utiliscope.power_scaling import _Weights
from utiliscope.recorded_law import recorded_law

NAMES, LENGTHS = ["0", "second", "third", "first"], np.array([2.0, 3.0, 3.0, 4.0])
COUNTS = np.array([3, 1, 40])
BETA = 0.6


def log_evidence(beta):
    """`[U]` nats, exact."""
    alpha, rest = 1.0 + COUNTS, 2.0 + COUNTS.sum() - COUNTS
    return np.append(0.0, np.log1p(-beta) + betaln(alpha, rest - 2 * beta) - betaln(alpha, rest))


def exact(beta, simplicity=1.0):
    return softmax(log_evidence(beta) - simplicity * LN2 * LENGTHS)


def drawn(seed=0, *, beta=BETA, chains=2, draws=1000, law=None):
    """The posterior, independent draws of it, in the form that `fit` returns."""
    rng = np.random.default_rng(seed)
    size = (chains, draws)
    truth = rng.choice(4, p=exact(beta), size=size)
    shares = rng.dirichlet(1.0 + COUNTS, size=size)
    for arm in range(3):
        own = rng.beta(1.0 + COUNTS[arm], 2.0 + COUNTS.sum() - COUNTS[arm] - 2 * beta, size=size)
        others = np.delete(COUNTS, arm)
        first = rng.beta(1.0 + others[0], 1.0 + others[1], size=size) * (1 - own)
        policy = (
            np.insert(np.stack([first, 1 - own - first], -1), arm, own, axis=-1)
            if arm
            else np.stack([own, first, 1 - own - first], -1)
        )
        shares = np.where((truth == arm + 1)[..., None], policy, shares)
    bits = np.concatenate([np.zeros((*size, 1)), -2 * np.log2(1 - shares)], axis=-1)
    weight = np.where(np.arange(4) == 0, 0.0, beta * LN2 * bits + np.log1p(-beta)) - LN2 * LENGTHS
    log_prob = weight - logsumexp(weight, axis=-1, keepdims=True)
    index = (rng.random((*size, 1)) > np.exp(log_prob).cumsum(-1)).sum(-1)
    nothing = np.zeros(4)
    groups = {
        "posterior": {"utility_log_prob": log_prob, "intelligence": bits, "utility_index": index},
        "constant_data": {
            "code_length": LENGTHS,
            "intelligence_std_error": nothing,
            "probability_tail_error": nothing,
            "beyond_tail": nothing,
        },
    }
    dims = {name: ["utility"] for name in ("utility_log_prob", "intelligence", *groups["constant_data"])}
    tree = az.from_dict(groups, dims=dims, coords={"utility": NAMES})
    tree["posterior"].attrs.update(
        program="candidates",
        reading="policy",
        policy_prior="Dirichlet(concentration=1.0)",
        intelligence_law=described(us.ExponentialLaw(beta) if law is None else law),
        simplicity=1.0,
    )
    return tree


@pytest.fixture(scope="module")
def posterior():
    return drawn()


@pytest.fixture(scope="module")
def bandit():
    transition = np.tile(np.eye(4)[:, None], (1, 3, 1))
    transition[0] = np.eye(4)[1:]
    available = np.ones((4, 3), bool)
    available[1:, 1:] = False
    world = us.world_model(transition, [1.0, 0, 0, 0], 0.5, available=available)
    utilities = {name: np.eye(4)[place] * (place > 0) for place, name in enumerate(NAMES)}
    return world, us.candidate_set(world, utilities, LENGTHS)


@pytest.fixture(scope="module")
def path(bandit):
    counts = np.zeros((4, 3))
    counts[0] = COUNTS
    return us.law_path(counts, *bandit, betas=np.linspace(0, 0.9, 37), num_particles=128, tail_particles=256)


def test_path_has_the_known_evidence(path):
    assert path["probability"].dims == ("beta", "utility") and list(path["utility"].values) == NAMES
    truth = np.array([log_evidence(beta) for beta in path["beta"].values])
    np.testing.assert_allclose(path["log_evidence"].sel(utility="0"), 0.0)
    error = path["log_evidence_error"].values
    assert (np.abs(path["log_evidence"].values - truth) <= 5 * error + 1e-9).all()
    assert error[:, 1:].max() < 0.3
    probability = np.array([exact(beta) for beta in path["beta"].values])
    assert (np.abs(path["probability"].values - probability) <= 5 * path["probability_error"].values + 1e-9).all()


def test_path_begins_at_the_prior(path):
    np.testing.assert_allclose(path["probability"][0], softmax(-LN2 * LENGTHS), atol=1e-6)
    np.testing.assert_allclose(path["mean_bits"][0], 1 / LN2)


def test_takeovers_are_where_they_are_known_to_be(path):
    table = us.takeovers(path)
    assert list(zip(table["before"], table["utility"], strict=True)) == [("0", "first")]
    truth = brentq(lambda beta: np.log(exact(beta)[3] / exact(beta)[0]), 0.05, 0.9)
    row = table.iloc[0]
    assert 0 < row["beta_error"] < 0.2 and abs(row["beta"] - truth) < 5 * row["beta_error"]
    assert row["probability"] == pytest.approx(
        float(np.interp(row["beta"], path["beta"], path["probability"][:, 3])), abs=0.01
    )


def test_path_is_kept_and_drawn(path, tmp_path):
    path.to_netcdf(tmp_path / "path.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "path.nc", engine="h5netcdf") as again:
        pd.testing.assert_frame_equal(us.takeovers(again), us.takeovers(path))
    figure = us.plot_law_path(path, label=2)
    figure.draw_without_rendering()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["0 (no goal)", "first", "2 others"]


def test_bad_paths_are_refused(bandit):
    for betas in ([], [0.5, 0.4], [0.2, 1.0], [-0.1, 0.5]):
        with pytest.raises(InputError, match="improper over continuous random policies"):
            us.law_path(np.zeros((4, 3)), *bandit, betas=betas)
    with pytest.raises(InputError, match="simplicity"):
        us.law_path(np.zeros((4, 3)), *bandit, simplicity=-1.0)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 7), st.booleans())
def test_takeovers_follow_the_leader(seed, number, steps, tied):
    rng = np.random.default_rng(seed)
    betas = np.sort(rng.random(steps + 1))
    height = rng.normal(size=(steps + 1, number))
    if tied:
        height[0] = 0.0
    path = xr.Dataset(
        {
            "log_evidence": (("beta", "utility"), height),
            "log_evidence_error": (("beta", "utility"), np.ones_like(height)),
            "code_length": ("utility", np.zeros(number)),
        },
        coords={"beta": betas, "utility": [f"u{i}" for i in range(number)]},
        attrs={"simplicity": 1.0},
    )
    table = us.takeovers(path)
    assert (table["beta_error"] > 0).all() and table["beta"].is_monotonic_increasing
    for beta in rng.uniform(betas[0], betas[-1], 20):
        now = np.array([np.interp(beta, betas, height[:, u]) for u in range(number)])
        passed = table[table["beta"] < beta]
        first = table["before"].iloc[0] if len(table) else f"u{np.argmax(height.sum(0) if tied else height[0])}"
        leader = passed["utility"].iloc[-1] if len(passed) else first
        assert now[int(leader[1:])] >= now.max() - 1e-9


def test_front_by_its_definition(posterior):
    front = us.tradeoff_front(posterior)
    table = posterior["posterior"]["intelligence"].values.mean((0, 1))
    assert front["utility"].iloc[0] == "0" and front["utility"].iloc[-1] == "first"
    for weight in np.geomspace(0.01, 100, 50):
        assert NAMES[int(np.argmax(table - weight * LENGTHS))] in set(front["utility"])
    for u, name in enumerate(NAMES):
        beaten = ((LENGTHS[u] >= LENGTHS) & (table > table[u])) | ((LENGTHS[u] > LENGTHS) & (table >= table[u]))
        assert (name in set(front["utility"])) == (not beaten.any())


def test_front_is_in_the_picture(posterior):
    figure = us.plot_tradeoff(posterior)
    stair = figure.axes[0].lines
    corners = np.vstack(
        [line.get_xydata() for line in stair if len(line.get_xydata()) == 2 * len(us.tradeoff_front(posterior))]
    )
    for row in us.tradeoff_front(posterior).itertuples():
        assert (np.abs(corners - [row.code_length, row.intelligence]).max(1) < 1e-9).any()


@pytest.mark.parametrize("law", [us.ExponentialLaw(0.25), us.BumpLaw(7.0, 3.0), us.RandomMixture(us.BumpLaw(2.0), 0.2)])
def test_laws_are_read_off(posterior, law):
    tree = posterior.copy()
    tree["posterior"].attrs["intelligence_law"] = described(law)
    assert described(recorded_law(tree)) == described(law)


@pytest.mark.parametrize("text", ["", "ExponentialLaw(beta=Uniform(low=0.0, high=1.0))", "print(1)", "Exponential Law"])
def test_other_laws_are_not_read(posterior, text):
    tree = posterior.copy()
    tree["posterior"].attrs["intelligence_law"] = text
    assert recorded_law(tree) is None


@pytest.mark.parametrize("factor", [0.0, 0.5, 2.0])
def test_other_simplicity_is_exact_reweighting(posterior, factor):
    found = us.power_scaled(posterior, simplicity=factor)
    own = np.exp(posterior["posterior"]["utility_log_prob"].values).mean((0, 1))
    again = own * 2.0 ** (-(factor - 1) * LENGTHS)
    np.testing.assert_allclose(found.probability, again / again.sum(), rtol=1e-9)
    assert found.pareto_k == 0
    assert (np.abs(found.probability - exact(BETA, factor)) < 5 * found.std_error).all()


@pytest.mark.parametrize("simplicity", [1.0, 0.7])
@pytest.mark.parametrize("beta", [0.0, 0.3, 0.5, 0.7, 0.8])
def test_other_beta_by_importance(posterior, beta, simplicity):
    found = us.power_scaled(posterior, intelligence=beta / BETA, simplicity=simplicity)
    assert found.pareto_k < 0.7
    assert (np.abs(found.probability - exact(beta, simplicity)) < 5 * found.std_error + 1e-9).all()
    assert found.std_error.max() < 0.05


def test_errors_of_power_scaling_by_repetition():
    found = [us.power_scaled(drawn(seed, draws=200), intelligence=1.3) for seed in range(60)]
    spread = np.std([one.probability for one in found], axis=0, ddof=1)
    stated = np.sqrt(np.mean([np.square(one.std_error) for one in found], axis=0))
    # An error known from 60 repetitions has a standard error of 9 % itself.
    assert (np.abs(np.log(spread / stated)) < 5 * 0.092).all()


def test_slopes_are_derivatives(posterior):
    table = us.trade_off_sensitivity(posterior).set_index("utility").loc[NAMES]
    step = 1e-5
    for name, truth in (
        ("simplicity", (exact(BETA, 1 + step) - exact(BETA, 1 - step)) / (2 * step) * LN2),
        ("intelligence", (exact(BETA * (1 + step)) - exact(BETA * (1 - step))) / (2 * step) * LN2),
    ):
        slope, error = table[f"{name}_slope"].to_numpy(), table[f"{name}_slope_error"].to_numpy()
        assert (np.abs(slope - truth) < 5 * error).all() and error.max() < 0.03
        np.testing.assert_allclose(slope.sum(), 0.0, atol=1e-9)
    reweighted = [us.power_scaled(posterior, simplicity=1 + sign * step).probability for sign in (1, -1)]
    np.testing.assert_allclose(table["simplicity_slope"], -np.subtract(*reweighted[::-1]) / (2 * step) * LN2, atol=1e-6)


def test_arviz_measures_whether_a_utility_is_the_drawn_one(posterior):
    table = us.trade_off_sensitivity(posterior).set_index("utility")
    index = posterior["posterior"]["utility_index"].values
    for u, name in enumerate(NAMES):
        senses = []
        for power in (0.99, 1.01):
            weight = 2.0 ** (-(power - 1) * LENGTHS[index])
            p, q = (index == u).mean(), weight[index == u].sum() / weight.sum()
            senses.append(max(_distance(1 - p, 1 - q), _distance(p, q)) / abs(np.log2(power)))
        assert table.loc[name, "simplicity_psense"] == pytest.approx(np.mean(senses), rel=0.02)
    assert (table["intelligence_psense"] > 0).all()


def _distance(p, q):
    """Cumulative Jensen-Shannon distance of two 0/1 variables whose distribution functions are p and q below 1."""
    middle = (p + q) / 2
    return np.sqrt((p * np.log2(p / middle) + q * np.log2(q / middle)) / (p + q))


@pytest.mark.parametrize("law", [us.BumpLaw(4.0, 2.0), us.RandomMixture(us.ExponentialLaw(0.7), 0.3)])
def test_other_laws_have_means_and_scores(law):
    tree = drawn(draws=20)
    bits = tree["posterior"]["intelligence"].values
    weight = np.where(np.arange(4) == 0, 0.0, np.asarray(law.log_weight(bits))) - LN2 * LENGTHS
    tree["posterior"]["utility_log_prob"].values[:] = weight - logsumexp(weight, axis=-1, keepdims=True)
    tree["posterior"].attrs["intelligence_law"] = described(law)
    weights = _Weights(tree, None)
    np.testing.assert_array_equal(weights.ties, [True, False, False, False])
    np.testing.assert_allclose(weights.log_weight(1.0)[..., 1:], np.asarray(law.log_weight(bits))[..., 1:], atol=1e-4)
    step = 1e-4
    slope = (weights.log_weight(1 + step) - weights.log_weight(1 - step)) / (2 * step)
    np.testing.assert_allclose(weights.score(), slope, atol=1e-5)


def test_what_cannot_be_scaled_is_said(posterior):
    with pytest.raises(InputError, match="not the law"):
        us.power_scaled(posterior, intelligence=1.1, intelligence_law=us.ExponentialLaw(0.9))
    with pytest.raises(InputError, match="improper"):
        us.power_scaled(posterior, intelligence=2.0)
    with pytest.raises(InputError, match="simplicity is -1"):
        us.power_scaled(posterior, simplicity=-1.0)
    tree = posterior.copy()
    tree["posterior"].attrs.update(program="achieved", reading="achieved")
    with pytest.raises(InputError, match="fit again with another law"):
        us.power_scaled(tree, intelligence=1.1)
    table = us.trade_off_sensitivity(tree)
    assert table["intelligence_slope"].isna().all() and table["simplicity_slope"].notna().all()
    tree["posterior"].attrs.update(program="candidates", reading="policy", intelligence_law="ExponentialLaw(beta=0.5)")
    assert us.trade_off_sensitivity(tree)["intelligence_slope"].isna().all()  # made with another law
    with pytest.raises(InputError, match="not the law"):
        us.trade_off_sensitivity(posterior, intelligence_law=us.BumpLaw())
    tree["posterior"].attrs.update(intelligence_law="BumpLaw(mean=Gamma())")
    with pytest.raises(InputError, match="look at their posterior"):
        us.power_scaled(tree, intelligence=1.1)
    tree["posterior"]["subject_log_prob"] = tree["posterior"]["utility_log_prob"]
    with pytest.raises(InputError, match="share a mixture"):
        us.trade_off_sensitivity(tree)


@pytest.mark.parametrize("achieved", [False, True])
def test_sensitivity_is_drawn(posterior, achieved):
    tree = posterior.copy()
    if achieved:
        tree["posterior"].attrs.update(program="achieved", reading="achieved")
    figure = us.plot_sensitivity(tree)
    figure.draw_without_rendering()
    assert len(figure.axes) == (1 if achieved else 2)
    if not achieved:  # beta ends before 1
        assert max(line.get_xdata()[-1] for line in figure.axes[1].lines if len(line.get_xdata()) > 2) < 1


@pytest.mark.parametrize("draws", [1, 12, 25])
def test_few_draws_are_no_news(draws):
    tree = drawn(chains=1, draws=draws)
    assert np.isinf(us.power_scaled(tree, intelligence=1.2).pareto_k) == (draws < 25)
    assert len(us.trade_off_sensitivity(tree)) == 4
    us.plot_sensitivity(tree).draw_without_rendering()


@pytest.mark.slow
def test_power_scaling_agrees_with_other_fits(bandit):
    world, candidates = bandit
    rows = [dict(episode=i, t=0, state=0, action=arm) for i, arm in enumerate(np.repeat(range(3), COUNTS))]
    options = dict(candidates=candidates, num_warmup=500, num_samples=1000, num_chains=2, prior_predictive=False)
    behaviour = us.read_behaviour(pd.DataFrame(rows), world)
    first = us.fit(behaviour, world, intelligence_law=us.ExponentialLaw(BETA), **options)
    for factor, simplicity in ((0.7, 1.0), (1.2, 1.0), (1.0, 0.5)):
        law = us.ExponentialLaw(factor * BETA)
        other = us.power_scaled(us.fit(behaviour, world, intelligence_law=law, simplicity=simplicity, **options))
        found = us.power_scaled(first, intelligence=factor, simplicity=simplicity)
        error = np.hypot(found.std_error, other.std_error)
        assert (np.abs(found.probability - other.probability) < 5 * error).all()
        assert (np.abs(found.probability - exact(factor * BETA, simplicity)) < 5 * found.std_error).all()

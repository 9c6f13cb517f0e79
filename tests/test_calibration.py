"""Ranks and envelopes against enumeration, and the shipped programs against their own simulations."""

import itertools
import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
from numpyro import distributions as dist
from scipy.stats import kstest

import utiliscope as us
from utiliscope.calibration import calibrate, plot_calibration
from utiliscope.rank_uniformity import _two_sided, cumulative, envelope, is_outside, p_value, rank
from utiliscope.stated_probabilities import probability_score

sys.path.append(str(pathlib.Path(__file__).parent.parent / "benchmarks"))
import calibration
import calibration_cases as cases


def test_envelope_and_p_value_by_enumeration():
    """All 4^4 outcomes of four ranks among three draws are equally likely."""
    number, length = 4, 3
    every = [np.array(ranks) for ranks in itertools.product(range(length + 1), repeat=number)]
    chances = _two_sided(number, length)
    levels = np.array([chances[cumulative(ranks, length), np.arange(length)].min() for ranks in every])
    for ranks, level in zip(every, levels, strict=True):
        assert p_value(ranks, length) == pytest.approx((levels <= level * (1 + 1e-9)).mean(), abs=1e-12)
    for coverage in (0.5, 0.8, 0.95):
        inside = envelope(number, length, coverage)
        staying = np.mean([not is_outside(ranks, length, coverage) for ranks in every])
        assert inside.coverage == pytest.approx(staying, abs=1e-12) and staying >= coverage
        # It is the narrowest of its kind: at the next level fewer stay.
        narrower = [share for share in ((levels > level).mean() for level in np.unique(levels)) if share < staying]
        assert not narrower or max(narrower) < coverage


def test_coverage_of_many_ranks():
    random = np.random.default_rng(0)
    repeats, number, length = 2000, 120, 19
    outside = [is_outside(random.integers(0, length + 1, number), length) for _ in range(repeats)]
    stated = 1 - envelope(number, length).coverage
    assert 0.03 < stated <= 0.05
    assert abs(np.mean(outside) - stated) < 5 * np.sqrt(stated * (1 - stated) / repeats)


def test_p_values_are_uniform():
    random = np.random.default_rng(1)
    found = [p_value(random.integers(0, 100, 500), 99) for _ in range(150)]
    assert kstest(found, "uniform").pvalue > 1e-3


def test_exactly_conjugate_draws_have_uniform_ranks():
    """theta ~ N(0, 1), x ~ N(theta, 1): the posterior is N(x / 2, 1 / 2)."""
    random = np.random.default_rng(2)
    theta = random.normal(size=4000)
    seen = theta + random.normal(size=4000)
    draws = seen[:, None] / 2 + random.normal(size=(4000, 31)) * np.sqrt(0.5)
    assert p_value(rank(random, theta, draws), 31) > 0.01
    assert p_value(rank(random, theta, draws + 0.1), 31) < 1e-4
    assert p_value(rank(random, theta, 0.8 * draws), 31) < 1e-4


def test_ties_are_broken_evenly():
    random = np.random.default_rng(3)
    assert p_value(rank(random, np.zeros(2000), np.zeros((2000, 9))), 9) > 0.01
    chance = random.random(4000)
    coins = random.random((4000, 10)) < chance[:, None]
    assert p_value(rank(random, coins[:, 0], coins[:, 1:]), 9) > 0.01
    assert rank(random, [1, 5], [[0, 0, 2], [1, 2, 3]]).tolist() == [2, 3]


def test_ranks_out_of_range():
    with pytest.raises(us.InputError, match="from 0 to 9"):
        p_value(np.array([0, 10]), 9)


def test_probability_score():
    random = np.random.default_rng(4)
    stated = random.dirichlet(np.ones(3), 3000)
    true = (random.random(3000)[:, None] > stated.cumsum(1)).sum(1)
    score, error, chance = probability_score(stated, true)
    assert chance > 0.01 and (np.abs(score) < 5 * error).all()
    bold = stated**2 / (stated**2).sum(1, keepdims=True)
    score, error, chance = probability_score(bold, true)
    assert chance < 1e-4 and score[-1] < -5 * error[-1]
    assert probability_score(np.full((50, 2), 0.5), np.tile([0, 1], 25))[2] == 1.0


def test_probabilities_near_certainty():
    """Truths drawn as stated are called wrong as seldom as p says, where one in twenty is a surprise."""
    random = np.random.default_rng(5)
    stated = np.array([[0.95, 0.04, 0.01]]).repeat(60, 0)
    true = (random.random((60, 60, 1)) > stated.cumsum(1)).sum(-1)
    chances = np.array([probability_score(stated, each)[2] for each in true])
    for level in (0.05, 0.2, 0.5):
        assert abs(np.mean(chances <= level) - level) < 5 * np.sqrt(level * (1 - level) / len(chances))
    sure = np.array([[1.0, 0.0]]).repeat(50, 0)
    assert probability_score(sure, np.zeros(50, int))[2] == 1.0
    assert probability_score(sure, np.eye(50, dtype=int)[0])[2] == 0.0


def _means(seen):
    """The second mean is taken to be seen with less noise than it is."""
    for index, scale in enumerate((1.0, 0.4)):
        mean = numpyro.sample(("right", "wrong")[index], dist.Normal(0.0, 1.0))
        numpyro.sample(f"x{index}", dist.Normal(mean, scale), obs=seen[index])


def _drawn_means(key):
    first, second = jax.random.split(key)
    means = jax.random.normal(first, (2,))
    return dict(right=means[0], wrong=means[1]), dict(seen=means[:, None] + jax.random.normal(second, (2, 3)))


SHORT = dict(num_simulations=100, num_warmup=150, num_samples=39, thinning=3, batch_size=50)


def test_nuts_of_normal_means():
    """By default all entries of the truth are ranked; a wrong standard deviation shows."""
    result = calibrate(jax.random.key(0), _means, _drawn_means, {}, **SHORT)
    assert set(result.ranks) == {"right", "wrong"} and result.num_simulations == 100 and result.probability is None
    table = result.table().set_index("site")
    assert table.loc["right", "p_value"] > 0.01 and not table.loc["right", "outside"]
    assert table.loc["wrong", "p_value"] < 1e-4 and table.loc["wrong", "outside"]
    assert abs(result.autocorrelation["right"]) < 0.15 and result.divergent == 0
    figure = plot_calibration(result, "means")
    titles = [(axes.get_title(loc="left"), axes.get_title(loc="right")) for axes in figure.axes]
    assert titles[0][0] == "right" and titles[1] == ("wrong", "p < 0.0001")


def test_sites_that_a_program_does_not_draw():
    def draw(key):
        truth, data = _drawn_means(key)
        return truth | dict(phi=jnp.zeros(())), data

    with pytest.raises(us.InputError, match="draws no phi"):
        calibrate(jax.random.key(0), _means, draw, {}, **SHORT)
    with pytest.raises(us.InputError, match="thinning"):
        calibrate(jax.random.key(0), _means, draw, {}, **SHORT | dict(thinning=0))


def _run(case, **options):
    arguments = (case.program, case.prior_draw, case.inputs)
    return calibrate(jax.random.key(5), *arguments, quantities=case.quantities, **SHORT | options)


@pytest.fixture(scope="module")
def two():
    return cases.setting(2, 14)


@pytest.mark.parametrize("program", ["achieved", "boltzmann"])
def test_shipped_programs(two, program):
    """One summed exactly, one by NUTS; all others are slow."""
    achieved = calibration.achievers.achieved
    case = achieved(two, us.BumpLaw(4.0, 4.0), 0.1) if program == "achieved" else calibration.planners.boltzmann(two)
    table = _run(case).table()
    assert table["p_value"].min() > 0.01 / len(table), table


def test_a_law_that_is_not_the_operators_shows(two):
    wrong = calibration.achievers.achieved(two, us.ExponentialLaw(0.9), 0.1, drawn_by=us.ExponentialLaw(0.1))
    assert _run(wrong).table()["p_value"].min() < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("name", calibration.PROGRAMS)
def test_every_program(name):
    """As in the benchmark; with fewer simulations the slighter errors do not show."""
    case = calibration.PROGRAMS[name]()
    table = _run(case, num_simulations=500, num_warmup=200, num_samples=99).table()
    least = table["p_value"].min()
    assert least > 0.01 / len(table) if case.right else least < 0.01 / len(table), table

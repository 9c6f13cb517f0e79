"""Tempering: whole curves against enumeration and closed forms, in small worlds made to pass for big ones."""

import itertools
import math

import jax
import numpy as np
import pytest
import scipy.stats
from threadpoolctl import threadpool_limits

import utiliscope as us
from utiliscope import curve_engines
from utiliscope.curves import curve_of_ladder
from utiliscope.payoffs import as_payoffs
from utiliscope.planning import tie_tolerance, value_range
from utiliscope.row_splitting import Patches, draw_rows, row_problem
from utiliscope.tempering import Ladder, log_weights, temper

KEY = jax.random.key(0)
FLAT, SMOOTH = us.UniformDeterministic(), us.Dirichlet(1.0)


@pytest.fixture(autouse=True)
def tempered(monkeypatch):
    """Every world is big, and no tail is read from disk."""
    monkeypatch.setattr(curve_engines, "MOST_INVERTED", 0)
    monkeypatch.setenv("UTILISCOPE_CACHE", "off")
    with threadpool_limits(1, "blas"):
        yield


def contexts(number, arms=2):
    """`number` contexts, seen equally often, one action each; U = the number of right ones."""
    transition = np.repeat(np.eye(number)[:, None], arms, 1)
    world = us.world_model(transition, np.full(number, 1 / number), 0.5)
    return world, number / 2 * np.tile(np.eye(arms)[0], (number, 1))


def corner(size, **options):
    """A square with its goal in a corner. Only shortest ways from everywhere are optimal: of the two ways that each
    of (n - 1)^2 cells has out of four actions, and one for those beside the walls and the goal.
    """
    rows = ["." * size] * (size - 1) + ["." * (size - 1) + "G"]
    return us.gridworld(rows, slip=0.0, discount=0.9, sparse=True, **options), (size - 1) ** 2 + 4 * (size - 1) + 1


def ladder_of(world, utility, prior, *, number=16, seed=0, threads=1, **ends):
    payoffs, random = as_payoffs(world, utility), np.random.default_rng(seed)
    worst, best = value_range(world, payoffs)
    tolerance = tie_tolerance(world, payoffs, worst, best)
    policy = draw_rows(random, prior, np.asarray(world.available), number)
    population = Patches(random, row_problem(world, payoffs, prior), policy, 1)
    ends = dict(dict(reach=1.0 if prior.atomic else 0.98, stop_at=np.inf, max_bits=1e4), **ends)
    ladder = temper(random, population, best=best, tolerance=tolerance, threads=threads, **ends)
    return ladder, curve_of_ladder(ladder, tolerance, best, prior.atomic), tolerance


def random_graph(seed, num_states, num_actions=3):
    rng = np.random.default_rng(seed)
    links = rng.integers(0, num_states, (num_states, num_actions))
    return us.world_model(np.eye(num_states)[links], np.full(num_states, 1 / num_states), 0.8)


@pytest.mark.parametrize("name", ["ties", "chance", "mixed"])
def test_the_whole_curve_against_enumeration(name):
    world = random_graph(1, 5)
    utility = us.Payoffs(np.array([1.0, 0, 0, 0, 0]), None, np.zeros(0), np.zeros((0, 5), bool))
    if name == "chance":
        rng = np.random.default_rng(2)
        world = us.world_model(rng.dirichlet(np.ones(5) * 0.3, (5, 3)), np.full(5, 0.2), 0.9)
    if name == "mixed":
        utility = us.Payoffs(utility.state, None, np.array([3.0]), np.eye(5, dtype=bool)[4:])
    policies = np.eye(3)[np.array(list(itertools.product(range(3), repeat=5)))]
    values = np.asarray(jax.jit(jax.vmap(lambda policy: us.expected_utility(world, policy, utility)))(policies))
    tail = us.value_tail(KEY, world, utility, num_particles=64 * 128)
    rising = np.sort(values)
    checked = rising[np.concatenate([[True], np.diff(rising) > 1e-9])]
    if name == "ties":
        assert len(checked) < len(values) / 3
    exact = -np.log2([(values >= value - 1e-9).mean() for value in checked])
    bits, errors = (np.asarray(jax.vmap(of)(checked)) for of in (tail.bits, tail.std_error))
    assert bits[0] == 0 and (np.diff(bits) >= 0).all()
    # Where no policy falls below, the error is that of one in a population.
    assert (np.abs(bits - exact) <= 5 * np.hypot(errors, np.log2(1 + 1 / 128)) + 1e-9).all()
    assert bool(tail.complete) == (name != "mixed")


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)])
def test_the_best_policies_of_a_corner(seed):
    world, exact = corner(6)
    tail = us.value_tail(jax.random.key(seed), world, world.features["G"], num_particles=64 * 32)
    best = value_range(world, world.features["G"])[1]
    g, error = float(tail.bits(best)), float(tail.std_error(best))
    print(f"{g:.2f} +- {error:.2f} bits of {exact}")
    assert abs(g - exact) < 5 * error and error < 2
    assert bool(tail.complete)


@pytest.mark.parametrize("number", [10, pytest.param(20, marks=pytest.mark.slow)])
def test_sums_of_uniform_shares(number):
    """P(sum of n uniform shares >= n - 1) = 1 / n!."""
    world, utility = contexts(number)
    tail = us.value_tail(KEY, world, utility, policy_prior=SMOOTH, num_particles=64 * 32)
    g, error = float(tail.bits(number - 1.0)), float(tail.std_error(number - 1.0))
    print(f"{g:.2f} +- {error:.2f} bits of {math.log2(math.factorial(number)):.2f}")
    assert abs(g - math.log2(math.factorial(number))) < 5 * error and error < 1.5
    assert not bool(tail.is_lower_bound(number - 1.0))


def test_possible_worlds_against_enumeration():
    worlds = us.possible_worlds([random_graph(3, 4, 2), random_graph(4, 4, 2)], [1, 2])
    utility = np.array([1.0, -0.5, 0.2, 0.0])
    policies = np.eye(2)[np.array(list(itertools.product(range(2), repeat=4)))]
    values = np.array([float(us.expected_utility(worlds, policy, utility)) for policy in policies])
    tail = us.value_tail(KEY, worlds, utility, num_particles=64 * 64)
    rising = np.sort(values)
    for value in rising[np.concatenate([[True], np.diff(rising) > 1e-9])]:
        exact = -math.log2((values >= value - 1e-9).mean())
        error = math.hypot(float(tail.std_error(value)), math.log2(1 + 1 / 128))
        assert abs(float(tail.bits(value)) - exact) < 5 * error


@pytest.mark.parametrize("prior", [FLAT, us.Dirichlet(0.5)])
def test_threads_give_the_same_numbers(prior):
    world, _ = corner(5)
    (one, *_), (two, *_) = (ladder_of(world, world.features["G"], prior, threads=threads) for threads in (1, 2))
    for first, second in zip(one, two, strict=True):
        np.testing.assert_array_equal(first, second)


# Where ladders end


def test_values_that_all_tie_end_the_ladder():
    """No random policy finds the goal: nothing is known of the best value but that it is rarer."""
    world, _ = corner(6, initial=np.eye(36)[0])
    ladder, curve, _ = ladder_of(world, world.features["G"], FLAT)
    assert len(ladder.values) == 1 and curve["values"].tolist() == [0.0] and not curve["complete"]


def test_a_best_value_out_of_reach_ends_the_ladder():
    """Policies with memory do better than any without it, and nothing better is found at any preference."""
    world = random_graph(5, 12)
    targets = np.eye(12, dtype=bool)[3:4]
    state = np.random.default_rng(0).normal(size=12)
    ladder, curve, tolerance = ladder_of(world, us.Payoffs(state, None, np.array([9.0]), targets), FLAT)
    assert np.ptp(ladder.values[-1]) <= tolerance and not curve["complete"]
    assert np.isfinite(curve["log2_prob"]).all() and -curve["log2_prob"][-1] < 12 * math.log2(3) + 10


def test_ends_that_are_asked_for():
    world, _ = corner(6)
    _, whole, _ = ladder_of(world, world.features["G"], FLAT)
    _, few, _ = ladder_of(world, world.features["G"], FLAT, max_bits=10.0)
    assert 8 < -few["log2_prob"][-1] < -whole["log2_prob"][-1] and not few["complete"]
    ladder, low, _ = ladder_of(world, world.features["G"], FLAT, stop_at=2.0)
    assert np.median(ladder.values[-1]) > 1.9 and np.median(ladder.values[-2]) < 2.0 and not low["complete"]


def test_ladders_of_exact_draws_give_exact_curves():
    """Exponential values: E exp(b V) = 1 / (1 - b), and tilted they are exponential as well."""
    random = np.random.default_rng(1)
    preferences = 1 - 0.6 ** np.arange(8)
    values = random.exponential(1 / (1 - preferences)[:, None], (8, 2000))
    ladder = Ladder(preferences, values, -np.log(1 - preferences), np.zeros(8))
    assert abs(np.exp(log_weights(ladder)).sum() - 1) < 0.1
    curve = curve_of_ladder(ladder, 1e-12, 1e9, False)
    assert curve["log2_prob"][0] == 0 and (np.diff(curve["log2_prob"]) <= 0).all()
    for value in (0.01, 0.5, 2.0, 10.0, 30.0):
        found = -np.interp(value, curve["values"], curve["log2_prob"])
        error = np.interp(value, curve["values"], curve["log2_error"])
        assert abs(found - value / math.log(2)) < 5 * error and error < 0.1 * (1 + value / 10)


def test_ties_within_the_tolerance_are_one_knot():
    values = np.array([[0.0, 0.0, 1.0, 1.0 + 1e-10], [1.0, 1.0 - 1e-10, 1.0, 1.0]])
    ladder = Ladder(np.array([0.0, 3.0]), values, np.array([0.0, math.log(0.5 + 0.5 * math.exp(3))]), np.zeros(2))
    curve = curve_of_ladder(ladder, 1e-9, 1.0, True)
    np.testing.assert_allclose(curve["values"], [0, 1])
    assert curve["log2_prob"][0] == 0 and curve["complete"]
    # 2 values of 0 and 6 of 1, each weighed by the mean density of the two rungs there.
    densities = np.array([(1 + 1 / (0.5 + 0.5 * math.exp(3))) / 2, (1 + math.exp(3) / (0.5 + 0.5 * math.exp(3))) / 2])
    low, high = 2 / densities[0], 6 / densities[1]
    assert curve["log2_prob"][1] == pytest.approx(math.log2(high / (low + high)), abs=1e-6)


# Errors, by repetition


class Ideal:
    """Standard normal values under the prior, moved perfectly: exp(b V) shifts them by b."""

    def __init__(self, random, number):
        self.random, self.values = random, random.normal(size=number)

    def copy(self, places, parents):
        self.values[places] = self.values[parents]

    def sweep(self, n, warmth):
        self.values[n] = 1 / warmth + self.random.normal()


@pytest.mark.slow
def test_reported_errors_of_ideal_populations():
    found, points = [], np.array([2.0, 4.0, 6.0])
    for seed in range(100):
        random = np.random.default_rng(seed)
        ends = dict(best=7.0, tolerance=1e-12, reach=1.0, stop_at=np.inf, max_bits=1e4)
        curve = curve_of_ladder(temper(random, Ideal(random, 32), **ends), 1e-12, 1e9, False)
        found.append([np.interp(points, curve["values"], curve[part]) for part in ("log2_prob", "log2_error")])
    (bits, errors), exact = np.moveaxis(found, 1, 0), scipy.stats.norm.logsf(points) / math.log(2)
    spread, reported = bits.std(0, ddof=1), np.sqrt((errors**2).mean(0))
    print(f"bias {bits.mean(0) - exact}, spread / reported {spread / reported}")
    assert (np.abs(bits.mean(0) - exact) < 5 * spread / math.sqrt(100)).all()
    # 15 %, and three of a spread's own standard errors.
    assert (np.abs(spread / reported - 1) < 0.15 + 3 / math.sqrt(200)).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["corner", "shares"])
def test_reported_errors_over_repeats(name):
    found, repeats = [], 40
    for seed in range(repeats):
        if name == "corner":
            world, exact = corner(6)
            _, curve, tolerance = ladder_of(world, world.features["G"], FLAT, seed=seed)
            place = np.searchsorted(curve["values"], value_range(world, world.features["G"])[1] - 10 * tolerance)
            found.append([-curve["log2_prob"][place], curve["log2_error"][place]])
        else:
            world, utility = contexts(10)
            exact = math.log2(math.factorial(10))
            _, curve, _ = ladder_of(world, utility, SMOOTH, seed=seed)
            ends = (np.interp(9.0, curve["values"], curve[part]) for part in ("log2_prob", "log2_error"))
            found.append(np.array(list(ends)) * [-1, 1])
    bits, errors = np.array(found).T
    spread, reported = bits.std(ddof=1), math.sqrt((errors**2).mean())
    bias = (bits.mean() - exact) / (spread / math.sqrt(repeats))
    print(
        f"{name}: {bits.mean():.2f} of {exact:.2f} bits, {bias:+.2f} s.e. off; {spread:.3f} / {reported:.3f} reported"
    )
    assert abs(bias) < 5
    assert abs(math.log(spread / reported)) < math.log(1.5)

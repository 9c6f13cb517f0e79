"""Splitting: populations whose tails are known and that move perfectly, and the curves made of what it leaves."""

import math

import numpy as np
import pytest
import scipy.stats

from utiliscope.curves import curve_of_levels
from utiliscope.splitting import Run, climb_by_steps, split


class Ideal:
    """Values of which `draw(random, level, number)` gives fresh ones above a level."""

    def __init__(self, random, draw, size):
        self.random, self.draw, self.values = random, draw, draw(random, -np.inf, size)
        self.order = np.arange(size)

    climb = climb_by_steps

    def copy(self, places, parents):
        self.values[places] = self.values[parents]

    def move(self, which, level):
        assert (self.values[which] > level).all()
        self.values[which] = self.draw(self.random, level, len(which))


def exponential(random, level, number):
    return max(level, 0.0) + random.exponential(size=number)


SURVIVAL = scipy.stats.binom(20, 0.5).sf(np.arange(-1, 21))  # P(V >= 0), ..., P(V >= 21)


def binomial(random, level, number):
    first = max(int(np.floor(level)) + 1, 0) if level > -np.inf else 0
    # V >= v where a uniform number is below P(V >= v).
    return np.searchsorted(-SURVIVAL, -SURVIVAL[first] * random.random(number)) - 1.0


KNOWN = {
    "smooth": (exponential, dict(tolerance=1e-12, best=14.0), {v: v / math.log(2) for v in (1.0, 5.0, 10.0)}),
    "ties": (
        binomial,
        dict(tolerance=1e-9, best=20.0),
        {v: -math.log2(scipy.stats.binom(20, 0.5).sf(v - 1)) for v in (11.0, 15.0, 18.0, 20.0)},
    ),
}


@pytest.mark.parametrize("name", KNOWN)
def test_reported_errors_of_ideal_populations(name):
    draw, ends, truth = KNOWN[name]
    found, size = [], 128
    for seed in range(300):
        random = np.random.default_rng(seed)
        run = split(Ideal(random, draw, size), random, reach=1.0, stop_at=np.inf, max_bits=100, **ends)
        curve = curve_of_levels(run, ends["tolerance"], ends["best"], name == "ties")
        place = np.searchsorted(curve["values"], np.array(list(truth)) - ends["tolerance"])
        found.append([-curve["log2_prob"][place], curve["log2_error"][place]])
    bits, errors = np.moveaxis(found, 1, 0)
    spread, reported = bits.std(0, ddof=1), np.sqrt((errors**2).mean(0))
    for i, (value, g) in enumerate(truth.items()):
        print(f"{name} {value}: bias {bits[:, i].mean() - g:+.4f}, spread / reported {(spread / reported)[i]:.3f}")
    exact = np.array(list(truth.values()))
    assert (np.abs(bits.mean(0) - exact) < 5 * spread / math.sqrt(300)).all()
    assert (np.abs(spread / reported - 1) < 0.15).all()
    # Big steps cost more than small ones: of the last tie 95 % are left behind at once.
    ideal = np.sqrt(exact / (size * math.log(2)))
    assert (spread / ideal < (1.5 if name == "smooth" else 2.0)).all() and (spread / ideal > 1 / 1.5).all()


@pytest.mark.parametrize("size", [2, 3, 5])
def test_few_particles(size):
    random = np.random.default_rng(0)
    ends = dict(tolerance=1e-12, best=6.0, reach=1.0, stop_at=np.inf, max_bits=50)
    curve = curve_of_levels(split(Ideal(random, exponential, size), random, **ends), 1e-12, 6.0, False)
    assert np.isfinite(curve["log2_prob"]).all() and curve["log2_prob"][0] == 0
    assert 1 < -curve["log2_prob"][-1] < 50


def test_a_population_that_ties_ends_the_run():
    def constant(random, level, number):
        return np.full(number, 2.0)

    random = np.random.default_rng(0)
    run = split(Ideal(random, constant, 8), random, tolerance=1e-9, best=3.0, reach=1.0, stop_at=9.0, max_bits=9)
    assert run.survivors == [0] and len(run.killed) == 1
    curve = curve_of_levels(run, 1e-9, 3.0, True)
    assert curve["values"].tolist() == [2.0] and curve["log2_prob"].tolist() == [0.0] and not curve["complete"]
    # A value as far below as the tolerance is at the level, and dies with it.
    near = np.array([0.0, 0.0, 0.0, 0.5, 2.0, 2.0, 2.0, 2.0])

    class Still(Ideal):
        def move(self, which, level):
            pass

    population = Still(random, lambda *_: near.copy(), 8)
    run = split(population, random, tolerance=0.5, best=3.0, reach=1.0, stop_at=9.0, max_bits=9)
    assert run.survivors == [4, 0]


def test_curves_are_staircases_from_0_bits():
    killed = [np.array([0.0, 1e-13, 0.5]), np.array([0.7, 0.7, 0.7]), np.array([0.9, 1.0, 1.0, 1.0])]
    curve = curve_of_levels(Run(killed, [1, 1, 0], 4), 1e-9, 1.0, True)
    assert curve["values"].tolist() == [0.0, 0.5, 0.7, 0.9, 1.0] and curve["complete"]
    bits = -curve["log2_prob"]
    # Each share that is left adds its bits, less half its relative variance.
    half = 1 / (2 * math.log(2))
    passed = [2 - 0.75 * half, 4 - 2 * 0.75 * half]
    expected = [0, 1 - half / 4, passed[0], passed[1], passed[1] + math.log2(4 / 3) - half / 12]
    np.testing.assert_allclose(bits, expected)
    assert (np.diff(bits) >= 0).all() and (np.diff(curve["log2_error"]) >= 0).all()


def test_values_that_are_no_numbers_end_the_run():
    def broken(random, level, number):
        return np.full(number, np.nan)

    random = np.random.default_rng(0)
    run = split(Ideal(random, broken, 8), random, tolerance=1e-9, best=3.0, reach=1.0, stop_at=9.0, max_bits=9)
    assert run.survivors == [0]

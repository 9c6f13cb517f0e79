"""Continuous weights of features: what they weigh and what they cost."""

import numpy as np
import numpyro.distributions as dist
import pytest

import utiliscope as us

WORLD = us.gridworld(["a.b", "..b"])


def test_what_is_weighed():
    assert us.FeatureWeights(WORLD).names == ("a", "b")
    assert len(us.FeatureWeights(WORLD, states=True)) == 2 + 6
    mine = us.FeatureWeights(WORLD, features={"far": np.arange(6.0)})
    np.testing.assert_array_equal(mine.values[2], np.arange(6.0))
    assert mine.distribution.event_shape == (3,)


def test_bits_are_those_of_cells():
    weights = us.FeatureWeights(WORLD, precision=0.5)
    # By the arc tangent, whose differences are exact here.
    cell = (np.arctan(2.25) - np.arctan(1.75)) / np.pi
    none = 2 * np.arctan(0.25) / np.pi
    np.testing.assert_allclose(weights.code_length([[2.0, 0.0], [0.0, 0.0]]), -np.log2([cell * none, none**2]))
    assert weights.code_length([1e12, 0.0]) == pytest.approx(np.log2(np.pi * 1e24 / 0.5) - np.log2(none))


def test_all_cells_together_have_mass_one():
    weights = us.FeatureWeights(us.gridworld(["a."]), prior=dist.Normal(0.3, 2.0), precision=0.7)
    bits = weights.code_length(0.7 * np.arange(-40, 41)[:, None])
    assert (2.0**-bits).sum() == pytest.approx(1.0)


def test_a_code_as_long_as_elias_gamma():
    number = 2.0 ** np.arange(3, 12)
    bits = us.FeatureWeights(us.gridworld(["a."])).code_length(number[:, None])
    np.testing.assert_allclose(bits, 2 * np.log2(number) + np.log2(np.pi), atol=0.03)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(prior=dist.Gamma(1.0)), "any real numbers"),
        (dict(prior=dist.Normal(np.zeros(2), 1.0)), "density of one weight"),
        (dict(precision=0.0), "precision is 0.0"),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(us.InputError, match=message):
        us.FeatureWeights(WORLD, **options)

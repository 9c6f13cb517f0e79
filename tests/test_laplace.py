"""Bits by Laplace's method against closed forms, a million random policies, and splitting."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import utiliscope as us
from utiliscope.laplace import laplace_bits

XI = us.Dirichlet(1.0)
ACCURACY = 0.03  # a share of the bits, as `laplace_bits` says
WORLD = us.world_model(np.random.default_rng(1).dirichlet(np.ones(3) * 0.5, (3, 2)), [0.6, 0.3, 0.1], 0.8)
REWARD = np.array([1.0, -0.3, 0.4])


def bits(world, reward, value, policy_prior=XI):
    each = jax.jit(jax.vmap(lambda one: laplace_bits(world, reward, one, policy_prior=policy_prior)))
    return np.asarray(each(jnp.atleast_1d(jnp.asarray(value, float))))


@jax.jit
def _compiled(reward, value):
    of = lambda reward, value: laplace_bits(WORLD, reward, value, policy_prior=XI)  # noqa: E731
    return jax.value_and_grad(of, (0, 1))(reward, value)


def plain_bits(value, reward=REWARD):
    """In WORLD, one value after another, by what the tests compile once; bits and their slopes."""
    return _compiled(jnp.asarray(reward), jnp.asarray(value, float))


def all_plain_bits(values):
    return np.array([plain_bits(value)[0] for value in values])


def contexts(number, actions=2):
    """As many states, each the first and only one with the same chance."""
    stay = np.broadcast_to(np.eye(number)[:, None], (number, actions, number))
    return us.world_model(stay, np.full(number, 1 / number), 0.0)


@pytest.mark.parametrize(("arms", "concentration"), [pytest.param(2, 0.5, marks=pytest.mark.slow), (4, 1.0), (3, 3.0)])
def test_bandits(arms, concentration):
    """THEORY, section 7: the share of all arms but one is Beta distributed; from half a bit to twenty."""
    height = np.array([0.5, 1, 2, 5, 10, 20])
    others = scipy.stats.beta((arms - 1) * concentration, concentration).ppf(0.5**height)
    found = bits(contexts(1, arms), np.eye(arms)[:1] - 1, -others, us.Dirichlet(concentration))
    np.testing.assert_allclose(found, height, rtol=ACCURACY, atol=0.1)


@pytest.mark.parametrize("number", [pytest.param(4, marks=pytest.mark.slow), 16])
def test_contexts(number):
    """THEORY, section 7: two actions, right in all but one on average, log2 n! bits."""
    reward = np.tile([1.0, 0.0], (number, 1))
    found = bits(contexts(number), reward, (number - 1) / number)
    assert found[0] == pytest.approx(math.log2(math.factorial(number)), rel=ACCURACY)


def random_values(number):
    """Without the package."""
    policy = np.random.default_rng(0).dirichlet(np.ones(2), (number, 3))
    system = np.eye(3) - 0.8 * np.einsum("nsa,sat->nst", policy, WORLD.transition)
    return np.linalg.solve(system, np.broadcast_to(REWARD[:, None], (number, 3, 1)))[..., 0] @ WORLD.initial


@pytest.mark.parametrize("number", [200_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_against_random_policies(number):
    """Below the mean, too."""
    values = np.sort(random_values(number))
    chance = np.array([0.95, 0.6, 0.5, 0.3, 0.1, 0.01, 1e-3, 1e-4])
    error = np.sqrt((1 - chance) / (chance * len(values))) / math.log(2)
    found = all_plain_bits(np.quantile(values, 1 - chance))
    assert (np.abs(found + np.log2(chance)) < 0.1 + 5 * error).all()


def test_against_splitting():
    """In a world where rows matter to one another, up to 60 bits."""
    world = us.gridworld(["...", "...", "..."], slip=0.1, discount=0.9)
    reward = np.random.default_rng(3).standard_cauchy(9)
    tail = us.value_tail(jax.random.key(0), world, reward, policy_prior=XI, num_particles=512, max_bits=60.0)
    height = np.array([2.0, 5, 10, 20, 40, 58])
    values = np.interp(height, -tail.log2_prob, tail.values)
    error = np.array([float(tail.std_error(value)) for value in values])
    assert (np.abs(bits(world, reward, values) - height) < ACCURACY * height + 5 * error).all()


def test_derivatives_scale_and_shift():
    value, step = 1.9, 1e-5

    def one(reward, value):
        return plain_bits(value, reward)[0]

    _, (by_reward, by_value) = plain_bits(value)
    assert float(by_value) == pytest.approx(float(one(REWARD, value + step) - one(REWARD, value - step)) / (2 * step))
    for s, change in enumerate(step * np.eye(3)):
        slope = float(one(REWARD + change, value) - one(REWARD - change, value)) / (2 * step)
        assert float(by_reward[s]) == pytest.approx(slope, rel=1e-5)
    assert float(one(7 * REWARD, 7 * value)) == pytest.approx(float(one(REWARD, value)))
    # A constant more in each step is worth 1 / (1 - 0.8).
    assert float(one(REWARD + 3, value + 15)) == pytest.approx(float(one(REWARD, value)))


def test_unavailable_actions_do_not_count():
    transition = np.concatenate([WORLD.transition, WORLD.transition[:, :1]], axis=1)
    available = np.array([[True, True, False]] * 3)
    wider = us.world_model(transition, WORLD.initial, 0.8, available=available)
    np.testing.assert_allclose(bits(wider, REWARD, [1.0, 1.9]), all_plain_bits([1.0, 1.9]), rtol=1e-6)


def test_possible_worlds_are_averaged():
    twice = us.possible_worlds([WORLD, WORLD], [0.3, 0.7])
    np.testing.assert_allclose(bits(twice, REWARD, [1.0, 1.9]), all_plain_bits([1.0, 1.9]), rtol=1e-6)


@pytest.mark.slow
def test_derivatives_of_one_world_are_those_of_it_twice():
    """Two ways to put the curvature; one state has a single action, another two that are alike."""
    transition = np.array(WORLD.transition)
    transition[1, 1] = transition[1, 0]
    available = np.array([[True, True], [True, True], [True, False]])
    one = us.world_model(transition, WORLD.initial, 0.8, available=available)
    twice = us.possible_worlds([one, one], [0.3, 0.7])

    def slopes(world):
        of = jax.value_and_grad(lambda reward, value: laplace_bits(world, reward, value, policy_prior=XI), (0, 1))
        value, (by_reward, by_value) = jax.jit(of)(jnp.array(REWARD), 1.9)
        return np.array([value, *by_reward, by_value])

    np.testing.assert_allclose(slopes(one), slopes(twice), rtol=1e-6)


def test_a_plain_call_is_in_full_precision():
    with jax.enable_x64(False):
        found = laplace_bits(WORLD, REWARD, 1.9, policy_prior=XI)
    assert found.dtype == np.float64 and float(found) == pytest.approx(float(plain_bits(1.9)[0]), rel=1e-9)


def test_what_no_policy_is_worth():
    assert np.isnan(all_plain_bits([100.0, -100.0])).all()


def test_bad_input():
    with pytest.raises(us.InputError, match="UniformDeterministic"):
        laplace_bits(WORLD, REWARD, 1.0, policy_prior=us.UniformDeterministic())
    ending = us.world_model(WORLD.transition, WORLD.initial, 0.8, horizon=5)
    with pytest.raises(us.InputError, match="horizon 5"):
        laplace_bits(ending, REWARD, 1.0, policy_prior=XI)

"""Regret of acting on a belief, against plans, exact values and all policies of a small world."""

import itertools

import numpy as np
import pytest

import utiliscope as us
from utiliscope.node_policies import random_policy
from utiliscope.payoffs import stack_payoffs
from utiliscope.planning import value_range

WORLD = us.gridworld(["a.b", ".#.", "..."], slip=0.1, discount=0.8)
TEXTS = ["time(a)", "reach(b)", "sequence(a, b)", "-visits(a, 2)", "within(3, reach(b)) - time(a)", "time(a or not a)"]


@pytest.fixture(scope="module")
def programs():
    grammar = us.Grammar(WORLD)
    return [grammar.parse(text) for text in TEXTS]


@pytest.fixture(scope="module")
def at_stake(programs):
    return us.stakes(WORLD, stack_payoffs([program.payoffs(WORLD) for program in programs]))


def test_ranges_are_those_of_plans(programs, at_stake):
    for program, worst, best in zip(programs, at_stake.worst, at_stake.best, strict=True):
        assert (worst, best) == pytest.approx(value_range(WORLD, program), abs=1e-9)
    np.testing.assert_array_equal(at_stake.constant, [False] * 5 + [True])


def test_certainty_costs_nothing(at_stake):
    for place in range(5):
        assert us.acting_regrets(at_stake, np.eye(6)[place])[place] == pytest.approx(0, abs=1e-9)
    assert np.isnan(us.acting_regrets(at_stake, np.eye(6)[0])[5])


def test_the_opposite_is_the_worst():
    reward = np.random.default_rng(0).normal(size=WORLD.num_states)
    both = us.stakes(WORLD, stack_payoffs([us.payoffs.as_payoffs(WORLD, one) for one in (reward, -reward)]))
    np.testing.assert_allclose(us.acting_regrets(both, [0.9, 0.1]), [0, 1], atol=1e-9)
    # As much for as against: nothing is at stake, and the act is random.
    np.testing.assert_allclose(us.acting_regrets(both, [0.5, 0.5]), us.random_regrets(both), atol=1e-12)


def test_random_regret_is_by_exact_values(programs, at_stake):
    policy = random_policy(WORLD.available)
    regrets = us.random_regrets(at_stake)
    for place in range(5):
        value = float(us.expected_utility(WORLD, policy, programs[place]))
        worst, best = at_stake.worst[place], at_stake.best[place]
        assert regrets[place] == pytest.approx((best - value) / (best - worst), abs=1e-9)


def test_beliefs_that_say_nothing_act_at_random(at_stake):
    np.testing.assert_array_equal(us.acting_regrets(at_stake, np.eye(6)[5]), us.random_regrets(at_stake))
    # A constant has no say, so that the little that is left decides.
    mostly_nothing = us.acting_regrets(at_stake, [0.01, 0, 0, 0, 0, 0.99])
    np.testing.assert_allclose(mostly_nothing, us.acting_regrets(at_stake, np.eye(6)[0]))


@pytest.mark.parametrize("seed", range(3))
def test_no_policy_is_better_for_the_mean(seed):
    """Of payoffs a step; some actions are not available."""
    rng = np.random.default_rng(seed)
    available = np.array([[True, True], [True, False], [True, True], [True, True]])
    world = us.world_model(rng.dirichlet(np.ones(4), (4, 2)), np.full(4, 0.25), 0.7, available=available)
    rewards = rng.normal(size=(3, 4, 2))
    at_stake = us.stakes(world, stack_payoffs([us.payoffs.as_payoffs(world, reward) for reward in rewards]))
    share = rng.dirichlet(np.ones(3))
    policies = [np.eye(2)[list(choice)] for choice in itertools.product(range(2), [0], range(2), range(2))]
    values = np.array([[float(us.expected_utility(world, p, reward)) for reward in rewards] for p in policies])
    regrets = (at_stake.best - values) / (at_stake.best - at_stake.worst)
    assert us.acting_regrets(at_stake, share) @ share == pytest.approx((regrets @ share).min(), abs=1e-9)
    np.testing.assert_allclose(values.max(0), at_stake.best, atol=1e-9)
    np.testing.assert_allclose(values.min(0), at_stake.worst, atol=1e-9)


def test_refusals(at_stake, programs):
    with pytest.raises(us.InputError, match="stack of utilities"):
        us.stakes(WORLD, programs[0])
    limited = us.world_model(WORLD.transition, WORLD.initial, 1.0, horizon=3)
    with pytest.raises(us.InputError, match="horizon"):
        us.stakes(limited, stack_payoffs([us.payoffs.as_payoffs(limited, np.ones(8))]))
    with pytest.raises(us.InputError, match="6 numbers"):
        us.acting_regrets(at_stake, [0.5, 0.5])

"""Exact values against sums over all state sequences (with a horizon) and long power series (without)."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import utiliscope as us
from utiliscope.payoffs import stack_payoffs
from utiliscope.values import _arrival, _occupancy, arrival, state_transition

S, A, C = 3, 2, 2
SEEDS = st.integers(0, 10**6)


def random_world(seed, horizon=None):
    rng = np.random.default_rng(seed)
    transition = rng.dirichlet(np.ones(S) * 0.5, (S, A))
    initial = rng.dirichlet(np.ones(S))
    discount = rng.uniform(0.3, 0.95)
    return us.world_model(transition, initial, discount, horizon=horizon)


def random_policy(seed, *shape):
    return np.random.default_rng(seed + 1).dirichlet(np.ones(A), shape)


def random_payoffs(seed):
    rng = np.random.default_rng(seed + 2)
    targets = rng.random((C, S)) < 0.4
    return us.Payoffs(rng.normal(size=S), rng.normal(size=(S, A)), rng.normal(size=C), targets)


def worth(world, payoffs, states, actions):
    """What one sequence is worth, from the definition."""
    total = sum(float(world.discount) ** t * payoffs.state[s] for t, s in enumerate(states))
    if payoffs.action is not None:
        pairs = zip(states, actions, strict=False)
        total += sum(float(world.discount) ** t * payoffs.action[s, a] for t, (s, a) in enumerate(pairs))
    for weight, target in zip(payoffs.reach, payoffs.targets, strict=True):
        arrivals = [t for t, s in enumerate(states) if target[s]]
        total += weight * float(world.discount) ** arrivals[0] if arrivals else 0.0
    return total


def over_all_sequences(world, rows, function):
    """E[function(states, actions)] by summing over every sequence of len(rows) actions."""
    total = 0.0
    for states in itertools.product(range(S), repeat=len(rows) + 1):
        for actions in itertools.product(range(A), repeat=len(rows)):
            chance = world.initial[states[0]]
            for t, action in enumerate(actions):
                chance *= rows[t][states[t], action] * world.transition[states[t], action, states[t + 1]]
            total = total + chance * function(states, actions)
    return total


def by_power_series(world, policy, payoffs, steps=900):
    """Value without a horizon: the first 900 terms."""
    step = np.einsum("sa,sat->st", policy, world.transition)
    present, absent = world.initial, np.where(payoffs.targets, 0.0, 1.0) * world.initial
    gamma, total = float(world.discount), 0.0
    total += payoffs.reach @ (payoffs.targets @ world.initial)
    for t in range(steps):
        total += gamma**t * present @ (payoffs.state + (policy * payoffs.action).sum(-1))
        present, following = present @ step, absent @ step
        total += gamma ** (t + 1) * payoffs.reach @ (payoffs.targets * following).sum(-1)
        absent = np.where(payoffs.targets, 0.0, following)
    return total


@settings(deadline=None, max_examples=10, derandomize=True)
@given(SEEDS, st.booleans())
def test_finite_horizon_values_are_sums_over_sequences(seed, changing):
    horizon = 3
    world, payoffs = random_world(seed, horizon), random_payoffs(seed)
    policy = random_policy(seed, horizon, S) if changing else random_policy(seed, S)
    rows = policy if changing else [policy] * horizon
    expected = over_all_sequences(world, rows, lambda states, actions: worth(world, payoffs, states, actions))
    np.testing.assert_allclose(us.expected_utility(world, policy, payoffs), expected, rtol=1e-12, atol=1e-12)


@settings(deadline=None, max_examples=20, derandomize=True)
@given(SEEDS)
def test_discounted_values_are_power_series(seed):
    world, policy, payoffs = random_world(seed), random_policy(seed, S), random_payoffs(seed)
    np.testing.assert_allclose(
        us.expected_utility(world, policy, payoffs), by_power_series(world, policy, payoffs), rtol=1e-10, atol=1e-10
    )


def test_occupancy_and_arrival_are_sums_over_sequences():
    horizon, gamma = 3, 0.7
    world = us.world_model(random_world(1).transition, [0.2, 0.5, 0.3], gamma, horizon=horizon)
    rows = random_policy(1, horizon, S)
    targets = np.array([[True, False, False], [False, True, True], [False, False, False], [True, True, True]])

    def visits(states, actions):
        counts = np.zeros((S, A + 1))
        for t, s in enumerate(states):
            counts[s, 0] += gamma**t
            if t < horizon:
                counts[s, 1 + actions[t]] += gamma**t
        return counts

    def first(states, actions):
        return np.array([max((gamma**t for t, s in enumerate(states) if goal[s]), default=0.0) for goal in targets])

    found = us.occupancy(world, rows)
    expected = over_all_sequences(world, rows, visits)
    np.testing.assert_allclose(found.state, expected[:, 0], rtol=1e-12)
    np.testing.assert_allclose(found.action, expected[:, 1:], rtol=1e-12)
    np.testing.assert_allclose(arrival(world, rows, targets), over_all_sequences(world, rows, first), atol=1e-12)


def test_discounted_occupancy_and_arrival():
    world, policy = random_world(3), random_policy(3, S)
    found = us.occupancy(world, policy)
    np.testing.assert_allclose(found.state.sum(), 1 / (1 - world.discount))
    np.testing.assert_allclose(found.action.sum(-1), found.state)
    reached = arrival(world, policy, np.array([[False] * S, [True] * S, [True, False, False]]))
    assert reached[0] == 0 and reached[1] == pytest.approx(1) and world.initial[0] < reached[2] < 1


def test_a_horizon_counts_states_from_the_first_to_the_last_and_actions_between():
    world = us.world_model(np.ones((1, 1, 1)), [1.0], 1.0, horizon=5)
    assert us.expected_utility(world, np.ones((1, 1)), np.array([1.0])) == 6  # s_0 .. s_5
    assert us.expected_utility(world, np.ones((1, 1)), np.array([[1.0]])) == 5
    assert us.expected_utility(world, np.ones((1, 1)), np.array([1.0]), horizon=2) == 3


def test_the_length_of_a_policy_is_a_horizon_and_must_cover_the_worlds():
    discounted, short = random_world(4), random_world(4, horizon=3)
    rows, utility = random_policy(4, 3, S), np.arange(3.0)
    values = [us.expected_utility(w, rows, utility) for w in (discounted, short)]
    np.testing.assert_allclose(values[0], values[1])
    longer = np.concatenate([rows, rows])  # what follows the horizon does not count
    np.testing.assert_allclose(us.expected_utility(short, longer, utility), values[1])
    with pytest.raises(us.InputError, match="covers 2 steps of an episode of 3"):
        us.expected_utility(short, rows[:2], utility)


def test_long_horizons_agree_with_none():
    world, policy, payoffs = random_world(5), random_policy(5, S), random_payoffs(5)
    endless = us.expected_utility(world, policy, payoffs)
    np.testing.assert_allclose(us.expected_utility(world, policy, payoffs, horizon=700), endless, rtol=1e-9)


@settings(deadline=None, max_examples=10, derandomize=True)
@given(SEEDS, st.floats(-5, 5), st.floats(-5, 5))
def test_linear_in_the_utility_and_stacks_are_singles(seed, a, b):
    world, policy = random_world(seed), random_policy(seed, S)
    one, other = random_payoffs(seed), random_payoffs(seed + 7)
    values = us.expected_utility(world, policy, stack_payoffs([one, other]))
    singles = [us.expected_utility(world, policy, u) for u in (one, other)]
    np.testing.assert_allclose(values, singles, rtol=1e-12, atol=1e-12)
    mixed = us.Payoffs(
        a * one.state + b * other.state,
        a * one.action + b * other.action,
        np.concatenate([a * one.reach, b * other.reach]),
        np.concatenate([one.targets, other.targets]),
    )
    expected = a * singles[0] + b * singles[1]
    np.testing.assert_allclose(us.expected_utility(world, policy, mixed), expected, rtol=1e-9, atol=1e-9)


def test_state_payoffs_are_action_payoffs_without_a_horizon():
    world, policy, state = random_world(6), random_policy(6, S), np.array([1.0, -2.0, 0.5])
    as_actions = np.repeat(state[:, None], A, 1)
    np.testing.assert_allclose(
        us.expected_utility(world, policy, state), us.expected_utility(world, policy, as_actions)
    )


def test_programs_are_utilities():
    world = us.gridworld(["..G", ".b."], discount=0.8)
    policy = np.full((6, 4), 0.25)
    program = us.Grammar(world).parse("reach(G) - 2*reach(b)")
    targets = np.stack([world.features["G"], world.features["b"]])
    expected = np.array([1.0, -2.0]) @ arrival(world, policy, targets)
    np.testing.assert_allclose(us.expected_utility(world, policy, program), expected)


@pytest.mark.parametrize("horizon", [None, 3])
def test_differentiable_in_the_policy(horizon):
    world, payoffs = random_world(8, horizon), random_payoffs(8)
    policy = random_policy(8, S) if horizon is None else random_policy(8, 3, S)
    gradient = jax.grad(lambda p: us.expected_utility(world, p, payoffs))(policy)
    for place in itertools.product(*map(range, policy.shape)):
        step = np.zeros(policy.shape)
        step[place] = 1e-5
        ahead, behind = (us.expected_utility(world, policy + sign * step, payoffs) for sign in (1, -1))
        np.testing.assert_allclose(gradient[place], (ahead - behind) / 2e-5, rtol=1e-6, atol=1e-8)


def test_under_jit_and_vmap():
    world, payoffs = random_world(9), random_payoffs(9)
    policies = random_policy(9, 5, S)
    batched = jax.jit(jax.vmap(lambda p: us.expected_utility(world, p, payoffs)))(policies)
    np.testing.assert_allclose(batched, [us.expected_utility(world, p, payoffs) for p in policies], rtol=1e-12)
    np.testing.assert_allclose(state_transition(world, policies[0]).sum(-1), 1.0)

    worlds = [random_world(seed) for seed in range(3)]
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *worlds)
    values = jax.vmap(lambda w: us.expected_utility(w, policies[0], payoffs))(stacked)
    np.testing.assert_allclose(values, [us.expected_utility(w, policies[0], payoffs) for w in worlds], rtol=1e-12)


def test_traced_once_for_each_shape():
    traces = 0

    @jax.jit
    def value(world, policy, payoffs):
        nonlocal traces
        traces += 1
        return us.expected_utility(world, policy, payoffs)

    for seed in range(3):
        value(random_world(seed), random_policy(seed, S), random_payoffs(seed))
    assert traces == 1
    value(random_world(0), random_policy(0, 2, S), random_payoffs(0))
    assert traces == 2


@pytest.mark.parametrize("wrong", [np.zeros(4), np.zeros((2, 3)), 1.0, "reach(G)"])
def test_wrong_utilities_are_refused(wrong):
    with pytest.raises(us.InputError, match="utility"):
        us.expected_utility(random_world(0), random_policy(0, S), wrong)


def test_a_series_is_payoffs_and_any_whole_number_a_horizon():
    world, policy, payoffs = random_world(3), random_policy(3, S), np.array([0.0, 1.0, 3.0])
    expected = us.expected_utility(world, policy, payoffs, horizon=3)
    assert us.expected_utility(world, policy, pd.Series(payoffs), horizon=np.int64(3)) == expected
    assert us.expected_utility(world, policy, payoffs.astype(int), horizon=np.array(3)) == expected


def test_a_second_utility_of_the_same_shapes_is_not_compiled():
    world, policy = random_world(4), random_policy(4, S)
    counts = []
    for seed in (5, 6):
        us.expected_utility(world, policy, random_payoffs(seed), horizon=3)
        counts.append((_occupancy._cache_size(), _arrival._cache_size()))
    assert counts[0] == counts[1]

"""Best policies and ranges of values against brute force over all policies of small worlds, with and without memory."""

import itertools

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import utiliscope as us
from utiliscope.ascent import ascended
from utiliscope.automata import Automaton
from utiliscope.chains import memoryless_chains as chains
from utiliscope.planning import value_range

S, A = 3, 3
SEEDS = st.integers(0, 10**6)


def random_world(seed, num_states=S, horizon=None):
    rng = np.random.default_rng(seed)
    transition = rng.dirichlet(np.ones(num_states) * 0.4, (num_states, A))
    available = rng.random((num_states, A)) < 0.7
    initial = rng.dirichlet(np.ones(num_states)) * (rng.random(num_states) < 0.7)
    initial = np.eye(num_states)[0] if initial.sum() == 0 else initial / initial.sum()
    return us.world_model(transition, initial, rng.uniform(0.3, 0.95), available=available, horizon=horizon)


def random_payoffs(seed, world, *, steps=True, num_targets=0):
    rng = np.random.default_rng(seed + 1)
    shape = world.num_states, world.num_actions
    targets = rng.random((num_targets, world.num_states)) < 0.4
    scale = 10.0 ** rng.integers(-3, 4)  # nothing may depend on the unit of utility
    state, action = (scale * rng.normal(size=size) * steps for size in (shape[0], shape))
    return us.Payoffs(state, action if steps else None, scale * rng.normal(size=num_targets), targets)


def deterministic_policies(world):
    """Every choice of one available action for each state, one-hot."""
    options = [np.flatnonzero(row) for row in world.available]
    return [np.eye(world.num_actions)[list(choice)] for choice in itertools.product(*options)]


def product_values(world, payoffs):
    """Discounted values of all deterministic policies over (state, what has been reached)."""
    modes = list(itertools.product([False, True], repeat=len(payoffs.targets)))
    pairs = [(s, m) for s in range(world.num_states) for m in modes]
    index = {pair: i for i, pair in enumerate(pairs)}

    def enter(s, mode):
        arrived = payoffs.targets[:, s] & ~np.array(mode, bool)
        return index[s, tuple(np.array(mode, bool) | payoffs.targets[:, s])], float(payoffs.reach @ arrived)

    gamma = float(world.discount)
    transition = np.zeros((len(pairs), world.num_actions, len(pairs)))
    payoff = np.zeros((len(pairs), world.num_actions))
    for (s, mode), i in index.items():
        for a in range(world.num_actions):
            payoff[i, a] = payoffs.state[s] + (0 if payoffs.action is None else payoffs.action[s, a])
            for t, chance in enumerate(world.transition[s, a]):
                j, paid = enter(t, mode)
                transition[i, a, j] += chance
                payoff[i, a] += gamma * chance * paid
    initial, at_once = np.zeros(len(pairs)), 0.0
    for s, chance in enumerate(world.initial):
        i, paid = enter(s, (False,) * len(payoffs.targets))
        initial[i] += chance
        at_once += chance * paid

    # Only pairs that can be met have to be enumerated.
    available = np.array([world.available[s] for s, _ in pairs])
    met = initial > 0
    for _ in pairs:
        met = met | ((transition[met] > 0) & available[met][..., None]).any((0, 1))
    options = [np.flatnonzero(row) if seen else [np.argmax(row)] for row, seen in zip(available, met, strict=True)]
    choices = np.array(list(itertools.product(*options)))
    rows = np.arange(len(pairs))
    values = np.linalg.solve(np.eye(len(pairs)) - gamma * transition[rows, choices], payoff[rows, choices][..., None])
    return values[..., 0] @ initial + at_once


def with_history(world, payoffs, better):
    """Best (or worst) value over all policies with memory, with a horizon: plain recursion."""
    gamma = float(world.discount)

    def ahead(s, reached, left):
        now = payoffs.state[s] + payoffs.reach @ (payoffs.targets[:, s] & ~reached)
        reached = reached | payoffs.targets[:, s]
        if left == 0:
            return now
        return now + better(
            (0.0 if payoffs.action is None else payoffs.action[s, a])
            + gamma * sum(p * ahead(t, reached, left - 1) for t, p in enumerate(world.transition[s, a]) if p > 0)
            for a in np.flatnonzero(world.available[s])
        )

    nothing = np.zeros(len(payoffs.targets), bool)
    return sum(p * ahead(s, nothing, world.horizon) for s, p in enumerate(world.initial) if p > 0)


def value(world, policy, payoffs):
    return float(us.expected_utility(world, policy, payoffs))


def close(values, payoffs):
    scale = max(np.abs(part).max(initial=0) for part in (payoffs.state, payoffs.reach, np.zeros(1)))
    return pytest.approx(values, rel=1e-9, abs=1e-9 * scale)


@settings(deadline=None, max_examples=25, derandomize=True)
@given(SEEDS, st.booleans())
def test_the_best_of_all_deterministic_policies(seed, steps):
    """Payoffs a step, or one set to be reached: no policy is better, and memory does not help."""
    world = random_world(seed)
    payoffs = random_payoffs(seed, world, steps=steps, num_targets=0 if steps else 1)
    values = [value(world, policy, payoffs) for policy in deterministic_policies(world)]
    policy = us.optimal_policy(world, payoffs)
    assert policy.shape == (S, A) and not policy[~world.available].any()
    np.testing.assert_array_equal(policy.sum(-1), 1.0)
    assert value(world, policy, payoffs) == close(max(values), payoffs)
    assert value_range(world, payoffs) == close((min(values), max(values)), payoffs)


@settings(deadline=None, max_examples=25, derandomize=True)
@given(SEEDS, st.integers(1, 2), st.booleans())
def test_with_several_parts_the_range_is_that_of_policies_with_memory(seed, num_targets, steps):
    world = random_world(seed, num_states=2 if num_targets == 2 else 3)
    payoffs = random_payoffs(seed, world, steps=steps, num_targets=num_targets)
    with_memory = product_values(world, payoffs)
    worst, best = value_range(world, payoffs)
    assert (worst, best) == close((with_memory.min(), with_memory.max()), payoffs)

    policy = us.optimal_policy(world, payoffs)
    assert not policy[~world.available].any()
    found = value(world, policy, payoffs)
    slack = 1e-9 * max(abs(worst), abs(best))
    assert worst - slack <= found <= best + slack
    for s in range(world.num_states):
        for a in np.flatnonzero(world.available[s]):
            changed = policy.copy()
            changed[s] = np.eye(A)[a]
            assert value(world, changed, payoffs) <= found + slack


@settings(deadline=None, max_examples=15, derandomize=True)
@given(SEEDS, st.sampled_from([(True, 0), (False, 1), (True, 1), (True, 2)]))
def test_with_a_horizon(seed, parts):
    steps, num_targets = parts
    world = random_world(seed, horizon=3)
    payoffs = random_payoffs(seed, world, steps=steps, num_targets=num_targets)
    bounds = with_history(world, payoffs, min), with_history(world, payoffs, max)
    assert value_range(world, payoffs) == close(bounds, payoffs)
    policy = us.optimal_policy(world, payoffs)
    assert policy.shape == (3, S, A) and not policy[:, ~world.available].any()
    np.testing.assert_array_equal(policy.sum(-1), 1.0)
    if num_targets + steps == 1:
        assert value(world, policy, payoffs) == close(bounds[1], payoffs)
        return
    # Memory would help: a local optimum among policies without it.
    slack = 1e-9 * max(map(abs, bounds))
    values = np.asarray(values_of(np.array([policy, *changed_once(world, policy)]), world, payoffs))
    assert bounds[0] - slack <= values.max() <= values[0] + slack <= bounds[1] + 2 * slack


@jax.jit
def values_of(policies, world, payoffs):
    """`[N]` values, in one go."""
    return jax.vmap(lambda policy: us.expected_utility(world, policy, payoffs))(policies)


def changed_once(world, policy):
    """A policy `[H, S, A]` with another action in one state at one step."""
    for t, s in itertools.product(*map(range, policy.shape[:2])):
        for a in np.flatnonzero(world.available[s] & (policy[t, s] == 0)):
            changed = policy.copy()
            changed[t, s] = np.eye(world.num_actions)[a]
            yield changed


def all_in_time(world):
    """All deterministic policies that change with time, `[N, H, S, A]`."""
    return np.array(list(itertools.product(deterministic_policies(world), repeat=world.horizon)))


@pytest.mark.parametrize("seed", range(6))
def test_ascent_is_no_worse_than_its_starts(seed):
    """With a horizon and without, and the best of all from enough of them."""
    rng = np.random.default_rng(seed)
    for horizon in (None, 2):
        world = random_world(seed, horizon=horizon)
        payoffs = random_payoffs(seed, world, num_targets=2)
        policies = np.array(deterministic_policies(world)) if horizon is None else all_in_time(world)
        values = np.asarray(values_of(policies, world, payoffs))
        for start in rng.choice(len(policies), 4):
            found = value(world, ascended(world, payoffs, [policies[start]]), payoffs)
            assert found >= values[start] - 1e-12 * abs(values[start])
        found = value(world, ascended(world, payoffs, list(policies)), payoffs)
        assert found == close(values.max(), payoffs)
        assert value(world, us.optimal_policy(world, payoffs), payoffs) == close(values.max(), payoffs)


def test_backward_induction_beats_every_policy_that_changes_with_time():
    world = random_world(12, horizon=2)
    payoffs = random_payoffs(12, world)
    rows = deterministic_policies(world)
    values = [value(world, np.array(pair), payoffs) for pair in itertools.product(rows, repeat=2)]
    assert value(world, us.optimal_policy(world, payoffs), payoffs) == close(max(values), payoffs)
    assert value_range(world, payoffs) == close((min(values), max(values)), payoffs)


@settings(deadline=None, max_examples=10, derandomize=True)
@given(SEEDS, st.floats(-6, 6), st.floats(-1e3, 1e3))
def test_the_unit_of_utility_does_not_matter(seed, power, offset):
    world = random_world(seed)
    state = np.random.default_rng(seed).normal(size=S)
    worst, best = value_range(world, state)
    unit = 10.0**power
    scaled = value_range(world, unit * state)
    np.testing.assert_allclose(scaled, (unit * worst, unit * best), rtol=1e-9, atol=1e-9 * unit)
    shifted = np.array(value_range(world, state + offset)) - offset / (1 - world.discount)
    np.testing.assert_allclose(shifted, (worst, best), rtol=1e-7, atol=1e-7)


def test_chains_are_the_utility_in_parts():
    world = random_world(5)
    payoffs = random_payoffs(5, world, num_targets=2)
    goes_on, paid = chains(world, payoffs)
    policy = np.where(world.available, 1.0, 0.0) / world.available.sum(-1, keepdims=True)
    step = float(world.discount) * np.einsum("sa,sat->st", policy, world.transition)
    total = 0.0
    for on, pay in zip(goes_on, paid, strict=True):
        total += world.initial @ np.linalg.solve(np.eye(S) - on[:, None] * step, (policy * pay).sum(-1))
    assert total == pytest.approx(value(world, policy, payoffs))


def test_known_policy_on_a_grid():
    """One row, goal at the right: from every cell on the left the way is right; steps cost nothing there."""
    world = us.gridworld(["....G"], discount=0.9)
    policy = us.optimal_policy(world, world.features["G"] * 1.0)
    assert [world.action_names[a] for a in policy[:4].argmax(-1)] == ["right"] * 4
    worst, best = value_range(world, world.features["G"] * 1.0)
    # From distance d the goal is worth 0.9^d / (1 - 0.9); the worst policy never enters it, and leaves it at once.
    assert best == pytest.approx(np.mean(0.9 ** np.arange(5)) * 10) and worst == pytest.approx(0.2)


def test_many_sets_to_reach():
    """Each cell of a row pays once: to one end, then to the other. The worst course is to stay."""
    world, gamma = us.gridworld(["..........."], discount=0.9), 0.9
    payoffs = us.Payoffs(np.zeros(11), None, np.ones(11), np.eye(11, dtype=bool))

    def there_and_back(short, long):
        first, then = range(1, short + 1), range(2 * short + 1, 2 * short + long + 1)
        return 1 + sum(gamma**t for t in (*first, *then))

    best = np.mean([max(there_and_back(s, 10 - s), there_and_back(10 - s, s)) for s in range(11)])
    assert value_range(world, payoffs) == (pytest.approx(1.0), pytest.approx(best))


@pytest.mark.parametrize("number", [17, 64])
def test_too_much_to_remember(number):
    """Any state may follow any other: every set of states may be what was seen so far."""
    world = us.world_model(np.full((number, 1, number), 1 / number), np.full(number, 1 / number), 0.9)
    payoffs = us.Payoffs(np.zeros(number), None, np.ones(number), np.eye(number, dtype=bool))
    with pytest.raises(us.InputError, match="more than 131072 pairs of memory and state"):
        value_range(world, payoffs)


@pytest.mark.parametrize("where", ["state", "action", "reach", "weight", "pay"])
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_payoffs_that_are_no_numbers(where, wrong):
    world = random_world(3)
    shapes = dict(state=S, action=(S, A), reach=1, weight=1, pay=(1, S))
    parts = {name: np.ones(shape) for name, shape in shapes.items()}
    parts[where].flat[0] = wrong
    machine = Automaton(np.zeros((1, S), int), parts.pop("pay"))
    payoffs = us.Payoffs(targets=np.eye(1, S, dtype=bool), automata=(machine,), **parts)
    for function in (us.optimal_policy, value_range):
        with pytest.raises(us.InputError, match="not a finite number"):
            function(world, payoffs)

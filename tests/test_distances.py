"""EPIC and STARC distances: what they do not see, what they are by hand, and the bound on regret that STARC gives."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import utiliscope as us
from utiliscope.node_policies import random_policy

DISTANCES = (us.epic_distance, us.starc_distance)
LINE = us.gridworld(["a.b.c"], slip=0.2, discount=0.8)


def random_world(seed, num_states=5, num_actions=3):
    """Some actions are not available, and no state is impossible."""
    rng = np.random.default_rng(seed)
    available = rng.random((num_states, num_actions)) < 0.7
    available[:, 0] = True
    transition = rng.dirichlet(np.ones(num_states), (num_states, num_actions))
    return us.world_model(transition, rng.dirichlet(np.ones(num_states)), 0.9, available=available)


def shaped(world, reward, potential, scale):
    """`[S, A, S]` of a reward `[S, A]`."""
    return scale * reward[:, :, None] + float(world.discount) * potential - potential[:, None, None]


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**16), scale=st.floats(1e-3, 1e3), size=st.floats(0, 10))
def test_shaping_and_scale_are_not_seen(seed, scale, size):
    rng = np.random.default_rng(seed)
    world = random_world(seed)
    first, second = rng.normal(size=(2, 5, 3))
    other = shaped(world, first, size * rng.normal(size=5), scale)
    for distance in DISTANCES:
        assert distance(world, first, other) == pytest.approx(0, abs=1e-9)
        assert distance(world, first, -other) == pytest.approx(1, abs=1e-9)
        between = distance(world, first, second)
        assert distance(world, other, second) == pytest.approx(between, abs=1e-9)
        assert distance(world, second, first) == pytest.approx(between, abs=1e-12)
        assert 0 <= between <= 1


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**16))
def test_triangles(seed):
    world = random_world(seed)
    rewards = np.random.default_rng(seed).normal(size=(3, 5, 3))
    for distance in DISTANCES:
        ab, bc, ac = (distance(world, rewards[i], rewards[j]) for i, j in ((0, 1), (1, 2), (0, 2)))
        assert ac <= ab + bc + 1e-12


@pytest.mark.parametrize("distance", DISTANCES)
def test_constants_are_at_one_half_from_everything_else(distance):
    world = random_world(0)
    reward = np.random.default_rng(0).normal(size=(5, 3))
    shaping = shaped(world, 0 * reward, np.arange(5.0), 1.0)
    assert distance(world, np.full(5, 3.0), np.zeros(5)) == 0
    assert distance(world, shaping, np.zeros(5)) == 0
    assert distance(world, np.full(5, -2.0), reward) == pytest.approx(0.5)
    assert distance(world, reward, shaping) == pytest.approx(0.5)


def test_one_state_by_hand():
    """A bandit of three arms: both are distances of payoffs about their mean."""
    world = us.world_model(np.ones((1, 3, 1)), [1.0], 0.5)
    first, second = np.array([[1.0, 0, 0]]), np.array([[0.0, 1, 0]])
    # Correlation of (2, -1, -1) and (-1, 2, -1): -1/2, and (1 + 1/2) / 2 = 3/4.
    for distance in DISTANCES:
        assert distance(world, first, second) == pytest.approx(np.sqrt(0.75))
        assert distance(world, first, first + second) == pytest.approx(np.sqrt(0.25))


def test_two_states_by_hand():
    """Each action leads to the state of its number. EPIC and STARC differ: one looks at next states, one at means."""
    moves = np.zeros((2, 2, 2))
    moves[:, 0, 0] = moves[:, 1, 1] = 1
    world = us.world_model(moves, [0.5, 0.5], 0.5)
    # Being in state 1; and choosing to go there, which is the same utility but for a step, and the first state.
    first, second = np.array([0.0, 1.0]), np.array([[0.0, 1.0], [0.0, 1.0]])
    # EPIC: R(s) + g R(s') - R(s) = s' / 2 on four equally likely moves, and s' - 1/2: correlation 1.
    assert us.epic_distance(world, first, second) == pytest.approx(0, abs=1e-12)
    assert us.starc_distance(world, first, second) == pytest.approx(0, abs=1e-12)
    # Paid for action 1 in state 1 alone: C = (0, 0, -1/2, 1/2) + s'/4 about its mean, in the order of s and s'.
    third = np.array([[0.0, 0.0], [0.0, 1.0]])
    form = np.array([0, 1 / 4, -1 / 2, 3 / 4])
    rho = np.corrcoef(form, [0, 1, 0, 1])[0, 1]
    assert us.epic_distance(world, first, third) == pytest.approx(np.sqrt((1 - rho) / 2))
    # V(1) - V(0) = 1/2 there: advantages (-1/8, 1/8) in state 0 and (-5/8, 5/8) in state 1.
    advantages = np.array([-1, 1, -5, 5]) / np.sqrt(52)
    apart = np.linalg.norm(advantages - np.array([-1, 1, -1, 1]) / 2) / 2
    assert us.starc_distance(world, first, third) == pytest.approx(apart)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**16))
def test_starc_bounds_the_loss_of_ranking_by_the_other_reward(seed):
    rng = np.random.default_rng(seed)
    world = random_world(seed)
    available = np.asarray(world.available)
    first = rng.normal(size=(5, 3))
    second = first + rng.choice([0.1, 1.0, 10.0]) * rng.normal(size=(5, 3))
    weight = _uses(world, random_policy(available)) * (1 - float(world.discount))
    advantage = _advantages(world, first)
    length = np.sqrt((weight * advantage**2).sum())
    policies = (rng.gamma(0.3, size=(8, 5, 3)) + 1e-9) * available
    uses = np.array([_uses(world, policy) for policy in policies / policies.sum(-1, keepdims=True)])
    by_first, by_second = (uses * first).sum((1, 2)), (uses * second).sum((1, 2))
    distance = us.starc_distance(world, first, second)
    for one, two in itertools.permutations(range(len(policies)), 2):
        if by_second[one] >= by_second[two]:
            apart = (uses[one] - uses[two])[available] ** 2 / weight[available]
            assert by_first[two] - by_first[one] <= 2 * distance * length * np.sqrt(apart.sum()) + 1e-6


def _uses(world, policy):
    step = float(world.discount) * np.einsum("sa,sat->st", policy, np.asarray(world.transition))
    return np.linalg.solve(np.eye(len(step)) - step.T, np.asarray(world.initial))[:, None] * policy


def _advantages(world, reward):
    policy = random_policy(world.available)
    transition, discount = np.asarray(world.transition), float(world.discount)
    step = discount * np.einsum("sa,sat->st", policy, transition)
    values = np.linalg.solve(np.eye(len(step)) - step, (policy * reward).sum(1))
    return np.where(world.available, reward + discount * transition @ values - values[:, None], 0.0)


@pytest.mark.parametrize("distance", DISTANCES)
def test_unavailable_actions_do_not_count(distance):
    world = random_world(1)
    available = np.asarray(world.available)
    assert not available.all()
    rewards = np.random.default_rng(1).normal(size=(2, 5, 3))
    other = np.where(available, rewards, 100.0)
    assert distance(world, *other) == pytest.approx(distance(world, *rewards), abs=1e-12)


@pytest.mark.parametrize("distance", DISTANCES)
def test_memory_that_is_of_no_use_changes_nothing(distance):
    """A weight of almost nothing on a form with memory puts the same rewards on pairs of memory and state."""
    grammar = us.Grammar(LINE)
    plain = [grammar.parse(text) for text in ("time(a)", "time(b) - 2*time(c)")]
    with_memory = grammar.parse("10000000000*time(a) + sequence(b, c)")
    assert distance(LINE, with_memory, plain[1]) == pytest.approx(distance(LINE, *plain), abs=1e-8)
    assert distance(LINE, with_memory, plain[0]) == pytest.approx(0, abs=1e-8)
    assert distance(LINE, grammar.parse("reach(a)"), grammar.parse("avoid(a)")) == pytest.approx(1, abs=1e-9)
    assert 0.05 < distance(LINE, grammar.parse("reach(a)"), grammar.parse("time(a)")) < 0.95


@pytest.mark.parametrize("distance", DISTANCES)
def test_sparse_worlds_are_the_same(distance):
    sparse = us.gridworld(["a.b.c"], slip=0.2, discount=0.8, sparse=True)
    reward = np.random.default_rng(0).normal(size=(2, 5, 4, 5))
    assert distance(sparse, *reward) == pytest.approx(distance(LINE, *reward), abs=1e-12)
    assert distance(sparse, *reward[..., 0]) == pytest.approx(distance(LINE, *reward[..., 0]), abs=1e-12)


def test_epic_has_the_weights_of_the_policy():
    """Where a policy never goes, rewards may differ."""
    away = np.eye(4)[np.full(5, LINE.action_names.index("left"))]
    world = us.gridworld(["a.b.c"], discount=0.8, initial=[0, 1, 0, 0, 0])
    first, second = np.zeros((2, 5))
    first[0] = second[0] = 1.0
    second[4] = 5.0
    assert us.epic_distance(world, first, second, policy=away) == pytest.approx(0, abs=1e-12)
    assert us.epic_distance(world, first, second) > 0.1


@pytest.mark.parametrize("distance", DISTANCES)
def test_refusals(distance):
    program = us.Grammar(LINE).parse("reach(a)")
    moves = np.zeros((5, 4, 5))
    with pytest.raises(us.InputError, match="payoffs a step only"):
        distance(LINE, moves, program)
    with pytest.raises(us.InputError, match="shape"):
        distance(LINE, np.zeros(4), np.zeros(5))
    with pytest.raises(us.InputError, match="policy has shape"):
        distance(LINE, np.zeros(5), np.zeros(5), policy=np.ones(5))
    with pytest.raises(us.InputError, match="not finite"):
        distance(LINE, moves + np.nan, np.zeros(5))
    limited = us.world_model(LINE.transition, LINE.initial, 1.0, horizon=3)
    with pytest.raises(us.InputError, match="horizon"):
        distance(limited, np.zeros(5), np.zeros(5))

"""Agents that plan: each against an exact statement about what it does."""

import dataclasses

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_worlds import UTILITIES, cafe_world, from_moves, grid, random_world

import utiliscope as us
from utiliscope.achievement import episode_utilities
from utiliscope.agents import (
    AntiRational,
    AntiRationalNegated,
    Boltzmann,
    EpsilonRandom,
    Forgetful,
    Hyperbolic,
    Indifferent,
    Lookahead,
    LossAverse,
    Myopic,
    Optimal,
    Overconfident,
    Satisficing,
    Underconfident,
    course_value,
    policy,
    pursued,
    simulate,
)
from utiliscope.agents.outlook import outlook
from utiliscope.agents.overconfident import sharpened
from utiliscope.agents.underconfident import flattened
from utiliscope.payoffs import as_payoffs, stack_payoffs
from utiliscope.planning import value_range

SEEDS = st.integers(0, 10**6)
TEXTS = st.sampled_from(UTILITIES)
HORIZONS = st.sampled_from([None, 4])


def read(world, text):
    return us.Grammar(world).parse(text)


def record(agent, world, utility, seed=0, num_episodes=200, num_steps=10):
    return agent.record(jax.random.key(seed), world, utility, num_episodes=num_episodes, num_steps=num_steps)


def worth(agent, world, utility):
    return course_value(world, utility, agent.course(world, utility))


def same(one, other):
    return one.table.equals(other.table)


@settings(deadline=None, max_examples=16, derandomize=True)
@given(SEEDS, TEXTS, HORIZONS, st.booleans())
def test_the_best_and_the_worst_that_can_be_done(seed, text, horizon, sparse):
    """With memory where it helps, and with unavailable actions."""
    world = random_world(seed, horizon=horizon, sparse=sparse)
    utility = read(world, text)
    worst, best = value_range(world, utility)
    tolerance = 1e-9 * max(1.0, abs(worst), abs(best))
    steps = Optimal().course(world, utility)
    assert course_value(world, utility, steps) == pytest.approx(best, abs=tolerance)
    assert not steps.policy[..., ~world.available[steps.state]].any()
    assert worth(AntiRational(), world, utility) == pytest.approx(worst, abs=tolerance)


@settings(deadline=None, max_examples=6, derandomize=True)
@given(SEEDS, st.sampled_from(UTILITIES[:4]), HORIZONS)
def test_the_value_of_a_course_without_memory(seed, text, horizon):
    world = random_world(seed, horizon=horizon)
    utility = read(world, text)
    value = float(us.expected_utility(world, policy(EpsilonRandom(0.4), world, utility), utility))
    assert worth(EpsilonRandom(0.4), world, utility) == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("text", ["sequence(p, q)", "time(p) - 2*time(q)"])
def test_what_is_recorded_is_worth_what_the_course_is(text):
    world = random_world(5, horizon=6)
    utility = read(world, text)
    recorded = record(EpsilonRandom(0.2), world, utility, num_episodes=4000)
    paid = episode_utilities(recorded, world, stack_payoffs([as_payoffs(world, utility)]))[:, 0]
    error = paid.std(ddof=1) / np.sqrt(len(paid))
    assert abs(paid.mean() - worth(EpsilonRandom(0.2), world, utility)) < 5 * error


def test_the_unit_of_utility_does_not_matter():
    world = grid()
    amounts = np.random.default_rng(0).normal(size=world.num_states)
    for agent in (Optimal(), Boltzmann(0.3), Satisficing(0.5), Hyperbolic(1.0), Lookahead(2)):
        own = policy(agent, world, amounts)
        np.testing.assert_allclose(policy(agent, world, 1e-6 * amounts + 1e3), own, atol=1e-4)
        np.testing.assert_allclose(policy(agent, world, 1e6 * amounts), own, atol=1e-9)


def test_ties_are_broken_at_random():
    world = us.gridworld(["...", "..G"], discount=0.9)
    rows = policy(Optimal(), world, read(world, "reach(G)"))
    right_and_down = [0.0, 0.5, 0.0, 0.5]
    np.testing.assert_array_equal(rows[0], right_and_down)
    np.testing.assert_array_equal(policy(Optimal(), world, np.zeros(6)), np.full((6, 4), 0.25))


def test_the_share_of_random_actions():
    world = from_moves([[0, 1, 2], [1, 0, 2], [2, 0, 1]])
    share, utility = 0.3, np.array([0.0, 0.0, 1.0])
    table = record(EpsilonRandom(share), world, utility).table
    best = policy(Optimal(), world, utility)
    assert ((best == 1).sum(-1) == 1).all()
    others = best[table["state"], table["action"]] == 0
    expected = share * 2 / 3
    error = np.sqrt(expected * (1 - expected) / len(others))
    assert abs(others.mean() - expected) < 5 * error
    assert same(record(EpsilonRandom(0.0), world, utility), record(Optimal(), world, utility))


@pytest.mark.parametrize("temperature", [0.1, 1.0, 10.0])
def test_the_odds_of_boltzmann(temperature):
    world = random_world(3)
    amounts = np.random.default_rng(1).normal(size=(world.num_states, world.num_actions))
    values = np.zeros_like(amounts)
    for _ in range(600):
        values = np.where(world.available, amounts + world.discount * world.transition @ values.max(-1), -np.inf)
    spread = values.max(-1) - np.where(world.available, values, np.inf).min(-1)
    unit = spread[spread > 1e-9].mean()
    rows = policy(Boltzmann(temperature), world, amounts)
    for state in range(world.num_states):
        some = np.flatnonzero(world.available[state])
        odds = rows[state, some] / rows[state, some[0]]
        gained = values[state, some] - values[state, some[0]]
        np.testing.assert_allclose(odds, np.exp(gained / (temperature * unit)), rtol=1e-9)
    assert not rows[~world.available].any()


def test_patience():
    """Near and little, or far and much."""
    world = from_moves([[1, 3], [2, -1], [2, -1], [4, -1], [5, -1], [5, -1]], discount=0.9)
    utility = np.array([0.0, 1.0, 0.0, 0.0, 1.5, 0.0])
    assert policy(Optimal(), world, utility)[0].tolist() == [0, 1]
    assert policy(Myopic(1.0), world, utility)[0].tolist() == [0, 1]
    # 1 against 1.5 x 0.9 x patience: they are even at patience 0.741.
    assert policy(Myopic(0.75), world, utility)[0].tolist() == [0, 1]
    assert policy(Myopic(0.73), world, utility)[0].tolist() == [1, 0]
    assert policy(Myopic(0.0), world, utility)[0].tolist() == [0.5, 0.5]


@settings(deadline=None, max_examples=15, derandomize=True)
@given(SEEDS, TEXTS)
def test_looking_ahead_to_the_end_is_optimal(seed, text):
    world = random_world(seed, horizon=4)
    utility = read(world, text)
    best = Optimal().course(world, utility)
    for depth in (4, 9):
        np.testing.assert_array_equal(Lookahead(depth).course(world, utility).policy, best.policy)
    # The last steps are in sight of all.
    near = Lookahead(2).course(world, utility)
    np.testing.assert_array_equal(near.policy[2:], best.policy[2:])


def test_what_lies_beyond_the_depth_is_not_seen():
    world = us.gridworld(["......G"], discount=0.9)
    utility = read(world, "reach(G)")
    for depth in (1, 3):
        rows = policy(Lookahead(depth), world, utility)
        right = np.eye(4)[3]
        for place in range(6):
            expected = right if 6 - place <= depth else np.full(4, 0.25)
            np.testing.assert_array_equal(rows[place], expected)


def test_the_naive_and_the_sophisticated_on_the_way_to_the_cafe():
    world = cafe_world()
    utility = np.zeros(11)
    utility[2], utility[5] = 0.42, 1.0
    naive, knowing = (Hyperbolic(3.0, sophisticated=which) for which in (False, True))

    def path(agent):
        (_, states, _), *_ = record(agent, world, utility, num_episodes=1).episodes()
        return states.tolist()

    assert path(naive)[:4] == [0, 1, 2, 10]  # means to pass the donuts, and does not
    assert path(knowing)[:7] == [0, 6, 7, 8, 9, 5, 10]  # goes round them
    at_junction = policy(Optimal(), world, utility)[:, 1]
    assert at_junction[:6].tolist() == [[0, 1]] * 6
    # The same, in a world without a horizon.
    endless = dataclasses.replace(world, horizon=None, discount=np.array(0.999))
    assert policy(naive, endless, utility)[[0, 1]].tolist() == [[1, 0], [1, 0]]
    assert policy(knowing, endless, utility)[[0, 1]].tolist() == [[0, 1], [1, 0]]


@settings(deadline=None, max_examples=12, derandomize=True)
@given(SEEDS, TEXTS, HORIZONS)
def test_without_a_hyperbola_there_is_nothing_to_know(seed, text, horizon):
    world = random_world(seed, horizon=horizon)
    utility = read(world, text)
    naive, knowing = (Hyperbolic(0.0, sophisticated=which, depth=6) for which in (False, True))
    end = Optimal() if horizon else Lookahead(6)
    expected = end.course(world, utility).policy
    np.testing.assert_array_equal(naive.course(world, utility).policy, expected)
    np.testing.assert_array_equal(knowing.course(world, utility).policy, expected)


def test_confidence():
    chances = np.array([[[0.8, 0.2], [0.5, 0.5]], [[0.0, 1.0], [0.0, 1.0]]])
    world = us.world_model(chances, [1.0, 0.0], 0.9, available=[[1, 1], [1, 0]])
    np.testing.assert_allclose(sharpened(world, 2.0).transition.dense()[0], [[0.64 / 0.68, 0.04 / 0.68], [0.5, 0.5]])
    np.testing.assert_allclose(flattened(world, 0.5).transition.dense()[0], [[0.725, 0.275], [0.575, 0.425]])
    amounts = np.random.default_rng(2).normal(size=5)
    world = random_world(2)
    np.testing.assert_array_equal(policy(Underconfident(1.0), world, amounts), anything(world))
    for agent in (Overconfident(1.0), Underconfident(0.0)):
        np.testing.assert_array_equal(policy(agent, world, amounts), policy(Optimal(), world, amounts))


def anything(world):
    return world.available / world.available.sum(-1, keepdims=True)


def test_who_walks_beside_the_cliff():
    """The short way is beside it: those who doubt keep away, those who are too sure do not."""
    world = us.gridworld([".....", ".....", ".xxxG"], slip=0.12, discount=0.95, initial=np.eye(15)[10])
    utility = read(world, "time(G) - 2*time(x)")
    beside = policy(Overconfident(8.0), world, utility)[5], policy(Underconfident(0.6), world, utility)[5]
    assert beside[0].argmax() == 3 and beside[1].argmax() == 0


def test_good_enough():
    world = grid()
    utility = read(world, "time(G) - time(b)")
    view = outlook(world, utility)
    values = view.values()
    short = (values.max(-1, keepdims=True) - values) / view.stake(values)
    for slack in (0.0, 0.4, 1.0, 100.0):
        rows = policy(Satisficing(slack), world, utility)
        np.testing.assert_allclose(rows, (short <= slack + 1e-9) / (short <= slack + 1e-9).sum(-1, keepdims=True))
    np.testing.assert_array_equal(policy(Satisficing(0.0), world, utility), policy(Optimal(), world, utility))


def test_losses_loom():
    """Even odds of 3 or -2, or nothing: worth 0.5, and -0.75 to one for whom losses count 2.25 times."""
    chances = np.zeros((4, 2, 4))
    chances[0, 0, [1, 2]], chances[0, 1, 3] = 0.5, 1.0
    chances[1:, :, 3] = 1.0
    features = {"won": [False, True, False, False], "lost": [False, False, True, False]}
    world = us.world_model(chances, np.eye(4)[0], 0.9, features=features)
    for text in ("3*time(won) - 2*time(lost)", "3*visits(won, 2) - 2*visits(lost, 2)", "3*reach(won) - 2*reach(lost)"):
        utility = read(world, text)
        rows = [agent.course(world, utility).at(0, np.array([0]))[0].tolist() for agent in (Optimal(), LossAverse())]
        assert rows == [[1, 0], [0, 1]]
    assert worth(LossAverse(1.0), world, utility) == pytest.approx(worth(Optimal(), world, utility))
    assert worth(LossAverse(1.6), world, read(world, "time(lost) + time(won)")) == pytest.approx(0.9)


def test_what_is_forgotten():
    world = grid(slip=0.0)
    utility = read(world, "reach(G)")
    key = jax.random.key(1)
    np.testing.assert_array_equal(
        Forgetful(0.0).course_of(key, world, utility).policy, policy(Optimal(), world, utility)
    )
    np.testing.assert_allclose(Forgetful(1.0).course_of(key, world, utility).policy, np.full((16, 4), 0.25))
    known = np.asarray(world.transition)
    believed = Forgetful(0.4).remembered(key, world).transition.dense()
    np.testing.assert_allclose(believed.sum(-1), 1.0)
    off = ~np.eye(16, dtype=bool)[:, None, :]
    assert (((believed == known) | (believed == 0)) | ~off).all()
    ways = (known.max(1) > 0) & off[:, 0]
    lost = (ways & (believed.max(1) == 0))[ways]
    assert abs(lost.mean() - 0.4) < 5 * np.sqrt(0.24 / len(lost))


def test_a_way_that_was_forgotten_is_taken_notice_of():
    """What the utility remembers goes on where the world surprises the agent."""
    world = grid(slip=0.3)
    utility = read(world, "sequence(a, b, c)")
    recorded = record(Forgetful(0.5), world, utility, num_episodes=50, num_steps=40)
    us.read_behaviour(recorded.table, world)
    steps = Forgetful(0.5).course_of(jax.random.key(0), world, utility)
    assert course_value(world, utility, steps) < value_range(world, utility)[1]


@pytest.mark.parametrize("text", ["reach(p)", "sequence(p, q)", "time(p) - 2*time(q)", "0"])
def test_degenerate_pairs_do_the_same(text):
    world = random_world(8)
    utility = read(world, text)
    expected = record(Optimal(), world, utility, num_episodes=20)
    for agent in (Indifferent(), AntiRationalNegated()):
        assert same(record(agent, world, utility, num_episodes=20), expected)
    assert value_range(world, pursued(Indifferent(), world, utility)) == (0.0, 0.0)
    assert pursued(Optimal(), world, utility) is not None
    worst, best = value_range(world, utility)
    for agent in (AntiRational(), AntiRationalNegated()):
        np.testing.assert_allclose(value_range(world, pursued(agent, world, utility)), (-best, -worst), atol=1e-12)


def test_recordings_end_where_nothing_is_decided():
    moves = [[1, 0], [2, 0], [2, -1]]
    world = from_moves(moves, initial=[0.5, 0.0, 0.5])
    table = simulate(jax.random.key(0), world, np.array([[1.0, 0], [1, 0], [1, 0]]), num_episodes=40, num_steps=9).table
    assert set(table.groupby("episode")["state"].agg(tuple)) == {(0, 1), (2,)}
    short = dataclasses.replace(world, horizon=1)
    table = simulate(jax.random.key(0), short, np.array([[1.0, 0], [1, 0], [1, 0]]), num_episodes=4, num_steps=9).table
    assert table["t"].max() == 0 and len(table) == 4


def test_frequencies_of_what_is_simulated():
    world = random_world(4, num_actions=4)
    rows = policy(Boltzmann(0.5), world, np.random.default_rng(0).normal(size=5))
    table = simulate(jax.random.key(2), world, rows, num_episodes=500, num_steps=8).table
    first = table[table["t"] == 0]["state"]
    check_frequencies(np.bincount(first, minlength=5), np.asarray(world.initial))
    for state in range(5):
        there = table[table["state"] == state]
        check_frequencies(np.bincount(there["action"], minlength=4), rows[state])
        for action in np.flatnonzero(rows[state]):
            some = there[there["action"] == action]["next_state"]
            check_frequencies(np.bincount(some, minlength=5), np.asarray(world.transition)[state, action])


def check_frequencies(counts, chances):
    number = counts.sum()
    assert (counts[chances == 0] == 0).all()
    assert (np.abs(counts - number * chances) <= 5 * np.sqrt(number * chances * (1 - chances)) + 1e-9).all()


WRONG = [
    (lambda w: simulate(jax.random.key(0), w, np.ones((5, 2)), num_episodes=1, num_steps=1), "policy has shape"),
    (lambda w: simulate(jax.random.key(0), w, np.ones((5, 3)), num_episodes=1, num_steps=1), "not probabilities"),
    (lambda w: simulate(jax.random.key(0), w, np.full((5, 3), 1 / 3), num_episodes=1, num_steps=1), "not available"),
    (lambda w: record(Optimal(), w, np.zeros(5), num_episodes=0), "num_episodes is 0"),
    (lambda w: record(Optimal(), w, np.zeros(4)), "utility has shape"),
    (lambda w: record(Optimal(), w, np.full(5, np.nan)), "not a finite number"),
    (lambda w: record(Optimal(), w, us.Grammar(w).select(["time(p)", "time(q)"])), "a stack of 2"),
    (lambda w: record(Optimal(), us.possible_worlds([w, w]), np.zeros(5)), "in place of PossibleWorlds"),
    (lambda w: policy(Optimal(), w, read(w, "sequence(p, q)")), "needs memory"),
    (lambda w: EpsilonRandom(1.5), "share is 1.5"),
    (lambda w: Boltzmann(0.0), "temperature is 0.0"),
    (lambda w: Lookahead(0), "depth is 0"),
    (lambda w: Hyperbolic(-1.0), "rate is -1.0"),
    (lambda w: Overconfident(0.5), "sharpness is 0.5"),
]


@pytest.mark.parametrize(("wrong", "message"), WRONG)
def test_what_is_refused(wrong, message):
    with pytest.raises(us.InputError, match=message):
        wrong(random_world(1))

"""Agents whose behaviour is more than a policy: those that search, learn, remember or change their minds; and nulls."""

import dataclasses

import jax
import numpy as np
import pytest
from small_worlds import from_moves, grid, random_world

import utiliscope as us
from utiliscope.achievement import episode_utilities
from utiliscope.agents import (
    ROSTER,
    Boltzmann,
    Clockwork,
    Drift,
    EpsilonRandom,
    FixedRoute,
    Habitual,
    Heuristics,
    Optimal,
    ProxySeeker,
    QLearner,
    RandomWalk,
    Thermostat,
    TreeSearch,
    TwoGoals,
    course_value,
    policy,
    pursued,
    simulate,
)
from utiliscope.agents.other_goals import other_goals
from utiliscope.agents.thermostat import signal_of
from utiliscope.payoffs import as_payoffs, stack_payoffs
from utiliscope.planning import value_range


def read(world, text):
    return us.Grammar(world).parse(text)


def record(agent, world, utility, seed=0, num_episodes=200, num_steps=10):
    return agent.record(jax.random.key(seed), world, utility, num_episodes=num_episodes, num_steps=num_steps)


def same(one, other):
    return one.table.equals(other.table)


def achieved(agent, world, utility, num_episodes=100, seed=0):
    """Mean utility of whole episodes in a world with a horizon, and its standard error."""
    recorded = record(agent, world, utility, seed, num_episodes=num_episodes, num_steps=world.horizon)
    paid = episode_utilities(recorded, world, stack_payoffs([as_payoffs(world, utility)]))[:, 0]
    return paid.mean(), paid.std(ddof=1) / np.sqrt(num_episodes)


@pytest.mark.parametrize("base", [Optimal(), EpsilonRandom(0.5), Boltzmann(1.0)])
def test_without_habits_it_is_its_base(base):
    world = random_world(2)
    for text in ("time(p)", "sequence(p, q)"):
        utility = read(world, text)
        assert same(record(Habitual(0.0, base), world, utility), record(base, world, utility))


def test_habits():
    world = random_world(2, num_actions=4)
    utility = read(world, "time(p)")
    share = 0.4
    base = policy(EpsilonRandom(1.0), world, utility)
    table = record(Habitual(share, EpsilonRandom(1.0)), world, utility).table
    last = table[["action"]].shift(1)["action"].to_numpy()
    follows = (table["t"] > 0).to_numpy()
    state, action = table["state"].to_numpy()[follows], table["action"].to_numpy()[follows]
    last = last[follows].astype(int)
    possible = world.available[state, last]
    repeats = np.where(possible, share + (1 - share) * base[state, last], 0.0)
    error = np.sqrt((repeats * (1 - repeats)).sum())
    assert abs((action == last).sum() - repeats.sum()) < 5 * error
    always = record(Habitual(1.0), world, utility).table
    stuck = (always["t"] > 0) & world.available[always["state"], always["action"].shift(1, fill_value=0)]
    assert (always["action"] == always["action"].shift(1))[stuck].all()


@pytest.mark.slow
def test_searching_longer_is_better():
    world = grid(slip=0.15, horizon=6)
    utility = read(world, "time(G) - time(b)")
    found = [achieved(TreeSearch(number, rollout_length=6), world, utility, 64) for number in (1, 6, 48)]
    assert found[0][0] < found[1][0] < found[2][0]
    assert found[2][0] - found[0][0] > 5 * np.hypot(found[0][1], found[2][1])


@pytest.mark.slow
def test_searching_long_is_nearly_the_best():
    """In a world of chance, to its horizon."""
    world = grid(slip=0.15, horizon=6)
    utility = read(world, "time(G) - time(b)")
    worst, best = value_range(world, utility)
    few, many = (achieved(TreeSearch(number, rollout_length=6), world, utility, 64) for number in (16, 256))
    assert many[0] - few[0] > -5 * np.hypot(few[1], many[1])
    assert best - many[0] < 0.04 * (best - worst) + 5 * many[1]
    assert many[0] < best + 5 * many[1]


def test_a_search_finds_the_way():
    """Ten steps to the end of a fork, one side of which pays; unavailable actions are never tried."""
    moves = [[1, 4, -1], [2, -1, -1], [3, -1, 0], [3, -1, 3], [5, -1, 0], [6, -1, 0], [6, -1, 6]]
    world = from_moves(moves, discount=0.95)
    utility = np.eye(7)[6]
    table = record(TreeSearch(128), world, utility, num_episodes=16, num_steps=3).table
    assert (table[table["t"] == 0]["action"] == 1).mean() > 0.9
    assert world.available[table["state"], table["action"]].all()


@pytest.mark.parametrize("text", ["time(G) - time(b)", "sequence(a, b)"])
@pytest.mark.parametrize("horizon", [None, 6])
def test_learning_longer_is_better(text, horizon):
    world = grid(horizon=horizon)
    utility = read(world, text)
    worst, best = value_range(world, utility)

    def worths(steps):
        keys = jax.random.split(jax.random.key(1), 5)
        return [course_value(world, utility, QLearner(steps).course_of(key, world, utility)) for key in keys]

    at_random = course_value(world, utility, EpsilonRandom(1.0).course(world, utility))
    np.testing.assert_allclose(worths(0), at_random)
    early, late = np.mean(worths(1_000)), np.mean(worths(300_000))
    assert at_random < early < late
    assert best - late < 0.06 * (best - worst)


def test_two_goals_in_turn():
    world = grid()
    utility = read(world, "reach(G)")
    mine, other = pursued(TwoGoals(3), world, utility), other_goals(world, utility)[0]
    assert mine.num_utilities == 2
    np.testing.assert_array_equal(mine[1].state, other.payoffs.state)
    assert same(record(TwoGoals(50), world, utility), record(Optimal(), world, utility))
    table = record(TwoGoals(3), world, utility, num_steps=12).table
    for turn, goal in enumerate((utility, other.payoffs)):
        rows = policy(Optimal(), world, goal)
        some = table[table["t"] // 3 % 2 == turn]
        assert (rows[some["state"], some["action"]] > 0).all()


def test_what_else_there_is():
    """G is on the way from n to f: who seeks n gets more of it than who seeks f."""
    world = us.gridworld(["f....nG"], discount=0.9)
    goals = other_goals(world, read(world, "time(G)"))
    assert [goal.name for goal in goals] == ["f", "n"]
    assert all(0 <= goal.share < 1 for goal in goals)
    near = as_payoffs(world, read(world, "time(n)"))
    np.testing.assert_array_equal(pursued(ProxySeeker(), world, read(world, "time(G)")).state, near.state)
    assert same(record(ProxySeeker(), world, read(world, "time(G)")), record(Optimal(), world, read(world, "time(n)")))
    plain = dataclasses.replace(world, features={})
    assert len(other_goals(plain, np.eye(7)[6])) == 6
    alone = dataclasses.replace(world, features={"G": world.features["G"]})
    with pytest.raises(us.InputError, match="nothing else to be after"):
        other_goals(alone, read(world, "time(G)"))


NULLS = {name: entry.agent for name, entry in ROSTER.items() if entry.kind == "null"}


@pytest.mark.parametrize("name", NULLS)
def test_nulls_do_not_care(name):
    agent = NULLS[name]
    for world in (random_world(6), grid()):
        amounts = np.random.default_rng(0).normal(size=world.num_states)
        one = record(agent, world, amounts)
        assert same(one, record(agent, world, -amounts)) and same(one, record(agent, world, np.zeros_like(amounts)))
        assert pursued(agent, world, amounts) is None


def test_rules_add_up():
    world = random_world(7, num_states=6, num_actions=4)
    agent = Heuristics(num_rules=8, seed=3)
    rules = agent.rules(world)
    for state in range(6):
        scores = np.zeros(4)
        for met, action, weight in zip(*rules, strict=True):
            scores[action] += weight * met[state]
        odds = np.exp(scores) * world.available[state]
        np.testing.assert_allclose(agent.policy(world)[state], odds / odds.sum())
    assert not np.allclose(agent.policy(world), Heuristics(num_rules=8, seed=4).policy(world))
    plain = dataclasses.replace(world, features={})
    assert len(np.unique(Heuristics(seed=1).rules(plain).met, axis=0)) > 1


def test_the_signal_is_kept_at_its_point():
    world = dataclasses.replace(grid(slip=0.0), features={"heat": np.arange(16.0) // 4})
    np.testing.assert_array_equal(signal_of(world), np.arange(16) // 4)
    states = record(Thermostat(0.5), world, np.zeros(16)).table["state"].to_numpy().reshape(-1, 10)
    off = np.abs(states // 4 - 1)
    assert (np.diff(off, axis=1)[off[:, :-1] > 0] == -1).all()
    assert (np.diff(off, axis=1)[off[:, :-1] == 0] <= 1).all()
    # Without an amount: moves to the first feature; without features: where states are drawn, or their numbers.
    near = us.gridworld(["..b."], discount=0.9)
    np.testing.assert_array_equal(signal_of(near), [2, 1, 0, 1])
    np.testing.assert_array_equal(signal_of(dataclasses.replace(near, features={})), [0, 1, 2, 3])
    np.testing.assert_array_equal(signal_of(dataclasses.replace(near, features={}, xy=None)), [0, 1, 2, 3])


def test_drift_and_chance():
    world = random_world(9, num_actions=4)
    even = world.available / world.available.sum(-1, keepdims=True)
    np.testing.assert_array_equal(policy(RandomWalk(), world, None), even)
    pushed = policy(Drift(0.3, action=6), world, None)
    there = world.available[:, 2]
    np.testing.assert_allclose(pushed[there], 0.7 * even[there] + 0.3 * np.eye(4)[2])
    np.testing.assert_array_equal(pushed[~there], even[~there])


def test_routes_and_clocks():
    world = from_moves([[1, 2, 0], [1, 0, -1], [-1, 2, 0]])
    table = record(FixedRoute(4), world, np.zeros(3), num_episodes=3, num_steps=12).table
    assert same(record(FixedRoute(4), world, np.zeros(3)), record(FixedRoute(4), world, np.ones(3)))
    actions = table["action"].to_numpy().reshape(3, 12)
    assert (actions == actions[0]).all()
    different = [tuple(record(FixedRoute(4), world, np.zeros(3), seed).table["action"][:12]) for seed in range(5)]
    assert len(set(different)) > 1
    table = record(Clockwork(2), world, np.zeros(3), num_episodes=2, num_steps=8).table
    states, actions = (table[name].to_numpy().reshape(2, 8)[0] for name in ("state", "action"))
    # From 0: 0 leads to 1, and there action 2 is not available: 0 stands in for it.
    assert actions.tolist() == [0, 0, 1, 1, 2, 2, 1, 1] or states[0] == 0
    for t, (state, action) in enumerate(zip(states, actions, strict=True)):
        wanted = t // 2 % 3
        order = [(wanted + i) % 3 for i in range(3)]
        assert action == next(one for one in order if world.available[state, one])
    assert same(
        simulate(jax.random.key(0), world, np.eye(3)[[0, 0, 1]], num_episodes=1, num_steps=2),
        simulate(jax.random.key(5), world, np.eye(3)[[0, 0, 1]], num_episodes=1, num_steps=2),
    )

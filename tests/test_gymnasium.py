from types import SimpleNamespace

import numpy as np
import pytest

import utiliscope as us
from utiliscope.world.gymnasium import gymnasium_reward
from utiliscope.world.model import absorbing_states

gymnasium = pytest.importorskip("gymnasium", reason="gymnasium is not installed; pip install 'utiliscope[data]'")
ENVIRONMENTS = {
    "lake": ("FrozenLake-v1", {"is_slippery": True}),
    "firm lake": ("FrozenLake-v1", {"is_slippery": False}),
    "large lake": ("FrozenLake-v1", {"map_name": "8x8"}),
    "cliff": ("CliffWalking-v1", {}),
    "slippery cliff": ("CliffWalking-v1", {"is_slippery": True}),
    "taxi": ("Taxi-v4", {}),
}


def made(name):
    environment, options = ENVIRONMENTS[name]
    return gymnasium.make(environment, **options)


def table(P, **more):
    return SimpleNamespace(P=P, **more)


def optimal_values(world, reward):
    """`[S]` by value iteration."""
    values = np.zeros(world.num_states)
    for _ in range(5000):
        following = np.where(world.available, reward + world.discount * world.transition @ values, -np.inf).max(-1)
        if np.abs(following - values).max() < 1e-12:
            break
        values = following
    return values


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_transitions_are_those_of_the_table(name):
    env = made(name)
    world, P = us.from_gymnasium(env, discount=0.9), env.unwrapped.P
    absorbing = absorbing_states(world)
    assert world.num_states - len(P) == (world.state_names[-1] == "done")
    assert (world.available.sum(-1)[absorbing] == 1).all()
    assert world.available[~absorbing].all()
    np.testing.assert_allclose(world.transition.sum(-1), 1, atol=1e-12)
    for state in np.flatnonzero(~absorbing):
        for action, outcomes in P[state].items():
            expected = np.zeros(world.num_states)
            for probability, target, _, ends in outcomes:
                expected[target if not ends or absorbing[target] else world.state_names.index("done")] += probability
            np.testing.assert_allclose(world.transition[state, action], expected, atol=1e-15)
    starts = env.unwrapped.initial_state_distrib
    np.testing.assert_array_equal(world.initial[: len(P)], starts)
    assert world.initial.sum() == pytest.approx(1) and world.horizon is None


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_rewards_are_expected_rewards(name):
    env = made(name)
    world, P = us.from_gymnasium(env, discount=0.9), env.unwrapped.P
    reward, absorbing = gymnasium_reward(env, world), absorbing_states(world)
    assert reward.shape == (world.num_states, world.num_actions)
    assert (reward[absorbing] == 0).all()
    for state in np.flatnonzero(~absorbing):
        for action, outcomes in P[state].items():
            assert reward[state, action] == pytest.approx(sum(p * r for p, _, r, _ in outcomes))


@pytest.mark.parametrize(
    ("name", "discount", "value"),
    [
        ("lake", 0.99, 0.5420259),  # the figure in every course
        ("firm lake", 0.9, 0.9**5),  # six steps, paid on the last
        ("large lake", 0.99, 0.4146403),
        ("cliff", 0.9, -(1 - 0.9**13) / 0.1),  # thirteen steps around the cliff
    ],
)
def test_known_optima(name, discount, value):
    env = made(name)
    world = us.from_gymnasium(env, discount=discount)
    assert world.initial @ optimal_values(world, gymnasium_reward(env, world)) == pytest.approx(value, abs=1e-6)


def test_taxi_is_paid_twenty_once():
    env = made("taxi")
    world = us.from_gymnasium(env, discount=0.9)
    values = optimal_values(world, gymnasium_reward(env, world))
    riding_at_the_goal = env.unwrapped.encode(0, 0, 4, 0)
    assert values[riding_at_the_goal] == pytest.approx(20)
    assert np.flatnonzero(absorbing_states(world)).tolist() == [500]


def test_lake_letters_become_features():
    world = us.from_gymnasium(made("lake"), discount=0.9)
    assert {name: int(values.sum()) for name, values in world.features.items()} == {"F": 10, "G": 1, "H": 4, "S": 1}
    np.testing.assert_array_equal(absorbing_states(world), world.features["G"] | world.features["H"])
    assert world.xy[0].tolist() == [0, 0] and world.xy[15].tolist() == [3, -3]


def test_cliff_features():
    world = us.from_gymnasium(made("cliff"), discount=0.9)
    marked = {name: np.flatnonzero(values).tolist() for name, values in world.features.items()}
    assert marked == {"cliff": list(range(37, 47)), "goal": [47], "start": [36]}
    assert world.xy[47].tolist() == [11, -3]


def test_a_state_entered_both_ways_stays_alive():
    P = {
        0: {0: [(1.0, 1, 0.0, False)], 1: [(0.5, 1, 4.0, True), (0.5, 0, 0.0, False)]},
        1: {0: [(1.0, 0, 0.0, False)], 1: [(1.0, 2, 1.0, True)]},
        2: {0: [(1.0, 0, 7.0, False)], 1: [(1.0, 2, 7.0, True)]},
    }
    env = table(P, desc=["AB."])
    world = us.from_gymnasium(env, discount=0.9)
    assert world.state_names == ("0", "1", "2", "done")
    np.testing.assert_array_equal(world.transition[0, 1], [0.5, 0, 0, 0.5])
    np.testing.assert_array_equal(world.transition[1, 1], [0, 0, 1, 0])
    np.testing.assert_array_equal(absorbing_states(world), [False, False, True, True])
    np.testing.assert_array_equal(gymnasium_reward(env, world), [[0, 2], [0, 1], [0, 0], [0, 0]])
    assert world.initial.tolist() == [0.5, 0.5, 0, 0]
    assert world.features["B"].tolist() == [False, True, False, False]
    assert world.xy.tolist() == [[0, 0], [1, 0], [2, 0], [3, 0]]


def test_a_one_step_choice_is_kept():
    for more in ({}, {"initial_state_distrib": [1.0]}):
        env = table([[[(1.0, 0, 1.0, True)], [(1.0, 0, 0.0, True)]]], **more)
        world = us.from_gymnasium(env, discount=0.9)
        assert world.state_names == ("0", "done") and world.available.tolist() == [[True, True], [True, False]]
        assert gymnasium_reward(env, world).tolist() == [[1, 0], [0, 0]]


def test_an_end_entered_alive_is_still_an_end():
    env = table({0: {0: [(1.0, 1, 2.0, False)]}, 1: {0: [(1.0, 1, 0.0, True)]}})
    world = us.from_gymnasium(env, discount=0.9)
    assert world.num_states == 2 and absorbing_states(world).tolist() == [False, True]
    assert world.initial.tolist() == [1, 0]


def test_actions_may_be_missing():
    world = us.from_gymnasium(table({0: {1: [(1.0, 1, 0.0, False)]}, 1: {0: [(1.0, 0, 0.0, False)]}}), discount=0.9)
    np.testing.assert_array_equal(world.available, [[False, True], [True, False]])


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (table(None), "has no table `P` of transitions; .*build the world with world_model"),
        (object(), "has no table `P`"),
        (table({}), "must have the states 0, 1"),
        (table({1: {0: [(1.0, 1, 0.0, False)]}}), "must have the states 0, 1"),
        (table({0: {}}), "must have the states 0, 1"),
        (table({0: {0: []}}), "sums to 0"),
        (table({0: {0: [(1.0, 0, 0.0)]}}), r"P\[0\]\[0\] holds \(1.0, 0, 0.0\); each entry must be"),
        (table({0: {0: [(1.0, 2, 0.0, False)]}}), r"P\[0\]\[0\] leads to 2; states are 0\.\.0"),
        (table({0: {0: [(0.5, 0, 0.0, False)]}}), "sums to 0.5"),
        (table({0: {0: [("often", 0, 0.0, False)]}}), "must be the numbers"),
        (table({0: {0: [3]}}), "each entry must be"),
        (table({"a": {0: []}}), "must have the states 0, 1"),
        (table({0: {"up": [(1.0, 0, 0.0, False)]}}), "must have the states 0, 1"),
        (table(3), "must have the states 0, 1"),
        (table({0: {0: [(1.0, 0, 0.0, False)]}}, initial_state_distrib=[0.5, 0.5]), "initial_state_distrib has shape"),
        (table({0: {0: [(1.0, 0, 0.0, False)]}}, initial_state_distrib=[0.5]), "initial sums to 0.5"),
    ],
)
def test_bad_tables(env, message):
    with pytest.raises(us.InputError, match=message):
        us.from_gymnasium(env, discount=0.9)


def test_environments_without_a_table():
    with pytest.raises(us.InputError, match="CartPole-v1 has no table"):
        us.from_gymnasium(gymnasium.make("CartPole-v1"), discount=0.9)


def test_reward_of_another_world():
    with pytest.raises(us.InputError, match="the world has 2 states and 4 actions, and FrozenLake-v1 makes one of 16"):
        gymnasium_reward(made("lake"), us.gridworld("G."))

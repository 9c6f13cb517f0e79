import numpy as np
import pytest

import utiliscope as us
from utiliscope.world.model import absorbing_states, is_deterministic, reachable_states

CHAIN = np.array([[[0.5, 0.5], [1.0, 0.0]], [[0.0, 1.0], [0.25, 0.75]]])  # [S, A, S]
START = [1.0, 0.0]


def test_world_model_keeps_what_it_is_given():
    world = us.world_model(
        CHAIN,
        START,
        0.9,
        state_names=["a", "b"],
        action_names=["stay", "go"],
        features={"wet": [True, False], "height": [1, 2]},
        xy=[[0, 0], [1, 0]],
        horizon=3,
    )
    assert (world.num_states, world.num_actions) == (2, 2)
    assert world.transition.dtype == world.initial.dtype == np.float64
    np.testing.assert_array_equal(world.transition, CHAIN)
    assert world.available.all() and world.available.dtype == bool
    assert world.features["wet"].dtype == bool and world.features["height"].dtype == np.float64
    assert (world.state_names, world.action_names, world.horizon) == (("a", "b"), ("stay", "go"), 3)


def test_names_are_numbers_by_default():
    world = us.world_model(CHAIN, START, 0.9)
    assert world.state_names == ("0", "1") and world.action_names == ("0", "1")
    assert world.features == {} and world.xy is None and world.horizon is None


def test_world_model_copies():
    transition, wet = CHAIN.copy(), np.array([True, False])
    world = us.world_model(transition, START, 0.9, features={"wet": wet})
    transition[:], wet[:] = 0, False
    np.testing.assert_array_equal(world.transition, CHAIN)
    assert world.features["wet"].any()


def test_unavailable_actions_are_self_loops_and_their_rows_do_not_count():
    transition = CHAIN.copy()
    transition[0, 1] = np.nan
    world = us.world_model(transition, START, 0.9, available=[[1, 0], [1, 1]])
    np.testing.assert_array_equal(world.transition[0, 1], [1.0, 0.0])
    np.testing.assert_array_equal(world.available, [[True, False], [True, True]])


def test_a_state_without_actions_becomes_absorbing_with_one():
    world = us.world_model(CHAIN, START, 0.9, available=[[True, True], [False, False]])
    np.testing.assert_array_equal(world.available[1], [True, False])
    np.testing.assert_array_equal(absorbing_states(world), [False, True])


def test_discount_one_needs_a_horizon():
    assert us.world_model(CHAIN, START, 1, horizon=4).discount == 1
    with pytest.raises(us.InputError, match=r"discount is 1.* in \[0, 1\)"):
        us.world_model(CHAIN, START, 1)


def test_reachable_and_deterministic():
    world = us.world_model([[[1.0, 0, 0]], [[0, 0, 1.0]], [[0, 0, 1.0]]], [1.0, 0, 0], 0.9)
    np.testing.assert_array_equal(reachable_states(world), [True, False, False])
    assert is_deterministic(world) and not is_deterministic(us.world_model(CHAIN, START, 0.9))


BAD = {
    "transition is not an array of numbers": {"transition": [[["x"]]]},
    "not an array": {"transition": [[[1.0]], [[1.0, 0.0]]]},
    r"must be \[states, actions, states\]": {"transition": np.eye(2)},
    r"shape \(2, 2, 3\)": {"transition": np.ones((2, 2, 3)) / 3},
    "needs a state and an action": {"transition": np.ones((0, 1, 0))},
    r"transition\[1, 0\] sums to 0.9, not 1;": {"transition": [[[1.0, 0.0]], [[0.0, 0.9]]]},
    r"\(2 such rows\)": {"transition": [[[1.0, 1.0]], [[0.0, 0.9]]]},
    r"transition\[0, 1, 0\] is negative": {"transition": np.where(CHAIN == 1, -1, CHAIN)},
    r"transition\[0, 0, 0\] is not a finite number": {"transition": np.where(CHAIN == 0.5, np.nan, CHAIN)},
    "initial has shape": {"initial": [1.0, 0.0, 0.0]},
    "initial sums to 2": {"initial": [1.0, 1.0]},
    "initial is not an array": {"initial": "north"},
    r"initial\[1\] is not a finite": {"initial": [1.0, np.inf]},
    "discount is -0.1": {"discount": -0.1},
    "discount is nan": {"discount": np.nan},
    "discount is 1.5": {"discount": 1.5, "horizon": 3},
    "one number": {"discount": [0.9, 0.9]},
    "discount is not": {"discount": "much"},
    "available has shape": {"available": [True, True]},
    "available is not an array": {"available": [[True], [True, False]]},
    "available holds other values": {"available": [[1, 0.5], [1, 1]]},
    "state_names has 1 names for 2": {"state_names": ["a"]},
    "action_names repeats a;": {"action_names": ["a", "a"]},
    "must be a list of 2 names": {"state_names": "ab"},
    "list of 2 names": {"action_names": 2},
    r"feature 'wet' has shape \(3,\)": {"features": {"wet": [1, 0, 1]}},
    "feature 'wet' is nan at state 1": {"features": {"wet": [1.0, np.nan]}},
    "feature 'wet' is not an array": {"features": {"wet": ["yes", "no"]}},
    "feature 'dry' is not an array": {"features": {"dry": [[1], [1, 2]]}},
    "non-empty strings": {"features": {"": [1, 0]}},
    "named 3": {"features": {3: [1, 0]}},
    "it must map names": {"features": [1, 0]},
    "xy has shape": {"xy": [0, 1]},
    "xy .* finite": {"xy": [[0, 1], [0, np.nan]]},
    "xy is not": {"xy": "flat"},
    "horizon is 0": {"horizon": 0},
    "horizon is 1.5": {"horizon": 1.5},
    "horizon is True": {"horizon": True},
    "horizon is long": {"horizon": "long"},
    "horizon is nan": {"horizon": np.nan},
    "horizon is inf": {"horizon": np.inf},
}


@pytest.mark.parametrize("message", BAD)
def test_world_model_refuses(message):
    arguments = {"transition": CHAIN, "initial": START, "discount": 0.9} | BAD[message]
    with pytest.raises(us.InputError, match=message):
        us.world_model(**arguments)


def test_gridworld_reads_walls_letters_and_moves():
    world = us.gridworld(["A.#", "#.B"], discount=0.8)
    assert world.state_names == ("0,0", "0,1", "1,1", "1,2")
    assert world.action_names == ("up", "down", "left", "right")
    np.testing.assert_array_equal(world.transition.argmax(-1), [[0, 0, 0, 1], [1, 2, 0, 1], [1, 2, 2, 3], [3, 3, 2, 3]])
    assert set(world.features) == {"A", "B"} and world.discount == 0.8
    np.testing.assert_array_equal(world.features["B"], [False, False, False, True])
    np.testing.assert_array_equal(world.xy, [[0, 0], [1, 0], [1, -1], [2, -1]])
    np.testing.assert_array_equal(world.initial, np.full(4, 0.25))
    assert is_deterministic(world) and world.available.all()


def test_gridworld_from_one_text_and_a_start():
    rows, text = us.gridworld(["G.", ".."]), us.gridworld("G.\n..\n", initial=[0, 0, 0, 1])
    np.testing.assert_array_equal(rows.transition, text.transition)
    np.testing.assert_array_equal(text.initial, [0, 0, 0, 1])


@pytest.mark.parametrize("slip", [0.0, 0.3, 1.0])
def test_gridworld_slips_to_each_other_action_alike(slip):
    plain, slippery = us.gridworld("G.#\n..."), us.gridworld("G.#\n...", slip=slip)
    for state in range(plain.num_states):
        for action in range(4):
            expected = (1 - slip) * plain.transition[state, action]
            for other in set(range(4)) - {action}:
                expected = expected + slip / 3 * plain.transition[state, other]
            np.testing.assert_allclose(slippery.transition[state, action], expected, atol=1e-15)


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (["..", "."], {}, "lengths 2, 1"),
        ([], {}, "no rows"),
        ("", {}, "no rows"),
        (["##"], {}, "walls only"),
        ([".."], {"slip": 1.5}, "slip is 1.5"),
        ([".."], {"slip": np.nan}, "slip is nan"),
        ([".."], {"slip": "often"}, "slip is often"),
        ([".."], {"discount": 1.0}, "discount is 1"),
        ([".."], {"initial": [1.0]}, "initial has shape"),
    ],
)
def test_gridworld_refuses(rows, options, message):
    with pytest.raises(us.InputError, match=message):
        us.gridworld(rows, **options)

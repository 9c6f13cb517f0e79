import gzip
import json
import os
import pathlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import utiliscope as us
from utiliscope.world.model import absorbing_states

DATA = pathlib.Path(__file__).parents[1] / ".." / "shared" / "data"
SUFFIXES = [".json", ".json.gz", ".npz"]
LINE = {"next_state": [[1, -1], [2, 0], [-1, -1]]}  # three states in a row, the last without actions


def public(name):
    path = DATA / name
    if not path.exists():
        pytest.skip(f"the public recordings are not on this machine: shared/data/{name}")
    return path


def saved(path, entries):
    path.write_text(json.dumps(entries))
    return path


def assert_same(world, other):
    for name in ("transition", "initial", "discount", "available"):
        one, two = getattr(world, name), getattr(other, name)
        assert one.dtype == two.dtype
        np.testing.assert_array_equal(one, two)
    for name in ("state_names", "action_names", "horizon"):
        assert getattr(world, name) == getattr(other, name)
    assert list(world.features) == list(other.features)
    for name, values in world.features.items():
        assert values.dtype == other.features[name].dtype
        np.testing.assert_array_equal(values, other.features[name])
    assert (world.xy is None) == (other.xy is None)
    if world.xy is not None:
        np.testing.assert_array_equal(world.xy, other.xy)


@st.composite
def world_arguments(draw):  # not worlds: the shape checks draw random numbers, which a strategy may not
    num_states, num_actions = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    transition = random.dirichlet(np.full(num_states, 0.5), (num_states, num_actions))
    if draw(st.booleans()):
        transition = np.eye(num_states)[transition.argmax(-1)]
    names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=30)
    horizon = draw(st.none() | st.integers(1, 9))
    features = {
        name: random.random(num_states) < 0.5 if draw(st.booleans()) else random.normal(size=num_states).round(1)
        for name in draw(st.lists(names, max_size=3, unique=True))
    }
    return {
        "transition": transition,
        "initial": random.dirichlet(np.ones(num_states)),
        "discount": draw(st.floats(0, 1 if horizon else 0.99)),
        "available": random.random((num_states, num_actions)) < draw(st.sampled_from([0.0, 0.5, 1.0])),
        "state_names": draw(st.none() | st.lists(names, min_size=num_states, max_size=num_states, unique=True)),
        "action_names": draw(st.none() | st.lists(names, min_size=num_actions, max_size=num_actions, unique=True)),
        "features": features,
        "xy": draw(st.none() | st.just(random.normal(size=(num_states, 2)))),
        "horizon": horizon,
    }


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arguments=world_arguments())
def test_round_trip(tmp_path, suffix, arguments):
    world = us.world_model(**arguments)
    path = tmp_path / f"world{suffix}"
    us.write_world(world, path)
    assert_same(world, us.read_world(path))
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_annotation_like_names_survive_a_round_trip(tmp_path):
    features = {"x.npy": [1, 0], "x": [0, 1], "goal_state": [True, False]}
    world = us.world_model(np.eye(2)[:, None], [1, 0], 0.9, action_names=["a (name) of many words"], features=features)
    for suffix in SUFFIXES:
        us.write_world(world, tmp_path / f"w{suffix}")
        assert_same(world, us.read_world(tmp_path / f"w{suffix}"))


def test_deterministic_worlds_are_written_as_next_states(tmp_path):
    us.write_world(us.gridworld("G."), tmp_path / "w.json")
    assert json.loads((tmp_path / "w.json").read_text())["next_state"] == [[0, 0, 0, 1], [1, 1, 0, 1]]
    us.write_world(us.gridworld("G.", slip=0.1), tmp_path / "w.json")
    assert "next_state" not in json.loads((tmp_path / "w.json").read_text())


def test_writing_twice_gives_the_same_bytes(tmp_path):
    for suffix in SUFFIXES:
        for name in "ab":
            us.write_world(us.gridworld("G."), tmp_path / f"{name}{suffix}")
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_minimal_file_and_its_defaults(tmp_path):
    world = us.read_world(saved(tmp_path / "w.json", LINE))
    np.testing.assert_array_equal(world.available, [[True, False], [True, True], [True, False]])
    np.testing.assert_array_equal(absorbing_states(world), [False, False, True])
    assert world.discount == 0.95 and world.features == {}
    np.testing.assert_array_equal(world.initial, np.full(3, 1 / 3))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_key_is_read_from_every_format(tmp_path, suffix):
    entries = {
        "transition": [[[0.5, 0.5], [1, 0]], [[0, 1], [0, 1]]],
        "available": [[True, False], [True, True]],
        "initial": 1,
        "discount": 0.5,
        "horizon": 7,
        "states": ["near", "far"],
        "actions": ["a", "b"],
        "xy": [[0, 0], [3, 4]],
        "absorbing": ["far"],
    }
    path = tmp_path / f"w{suffix}"
    if suffix == ".npz":
        np.savez(path, **entries, **{"feature:wet": [True, False], "feature:cost": [1, 2]})
    else:
        text = json.dumps(entries | {"features": {"wet": [True, False], "cost": [1, 2]}}).encode()
        path.write_bytes(gzip.compress(text) if suffix == ".json.gz" else text)
    world = us.read_world(path)
    np.testing.assert_array_equal(world.available, [[True, False], [True, False]])
    np.testing.assert_array_equal(world.initial, [0, 1])
    np.testing.assert_array_equal(world.transition[0, 0], [0.5, 0.5])
    assert (world.discount, world.horizon, world.state_names, world.action_names) == (
        0.5,
        7,
        ("near", "far"),
        ("a", "b"),
    )
    assert world.features["wet"].dtype == bool and world.features["cost"].tolist() == [1.0, 2.0]
    assert world.xy.tolist() == [[0, 0], [3, 4]]


def test_arguments_override_the_file(tmp_path):
    path = saved(tmp_path / "w.json", LINE | {"discount": 0.5, "initial": [1, 0, 0], "states": ["a", "b", "c"]})
    assert us.read_world(path).discount == 0.5
    assert us.read_world(path, discount=0.7).discount == 0.7
    for initial in (1, "b", np.int64(1), [0, 1, 0]):
        assert us.read_world(path, initial=initial).initial.tolist() == [0, 1, 0]


@pytest.mark.parametrize("absorbing", [[1], 1, [False, True, False], ["1"]])
def test_absorbing_states_keep_one_action(tmp_path, absorbing):
    world = us.read_world(saved(tmp_path / "w.json", LINE | {"absorbing": absorbing}))
    np.testing.assert_array_equal(absorbing_states(world), [False, True, True])
    np.testing.assert_array_equal(world.available[1], [True, False])


def test_annotations_become_features(tmp_path):
    entries = LINE | {
        "goal_state": 2,
        "start_state": 1,
        "far_node": 9,
        "n_states": 3,
        "ends": [0, 2],
        "twice": [0, 0],
        "outside": [1, 3],
        "height": [2, 1, 2],
        "dry": [True, False, False],
        "tile": ["x", ".", "y"],
        "tile_meaning": {"x": "red (dark)", "y": "goal, at last"},
        "mood": ["up", "down", "up"],
        "label": ["one", "two", "three"],
        "mixed": [1, "a", None],
        "places": [[0, 1], [2, 3], [4, 5]],
        "shape": [1, 2],
        "actions": ["west (or so, if the wind allows)", "east"],
    }
    world = us.read_world(saved(tmp_path / "w.json", entries))
    given = {name: values.tolist() for name, values in world.features.items()}
    assert given == {
        "goal": [False, False, True],
        "start": [False, True, False],
        "ends": [True, False, True],
        "height": [2.0, 1.0, 2.0],
        "dry": [True, False, False],
        "up": [True, False, True],
        "down": [False, True, False],
    }
    assert world.initial.tolist() == [0, 1, 0]
    assert world.action_names == ("west", "east")
    assert world.xy.tolist() == [[0, 1], [2, 3], [4, 5]]


def test_letters_are_named_by_their_meaning(tmp_path):
    entries = {"next_state": [[1], [2], [3], [0]], "tile": ["x", ".", "y", "x"]}
    meaning = {"x": "red (dark)", "y": "yellow goal", ".": "white"}
    world = us.read_world(saved(tmp_path / "w.json", entries | {"tile_meaning": meaning}))
    assert world.features["red"].tolist() == [True, False, False, True]
    assert world.features["yellow"].tolist() == [False, False, True, False]
    world = us.read_world(saved(tmp_path / "w.json", entries | {"tile_meaning": {"x": "red", "y": "red"}}))
    assert list(world.features) == ["red", "y"]


def test_long_action_names_stay_unique(tmp_path):
    actions = ["turn and then walk onwards slowly", "turn and then walk onwards fast"]
    world = us.read_world(saved(tmp_path / "w.json", LINE | {"actions": actions}))
    assert len(set(world.action_names)) == 2 and max(map(len, world.action_names)) <= 22


def test_mouse_labyrinth():
    world = us.read_world(public("mouse_labyrinth/environment.json"))
    assert (world.num_states, world.num_actions) == (128, 3)
    assert world.action_names == ("left child", "right child", "back toward the exit")
    marked = {name: np.flatnonzero(values).tolist() for name, values in world.features.items() if values.dtype == bool}
    assert (marked["home"], marked["water_port"], marked["entrance"]) == ([127], [116], [0])
    assert (len(marked["t_junctions"]), len(marked["end_nodes"])) == (63, 64)
    assert world.features["level"].dtype == np.float64 and world.features["level"][[0, 126]].tolist() == [0, 6]
    assert world.xy is not None and world.available[127].tolist() == [True, False, False]


def test_reward_demonstrations():
    world = us.read_world(public("reward_demonstrations/environment.json"))
    assert world.initial[12] == 1 and np.flatnonzero(absorbing_states(world)).tolist() == [17]
    assert world.available[17].tolist() == [True, False, False, False]
    assert set(world.features) == {"start", "goal", "orange", "purple", "blue", "yellow"}
    assert [int(world.features[name].sum()) for name in ("orange", "purple", "blue", "yellow")] == [7, 6, 7, 1]


def test_tartarus_maze_is_a_stack():
    path = public("tartarus_maze_rats/environment.npz")
    world = us.read_world(path, layout=24, initial=5)
    assert world.num_states == 100 and set(world.features) == {"goal"} and world.features["goal"][33]
    assert world.initial[5] == 1 and world.xy.shape == (100, 2)
    with pytest.raises(
        us.InputError, match=r"next_state holds 25 layouts \[25, 100, 4\]; choose one with layout=0\.\.24"
    ):
        us.read_world(path)
    for layout in (25, -1, "a", 1.5, True):
        with pytest.raises(us.InputError, match=r"layout is .*; choose one with layout=0\.\.24"):
            us.read_world(path, layout=layout)


def test_shanghai_taxi():
    world = us.read_world(public("shanghai_taxi_routes/environment.npz"))
    assert (world.num_states, world.num_actions, int(world.available.sum())) == (714, 8, 1737)
    assert set(world.features) == {"length_m", "highway_class"} and world.xy.shape == (714, 2)


def test_overcooked_is_not_a_world():
    with pytest.raises(us.InputError, match="neither `transition` nor `next_state`; keys found: name, layout"):
        us.read_world(public("overcooked_cramped_room/environment.json.gz"))


BAD = {
    r"next_state\[1, 0\] is 3; states are 0\.\.2": {"next_state": [[1], [3], [0]]},
    r"next_state\[0, 0\] is -2": {"next_state": [[-2], [0]]},
    r"next_state\[0, 0\] is 0.5": {"next_state": [[0.5], [0]]},
    r"next_state\[0, 0\] is nan": {"next_state": [[None], [0]]},
    r"next_state\[1\] has 1 entries and next_state\[0\] has 2": {"next_state": [[0, 1], [1]]},
    "next_state is not an array": {"next_state": "up"},
    r"must be \[states, actions\]": {"next_state": [1, 0]},
    r"must be \[states, actions, states\]": {"transition": [1, 0]},
    "transition holds 1 layouts": {"transition": [[[[1]]]]},
    "it has both": {"next_state": [[0]], "transition": [[[1]]]},
    "sums to 0.5": {"transition": [[[0.5]]]},
    "states must be a list of names": LINE | {"states": 3},
    "actions must be a list of names": LINE | {"actions": [["a"], ["b"]]},
    "states has 1 names for 3": LINE | {"states": ["a"]},
    "actions has 3 names for 2": LINE | {"actions": ["a", "b", "c"]},
    "features is a list": LINE | {"features": [1, 2]},
    "feature 'wet' has shape": LINE | {"features": {"wet": [1]}},
    "xy has shape": LINE | {"xy": [1, 2]},
    "absorbing names the state 3": LINE | {"absorbing": [3]},
    "absorbing names the state 'exit'": LINE | {"absorbing": ["exit"]},
    "initial names the state 5": LINE | {"initial": 5},
    "initial names the state True": LINE | {"initial": True},
    "initial sums to 2": LINE | {"initial": [1, 1, 0]},
    "initial has shape": LINE | {"initial": [1, 0]},
    "available has shape": LINE | {"available": [True]},
    "available holds 2": LINE | {"available": [[2, 0], [0, 0], [0, 0]]},
    "discount is 1.5": LINE | {"discount": 1.5},
    "horizon is soon": LINE | {"horizon": "soon"},
    "keys found: none": {},
    "keys found: rows": {"rows": 3},
    "it holds a list": [1, 2],
}


@pytest.mark.parametrize("message", BAD)
def test_bad_json(tmp_path, message):
    path = saved(tmp_path / "w.json", BAD[message])
    with pytest.raises(us.InputError, match=message) as caught:
        us.read_world(path)
    assert "w.json" in str(caught.value)


def test_bad_arguments(tmp_path):
    path = saved(tmp_path / "w.json", LINE)
    for arguments, message in (
        ({"initial": "b"}, "initial names the state 'b'"),
        ({"initial": 3}, "initial names the state 3"),
        ({"initial": 0.5}, "initial names the state 0.5"),
        ({"discount": 1}, "discount is 1"),
        ({"layout": 0}, "leave layout out"),
    ):
        with pytest.raises(us.InputError, match=message):
            us.read_world(path, **arguments)


@pytest.mark.parametrize("name", ["missing.json", "missing.json.gz", "missing.npz"])
def test_missing_file(tmp_path, name):
    with pytest.raises(us.InputError, match="does not exist"):
        us.read_world(tmp_path / name)


@pytest.mark.parametrize("name", ["world.csv", "world", "world.json.bz2", "world.npy"])
def test_wrong_extension(tmp_path, name):
    (tmp_path / name).write_text("episode,t,state,action\n0,0,0,0\n")
    with pytest.raises(us.InputError, match=r"must end in \.json, \.json\.gz or \.npz"):
        us.read_world(tmp_path / name)
    with pytest.raises(us.InputError, match=r"must end in \.json, \.json\.gz or \.npz"):
        us.write_world(us.gridworld("G."), tmp_path / name)


@pytest.mark.parametrize("content", [b"", b"episode,t\n0,0\n", b"\xff\xfe\x00", b'{"next_state": [[0]', b"[" * 10**5])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_unreadable_content(tmp_path, suffix, content):
    path = tmp_path / f"w{suffix}"
    for written in (content, gzip.compress(content), gzip.compress(content)[:-4]):
        path.write_bytes(written)
        with pytest.raises(us.InputError, match="cannot be read as"):
            us.read_world(path)


def test_broken_and_pickled_npz(tmp_path):
    path = tmp_path / "w.npz"
    us.write_world(us.gridworld("G.."), path)
    whole = path.read_bytes()
    for broken in (whole[: len(whole) // 2], whole[:200] + bytes(50) + whole[250:]):
        path.write_bytes(broken)
        with pytest.raises(us.InputError, match=r"cannot be read as \.npz"):
            us.read_world(path)
    np.savez(path, next_state=np.array([[0], None], dtype=object))
    with pytest.raises(us.InputError, match=r"cannot be read as \.npz: Object arrays"):
        us.read_world(path)
    with open(path, "wb") as file:
        np.save(file, np.eye(3))
    with pytest.raises(us.InputError, match="one bare array"):
        us.read_world(path)
    np.savez(path, map=np.eye(2))
    with pytest.raises(us.InputError, match="keys found: map"):
        us.read_world(path)


def test_a_folder_is_no_world(tmp_path):
    for suffix in SUFFIXES:
        (tmp_path / f"w{suffix}").mkdir()
        with pytest.raises(us.InputError, match="cannot be read as"):
            us.read_world(tmp_path / f"w{suffix}")


def test_a_world_that_cannot_be_written_leaves_nothing(tmp_path):
    with pytest.raises(us.InputError, match="cannot be written"):
        us.write_world(us.gridworld("G."), tmp_path / "nowhere" / "w.json")
    (tmp_path / "w.json").mkdir()
    with pytest.raises(us.InputError, match="cannot be written"):
        us.write_world(us.gridworld("G."), tmp_path / "w.json")
    assert os.listdir(tmp_path) == ["w.json"]


def test_names_that_npz_would_change_are_refused(tmp_path):
    world = us.world_model([[[1.0]]], [1.0], 0.9, state_names=["a\0"])
    with pytest.raises(us.InputError, match=r"cannot keep the names 'a\\x00'; write \.json"):
        us.write_world(world, tmp_path / "w.npz")
    us.write_world(world, tmp_path / "w.json")
    assert_same(world, us.read_world(tmp_path / "w.json"))

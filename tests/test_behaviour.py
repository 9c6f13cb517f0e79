import gzip
import json
import pathlib
import sys
import warnings

import numpy as np
import pandas as pd
import pytest

import utiliscope as us
from utiliscope.behaviour import Behaviour

DATA = pathlib.Path(__file__).parents[1] / ".." / "shared" / "data"
WORLD = us.world_model(
    np.eye(4)[[[1, 0], [2, 0], [3, 1], [3, 3]]],
    [1, 0, 0, 0],
    0.9,
    available=[[True, False], [True, True], [True, True], [True, False]],
    state_names=["west", "mid", "east", "goal"],
    action_names=["on", "back"],
)
ROWS = pd.DataFrame(
    {
        "episode": [7, 7, 7, 3, 3],
        "t": [4, 5, 6, 0, 1],
        "state": [0, 1, 2, 1, 0],
        "action": [0, 0, 0, 1, 0],
        "next_state": [1, 2, 3, 0, 1],
        "subject": ["A", "A", "A", "B", "B"],
        "maze": [1, 1, 1, 2, 2],
    }
)
BY_NAME = ROWS.assign(
    state=[WORLD.state_names[s] for s in ROWS["state"]],
    action=[WORLD.action_names[a] for a in ROWS["action"]],
    next_state=[WORLD.state_names[s] for s in ROWS["next_state"]],
)
COLUMNS = ["episode", "t", "state", "action", "next_state"]


def changed(column, row, value, rows=ROWS):
    """`rows` with one entry replaced."""
    entries = rows[column].tolist()
    entries[row] = value
    return rows.assign(**{column: entries})


def assert_same(behaviour, other):
    pd.testing.assert_frame_equal(behaviour.table, other.table, check_dtype=False)


def test_rows_are_sorted_and_counted():
    behaviour = us.read_behaviour(ROWS.sample(frac=1, random_state=0), WORLD)
    assert list(behaviour.table) == [*COLUMNS, "subject", "maze"]
    assert behaviour.table["episode"].tolist() == [3, 3, 7, 7, 7] and behaviour.table.index.tolist() == list(range(5))
    assert all(behaviour.table[name].dtype == np.int64 for name in COLUMNS)
    assert (behaviour.num_episodes, behaviour.num_decisions, behaviour.num_states, behaviour.num_actions) == (
        2,
        5,
        4,
        2,
    )
    counts = behaviour.counts()
    assert counts.dtype == np.float64 and counts.tolist() == [[2, 0], [1, 1], [1, 0], [0, 0]]


def test_reading_changes_nothing_and_reads_its_own_table():
    rows = ROWS.copy()
    behaviour = us.read_behaviour(rows, WORLD)
    pd.testing.assert_frame_equal(rows, ROWS)
    assert_same(us.read_behaviour(behaviour.table, WORLD), behaviour)


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet", ".jsonl"])
@pytest.mark.parametrize("rows", [ROWS, BY_NAME], ids=["numbers", "names"])
def test_every_format(tmp_path, suffix, rows):
    path = tmp_path / f"steps{suffix}"
    if suffix == ".parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed; pip install 'utiliscope[data]'")
        rows.to_parquet(path)
    elif suffix == ".jsonl":
        rows.to_json(path, orient="records", lines=True)
    else:
        rows.to_csv(path, index=False)
    for source in (path, str(path)):
        assert_same(us.read_behaviour(source, WORLD), us.read_behaviour(ROWS, WORLD))


@pytest.mark.parametrize("convert", [float, str, lambda number: f"{number}.0", lambda number: f" {number}"])
def test_numbers_in_other_clothes(convert):
    rows = ROWS.assign(**{name: [convert(value) for value in ROWS[name]] for name in COLUMNS[1:]})
    assert_same(us.read_behaviour(rows, WORLD), us.read_behaviour(ROWS, WORLD))


@pytest.mark.parametrize("dtype", ["category", "string", object])
def test_other_column_types(dtype):
    assert_same(us.read_behaviour(BY_NAME.astype({"state": dtype}), WORLD), us.read_behaviour(ROWS, WORLD))
    missing = changed("next_state", 4, None).astype({"next_state": "Int64"})
    assert us.read_behaviour(missing, WORLD).table["next_state"].tolist() == [0, 1, 1, 2, 3]


def test_names_that_are_words_for_nothing_or_numbers(tmp_path):
    rows = "episode,t,state,action\n0,0,NA,2\n0,1,nan,1\n0,2,NA,\n"
    world = us.world_model(np.eye(2)[[[1, 0], [0, 1]]], [1, 0], 0.9, state_names=["NA", "nan"], action_names=["2", "1"])
    (tmp_path / "s.csv").write_text(rows.rsplit("0,2", 1)[0])
    assert us.read_behaviour(tmp_path / "s.csv", world).table["state"].tolist() == [0, 1]
    assert us.read_behaviour(tmp_path / "s.csv", world).table["action"].tolist() == [0, 1]  # names before numbers
    (tmp_path / "s.csv").write_text(rows)
    with pytest.raises(us.InputError, match=r"action is missing or unknown: row 2 \(episode 0, t 2\)"):
        us.read_behaviour(tmp_path / "s.csv", world)


def test_text_that_can_only_be_numbers_is_not_taken_for_names():
    world = us.world_model(np.full((3, 1, 3), 1 / 3), [1, 0, 0], 0.9, state_names=["1", "2", "3"])
    rows = pd.DataFrame(
        {"episode": 0, "t": range(3), "state": ["0", "1", "2"], "action": 0, "next_state": ["1", "2", "-1"]}
    )
    assert us.read_behaviour(rows, world).table["state"].tolist() == [0, 1, 2]
    rows["state"], rows["next_state"] = ["3", "1", "2"], ["1", "2", "-1"]
    assert us.read_behaviour(rows, world).table["state"].tolist() == [2, 0, 1]
    rows["state"] = [2, 0, 1]
    assert us.read_behaviour(rows.drop(columns="next_state"), world).table["state"].tolist() == [2, 0, 1]


def test_episode_labels_may_be_text():
    behaviour = us.read_behaviour(ROWS.assign(episode=["b", "b", "b", "a", "a"]), WORLD)
    assert [label for label, _, _ in behaviour.episodes()] == ["a", "b"]
    mixed = us.read_behaviour(ROWS.assign(episode=[1, 1, 1, "a", "a"]), WORLD)
    assert mixed.table["episode"].tolist() == ["1", "1", "1", "a", "a"]


def test_absent_next_states_are_filled():
    for rows in (ROWS.drop(columns="next_state"), ROWS.assign(next_state=-1), ROWS.assign(next_state=np.nan)):
        assert us.read_behaviour(rows, WORLD).table["next_state"].tolist() == [0, 1, 1, 2, 3]
    assert us.read_behaviour(changed("next_state", 1, None), WORLD).table["next_state"].tolist() == [0, 1, 1, 2, 3]


def test_next_states_of_chance_stay_unknown_at_the_end():
    world = us.gridworld("..", slip=0.5)
    rows = pd.DataFrame({"episode": 0, "t": [0, 1], "state": [0, 1], "action": 3})
    behaviour = us.read_behaviour(rows, world)
    assert behaviour.table["next_state"].tolist() == [1, -1]
    (label, states, actions), *others = behaviour.episodes()
    assert (label, states.tolist(), actions.tolist(), others) == (0, [0, 1], [3, 3], [])


def test_episodes_have_one_state_more_than_actions():
    episodes = [(label, s.tolist(), a.tolist()) for label, s, a in us.read_behaviour(ROWS, WORLD).episodes()]
    assert episodes == [(3, [1, 0, 1], [1, 0]), (7, [0, 1, 2, 3], [0, 0, 0])]


def test_where():
    behaviour = us.read_behaviour(ROWS, WORLD)
    for columns in ({"subject": "A"}, {"maze": 1}, {"maze": "1"}, {"maze": 1.0}, {"subject": "A", "maze": 1}):
        part = behaviour.where(**columns)
        assert isinstance(part, Behaviour) and part.table["episode"].tolist() == [7, 7, 7]
        assert part.table.index.tolist() == [0, 1, 2] and part.num_states == 4
    assert behaviour.where().num_decisions == 5
    with pytest.raises(us.InputError, match="no column 'group'; its columns are episode, t, state"):
        behaviour.where(group="A")
    with pytest.raises(us.InputError, match=r"no decision has subject = 'C' .*'B', 'A'"):
        behaviour.where(subject="C")
    with pytest.raises(us.InputError, match=r"no decision has maze = 2 \(left to choose from: 1\)"):
        behaviour.where(subject="A", maze=2)


def test_where_cuts_episodes_into_pieces():
    rows = ROWS.assign(light=["on", "off", "on", "on", "on"])
    pieces = us.read_behaviour(rows, WORLD).where(light="on").episodes()
    assert [(label, states.tolist()) for label, states, _ in pieces] == [(3, [1, 0, 1]), (7, [0, 1]), (7, [2, 3])]


MANY = pd.DataFrame({"episode": range(9), "t": 0, "state": 3, "action": 1})
BAD = {
    "has no column t, action; columns found: episode, state,": ROWS.drop(columns=["t", "action"]),
    "columns found: none": pd.DataFrame(),
    "holds no decisions": ROWS[:0],
    "more than one column state": pd.concat([ROWS, ROWS[["state"]]], axis=1),
    r"without an episode: row 2 \(episode nan, t 6\)": changed("episode", 2, np.nan),
    r"t is not a whole number: row 1 \(episode 7, t nan\): nan": changed("t", 1, np.nan),
    r"t is not a whole number: row 1 .*: 'noon'": changed("t", 1, "noon"),
    r"t is not a whole number: row 1 .*: 5.5": changed("t", 1, 5.5),
    "t is not a whole number: row 1 .*inf": changed("t", 1, np.inf),
    r"state is missing or unknown: row 2 \(episode 7, t 6\): nan. It must be one of 0\.\.3 or west, mid": changed(
        "state", 2, np.nan
    ),
    r"state is missing or unknown: row 2 \(episode 7, t 6\): 'north'": changed("state", 2, "north", BY_NAME),
    r"state is missing or unknown: row 2 \(episode 7, t 6\): 4": changed("state", 2, 4),
    "state is missing or unknown: row 2 .*-1": changed("state", 2, -1),
    "state is missing or unknown: row 2 .*1.5": changed("state", 2, 1.5),
    "state is missing or unknown: row 0 .*False.*True": ROWS.assign(state=[False, False, True, False, False]),
    "state holds lists": ROWS.assign(state=[[0]] * 5),
    r"action is missing or unknown: row 0 \(episode 7, t 4\): 2": changed("action", 0, 2),
    "action is missing or unknown: row 3 .*'up'": changed("action", 3, "up", BY_NAME),
    r"next_state is missing or unknown: row 1 .*: 9": changed("next_state", 1, 9),
    r"rise by 1 within an episode: row 1 \(episode 7, t 5\): followed by t 7 in row 2": changed("t", 2, 7),
    r"row 0 \(episode 7, t 4\): followed by the same t in row 1": changed("t", 1, 4),
    r"not available: row 0 \(episode 7, t 4\): back in west": changed("action", 0, 1),
    r"next_state .* row 0 \(episode 7, t 4\): east, but row 1 is in mid": changed("next_state", 0, 2),
    r"cannot make: row 2 \(episode 7, t 6\): on from east to west": changed("next_state", 2, 0),
    r"cannot make: row 1 \(episode 7, t 5\): back from mid to east": changed("action", 1, 1).drop(columns="next_state"),
    r"row 0 .*row 4 \(episode 4, t 0\): back in goal and 4 more\. .*rows count from 0, the first below": MANY,
}


@pytest.mark.parametrize("message", BAD)
def test_bad_rows(message):
    with pytest.raises(us.InputError, match=message) as caught:
        us.read_behaviour(BAD[message], WORLD)
    assert "the DataFrame" in str(caught.value)


def test_listed_rows_are_those_of_the_source():
    rows = changed("action", 0, 1).iloc[[3, 4, 0, 1, 2]]
    with pytest.raises(us.InputError, match=r"row 2 \(episode 7, t 4\): back in west"):
        us.read_behaviour(rows, WORLD)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("s.csv", b"", "cannot be read as .csv"),
        ("s.csv", b"episode,t,state,action\n", "holds no decisions"),
        ("s.csv", b"episode,t\n0,0\n", "no column state, action; columns found: episode, t"),
        ("s.csv", b"episode;t;state;action\n0;0;0;0\n", "columns found: episode;t;state;action"),
        ("s.csv", b"episode,t,state,action\n0,0,0,0,5\n0,1,1,0,5\n", "more entries than its header"),
        ("s.csv", b'episode,t,state,action\n0,0,"0,0\n', "cannot be read as .csv"),
        ("s.csv", b"\xff\xfe\x00\x01", "cannot be read as .csv"),
        ("s.csv.gz", b"episode,t,state,action\n0,0,0,0\n", "cannot be read as .csv.gz"),
        ("s.csv.gz", gzip.compress(b"episode,t,state,action\n0,0,0,0\n", mtime=0)[:-9], "cannot be read as .csv.gz"),
        ("s.parquet", b"PAR1 and no more", "cannot be read as .parquet"),
        ("s.jsonl", b"{]", "cannot be read as .jsonl"),
        ("s.jsonl", b"\n[1, 2]\n", "line 2 is no object"),
        ("s.jsonl", b"", "no column episode"),
        ("s.txt", b"episode,t,state,action\n", r"must end in \.csv, \.csv\.gz, \.parquet or \.jsonl"),
        ("s.json", b"{}", "must end in"),
    ],
)
def test_bad_files(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(us.InputError, match=message) as caught:
        us.read_behaviour(tmp_path / name, WORLD)
    assert name in str(caught.value)


def test_no_files(tmp_path):
    (tmp_path / "folder.csv").mkdir()
    for name in ("missing.csv", "folder.csv"):
        with pytest.raises(us.InputError, match="does not exist or is a folder"):
            us.read_behaviour(tmp_path / name, WORLD)
    with pytest.raises(us.InputError, match="behaviour is a list; give a file"):
        us.read_behaviour([1, 2], WORLD)


def recording(env, seeds=range(3)):
    """A Minari dataset of random play in `env`."""
    minari = pytest.importorskip("minari", reason="minari is not installed; pip install 'utiliscope[data]'")
    episodes = []
    for seed in seeds:
        env.action_space.seed(seed)
        observation, _ = env.reset(seed=seed)
        steps = []
        while not steps or not (steps[-1][3] or steps[-1][4]):
            action = env.action_space.sample()
            steps.append((action, *env.step(action)))
        actions, observations, rewards, terminations, truncations, _ = zip(*steps, strict=True)
        episodes.append(
            minari.data_collector.EpisodeBuffer(
                id=seed,
                observations=[observation, *observations],
                actions=list(actions),
                rewards=list(rewards),
                terminations=list(terminations),
                truncations=list(truncations),
            )
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it asks for the author and the code of the recording
        return minari.create_dataset_from_buffers("lake/test-v0", episodes, env=env, eval_env=env)


@pytest.fixture
def minari_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    return tmp_path


def test_minari(minari_folder):
    gymnasium = pytest.importorskip("gymnasium", reason="gymnasium is not installed; pip install 'utiliscope[data]'")
    env = gymnasium.make("FrozenLake-v1")
    world, dataset = us.from_gymnasium(env, discount=0.99), recording(env)
    behaviour = us.read_behaviour("lake/test-v0", world)
    assert_same(us.read_behaviour(dataset, world), behaviour)
    assert list(behaviour.table) == [*COLUMNS, "reward"] and behaviour.num_episodes == 3
    for (_, states, actions), episode in zip(behaviour.episodes(), dataset.iterate_episodes(), strict=True):
        np.testing.assert_array_equal(states, episode.observations)
        np.testing.assert_array_equal(actions, episode.actions)


def test_minari_of_continuous_states(minari_folder):
    gymnasium = pytest.importorskip("gymnasium", reason="gymnasium is not installed; pip install 'utiliscope[data]'")
    dataset = recording(gymnasium.make("CartPole-v1"), seeds=[0])
    with pytest.raises(us.InputError, match="observations that are not single whole numbers"):
        us.read_behaviour(dataset, WORLD)


def test_minari_that_is_not_there(minari_folder, monkeypatch):
    pytest.importorskip("minari", reason="minari is not installed; pip install 'utiliscope[data]'")
    with pytest.raises(us.InputError, match="lake/none-v0 is neither a file nor a Minari dataset on this machine"):
        us.read_behaviour("lake/none-v0", WORLD)
    monkeypatch.setitem(sys.modules, "minari", None)
    with pytest.raises(us.InputError, match="needs minari: pip install"):
        us.read_behaviour("lake/none-v0", WORLD)


def test_parquet_without_pyarrow(tmp_path, monkeypatch):
    (tmp_path / "s.parquet").write_bytes(b"")
    monkeypatch.setattr("utiliscope.recordings._READERS", {".parquet": lambda path: __import__("no_such_module")})
    with pytest.raises(us.InputError, match="needs pyarrow to be read: pip install"):
        us.read_behaviour(tmp_path / "s.parquet", WORLD)


PUBLIC = {
    "mouse_labyrinth": ("environment.json", 289_662, 3_320),
    "reward_demonstrations": ("environment.json", 11_695, 1_384),
    "shanghai_taxi_routes": ("environment.npz", 452_748, 24_468),
}


@pytest.mark.parametrize("name", PUBLIC)
def test_public_recordings(name):
    if not (DATA / name).exists():
        pytest.skip(f"the public recordings are not on this machine: shared/data/{name}")
    environment, decisions, episodes = PUBLIC[name]
    behaviour = us.read_behaviour(DATA / name / "trajectories.csv.gz", us.read_world(DATA / name / environment))
    assert (behaviour.num_decisions, behaviour.num_episodes) == (decisions, episodes)
    assert behaviour.counts().sum() == decisions and (behaviour.table["next_state"] >= 0).all()


def test_mouse_groups():
    folder = DATA / "mouse_labyrinth"
    if not folder.exists():
        pytest.skip("the public recordings are not on this machine: shared/data/mouse_labyrinth")
    behaviour = us.read_behaviour(folder / "trajectories.csv.gz", us.read_world(folder / "environment.json"))
    parts = [behaviour.where(group=group) for group in ("restricted", "unrestricted")]
    assert sum(part.num_decisions for part in parts) == behaviour.num_decisions
    label, states, actions = next(behaviour.where(subject="B1").episodes())
    assert (label, states[0], len(states)) == (0, 127, len(actions) + 1)


def test_tartarus_maze_by_maze():
    folder = DATA / "tartarus_maze_rats"
    if not folder.exists():
        pytest.skip("the public recordings are not on this machine: shared/data/tartarus_maze_rats")
    table = pd.read_csv(folder / "trajectories.csv.gz")
    read = 0
    for layout in range(25):
        world = us.read_world(folder / "environment.npz", layout=layout)
        read += us.read_behaviour(table[table["maze"] == layout], world).num_decisions
    assert read == 48_361
    with pytest.raises(us.InputError, match=r"not available: row \d+ \(episode \d+, t \d+\).* and \d+ more"):
        us.read_behaviour(table, world)


def test_jsonl_with_gaps_keeps_text(tmp_path):
    records = [
        {"episode": "01", "t": 0, "state": "west", "action": "on", "note": "2020-01-01"},
        {"episode": "01", "t": 1, "state": "mid", "action": "back", "next_state": "west"},
    ]
    (tmp_path / "s.jsonl").write_text("\n".join(map(json.dumps, records)))
    table = us.read_behaviour(tmp_path / "s.jsonl", WORLD).table
    assert table["episode"].tolist() == ["01", "01"] and table["note"][0] == "2020-01-01"
    assert table["next_state"].tolist() == [1, 0]

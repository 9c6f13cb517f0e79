"""The worlds of the suite: what is promised of every one, and how the generated ones are laid out."""

import numpy as np
import pytest
from class_index import class_index

import utiliscope as us
from utiliscope.suite.worlds import WORLDS, cliff, grid, hub, labyrinth, random_sparse
from utiliscope.utilities.equality import grouped
from utiliscope.world.model import is_deterministic, reachable_states


# The deterministic tiles have thousands of pairs of memory and state.
@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=[pytest.mark.slow] * (name == "tiles")) for name in WORLDS]
)
def suite_world(request):
    return WORLDS[request.param]()


def test_sizes(suite_world):
    assert 9 <= suite_world.world.num_states <= 40
    assert 20 <= len(suite_world.candidates) <= 60
    assert 3 <= len(suite_world.utilities) <= 6


def test_the_changed_world_differs_in_moves_or_starts_only(suite_world):
    world, changed = suite_world.world, suite_world.changed
    assert (world.state_names, world.action_names) == (changed.state_names, changed.action_names)
    assert float(world.discount) == float(changed.discount)
    assert world.features.keys() == changed.features.keys()
    for name, values in world.features.items():
        np.testing.assert_array_equal(values, changed.features[name])
    same = np.array_equal(world.transition, changed.transition) and np.array_equal(world.initial, changed.initial)
    assert not same
    # What a utility speaks of can be got to in both.
    for one in (world, changed):
        assert all(np.any(np.asarray(values) * reachable_states(one)) for values in one.features.values())


def test_true_utilities_are_candidates_each_of_its_own_class(suite_world):
    places = [class_index(suite_world, text) for text in suite_world.utilities]
    assert len(set(places)) == len(places)
    # In the changed world the candidate stands for the same utility, as regret there is that of the candidate.
    grammar = us.Grammar(suite_world.changed, weights=suite_world.grammar_weights, horizon=suite_world.grammar_horizon)
    for text, place in zip(suite_world.utilities, places, strict=True):
        pair = grouped(suite_world.changed, [grammar.parse(text), grammar.parse(suite_world.candidates.names[place])])
        assert pair[0] == pair[1]
    assert "0" in suite_world.candidates.names


def test_partial_recordings_begin_in_one_place(suite_world):
    if suite_world.partial:
        assert np.count_nonzero(suite_world.world.initial) == 1
        reached, steps = np.asarray(suite_world.world.initial) > 0, np.asarray(suite_world.world.transition).max(1) > 0
        for _ in range(suite_world.num_steps):
            reached = reached | (reached @ steps)
        assert not reached.all()


def test_there_are_worlds_of_every_kind():
    worlds = {name: make() for name, make in WORLDS.items()}
    assert {is_deterministic(one.world) for one in worlds.values()} == {True, False}
    assert sum(one.partial for one in worlds.values()) >= 2
    assert any(not np.asarray(one.world.available).all() for one in worlds.values())


def test_programs_of_one_class_have_one_index():
    suite_world = WORLDS["cliff"]()
    # Who is at G stays: to be there soon is to be there long.
    same = ("reach(G)", "time(G)", "3*time(G) + 2", "time(G) + reach(G)")
    assert len({class_index(suite_world, text) for text in same}) == 1
    assert class_index(suite_world, "5*time(G) - 7*time(c)") is None


def test_walls_are_bumped_into():
    open_grid, walled = grid("...", slip=0.0), grid("...", slip=0.0, walls=[("0,0", "0,1")])
    right, left = open_grid.action_names.index("right"), open_grid.action_names.index("left")
    assert open_grid.transition[0, right, 1] == 1 and walled.transition[0, right, 0] == 1
    assert walled.transition[1, left, 1] == 1 and walled.transition[1, right, 2] == 1


def test_the_cliff_sends_back_to_the_start():
    world = cliff(slip=0.1)
    start = world.state_names.index("3,0")
    assert (np.asarray(world.transition)[np.asarray(world.features["c"])][:, :, start] == 1).all()
    assert np.asarray(world.initial)[start] == 1


@pytest.mark.parametrize("levels", [1, 3])
def test_labyrinth(levels):
    world = labyrinth(levels)
    assert world.num_states == 2 * (2 ** (levels + 1) - 1) + 1
    assert world.features["ends"].sum() == 2**levels and world.features["water"].sum() == 1
    available = np.asarray(world.available)
    assert sorted(available.sum(1).tolist()) == sorted(
        [1] * (1 + 2**levels) + [2] * (2 ** (levels + 1) - 1) + [3] * (2**levels - 1)
    )
    assert reachable_states(world).all() and is_deterministic(world)


def test_a_mirrored_junction_exchanges_left_and_right():
    plain, mirrored = labyrinth(2), labyrinth(2, mirrored=("L",))
    place = plain.state_names.index("L")
    np.testing.assert_array_equal(plain.transition[place, [1, 2]], mirrored.transition[place, [2, 1]])
    differ = np.any(np.asarray(plain.transition) != np.asarray(mirrored.transition), axis=(1, 2))
    assert np.flatnonzero(differ).tolist() == [place]


def test_random_sparse_worlds_are_their_seed():
    one, again, other = random_sparse(3), random_sparse(3), random_sparse(4)
    np.testing.assert_array_equal(one.transition, again.transition)
    assert not np.array_equal(one.transition, other.transition)
    assert ((np.asarray(one.transition) > 0).sum(-1) == 3).all()
    half, whole = random_sparse(3, changes=0.5), random_sparse(3, changes=1.0)
    moved = np.any(np.asarray(one.transition) != np.asarray(half.transition), axis=-1)
    assert moved.sum() == moved.size // 2
    np.testing.assert_array_equal(np.asarray(half.transition)[moved], np.asarray(whole.transition)[moved])
    assert not (one.features["a"] & one.features["b"]).any()


def test_hub():
    world = hub(4, 2, slip=0.0)
    assert world.num_states == 9 and np.asarray(world.available).sum(1).tolist() == [4] + [2] * 8
    tip, following = world.state_names.index("3.1"), world.state_names.index("0.1")
    assert world.transition[tip, 1, following] == 1
    assert np.asarray(hub(4, 2, ring=False).available)[tip].tolist() == [True, False, False, False]

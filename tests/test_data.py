"""The bundled recordings: made anew they are the same bytes, and they say what their agents are."""

import json

import numpy as np
import pytest
from utiliscope.data import make, path

import utiliscope as us


@pytest.mark.parametrize("name", list(make.RECORDINGS))
def test_files_are_what_make_writes(name):
    for file, text in make.files(name).items():
        assert path(file).read_bytes() == text.encode(), f"{file}: run python data/make.py"


@pytest.mark.parametrize("name", list(make.RECORDINGS))
def test_files_read_as_the_world_and_behaviour_they_were_made_from(name):
    recording = make.RECORDINGS[name]
    made, world = make.make_world(recording), us.read_world(path(f"{name}.json"))
    np.testing.assert_array_equal(world.transition, made.transition)
    np.testing.assert_array_equal(world.available, made.available)
    np.testing.assert_array_equal(world.initial, made.initial)
    assert (world.discount, list(world.features)) == (made.discount, list(made.features))
    behaviour = us.read_behaviour(path(f"{name}.csv"), world)
    assert behaviour.num_episodes == recording.episodes
    # Whole episodes: each ends where G is.
    assert all(world.features["G"][states[-1]] for _, states, _ in behaviour.episodes())
    stated = json.loads(path(f"{name}.json").read_text())
    assert us.Grammar(world).parse(stated["true_utility"]) == us.Grammar(made).parse(recording.true_utility)
    assert stated["agent"] == recording.agent


def test_the_agents_do_what_is_said_of_them():
    recording = make.RECORDINGS["balker"]
    world = make.make_world(recording)
    policy = make.agent_policy(recording, world)
    best = us.optimal_policy(world, us.Grammar(world).parse(recording.true_utility))
    at_b = np.asarray(world.features["b"])
    back = world.action_names.index("left")
    assert policy[at_b, back] == pytest.approx(0.96 + 0.04 * 0.1 / 4)
    np.testing.assert_allclose((policy * best).sum(1)[~at_b], 0.9 + 0.1 / 4)
    wanderer = make.RECORDINGS["wanderer"]
    np.testing.assert_allclose(make.agent_policy(wanderer, make.make_world(wanderer)), 0.25)

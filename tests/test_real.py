"""Scores of `benchmarks/real.py`: each against counting by hand, and published figures where the data are there."""

import importlib.util
import itertools
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def beside(monkeypatch):
    """Benchmarks import each other by name."""
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])


def load(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def recorded(name):
    if not (DATA / name).is_dir():
        pytest.skip(f"the recordings of {name} are not here")
    return DATA / name


def small_network(real_taxis):
    """Four links: 0 leads to 1 and 2, which lead to each other and to 3."""
    start, end = np.array([0, 0, 1, 2, 1, 2]), np.array([1, 2, 2, 1, 3, 3])
    number = np.full((4, 4), -1)
    number[start, end] = np.arange(6)
    features = np.random.default_rng(0).normal(size=(6, 2))
    return real_taxis.Network(features, start, end, number)


def test_paths_of_a_network_are_summed_and_differentiated():
    real_taxis = load("real_taxis")
    network, theta = small_network(real_taxis), np.array([0.3, -0.2])
    network = network._replace(features=np.c_[network.features, np.ones(6)])
    theta = np.append(theta, -2.0)
    weight = np.exp(network.features @ theta)
    move = np.zeros((4, 4))
    move[network.start, network.end] = weight
    by_hand = 0.0
    for length in range(1, 30):
        stopped = np.where(np.arange(4)[:, None] == 2, 0.0, move)  # link 2 ends a trip
        by_hand += np.linalg.matrix_power(stopped, length)[0, 2]
    found = real_taxis.log_worth(theta, network, np.array([0]), np.array([2]))
    assert found[0] == pytest.approx(np.log(by_hand), abs=1e-12)

    ends = np.array([0, 0, 1]), np.array([2, 3, 3]), np.array([2, 1, 4])
    value, slope = real_taxis.slope(theta, network, *ends)
    for k, step in enumerate(1e-6 * np.eye(3)):
        ahead, behind = (real_taxis.slope(theta + sign * step, network, *ends)[0] for sign in (1, -1))
        assert slope[k] == pytest.approx((ahead - behind) / 2e-6, rel=1e-6)
    assert value == pytest.approx(ends[2] @ real_taxis.log_worth(theta, network, *ends[:2]))
    # Going round and round for nothing: the sum over paths has no end.
    assert real_taxis.slope(np.array([0.0, 0.0, 1.0]), network, *ends)[0] == -np.inf


def test_taxis_score_as_published():
    real_taxis = load("real_taxis")
    network, rows = real_taxis.read(recorded("shanghai_taxi_routes"))
    test = rows[rows.fold == 0]
    trips = real_taxis.trips(network, test)
    nats = real_taxis.trip_log_likelihood(real_taxis.REFERENCE, network, trips)
    assert nats.mean() == pytest.approx(-4.298, abs=5e-4)
    assert nats.sum() / trips.length.sum() == pytest.approx(-0.2308, abs=5e-5)


def test_uniform_and_tabled_moves_score_as_published():
    labyrinth = load("real_labyrinth")
    folder = recorded("mouse_labyrinth")
    rows, world = pd.read_csv(folder / "dirl_clips.csv.gz"), labyrinth.maze(folder)
    for group, uniform, table in (("restricted", -1.677, -0.907), ("unrestricted", -1.705, -0.866)):
        chosen = rows[rows.group == group]
        train, test = (chosen[chosen.split == split] for split in ("train", "test"))
        counts = labyrinth.counted(train)
        assert labyrinth.bits(labyrinth.smoothed(0 * counts, world, 1.0), test) == pytest.approx(uniform, abs=5e-4)
        assert labyrinth.bits(labyrinth.smoothed(counts, world, 0.1), test) == pytest.approx(table, abs=5e-4)


def corridor():
    """Three places in a row: actions west and east."""
    following = np.full((3, 4), -1)
    following[1, 3], following[2, 3], following[0, 1], following[1, 1] = 0, 1, 1, 2
    return following


def test_random_arrivals_are_those_of_all_sequences():
    rats = load("real_rats")
    horizon = 6
    found = rats.arrival(corridor(), horizon)
    # From the middle, each move is even; at the ends there is one way.
    by_hand = np.zeros(horizon + 1)
    for choices in itertools.product((-1, 1), repeat=horizon):
        place, first = 1, None
        for t, step in enumerate(choices):
            place = 1 if place != 1 else 1 + step
            if place == 2 and first is None:
                first = t + 1
        by_hand += (first is not None) & (np.arange(horizon + 1) >= (first or 0))
    np.testing.assert_allclose(found[:, 1, 2], by_hand / 2**horizon, atol=1e-14)


def test_trials_are_weighed_so_that_sequences_sum_to_one():
    rats = load("real_rats")
    arrive, laws = rats.arrival(corridor(), 6), [rats._exponential(0.7), rats._bump(3.0, 2.0)]
    weigher = rats.Weigher(arrive, 1, laws)
    total = np.zeros((3, 2))
    for choices in itertools.product((-1, 1), repeat=4):
        states = [1]
        for step in choices:
            states.append(1 if states[-1] != 1 else 1 + step)
        total += np.exp(weigher(np.array(states))) / 2**4  # at the ends both choices lead back
    np.testing.assert_allclose(total, 1.0, atol=1e-12)


def test_ways_of_learning_a_parameter():
    people = load("real_people")
    random = np.random.default_rng(0)
    table = random.normal(size=(5, 6, 3))
    truth, person = np.array([0, 1, 2, 0, 1, 2]), np.array(["a", "a", "b", "b", "c", "c"])
    condition = np.array(["do"] * 6)
    own = people.learned(table, truth, condition, person, "own")
    expected = np.exp(table).mean(0)
    np.testing.assert_allclose(np.exp(own), expected / expected.sum(-1, keepdims=True), atol=1e-12)
    # People a and c are one half, b the other: b's demonstrations are judged by what the others teach.
    weight = np.exp(table[:, [0, 1, 4, 5], [0, 1, 1, 2]].sum(-1))
    expected = (weight[:, None] * np.exp(table[:, 2])).sum(0)
    taught = people.learned(table, truth, condition, person, "taught")
    np.testing.assert_allclose(np.exp(taught[2]), expected / expected.sum(), atol=1e-12)
    # A pool that holds the demonstration itself: the joint posterior of its reward and the parameter.
    evidence = np.exp(table).mean(-1).prod(-1)
    each = np.exp(table[:, 0]) / np.exp(table[:, 0]).sum(-1, keepdims=True)
    expected = (evidence[:, None] * each).sum(0) / evidence.sum()
    pooled = people.learned(table, truth, condition, person, "pooled")
    np.testing.assert_allclose(np.exp(pooled[0]), expected, atol=1e-12)

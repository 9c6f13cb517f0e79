"""The Boltzmann baseline against plain loops, and its product with what has been reached against planning."""

import importlib.util
import math
import pathlib

import numpy as np
import pytest

import utiliscope as us
from utiliscope.payoffs import Payoffs
from utiliscope.planning import value_range

_PATH = pathlib.Path(__file__).parent.parent / "benchmarks" / "boltzmann.py"
_SPEC = importlib.util.spec_from_file_location("boltzmann", _PATH)
boltzmann = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(boltzmann)


@pytest.fixture(scope="module")
def world():
    """A small grid where one action is missing in two states."""
    grid = us.gridworld(["S.b", ".#.", "..G"], slip=0.15, discount=0.85)
    available = np.ones((grid.num_states, 4), bool)
    available[0, 0] = available[4, 3] = False
    return us.world_model(
        grid.transition, grid.initial, 0.85, available=available, features=grid.features, state_names=grid.state_names
    )


def looped_values(world, state, action, reach, target, sweeps=300):
    """Value iteration as in a textbook, one state and action at a time; a set to be reached ends the episode."""
    value = [0.0] * world.num_states
    for _ in range(sweeps):
        q = [
            [
                state[s]
                + action[s][a]
                + world.discount * sum(world.transition[s, a, t] * value[t] for t in range(world.num_states))
                if world.available[s, a]
                else -math.inf
                for a in range(world.num_actions)
            ]
            for s in range(world.num_states)
        ]
        value = [reach if target[s] else max(q[s]) for s in range(world.num_states)]
    return [[0.0 if target[s] and math.isfinite(x) else x for x in row] for s, row in enumerate(q)]


def looped_log_likelihood(q, states, actions, temperature):
    total = 0.0
    for s, a in zip(states, actions, strict=True):
        total += q[s][a] / temperature - math.log(sum(math.exp(x / temperature) for x in q[s]))
    return total


def random_steps(world, seed, length=12):
    rng = np.random.default_rng(seed)
    states, actions = [int(rng.integers(world.num_states))], []
    for _ in range(length):
        actions.append(int(rng.choice(np.flatnonzero(world.available[states[-1]]))))
        states.append(int(rng.choice(world.num_states, p=world.transition[states[-1], actions[-1]])))
    return np.array(states), np.array(actions)


@pytest.mark.parametrize("kind", ["steps", "reach"])
def test_values_and_likelihood_match_a_plain_loop(world, kind):
    rng = np.random.default_rng(1)
    nowhere = np.zeros(world.num_states, bool)
    if kind == "steps":
        state, action = rng.normal(size=world.num_states), rng.normal(size=(world.num_states, 4))
        payoffs = Payoffs(state, action, np.zeros(0), np.zeros((0, world.num_states), bool))
        expected = looped_values(world, state, action, 0.0, nowhere)
    else:
        target = np.asarray(world.features["G"])
        payoffs = Payoffs(np.zeros(world.num_states), None, np.array([2.0]), target[None])
        expected = looped_values(world, np.zeros(world.num_states), np.zeros((world.num_states, 4)), 2.0, target)
    q = boltzmann.action_values(world, payoffs)
    np.testing.assert_allclose(q, expected, atol=1e-9)
    states, actions = random_steps(world, 2)
    temperatures = [0.1, 0.5, 3.0]
    found = boltzmann.log_likelihood(q, states[:-1], actions, temperatures)
    np.testing.assert_allclose(
        found, [looped_log_likelihood(expected, states[:-1], actions, t) for t in temperatures], atol=1e-8
    )


def test_posterior_matches_a_plain_loop_and_counts_match_steps(world):
    candidates = us.Grammar(world).select(["0", "time(G)", "-time(b)", "2*time(b)"])
    steps = [random_steps(world, seed) for seed in (3, 4)]
    temperatures = np.array([0.05, 0.3, 2.0])
    counts = np.zeros((world.num_states, 4))
    for states, actions in steps:
        np.add.at(counts, (states[:-1], actions), 1)
    found = boltzmann.boltzmann_posterior(
        steps, world, candidates.payoffs, candidates.code_length, temperatures=temperatures
    )
    again = boltzmann.boltzmann_posterior(
        counts, world, candidates.payoffs, candidates.code_length, temperatures=temperatures
    )
    np.testing.assert_allclose(found.log_prob, again.log_prob, atol=1e-10)
    masses = []
    for k in range(len(candidates)):
        state = candidates.payoffs.state[k]
        nowhere = np.zeros(world.num_states, bool)
        q = looped_values(world, state, np.zeros((world.num_states, 4)), 0.0, nowhere)
        likelihood = [
            math.exp(sum(looped_log_likelihood(q, states[:-1], actions, t) for states, actions in steps))
            for t in temperatures
        ]
        masses.append(2.0 ** -candidates.code_length[k] * sum(likelihood) / len(temperatures))
    np.testing.assert_allclose(np.exp(found.log_prob), np.array(masses) / sum(masses), rtol=1e-7)
    np.testing.assert_allclose(np.exp(found.log_prob).sum(), 1)
    np.testing.assert_allclose(np.exp(found.log_temperature).sum(), 1)


def test_sums_with_reach_are_valued_in_the_product(world):
    payoffs = us.Grammar(world).parse("3*reach(G) - time(b) + 2*reach(S)").payoffs(world)
    q = boltzmann.reached_action_values(world, payoffs)
    start = 2
    mode = boltzmann.reached(payoffs, [start])[0]
    at_start = us.world_model(
        world.transition,
        np.eye(world.num_states)[start],
        0.85,
        available=world.available,
        features=world.features,
    )
    assert mode == 0
    np.testing.assert_allclose(q[mode, start].max(), value_range(at_start, payoffs)[1], atol=1e-9)
    with pytest.raises(us.InputError, match="depend on what has been reached"):
        boltzmann.action_values(world, payoffs)


def test_what_has_been_reached(world):
    payoffs = us.Grammar(world).parse("reach(G) + reach(S)").payoffs(world)
    # The sets stand in the order of their terms: G is 1, S is 2.
    np.testing.assert_array_equal(boltzmann.reached(payoffs, [1, 0, 1, 7, 6]), [0, 2, 2, 3, 3])


def test_soft_values_meet_their_equation_and_become_hard(world):
    payoffs = us.Grammar(world).parse("time(G) - time(b)").payoffs(world)
    temperatures = np.array([1e-4, 0.5])
    q = boltzmann.action_values(world, payoffs, temperatures=temperatures)
    np.testing.assert_allclose(q[0], boltzmann.action_values(world, payoffs), atol=1e-2)
    value = 0.5 * np.log(np.exp(q[1] / 0.5).sum(-1))
    ahead = payoffs.state[:, None] + 0.85 * world.transition @ value
    np.testing.assert_allclose(q[1][world.available], ahead[world.available], atol=1e-8)


def test_a_horizon_is_refused(world):
    finite = us.world_model(world.transition, world.initial, 0.9, features=world.features, horizon=5)
    with pytest.raises(us.InputError, match="no horizon"):
        boltzmann.action_values(finite, us.Grammar(finite).parse("time(G)").payoffs(finite))

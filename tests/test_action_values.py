"""Action values against the plain loops of the benchmarks, finite differences, and trees of all that may follow."""

import importlib.util
import itertools
import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import utiliscope as us
from utiliscope.action_values import decision_values, log_boltzmann, optimal_action_values, soft_action_values
from utiliscope.payoffs import as_payoffs

_PATH = pathlib.Path(__file__).parent.parent / "benchmarks" / "boltzmann.py"
_SPEC = importlib.util.spec_from_file_location("boltzmann", _PATH)
plain = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(plain)


def small_world(**options):
    """A small grid where one action is missing in two states."""
    grid = us.gridworld(["S.b", ".#.", "..G"], slip=0.15, discount=0.85)
    available = np.ones((grid.num_states, 4), bool)
    available[0, 0] = available[4, 3] = False
    return us.world_model(
        grid.transition,
        grid.initial,
        0.85,
        available=available,
        features=grid.features,
        state_names=grid.state_names,
        **options,
    )


WORLD = small_world()


def test_gradients_do_not_hang_on_which_value_is_the_largest():
    """That of `max` divides by how many values equal it: none, where compilers round the same sum differently."""
    world = us.world_model(np.random.default_rng(7).dirichlet(np.full(2, 0.5), (2, 2)), [0.5, 0.5], 0.8)
    rewards = jax.random.normal(jax.random.key(0), (300, 2))
    temperatures = jnp.exp(jax.random.normal(jax.random.key(1), (300,)) - 1.0)

    def taken(reward, temperature):
        payoff = jnp.broadcast_to(reward[:, None], (2, 2))
        return log_boltzmann(soft_action_values(world, payoff, temperature), temperature)[0, 0]

    gradients = jax.jit(jax.vmap(jax.grad(taken, (0, 1))))(rewards, temperatures)
    assert all(np.isfinite(one).all() for one in gradients)
    shifted = jax.vmap(lambda reward, temperature: taken(reward + 1e-6, temperature))(rewards, temperatures)
    change = (shifted - jax.vmap(taken)(rewards, temperatures)) / 1e-6
    np.testing.assert_allclose(gradients[0].sum(-1), change, atol=1e-4)


PAYOFF = np.random.default_rng(1).normal(size=(WORLD.num_states, 4))


def differences(function, x, step=1e-5):
    """`[...]` gradient by central differences."""
    found = np.zeros(np.shape(x))
    for place in np.ndindex(*np.shape(x)):
        above, below = np.array(x, float), np.array(x, float)
        above[place] += step
        below[place] -= step
        found[place] = (function(above) - function(below)) / (2 * step)
    return found


def test_optimal_values_match_plain_policy_iteration():
    expected = plain.action_values(WORLD, as_payoffs(WORLD, PAYOFF))
    np.testing.assert_allclose(optimal_action_values(WORLD, PAYOFF), expected, atol=1e-12)
    many = np.stack([PAYOFF, -2 * PAYOFF, np.zeros_like(PAYOFF)])
    found = jax.jit(jax.vmap(lambda payoff: optimal_action_values(WORLD, payoff)))(many)
    for q, payoff in zip(found, many, strict=True):
        np.testing.assert_allclose(q, plain.action_values(WORLD, as_payoffs(WORLD, payoff)), atol=1e-12)


@pytest.mark.parametrize("temperature", [1e-3, 0.1, 3.0])
def test_soft_values_match_plain_iteration(temperature):
    expected = plain.action_values(WORLD, as_payoffs(WORLD, PAYOFF), temperatures=[temperature])[0]
    found = jax.jit(lambda x, t: soft_action_values(WORLD, x, t))(PAYOFF, temperature)
    np.testing.assert_allclose(found, expected, atol=2e-8)  # what the plain iteration leaves
    value = temperature * jax.nn.logsumexp(found / temperature, axis=-1)
    ahead = PAYOFF + 0.85 * WORLD.transition @ np.asarray(value)
    np.testing.assert_allclose(found[WORLD.available], ahead[WORLD.available], atol=1e-12)


def test_terminal_states_are_worth_their_payoff():
    payoffs = us.Grammar(WORLD).parse("3*reach(G)").payoffs(WORLD)
    target = np.asarray(WORLD.features["G"])
    paid = np.repeat(3.0 * target[:, None], 4, 1)
    expected = plain.action_values(WORLD, payoffs, temperatures=[0.2])[0]
    found = soft_action_values(WORLD, paid, 0.2, terminal=target)
    np.testing.assert_allclose(found[~target], expected[~target], atol=1e-8)
    np.testing.assert_array_equal(found[target], paid[target])


@pytest.mark.parametrize("sparse", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_gradients_are_those_of_differences(sparse):
    world = WORLD
    if sparse:  # of more states than are solved densely
        world = us.gridworld(["." * 19] * 16, slip=0.1, discount=0.5, sparse=True)
    random = np.random.default_rng(2)
    payoff, weight = random.normal(size=(2, world.num_states, 4))
    direction = random.normal(size=payoff.shape)

    def optimal(scale):
        q = optimal_action_values(world, payoff + scale[0] * direction)
        return jnp.where(world.available, log_boltzmann(q, scale[1]) * weight, 0.0).sum()

    def soft(scale):
        q = soft_action_values(world, payoff + scale[0] * direction, scale[1])
        return jnp.where(world.available, log_boltzmann(q, scale[1]) * weight, 0.0).sum()

    for function in (jax.jit(optimal), jax.jit(soft)):
        at = np.array([0.3, 0.7])
        np.testing.assert_allclose(jax.jit(jax.grad(function))(at), differences(function, at), rtol=1e-6)


def test_second_derivatives_of_soft_values():
    def total(t):
        q = soft_action_values(WORLD, PAYOFF * t[0], t[1])
        return jnp.where(WORLD.available, q, 0.0).sum()

    at = np.array([1.3, 0.5])
    slope = jax.jit(jax.grad(total))
    found = jax.jit(jax.hessian(total))(at)
    for i in range(2):
        column = differences(lambda x, i=i: slope(x)[i], at)
        np.testing.assert_allclose(found[i], column, rtol=1e-6, atol=1e-8)


def test_horizon_by_a_plain_loop():
    world = small_world(horizon=3)
    last = np.random.default_rng(3).normal(size=world.num_states)

    def value(t, s, worth):
        return last[s] if t == 3 else worth([action_value(t, s, a, worth) for a in np.flatnonzero(WORLD.available[s])])

    def action_value(t, s, a, worth):
        onward = np.flatnonzero(world.transition[s, a])
        return PAYOFF[s, a] + 0.85 * sum(world.transition[s, a, n] * value(t + 1, n, worth) for n in onward)

    hard = optimal_action_values(world, PAYOFF, last=last)
    soft = soft_action_values(world, PAYOFF, 0.5, last=last)
    for t, s in itertools.product(range(1, 3), range(world.num_states)):
        for a in range(4):
            if not world.available[s, a]:
                assert hard[t, s, a] == soft[t, s, a] == -math.inf
                continue
            assert hard[t, s, a] == pytest.approx(action_value(t, s, a, max))
            expected = action_value(t, s, a, lambda q: 0.5 * math.log(sum(math.exp(x / 0.5) for x in q)))
            assert soft[t, s, a] == pytest.approx(expected)
    assert np.isfinite(jax.grad(lambda x: log_boltzmann(optimal_action_values(world, x), 0.5)[0, 1, 2])(PAYOFF)).all()


def steps(world, seed, length, episodes=2):
    random = np.random.default_rng(seed)
    rows = []
    for episode in range(episodes):
        state = int(random.integers(world.num_states))
        for t in range(length):
            action = int(random.choice(np.flatnonzero(world.available[state])))
            following = int(random.choice(world.num_states, p=world.transition[state, action]))
            rows.append((episode, t, state, action, following))
            state = following
    return us.read_behaviour(pd.DataFrame(rows, columns=["episode", "t", "state", "action", "next_state"]), world)


def test_decisions_with_reach_match_the_benchmark():
    texts = ["time(G) - time(b)", "reach(G)", "3*reach(G) - time(b) + 2*reach(S)", "reach(G) + reach(b)"]
    parsed = [us.Grammar(WORLD).parse(text).payoffs(WORLD) for text in texts]
    candidates = us.candidate_set(WORLD, dict(zip(texts, parsed, strict=True)))
    behaviour = steps(WORLD, 4, 15)
    found = decision_values(behaviour, WORLD, candidates.payoffs)
    for name, values in zip(candidates.names, found, strict=True):
        payoffs = parsed[texts.index(name)]
        q = plain.reached_action_values(WORLD, payoffs)
        expected = np.concatenate(
            [
                q[plain.reached(payoffs, states)[: len(actions)], states[: len(actions)]]
                for _, states, actions in behaviour.episodes()
            ]
        )
        np.testing.assert_allclose(log_boltzmann(values, 0.3), log_boltzmann(expected, 0.3), atol=1e-9)


def test_decisions_where_all_is_paid_are_worth_the_same():
    payoffs = us.candidate_set(WORLD, {"reach(S)": "reach(S)"}).payoffs
    behaviour = steps(WORLD, 5, 12)
    found = decision_values(behaviour, WORLD, payoffs)[0]
    place = 0
    for _, states, actions in behaviour.episodes():
        over = np.logical_or.accumulate(np.asarray(WORLD.features["S"])[states[: len(actions)]])
        for t, paid in enumerate(over):
            q = found[place + t]
            assert not paid or len(set(q[np.isfinite(q)])) == 1
        place += len(actions)


@pytest.mark.parametrize("text", ["sequence(a, b)", "2*visits(b, 2) - reach(a)", "time(a) + 2*sequence(b, a)"])
def test_memory_and_horizon_against_all_that_may_follow(text):
    world = us.gridworld(["a.b"], slip=0.3, discount=0.9)
    world = us.world_model(
        world.transition, world.initial, 0.9, features=world.features, state_names=world.state_names, horizon=3
    )
    candidates = us.candidate_set(world, {text: text})
    payoffs = candidates.payoffs[0]
    behaviour = steps(world, 6, 3, episodes=3)
    found = decision_values(behaviour, world, candidates.payoffs)[0]

    def worth(path, taken):
        """What a whole sequence is worth, read from its start."""
        total = sum(0.9**t * payoffs.state[s] for t, s in enumerate(path))
        for weight, target in zip(payoffs.reach, payoffs.targets, strict=True):
            times = [t for t, s in enumerate(path) if target[s]]
            total += weight * 0.9 ** times[0] if times else 0.0
        for weight, machine in zip(() if payoffs.weight is None else payoffs.weight, payoffs.automata, strict=True):
            memory = 0
            for t, s in enumerate(path):
                if memory >= 0:
                    total += weight * 0.9**t * machine.pay[memory, s]
                    memory = machine.step[memory, s]
        return total

    def best(path):
        return worth(path, None) if len(path) == 4 else max(after(path, action) for action in range(4))

    def after(path, action):
        chances = world.transition[path[-1], action]
        return sum(chances[s] * best((*path, int(s))) for s in np.flatnonzero(chances))

    place = 0
    for _, states, actions in behaviour.episodes():
        for t in range(len(actions)):
            path = tuple(int(s) for s in states[: t + 1])
            expected = np.array([after(path, action) for action in range(4)])
            q = 0.9**t * found[place + t]  # from there on, where the tree counts from the start
            np.testing.assert_allclose(q - q.max(), expected - expected.max(), atol=1e-9)
        place += len(actions)


def test_beyond_the_horizon_nothing_is_worth_more():
    world = small_world(horizon=2)
    behaviour = steps(world, 7, 4, episodes=1)
    found = decision_values(behaviour, world, us.candidate_set(world, {"G": "time(G)"}).payoffs)[0]
    assert set(found[2:][np.isfinite(found[2:])]) == {0.0}
    assert len(set(found[0])) > 1


def test_log_probabilities_where_an_action_is_not_available():
    q = np.array([[1.0, -np.inf, 2.0]])
    found = log_boltzmann(q, 0.5)
    np.testing.assert_allclose(np.exp(found), [[1 / (1 + np.e**2), 0, 1 / (1 + np.e**-2)]])
    slope = jax.grad(lambda t: log_boltzmann(q, t)[0, 0])(0.5)
    assert slope == pytest.approx(differences(lambda t: log_boltzmann(q, float(t))[0, 0], 0.5))


def test_bad_input():
    with pytest.raises(us.InputError, match=r"payoff has shape \(8,\)"):
        optimal_action_values(WORLD, np.zeros(8))
    with pytest.raises(us.InputError, match="terminal states are for worlds without a horizon"):
        soft_action_values(small_world(horizon=2), PAYOFF, 1.0, terminal=np.ones(8, bool))
    worlds = us.possible_worlds([WORLD, WORLD])
    with pytest.raises(us.InputError, match="in place of PossibleWorlds"):
        optimal_action_values(worlds, PAYOFF)
    payoffs = us.candidate_set(WORLD, {"G": "time(G)"}).payoffs
    with pytest.raises(us.InputError, match="takes a stack"):
        decision_values(steps(WORLD, 8, 3), WORLD, payoffs[0])

"""Sparse worlds against the same worlds in dense arrays, and big ones that dense arrays could not hold."""

import dataclasses
import tracemalloc
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpyro.infer.util import log_density

import utiliscope as us
from utiliscope.planning import tie_tolerance, value_range
from utiliscope.posterior import _world_data
from utiliscope.programs import load_program
from utiliscope.values import state_transition
from utiliscope.world.model import absorbing_states, bare, is_deterministic, reachable_states
from utiliscope.world.tables import moved
from utiliscope.world.transition import chance_of, likeliest, links, moves

S, A = 6, 3
ROWS = ["..b..", "G#.#.", "..b.K"]
SEEDS = st.integers(0, 10**6)
VALUE = jax.jit(us.expected_utility)


def random_pair(seed, horizon=None, discount=None):
    """A random world of few moves, sparse and dense."""
    rng = np.random.default_rng(seed)
    # Few successors of each state, so that most worlds have the same shapes, and are compiled once.
    pool = np.array([rng.permutation(S)[:3] for _ in range(S)])
    next_state = pool[np.arange(S)[:, None, None], rng.integers(0, 3, (S, A, 3))]
    next_state[rng.random((S, A, 3)) < 0.2] = -1
    probability = rng.dirichlet(np.ones(3), (S, A)) * (next_state >= 0)
    next_state[rng.random((S, A)) < 0.2] = -1
    probability *= next_state >= 0
    total = probability.sum(-1, keepdims=True)
    available = total[:, :, 0] > 0
    probability = probability / np.where(total > 0, total, 1)
    initial = rng.dirichlet(np.ones(S)) * (rng.random(S) < 0.6)
    initial = np.eye(S)[0] if initial.sum() == 0 else initial / initial.sum()
    discount = rng.uniform(0.3, 0.99) if discount is None else discount
    transition = us.sparse_transition(next_state, probability)
    return tuple(
        us.world_model(table, initial, discount, available=available, horizon=horizon)
        for table in (transition, transition.dense())
    )


def random_policy(seed, world, *steps):
    rng = np.random.default_rng(seed + 1)
    policy = rng.dirichlet(np.ones(A) * 0.3, (*steps, S)) * world.available
    policy = policy + 1e-6 * world.available
    return policy / policy.sum(-1, keepdims=True)


def random_payoffs(seed, num_targets=2):
    rng = np.random.default_rng(seed + 2)
    targets = rng.random((num_targets, S)) < 0.4
    return us.Payoffs(rng.normal(size=S), rng.normal(size=(S, A)), rng.normal(size=num_targets), targets)


def grids(horizon=None, **settings):
    found = us.gridworld(ROWS, sparse=True, **settings), us.gridworld(ROWS, **settings)
    return tuple(dataclasses.replace(world, horizon=horizon) for world in found)


def assert_same_world(sparse, dense):
    np.testing.assert_allclose(sparse.transition.dense(), dense.transition, atol=1e-15)
    for name in ("initial", "discount", "available"):
        np.testing.assert_array_equal(getattr(sparse, name), getattr(dense, name))
    assert (sparse.num_states, sparse.num_actions) == (dense.num_states, dense.num_actions)


@settings(deadline=None, max_examples=40, derandomize=True)
@given(SEEDS)
def test_what_a_world_is_asked_for_does_not_depend_on_its_kind(seed):
    sparse, dense = random_pair(seed)
    assert isinstance(sparse.transition, us.SparseTransition)
    assert sparse.transition.shape == dense.transition.shape and np.ndim(sparse.transition) == 3
    assert_same_world(sparse, dense)
    for function in (absorbing_states, reachable_states, is_deterministic):
        np.testing.assert_array_equal(function(sparse), function(dense))
    found, other = moves(sparse.transition, sparse.available), moves(dense.transition, dense.available)
    np.testing.assert_array_equal(found, other)
    state, action, end = np.indices((S, A, S)).reshape(3, -1)
    np.testing.assert_allclose(chance_of(sparse.transition, state, action, end), dense.transition.ravel(), atol=1e-15)
    for one, two in zip(likeliest(sparse.transition), likeliest(dense.transition), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-15)
    # The same successors in the same order, as far as there are any.
    (ours, chance), (theirs, other) = links(sparse.transition), links(dense.transition)
    assert ours.shape == theirs.shape
    real = (chance > 0).any(1)
    np.testing.assert_array_equal(ours[real], theirs[real])
    np.testing.assert_allclose(chance, other, atol=1e-15)


@jax.jit
def _visits_arrival_value(world, policy, payoffs):
    arrived = us.arrival(world, policy, payoffs.targets)
    return us.occupancy(world, policy), arrived, us.expected_utility(world, policy, payoffs)


def visits_arrival_value(world, policy, payoffs):
    """Compiled once for all worlds of one kind and size."""
    return _visits_arrival_value(bare(world), policy, payoffs)


@settings(deadline=None, max_examples=5, derandomize=True)
@given(SEEDS, st.sampled_from([None, 4]))
def test_values_agree_with_dense_ones(seed, horizon):
    (sparse, dense), payoffs = random_pair(seed, horizon), random_payoffs(seed)
    policy = random_policy(seed, dense)
    visits, reached, values = zip(*(visits_arrival_value(one, policy, payoffs) for one in (sparse, dense)), strict=True)
    one, two = visits
    np.testing.assert_allclose(one.state, two.state, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(one.action, two.action, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(*reached, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(*values, rtol=1e-11, atol=1e-11)


@settings(deadline=None, max_examples=5, derandomize=True)
@given(SEEDS, st.sampled_from([None, 4]))
def test_plans_agree_with_dense_ones(seed, horizon):
    (sparse, dense), payoffs = random_pair(seed, horizon), random_payoffs(seed)
    ends = value_range(dense, payoffs)
    np.testing.assert_allclose(value_range(sparse, payoffs), ends, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(tie_tolerance(sparse, payoffs, *ends), tie_tolerance(dense, payoffs, *ends))
    steps = us.Payoffs(payoffs.state, payoffs.action, payoffs.reach[:0], payoffs.targets[:0])
    for one in (steps, random_payoffs(seed, 1) if horizon is None else steps):
        best = [VALUE(bare(world), us.optimal_policy(world, one), one) for world in (sparse, dense)]
        np.testing.assert_allclose(*best, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("horizon", [None, 3])
def test_gradients_in_the_policy_agree(horizon):
    (sparse, dense), payoffs = random_pair(5, horizon), random_payoffs(5)
    policy = random_policy(5, dense) if horizon is None else random_policy(5, dense, horizon)

    def gradient(world):
        return jax.jit(jax.value_and_grad(lambda p: us.expected_utility(world, p, payoffs)))(policy)

    for one, two in zip(gradient(sparse), gradient(dense), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-10, atol=1e-10)


def test_under_vmap_over_policies_and_over_worlds():
    (sparse, dense), payoffs = random_pair(7), random_payoffs(7)
    policies = np.stack([random_policy(seed, dense) for seed in range(3)])
    expected = [VALUE(bare(dense), policy, payoffs) for policy in policies]
    batched = jax.jit(jax.vmap(lambda p: us.expected_utility(sparse, p, payoffs)))(policies)
    np.testing.assert_allclose(batched, expected, rtol=1e-11)
    np.testing.assert_allclose(state_transition(sparse, policies[0]), state_transition(dense, policies[0]), atol=1e-15)

    discounts = np.array(0.5), np.array(0.9)
    worlds, others = ([dataclasses.replace(bare(one), discount=x) for x in discounts] for one in (sparse, dense))
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *worlds)
    values = jax.jit(jax.vmap(lambda w: us.expected_utility(w, policies[0], payoffs)))(stacked)
    np.testing.assert_allclose(values, [VALUE(w, policies[0], payoffs) for w in others], rtol=1e-11)


@pytest.mark.parametrize("discount", [*(pytest.param(x, marks=pytest.mark.slow) for x in (0.0, 0.95)), 0.999])
@pytest.mark.parametrize("kind", ["even", "walks in circles", "one direction", "hardly ever moves"])
def test_solves_end_at_rounding_whatever_the_policy(discount, kind):
    rng = np.random.default_rng(1)
    rows = ["." * 20] * 20
    sparse, dense = us.gridworld(rows, sparse=True, discount=discount), us.gridworld(rows, discount=discount)
    policy = {
        "even": np.full((400, 4), 0.25),
        "walks in circles": np.eye(4)[rng.integers(4, size=400)],
        "one direction": np.eye(4)[np.full(400, 3)],
        "hardly ever moves": rng.dirichlet(np.full(4, 0.05), 400),
    }[kind]
    targets = np.stack([np.arange(400) == 0, rng.random(400) < 0.05])
    payoffs = us.Payoffs(rng.normal(size=400), None, np.array([1.0, -2.0]), targets)
    visits, reached, values = zip(*(visits_arrival_value(one, policy, payoffs) for one in (sparse, dense)), strict=True)
    one, two = (found.state for found in visits)
    assert np.abs(one - two).sum() < 1e-11 * two.sum()
    np.testing.assert_allclose(*reached, atol=1e-11)
    np.testing.assert_allclose(*values, rtol=1e-10)


def test_a_policy_that_is_not_a_number_gives_none():
    sparse, _ = random_pair(3)
    assert np.isnan(us.expected_utility(sparse, np.full((S, A), np.nan), np.ones(S)))


@pytest.mark.parametrize("suffix", [".json", ".json.gz", ".npz"])
def test_round_trips(tmp_path, suffix):
    for world in (*random_pair(11), *grids(slip=0.2), *grids(), random_pair(12, horizon=5)[0]):
        us.write_world(world, tmp_path / f"w{suffix}")
        back = us.read_world(tmp_path / f"w{suffix}")
        assert jax.tree.structure(back) == jax.tree.structure(world)
        for one, two in zip(jax.tree.leaves(back), jax.tree.leaves(world), strict=True):
            assert one.dtype == two.dtype
            np.testing.assert_array_equal(one, two)


def test_next_states_of_a_big_world_are_read_sparse():
    number = 5000
    next_state = np.stack([np.arange(number), np.arange(number) - 1, (np.arange(number) + 1) % number], -1)
    transition, possible = moved(next_state.astype(float))
    assert isinstance(transition, us.SparseTransition) and transition.successors.shape == (number, 3)
    assert possible.sum() == 3 * number - 1
    small, _ = moved(next_state[:3, :1] * 1.0)
    assert small.shape == (3, 1, 3) and isinstance(small, np.ndarray)


@pytest.mark.parametrize("slip", [0.0, 0.3])
def test_grids_agree(slip):
    assert_same_world(*grids(slip=slip))


def test_gymnasium_tables_agree():
    gymnasium = pytest.importorskip("gymnasium")
    env = gymnasium.make("FrozenLake-v1")
    assert_same_world(us.from_gymnasium(env, discount=0.9, sparse=True), us.from_gymnasium(env, discount=0.9))


def test_outcomes_are_added_up_in_ascending_order():
    next_state = [[[2, 0, 2], [-1, 1, -1]], [[1, 1, 1], [1, -1, -1]], [[0, 2, -1], [-1, -1, -1]]]
    probability = [[[0.25, 0.5, 0.25], [9, 1, 9]], [[0.2, 0.3, 0.5], [1, 0, 0]], [[0.5, 0.5, 0], [0, 0, 0]]]
    transition = us.sparse_transition(next_state, probability)
    np.testing.assert_array_equal(transition.successors, [[0, 1, 2], [1, 1, 1], [0, 2, 0]])
    np.testing.assert_allclose(
        transition.chance, [[[0.5, 0, 0.5], [0, 1, 0]], [[1, 0, 0], [1, 0, 0]], [[0.5, 0.5, 0], [0, 0, 0]]]
    )
    world = us.world_model(transition, [1, 0, 0], 0.9, available=[[True, True], [True, True], [True, False]])
    np.testing.assert_array_equal(world.transition.dense()[2], [[0.5, 0, 0.5], [0, 0, 1]])
    np.testing.assert_array_equal(us.sparse_transition([[0, 1], [1, 1]]).dense()[0], np.eye(2))


@pytest.mark.parametrize(
    ("next_state", "probability", "message"),
    [
        ([[0, 2], [1, 1]], None, r"next_state\[0, 1\] is 2; states are 0..1, and -1"),
        ([[0, -2], [1, 1]], None, r"next_state\[0, 1\] is -2"),
        ([[0, 0.5], [1, 1]], None, r"next_state\[0, 1\] is 0.5"),
        ([[0, np.nan], [1, 1]], None, r"next_state\[0, 1\] is nan"),
        ([0, 1], None, r"shape \(2,\)"),
        ([["a"]], None, "not an array of numbers"),
        ([[0, 1], [1, 1]], [[1, -1], [1, 1]], r"probability\[0, 1\] is -1.0"),
        ([[0, 1], [1, 1]], [[1, 1], [np.inf, 1]], r"probability\[1, 0\] is inf"),
        ([[0, 1], [1, 1]], [1, 1], r"probability has shape \(2,\)"),
    ],
)
def test_bad_lists_of_next_states_say_where(next_state, probability, message):
    with pytest.raises(us.InputError, match=message):
        us.sparse_transition(next_state, probability)


@pytest.mark.parametrize(
    ("successors", "chance", "message"),
    [
        ([[0, 1], [1, 1]], [[[0.5, 0.4]], [[1, 0]]], r"transition\[0, 0\] sums to 0.9, not 1"),
        ([[0, 1], [1, 0]], [[[0.5, 0.5]], [[1.5, -0.5]]], r"transition\[1, 0, 0\] is negative"),
        ([[0, 1], [1, 0]], [[[0.5, np.nan]], [[1, 0]]], r"transition\[0, 0, 1\] is not a finite number"),
        ([[0, 2], [1, 0]], [[[0.5, 0.5]], [[1, 0]]], r"successors\[0, 1\] is 2; states are 0..1"),
        ([[0, -1], [1, 0]], [[[0.5, 0.5]], [[1, 0]]], r"successors\[0, 1\] is -1"),
    ],
)
def test_bad_sparse_transitions_say_where(successors, chance, message):
    transition = us.SparseTransition(np.array(successors), np.array(chance, float))
    with pytest.raises(us.InputError, match=message):
        us.world_model(transition, [1, 0], 0.9)


def test_bad_files_say_what_is_wrong(tmp_path):
    bad = {
        '{"successors": [[0]], "chance": [[[1]]], "next_state": [[0]]}': "both `next_state` and `successors`",
        '{"successors": [[0]]}': "successors and chance have shapes",
        '{"successors": [[3]], "chance": [[[1]]]}': r"successors\[0, 0\] is 3",
        '{"successors": [[0]], "chance": [[[0.5]]]}': r"transition\[0, 0\] sums to 0.5",
    }
    for text, message in bad.items():
        (tmp_path / "w.json").write_text(text)
        with pytest.raises(us.InputError, match=message):
            us.read_world(tmp_path / "w.json")


def test_not_to_be_taken_for_an_array():
    with pytest.raises(us.InputError, match="dense"):
        np.asarray(grids()[0].transition)


def test_recordings_and_paths_and_programs_agree():
    sparse, dense = grids(discount=0.8)
    table = {"episode": [0, 0, 0], "t": [0, 1, 2], "state": ["0,0", "0,1", "0,2"], "action": ["right", "right", "down"]}
    tables = [us.read_behaviour(pd.DataFrame(table), world).table for world in (sparse, dense)]
    pd.testing.assert_frame_equal(*tables)
    with pytest.raises(us.InputError, match="moves that the world cannot make"):
        us.read_behaviour(pd.DataFrame(table | {"next_state": ["0,1", "0,2", "0,0"]}), sparse)

    prior, utility = us.ActionSequences(5), us.Grammar(dense).parse("reach(G) - time(b)").payoffs(dense)
    choices = np.random.default_rng(0).random((4, 5))
    for one in choices:
        values = [prior.value(jnp.asarray(one), world, utility) for world in (sparse, dense)]
        np.testing.assert_allclose(*values, rtol=1e-12)
    for one, two in zip(_world_data(sparse).values(), _world_data(dense).values(), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("horizon", [None, 8])
def test_enumerated_utilities_agree(horizon):
    sparse, dense = grids(horizon, slip=0.1)
    one, two = (us.Grammar(world).enumerate(max_bits=11) for world in (sparse, dense))
    assert one.names == two.names
    np.testing.assert_allclose(one.code_length, two.code_length)
    grammar = us.Grammar(sparse, states=True)
    assert len(grammar.select(["reach(G)", 'reach(@"0,0")', "time(b)"])) == 3
    with pytest.raises(us.InputError, match="one utility"):
        grammar.select(["reach(G)", 'reach(@"1,0")'])


def test_intelligence_by_enumeration_agrees(key):
    worlds = random_pair(21)
    utility = np.arange(6.0)
    policy = np.eye(A)[np.argmax(worlds[0].available, -1)]
    found = [us.intelligence(key, world, policy, utility, method="enumerate").value for world in worlds]
    assert found[0] == pytest.approx(found[1])


def two_tails():
    """Value tails of two utilities, made up."""
    ones = np.ones((2, 1))
    curve = ones * [-9.0, 0.0, 9.0], ones * [0.0, -1.0, -9.0], ones * [0.0, 0.1, 0.2]
    return us.ValueTail(*curve, np.full(2, 1e-9), np.zeros(2, bool), atomic=False)


def test_the_operator_program_has_the_same_density(key):
    (sparse, dense), prior = grids(discount=0.9), us.Dirichlet(1.0)
    candidates = us.Grammar(dense).select(["reach(G)", "time(b)"])
    tails = two_tails()
    counts = np.random.default_rng(0).integers(0, 3, (13, 4)) * 1.0
    policy = np.random.default_rng(1).dirichlet(np.ones(4), 13)
    knobs = dict(policy_prior=prior, intelligence_law=us.ExponentialLaw(), simplicity=1.0)
    program = load_program("candidates", "policy")

    def density(world):
        return jax.jit(lambda p: log_density(program, (counts, world, candidates, tails), knobs, {"policy": p})[0])(
            policy
        )

    np.testing.assert_allclose(density(sparse), density(dense), rtol=1e-9)


def test_a_big_grid_stays_small_and_can_be_planned():
    rows = ["." * 50] * 49 + ["G" + "." * 49]
    tracemalloc.start()
    world = us.gridworld(rows, sparse=True, slip=0.1, discount=0.99)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert world.num_states == 2500 and peak < 50e6  # a dense transition takes 200 MB
    goal = us.Payoffs(np.zeros(2500), None, np.ones(1), world.features["G"][None])
    policy = us.optimal_policy(world, goal)
    worst, best = value_range(world, goal)
    assert float(us.expected_utility(world, policy, goal)) == pytest.approx(best, rel=1e-10) and worst < best / 3
    assert reachable_states(world).all() and not absorbing_states(world).any()


def mixed_in_a_grid(size):
    """States that pay more towards one corner, and once for another corner."""
    world = us.gridworld(["." * size] * (size - 1) + ["G" + "." * (size - 1)], sparse=True, slip=0.1, discount=0.99)
    return world, us.Payoffs(np.arange(size**2.0), None, 1e5 * np.ones(1), world.features["G"][None])


def test_a_big_grid_where_memory_would_help():
    world, mixed = mixed_in_a_grid(20)
    policy, (worst, best) = us.optimal_policy(world, mixed), value_range(world, mixed)
    found = float(us.expected_utility(world, policy, mixed))
    for part in (mixed.state, us.Payoffs(np.zeros(400), None, mixed.reach, mixed.targets)):
        other = us.optimal_policy(world, part)
        assert worst < float(us.expected_utility(world, other, mixed)) <= found < best
    rng = np.random.default_rng(0)
    for s in rng.choice(400, 20):
        changed = policy.copy()
        changed[s] = np.roll(policy[s], rng.integers(1, 4))
        assert float(us.expected_utility(world, changed, mixed)) <= found * (1 + 1e-10)


@pytest.mark.slow
def test_inverses_that_are_too_big():
    """Two chains of 12100 states."""
    with pytest.raises(us.InputError, match=r"inverses of 2\.9e\+08 numbers, more than 2\.7e\+08"):
        us.optimal_policy(*mixed_in_a_grid(110))


@pytest.mark.slow
def test_fit_gives_the_posterior_of_the_dense_world(monkeypatch, key):
    (sparse, dense), prior = grids(discount=0.9), us.Dirichlet(1.0)
    candidates = us.Grammar(dense).select(["reach(G)", "time(b)"])
    # The tails have tests of their own.
    monkeypatch.setattr("utiliscope.inputs.value_tail", lambda *_, **__: two_tails())
    table = pd.DataFrame({"episode": [0, 0], "t": [0, 1], "state": ["0,0", "0,1"], "action": ["right", "right"]})
    knobs = dict(candidates=candidates, policy_prior=prior, num_warmup=2, num_samples=4, num_chains=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", us.ConvergenceWarning)
        one, two = (us.fit(table, world, **knobs)["posterior"] for world in (sparse, dense))
    # Trajectories of few steps: rounding has not grown yet.
    np.testing.assert_allclose(one["utility_log_prob"], two["utility_log_prob"], rtol=1e-6, atol=1e-6)

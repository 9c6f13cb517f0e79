"""Weighted sets of possible worlds against brute force: worlds are averaged first, then policies are compared."""

import dataclasses
import itertools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import utiliscope as us
from utiliscope.diagnostics import ConvergenceWarning
from utiliscope.planning import tie_tolerance, value_range
from utiliscope.sequences import comparison_world
from utiliscope.world.model import absorbing_states, bare, check_world, is_deterministic, reachable_states
from utiliscope.world.possible import mean_world
from utiliscope.world.transition import sparse_transition

S, A = 4, 3
AVAILABLE = np.array([[True, True, True], [True, True, False], [True, False, True], [False, True, False]])
SEEDS = st.integers(0, 10**6)
QUICK = dict(num_warmup=50, num_samples=100, num_chains=1, num_particles=64)


def random_world(seed, horizon=None, discount=None, available=AVAILABLE):
    rng = np.random.default_rng(seed)
    num_states, num_actions = available.shape
    transition = rng.dirichlet(np.ones(num_states) * 0.4, (num_states, num_actions))
    initial = rng.dirichlet(np.ones(num_states))
    discount = rng.uniform(0.3, 0.95) if discount is None else discount
    return us.world_model(transition, initial, discount, available=available, horizon=horizon)


def random_worlds(seed, number=3, **options):
    rng = np.random.default_rng(seed)
    return us.possible_worlds([random_world(1000 * seed + i, **options) for i in range(number)], rng.random(number))


def random_payoffs(seed, steps=True, num_states=S, num_actions=A):
    rng = np.random.default_rng(seed)
    targets = np.eye(num_states, dtype=bool)[: 2 if steps else 1]
    action = rng.normal(size=(num_states, num_actions)) * steps
    return us.Payoffs(rng.normal(size=num_states) * steps, action, rng.normal(size=len(targets)), targets)


def random_policy(seed, *shape, available=AVAILABLE):
    weights = np.random.default_rng(seed).dirichlet(np.ones(available.shape[1]), (*shape, len(available))) * available
    return weights / weights.sum(-1, keepdims=True)


def deterministic_policies(available=AVAILABLE):
    options = [np.flatnonzero(row) for row in available]
    return np.eye(available.shape[1])[np.array(list(itertools.product(*options)))]


def all_values(worlds, policies, payoffs):
    """`[N]` values, compiled once for all worlds of these sizes."""
    return np.asarray(_all_values(bare(worlds), policies, payoffs))


@jax.jit
def _all_values(worlds, policies, payoffs):
    return jax.vmap(lambda policy: us.expected_utility(worlds, policy, payoffs))(policies)


def by_hand(world, policy, payoffs, endless=700):
    """The value as a sum over steps."""
    present, absent = world.initial, world.initial * np.ones((len(payoffs.targets), 1))
    total, steps = 0.0, world.horizon or endless
    for t in range(steps + 1):
        weight = world.discount**t
        total += weight * (present @ payoffs.state + payoffs.reach @ (absent * payoffs.targets).sum(-1))
        if t == steps:
            return total
        row = policy if policy.ndim == 2 else policy[t]
        total += weight * np.sum(present[:, None] * row * payoffs.action)
        chain = np.einsum("sa,sat->st", row, world.transition)
        present, absent = present @ chain, np.where(payoffs.targets, 0, absent) @ chain


def each_value(worlds, policy, payoffs):
    """`[B]` values in each world."""
    return np.array([us.expected_utility(one, policy, payoffs) for one in worlds.worlds])


def switch(signs, discount=0.5):
    """A lamp to be lit: in a world of sign 1 action 0 lights it and action 1 does nothing, else the other way round."""
    both = []
    for sign in signs:
        moves = [[1, 0] if sign > 0 else [0, 1], [1, 1]]
        both.append(us.world_model(np.eye(2)[np.array(moves)], [1, 0], discount, features={"lit": [False, True]}))
    return both


REACH_LIT = us.Payoffs(np.zeros(2), None, np.ones(1), np.array([[False, True]]))


@pytest.mark.parametrize(("copies", "horizon"), [pytest.param(1, None, marks=pytest.mark.slow), (2, 3)])
def test_one_world_and_copies_of_it_are_that_world(copies, horizon, key):
    world = random_world(0, horizon)
    worlds = us.possible_worlds([world] * copies)
    payoffs, policy = random_payoffs(1), random_policy(2)

    @jax.jit
    def all_three(world):
        visits, first = us.occupancy(world, policy), us.arrival(world, policy, payoffs.targets)
        return us.expected_utility(world, policy, payoffs), *visits, first

    for here, there in zip(all_three(bare(worlds)), all_three(bare(world)), strict=True):
        np.testing.assert_allclose(np.asarray(here), there, rtol=1e-12)
    ends = value_range(world, payoffs)
    np.testing.assert_allclose(value_range(worlds, payoffs), ends, rtol=1e-12)
    assert tie_tolerance(worlds, payoffs, *ends) == pytest.approx(tie_tolerance(world, payoffs, *ends), rel=1e-12)
    one = random_payoffs(1, steps=False)
    best = by_hand(world, us.optimal_policy(world, one), one)
    assert by_hand(world, us.optimal_policy(worlds, one), one) == pytest.approx(best, rel=1e-12)
    assert (worlds.num_states, worlds.num_actions, worlds.horizon) == (S, A, horizon)
    assert worlds.discount == world.discount and worlds.state_names == world.state_names
    np.testing.assert_allclose(worlds.initial, world.initial, rtol=1e-12)
    prior = us.UniformDeterministic()
    g = [us.intelligence(key, w, policy, payoffs, policy_prior=prior, method="enumerate") for w in (worlds, world)]
    assert g[0] == g[1]


@settings(deadline=None, max_examples=10)
@given(SEEDS, st.sampled_from([None, 3]), st.booleans())
def test_values_are_weighted_means(seed, horizon, changing):
    worlds, payoffs = random_worlds(seed, horizon=horizon), random_payoffs(seed)
    policy = random_policy(seed, *([3] if changing and horizon else []))
    expected = worlds.weights @ [by_hand(one, policy, payoffs) for one in worlds.worlds]
    assert all_values(worlds, policy[None], payoffs)[0] == pytest.approx(expected, rel=1e-9, abs=1e-9)


@settings(deadline=None, max_examples=15)
@given(SEEDS, st.floats(-300, 300))
def test_the_scale_of_weights_does_not_matter(seed, power):
    weights = np.random.default_rng(seed).random(3) + 0.01
    members = [random_world(seed + i) for i in range(3)]
    one, other = us.possible_worlds(members, weights), us.possible_worlds(members, weights * 10.0**power)
    np.testing.assert_allclose(one.weights, other.weights, rtol=1e-9)
    assert one.weights.sum() == pytest.approx(1)


def test_worlds_of_weight_zero_are_left_out():
    first, second = random_world(0), random_world(1)
    worlds = us.possible_worlds([first, second], [0, 3])
    assert len(worlds.worlds) == 1 and worlds.worlds[0] is second


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_intelligence_compares_policies_by_their_mean_over_worlds(seed, key):
    worlds, payoffs = random_worlds(seed), random_payoffs(seed)
    policies = deterministic_policies()
    alone = [all_values(us.possible_worlds([one]), policies, payoffs) for one in worlds.worlds]
    values = worlds.weights @ np.array(alone)
    for place in np.argsort(values)[[-1, -3, len(values) // 2]]:
        estimate = us.intelligence(key, worlds, policies[place], payoffs, method="enumerate")
        assert estimate.value == pytest.approx(-np.log2(np.mean(values >= values[place] - 1e-9)))


@pytest.mark.slow
def test_the_mean_of_intelligence_over_worlds_is_something_else(key):
    # In either world lighting the lamp is one bit of luck; to somebody who does not know the world nothing is.
    light, _ = members = switch([1, -1])
    policy = np.eye(2)
    alone = [us.intelligence(key, one, policy, REACH_LIT, method="enumerate").value for one in members]
    assert alone == [1.0, 0.0]
    assert us.intelligence(key, us.possible_worlds(members), policy, REACH_LIT, method="enumerate").value == 0.0
    leaning = us.possible_worlds(members, [0.6, 0.4])
    assert us.intelligence(key, leaning, policy, REACH_LIT, method="enumerate").value == 1.0
    # And the mean world, which is neither, lights it sooner or later whatever is done.
    mean = mean_world(us.possible_worlds(members))
    assert us.expected_utility(mean, policy, REACH_LIT) == pytest.approx(1 / 3)
    assert us.expected_utility(us.possible_worlds(members), policy, REACH_LIT) == pytest.approx(1 / 4)
    assert us.expected_utility(light, policy, REACH_LIT) == pytest.approx(1 / 2)


def test_a_world_where_nothing_can_be_changed_does_not_change_intelligence(key):
    world, payoffs, policy = random_world(0), random_payoffs(0), random_policy(1)
    fate = us.world_model(np.repeat(np.eye(S)[:, None], A, 1), np.eye(S)[2], 0.9, available=AVAILABLE)
    payoffs = dataclasses.replace(payoffs, action=None)
    worlds = us.possible_worlds([world, fate], [1, 20])
    g = [us.intelligence(key, w, policy, payoffs, method="enumerate").value for w in (world, worlds)]
    assert g[0] == g[1] > 0


def test_monte_carlo(key):
    worlds, payoffs, policy = random_worlds(3), random_payoffs(3), random_policy(4)
    exact = us.intelligence(key, worlds, policy, payoffs, method="enumerate")
    drawn = us.intelligence(key, worlds, policy, payoffs, method="monte_carlo", num_particles=2000)
    assert abs(drawn.value - exact.value) < 5 * drawn.std_error


def test_differentiable_and_under_transformations():
    worlds, payoffs, policy = random_worlds(5), random_payoffs(5), random_policy(6)

    def value(policy):
        return us.expected_utility(worlds, policy, payoffs)

    slope = jax.grad(value)(jnp.asarray(policy))
    direction = random_policy(7) - policy
    step = 1e-6
    difference = (value(policy + step * direction) - value(policy - step * direction)) / (2 * step)
    assert np.sum(slope * direction) == pytest.approx(float(difference), rel=1e-6)
    np.testing.assert_allclose(all_values(worlds, policy[None], payoffs)[0], value(policy), rtol=1e-12)
    by_weight = jax.grad(lambda w: us.expected_utility(dataclasses.replace(worlds, weights=w), policy, payoffs))
    np.testing.assert_allclose(by_weight(jnp.asarray(worlds.weights)), each_value(worlds, policy, payoffs), rtol=1e-9)


def test_float64_whatever_the_run():
    worlds, payoffs, policy = random_worlds(5), random_payoffs(5), random_policy(6)
    with jax.enable_x64(False):
        value = us.expected_utility(worlds, policy, payoffs)
    assert float(value) == float(us.expected_utility(worlds, policy, payoffs))


def test_many_worlds_compile_as_one():
    traced = []

    class Watched:
        def payoffs(self, world):
            traced.append(type(world))
            return random_payoffs(0)

    few, many = random_worlds(1, number=2), random_worlds(1, number=50)
    for worlds in (few, many):
        size = len(str(jax.make_jaxpr(lambda p, w=worlds: us.expected_utility(w, p, Watched()))(random_policy(1))))
        traced.append(size)
    equations = [x for x in traced if isinstance(x, int)]
    assert equations[1] < 8 * equations[0]  # 25 times as many worlds


@pytest.mark.slow
def test_sparse_worlds_are_dense_ones():
    rng = np.random.default_rng(0)
    following, chance = rng.integers(0, 5, (3, 5, 2, 2)), rng.dirichlet(np.ones(2), (3, 5, 2))
    sparse, dense = [], []
    for i in range(3):
        transition = sparse_transition(following[i], chance[i])
        for table, found in ((transition, sparse), (transition.dense(), dense)):
            found.append(us.world_model(table, np.eye(5)[i], 0.9))
    payoffs, policy = random_payoffs(0, num_states=5, num_actions=2), random_policy(1, available=np.ones((5, 2)))
    all_sparse, mixed, all_dense = map(us.possible_worlds, (sparse, sparse[:2] + dense[2:], dense))
    expected = all_values(all_dense, policy[None], payoffs)[0]
    np.testing.assert_array_equal(us.optimal_policy(mixed, payoffs), us.optimal_policy(all_dense, payoffs))
    assert all_values(mixed, policy[None], payoffs)[0] == pytest.approx(expected, rel=1e-9)
    for worlds in (all_sparse, mixed):
        np.testing.assert_allclose(
            mean_world(worlds).transition.dense(), mean_world(all_dense).transition, rtol=0, atol=1e-12
        )
        assert (reachable_states(worlds) == reachable_states(all_dense)).all()


@pytest.mark.slow
@pytest.mark.parametrize("steps", [True, False])
def test_the_best_policy_found_against_all_deterministic_ones(steps):
    shares = []
    for seed in range(8):
        worlds, payoffs = random_worlds(seed), random_payoffs(seed, steps)
        values = all_values(worlds, deterministic_policies(), payoffs)
        found = float(us.expected_utility(worlds, us.optimal_policy(worlds, payoffs), payoffs))
        shares.append((found - values.min()) / (values.max() - values.min()))
        assert found <= values.max() + 1e-12
        alone = np.array([us.optimal_policy(one, payoffs) for one in worlds.worlds])
        assert (found >= all_values(worlds, alone, payoffs) - 1e-9).all()
        worst, best = value_range(worlds, payoffs)
        assert worst <= values.min() + 1e-9 and values.max() <= best + 1e-9
    assert min(shares) > 0.99


@pytest.mark.parametrize("steps", [True, False])
def test_the_best_policy_found_with_a_horizon(steps):
    available, horizon = np.ones((3, 2), bool), 2
    policies = deterministic_policies(np.ones((6, 2), bool)).reshape(-1, horizon, 3, 2)
    for seed in range(4):
        worlds = random_worlds(seed, horizon=horizon, available=available)
        payoffs = random_payoffs(seed, steps, 3, 2)
        values = all_values(worlds, policies, payoffs)
        found = us.optimal_policy(worlds, payoffs)
        assert found.shape == (horizon, 3, 2)
        reached = float(us.expected_utility(worlds, found, payoffs))
        assert reached > values.max() - 0.01 * np.ptp(values)
        worst, best = value_range(worlds, payoffs)
        assert worst <= values.min() + 1e-9 and values.max() <= best + 1e-9


def test_a_policy_that_mixes_can_beat_all_that_do_not():
    worlds = us.possible_worlds(switch([1, -1], discount=0.9))
    best = us.expected_utility(worlds, us.optimal_policy(worlds, REACH_LIT), REACH_LIT)
    hedged = us.expected_utility(worlds, np.full((2, 2), 0.5), REACH_LIT)
    assert best == pytest.approx(0.45) and hedged == pytest.approx(0.45 / 0.55)
    assert hedged < value_range(worlds, REACH_LIT)[1] == pytest.approx(0.9)


def test_each_world_keeps_its_discount():
    members = [random_world(0, discount=0.5), random_world(0, discount=0.9)]
    worlds, policy, payoffs = us.possible_worlds(members, [1, 3]), random_policy(0), random_payoffs(0)
    expected = np.array([0.25, 0.75]) @ each_value(worlds, policy, payoffs)
    assert us.expected_utility(worlds, policy, payoffs) == pytest.approx(expected)
    assert worlds.discount == pytest.approx(0.8)


def test_what_can_happen_in_some_world():
    ways = [[[1, 1], [1, 1], [2, 2]], [[0, 2], [0, 0], [2, 2]]]
    members = [us.world_model(np.eye(3)[np.array(way)], [1, 0, 0], 0.9) for way in ways]
    worlds = us.possible_worlds(members)
    assert reachable_states(worlds).tolist() == [True, True, True]
    assert [reachable_states(one).tolist() for one in members] == [[True, True, False], [True, False, True]]
    assert absorbing_states(worlds).tolist() == [False, False, True]
    assert is_deterministic(worlds) and not is_deterministic(us.possible_worlds([members[0], random_three()]))
    check_world(worlds)


def random_three():
    return us.world_model(np.random.default_rng(0).dirichlet(np.ones(3), (3, 2)), [1, 0, 0], 0.9)


@pytest.mark.parametrize("chance", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_action_sequences_are_the_same_in_each_world(chance, key):
    rng = np.random.default_rng(1)
    prior = us.ActionSequences(3)
    members = []
    for i in range(3):
        transition = rng.dirichlet(np.ones(3), (3, 2)) if chance else np.eye(3)[rng.integers(0, 3, (3, 2))]
        members.append(us.world_model(transition, rng.dirichlet([1, 1, 1]), [0.9, 0.9, 0.5][i]))
    worlds = comparison_world(us.possible_worlds(members, [1, 2, 3]), prior)
    assert worlds.horizon == 3
    payoffs = random_payoffs(0, num_states=3, num_actions=2)
    choices = np.array(list(itertools.product([0.25, 0.75], repeat=3)))

    def values_in(world):
        return np.asarray(jax.jit(jax.vmap(lambda c: prior.value(c, world, payoffs)))(choices))

    values = values_in(worlds)
    np.testing.assert_allclose(values, worlds.weights @ np.array([values_in(one) for one in worlds.worlds]), rtol=1e-12)
    for place in np.argsort(values)[[-1, 3]]:
        policy = prior.policy(jnp.asarray(choices[place]), worlds)
        found = us.intelligence(key, worlds, policy, payoffs, policy_prior=prior, method="enumerate")
        assert found.value == pytest.approx(-np.log2(np.mean(values >= values[place] - 1e-9)))


def features(**marks):
    return {name: np.array([mark == "x" for mark in row]) for name, row in marks.items()}


def graph(ways, initial, marks):
    return us.world_model(np.eye(len(ways))[np.array(ways)], initial, 0.9, features=marks)


def test_utilities_that_differ_in_one_world_are_two_hypotheses():
    marks = features(p=".x.", q=".xx")
    first = graph([[0, 1], [0, 1], [2, 2]], [1, 0, 0], marks)  # 2 is never reached
    second = graph([[0, 2], [0, 1], [0, 2]], [1, 0, 0], marks)  # nor here 1
    names = {name: us.Grammar(world).enumerate(8).names for name, world in (("first", first), ("second", second))}
    both = us.Grammar(us.possible_worlds([first, second])).enumerate(8)
    assert "time(p)" in both.names and "time(q)" in both.names
    assert not {"time(p)", "time(q)"} <= set(names["first"])
    assert "time(q)" in names["second"] and not any("p" in name.split("(")[-1] for name in names["second"])
    assert us.Grammar(us.possible_worlds([first, second], [1, 0])).enumerate(8).names == names["first"]


def test_a_constant_of_its_own_in_each_world_makes_no_hypothesis():
    # Where the agent starts is not its doing: q is the start of the second world, and never seen again.
    marks = features(p=".x..", q="...x")
    first = graph([[0, 1], [0, 1], [2, 2], [3, 3]], [1, 0, 0, 0], marks)
    second = graph([[0, 1], [0, 1], [2, 2], [0, 0]], [0, 0, 0, 1], marks)
    candidates = us.Grammar(us.possible_worlds([first, second])).enumerate(8)
    assert "time(p)" in candidates.names and not any("q" in name for name in candidates.names)


def recording(states, actions):
    number = len(actions)
    columns = dict(episode=[0] * number, t=range(number), state=states[:-1], action=actions, next_state=states[1:])
    return pd.DataFrame(columns)


def test_recordings_are_read_if_some_world_can_make_their_moves():
    worlds = us.possible_worlds(switch([1, -1]))
    assert us.read_behaviour(recording([0, 1, 1], [0, 0]), worlds).num_decisions == 2
    # Where a move ends is filled in only if it ends there in every world.
    assert us.read_behaviour(recording([0, 1, 1], [0, 0]).drop(columns="next_state"), worlds).table.next_state[1] == 1
    open_end = us.read_behaviour(recording([0, 0], [0]).drop(columns="next_state"), worlds)
    assert open_end.table.next_state[0] == -1
    with pytest.raises(us.InputError, match="cannot make"):
        us.read_behaviour(recording([1, 0], [0]), worlds)


def pressed_in_vain():
    """Either switch may light the lamp: pressing the one that hardly ever does says that dark is wanted."""
    members = switch([1, -1], discount=0.2)
    worlds = us.possible_worlds(members, [1, 9])
    return members[0], worlds, us.read_behaviour(recording([0] * 21, [0] * 20), worlds)


@pytest.mark.slow
def test_the_policy_reading_averages_worlds():
    member, worlds, behaviour = pressed_in_vain()
    candidates = us.candidate_set(member, {"light": "reach(lit)", "dark": "-reach(lit)"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        posterior = us.fit(behaviour, worlds, candidates=candidates, **QUICK)
    assert us.utility_table(posterior).set_index("utility").loc["dark", "probability"] > 0.8
    # Kept for pictures: the moves of either world.
    assert posterior["constant_data"]["moves"].values.tolist() == [[0, 0], [0, 1], [1, 1]]


@pytest.mark.slow
def test_competence_averages_worlds(key):
    _, worlds, behaviour = pressed_in_vain()
    competence = us.behaviour_intelligence(key, behaviour, worlds, REACH_LIT, num_policies=50, num_particles=64)
    assert competence.estimate.value < 0.5  # -log2 p, with p about Beta(21, 1)


def test_what_was_achieved_was_achieved_in_one_world(key):
    worlds = us.possible_worlds(switch([1, -1]))
    behaviour = us.read_behaviour(recording([0, 1], [0]), worlds)
    with pytest.raises(us.InputError, match="the one world where they happened"):
        us.fit(behaviour, worlds, reading="achieved")
    with pytest.raises(us.InputError, match="the one world where they happened"):
        us.behaviour_intelligence(key, behaviour, worlds, REACH_LIT, reading="achieved")


FIRST = random_world(0)


def other(**changes):
    return dataclasses.replace(FIRST, **changes)


@pytest.mark.parametrize(
    ("worlds", "weights", "message"),
    [
        ([], None, "worlds is empty"),
        (FIRST, None, "give a list of worlds"),
        ([FIRST, "grid.json"], None, r"worlds\[1\] is a str"),
        ([us.possible_worlds([FIRST])], None, r"worlds\[0\] is a PossibleWorlds"),
        ([FIRST, random_three()], None, r"worlds\[1\] has \(states, actions\) \(3, 2\), worlds\[0\] \(4, 3\)"),
        ([FIRST, other(state_names=tuple("abcd"))], None, "state_names 'a', .* '0'"),
        ([FIRST, other(action_names=tuple("021"))], None, "action_names '2', .* '1'"),
        ([FIRST, other(available=np.ones((S, A), bool))], None, "disagree whether action 2 is available in state 1"),
        ([FIRST, other(horizon=5)], None, "horizon 5, worlds.* None"),
        ([FIRST, other(features={"p": np.ones(S)})], None, "p must be in all or none"),
        ([other(features={"p": np.ones(S)}), other(features={"p": np.zeros(S)})], None, "feature 'p' differs"),
        ([FIRST], [1, 2], r"weights has shape \(2,\)"),
        ([FIRST], ["much"], "not a list of numbers"),
        ([FIRST, FIRST], [1, -1], r"weights\[1\] is -1.0"),
        ([FIRST, FIRST], [np.nan, 1], r"weights\[0\] is nan"),
        ([FIRST, FIRST], [0, 0], "all weights are 0"),
    ],
)
def test_bad_worlds(worlds, weights, message):
    with pytest.raises(us.InputError, match=message):
        us.possible_worlds(worlds, weights)


def test_a_file_holds_one_world(tmp_path):
    with pytest.raises(us.InputError, match="write each of"):
        us.write_world(us.possible_worlds([FIRST]), tmp_path / "worlds.json")


def test_a_world_is_still_asked_for():
    with pytest.raises(us.InputError, match="not a WorldModel"):
        check_world([FIRST])
    assert not hasattr(us.possible_worlds([FIRST]), "transition")

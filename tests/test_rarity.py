"""Intelligence against closed forms, against enumeration, and against the facts that hold for every g."""

import itertools
import math

import jax
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

import utiliscope as us
from utiliscope.laws import log_normaliser
from utiliscope.rarity import tail_estimate

KEY = jax.random.key(0)
SEEDS = st.integers(0, 10**6)


def bandit(arms):
    """Every action leads on to itself: one choice."""
    return us.world_model(np.ones((1, arms, 1)), [1.0], 0.5)


def contexts(number, arms):
    """`number` contexts, seen equally often, one action each."""
    transition = np.repeat(np.eye(number)[:, None], arms, 1)
    return us.world_model(transition, np.full(number, 1 / number), 0.5)


def right(number, arms):
    return np.tile(np.eye(arms)[0], (number, 1))


def tree():
    """Three binary choices from one start: states are the choices so far, and the last ones absorb."""
    histories = ["".join(bits) for n in range(4) for bits in itertools.product("10", repeat=n)]
    index = {history: i for i, history in enumerate(histories)}
    transition = np.zeros((15, 2, 15))
    for history, i in index.items():
        for action, bit in enumerate("10"):
            transition[i, action, index[history + bit] if len(history) < 3 else i] = 1.0
    available = np.array([[True, len(history) < 3] for history in histories])
    world = us.world_model(
        transition, np.eye(15)[0], 0.9, available=available, state_names=[h or "start" for h in histories]
    )
    ends = np.array([len(history) == 3 for history in histories])
    utilities = {
        "ones": ends * np.array([history.count("1") for history in histories], float),
        "all": ends * np.array([history == "111" for history in histories], float),
        "nothing": np.zeros(15),
        "first": ends * np.array([history.startswith("1") for history in histories], float),
    }
    return world, utilities


def choosing(world, bits):
    """The policy of `tree` that makes these choices, and "1" elsewhere."""
    policy = np.tile([1.0, 0.0], (15, 1))
    for depth, bit in enumerate(bits):
        policy[world.state_names.index(bits[:depth] or "start")] = np.eye(2)["10".index(bit)]
    return policy


# Few, so that there are few numbers of policies to compile for: 27, 12 and 6.
AVAILABLE = np.array([np.ones((3, 3)), [[1, 1, 0], [1, 0, 1], [1, 1, 1]], [[0, 1, 0], [1, 1, 1], [1, 0, 1]]], bool)


def random_world(seed):
    rng = np.random.default_rng(seed)
    transition = rng.dirichlet(np.ones(3) * 0.5, (3, 3))
    available = AVAILABLE[rng.integers(3)]
    return us.world_model(transition, rng.dirichlet(np.ones(3)), rng.uniform(0.2, 0.95), available=available)


def random_utility(seed, world):
    """Few distinct payoffs, so that ties occur; sometimes a set to reach."""
    rng = np.random.default_rng(seed + 1)
    targets = rng.random((1, 3)) < 0.4
    state, reach = rng.integers(-1, 2, 3).astype(float), rng.integers(-1, 2, 1).astype(float)
    return us.Payoffs(state, rng.integers(0, 2, (3, 3)).astype(float), reach, targets)


def random_policy(seed, world, deterministic):
    rng = np.random.default_rng(seed + 2)
    if deterministic:
        return np.eye(3)[[rng.choice(np.flatnonzero(row)) for row in world.available]]
    rows = rng.dirichlet(np.ones(3), 3) * world.available
    return rows / rows.sum(-1, keepdims=True)


def all_policies(world):
    options = [np.flatnonzero(row) for row in world.available]
    return np.eye(world.num_actions)[np.array(list(itertools.product(*options)))]


def value_by_hand(world, policy, payoffs):
    step = float(world.discount) * np.einsum("sa,sat->st", policy, world.transition)
    paid = payoffs.state + (policy * payoffs.action).sum(-1)
    total = world.initial @ np.linalg.solve(np.eye(world.num_states) - step, paid)
    for weight, target in zip(payoffs.reach, payoffs.targets, strict=True):
        onward = np.where(target[:, None], 0.0, step)
        total += weight * world.initial @ np.linalg.solve(np.eye(world.num_states) - onward, target * 1.0)
    return total


def bits(world, policy, utility, **options):
    return us.intelligence(KEY, world, policy, utility, **options)


# Closed forms


@pytest.mark.parametrize("rank", range(1, 8))
def test_bandit(rank):
    found = bits(bandit(7), np.eye(7)[[rank - 1]], -np.arange(7.0)[None])
    assert found == (pytest.approx(math.log2(7 / rank)), 0.0, False)


@pytest.mark.parametrize(("number", "arms"), [(8, 2), (5, 3), (3, 6)])
def test_contexts(number, arms):
    world, utility = contexts(number, arms), right(number, arms)
    for correct in range(number + 1):
        policy = np.roll(utility, 1, -1)
        policy[:correct] = utility[:correct]
        tail = scipy.stats.binom(number, 1 / arms).sf(correct - 1)
        assert bits(world, policy, utility).value == pytest.approx(-math.log2(tail), abs=1e-12)
    assert bits(world, utility, utility).value == pytest.approx(number * math.log2(arms))


@pytest.mark.parametrize(("arms", "x"), [(2, 0.5), (4, 0.3), (4, 0.75), (10, 0.2)])
def test_dirichlet_bandit(arms, x):
    policy = np.full((1, arms), (1 - x) / (arms - 1))
    policy[0, 0] = x
    utility = np.eye(arms)[:1]
    found = bits(bandit(arms), policy, utility, policy_prior=us.Dirichlet(1.0), num_particles=20_000)
    assert abs(found.value + (arms - 1) * math.log2(1 - x)) < 5 * found.std_error
    assert not found.is_lower_bound


@pytest.mark.parametrize("method", ["auto", "monte_carlo", "split"])
def test_a_certain_best_action_is_infinitely_rare_among_stochastic_policies(method):
    found = bits(bandit(4), np.eye(4)[:1], np.eye(4)[:1], policy_prior=us.Dirichlet(1.0), method=method)
    assert found == (math.inf, 0.0, False)


@pytest.mark.parametrize("number", [2, 3, 5])
def test_sums_of_uniform_shares(number):
    """U = the sum of n uniform shares; above n - 1 lies 1 / n! of the cube."""
    world, utility = contexts(number, 2), right(number, 2)
    policy = utility.copy()
    policy[0] = [0.0, 1.0]
    found = bits(world, policy, utility, policy_prior=us.Dirichlet(1.0), num_particles=50_000)
    assert abs(found.value - math.log2(math.factorial(number))) < 5 * found.std_error


PRIORS = {"sequences": us.ActionSequences(3), "deterministic": us.UniformDeterministic()}
BITS = {"111": (3, 3, 0, 1), "110": (1, 0, 0, 1)}
LENGTHS = np.array([2, 3, 1, 2])
POSTERIORS = {"111": (1 / 2, 1 / 4, 1 / 8, 1 / 8), "110": (4 / 13, 1 / 13, 4 / 13, 4 / 13)}


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("choices", BITS)
def test_three_binary_choices(prior, choices):
    world, utilities = tree()
    found = np.array(
        [bits(world, choosing(world, choices), u, policy_prior=PRIORS[prior]).value for u in utilities.values()]
    )
    np.testing.assert_allclose(found, BITS[choices], atol=1e-12)
    weight = 2.0 ** (found - LENGTHS)
    np.testing.assert_allclose(weight / weight.sum(), POSTERIORS[choices])


def test_three_binary_choices_with_an_uncertain_policy():
    """The prior mass times the mean weight, not the mean of posteriors."""
    weight = 2.0**-LENGTHS * np.mean([2.0 ** np.array(g) for g in BITS.values()], 0)
    np.testing.assert_allclose(weight / weight.sum(), (4 / 9, 1 / 5, 8 / 45, 8 / 45))


NORMALISERS = {"ones": 2.303571, "all": 1.875, "nothing": 1.0, "first": 1.5}


@pytest.mark.parametrize(("name", "prior"), [*((name, "deterministic") for name in NORMALISERS), ("ones", "sequences")])
def test_three_binary_choices_normalisers(name, prior):
    world, utilities = tree()
    tail = us.value_tail(KEY, world, utilities[name], policy_prior=PRIORS[prior], num_particles=2048)
    found = float(np.exp(log_normaliser(us.ExponentialLaw(1.0), tail)))
    # Z sums (p_k - p_{k+1}) / p_k = 1 - p_{k+1} / p_k: its error from those of the knots.
    ratio = 2.0 ** np.diff(tail.log2_prob)
    error = np.log(2) * np.sqrt(np.sum(ratio**2 * (tail.log2_error[1:] ** 2 + tail.log2_error[:-1] ** 2)))
    assert abs(found - NORMALISERS[name]) <= 5 * error + 1e-6


def test_optimal_policies_are_products_of_choices():
    """Fact 5, by enumeration of all 4^9 policies of a grid."""
    world = us.gridworld(["...", "...", "..G"], slip=0.1, discount=0.9)
    found = bits(world, us.optimal_policy(world, world.features["G"]), world.features["G"], method="enumerate")
    assert found.value == pytest.approx(expected_bits(world), abs=1e-9) == 15


def test_optimal_policy_on_a_grid_by_splitting():
    world = us.gridworld([".....", ".....", ".....", ".....", "....G"], slip=0.1, discount=0.9)
    policy = us.optimal_policy(world, world.features["G"])
    found = bits(world, policy, world.features["G"], method="split", num_particles=512)
    assert expected_bits(world) == pytest.approx(45)
    assert abs(found.value - 45) < 5 * found.std_error and not found.is_lower_bound


def expected_bits(world):
    """sum_s log2(A / |best actions|), by value iteration."""
    goal, value = world.features["G"] * 1.0, np.zeros(world.num_states)
    for _ in range(400):
        q = goal[:, None] + float(world.discount) * world.transition @ value
        value = q.max(-1)
    ties = (q > value[:, None] - 1e-9).sum(-1)
    return np.log2(world.num_actions / ties).sum()


@pytest.mark.parametrize("z", [2.0, 2.5, 3.0])
def test_normal_values(z):
    """Standard normal feature counts, whatever the direction: -log2 Phi(-z)."""
    values = np.random.default_rng(1).standard_normal(10**6)
    found = tail_estimate(values, z)
    assert abs(found.value + math.log2(scipy.stats.norm.sf(z))) < 5 * found.std_error
    assert -math.log2(scipy.stats.norm.sf(5.0)) == pytest.approx(21.734198)


# Facts that always hold


@settings(deadline=None, max_examples=20, derandomize=True)
@given(SEEDS, st.booleans())
def test_against_enumeration_by_hand_and_facts_one_and_three(seed, deterministic):
    world = random_world(seed)
    utility, policy = random_utility(seed, world), random_policy(seed, world, deterministic)
    policies = all_policies(world)
    values = np.array([value_by_hand(world, p, utility) for p in policies])
    value = value_by_hand(world, policy, utility)
    slack = 1e-9 * max(np.ptp(values), 1.0)
    above, tie = np.mean(values >= value - slack), np.mean(np.abs(values - value) <= slack)
    found = bits(world, policy, utility)
    assert found.std_error == 0 and not found.is_lower_bound
    assert 2.0**-found.value == pytest.approx(above, abs=1e-12)
    # Fact 1: 0 <= g <= -log2 xi({pi}).
    assert found.value >= 0
    if deterministic:
        assert found.value <= math.log2(len(policies)) + 1e-9
    # Fact 3: a policy and its opposite.
    negated = us.Payoffs(-utility.state, -utility.action, -utility.reach, utility.targets)
    assert 2.0**-found.value + 2.0 ** -bits(world, policy, negated).value == pytest.approx(1 + tie)


@settings(deadline=None, max_examples=15, derandomize=True)
@given(SEEDS, st.floats(-12, 6), st.floats(-1e3, 1e3))
def test_fact_two_positive_affine_maps_do_not_matter(seed, power, offset):
    world = random_world(seed)
    utility, policy = random_utility(seed, world), random_policy(seed, world, True)
    unit = 10.0**power
    changed = us.Payoffs(unit * (utility.state + offset), unit * utility.action, unit * utility.reach, utility.targets)
    assert bits(world, policy, changed).value == pytest.approx(bits(world, policy, utility).value, abs=1e-12)


@pytest.mark.parametrize("prior", [us.UniformDeterministic(), us.Dirichlet(1.0), us.ActionSequences(3)])
@pytest.mark.parametrize("method", ["auto", "monte_carlo", "split"])
def test_fact_four_constants_give_nothing(prior, method):
    world = random_world(3)
    phi = np.random.default_rng(0).normal(size=3)
    constants = [np.zeros(3), np.full(3, -7.3)]
    if not isinstance(prior, us.ActionSequences):
        # Shaping by a potential that the starts average to nothing is constant too, and 0 but for rounding.
        phi = phi - world.initial @ phi
        shaping = float(world.discount) * np.einsum("sat,t->sa", world.transition, phi) - phi[:, None]
        constants.append(shaping)
    for utility in constants:
        found = bits(world, random_policy(3, world, True), utility, policy_prior=prior, method=method)
        assert found == (0.0, 0.0, False)


def test_fact_six_shares_are_uniform_without_atoms():
    """2^-g of random policies under the prior itself, each against the same large sample."""
    world = random_world(5)
    utility, prior = np.array([1.0, -0.3, 0.2]), us.Dirichlet(1.0)
    keys = jax.random.split(KEY, 22_000)
    values = np.asarray(
        jax.jit(jax.vmap(lambda key: us.expected_utility(world, prior.sample(key, world), utility)))(keys)
    )
    assert len(np.unique(values)) == len(values)
    judged, others = values[:2000], values[2000:]
    g = [tail_estimate(others, value).value for value in judged]
    # The judges are a sample as well: the two-sample form of the test.
    assert scipy.stats.ks_2samp(judged, others).pvalue > 1e-6
    assert scipy.stats.kstest(2.0 ** -np.array(g), "uniform").pvalue > 1e-6
    assert scipy.stats.kstest(g, "expon", args=(0, 1 / math.log(2))).pvalue > 1e-6


def test_fact_seven_only_the_best_is_infinitely_rare():
    """Strictly optimal deterministic policies among stochastic ones: +inf; merely good ones are not."""
    world = random_world(6)
    utility = np.array([1.0, 0.0, 0.0])
    best = us.optimal_policy(world, utility)
    assert bits(world, best, utility, policy_prior=us.Dirichlet(1.0)).value == math.inf
    less = 0.9 * best + 0.1 * world.available / world.available.sum(-1, keepdims=True)
    found = bits(world, less, utility, policy_prior=us.Dirichlet(1.0), method="split", num_particles=256)
    assert np.isfinite(found.value) and found.value > 0 and not found.is_lower_bound


def test_a_policy_beyond_all_deterministic_ones_is_infinitely_rare():
    """Chance beats every deterministic policy where two states look alike: here by time, with a horizon."""
    transition = np.array([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]])
    world = us.world_model(transition, [1.0, 0.0], 1.0, horizon=2)
    utility = np.array([[1.0, 0.0], [0.0, 0.0]]) + np.array([[0.0, 3.0], [0.0, 0.0]])
    changing = us.optimal_policy(world, utility)
    assert changing.shape == (2, 2, 2)
    assert us.expected_utility(world, changing, utility) == pytest.approx(4.0)
    assert bits(world, changing, utility) == (math.inf, 0.0, False)
    assert bits(world, changing, utility, method="monte_carlo").is_lower_bound
    assert bits(world, changing, utility, method="split").is_lower_bound


def test_unreachable_states_and_unavailable_actions_do_not_count():
    world = us.gridworld(["..#.."], initial=[1, 0, 0, 0], discount=0.9)
    utility = np.array([0.0, 1.0, 0.0, 0.0])
    assert bits(world, us.optimal_policy(world, utility), utility).value == pytest.approx(
        math.log2(4) + math.log2(4 / 3)  # "right", then anything but "left"
    )
    narrow = us.world_model(np.ones((1, 4, 1)), [1.0], 0.5, available=[[True, True, False, False]])
    assert bits(narrow, np.eye(4)[:1], np.eye(4)[:1]).value == pytest.approx(1.0)


# Monte Carlo


@pytest.mark.parametrize("prior", [us.UniformDeterministic(), us.Dirichlet(1.0)])
def test_zero_hits_are_a_flagged_lower_bound(prior):
    number = 40
    world, utility = contexts(number, 2), right(number, 2)
    policy = 0.999 * utility + 0.001 * utility[:, ::-1]
    policy = utility if prior.atomic else policy
    found = bits(world, policy, utility, policy_prior=prior, num_particles=3000, method="monte_carlo")
    assert found == (pytest.approx(math.log2(1000)), math.inf, True)
    assert found.value < number  # the truth: 40 bits and more
    assert str(found) == "at least 10.0 bits"


def test_few_particles_bound_little():
    assert tail_estimate(np.zeros(2), 1.0) == (0.0, math.inf, True)
    assert tail_estimate(np.ones(5), 1.0) == (0.0, 0.0, False)


def test_the_reported_error_is_the_spread_of_repeats():
    """200 repeats in one world: unbiased in the share, spread as reported (chi-squared, five standard errors)."""
    number = 6
    exact, size, repeats = scipy.stats.binom(number, 0.5).sf(4), 1000, 200
    rng = np.random.default_rng(2)
    draws = rng.integers(0, 2, (repeats, size, number)).sum(-1).astype(float)
    found = np.array([tail_estimate(values, 5.0)[:2] for values in draws])
    share = 2.0 ** -found[:, 0]
    assert abs(share.mean() - exact) < 5 * share.std(ddof=1) / math.sqrt(repeats)
    errors = (found[:, 0] + math.log2(exact)) / found[:, 1]
    assert abs(np.mean(errors**2) - 1) < 5 * math.sqrt(2 / repeats)


def test_monte_carlo_repeats_in_a_world():
    world = random_world(8)
    utility, policy = random_utility(8, world), random_policy(8, world, True)
    exact = bits(world, policy, utility).value
    assert 0.5 < exact < 10
    for key in jax.random.split(KEY, 4):
        found = us.intelligence(key, world, policy, utility, method="monte_carlo", num_particles=2000)
        assert abs(found.value - exact) < 5 * found.std_error


def test_the_same_key_gives_the_same_number():
    world, utility = contexts(4, 3), right(4, 3)
    one, same, other = (
        us.intelligence(jax.random.key(k), world, utility, utility, method="monte_carlo") for k in (1, 1, 2)
    )
    assert one == same != other


def test_values_apart_by_rounding_tie():
    world = bandit(4)
    utility = np.array([[1.0, 1.0 + 1e-15, 1.0 - 1e-15, 0.0]])
    for arm in range(3):
        assert bits(world, np.eye(4)[[arm]], utility).value == pytest.approx(math.log2(4 / 3))
    apart = np.array([[1.0, 1.0 + 1e-7, 1.0 - 1e-7, 0.0]])
    assert [round(2.0 ** bits(world, np.eye(4)[[arm]], apart).value, 6) for arm in range(3)] == [2.0, 4.0, 1.333333]


def test_ties_survive_a_large_constant():
    """Rounding grows with the constant, and the tolerance with it."""
    world = us.gridworld(["...", "...", "..G"], slip=0.1, discount=0.9)
    for constant in (1e3, 1e6, 1e8):
        policy = us.optimal_policy(world, world.features["G"])
        assert bits(world, policy, world.features["G"] + constant, method="enumerate").value == pytest.approx(15)


# Bad input


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (np.ones((3, 3)), "rows must be probabilities that sum to 1"),
        (np.full((3, 3), np.nan), "rows must be probabilities"),
        (np.array([[2.0, -1.0, 0.0]] * 3), "rows must be probabilities"),
        (np.eye(3)[:2], r"policy has shape \(2, 3\), not \[states, actions\] = \(3, 3\)"),
        (np.array([0, 1, 2]), r"policy has shape \(3,\)"),
        (np.eye(3)[[2, 0, 0]], "takes action '2' in state '0', which is not available there"),
        (np.tile(np.eye(3), (4, 1, 1)), "neither the world nor the policy prior has a horizon"),
    ],
)
def test_bad_policies(policy, message):
    world = us.world_model(np.full((3, 3, 3), 1 / 3), [1, 0, 0], 0.5, available=[[1, 1, 0], [1, 1, 1], [1, 1, 1]])
    with pytest.raises(us.InputError, match=message):
        bits(world, policy, np.arange(3.0))


def test_bad_calls():
    world, utility = contexts(3, 2), right(3, 2)
    with pytest.raises(us.InputError, match="choose auto, enumerate, monte_carlo or split"):
        bits(world, utility, utility, method="exact")
    with pytest.raises(us.InputError, match="infinitely many policies"):
        bits(world, utility, utility, policy_prior=us.Dirichlet(1.0), method="enumerate")
    with pytest.raises(us.InputError, match=r"1\.1e\+12 policies; enumeration takes at most 2\^20"):
        bits(contexts(40, 2), right(40, 2), right(40, 2), method="enumerate")
    with pytest.raises(us.InputError, match="utility has shape"):
        bits(world, utility, np.zeros(5))
    with pytest.raises(us.InputError, match="stack of 2"):
        bits(world, utility, us.Payoffs(np.zeros((2, 3)), None, np.zeros((2, 0)), np.zeros((0, 3), bool)))
    with pytest.raises(us.InputError, match=r"Grammar\(world\)\.parse"):
        bits(world, utility, "reach(G)")
    for wrong in (np.nan, np.inf):
        with pytest.raises(us.InputError, match="not a finite number"):
            bits(world, utility, np.array([1.0, wrong, 0.0]))

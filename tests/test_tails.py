"""Value tails by splitting: against enumeration on the whole curve, closed forms, and their own reported errors."""

import itertools
import math
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import utiliscope as us
from utiliscope import curve_engines, tails
from utiliscope.cache import cache_folder
from utiliscope.chains import memoryless_chains as chains
from utiliscope.curves import curve_of_levels
from utiliscope.payoffs import as_payoffs, stack_payoffs
from utiliscope.planning import value_range
from utiliscope.splitting import Run
from utiliscope.tails import ValueTail
from utiliscope.traced_rows import row_mover, world_links
from utiliscope.traced_splitting import Particles, plain_mover

KEY = jax.random.key(0)
AVAILABLE = np.array([[True, True, True], [True, True, False], [True, False, True], [False, True, False]])


def contexts(number, arms=2):
    """`number` contexts, seen equally often, one action each; U = the share of right ones, times `number`."""
    transition = np.repeat(np.eye(number)[:, None], arms, 1)
    world = us.world_model(transition, np.full(number, 1 / number), 0.5)
    return world, number / 2 * np.tile(np.eye(arms)[0], (number, 1))


def random_world(seed, num_states=4, **options):
    rng = np.random.default_rng(seed)
    transition = rng.dirichlet(np.ones(num_states) * 0.5, (num_states, 3))
    return us.world_model(transition, rng.dirichlet(np.ones(num_states)), 0.8, available=AVAILABLE, **options)


def random_payoffs(seed, num_states=4):
    rng = np.random.default_rng(seed)
    targets = np.eye(num_states, dtype=bool)[:2]
    return us.Payoffs(rng.normal(size=num_states), rng.normal(size=(num_states, 3)), rng.normal(size=2), targets)


def graph(links, initial, discount=0.9, **options):
    """A deterministic world; `links[s][a]` is the next state, -1 where the action is not available."""
    links = np.array(links)
    return us.world_model(np.eye(len(links))[links], initial, discount, available=links >= 0, **options)


def enumerated(world, payoffs):
    """Values of all deterministic policies, by numpy."""
    options = [np.flatnonzero(row) for row in world.available]
    policies = np.eye(world.num_actions)[np.array(list(itertools.product(*options)))]
    step = float(world.discount) * np.einsum("nsa,sat->nst", policies, world.transition)
    eye, action = np.eye(world.num_states), 0.0 if payoffs.action is None else payoffs.action
    paid = payoffs.state + (policies * action).sum(-1)
    total = np.linalg.solve(eye - step, paid[..., None])[..., 0] @ world.initial
    for weight, target in zip(payoffs.reach, payoffs.targets, strict=True):
        onward = np.where(target[:, None], 0.0, step)
        total += (
            weight
            * np.linalg.solve(eye - onward, np.tile(target * 1.0, (len(step), 1))[..., None])[..., 0]
            @ (world.initial)
        )
    return total


def enumerated_sequences(world, payoffs, horizon):
    """Values and chances of all sequences of available actions in a deterministic world, by recursion."""
    gamma, found = float(world.discount), []

    def follow(state, t, value, chance, reached):
        reached, before = reached | payoffs.targets[:, state], reached
        value = value + gamma**t * (payoffs.state[state] + payoffs.reach @ (reached & ~before))
        if t == horizon:
            found.append((value, chance))
            return
        options = np.flatnonzero(world.available[state])
        for action in options:
            follow(int(world.transition[state, action].argmax()), t + 1, value, chance / len(options), reached)

    follow(int(np.argmax(world.initial)), 0, 0.0, 1.0, np.zeros(len(payoffs.targets), bool))
    return np.array(found).T


def assert_follows(tail, values, chances=None, *, num_particles=512):
    """The whole curve: at every value, within five reported standard errors; exact at its lower end."""
    chances = np.full(len(values), 1 / len(values)) if chances is None else chances
    rising = np.sort(values)
    checked = rising[np.concatenate([[True], np.diff(rising) > 1e-9 * np.ptp(values)])]
    exact = np.array([-np.log2(chances[values >= value - 1e-9 * np.ptp(values)].sum()) for value in checked])
    bits = np.asarray(jax.vmap(tail.bits)(checked))
    errors = np.asarray(jax.vmap(tail.std_error)(checked))
    # Where no particle falls below, the error is that of one in a population.
    errors = np.hypot(errors, np.log2(1 + 1 / num_particles))
    bound = np.asarray(jax.vmap(tail.is_lower_bound)(checked))
    assert bits[0] == 0
    assert (np.abs(bits - exact)[~bound] <= 5 * errors[~bound] + 1e-9).all()
    assert (exact[bound] >= bits[bound] - 5 * errors[bound]).all()
    return bound


UNEVEN = us.Dirichlet(np.arange(1, 13).reshape(4, 3) / 4)


# The whole curve against enumeration


WORLDS = {
    "payoffs a step": (random_world(1), as_payoffs(random_world(1), np.array([1.0, -0.4, 0.1, 0.0]))),
    "with actions": (random_world(2), us.Payoffs(*(random_payoffs(2).state, random_payoffs(2).action), *(
        np.zeros(0), np.zeros((0, 4), bool)))),
    "reach": (random_world(3), us.Payoffs(np.zeros(4), None, np.array([1.0]), np.eye(4, dtype=bool)[:1])),
    "mixed": (random_world(4), random_payoffs(4)),
}  # fmt: skip


@pytest.mark.parametrize("name", WORLDS)
def test_deterministic_policies_against_enumeration(name):
    world, payoffs = WORLDS[name]
    tail = us.value_tail(KEY, world, payoffs, num_particles=512)
    bound = assert_follows(tail, enumerated(world, payoffs))
    assert not bound.any()
    if name != "mixed":
        assert bool(tail.complete)


@pytest.mark.slow
def test_many_ties_against_enumeration():
    """A grid where most policies tie with others, 2^18 in all."""
    world = us.gridworld(["...", "...", "..G"], discount=0.9)
    payoffs = as_payoffs(world, world.features["G"])
    values = enumerated_in_parts(world, payoffs)
    tail = us.value_tail(KEY, world, payoffs, num_particles=1024)
    assert not assert_follows(tail, values, num_particles=1024).any()
    assert len(np.unique(np.round(values, 9))) < len(values) / 100


def enumerated_in_parts(world, payoffs):
    """As `enumerated`, for a grid with a goal: each policy of a deterministic world is a map of states."""
    following = world.transition.argmax(-1)
    options = list(itertools.product(range(4), repeat=world.num_states))
    values = []
    for start in range(0, len(options), 2**15):
        choice = np.array(options[start : start + 2**15])
        step = np.take_along_axis(following[None], choice[..., None], -1)[..., 0]
        place = np.broadcast_to(np.arange(world.num_states), step.shape)
        total = np.zeros(len(choice))
        for t in range(220):
            total += float(world.discount) ** t * payoffs.state[place] @ world.initial
            place = np.take_along_axis(step, place, 1)
        values.append(total)
    return np.concatenate(values)


def test_binomial_tails():
    """20 contexts, 2 actions: m right has the binomial tail, and all right exactly 20 bits. Ties at every level."""
    number = 20
    world, utility = contexts(number)
    tail = us.value_tail(KEY, world, utility, num_particles=1024)
    for right in range(number + 1):
        # U pays number / 2 * 1 / number a step, 2 steps long in all: 1 for each right context.
        exact = -math.log2(scipy.stats.binom(number, 0.5).sf(right - 1))
        error = math.hypot(float(tail.std_error(float(right))), math.log2(1 + 1 / 1024))
        assert abs(float(tail.bits(float(right))) - exact) <= 5 * error
    assert bool(tail.complete) and tail.values[-1] == pytest.approx(number)
    assert float(tail.bits(number + 1.0)) == math.inf and not bool(tail.is_lower_bound(number + 1.0))


@pytest.mark.parametrize("number", [10, pytest.param(20, marks=pytest.mark.slow)])
def test_sums_of_uniform_shares(number):
    """P(sum of n uniform shares >= n - 1) = 1 / n!."""
    world, utility = contexts(number)
    tail = us.value_tail(KEY, world, utility, policy_prior=us.Dirichlet(1.0), num_particles=512)
    g, error = float(tail.bits(number - 1.0)), float(tail.std_error(number - 1.0))
    assert abs(g - math.log2(math.factorial(number))) < 5 * error and error < 1.0
    assert not bool(tail.is_lower_bound(number - 1.0))


@pytest.mark.parametrize("arms", [3, pytest.param(9, marks=pytest.mark.slow)])
def test_dirichlet_bandit(arms):
    world = us.world_model(np.ones((1, arms, 1)), [1.0], 0.5)
    tail = us.value_tail(KEY, world, 0.5 * np.eye(arms)[:1], policy_prior=us.Dirichlet(1.0), reach=0.9999)
    for x in (0.2, 0.5, 0.9, 0.99, 0.999):
        exact = -(arms - 1) * math.log2(1 - x)
        assert abs(float(tail.bits(x)) - exact) < 5 * float(tail.std_error(x)) + 1e-9


@pytest.mark.parametrize("shape", [(0.5, 3.0, 2.0), (40.0, 1.0, 1.0)])
def test_bandit_of_unequal_concentrations(shape):
    """The share of the first arm is Beta(c_1, c_2 + c_3)."""
    world, prior = us.world_model(np.ones((1, 3, 1)), [1.0], 0.5), us.Dirichlet(np.array([shape]))
    tail = us.value_tail(KEY, world, 0.5 * np.eye(3)[:1], policy_prior=prior, reach=0.9999)
    for x in scipy.stats.beta(shape[0], sum(shape[1:])).isf([0.9, 0.5, 1e-2, 1e-4, 1e-8]):
        exact = -scipy.stats.beta(shape[0], sum(shape[1:])).logsf(x) / math.log(2)
        # Of a thousand first draws a few are above the last knot that is sure.
        error = math.hypot(float(tail.std_error(x)), 1 / 1024)
        assert abs(float(tail.bits(x)) - exact) < 5 * error


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [("mixed", {}), ("with actions", {}), pytest.param("mixed", dict(horizon=5), marks=pytest.mark.slow)],
)
def test_unequal_concentrations_against_plain_monte_carlo(name, options):
    """Several chains, one, and the moves in JAX that a horizon asks for."""
    world, payoffs = random_world(4, **options), WORLDS[name][1]
    random = np.random.default_rng(8)
    prior = us.Dirichlet(random.uniform(0.3, 6.0, (world.num_states, world.num_actions)))
    draws = jax.vmap(lambda key: prior.sample(key, world))(jax.random.split(KEY, 100_000))
    values = np.asarray(jax.jit(jax.vmap(lambda policy: us.expected_utility(world, policy, payoffs)))(draws))
    tail = us.value_tail(KEY, world, payoffs, policy_prior=prior, num_particles=256)
    for chance in (0.7, 0.1, 0.01, 1e-3):
        v = np.quantile(values, 1 - chance)
        error = math.hypot(float(tail.std_error(v)), 1 / math.sqrt(chance * len(values)) / math.log(2))
        assert abs(float(tail.bits(v)) + math.log2(chance)) < 5 * error


def test_optimal_policy_of_a_grid():
    """45 bits in the 5x5 grid (fact 5)."""
    world = us.gridworld([".....", ".....", ".....", ".....", "....G"], slip=0.1, discount=0.9)
    tail = us.value_tail(KEY, world, world.features["G"], num_particles=512)
    best = value_range(world, world.features["G"])[1]
    assert abs(float(tail.bits(best)) - 45) < 5 * float(tail.std_error(best))
    assert bool(tail.complete) and tail.values[-1] == pytest.approx(best)


SEQUENCES = {
    "uneven": (graph([[1, 2, 0], [-1, 0, 2], [-1, -1, 1]], [1, 0, 0]), 6),
    "grid": (us.gridworld(["...", "..G"], initial=np.eye(6)[0], discount=0.9), 5),
}


@pytest.mark.parametrize("name", SEQUENCES)
def test_action_sequences_against_enumeration(name):
    world, horizon = SEQUENCES[name]
    state = np.arange(world.num_states) / 10
    payoffs = us.Payoffs(state, None, np.array([2.0]), np.eye(world.num_states, dtype=bool)[-1:])
    tail = us.value_tail(KEY, world, payoffs, policy_prior=us.ActionSequences(horizon), num_particles=512)
    assert not assert_follows(tail, *enumerated_sequences(world, payoffs, horizon)).any()
    assert bool(tail.complete)


def test_a_world_with_a_horizon_against_enumeration():
    """Here policies are valued afresh, by products instead of rank-one changes."""
    world = random_world(5, horizon=3)
    utility = np.array([1.0, -0.4, 0.1, 0.0])
    options = [np.flatnonzero(row) for row in world.available]
    policies = np.eye(3)[np.array(list(itertools.product(*options)))]
    values = np.asarray(jax.jit(jax.vmap(lambda p: us.expected_utility(world, p, utility)))(policies))
    assert_follows(us.value_tail(KEY, world, utility, num_particles=512), values)


# Two kernels


def movers(world, payoffs, prior, number):
    links, parts = world_links(world), chains(world, payoffs)
    parts = parts[0].astype(float), parts[1]
    fast = row_mover(world, links, parts, prior, num_particles=number, num_sweeps=2)
    return fast, plain_mover(world, payoffs, prior, num_particles=number, num_sweeps=2)


@pytest.mark.slow
@pytest.mark.parametrize("prior", [us.UniformDeterministic(), us.Dirichlet(0.5)])
@pytest.mark.parametrize("name", ["mixed", "with actions"])
def test_rank_one_moves_keep_exact_values(name, prior):
    world, payoffs = WORLDS[name]
    fast, plain = movers(world, payoffs, prior, 64)
    state = jax.jit(fast.draw)(KEY)
    value = jax.jit(jax.vmap(lambda policy: us.expected_utility(world, policy, payoffs)))
    np.testing.assert_allclose(state.values, value(state.policy), rtol=1e-10, atol=1e-10)
    # As in splitting: at a tie, rounding would decide what is above it.
    level = jnp.median(state.values) + 1e-9
    for kind, start in ((fast, state), (plain, jax.jit(plain.draw)(KEY))):
        above = jax.tree.map(lambda x, start=start: x[jnp.argsort(start.values)[-16:]].repeat(4, 0), start)
        moved = jax.jit(kind.move)(jax.random.key(1), above, level)
        policy = moved.policy if kind is fast else moved.particle
        np.testing.assert_allclose(moved.values, value(policy), rtol=1e-10, atol=1e-10)
        assert (np.asarray(moved.values) > level).all()
        assert not np.asarray(policy)[:, ~world.available].any()
        np.testing.assert_allclose(policy.sum(-1), 1.0)
        assert (np.abs(np.asarray(moved.values - above.values)) > 1e-6).any()


@pytest.mark.slow
@pytest.mark.parametrize(
    "prior",
    [us.UniformDeterministic(), us.Dirichlet(2.0), UNEVEN, us.Dirichlet(100 * UNEVEN.concentration)],
    ids=["deterministic", "flat", "uneven", "narrow"],
)
def test_moves_leave_the_prior_cut_off_at_a_level_invariant(prior):
    """Exact samples above a level, moved, are still that: both kernels, first two moments of values and rows."""
    world, payoffs = WORLDS["mixed"]
    one, other = (jax.jit(movers(world, payoffs, prior, 4096)[0].draw)(jax.random.key(k)) for k in (0, 2))
    level = jnp.quantile(one.values, 0.6) + 1e-9
    reference = statistics(np.asarray(one.policy)[np.asarray(one.values) > level], world, payoffs)
    above = np.flatnonzero(np.asarray(other.values) > level)[:1024]
    start = jax.tree.map(lambda x: x[above], other)
    fast, plain = movers(world, payoffs, prior, len(above))
    by_rank_one = jax.jit(fast.move)(jax.random.key(3), start, level).policy
    afresh = jax.jit(plain.move)(jax.random.key(3), Particles(*start), level).particle
    for policies in (by_rank_one, afresh):
        found = statistics(np.asarray(policies), world, payoffs)
        error = np.sqrt(found.var(0) / len(found) + reference.var(0) / len(reference))
        assert (np.abs(found.mean(0) - reference.mean(0)) <= 5 * error + 1e-12).all()


def statistics(policies, world, payoffs):
    values = jax.jit(jax.vmap(lambda policy: us.expected_utility(world, policy, payoffs)))(policies)
    rows = policies[:, world.available]
    return np.concatenate([np.asarray(values)[:, None], np.asarray(values)[:, None] ** 2, rows, rows**2], -1)


# Errors, by repetition


def repeated(world, utility, value, exact, *, repeats, num_particles, policy_prior):
    """z-scores of the bits against the truth, and their spread over the error reported."""
    found = []
    for key in jax.random.split(jax.random.key(5), repeats):
        tail = us.value_tail(key, world, utility, policy_prior=policy_prior, num_particles=num_particles)
        found.append((float(tail.bits(value)), float(tail.std_error(value))))
    bits, errors = np.array(found).T
    bias = (bits.mean() - exact) / (bits.std(ddof=1) / math.sqrt(repeats))
    return bias, bits.std(ddof=1) / math.sqrt(np.mean(errors**2)), bits, errors


def repetition_worlds():
    ties, utility = contexts(12)
    grid = us.gridworld(["...", "...", "..G"], slip=0.1, discount=0.9)
    best = value_range(grid, grid.features["G"])[1]
    smooth, shares = contexts(6)
    return {
        "ties": (ties, utility, 11.0, -math.log2(13 / 2**12), us.UniformDeterministic()),
        "grid": (grid, grid.features["G"] * 1.0, best, 15.0, us.UniformDeterministic()),
        "smooth": (smooth, shares, 5.0, math.log2(720), us.Dirichlet(1.0)),
    }  # fmt: skip


def test_unbiased_over_repeats(monkeypatch):
    monkeypatch.setenv("UTILISCOPE_CACHE", "off")
    world, utility, value, exact, prior = repetition_worlds()["ties"]
    bias, ratio, _, _ = repeated(world, utility, value, exact, repeats=40, num_particles=128, policy_prior=prior)
    assert abs(bias) < 5
    assert abs(ratio - 1) < 5 / math.sqrt(2 * 40)  # of a standard deviation from 40 draws


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ties", "grid", "smooth"])
def test_reported_errors_over_repeats(name, monkeypatch):
    """Unbiased, and a spread within 15 % of the error reported (six of its own standard errors, 2.5 %)."""
    monkeypatch.setenv("UTILISCOPE_CACHE", "off")
    world, utility, value, exact, prior = repetition_worlds()[name]
    bias, ratio, bits, errors = repeated(
        world, utility, value, exact, repeats=800, num_particles=256, policy_prior=prior
    )
    print(f"{name}: bias {bias:.2f}, spread over reported {ratio:.3f}, {bits.mean():.3f} +- {errors.mean():.3f} bits")
    assert abs(bias) < 5
    assert abs(ratio - 1) < 0.15


@pytest.mark.slow
@pytest.mark.parametrize("name", ["grid", "smooth"])
def test_reported_errors_of_moves_in_jax(name, monkeypatch):
    """What accelerators run: 150 repeats, so that spreads are known to 6 %."""
    monkeypatch.setenv("UTILISCOPE_CACHE", "off")
    monkeypatch.setattr(curve_engines, "can_split_rows", lambda *_: False)
    world, utility, value, exact, prior = repetition_worlds()[name]
    payoffs, settings = as_payoffs(world, utility), (128, 1, 0.995, np.inf, 600.0)
    best, found = value_range(world, payoffs)[1], []
    tasks = [curve_engines.Task(str(n), jax.random.key(n), payoffs, 1e-9 * best, best) for n in range(150)]
    with ThreadPoolExecutor(1) as pool:
        for curve in curve_engines.curves(world, prior, settings, tasks, pool):
            place = min(np.searchsorted(curve["values"], value - 1e-6), len(curve["values"]) - 1)
            found.append((-curve["log2_prob"][place], curve["log2_error"][place]))
    bits, errors = np.array(found).T
    ratio = bits.std(ddof=1) / math.sqrt(np.mean(errors**2))
    bias = (bits.mean() - exact) / (bits.std(ddof=1) / math.sqrt(len(bits)))
    print(f"{name}: bias {bias:.2f}, spread over reported {ratio:.3f}, {bits.mean():.3f} +- {errors.mean():.3f} bits")
    assert abs(bias) < 5 and abs(ratio - 1) < 5 / math.sqrt(2 * len(bits))


# The curve as an object


@pytest.mark.parametrize("utility", [np.zeros(4), np.full(4, 3.0)])
@pytest.mark.parametrize("prior", [us.UniformDeterministic(), us.Dirichlet(1.0)])
def test_constants_have_one_knot(utility, prior):
    world = random_world(6)
    tail = us.value_tail(KEY, world, utility, policy_prior=prior)
    assert tail.values.shape == (1,) and bool(tail.constant()) and bool(tail.complete)
    policy = prior.sample(KEY, world)
    value = us.expected_utility(world, policy, utility)
    assert float(tail.bits(value)) == 0 and float(tail.std_error(value)) == 0


@pytest.fixture(scope="module")
def smooth_tail():
    world = random_world(7)
    return us.value_tail(KEY, world, np.array([1.0, 0.0, 0.0, 0.3]), policy_prior=us.Dirichlet(1.0), num_particles=256)


def test_interpolated_curves_rise_and_have_gradients(smooth_tail):
    tail, (low, high) = smooth_tail, (smooth_tail.values[0], smooth_tail.values[-1])
    values = np.linspace(low - 0.1, high + 0.1, 500)
    bits, slopes = jax.vmap(jax.value_and_grad(tail.bits))(values)
    assert np.isfinite(bits).all() and np.isfinite(slopes).all()
    assert (np.diff(bits) >= 0).all() and (np.asarray(slopes) >= 0).all()
    assert bits[0] == 0 and float(tail.bits(low)) == 0 and (np.asarray(bits)[values > low + 1e-3] > 0).all()
    inside = (values[1:-1] > low) & (values[1:-1] < high - 1e-3)
    assert (np.asarray(slopes)[1:-1][inside] > 0).all()


def test_beyond_the_end_of_a_curve_that_is_not_complete(smooth_tail):
    end, beyond = float(smooth_tail.values[-1]), float(smooth_tail.values[-1]) + 0.1
    assert not bool(smooth_tail.complete)
    assert float(smooth_tail.bits(beyond)) == float(smooth_tail.bits(end)) == -smooth_tail.log2_prob[-1]
    assert bool(smooth_tail.is_lower_bound(beyond)) and not bool(smooth_tail.is_lower_bound(end))
    assert float(smooth_tail.std_error(beyond)) == smooth_tail.log2_error[-1]


def test_curves_stop_where_they_are_told():
    world, utility = contexts(30)
    tail = us.value_tail(KEY, world, utility, num_particles=64, max_bits=5.0)
    assert not bool(tail.complete) and bool(tail.is_lower_bound(30.0))
    assert 4 < float(tail.bits(30.0)) < 20
    half = us.value_tail(KEY, world, utility, num_particles=64, reach=0.5)
    assert 22 < half.values[-1] < 30 and not bool(half.complete)


def test_staircases_step_by_hand():
    tail = ValueTail(
        np.array([0.0, 1.0, 3.0, 3.0]), np.array([0.0, -1.0, -4.0, -4.0]), np.array([0.0, 0.1, 0.2, 0.2]),
        np.array(1e-6), np.array(True), atomic=True,
    )  # fmt: skip
    for value, g, error in (
        (-5, 0, 0),
        (0, 0, 0),
        (1e-3, 1, 0.1),
        (1.0, 1, 0.1),
        (1 + 1e-7, 1, 0.1),
        (2, 4, 0.2),
        (3, 4, 0.2),
    ):
        assert (float(tail.bits(value)), float(tail.std_error(value))) == (g, error)
    assert float(tail.bits(3 + 1e-7)) == 4 and float(tail.bits(3.1)) == math.inf
    assert not bool(tail.constant())


@pytest.mark.parametrize("prior", [pytest.param(us.UniformDeterministic(), marks=pytest.mark.slow), us.Dirichlet(1.0)])
def test_a_stack_is_its_singles(prior, monkeypatch):
    """The same numbers, whatever a utility is stacked with: sets to reach, action payoffs, constants."""
    monkeypatch.setenv("UTILISCOPE_CACHE", "off")
    world = random_world(8)
    singles = [
        as_payoffs(world, np.array([1.0, 0.0, 0.0, 0.0])),
        us.Payoffs(np.zeros(4), None, np.array([1.0]), np.eye(4, dtype=bool)[2:3]),
        as_payoffs(world, np.ones(4)),
        random_payoffs(8),
    ]
    options = dict(policy_prior=prior, num_particles=64)
    stack = us.value_tail(KEY, world, stack_payoffs(singles), **options)
    values = np.full(4, 0.7)
    assert stack.values.shape[0] == 4 and stack.bits(values).shape == (4,)
    for index, payoffs in enumerate(singles):
        alone, among = us.value_tail(KEY, world, payoffs, **options), stack[index]
        size = len(alone.values)
        np.testing.assert_array_equal(among.values[:size], alone.values)
        np.testing.assert_array_equal(among.log2_prob[:size], alone.log2_prob)
        np.testing.assert_array_equal(among.values[size:], alone.values[-1])
        for value in (*alone.values[:: max(size // 5, 1)], alone.values[-1] + 1, alone.values[0] - 1):
            assert float(alone.bits(value)) == float(among.bits(value))
            filled = jnp.full(4, value)
            assert float(stack.bits(filled)[index]) == float(alone.bits(value))
            assert bool(stack.is_lower_bound(filled)[index]) == bool(alone.is_lower_bound(value))
    slopes = jax.jacobian(stack.bits)(values)
    assert np.isfinite(slopes).all() and not np.asarray(slopes)[~np.eye(4, dtype=bool)].any()


# On disk


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def tail_arrays(tail):
    return [np.asarray(x) for x in jax.tree.leaves(tail)]


@pytest.fixture
def computed(monkeypatch):
    """Counts the computations, and makes them fast."""
    calls = []

    def curves(world, policy_prior, settings, tasks, pool):
        for task in tasks:
            calls.append(task)
            yield curve_of_levels(Run([np.arange(8.0)], [0], 8), task.tolerance, task.best, policy_prior.atomic)

    monkeypatch.setattr(tails, "curves", curves)
    return calls


def test_results_are_kept_on_disk(tmp_path, monkeypatch, computed):
    monkeypatch.setenv("UTILISCOPE_CACHE", str(tmp_path))
    world, utility = contexts(4)

    def tail(key=KEY, utility=utility, **options):
        return tail_arrays(us.value_tail(key, world, utility, **options))

    first = tail()
    (kept,) = files(tmp_path)
    again = tail()
    assert files(tmp_path) == [kept] and len(computed) == 1
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)

    tail(jax.random.key(1))
    for options in (dict(num_particles=64), dict(num_sweeps=3), dict(max_bits=9.0), dict(reach=0.5)):
        tail(**options)
    uneven = np.ones((utility.shape[-2], utility.shape[-1]))
    uneven[0, 0] = 1 + 1e-12
    priors = (us.Dirichlet(1.0), us.Dirichlet(1.5), us.Dirichlet(uneven), us.ActionSequences(3), us.ActionSequences(4))
    for prior in priors:
        tail(policy_prior=prior)
    tail(utility=utility + 1e-9)
    assert len(files(tmp_path)) == len(computed) == 12
    tail(policy_prior=us.Dirichlet(1.5))
    tail(policy_prior=us.Dirichlet(uneven.copy()))
    assert len(computed) == 12


@pytest.mark.parametrize("number_of_bytes", [25, pytest.param(100, marks=pytest.mark.slow)])
def test_damaged_files_are_computed_anew(number_of_bytes, tmp_path, monkeypatch, computed):
    """Cut short, or any one byte wrong: the same numbers, and the file mended."""
    monkeypatch.setenv("UTILISCOPE_CACHE", str(tmp_path))
    world, utility = contexts(4)
    first = tail_arrays(us.value_tail(KEY, world, utility, num_particles=32))
    (kept,) = files(tmp_path)
    whole, rng = kept.read_bytes(), np.random.default_rng(0)
    damages = [b"", b"not a file", whole[: len(whole) // 2], whole[:-3]]
    for place in rng.integers(len(whole), size=number_of_bytes):
        damages.append(whole[:place] + bytes([whole[place] ^ int(rng.integers(1, 256))]) + whole[place + 1 :])
    for number, damage in enumerate(damages):
        kept.write_bytes(damage)
        for one, other in zip(first, tail_arrays(us.value_tail(KEY, world, utility, num_particles=32)), strict=True):
            np.testing.assert_array_equal(one, other)
        if number < 4:
            assert len(computed) == 2 + number
            assert len(us.value_tail(KEY, world, utility, num_particles=32).values) == 8 and len(computed) == 2 + number
        assert files(tmp_path) == [kept]


def test_a_cache_that_is_off_or_cannot_be_written_changes_nothing(tmp_path, monkeypatch):
    world, utility = contexts(4)
    found = []
    blocked = tmp_path / "blocked"
    blocked.write_text("a file, not a folder")
    for place in (str(tmp_path / "kept"), "off", str(blocked)):
        monkeypatch.setenv("UTILISCOPE_CACHE", place)
        found.append(tail_arrays(us.value_tail(KEY, world, utility, num_particles=32)))
        assert (cache_folder() is None) == (place == "off")
    assert len(files(tmp_path / "kept")) == 1 and files(tmp_path) == sorted([blocked, *files(tmp_path / "kept")])
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, two)


def test_the_same_key_gives_the_same_numbers(monkeypatch):
    monkeypatch.setenv("UTILISCOPE_CACHE", "off")
    world, utility = contexts(5)
    one, same, other = (
        tail_arrays(us.value_tail(jax.random.key(k), world, utility, num_particles=64)) for k in (1, 1, 2)
    )
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    assert not np.array_equal(one[1], other[1])


class OnlySamples:
    atomic = False

    def sample(self, key, world):
        return us.Dirichlet(1.0).sample(key, world)


def test_bad_calls():
    world, utility = contexts(3)
    with pytest.raises(us.InputError, match="OnlySamples only samples; a value tail needs a move"):
        us.value_tail(KEY, world, utility, policy_prior=OnlySamples())
    with pytest.raises(us.InputError, match="num_particles is 1; it must be a whole number of at least 2"):
        us.value_tail(KEY, world, utility, num_particles=1)
    assert us.intelligence(KEY, world, utility / 1.5, utility, policy_prior=OnlySamples()).is_lower_bound is False


# Stored, and read in other ways


def test_curves_are_stored_without_loss(tmp_path):
    world, utility = contexts(4)
    stack = stack_payoffs([as_payoffs(world, utility), as_payoffs(world, -utility)])
    for tail in (
        us.value_tail(KEY, world, utility, num_particles=32),
        us.value_tail(KEY, world, stack, num_particles=32),
    ):
        us.save_value_tail(tail, tmp_path / "tail.npz")
        again = us.load_value_tail(tmp_path / "tail.npz")
        assert again.atomic == tail.atomic
        for one, other in zip(tail_arrays(tail), tail_arrays(again), strict=True):
            np.testing.assert_array_equal(one, other)
    assert files(tmp_path) == [tmp_path / "tail.npz"]
    (tmp_path / "other.npz").write_text("something else")
    with pytest.raises(us.InputError, match=r"other.npz holds no value tail"):
        us.load_value_tail(tmp_path / "other.npz")
    with pytest.raises(us.InputError, match="does not exist"):
        us.load_value_tail(tmp_path / "none.npz")


def test_the_law_of_intelligence_under_the_prior():
    """10 contexts: g takes the 11 values of a binomial tail; P(g >= bits) and Z(U) from the same curve."""
    world, utility = contexts(10)
    tail = us.value_tail(KEY, world, utility, num_particles=4096)
    reach = scipy.stats.binom(10, 0.5).sf(np.arange(11) - 1)
    bits = np.asarray(jax.vmap(tail.bits)(np.arange(11.0)))
    errors = np.asarray(jax.vmap(tail.std_error)(np.arange(11.0)))
    for g, chance, error in zip(bits, reach, errors, strict=True):
        assert abs(math.log2(float(us.intelligence_survival(tail, g - 1e-12)) / chance)) <= 5 * error + 1e-9
    assert float(us.intelligence_survival(tail, bits[-1] + 1.0)) == 0
    between = (bits[4] + bits[5]) / 2
    assert float(us.intelligence_survival(tail, between)) == pytest.approx(2 ** -bits[5])
    exact = math.log(np.sum((reach - np.append(reach[1:], 0)) * reach**-0.5))
    assert float(us.log_normaliser(us.ExponentialLaw(0.5), tail)) == pytest.approx(exact, abs=5 * errors.max())


def test_the_law_of_intelligence_without_ties(smooth_tail):
    np.testing.assert_allclose(us.intelligence_survival(smooth_tail, np.array([-1.0, 0.0, 3.0])), [1, 1, 0.125])

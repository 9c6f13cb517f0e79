"""Programs of operators in a bandit, whose intelligence is known in closed form, against sums over all policies."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.special import logsumexp
from numpyro import distributions as dist
from utiliscope.models.achieved_population import achieved_population
from utiliscope.models.candidates import candidates as candidates_program
from utiliscope.models.noisy import noisy
from utiliscope.models.population import population

import utiliscope as us
from utiliscope.laws import LN2, log_intelligence_weight, log_noisy_weight
from utiliscope.sampling import Nuts, Shape
from utiliscope.tails import ValueTail

# Three arms, nothing follows: an arm's share x has 2^-g = (1 - x)^2 among Dirichlet(1) rows.
WORLD = us.world_model(np.ones((1, 3, 1)), [1.0], 0.0)
NAMES = ["first", "second", "0"]
BITS = [1.5, 2.5, 2.0]
CANDIDATES = us.candidate_set(WORLD, {"first": np.eye(3)[:1], "second": np.eye(3)[1:2], "0": np.zeros((1, 3))}, BITS)
ORDER = [CANDIDATES.index(name) for name in NAMES]
KNOTS = 1 - 2.0 ** (-np.arange(0, 60, 0.05) / 2)


def exact_tails():
    """Of the candidates, with knots so close that lines between them are as good as the curve."""
    values = np.tile(KNOTS, (3, 1))
    heights = np.tile(2 * np.log2(1 - KNOTS), (3, 1))
    nothing = CANDIDATES.index("0")
    values[nothing], heights[nothing] = 0.0, 0.0
    return ValueTail(values, heights, np.zeros_like(values), np.full(3, 1e-12), np.arange(3) == nothing, atomic=False)


TAILS = exact_tails()
COUNTS = np.array([[6.0, 1.0, 0.0]])


def simplex(number=400):
    """Middles of small triangles that tile the simplex: `[N, 3]`."""
    steps = (np.arange(number) + 1 / 3) / number
    low = np.array([(x, y) for x, y in itertools.product(steps, steps) if x + y < 1])
    high = low + 1 / (3 * number)
    both = np.concatenate([low, high[high.sum(1) < 1]])
    return np.column_stack([both, 1 - both.sum(1)])


def grid_bits(policies):
    """`[N, U]` exact bits in the order of the candidates."""
    bits = np.zeros((len(policies), 3))
    for arm, name in enumerate(NAMES[:2]):
        bits[:, CANDIDATES.index(name)] = -2 * np.log2(1 - policies[:, arm])
    return bits


POLICIES = simplex()
GRID_BITS = grid_bits(POLICIES)
LOG_PRIOR = np.asarray(jax.nn.log_softmax(-LN2 * jnp.asarray(CANDIDATES.code_length)))
LOG_LIKELIHOOD = (COUNTS * np.log(POLICIES)).sum(-1)


def weighed(log_weight):
    """`[U]` posterior of the utility from `[N, U]` ln h / Z of policies on the grid."""
    return jax.nn.softmax(logsumexp(LOG_PRIOR + log_weight + LOG_LIKELIHOOD[:, None], axis=0))


def sampled(program, *, data, seed=0, **settings):
    """Draws of a program in the bandit."""
    with jax.enable_x64(True):
        chains = Nuts(program, dict(candidates=CANDIDATES, **settings), Shape(300, 1000, 2))
        return chains.run(jax.random.key(seed), data)[0]


def mean_and_error(draws):
    """Of draws `[chains, draws, ...]`, by the spread of batches of 50."""
    batches = draws.reshape(-1, 50, *draws.shape[2:]).mean(1)
    return batches.mean(0), batches.std(0, ddof=1) / math.sqrt(len(batches))


def agree(draws, exact, least=1e-3):
    mean, error = mean_and_error(draws)
    assert (np.abs(mean - exact) < 5 * error + least).all(), (mean, error, exact)


POLICY = dict(world=WORLD, tails=TAILS, policy_prior=us.Dirichlet(1.0), simplicity=1.0)


def by_grid(law, log_prior):
    """Means of beta and of the utility's chances, with beta on a grid: `law(beta)`."""
    betas = (np.arange(60) + 0.5) / 60
    rows, log_joint = [], []
    for beta in betas:
        weight = jax.vmap(lambda g, one=law(beta): log_intelligence_weight(one, TAILS, g))(jnp.asarray(GRID_BITS))
        each = np.asarray(logsumexp(LOG_PRIOR + weight + LOG_LIKELIHOOD[:, None], axis=0))
        rows.append(each)
        log_joint.append(np.logaddexp.reduce(each) + log_prior(beta))
    share = np.exp(log_joint - np.logaddexp.reduce(log_joint))
    return share @ betas, share @ np.exp(rows - np.logaddexp.reduce(rows, axis=1)[:, None])


@pytest.mark.slow
def test_an_inferred_law():
    prior = dist.Beta(2.0, 2.0)
    found = sampled(candidates_program, data=dict(counts=COUNTS), intelligence_law=us.ExponentialLaw(prior), **POLICY)
    with jax.enable_x64(True):
        beta, chances = by_grid(us.ExponentialLaw, lambda beta: float(prior.log_prob(beta)))
    agree(found["beta"], beta)
    agree(np.exp(found["utility_log_prob"]), chances)


@pytest.mark.slow
def test_noise_in_the_reading():
    law, sigma = us.BumpLaw(6.0, 8.0), 1.5
    found = sampled(noisy, data=dict(counts=COUNTS), intelligence_law=law, noise=sigma, **POLICY)
    with jax.enable_x64(True):
        nodes, shares = np.polynomial.hermite_e.hermegauss(24)

        def weight(g):
            each = jnp.stack([log_noisy_weight(law, TAILS, g, sigma, node) for node in nodes])
            return logsumexp(each + np.log(shares / shares.sum())[:, None], axis=0)

        exact = weighed(jax.vmap(weight)(jnp.asarray(GRID_BITS)))
        plain = weighed(jax.vmap(lambda g: log_intelligence_weight(law, TAILS, g))(jnp.asarray(GRID_BITS)))
    agree(np.exp(found["utility_log_prob"]), np.asarray(exact))
    assert np.abs(np.asarray(exact) - np.asarray(plain)).max() > 0.01  # the noise matters here


@pytest.mark.parametrize("law", [us.ExponentialLaw(0.6), us.BumpLaw(6.0, 3.0), us.RandomMixture(us.BumpLaw(), 0.3)])
def test_noisy_weights_average_to_one(law):
    """Over random policies, whose g is Exponential(ln 2), and over the noise."""
    with jax.enable_x64(True):
        bits, sigma = np.arange(0.005, 300, 0.01), 0.8
        noise = np.linspace(-8, 8, 161)
        first = TAILS[np.array([CANDIDATES.index("first")])]
        each = jax.vmap(lambda n: log_noisy_weight(law, first, bits, sigma, n))(noise)
        mean = np.exp(np.asarray(each)) @ (LN2 * 2.0**-bits * 0.01)
        density = np.exp(-(noise**2) / 2) / math.sqrt(2 * math.pi)
        assert float(mean @ density * 0.1) == pytest.approx(1, abs=2e-4)


def test_noise_of_finitely_many_policies_averages_to_one():
    values = np.array([0.0, 1.0, 5.0])
    tail = ValueTail(values, np.log2([1.0, 0.5, 0.125]), np.zeros(3), np.array(1e-9), np.array(True), atomic=True)
    with jax.enable_x64(True):
        noise = np.linspace(-8, 8, 321)
        density = np.exp(-(noise**2) / 2) / math.sqrt(2 * math.pi) * 0.05
        weights = [
            float(jnp.exp(log_noisy_weight(us.ExponentialLaw(1.3), tail, g, 0.7, noise)) @ density)
            for g in -np.log2([1.0, 0.5, 0.125])
        ]
    assert np.dot([0.5, 0.375, 0.125], weights) == pytest.approx(1, abs=1e-6)


# Populations


def mixtures(key, number):
    """Draws of a population's log mixtures from their prior: `[number, U]`."""
    first, second = jax.random.split(key)
    spread = jnp.abs(2 * jax.random.normal(first, (number, 1)))
    pull = jax.random.normal(second, (number, 3))
    return jax.nn.log_softmax(-LN2 * jnp.asarray(CANDIDATES.code_length) + spread * pull)


def by_mixtures(log_weight, number=400_000):
    """Each operator's chances `[N, U]`, the mean mixture `[U]` and their errors, from `[N, U]` log likelihoods."""
    drawn = mixtures(jax.random.key(1), number)
    joint = drawn[:, None] + log_weight
    evidence = logsumexp(joint, axis=-1).sum(-1)
    weight = jnp.exp(evidence - evidence.max())
    values = jnp.concatenate([jax.nn.softmax(joint, axis=-1).reshape(number, -1), jnp.exp(drawn)], axis=1)
    mean = weight @ values / weight.sum()
    error = jnp.sqrt((weight**2) @ (values - mean) ** 2) / weight.sum()
    return (np.asarray(x) for x in (mean, error))


@pytest.mark.slow
def test_a_population():
    counts = np.array([COUNTS, COUNTS, [[1.0, 3.0, 2.0]]])
    law = us.ExponentialLaw(0.7)
    found = sampled(population, data=dict(subject_counts=counts), intelligence_law=law, **POLICY)
    with jax.enable_x64(True):
        weight = jax.vmap(lambda g: log_intelligence_weight(law, TAILS, g))(jnp.asarray(GRID_BITS))
        likelihood = jnp.stack(
            [logsumexp(weight + (one * np.log(POLICIES)).sum(-1)[:, None], axis=0) for one in counts]
        )
        exact, error = by_mixtures(likelihood)
    draws = np.exp(np.concatenate([found["subject_log_prob"].reshape(2, 1000, 9), found["log_mixture"]], axis=-1))
    mean, own = mean_and_error(draws)
    assert (np.abs(mean - exact) < 5 * np.hypot(error, own) + 1e-3).all(), (mean, exact, error, own)
    agree(np.exp(found["utility_log_prob"]), exact[:9].reshape(3, 3).mean(0), 5e-3)


@pytest.mark.slow
def test_a_population_by_what_was_achieved():
    """Nothing is left open by the episodes: then the likelihoods are h(g) / Z at the achieved values."""
    law, value = us.ExponentialLaw(0.9), np.zeros((3, 3))
    value[:, CANDIDATES.index("first")], value[:, CANDIDATES.index("second")] = [0.97, 0.9, 0.1], [0.02, 0.1, 0.8]
    tails = jax.tree.map(lambda x: np.stack([np.asarray(x)] * 3), TAILS)
    inputs = dict(subject_value=value, subject_value_error=np.zeros((3, 3)), subject_tails=tails)
    found = sampled(achieved_population, data={}, intelligence_law=law, simplicity=1.0, **inputs)
    with jax.enable_x64(True):
        likelihood = jnp.stack([log_intelligence_weight(law, TAILS, TAILS.bits(row)) for row in value])
        exact, error = by_mixtures(likelihood)
    draws = np.exp(np.concatenate([found["subject_log_prob"].reshape(2, 1000, 9), found["log_mixture"]], axis=-1))
    mean, own = mean_and_error(draws)
    assert (np.abs(mean - exact) < 5 * np.hypot(error, own) + 1e-3).all(), (mean, exact, error, own)
    # Two like the first arm, and pull the third: it is judged less by itself than it would be alone.
    alone = np.asarray(jax.nn.softmax(LOG_PRIOR + np.asarray(likelihood[2])))
    first = CANDIDATES.index("first")
    assert np.exp(found["subject_log_prob"][..., 2, first]).mean() > alone[first]

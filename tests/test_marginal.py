"""Evidence with the policy summed out: against closed forms, importance sampling and NUTS."""

import jax
import numpy as np
import pandas as pd
import pytest
from numpyro import distributions as dist
from scipy.integrate import quad
from scipy.special import betaln
from scipy.stats import beta as beta_law
from scipy.stats import gamma
from utiliscope.data import path

import utiliscope as us
from utiliscope.laws import LN2
from utiliscope.marginal import LawTables, evidence
from utiliscope.payoffs import as_payoffs, stack_payoffs
from utiliscope.posterior_bits import gauge, posterior_bits

KEY = jax.random.key(0)
BETAS = (0.0, 0.3, 0.5, 0.8, 0.9)
LAWS = [us.ExponentialLaw(beta) for beta in BETAS]


def bandit(arms):
    world = us.world_model(np.ones((1, arms, 1)), [1.0], 0.5)
    return world, stack_payoffs([as_payoffs(world, 0.5 * np.eye(arms)[:1])])


def of_bandit(counts):
    """ln E[2^(beta g)] (1 - beta), g = -(K - 1) log2(1 - x) and x the share of the first arm: a ratio of Betas."""
    arms = len(counts)
    a, b = 1 + counts[0], arms - 1 + sum(counts[1:])
    return np.array([np.log1p(-beta) + betaln(a, b - beta * (arms - 1)) - betaln(a, b) for beta in BETAS])


@pytest.mark.parametrize("counts", [(0, 0, 0), (5, 1, 2), (20, 0, 0, 0), (0, 20, 3, 1), (100, 0, 0)])
def test_bandits(counts):
    world, payoffs = bandit(len(counts))
    found = us.marginal_evidence(KEY, np.array([counts], float), world, payoffs, laws=LAWS, num_particles=128)
    assert found.log_evidence.shape == found.std_error.shape == found.beyond.shape == (len(BETAS), 1)
    assert (np.abs(found.log_evidence[:, 0] - of_bandit(counts)) <= 5 * found.std_error[:, 0] + 1e-9).all()
    assert (found.std_error < 1.0).all() and not found.cut.any()


@pytest.mark.parametrize(
    "law", [us.BumpLaw(6.0, 3.0), us.BumpLaw(2.0, 0.5), us.RandomMixture(us.ExponentialLaw(0.7), 0.2)]
)
def test_other_laws_by_quadrature(law):
    counts = (9, 2, 1)
    world, payoffs = bandit(3)

    def weight(x):
        g = -2 * np.log2(1 - x)
        if isinstance(law, us.BumpLaw):
            return gamma(law.shape, scale=law.mean / law.shape).pdf(g) / (LN2 * 2**-g)
        return law.share + (1 - law.share) * (1 - law.law.beta) * 2 ** (law.law.beta * g)

    exact = np.log(quad(lambda x: weight(x) * beta_law(10, 5).pdf(x), 0, 1, limit=200)[0])
    found = us.marginal_evidence(KEY, np.array([counts], float), world, payoffs, laws=law, num_particles=256)
    assert abs(found.log_evidence[0, 0] - exact) <= 5 * found.std_error[0, 0]
    assert found.std_error[0, 0] < 0.2


def test_errors_are_those_of_repetitions():
    """Value tails and posteriors anew each time."""
    counts = (12, 1, 1)
    world, payoffs = bandit(3)
    tables, ratios = LawTables(LAWS[1:]), []
    for key in jax.random.split(KEY, 24):
        one, other = jax.random.split(key)
        measure = gauge(one, world, payoffs, num_particles=64)
        found = evidence(posterior_bits(other, np.array([counts]), measure, tables=tables, num_particles=64), tables)
        ratios.append((found.log_evidence - of_bandit(counts)[1:, None])[:, 0] / found.std_error[:, 0])
    # Five standard errors of a mean and of a variance of 24 normal scores.
    assert (np.abs(np.mean(ratios, 0)) < 5 / np.sqrt(24)).all()
    square = np.mean(np.square(ratios), 0)
    assert (square < 1 + 5 * np.sqrt(2 / 24)).all() and (square > 0.2).all()


def test_beyond_the_value_tail():
    """A tail that ends early goes on by its last slope; how much of the evidence hangs on that is told."""
    counts = (300, 0, 0)
    world, payoffs = bandit(3)
    tables, counted = LawTables(LAWS), np.array([counts], float)
    short = gauge(KEY, world, payoffs, num_particles=128, reach=0.9)
    found = evidence(posterior_bits(KEY, counted, short, tables=tables), tables)
    assert (found.beyond[1:] > 0.2).all() and (np.diff(found.beyond[:, 0]) > 0).all()
    assert (np.abs(found.log_evidence[:, 0] - of_bandit(counts)) <= 5 * found.std_error[:, 0] + 1e-9).all()


def test_constant_utilities_weigh_1():
    world = us.gridworld(["..", ".G"])
    payoffs = stack_payoffs([as_payoffs(world, np.ones(4)), as_payoffs(world, np.asarray(world.features["G"]) * 1.0)])
    found = us.marginal_evidence(KEY, np.ones((4, 4)), world, payoffs, num_particles=32, tail_particles=32)
    assert found.log_evidence[0, 0] == 0 == found.std_error[0, 0]
    assert found.log_evidence[0, 1] != 0


def small_world(seed):
    rng = np.random.default_rng(seed)
    world = us.world_model(rng.dirichlet(np.ones(3) * 0.5, (3, 2)), rng.dirichlet(np.ones(3)), 0.8)
    targets = np.eye(3, dtype=bool)[:1]
    some = [us.Payoffs(rng.normal(size=3), rng.normal(size=(3, 2)), rng.normal(size=1), targets) for _ in range(3)]
    return world, stack_payoffs([*some, as_payoffs(world, np.array([1.0, 0.0, 0.0]))])


@pytest.mark.parametrize(
    ("seed", "concentration"),
    [(0, 1.0), *(pytest.param(*case, marks=pytest.mark.slow) for case in [(1, 1.0), (0, 0.5)])],
)
def test_small_worlds_against_importance_sampling(seed, concentration):
    """Policies weighed by their likelihood, and their bits by their ranks among as many others."""
    world, payoffs = small_world(seed)
    counts, prior = np.array([[3.0, 0], [1, 2], [0, 0]]), us.Dirichlet(concentration)
    laws = [us.ExponentialLaw(0.3), us.ExponentialLaw(0.45)]
    found = us.marginal_evidence(KEY, counts, world, payoffs, laws=laws, policy_prior=prior, tail_particles=1024)
    value = jax.jit(jax.vmap(lambda policy: us.expected_utility(world, policy, payoffs)))
    draws = [
        jax.vmap(lambda key: prior.sample(key, world))(jax.random.split(jax.random.key(k), 50_000)) for k in (1, 2)
    ]
    yardsticks, values = np.sort(np.asarray(value(draws[0])), axis=0), np.asarray(value(draws[1]))
    likelihood = np.prod(np.asarray(draws[1]) ** counts, axis=(1, 2))
    likelihood /= likelihood.mean()
    for u in range(payoffs.num_utilities):
        reached = 1 - (np.searchsorted(yardsticks[:, u], values[:, u]) - 0.5) / len(values)
        for row, law in enumerate(laws):
            weight = likelihood * (1 - law.beta) * reached**-law.beta
            error = np.hypot((weight - likelihood * weight.mean()).std() / np.sqrt(len(weight)) / weight.mean(),
                             found.std_error[row, u])  # fmt: skip
            assert abs(found.log_evidence[row, u] - np.log(weight.mean())) <= 5 * error


@pytest.mark.slow
def test_a_courier_by_nuts():
    """The same posterior as by NUTS over policies; what both err by is independent, but for the value tails' share."""
    world = us.read_world(path("courier.json"))
    behaviour = us.read_behaviour(path("courier.csv"), world)
    few = behaviour.where(episode=0)
    candidates = us.Grammar(world).enumerate(max_bits=10.5)
    posterior = us.fit(few, world, candidates=candidates, num_chains=4, num_samples=1000, prior_predictive=False)
    by_nuts = np.exp(np.asarray(posterior["posterior"]["utility_log_prob"]))
    mean, error = by_nuts.mean((0, 1)), by_nuts.mean(1).std(0, ddof=1) / 2
    repeated = []
    for key in jax.random.split(KEY, 5):
        found = us.marginal_evidence(key, few, world, candidates, num_particles=512)
        log_joint = found.log_evidence[0] - LN2 * candidates.code_length
        repeated.append(np.exp(log_joint - np.logaddexp.reduce(log_joint)))
    spread = np.mean(repeated, 0) * found.std_error[0]
    assert (np.abs(np.mean(repeated, 0) - mean) <= 5 * np.hypot(error, spread) + 1e-4).all()


def test_bad_input():
    world, payoffs = bandit(3)
    counts = np.ones((1, 3))
    with pytest.raises(us.InputError, match="shape"):
        us.marginal_evidence(KEY, np.ones((2, 3)), world, payoffs)
    with pytest.raises(us.InputError, match="stack of payoffs"):
        us.marginal_evidence(KEY, counts, world, payoffs[0])
    with pytest.raises(us.InputError, match="would be inferred"):
        us.marginal_evidence(KEY, counts, world, payoffs, laws=us.ExponentialLaw(dist.Uniform(0, 1)))
    with pytest.raises(us.InputError, match="improper"):
        us.marginal_evidence(KEY, counts, world, payoffs, laws=us.ExponentialLaw(1.0))
    with pytest.raises(us.InputError, match="Dirichlet rows"):
        us.marginal_evidence(KEY, counts, world, payoffs, policy_prior=us.UniformDeterministic())


def test_one_recording_alone_or_as_counts():
    world = us.gridworld(["..", ".G"])
    table = pd.DataFrame(dict(episode=[0, 0], t=[0, 1], state=[0, 1], action=[3, 1], next_state=[1, 3]))
    behaviour = us.read_behaviour(table, world)
    candidates = us.Grammar(world).enumerate(max_bits=7)
    options = dict(num_particles=32, tail_particles=32)
    one = us.marginal_evidence(KEY, behaviour, world, candidates, **options)
    other = us.marginal_evidence(KEY, behaviour.counts(), world, candidates, **options)
    np.testing.assert_array_equal(one.log_evidence, other.log_evidence)
    # A utility's numbers do not depend on what others it comes with.
    last = us.marginal_evidence(KEY, behaviour, world, candidates[[len(candidates) - 1]], **options)
    np.testing.assert_array_equal(last.log_evidence[:, 0], one.log_evidence[:, -1])

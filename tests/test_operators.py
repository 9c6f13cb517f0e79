"""Programs of operators in a bandit, whose intelligence is known in closed form, against sums over all policies."""

import math
import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro import distributions as dist
from scipy.special import softmax
from utiliscope.models.achieved_population import achieved_population
from utiliscope.models.candidates import candidates as candidates_program
from utiliscope.models.noisy import noisy
from utiliscope.models.population import population

import utiliscope as us
from utiliscope.laws import LN2, log_noisy_weight
from utiliscope.tails import ValueTail

sys.path.append(str(pathlib.Path(__file__).parent.parent / "benchmarks"))
import exact_bandit as exactly
from exact_bandit import CANDIDATES, COUNTS, POLICY, TAILS, mean_and_error, sampled


def agree(draws, exact, least=1e-3):
    mean, error = mean_and_error(draws)
    assert (np.abs(mean - exact) < 5 * error + least).all(), (mean, error, exact)


@pytest.mark.slow
def test_an_inferred_law():
    prior = dist.Beta(2.0, 2.0)
    found = sampled(candidates_program, data=dict(counts=COUNTS), intelligence_law=us.ExponentialLaw(prior), **POLICY)
    beta, chances = exactly.by_betas(prior)
    agree(found["beta"], beta)
    agree(np.exp(found["utility_log_prob"]), chances)


@pytest.mark.slow
def test_noise_in_the_reading():
    law, sigma = us.BumpLaw(6.0, 8.0), 1.5
    found = sampled(noisy, data=dict(counts=COUNTS), intelligence_law=law, noise=sigma, **POLICY)
    plain = exactly.bump(6.0, 8.0)
    exact = exactly.posterior(exactly.noisy(plain, sigma))
    agree(np.exp(found["utility_log_prob"]), exact)
    assert np.abs(exact - exactly.posterior(plain)).max() > 0.01  # the noise matters here


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


def agree_with_mixtures(found, likelihood):
    """`[N, U]` exact log likelihoods."""
    chances, mixture = exactly.by_mixtures(likelihood)
    agree(np.exp(found["subject_log_prob"]), chances)
    agree(np.exp(found["log_mixture"]), mixture)
    return chances


@pytest.mark.slow
def test_a_population():
    counts = np.array([COUNTS, COUNTS, [[1.0, 3.0, 2.0]]])
    law = us.ExponentialLaw(0.7)
    found = sampled(population, data=dict(subject_counts=counts), intelligence_law=law, **POLICY)
    chances = agree_with_mixtures(found, [exactly.log_likelihood(exactly.exponential(0.7), one) for one in counts])
    agree(np.exp(found["utility_log_prob"]), chances.mean(0), 5e-3)


@pytest.mark.slow
def test_a_population_by_what_was_achieved():
    """Nothing is left open by the episodes: then the likelihoods are h(g) / Z at the achieved values."""
    law, value = us.ExponentialLaw(0.9), exactly.of_arms(np.array([0.97, 0.9, 0.1]), np.array([0.02, 0.1, 0.8]))
    tails = jax.tree.map(lambda x: np.stack([np.asarray(x)] * 3), TAILS)
    inputs = dict(subject_value=value, subject_value_error=np.zeros((3, 3)), subject_tails=tails)
    found = sampled(achieved_population, data={}, intelligence_law=law, simplicity=1.0, **inputs)
    plain, nothing = exactly.exponential(0.9), np.zeros(3)
    likelihood = [exactly.achieved_log_likelihood(plain, row, nothing) for row in value]
    agree_with_mixtures(found, likelihood)
    # Two like the first arm, and pull the third: it is judged less by itself than it would be alone.
    alone = softmax(exactly.LOG_PRIOR + likelihood[2])
    first = CANDIDATES.index("first")
    assert np.exp(found["subject_log_prob"][..., 2, first]).mean() > alone[first]

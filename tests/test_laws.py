"""Intelligence laws: their normalisers by enumeration and by numerical integration."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
from numpyro import distributions as dist
from numpyro import handlers

import utiliscope as us
from utiliscope.laws import LN2, log_intelligence_weight, log_normaliser, sampled_law
from utiliscope.noisy_readings import far_nodes, log_mean_of_readings
from utiliscope.tails import ValueTail

LAWS = {
    "seed": us.ExponentialLaw(1.0),
    "mild": us.ExponentialLaw(0.5),
    "steep": us.ExponentialLaw(1.7),
    "bump": us.DensityLaw(dist.Gamma(2.0, 0.5)),
}


def exact_tail(values):
    """The value tail of finitely many equally likely values, by counting."""
    knots = np.unique(np.asarray(values, float))
    share = np.array([np.mean(np.asarray(values) >= knot) for knot in knots])
    return ValueTail(knots, np.log2(share), np.zeros(len(knots)), np.array(1e-9), np.array(True), atomic=True)


def h(law, g):
    """h(g) from its definition."""
    if isinstance(law, us.ExponentialLaw):
        return 2.0 ** (law.beta * g)
    return np.exp(law.density.log_prob(np.maximum(g, 1e-12))) / (math.log(2) * 2.0**-g)


def padded(tail, size):
    """As in a stack: the last knot repeated."""
    grown = [np.pad(part, (0, size - len(part)), mode="edge")[None] for part in (tail.values, tail.log2_prob)]
    return ValueTail(*grown, np.zeros((1, size)), tail.tolerance[None], tail.complete[None], atomic=True)


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("values", [[3, 1, 2, 2, 2, 0, 3, 1], [0, 1], np.arange(50), [1, 1, 1, 5]], ids=str)
def test_normaliser_by_enumeration(name, values):
    law, tail = LAWS[name], exact_tail(values)
    g = np.array([-math.log2(np.mean(np.asarray(values) >= value)) for value in values])
    least = 1e-3 if name == "bump" else 1e-12  # the bump is cut off below 1e-4 bits, where it is about 0
    assert float(np.exp(log_normaliser(law, tail))) == pytest.approx(float(np.mean(h(law, g))), rel=1e-9, abs=least)
    np.testing.assert_allclose(log_normaliser(law, padded(tail, 60))[0], log_normaliser(law, tail))


@pytest.mark.parametrize("number", [1, 2, 7, 100])
def test_strict_rankings_have_the_harmonic_number(number):
    found = float(np.exp(log_normaliser(us.ExponentialLaw(1.0), exact_tail(np.arange(number)))))
    assert found == pytest.approx(sum(1 / k for k in range(1, number + 1)))


@pytest.mark.parametrize("beta", [0.0, 0.3, 0.8, 0.95])
def test_exponential_normaliser_without_atoms(beta):
    """Z = integral over p in (0, 1) of h(-log2 p) = 1 / (1 - beta), with p = e^-x."""
    law = us.ExponentialLaw(beta)
    numeric, error = scipy.integrate.quad(lambda x: math.exp(beta * x - x), 0, math.inf)
    assert abs(math.exp(law.log_mean()) - numeric) < 10 * error + 1e-9
    assert law.log_mean() == pytest.approx(math.log(1 / (1 - beta)))


@pytest.mark.parametrize("density", [dist.Gamma(2.0, 0.5), dist.Gamma(5.0, 0.2), dist.Exponential(LN2 * 0.2)])
def test_densities_have_mean_one(density):
    """E h(g) with g ~ Exponential(ln 2), which is what g is under random policies without ties."""
    law = us.DensityLaw(density)
    g = np.linspace(0, 400, 400_001)
    total = scipy.integrate.simpson(np.exp(np.asarray(law.log_weight(g))) * LN2 * 2.0**-g, x=g)
    assert total == pytest.approx(1, abs=1e-4) and law.log_mean() == 0


def test_an_exponential_density_is_the_exponential_law():
    law, same, g = us.ExponentialLaw(0.6), us.DensityLaw(dist.Exponential(LN2 * 0.4)), np.linspace(0.1, 300, 50)
    np.testing.assert_allclose(same.log_weight(g), law.log_weight(g) - law.log_mean(), rtol=1e-9)


@pytest.mark.parametrize("beta", [1.0, 1.5])
def test_improper_laws_are_refused_for_continuous_priors_only(beta):
    law = us.ExponentialLaw(beta)
    smooth = ValueTail(np.array([0.0, 1.0]), np.array([0.0, -3.0]), np.zeros(2), np.array(0.0), np.array(False), False)
    with pytest.raises(us.InputError, match=r"improper over continuous random policies.*diverges at beta >= 1"):
        log_normaliser(law, smooth)
    assert np.isfinite(log_normaliser(law, exact_tail([0, 1, 2])))
    assert log_normaliser(us.ExponentialLaw(0.5), smooth) == pytest.approx(math.log(2))


@pytest.mark.parametrize("name", LAWS)
def test_constants_weigh_exactly_nothing(name):
    constant = exact_tail([2.0, 2.0, 2.0])
    assert bool(constant.constant())
    assert log_intelligence_weight(LAWS[name], constant, np.array(0.0)) == 0


@pytest.mark.parametrize("name", LAWS)
def test_weights_average_to_one(name):
    """E[h / Z] = 1 over the random policies themselves: a utility gains from skill only what it loses from chance."""
    values = np.array([0, 0, 1, 1, 1, 4, 5, 9])
    tail = exact_tail(values)
    weights = [log_intelligence_weight(LAWS[name], tail, tail.bits(float(value))) for value in values]
    assert np.mean(np.exp(weights)) == pytest.approx(1)


@pytest.mark.parametrize("name", LAWS)
def test_weights_and_gradients_are_finite_at_no_intelligence(name):
    """At g = 0 a bump's density vanishes: its weight is small, not -inf, and has a gradient."""
    weight, slope = jax.value_and_grad(LAWS[name].log_weight)(0.0)
    assert np.isfinite(weight) and np.isfinite(slope)


# Laws whose parameters are inferred, bumps and mixtures


def test_a_bump_is_a_gamma_density():
    g = np.linspace(0.1, 100, 30)
    bump = us.BumpLaw(mean=8.0, shape=4.0)
    np.testing.assert_allclose(bump.log_weight(g), us.DensityLaw(dist.Gamma(4.0, 0.5)).log_weight(g))
    assert bump.log_mean() == 0


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_mixture_with_random_averages_to_one(share):
    """Over finitely many policies, and over Exponential(ln 2) bits where no two tie."""
    values = np.array([0, 0, 1, 1, 1, 4, 5, 9])
    tail, law = exact_tail(values), us.RandomMixture(us.ExponentialLaw(1.5), share)
    weights = [float(log_intelligence_weight(law, tail, tail.bits(float(value)))) for value in values]
    assert np.mean(np.exp(weights)) == pytest.approx(1)
    if share == 1:
        assert weights == [0.0] * len(values)
    smooth = us.RandomMixture(us.ExponentialLaw(0.4), share)
    numeric, error = scipy.integrate.quad(lambda x: math.exp(smooth.log_weight(x / LN2) - x), 0, 500)
    assert numeric == pytest.approx(1, abs=10 * error + 1e-9) and smooth.log_mean() == 0


def test_parameters_with_priors_are_sites():
    law = us.RandomMixture(us.ExponentialLaw(dist.Uniform(0, 1)), dist.Beta(1, 9))
    with handlers.seed(rng_seed=0), handlers.trace() as trace:
        drawn = sampled_law(law)
    assert set(trace) == {"beta", "share"}
    assert drawn.law.beta == trace["beta"]["value"] and drawn.share == trace["share"]["value"]
    assert sampled_law(LAWS["bump"]) is LAWS["bump"]
    with handlers.seed(rng_seed=0), handlers.trace() as trace:
        sampled_law(us.BumpLaw(dist.LogNormal(2, 1)), "person_{}")
    assert set(trace) == {"person_mean"}


def test_priors_that_allow_improper_laws_are_refused():
    for prior in (dist.Uniform(0, 2), dist.HalfNormal(1.0)):
        with pytest.raises(us.InputError, match=r"ExponentialLaw\(beta=.*improper"):
            us.ExponentialLaw(prior).log_mean()
    assert us.ExponentialLaw(dist.Beta(4, 2)).log_mean() == 0
    with pytest.raises(us.InputError, match=r"share=1\.5"):
        us.RandomMixture(us.ExponentialLaw(), 1.5)


# Readings with noise


def by_adaptive_quadrature(mean, shape, sigma):
    """E[h(g + n)] of a bump: e^(m ln 2 / 2) P(G + n > m) with m = sigma^2 ln 2 and G of the bump, h flat below 1e-4."""
    bump, middle = scipy.stats.gamma(shape, scale=mean / shape), sigma**2 * LN2
    ends = [*(middle + sigma * np.arange(-8, 9, 4)), *bump.ppf([1e-12, 1e-6, 1e-3, 0.1, 0.5, 0.9, 0.999, 1 - 1e-9])]
    ends = np.unique(np.clip(ends, 1e-4, None))

    def chance(bits):
        return bump.pdf(bits) * scipy.stats.norm.cdf((bits - middle) / sigma)

    above = sum(scipy.integrate.quad(chance, *pair, epsabs=1e-14, epsrel=1e-11)[0] for pair in itertools.pairwise(ends))
    tilted = math.exp(middle * LN2 / 2)
    below = scipy.stats.norm.cdf([1e-4 / sigma, 1e-4 / sigma - sigma * LN2]) @ [1, -tilted * 2**-1e-4]
    return tilted * (above + bump.sf(ends[-1])) + bump.pdf(1e-4) * 2**1e-4 / LN2 * below


@pytest.mark.parametrize("sigma", [0.01, 3.0])
@pytest.mark.parametrize(("mean", "shape"), [(4.0, 4.0), (2.0, 0.8), (10.0, 1e4), (1000.0, 50.0), (2e4, 1e5)])
def test_noisy_means_by_adaptive_quadrature(mean, shape, sigma):
    """However far out, and however narrow beside the noise."""
    exact = by_adaptive_quadrature(mean, shape, sigma)
    with jax.enable_x64(True):
        law = us.BumpLaw(mean, shape)
        same = us.DensityLaw(dist.Gamma(shape, shape / mean))
        assert float(jnp.exp(law.log_noisy_mean(sigma))) == pytest.approx(exact, rel=2e-6)
        assert float(same.log_noisy_mean(sigma)) == pytest.approx(float(law.log_noisy_mean(sigma)), abs=1e-12)
        if shape <= 50:
            far = log_mean_of_readings(law.log_weight, sigma, *far_nodes())
            assert float(jnp.exp(far)) == pytest.approx(exact, rel=2e-4)


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.97])
def test_noisy_means_of_laws_that_are_not_known(beta):
    """The exponential law has a closed form; its readings reach a thousand bits where beta is near 1."""
    law = us.ExponentialLaw(beta)
    with jax.enable_x64(True):
        found = log_mean_of_readings(law.log_weight, 0.7, *far_nodes())
        assert float(found) == pytest.approx(float(law.log_noisy_mean(0.7)), abs=1e-4)


def test_noisy_means_have_slopes():
    with jax.enable_x64(True):
        where = jnp.array([3.0, 1.6, 0.5])
        slope = jax.jit(jax.grad(lambda at: us.BumpLaw(at[0], at[1]).log_noisy_mean(at[2])))(where)
        for k, step in enumerate(1e-3 * np.eye(3)):
            ahead, behind = (math.log(by_adaptive_quadrature(*(np.asarray(where) + sign * step))) for sign in (1, -1))
            assert float(slope[k]) == pytest.approx((ahead - behind) / 2e-3, rel=1e-4)

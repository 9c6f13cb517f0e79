"""Discrete sites, found and summed out, against sums by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
from numpyro import distributions as dist
from numpyro import handlers
from numpyro.infer.util import log_density

import utiliscope as us
from utiliscope.summation import latent_sites, over_cells, summed_program

SHARE = np.array([0.2, 0.5, 0.3])
WIDTH = 1.3


def mixed(seen, most=2):
    """Two discrete sites, a continuous one, and what is seen."""
    cell = numpyro.sample("cell", dist.DiscreteUniform(1, most))
    utility = numpyro.sample("utility", dist.Categorical(jnp.asarray(SHARE)))
    place = numpyro.sample("place", dist.HalfNormal(1.0))
    numpyro.deterministic("intelligence", utility + 10.0 * cell)
    numpyro.factor("operator", 0.1 * utility * cell)
    numpyro.sample("seen", dist.Normal(utility * place, WIDTH), obs=seen)


def by_hand(seen, place):
    """`[U, cells]` log joint."""
    utility, cell = np.arange(3)[:, None], np.array([1, 2])
    log_prior = np.log(SHARE)[:, None] + np.log(0.5) + dist.HalfNormal(1.0).log_prob(place)
    return log_prior + 0.1 * utility * cell + dist.Normal(utility * place, WIDTH).log_prob(seen)


def test_sites_and_their_shapes():
    continuous, discrete = latent_sites(mixed, dict(seen=0.4))
    assert {name: site.shape for name, site in continuous.items()} == {"place": ()}
    assert {name: site.shape for name, site in discrete.items()} == {"cell": (), "utility": ()}


def computed(seen):
    mixed(seen, jnp.asarray(1) + 1)


@pytest.mark.parametrize("program", [mixed, computed])
def test_cells_are_summed(program):
    log_joint, factor, bits = over_cells(program, dict(seen=0.4), dict(place=0.7))
    np.testing.assert_allclose(log_joint, by_hand(0.4, 0.7), atol=1e-12)
    np.testing.assert_allclose(factor, 0.1 * np.outer(np.arange(3), [1, 2]), atol=1e-12)
    np.testing.assert_array_equal(bits, np.arange(3)[:, None] + [10.0, 20.0])


def test_each_continuous_site_counts_once():
    """Under a trace, and where what it is sampled as adds its Jacobian."""
    summed = summed_program(mixed)
    with handlers.trace() as seen, handlers.seed(rng_seed=0):
        summed(seen=0.4)
    assert [name for name, site in seen.items() if site["type"] == "sample"] == ["place", "summed"]
    found = jax.jit(lambda place: log_density(summed, (), dict(seen=0.4), dict(place=place))[0])(0.7)
    assert float(found) == pytest.approx(np.logaddexp.reduce(by_hand(0.4, 0.7), axis=None))


def test_programs_that_only_compute_may_leave_jax():
    def computing(seen):
        numpyro.deterministic("policy", jnp.asarray(np.asarray(jnp.sqrt(seen)).round(2)))

    assert latent_sites(computing, dict(seen=0.4)) == ({}, {})


def test_what_cannot_be_summed():
    def several(seen):
        numpyro.sample("utility", dist.Bernoulli(0.5).expand([2]))

    with pytest.raises(us.InputError, match="'utility' of the program 'several' is an array"):
        over_cells(several, dict(seen=0.4))
    with pytest.raises(us.InputError, match="no factor 'operator'"):
        over_cells(lambda seen: numpyro.sample("utility", dist.Bernoulli(0.5)), dict(seen=0.4))
    with pytest.raises(us.InputError, match=r"\(cell\) but none called 'utility'"):
        over_cells(lambda seen: numpyro.sample("cell", dist.Bernoulli(0.5)), dict(seen=0.4))

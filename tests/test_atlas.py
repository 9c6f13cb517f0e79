"""The atlas against closed forms, against a million random policies and against value tails; weights inferred with it
against importance sampling.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from numpyro import distributions as dist
from utiliscope.models.weights import weights as weights_program

import utiliscope as us
from utiliscope import atlas as _atlas
from utiliscope.atlas import Atlas
from utiliscope.atlas_inference import sample_weights
from utiliscope.atlas_runs import add_runs, make_atlas, thinned

KEY = jax.random.key(0)
bits, effective_number, is_unknown, std_error = (
    jax.jit(one) for one in (_atlas.bits, _atlas.effective_number, _atlas.is_unknown, _atlas.std_error)
)
XI = us.Dirichlet(1.0)
WORLD = us.world_model(np.random.default_rng(1).dirichlet(np.ones(3) * 0.5, (3, 2)), [0.6, 0.3, 0.1], 0.8)
FEATURES = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.5]])
DIRECTIONS = np.array([[1.0, 0.2], [-0.3, 1.0], [-1.0, -0.5]])
SETTINGS = dict(policy_prior=XI, num_particles=128, max_bits=12.0)


@pytest.fixture(scope="module")
def atlas():
    return make_atlas(KEY, WORLD, FEATURES, DIRECTIONS, **SETTINGS)


def random_counts(number, seed=0, counts=0.0):
    """`[N, F]` feature counts of policies with Dirichlet(1 + counts) rows, and the policies, without the package."""
    rng = np.random.default_rng(seed)
    shares = rng.standard_gamma(1.0 + counts, (number, 3, 2) if np.ndim(counts) == 0 else (number, *np.shape(counts)))
    policy = shares / shares.sum(-1, keepdims=True)
    system = np.eye(3) - 0.8 * np.einsum("nsa,sat->nst", policy, WORLD.transition)
    start = np.broadcast_to(WORLD.initial[:, None], (number, 3, 1))
    return np.linalg.solve(np.swapaxes(system, 1, 2), start)[..., 0] @ FEATURES.T, policy


def normal_atlas(dimensions):
    """Standard normal feature counts, by quadrature along the first axis."""
    z = np.linspace(-8.0, 16.0, 1_000_001)
    counts = np.zeros((len(z), dimensions))
    counts[:, 0] = z
    log_weight = scipy.stats.norm.logpdf(z) + np.log(z[1] - z[0])
    nothing = np.zeros((0, dimensions)), *np.zeros((3, 0, 0))
    return Atlas(counts, log_weight, np.zeros(dimensions), np.eye(dimensions), *nothing)


@pytest.mark.parametrize(
    ("value", "tolerance"), [(2.0, 0.06), (3.0, 0.03), (5.0, 0.01), (8.0, 0.01), (11.484540, 0.01)]
)
def test_smoothing_of_a_normal_tail(value, tolerance):
    """THEORY, section 7: 21.734198 bits at z = 5, 100 at z = 11.484540; what is left of the smoothing is its bias."""
    exact = -scipy.stats.norm.logsf(value) / np.log(2)
    one = normal_atlas(2)
    assert float(bits(one, jnp.array([1.0, 0.0]), value)) == pytest.approx(exact, abs=tolerance)
    assert float(bits(one, jnp.array([7.0, 0.0]), 7 * value)) == pytest.approx(exact, abs=tolerance)


def test_particles_represent_the_prior(atlas):
    weight = np.exp(atlas.log_weight)
    mu, _ = random_counts(200_000)
    assert weight.sum() == pytest.approx(1.0)
    # What is independent is at least the first population of each run.
    error = mu.std(0) / np.sqrt(len(DIRECTIONS) * 128)
    assert (np.abs(atlas.mean - mu.mean(0)) < 5 * error).all()
    np.testing.assert_allclose(atlas.mean, weight @ atlas.counts)
    np.testing.assert_allclose(atlas.covariance, np.cov(mu.T), rtol=0.5, atol=0.1 * np.cov(mu.T).max())


@pytest.mark.parametrize("theta", [[1.0, 0.2], [-0.3, 1.0], [1.0, 0.5], [0.2, 1.0], [-1.0, -0.2]])
def test_bits_against_a_million_policies(atlas, theta):
    """In the directions of runs and between them."""
    mu, _ = random_counts(1_000_000)
    worth, theta = mu @ theta, jnp.array(theta)
    for chance in (0.3, 0.03, 0.003, 3e-4):
        value = np.quantile(worth, 1 - chance)
        own = np.sqrt((1 - chance) / (chance * len(mu))) / np.log(2)
        found, error = float(bits(atlas, theta, value)), float(std_error(atlas, theta, value))
        assert not is_unknown(atlas, theta, value)
        # In the bulk, where mass does not fall exponentially, smoothing costs up to 0.2 bits.
        assert abs(found + np.log2(chance)) < 5 * np.hypot(own, error)


def test_bits_are_those_of_a_value_tail(atlas):
    theta = DIRECTIONS[0] / np.abs(DIRECTIONS[0]).max()
    tail = us.value_tail(KEY, WORLD, theta @ FEATURES, policy_prior=XI, num_particles=512, max_bits=12.0)
    for height in (2.0, 6.0, 10.0):
        value = np.interp(-height, tail.log2_prob[::-1], tail.values[::-1])
        found, error = bits(atlas, jnp.array(theta), value), std_error(atlas, jnp.array(theta), value)
        assert abs(float(found) - height) < 5 * float(np.hypot(error, tail.std_error(value)))


def test_an_empty_region_is_unknown(atlas):
    """Not intelligent: bits end where the particles do."""
    theta = jnp.array(DIRECTIONS[0])
    best = float((atlas.counts @ theta).max())
    assert is_unknown(atlas, theta, best + 1) and effective_number(atlas, theta, best + 1) < 1e-3
    # As many bits as 30 particles of the least weight, at most.
    assert float(bits(atlas, theta, best + 1)) < -np.log2(30) - atlas.log_weight.min() / np.log(2)
    assert float(bits(atlas, theta, best + 100)) == pytest.approx(float(bits(atlas, theta, best + 1)), abs=0.5)
    assert np.isfinite(jax.grad(_atlas.bits, (1, 2))(atlas, theta, best + 100.0)[0]).all()
    assert float(bits(atlas, theta, best, most=3.0)) == 3.0


def test_derivatives(atlas):
    theta, value = jnp.array([0.8, 0.4]), 2.1
    by_theta, by_value = jax.jit(jax.grad(_atlas.bits, (1, 2)))(atlas, theta, value)
    step = 1e-5
    for change, found in ((jnp.array([step, 0]), by_theta[0]), (jnp.array([0, step]), by_theta[1])):
        slope = (bits(atlas, theta + change, value) - bits(atlas, theta - change, value)) / (2 * step)
        assert float(found) == pytest.approx(float(slope), rel=1e-4)
    slope = (bits(atlas, theta, value + step) - bits(atlas, theta, value - step)) / (2 * step)
    assert float(by_value) == pytest.approx(float(slope), rel=1e-4)


def test_further_runs_reach_further(atlas):
    theta = jnp.array([0.6, -1.0])
    more = add_runs(jax.random.key(1), atlas, WORLD, FEATURES, theta[None], **SETTINGS | dict(max_bits=20.0))
    assert more.num_runs == 4 and len(more) > len(atlas) and atlas.num_runs == 3
    highest = float((more.counts @ theta).max())
    assert float((atlas.counts @ theta).max()) < highest
    assert np.exp(more.log_weight).sum() == pytest.approx(1.0)
    value = float(np.quantile(more.counts[-1000:] @ theta, 0.5))
    assert float(effective_number(more, theta, value)) > float(effective_number(atlas, theta, value))


def test_thinning_keeps_what_matters(atlas):
    theta, value = DIRECTIONS[:1], np.quantile(atlas.counts @ DIRECTIONS[0], [0.9])
    full, number = float(bits(atlas, jnp.array(theta[0]), value[0])), len(atlas) // 3
    found, sums = [], []
    for seed in range(20):
        one = thinned(jax.random.key(seed), atlas, theta, value, number)
        assert len(one) == number
        found.append(float(bits(one, jnp.array(theta[0]), value[0])))
        sums.append(np.exp(one.log_weight).sum())
    assert np.std(found) < 0.2 and abs(np.mean(sums) - 1) < 5 * np.std(sums) / np.sqrt(20) + 1e-6
    assert np.mean(found) == pytest.approx(full, abs=0.15)


@pytest.mark.slow
def test_deterministic_policies():
    """The atoms of a finite prior: all 8 policies are found, with an eighth of the mass each."""
    atlas = make_atlas(KEY, WORLD, FEATURES, DIRECTIONS[:1], policy_prior=us.UniformDeterministic(), num_particles=512)
    places, which = np.unique(np.round(atlas.counts, 8), axis=0, return_inverse=True)
    mass = np.bincount(which.reshape(-1), np.exp(atlas.log_weight))
    assert len(places) == 8
    assert (np.abs(mass - 1 / 8) < 5 * np.sqrt(7 / 64 / 512)).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(directions=np.zeros((1, 2))), "zero or not finite"),
        (dict(directions=np.ones((1, 3))), "not \\[runs, 2 features\\]"),
        (dict(features=np.ones((2, 4))), "features have shape"),
        (dict(policy_prior=us.ActionSequences(3)), "ActionSequences"),
        (dict(max_bits=1e4), "up to 480"),
    ],
)
def test_bad_input(change, message):
    given = dict(features=FEATURES, directions=DIRECTIONS, policy_prior=XI) | change
    with pytest.raises(us.InputError, match=message):
        make_atlas(KEY, WORLD, **given)


COUNTS = np.array([[3.0, 0.0], [1.0, 2.0], [0.0, 1.0]])
WEIGHTS = us.FeatureWeights(WORLD, states=False, features={"one": FEATURES[0], "two": FEATURES[1]})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(policy_prior=us.UniformDeterministic()), "no density"),
        (dict(simplicity=0.4), "improper; choose more than 0.5"),
        (dict(intelligence_law=us.ExponentialLaw(1.0)), "improper"),
        (dict(counts=COUNTS[:2]), "counts have shape"),
        (dict(num_rounds=1), "num_rounds"),
    ],
)
def test_bad_settings(change, message):
    given = dict(counts=COUNTS, policy_prior=XI) | change
    with pytest.raises(us.InputError, match=message):
        sample_weights(KEY, weights_program, world=WORLD, weights=WEIGHTS, **given)


def by_importance(law, number=40_000, directions=400):
    """Posterior of the angle of theta and of g: policies from Dirichlet(1 + counts), all angles, g by 400 000 policies.

    Means of (cos, sin, g, g^2) and their errors.
    """
    among, _ = random_counts(400_000, seed=5)
    mu, _ = random_counts(number, seed=6, counts=COUNTS)
    angle = (np.arange(directions) + 0.5) * 2 * np.pi / directions
    unit = np.stack([np.cos(angle), np.sin(angle)])
    # Two independent Cauchy weights: the density of their angle, by the radius summed out.
    radius = np.exp(np.linspace(-12, 12, 4001))
    density = (radius**2 / ((1 + (radius * unit[0][:, None]) ** 2) * (1 + (radius * unit[1][:, None]) ** 2))).sum(-1)
    sums = np.zeros((number, 5))
    for one, prior in zip(unit.T, density, strict=True):
        ranks = np.searchsorted(np.sort(among @ one), mu @ one)
        g = -np.log2(np.maximum(1 - ranks / len(among), 1 / len(among)))
        weight = prior * np.exp(np.asarray(law.log_weight(g)))
        sums += (
            weight[:, None] * np.stack([np.ones(number), one[0] * np.ones(number), one[1] * np.ones(number), g, g**2]).T
        )
    mean = sums[:, 1:].mean(0) / sums[:, 0].mean()
    apart = sums[:, 1:] - mean * sums[:, :1]
    return mean, apart.std(0) / sums[:, 0].mean() / np.sqrt(number)


@pytest.mark.slow
@pytest.mark.parametrize("law", [us.ExponentialLaw(0.4), us.DensityLaw(dist.Gamma(4.0, 1.0))], ids=["seed", "bump"])
def test_posterior_against_importance_sampling(law):
    import arviz as az

    samples, stats, told = sample_weights(
        KEY, weights_program, COUNTS, WORLD, WEIGHTS, policy_prior=XI, intelligence_law=law,
        num_warmup=400, num_samples=1500, num_chains=2, num_particles=256,
    )  # fmt: skip
    exact, exact_error = by_importance(law)
    theta, g = samples["weights"], samples["intelligence"]
    unit = theta / np.linalg.norm(theta, axis=-1, keepdims=True)
    for i, values in enumerate((unit[..., 0], unit[..., 1], g, g**2)):
        assert abs(values.mean() - exact[i]) < 5 * np.hypot(az.mcse(values), exact_error[i])
    assert told["settled"] and told["rounds"] >= 2 and told["k_hat"] < 0.7
    assert abs(told["discrepancy"]) < 5 * np.hypot(told["discrepancy_error"], 0.1)
    assert told["share_unknown"] < 0.05 and stats["diverging"].sum() < 0.01 * g.size

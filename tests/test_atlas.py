"""The atlas against a million random policies; weights inferred with it against importance sampling."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
from numpyro import distributions as dist
from utiliscope.models.weights import weights as weights_program

import utiliscope as us
from utiliscope.atlas import Atlas, _coefficients, atlas_bits, joined, make_atlas
from utiliscope.atlas_chains import compiled_chains, warmed_up
from utiliscope.atlas_inference import sample_weights
from utiliscope.diagnostics import most_pareto_k

KEY = jax.random.key(0)
XI = us.Dirichlet(1.0)
WORLD = us.world_model(np.random.default_rng(1).dirichlet(np.ones(3) * 0.5, (3, 2)), [0.6, 0.3, 0.1], 0.8)
FEATURES = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.5]])
DIRECTIONS = np.array([[1.0, 0.2], [-0.3, 1.0], [-1.0, -0.5]])
SETTINGS = dict(policy_prior=XI, num_particles=512, max_bits=16.0)


@pytest.fixture(scope="module")
def atlas():
    return make_atlas(KEY, WORLD, FEATURES, DIRECTIONS, **SETTINGS)


@jax.jit
def bits(atlas, theta, value):
    return atlas_bits(atlas, WORLD, theta @ FEATURES, value, policy_prior=XI)


def random_counts(number, seed=0, counts=0.0):
    """`[N, F]` feature counts of policies with Dirichlet(1 + counts) rows, without the package."""
    rng = np.random.default_rng(seed)
    shares = rng.standard_gamma(1.0 + counts, (number, 3, 2) if np.ndim(counts) == 0 else (number, *np.shape(counts)))
    policy = shares / shares.sum(-1, keepdims=True)
    system = np.eye(3) - 0.8 * np.einsum("nsa,sat->nst", policy, WORLD.transition)
    start = np.broadcast_to(WORLD.initial[:, None], (number, 3, 1))
    return np.linalg.solve(np.swapaxes(system, 1, 2), start)[..., 0] @ FEATURES.T


@functools.cache
def million():
    return random_counts(1_000_000)


@pytest.mark.parametrize("theta", [[1.0, 0.2], [1.0, 0.5], [0.2, 1.0], [-1.0, -0.2]])
def test_bits_against_a_million_policies(atlas, theta):
    """In the directions of runs and between them."""
    worth, theta = million() @ theta, jnp.array(theta)
    for chance in (0.3, 0.03, 0.003, 3e-4):
        value = np.quantile(worth, 1 - chance)
        own = np.sqrt((1 - chance) / (chance * len(worth))) / np.log(2)
        # A correction of two terms leaves what is not smooth.
        error = np.hypot(own, np.sqrt(-np.log2(chance) / (512 * np.log(2))))
        assert abs(float(bits(atlas, theta, value)) + np.log2(chance)) < 0.1 + 5 * error


def test_a_correction_is_found():
    """Runs that are a tenth and a bit off, with an error."""
    rng = np.random.default_rng(0)
    laplace = np.tile(np.linspace(1.0, 40.0, 8), (64, 1))
    shift = rng.normal(size=(64, 1)) * 0.2
    found = _coefficients(1.05 * laplace + 0.3 * laplace / np.sqrt(1 + laplace) + shift, np.full((64, 8), 0.2), laplace)
    np.testing.assert_allclose(found, [0.3, 0.05], atol=0.03)
    none = _coefficients(laplace + 1.0, np.full((64, 8), np.inf), laplace)
    np.testing.assert_allclose(none, 0.0, atol=1e-12)


def test_atlases_are_joined(atlas):
    more = make_atlas(jax.random.key(1), WORLD, FEATURES, np.array([[0.6, -1.0]]), **SETTINGS)
    both = joined(atlas, more)
    assert len(both) == 4 and both.deepest == max(atlas.deepest, more.deepest) and both.left_over < 1.0
    assert len(both.without_runs()) == 0
    theta, value = jnp.array([0.6, -1.0]), float(np.quantile(random_counts(1000) @ [0.6, -1.0], 0.9))
    assert 2 < float(bits(both, theta, value)) == float(bits(both.without_runs(), theta, value)) < 5


def test_where_laplace_says_nothing(atlas):
    """No policy is worth so much; almost all are worth so little."""
    theta, worth = jnp.array([0.8, 0.4]), random_counts(1000) @ [0.8, 0.4]
    assert np.isnan(bits(atlas, theta, 1e3)) and 0 <= float(bits(atlas, theta, worth.min())) < 0.05


def test_a_utility_of_which_nothing_depends():
    """One state: every policy is worth the same."""
    still = us.world_model(np.ones((1, 2, 1)), [1.0], 0.5)
    found = make_atlas(KEY, still, np.ones((1, 1)), np.ones((1, 1)), **SETTINGS)
    assert isinstance(found, Atlas) and np.isfinite(found.coefficients).all() and found.deepest == 0.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(directions=np.zeros((1, 2))), "zero or not finite"),
        (dict(directions=np.ones((1, 3))), "not \\[runs, 2 features\\]"),
        (dict(features=np.ones((2, 4))), "features have shape"),
        (dict(policy_prior=us.ActionSequences(3)), "ActionSequences"),
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
    among = random_counts(400_000, seed=5)
    mu = random_counts(number, seed=6, counts=COUNTS)
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
        num_warmup=400, num_samples=1500, num_chains=2, num_particles=512, num_fresh=256,
    )  # fmt: skip
    exact, exact_error = by_importance(law)
    theta, g = samples["weights"], samples["intelligence"]
    unit = theta / np.linalg.norm(theta, axis=-1, keepdims=True)
    for i, values in enumerate((unit[..., 0], unit[..., 1], g, g**2)):
        assert abs(values.mean() - exact[i]) < 5 * np.hypot(az.mcse(values), exact_error[i])
    assert told["settled"] and told["rounds"] >= 2 and told["k_hat"] < most_pareto_k(256)
    assert abs(told["discrepancy"]) < 5 * np.hypot(told["discrepancy_error"], 0.1)
    assert told["share_beyond"] < 0.05 and stats["diverging"].sum() < 0.01 * g.size


def test_chains_warm_up_together():
    """A normal density of known variances: its scales are those, and all chains end with one step size."""
    spread = np.array([1e-2, 1.0, 50.0])

    def program(atlas):
        numpyro.sample("x", dist.Normal(0.0, spread).to_event(1))

    with jax.enable_x64(True):
        starts = [dict(x=jnp.asarray(spread * place)) for place in (-1.0, 0.5, 1.0)]
        compiled = compiled_chains(program, {}, 200, np.zeros(()), starts[0])
        keys = jax.random.split(KEY, len(starts))
        states = warmed_up(compiled, keys, starts, np.zeros(()), 200, 0.8)
        _, samples, stats, *_ = compiled(keys, None, states, np.zeros(()), 200)
    (variance,) = states[0].adapt_state.inverse_mass_matrix.values()
    # The gradient of a normal is z / var: their ratio is exact, whatever was drawn.
    np.testing.assert_allclose(variance, spread**2, rtol=1e-6)
    assert len({float(state.adapt_state.step_size) for state in states}) == 1
    assert abs(stats["accept_prob"].mean() - 0.8) < 0.1
    assert (
        samples["x"].shape == (3, 200, 3)
        and (abs(np.log(samples["x"].std((0, 1)) / spread)) < 5 / np.sqrt(2 * 400)).all()
    )

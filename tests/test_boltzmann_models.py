"""Boltzmann and maximum-entropy programs against sums, quadrature and each other."""

import inspect
import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.infer import util
from utiliscope.models.boltzmann import boltzmann
from utiliscope.models.boltzmann_weights import boltzmann_weights
from utiliscope.models.maxent import maxent
from utiliscope.models.maxent_weights import maxent_weights

import utiliscope as us
from utiliscope.action_values import decision_values, log_boltzmann, optimal_action_values, soft_action_values
from utiliscope.planned_actions import DEFAULT_TEMPERATURE
from utiliscope.sampling import Nuts, Shape

sys.path.append(str(pathlib.Path(__file__).parent.parent / "benchmarks"))
import boltzmann as plain
from exact_planners import CANDIDATES, TEXTS, WORLD, by_temperatures, recording


def traced(program, *arguments, values, **settings):
    """The sites of a run with `values` substituted, what it returns, and its log density."""
    seeded = numpyro.handlers.seed(numpyro.handlers.substitute(program, data=values), jax.random.key(0))
    returned = []
    sites = numpyro.handlers.trace(lambda: returned.append(seeded(*arguments, **settings))).get_trace()
    density, _ = util.log_density(program, arguments, settings, values)
    return {name: site["value"] for name, site in sites.items()}, returned[0], density


def test_candidates_at_each_temperature_as_the_plain_baseline():
    behaviour = recording(WORLD, 1)
    actions = behaviour.table["action"].to_numpy()
    q = decision_values(behaviour, WORLD, CANDIDATES.payoffs)
    steps = [(states, actions) for _, states, actions in behaviour.episodes()]
    for temperature in (0.05, 1.0, 20.0):
        sites, log_policy, density = traced(
            boltzmann, actions, q, CANDIDATES, values={"temperature": temperature}, temperature=DEFAULT_TEMPERATURE,
            simplicity=1.0,
        )  # fmt: skip
        expected = plain.boltzmann_posterior(
            steps, WORLD, CANDIDATES.payoffs, CANDIDATES.code_length, temperatures=temperature
        )
        np.testing.assert_allclose(sites["utility_log_prob"], expected.log_prob, atol=1e-8)
        masses = -np.log(2) * CANDIDATES.code_length
        total = np.logaddexp.reduce(masses + expected.log_likelihood[:, 0]) - np.logaddexp.reduce(masses)
        assert density == pytest.approx(total + float(DEFAULT_TEMPERATURE.log_prob(temperature)))
        assert log_policy.shape == q.shape
        np.testing.assert_allclose(jnp.exp(log_policy).sum(-1), 1.0)


@pytest.mark.slow
def test_temperature_is_summed_as_by_quadrature():
    candidates = us.candidate_set(WORLD, {text: text for text in TEXTS[:3]})
    behaviour = recording(WORLD, 2)
    actions = behaviour.table["action"].to_numpy()
    q = decision_values(behaviour, WORLD, candidates.payoffs)
    samples = drawn(boltzmann, actions, q, candidates, temperature=dist.LogNormal(0.0, 1.0), simplicity=1.0)
    steps = [(states, actions) for _, states, actions in behaviour.episodes()]
    within_five_errors(np.exp(samples["utility_log_prob"]), by_temperatures(steps, candidates, number=2001))


def drawn(program, *arguments, num_samples=1000, **settings):
    """Samples `[chains, draws, ...]` by NUTS."""
    inputs = dict(zip(inspect.signature(program).parameters, arguments, strict=False)) | settings
    return Nuts(program, inputs, Shape(300, num_samples, 1)).run(jax.random.key(3), {})[0]


def within_five_errors(draws, expected):
    """Whether the mean of `[chains, draws, ...]` is `expected`, by batch means of each chain."""
    chains, number = draws.shape[:2]
    batches = draws.reshape(chains * 20, number // 20, *draws.shape[2:]).mean(1)
    error = batches.std(0, ddof=1) / np.sqrt(len(batches))
    assert (np.abs(draws.mean((0, 1)) - expected) < 5 * error + 1e-12).all()
    assert (error < 0.05).all()


def test_maxent_candidates_as_the_plain_baseline():
    counts = recording(WORLD, 4).counts()
    for temperature in (0.1, 2.0):
        sites, log_policies, _ = traced(
            maxent, counts, WORLD, CANDIDATES, values={"temperature": temperature}, temperature=DEFAULT_TEMPERATURE,
            simplicity=1.0,
        )  # fmt: skip
        expected = plain.boltzmann_posterior(
            counts, WORLD, CANDIDATES.payoffs, CANDIDATES.code_length, temperatures=temperature, soft=True
        )
        np.testing.assert_allclose(sites["utility_log_prob"], expected.log_prob, atol=1e-6)
        np.testing.assert_allclose(np.exp(log_policies).sum(-1), 1.0)
    settings = dict(temperature=DEFAULT_TEMPERATURE, simplicity=1.0)

    def log_density(temperature):
        return util.log_density(maxent, (counts, WORLD, CANDIDATES), settings, {"temperature": temperature})[0]

    slope = jax.jit(jax.grad(log_density))(0.1)
    assert np.isfinite(slope)


def test_maxent_refuses_what_remembers():
    candidates = us.candidate_set(WORLD, {"both": "reach(G) - time(b)", "G": "time(G)"})
    with pytest.raises(us.InputError, match="the plans of both depend on what has been seen"):
        traced(maxent, np.ones((8, 4)), WORLD, candidates, values={}, temperature=1.0, simplicity=1.0)


@pytest.mark.parametrize("program", [boltzmann_weights, maxent_weights])
def test_weights_have_the_density_of_their_equations(program):
    counts = recording(WORLD, 5).counts()
    weights = us.FeatureWeights(WORLD, prior=dist.Normal(0.0, 2.0))
    theta = np.array([0.4, -1.0, 0.7])[: len(weights)]
    values = {"weights": theta, "temperature": 0.6}
    sites, _, density = traced(program, counts, WORLD, weights, values=values, temperature=DEFAULT_TEMPERATURE)
    payoff = np.repeat((theta @ weights.values)[:, None], 4, 1)
    plan = optimal_action_values if program is boltzmann_weights else lambda *x: soft_action_values(*x, 0.6)
    log_policy = np.asarray(log_boltzmann(plan(WORLD, payoff), 0.6))
    np.testing.assert_allclose(sites["policy"], np.exp(log_policy))
    expected = (counts * log_policy).sum() + float(DEFAULT_TEMPERATURE.log_prob(0.6))
    expected += float(dist.Normal(0.0, 2.0).log_prob(theta).sum())
    assert density == pytest.approx(expected)


@pytest.mark.parametrize("program", [boltzmann_weights, maxent_weights, maxent])
def test_worlds_with_a_horizon_are_refused(program):
    world = us.world_model(WORLD.transition, WORLD.initial, 0.9, features=WORLD.features, horizon=5)
    settings = dict(simplicity=1.0) if program is maxent else {}
    utilities = us.candidate_set(world, {"G": "time(G)"}) if program is maxent else us.FeatureWeights(world)
    with pytest.raises(us.InputError, match="say nothing about time"):
        traced(program, np.ones((8, 4)), world, utilities, values={}, temperature=1.0, **settings)


def test_temperatures_are_positive():
    with pytest.raises(us.InputError, match="temperature is 0"):
        traced(maxent_weights, np.ones((8, 4)), WORLD, us.FeatureWeights(WORLD), values={}, temperature=0)


@pytest.mark.slow
def test_two_states_as_by_quadrature():
    """The obstacle grid of the released ValueWalk at size 1 x 2; scale and observations are those that fit its figures.

    Five actions (stay, down, right, up, left), one in ten steps at random, discount 0.9, rewards Normal(0, 10),
    temperature 1. The right cell is the goal, after which nothing is paid. Seen: a stay, then a move to the goal.
    Without |det(I - discount P)| the chance of a positive reward on the left comes out as 0.19.
    """
    transition = np.zeros((3, 5, 3))
    for action in range(5):
        transition[0, action] = 0.1 * np.array([0.8, 0.2, 0.0])
        transition[0, action, 1 if action == 2 else 0] += 0.9
    transition[1:, :, 2] = 1.0
    world = us.world_model(transition, [1.0, 0.0, 0.0], 0.9)
    counts = np.zeros((3, 5))
    counts[0, [0, 2]] = 1.0

    # Quadrature over both rewards. On the left one stays for ever or goes to the goal, whichever is worth more.
    side = (np.arange(1200) + 0.5) / 100 - 6.0
    left, goal = 10.0 * np.meshgrid(side, side, indexing="ij")[0], 10.0 * np.meshgrid(side, side, indexing="ij")[1]
    values, determinants = [], []
    for onward in (0.02, 0.92):
        determinants.append(1 - 0.9 * (1 - onward))
        values.append((left + 0.9 * onward * goal) / determinants[-1])
    value = np.maximum(*values)
    determinant = np.where(values[0] >= values[1], *determinants)
    apart = 0.9 * 0.9 * (goal - value)  # by how much more going is worth than staying
    log_density = -(left**2 + goal**2) / 200 + apart - 2 * np.logaddexp(np.log(4.0), apart)
    density = np.exp(log_density)

    def chance(density):
        return density[left > 0].sum() / density.sum()

    assert round(chance(density), 3) == 0.107
    assert round(chance(density / determinant), 2) == 0.19

    features = {"left": [1.0, 0.0, 0.0], "goal": [0.0, 1.0, 0.0]}
    weights = us.FeatureWeights(world, features=features, states=False, prior=dist.Normal(0.0, 10.0))
    order = [weights.names.index(name) for name in ("left", "goal")]
    samples = drawn(boltzmann_weights, counts, world, weights, temperature=1.0, num_samples=4000)["weights"][..., order]
    within_five_errors(samples[..., 0] > 0, chance(density))
    within_five_errors(samples[..., 1] > 0, density[goal > 0].sum() / density.sum())

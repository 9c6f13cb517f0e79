"""Wrong programs, each of which must fail the calibration of `benchmarks/calibration.py`."""

from functools import partial

import jax
import jax.numpy as jnp
import numpyro
from jax.scipy.special import logsumexp
from numpyro import distributions as dist

from utiliscope.action_values import log_boltzmann
from utiliscope.laws import LN2, log_intelligence_weight, sampled_law
from utiliscope.planned_actions import log_likelihood
from utiliscope.recorded_actions import RecordedActions
from utiliscope.values import expected_utility


def without_normaliser(counts, world, candidates, tails, *, policy_prior, intelligence_law, simplicity):
    """`candidates` with h(g) in place of h(g) / Z: what is inferred of the law is wrong."""
    draw = partial(numpyro.sample, "policy", policy_prior.distribution(world))
    _wrong(counts, world, candidates, draw, tails, intelligence_law, simplicity, False)


def with_other_policies(counts, world, candidates, tails, *, policy_prior, intelligence_law, simplicity):
    """`candidates` whose policies have no uniform density, but that of uniform log odds from -8 to 8."""
    _wrong(counts, world, candidates, partial(_of_uniform_odds, world), tails, intelligence_law, simplicity, True)


def without_recording(counts, world, candidates, tails, *, policy_prior, intelligence_law, simplicity):
    """`candidates` that does not look at what was recorded."""
    draw = partial(numpyro.sample, "policy", policy_prior.distribution(world))
    _wrong(0 * counts, world, candidates, draw, tails, intelligence_law, simplicity, True)


def _wrong(counts, world, candidates, draw_policy, tails, law, simplicity, normalised):
    law = sampled_law(law)
    policy = draw_policy()
    value = expected_utility(world, policy, candidates.payoffs)
    bits = numpyro.deterministic("intelligence", tails.bits(value))
    weight = log_intelligence_weight(law, tails, bits) if normalised else law.log_weight(bits)
    log_joint = jax.nn.log_softmax(-simplicity * LN2 * candidates.code_length) + weight
    numpyro.factor("operator", logsumexp(log_joint))
    numpyro.deterministic("utility_log_prob", jax.nn.log_softmax(log_joint))
    numpyro.sample("action", RecordedActions(policy, counts.sum(-1)), obs=counts)


def _of_uniform_odds(world):
    odds = numpyro.sample("odds", dist.Uniform(-8.0, 8.0).expand((world.num_states,)).to_event(1))
    share = jax.nn.sigmoid(odds)
    return numpyro.deterministic("policy", jnp.stack([share, 1 - share], axis=-1))


def values_without_jacobian(counts, world, weights, *, temperature):
    """`boltzmann_weights` that samples state values under the prior of weights, without |det(I - discount P)|."""
    value = numpyro.sample("value", dist.Normal(0.0, 100.0).expand((world.num_states,)).to_event(1))
    theta = numpyro.deterministic("weights", value - world.discount * (jnp.asarray(world.transition) @ value).max(1))
    numpyro.factor("prior", weights.distribution.log_prob(theta))
    temperature = numpyro.sample("temperature", temperature)
    action_values = theta[:, None] + world.discount * jnp.asarray(world.transition) @ value
    numpyro.factor("operator", log_likelihood(counts, log_boltzmann(action_values, temperature)))

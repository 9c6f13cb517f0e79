"""Intelligence that is read with noise: the Bayes net of the seed's footnote 7.

The utility U and the policy pi make the intelligence g; what is known of operators, the law h, speaks of a reading of
it, g~ = g + noise:

    U ~ 2^(-simplicity K(U)),   pi | U, n ~ xi(pi) h(g(pi | U) + n) / Z,   n ~ Normal(0, sigma),   a | s ~ pi(. | s)

so that a law with a sharp bump may be off by a few bits. Z = E[h(g + n)] over random policies and readings.

Reference: "Finding Goals in the World Model" (AI Alignment Forum, 2022), footnote 7.
"""

import jax
import numpyro
import numpyro.distributions as dist
from jax.scipy.special import logsumexp

from utiliscope.laws import LN2, log_noisy_weight, sampled_law
from utiliscope.recorded_actions import RecordedActions
from utiliscope.values import expected_utility


def noisy(counts, world, candidates, tails, *, policy_prior, intelligence_law, noise, simplicity):
    """The policy reading of behaviour, with noise between an operator's intelligence and its law.

    noise: sigma in bits, or a distribution over it. All else as in `candidates`.
    """
    law = sampled_law(intelligence_law)
    sigma = numpyro.sample("noise", noise) if isinstance(noise, dist.Distribution) else noise
    error = numpyro.sample("error", dist.Normal(0.0, 1.0))
    policy = numpyro.sample("policy", policy_prior.distribution(world))
    value = expected_utility(world, policy, candidates.payoffs)
    bits = numpyro.deterministic("intelligence", tails.bits(value))

    log_prior = jax.nn.log_softmax(-simplicity * LN2 * candidates.code_length)
    log_joint = log_prior + log_noisy_weight(law, tails, bits, sigma, error)
    numpyro.factor("operator", logsumexp(log_joint))
    numpyro.deterministic("utility_log_prob", jax.nn.log_softmax(log_joint))

    numpyro.sample("action", RecordedActions(policy, counts.sum(-1)), obs=counts)

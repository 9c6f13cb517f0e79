"""An operator drawn from random policies, re-weighted by how intelligent it is for one of the candidate utilities.

A utility has prior mass 2^-K (K its code length, weighted by `simplicity`). The operator's policy pi is a random
policy from xi, made h(g) times likelier by its intelligence g for that utility, and it emits the recorded actions:

    U ~ 2^(-simplicity K(U)),    pi | U ~ xi(pi) h(g(pi | U)) / Z(U),    a | s ~ pi(. | s)

The utility is summed out, so that only the policy remains to be sampled; `utility_log_prob` is then the posterior
of the utility given the policy, and its average over draws the posterior given the behaviour.

Reference: "Finding Goals in the World Model" (AI Alignment Forum, 2022), its formula for P(U) and footnote 7.
"""

import jax
import numpyro
from jax.scipy.special import logsumexp

from utiliscope.laws import LN2, log_intelligence_weight, sampled_law
from utiliscope.recorded_actions import RecordedActions
from utiliscope.values import expected_utility


def candidates(counts, world, candidates, tails, *, policy_prior, intelligence_law, simplicity):
    """The policy reading of behaviour.

    counts: `[S, A]` how often each action was taken in each state. world: WorldModel. candidates: `U` Candidates
    with their value tails. policy_prior: a prior with `distribution`, the measure of both policies and bits.
    intelligence_law: h; parameters of it that have a prior are inferred.
    """
    law = sampled_law(intelligence_law)
    policy = numpyro.sample("policy", policy_prior.distribution(world))
    value = expected_utility(world, policy, candidates.payoffs)
    bits = numpyro.deterministic("intelligence", tails.bits(value))

    log_prior = jax.nn.log_softmax(-simplicity * LN2 * candidates.code_length)
    log_joint = log_prior + log_intelligence_weight(law, tails, bits)
    numpyro.factor("operator", logsumexp(log_joint))
    numpyro.deterministic("utility_log_prob", jax.nn.log_softmax(log_joint))

    numpyro.sample("action", RecordedActions(policy, counts.sum(-1)), obs=counts)

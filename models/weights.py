"""An operator drawn from random policies, re-weighted by how intelligent it is for utilities with continuous weights.

A utility is worth theta . phi, with one weight for each feature of states. The operator's policy pi is a random policy
from xi, made h(g) times likelier by its intelligence g for those weights, and it emits the recorded actions:

    theta ~ p(theta)^simplicity,    pi | theta ~ xi(pi) h(g(pi | theta)) / Z,    a | s ~ pi(. | s)

Expected utility is theta . mu(pi), with mu the expected discounted feature counts. g is had for any theta by Laplace's
method, corrected by an atlas of splitting runs. Where random policies do not tie, Z is the same for all theta. g does
not depend on the scale of theta, which is known from its prior alone; weights are sampled as logistic scores of that
prior, since its tails may be so heavy that NUTS would not come back from them.

Reference: "Finding Goals in the World Model" (AI Alignment Forum, 2022), its formula for P(U) and footnote 7.
"""

import numpyro
import numpyro.distributions as dist
from jax.nn import sigmoid

from utiliscope.atlas import atlas_bits
from utiliscope.laws import sampled_law
from utiliscope.recorded_actions import RecordedActions
from utiliscope.values import occupancy


def weights(counts, world, weights, atlas, *, policy_prior, intelligence_law, simplicity):
    """The policy reading of behaviour, for weights of features.

    counts: `[S, A]` how often each action was taken in each state. world: WorldModel. weights: `F` FeatureWeights.
    atlas: Atlas; its runs are of random policies from `policy_prior`, the measure of both policies and bits.
    """
    law = sampled_law(intelligence_law)
    score = numpyro.sample("score", dist.Logistic().expand([len(weights)]).to_event(1))
    theta = numpyro.deterministic("weights", weights.prior.icdf(sigmoid(score)))
    numpyro.factor("simplicity", (simplicity - 1.0) * weights.distribution.log_prob(theta))

    policy = numpyro.sample("policy", policy_prior.distribution(world))
    reward = theta @ weights.values
    value = reward @ occupancy(world, policy).state
    bits = atlas_bits(atlas, world, reward, value, policy_prior=policy_prior)
    g = numpyro.deterministic("intelligence", bits)
    numpyro.factor("operator", law.log_weight(g) - law.log_mean())

    numpyro.sample("action", RecordedActions(policy, counts.sum(-1)), obs=counts)

"""MaxEnt inverse reinforcement learning with a posterior: maximum causal entropy and continuous weights of features.

    theta ~ its prior,    T ~ its prior,    a | s ~ softmax(Q(s, .) / T),
    Q(s, a) = theta . phi(s) + discount E[V(s')],    V(s) = T log sum_a exp(Q(s, a) / T)

Only theta / T matters for behaviour: T = 1 is the classical MaxEnt IRL, and T is inferred only as far as the prior of
theta has a scale.

References: Ziebart (2010), Modeling Purposeful Adaptive Behavior with the Principle of Maximum Causal Entropy.
"""

import jax.numpy as jnp
import numpyro

from utiliscope.action_values import log_boltzmann, soft_action_values
from utiliscope.planned_actions import log_likelihood, no_horizon, sampled_temperature
from utiliscope.utilities.feature_weights import sampled_weights


def maxent_weights(counts, world, weights, *, temperature):
    """In a world without a horizon.

    counts: `[S, A]` how often each action was taken in each state. weights: FeatureWeights. temperature: a NumPyro
    distribution, or a number.
    """
    no_horizon(world)
    reward = sampled_weights(weights) @ weights.values
    temperature = sampled_temperature(temperature)
    payoff = jnp.broadcast_to(reward[:, None], counts.shape)
    log_policy = log_boltzmann(soft_action_values(world, payoff, temperature), temperature)
    numpyro.factor("operator", log_likelihood(counts, log_policy))
    numpyro.deterministic("policy", jnp.exp(log_policy))

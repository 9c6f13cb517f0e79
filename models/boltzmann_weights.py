"""Bayesian inverse reinforcement learning as it is known: Boltzmann-rational, with continuous weights of features.

The utility is theta . phi(s), a state being paid at each visit from s_0 on, and Q is differentiated through planning:

    theta ~ its prior,    T ~ its prior,
    Q(s, a) = theta . phi(s) + discount E[max Q(s', .)],    a | s ~ softmax(Q(s, .) / T)

What is sampled is theta itself. Whoever samples values in its place owes the density |det(I - discount P)|, P the
chain of the optimal policy. Where the best action changes the density has a kink, which no leapfrog step follows, so
that short steps gain little: with a hundred weights try a `target_accept` of 0.65 in place of the usual 0.8, which
`benchmarks/policywalk.py --accept` compares. With few weights it may bring divergences.

References: Ramachandran and Amir (2007), Bayesian Inverse Reinforcement Learning.
"""

import jax.numpy as jnp
import numpyro

from utiliscope.action_values import log_boltzmann, optimal_action_values
from utiliscope.planned_actions import log_likelihood, no_horizon, sampled_temperature
from utiliscope.utilities.feature_weights import sampled_weights


def boltzmann_weights(counts, world, weights, *, temperature):
    """In a world without a horizon.

    counts: `[S, A]` how often each action was taken in each state. weights: FeatureWeights. temperature: a NumPyro
    distribution, or a number.
    """
    no_horizon(world)
    reward = sampled_weights(weights) @ weights.values
    payoff = jnp.broadcast_to(reward[:, None], counts.shape)
    log_policy = log_boltzmann(optimal_action_values(world, payoff), sampled_temperature(temperature))
    numpyro.factor("operator", log_likelihood(counts, log_policy))
    numpyro.deterministic("policy", jnp.exp(log_policy))

"""What everyone else assumes: the agent is Boltzmann-rational, and its temperature is inferred.

It knows the optimal action values Q of its utility and takes each available action with probability softmax(Q / T):

    U ~ 2^(-simplicity K(U)),    T ~ its prior,    a | s, U ~ softmax(Q_U(s, .) / T)

The utility is summed out, so that only the temperature remains to be sampled. With continuous weights of features
the utility is theta . phi(s), a state being paid at each visit from s_0 on, and Q is differentiated through planning:

    theta ~ its prior,    Q(s, a) = theta . phi(s) + discount E[max Q(s', .)],    a | s ~ softmax(Q(s, .) / T)

What is sampled is theta itself. Whoever samples values in its place owes the density |det(I - discount P)|, P the
chain of the optimal policy.

References: Ramachandran and Amir (2007), Bayesian Inverse Reinforcement Learning.
"""

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jax.scipy.special import logsumexp

from utiliscope.action_values import log_boltzmann, optimal_action_values
from utiliscope.errors import InputError
from utiliscope.laws import LN2
from utiliscope.utilities.feature_weights import sampled_weights

# Utilities pay small whole amounts, and their values lie within a few orders of magnitude of 1.
DEFAULT_TEMPERATURE = dist.LogNormal(0.0, 3.0)


def boltzmann(actions, action_values, candidates, *, temperature, simplicity):
    """Candidates, with or without memory. Returns log probabilities `[U, N, A]` of actions for each utility.

    actions: `[N]` recorded. action_values: `[U, N, A]` optimal ones at each recorded decision, -inf where an action is
    not available (`utiliscope.action_values.decision_values`). candidates: `U` Candidates. temperature: a NumPyro
    distribution, or a number.
    """
    log_policy = log_boltzmann(action_values, sampled_temperature(temperature))
    log_taken = jnp.take_along_axis(log_policy, jnp.asarray(actions)[None, :, None], axis=-1)

    log_prior = jax.nn.log_softmax(-simplicity * LN2 * candidates.code_length)
    log_joint = log_prior + log_taken.sum((1, 2))
    numpyro.factor("operator", logsumexp(log_joint))
    numpyro.deterministic("utility_log_prob", jax.nn.log_softmax(log_joint))
    return log_policy


def boltzmann_weights(counts, world, weights, *, temperature):
    """Continuous weights of features, in a world without a horizon.

    counts: `[S, A]` how often each action was taken in each state. weights: FeatureWeights. temperature: as above.
    """
    no_horizon(world)
    reward = sampled_weights(weights) @ weights.values
    payoff = jnp.broadcast_to(reward[:, None], counts.shape)
    log_policy = log_boltzmann(optimal_action_values(world, payoff), sampled_temperature(temperature))
    numpyro.factor("operator", log_likelihood(counts, log_policy))
    numpyro.deterministic("policy", jnp.exp(log_policy))


def sampled_temperature(temperature):
    """The site `temperature`: drawn from a distribution, or a number above 0."""
    if isinstance(temperature, dist.Distribution):
        return numpyro.sample("temperature", temperature)
    if not temperature > 0:
        raise InputError(f"temperature is {temperature}; give a number above 0 or a NumPyro distribution")
    return numpyro.deterministic("temperature", jnp.asarray(temperature, jnp.result_type(float)))


def log_likelihood(counts, log_policy):
    """`[...]` log probability of `counts` `[S, A]` of actions under log policies `[..., S, A]`."""
    return jnp.where(counts > 0, counts * jnp.where(counts > 0, log_policy, 0.0), 0.0).sum((-2, -1))


def no_horizon(world):
    """Raise InputError for worlds with a horizon: there, what is best depends on the time, which counts leave out."""
    if world.horizon is not None:
        raise InputError(
            f"counts of actions say nothing about time, on which action values depend in a world with a horizon of "
            f"{world.horizon}; give the world without one and a discount below 1, or use boltzmann with decision_values"
        )

"""What everyone else assumes: the agent is Boltzmann-rational, and its temperature is inferred.

It knows the optimal action values Q of its utility and takes each available action with probability softmax(Q / T):

    U ~ 2^(-simplicity K(U)),    T ~ its prior,    a | s, U ~ softmax(Q_U(s, .) / T)

The utility is summed out, so that only the temperature remains to be sampled.

References: Ramachandran and Amir (2007), Bayesian Inverse Reinforcement Learning.
"""

import jax
import jax.numpy as jnp
import numpyro
from jax.scipy.special import logsumexp

from utiliscope.action_values import log_boltzmann
from utiliscope.laws import LN2
from utiliscope.planned_actions import sampled_temperature


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

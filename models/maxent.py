"""Maximum causal entropy: the agent pays for being predictable, and plans with that in mind.

Its policy is the one of greatest expected utility plus T times its causal entropy, softmax(Q / T) of the soft values

    Q(s, a) = u(s) + discount E[V(s')],    V(s) = T log sum_a exp(Q(s, a) / T)

with U ~ 2^(-simplicity K(U)) for candidates and theta ~ its prior for continuous weights, U = theta . phi. There only
theta / T matters for behaviour: T = 1 is the classical MaxEnt IRL, and T is inferred only as far as the prior of theta
has a scale.

References: Ziebart (2010), Modeling Purposeful Adaptive Behavior with the Principle of Maximum Causal Entropy.
"""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from jax.scipy.special import logsumexp
from utiliscope.models.boltzmann import log_likelihood, no_horizon, sampled_temperature

from utiliscope.action_values import log_boltzmann, soft_action_values
from utiliscope.errors import InputError, listed
from utiliscope.laws import LN2
from utiliscope.planning import is_plain
from utiliscope.utilities.feature_weights import sampled_weights


def maxent(counts, world, candidates, *, temperature, simplicity):
    """Candidates without memory: payoffs a step, or one set to be reached, where the episode counts as over.

    Returns log policies `[U, S, A]`, one for each utility.

    counts: `[S, A]` how often each action was taken in each state. temperature: a NumPyro distribution, or a number.
    One soft plan for each candidate at each temperature. Raises InputError for candidates that remember.
    """
    no_horizon(world)
    payoff, terminal = plain_payoffs(world, candidates)
    temperature = sampled_temperature(temperature)

    def log_policy(payoff, terminal):
        return log_boltzmann(soft_action_values(world, payoff, temperature, terminal=terminal), temperature)

    log_policies = jax.vmap(log_policy)(payoff, terminal)
    log_prior = jax.nn.log_softmax(-simplicity * LN2 * candidates.code_length)
    log_joint = log_prior + log_likelihood(counts, log_policies)
    numpyro.factor("operator", logsumexp(log_joint))
    numpyro.deterministic("utility_log_prob", jax.nn.log_softmax(log_joint))
    return log_policies


def maxent_weights(counts, world, weights, *, temperature):
    """Continuous weights of features, in a world without a horizon.

    counts: `[S, A]` how often each action was taken in each state. weights: FeatureWeights. temperature: as above.
    """
    no_horizon(world)
    reward = sampled_weights(weights) @ weights.values
    temperature = sampled_temperature(temperature)
    payoff = jnp.broadcast_to(reward[:, None], counts.shape)
    log_policy = log_boltzmann(soft_action_values(world, payoff, temperature), temperature)
    numpyro.factor("operator", log_likelihood(counts, log_policy))
    numpyro.deterministic("policy", jnp.exp(log_policy))


def plain_payoffs(world, candidates):
    """`[U, S, A]` paid for each step, and `[U, S]` where the episode is over; InputError for those that remember."""
    payoffs = candidates.payoffs
    bad = [name for k, name in enumerate(candidates.names) if not is_plain(payoffs[k])]
    if bad:
        raise InputError(
            f"the plans of {listed(bad)} depend on what has been seen already, and maxent plans over states; leave "
            "them out, or use boltzmann, which plans with memory"
        )
    reach, targets = np.asarray(payoffs.reach, np.float64), np.asarray(payoffs.targets, bool)
    state = np.asarray(payoffs.state, np.float64) + reach @ targets
    action = 0.0 if payoffs.action is None else np.asarray(payoffs.action, np.float64)
    paid = np.broadcast_to(state[..., None] + action, (*state.shape, world.num_actions))
    terminal = (reach != 0).astype(float) @ targets > 0
    # One automaton of one memory, which pays on its end, is a set to be reached as well.
    if payoffs.weight is not None:
        weight = np.asarray(payoffs.weight, np.float64)
        for d, machine in enumerate(payoffs.automata):
            used = weight[:, d] != 0
            paid = paid + weight[:, d, None, None] * np.asarray(machine.pay)[0][:, None]
            terminal = terminal | (used[:, None] & (np.asarray(machine.step)[0] < 0))
    return jnp.asarray(paid), jnp.asarray(terminal)

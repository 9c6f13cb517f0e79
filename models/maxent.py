"""Maximum causal entropy: the agent pays for being predictable, and plans with that in mind.

Its policy is the one of greatest expected utility plus T times its causal entropy, softmax(Q / T) of the soft values

    U ~ 2^(-simplicity K(U)),    T ~ its prior,
    Q(s, a) = u(s) + discount E[V(s')],    V(s) = T log sum_a exp(Q(s, a) / T),    a | s ~ softmax(Q(s, .) / T)

The utility is summed out, so that only the temperature remains to be sampled.

References: Ziebart (2010), Modeling Purposeful Adaptive Behavior with the Principle of Maximum Causal Entropy.
"""

import jax
import numpyro
from jax.scipy.special import logsumexp

from utiliscope.action_values import log_boltzmann, soft_action_values
from utiliscope.laws import LN2
from utiliscope.plain_payoffs import plain_payoffs
from utiliscope.planned_actions import log_likelihood, no_horizon, sampled_temperature


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

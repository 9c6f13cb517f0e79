"""Many operators, each with a utility of its own, who share a law of intelligence and a mixture of utilities.

    mixture = softmax(-simplicity K + spread z),   z_U ~ Normal(0, 1),   spread ~ HalfNormal
    U_n ~ mixture,    pi_n | U_n ~ xi(pi) h(g(pi | U_n)) / Z(U_n),    a | s ~ pi_n(. | s)

The mixture starts from simplicity and moves as far as the operators agree to pull it: with spread 0 each is judged by
itself, with a large one a utility that many have is likelier for the next (partial pooling). What all together are
after, footnote 3 of the seed, is the mean of their posteriors, `utility_log_prob`.

Reference: "Finding Goals in the World Model" (AI Alignment Forum, 2022), footnotes 3 and 7.
"""

import jax
import numpyro

from utiliscope.laws import log_intelligence_weight, sampled_law
from utiliscope.operator_mixture import sampled_mixture, sum_out_utilities
from utiliscope.recorded_actions import RecordedActions
from utiliscope.values import expected_utility


def population(subject_counts, world, candidates, tails, *, policy_prior, intelligence_law, simplicity):
    """The policy reading of `N` operators.

    subject_counts: `[N, S, A]` how often each took each action in each state. All else as in `candidates`.
    """
    law, log_mixture = sampled_law(intelligence_law), sampled_mixture(candidates, simplicity)
    with numpyro.plate("subject", len(subject_counts)):
        policy = numpyro.sample("subject_policy", policy_prior.distribution(world))
        numpyro.sample("action", RecordedActions(policy, subject_counts.sum(-1)), obs=subject_counts)

    value = jax.vmap(lambda one: expected_utility(world, one, candidates.payoffs))(policy)
    bits = jax.vmap(tails.bits)(value)
    log_weight = jax.vmap(lambda one: log_intelligence_weight(law, tails, one))(bits)
    sum_out_utilities(log_mixture + log_weight, bits)

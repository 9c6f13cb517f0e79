"""Many operators, each with a utility of its own, who share a law of intelligence and a mixture of utilities.

    mixture = softmax(-simplicity K + spread z),   z_U ~ Normal(0, 1),   spread ~ HalfNormal
    U_n ~ mixture,    pi_n | U_n ~ xi(pi) h(g(pi | U_n)) / Z(U_n),    a | s ~ pi_n(. | s)

The mixture starts from simplicity and moves as far as the operators agree to pull it: with spread 0 each is judged by
itself, with a large one a utility that many have is likelier for the next (partial pooling). What all together are
after, footnote 3 of the seed, is the mean of their posteriors, `utility_log_prob`.

Reference: "Finding Goals in the World Model" (AI Alignment Forum, 2022), footnotes 3 and 7.
"""

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jax.scipy.special import logsumexp

from utiliscope.achievement import seen
from utiliscope.laws import LN2, log_intelligence_weight, sampled_law
from utiliscope.recorded_actions import RecordedActions
from utiliscope.values import expected_utility


def population(subject_counts, world, candidates, tails, *, policy_prior, intelligence_law, simplicity):
    """The policy reading of `N` operators.

    subject_counts: `[N, S, A]` how often each took each action in each state. All else as in `candidates`.
    """
    law, log_mixture = sampled_law(intelligence_law), _mixture(candidates, simplicity)
    with numpyro.plate("subject", len(subject_counts)):
        policy = numpyro.sample("subject_policy", policy_prior.distribution(world))
        numpyro.sample("action", RecordedActions(policy, subject_counts.sum(-1)), obs=subject_counts)
    value = jax.vmap(lambda one: expected_utility(world, one, candidates.payoffs))(policy)
    bits = jax.vmap(tails.bits)(value)
    weigh = jax.vmap(lambda one: log_intelligence_weight(law, tails, one))
    _operators(log_mixture + weigh(bits), bits)


def achieved_population(subject_value, subject_value_error, candidates, subject_tails, *, intelligence_law, simplicity):
    """The achieved reading of `N` operators, as in `achieved`; what their episodes leave open is summed out.

    subject_value, subject_value_error: `[N, U]`. subject_tails: `[N, U]` value tails, from the starts of each.
    """
    law, log_mixture = sampled_law(intelligence_law), _mixture(candidates, simplicity)

    def of_one(value, error, tails):
        bits, log_share = seen(tails, value, error)
        weight = jax.vmap(lambda column: log_intelligence_weight(law, tails, column), 1, 1)(bits)
        log_weight = logsumexp(log_share + weight, axis=-1) - logsumexp(log_share, axis=-1)
        return log_weight, (jax.nn.softmax(log_share + weight, axis=-1) * bits).sum(-1)

    log_weight, bits = jax.vmap(of_one)(subject_value, subject_value_error, subject_tails)
    _operators(log_mixture + log_weight, bits)


def _mixture(candidates, simplicity):
    """`[U]` log share of each utility among operators."""
    spread = numpyro.sample("spread", dist.HalfNormal(2.0))
    pull = numpyro.sample("pull", dist.Normal(0.0, 1.0).expand([len(candidates)]).to_event(1))
    return numpyro.deterministic(
        "log_mixture", jax.nn.log_softmax(-simplicity * LN2 * candidates.code_length + spread * pull)
    )


def _operators(log_joint, bits):
    """Sums out the utility of each operator; log_joint, bits: `[N, U]`."""
    numpyro.factor("operator", logsumexp(log_joint, axis=-1).sum())
    log_prob = numpyro.deterministic("subject_log_prob", jax.nn.log_softmax(log_joint, axis=-1))
    numpyro.deterministic("subject_intelligence", bits)
    numpyro.deterministic("utility_log_prob", logsumexp(log_prob, axis=0) - jnp.log(len(log_prob)))
    share = jnp.exp(log_prob)
    numpyro.deterministic("intelligence", (share * bits).sum(0) / share.sum(0))

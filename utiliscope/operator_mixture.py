"""Operators who share a mixture of utilities: its sites, and the utility of each operator summed out."""

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jax.scipy.special import logsumexp

from .laws import LN2


def sampled_mixture(candidates, simplicity):
    """`[U]` log share of each utility among operators, site `log_mixture`, in nats.

    log softmax(-simplicity K ln 2 + spread z) with z ~ Normal(0, 1), site `pull`, and spread ~ HalfNormal(2).
    """
    spread = numpyro.sample("spread", dist.HalfNormal(2.0))
    pull = numpyro.sample("pull", dist.Normal(0.0, 1.0).expand([len(candidates)]).to_event(1))
    return numpyro.deterministic(
        "log_mixture", jax.nn.log_softmax(-simplicity * LN2 * candidates.code_length + spread * pull)
    )


def sum_out_utilities(log_joint, bits):
    """The factor `operator`, and what is known of each operator and of all together.

    log_joint: `[N, U]` ln of mixture and intelligence weight, nats. bits: `[N, U]`. Sites: `subject_log_prob`,
    `subject_intelligence` `[N, U]`; `utility_log_prob` `[U]`, the mean of the operators' posteriors; `intelligence`.
    """
    numpyro.factor("operator", logsumexp(log_joint, axis=-1).sum())
    log_prob = numpyro.deterministic("subject_log_prob", jax.nn.log_softmax(log_joint, axis=-1))
    numpyro.deterministic("subject_intelligence", bits)
    numpyro.deterministic("utility_log_prob", logsumexp(log_prob, axis=0) - jnp.log(len(log_prob)))
    share = jnp.exp(log_prob)
    numpyro.deterministic("intelligence", (share * bits).sum(0) / share.sum(0))

"""What the recorded episodes achieved, against what random policies achieve from the same starts.

No policy is inferred, so the operator may remember: a utility is as likely as its prior mass 2^-K (weighted by
`simplicity`), times how intelligent its achieved value V is,

    P(U | episodes)  ∝  2^(-simplicity K(U)) h(g(V | U)) / Z(U),     V = mean utility of the episodes + error

with the error of a mean of so many episodes as a latent variable. Luck beyond the best policy's value counts as that.
"""

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from utiliscope.laws import LN2, log_intelligence_weight


def achieved(value, value_error, candidates, tails, *, intelligence_law, simplicity):
    """The achieved reading of behaviour.

    value, value_error: `[U]` mean utility of the episodes and its standard error. candidates: `U` Candidates with
    their value tails, from the episodes' starts.
    """
    utility = numpyro.sample("utility", dist.Categorical(logits=-simplicity * LN2 * candidates.code_length))
    error = numpyro.sample("sampling_error", dist.Normal(0.0, 1.0))
    reached = jnp.minimum(value + error * value_error, tails.values[..., -1])
    bits = numpyro.deterministic("intelligence", tails.bits(reached))
    numpyro.factor("operator", log_intelligence_weight(intelligence_law, tails, bits)[utility])

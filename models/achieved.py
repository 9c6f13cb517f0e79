"""What the recorded episodes achieved, against what random policies achieve from the same starts.

No policy over states is inferred, so the operator may remember. What is uncertain is the operator's true value V for
each utility, known from the mean of some episodes with its standard error. A random policy from xi, seen through that
error, is made h(g) times likelier by its intelligence, as everywhere:

    P(U | episodes)  ∝  2^(-simplicity K(U)) E_{V ~ xi(. | episodes)}[ h(g(V | U)) / Z(U) ]

so luck is weighed against how rare such values are: without xi in it, a lucky error would count as intelligence.
"""

import jax
import numpyro
import numpyro.distributions as dist

from utiliscope.achievement import seen
from utiliscope.laws import LN2, log_intelligence_weight, sampled_law


def achieved(value, value_error, candidates, tails, *, intelligence_law, simplicity):
    """The achieved reading of behaviour.

    value, value_error: `[U]` mean utility of the episodes and its standard error. candidates: `U` Candidates with
    their value tails, from the episodes' starts.
    """
    law = sampled_law(intelligence_law)
    utility = numpyro.sample("utility", dist.Categorical(logits=-simplicity * LN2 * candidates.code_length))

    bits, log_share = seen(tails, value, value_error)
    cell = numpyro.sample("cell", dist.Categorical(logits=log_share[utility]))
    numpyro.deterministic("intelligence", bits[utility, cell])
    weigh = jax.vmap(lambda column: log_intelligence_weight(law, tails, column), 1, 1)
    numpyro.factor("operator", weigh(bits)[utility, cell])

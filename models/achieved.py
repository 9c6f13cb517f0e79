"""What the recorded episodes achieved, against what random policies achieve from the same starts.

No policy over states is inferred, so the operator may remember. What is uncertain is the operator's true value V for
each utility, known from the mean of some episodes with its standard error. A random policy from xi, seen through that
error, is made h(g) times likelier by its intelligence, as everywhere:

    P(U | episodes)  ∝  2^(-simplicity K(U)) E_{V ~ xi(. | episodes)}[ h(g(V | U)) / Z(U) ]

so luck is weighed against how rare such values are: without xi in it, a lucky error would count as intelligence.
"""

import jax
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

    # xi(V | episodes) in cells of the value tail: the mass of random policies times the normal density. Without
    # error the cell is the achieved value itself; luck beyond the best policy counts as the best.
    best = tails.values[:, -1]
    values, bits, log_mass = tails.cells(value - 8 * value_error, jnp.minimum(value + 8 * value_error, best))
    exact = (value_error == 0)[:, None]
    apart = (values - value[:, None]) / jnp.where(exact, 1.0, value_error[:, None])
    log_share = jnp.where(exact, 0.0, jnp.maximum(log_mass, -1e4) - apart**2 / 2)
    bits = jnp.where(exact, tails.bits(jnp.minimum(value, best))[:, None], bits)

    cell = numpyro.sample("cell", dist.Categorical(logits=log_share[utility]))
    numpyro.deterministic("intelligence", bits[utility, cell])
    weigh = jax.vmap(lambda column: log_intelligence_weight(intelligence_law, tails, column), 1, 1)
    numpyro.factor("operator", weigh(bits)[utility, cell])

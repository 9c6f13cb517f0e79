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

    # xi(V | episodes) on a grid of errors: the mass of random policies in each cell, times the normal density.
    error = jnp.linspace(-8.0, 8.0, 129)
    edges = (error[1:] + error[:-1]) / 2
    reach = jnp.exp2(-_each(tails.bits, value[:, None] + value_error[:, None] * edges))
    ends = jnp.ones_like(reach[:, :1]), jnp.zeros_like(reach[:, :1])
    mass = -jnp.diff(jnp.concatenate([ends[0], reach, ends[1]], axis=1), axis=1)
    log_share = jnp.log(jnp.maximum(mass, jnp.finfo(mass.dtype).tiny)) - error**2 / 2

    # A step of a staircase counts for the cell it lies in: from the lower edge it is the next value that is reached.
    inside = error - (error[1] - error[0]) / 2 if tails.atomic else error
    true_value = jnp.minimum(value[:, None] + value_error[:, None] * inside, tails.values[:, -1:])
    bits = _each(tails.bits, true_value)
    cell = numpyro.sample("cell", dist.Categorical(logits=log_share[utility]))
    numpyro.deterministic("intelligence", bits[utility, cell])
    weight = _each(lambda column: log_intelligence_weight(intelligence_law, tails, column), bits)
    numpyro.factor("operator", weight[utility, cell])


def _each(function, columns):
    """`function` of each column of `[U, J]`."""
    return jax.vmap(function, 1, 1)(columns)

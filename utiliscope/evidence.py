"""How intelligent a recording is by itself, for every candidate, before any law favours intelligence."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import gammaln, logsumexp, xlogy

from .laws import LN2
from .row_dirichlet import dirichlet_rows
from .values import expected_utility

_POLICIES = 40


def behaviour_bits(key, inputs, wanted) -> np.ndarray | None:
    """`[U]` bits: of operator policies drawn from Dirichlet(concentration + counts) in the policy reading, the mean; of
    what the episodes achieved, in the achieved reading. Of many operators, `joint_bits` of theirs. None without value
    tails. Where those end early, lower bounds.

    A random operator whose policy is known has x bits with a chance of at most 2^-x; in the mean over what a recording
    leaves open, at most e x ln 2 times as often (by Jensen's and Markov's inequalities).
    """
    if "subject_tails" in wanted:
        values = zip(inputs.subject_value, range(len(inputs.subjects)), strict=True)
        return joint_bits([_reached(inputs.subject_tails[n], value) for value, n in values])
    if "tails" not in wanted:
        return None
    if inputs.reading == "achieved":
        return _reached(inputs.tails, inputs.value)
    counts = inputs.subject_counts if "subject_counts" in wanted else inputs.behaviour.counts()[None]
    available, payoffs = jnp.asarray(inputs.world.available), inputs.candidates.payoffs
    concentration = getattr(inputs.policy_prior, "concentration", 1.0)
    means = []
    for n, some in enumerate(counts):
        own_key = jax.random.fold_in(jax.random.fold_in(key, 5), n)
        policies = dirichlet_rows(own_key, concentration + some, available, (_POLICIES,))
        # One by one, by what is compiled already: a map over them would be compiled anew in every fit.
        bits = [inputs.tails.bits(expected_utility(inputs.world, policy, payoffs)) for policy in policies]
        means.append(np.mean(bits, axis=0))
    return joint_bits(means)


def joint_bits(bits) -> np.ndarray:
    r"""`[U]` how rare it is, in bits, that `N` random operators have as many bits `[N, U]` for a utility in sum.

    The bits of a random operator exceed x with a chance of at most 2^-x, so that the sum G of N independent ones is at
    most as large as one that is Gamma(N, ln 2) distributed:

    .. math:: -\log_2 Q(N, G \ln 2), \quad Q(N, x) = e^{-x} \sum_{k<N} x^k / k!

    Random operators have x bits or more with a chance of at most 2^-x again, and exactly that where random policies do
    not tie. Of one operator its own bits. Rises with every operator's bits: lower bounds give a lower bound, and inf
    gives inf. In logs, finite for finite bits.
    """
    total = np.sum(bits, axis=0) * LN2
    order = np.arange(len(bits))[:, None]
    known = np.isfinite(total)
    nats = np.where(known, total, 0.0)
    rarity = np.maximum(nats - logsumexp(xlogy(order, nats) - gammaln(order + 1), axis=0), 0.0)
    return np.where(known, rarity, total) / LN2


def _reached(tails, value):
    """Luck beyond the best policy counts as the best."""
    return np.asarray(tails.bits(np.minimum(value, np.asarray(tails.values)[:, -1])))

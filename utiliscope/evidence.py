"""How intelligent a recording is by itself, for every candidate, before any law favours intelligence."""

import jax
import jax.numpy as jnp
import numpy as np

from .row_dirichlet import dirichlet_rows
from .values import expected_utility

_POLICIES = 40


def behaviour_bits(key, inputs, wanted) -> np.ndarray | None:
    """`[U]` bits: of operator policies drawn from Dirichlet(concentration + counts) in the policy reading, the mean; of
    what the episodes achieved, in the achieved reading. Of many operators, the most of them. None without value tails.
    """
    if "subject_tails" in wanted:
        values = zip(inputs.subject_value, range(len(inputs.subjects)), strict=True)
        return np.stack([_reached(inputs.subject_tails[n], value) for value, n in values]).max(0)
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
    return np.stack(means).max(0)


def _reached(tails, value):
    """Luck beyond the best policy counts as the best."""
    return np.asarray(tails.bits(np.minimum(value, np.asarray(tails.values)[:, -1])))

"""Utilities without memory as plans over states see them: payoffs for each step, and where the episode is over."""

import jax.numpy as jnp
import numpy as np

from .errors import InputError, listed
from .planning import is_plain


def plain_payoffs(world, candidates):
    """`[U, S, A]` paid for each step, and `[U, S]` bool, where the episode is over.

    Raises InputError for candidates that remember: their plans depend on what has been seen already.
    """
    payoffs = candidates.payoffs
    bad = [name for k, name in enumerate(candidates.names) if not is_plain(payoffs[k])]
    if bad:
        raise InputError(
            f"the plans of {listed(bad)} depend on what has been seen already, and maxent plans over states; leave "
            "them out, or use boltzmann, which plans with memory"
        )
    reach, targets = np.asarray(payoffs.reach, np.float64), np.asarray(payoffs.targets, bool)
    state = np.asarray(payoffs.state, np.float64) + reach @ targets
    action = 0.0 if payoffs.action is None else np.asarray(payoffs.action, np.float64)
    paid = np.broadcast_to(state[..., None] + action, (*state.shape, world.num_actions))
    terminal = (reach != 0).astype(float) @ targets > 0
    # One automaton of one memory, which pays on its end, is a set to be reached as well.
    if payoffs.weight is not None:
        weight = np.asarray(payoffs.weight, np.float64)
        for d, machine in enumerate(payoffs.automata):
            used = weight[:, d] != 0
            paid = paid + weight[:, d, None, None] * np.asarray(machine.pay)[0][:, None]
            terminal = terminal | (used[:, None] & (np.asarray(machine.step)[0] < 0))
    return jnp.asarray(paid), jnp.asarray(terminal)

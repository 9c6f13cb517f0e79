"""Random sparse worlds: Garnets (Archibald, McKinnon and Thomas 1995), with features on disjoint sets of states."""

import numpy as np

from utiliscope.world import WorldModel, world_model


def random_sparse(
    seed: int,
    *,
    num_states: int = 12,
    num_actions: int = 3,
    branching: int = 3,
    marked: int = 2,
    discount: float = 0.9,
    changes: float = 0.0,
) -> WorldModel:
    """Every action of every state leads to `branching` states drawn without replacement, with chances that are the
    gaps between sorted uniform numbers; episodes begin anywhere.

    Features `a` and `b` hold in `marked` states each, different ones; `x` is an amount, uniform between 0 and 1.
    changes: share of the pairs of state and action whose successors are drawn anew; the others, and the features, are
    those of `changes = 0`. The same seed gives the same world.
    """
    rng = np.random.default_rng(seed)
    transition = _drawn(rng, num_states, num_actions, branching)
    order = rng.permutation(num_states)
    amount = rng.random(num_states)
    other = _drawn(rng, num_states, num_actions, branching)
    # One rank a pair: what changes for a smaller share changes for a larger one, too.
    anew = rng.permutation(num_states * num_actions) < changes * num_states * num_actions
    states = np.arange(num_states)
    return world_model(
        np.where(anew.reshape(num_states, num_actions, 1), other, transition),
        np.full(num_states, 1 / num_states),
        discount,
        features={
            "a": np.isin(states, order[:marked]),
            "b": np.isin(states, order[marked : 2 * marked]),
            "x": np.round(amount, 3),
        },
    )


def _drawn(rng, num_states, num_actions, branching):
    """`[S, A, S]`."""
    transition = np.zeros((num_states, num_actions, num_states))
    for row in transition.reshape(-1, num_states):
        cuts = np.sort(rng.random(branching - 1))
        row[rng.choice(num_states, branching, replace=False)] = np.diff(cuts, prepend=0.0, append=1.0)
    return transition

"""Small worlds for agents: random ones, and those in which one kind of error shows."""

import numpy as np

import utiliscope as us

UTILITIES = ("time(p)", "-time(q)", "reach(p)", "time(p) - 2*time(q)", "sequence(p, q)", "visits(q, 2) - reach(p)")


def random_world(seed, *, horizon=None, sparse=False, num_states=5, num_actions=3):
    """Few moves from each state, some actions unavailable, two features that hold somewhere and not everywhere."""
    rng = np.random.default_rng(seed)
    transition = rng.dirichlet(np.ones(num_states) * 0.3, (num_states, num_actions))
    transition = np.where(transition < 0.1, 0.0, transition)
    transition /= transition.sum(-1, keepdims=True)
    available = rng.random((num_states, num_actions)) < 0.7
    if sparse:
        places = np.broadcast_to(np.arange(num_states), transition.shape)
        transition = us.sparse_transition(places, transition)
    features = {name: rng.permutation(num_states) < 2 for name in "pq"}
    initial = rng.dirichlet(np.ones(num_states))
    discount = rng.uniform(0.5, 0.95)
    return us.world_model(transition, initial, discount, available=available, features=features, horizon=horizon)


def from_moves(moves, *, horizon=None, discount=0.9, features=None, initial=None):
    """A deterministic world from `[S, A]` next states, -1 for unavailable actions; episodes begin in state 0."""
    moves = np.asarray(moves)
    transition = np.eye(len(moves))[np.maximum(moves, 0)]
    initial = np.eye(len(moves))[0] if initial is None else initial
    return us.world_model(transition, initial, discount, available=moves >= 0, features=features or {}, horizon=horizon)


def cafe_world():
    """A way past a donut shop to a cafe, and a longer one round it (Evans, Stuhlmueller and Goodman 2016).

    Actions: 0 to the donuts or past them, 1 round or on. State 1 is beside the donuts (2); the cafe is 5.
    """
    moves = [[1, 6], [2, 3], [10, -1], [4, -1], [5, -1], [10, -1], [7, -1], [8, -1], [9, -1], [5, -1], [10, -1]]
    return from_moves(moves, horizon=8, discount=1.0)


def grid(slip=0.1, discount=0.9, horizon=None):
    """Four by four, with a goal in a corner, and features on the way and off it."""
    import dataclasses

    world = us.gridworld(["...G", ".b..", "a...", "...c"], slip=slip, discount=discount)
    return dataclasses.replace(world, horizon=horizon)

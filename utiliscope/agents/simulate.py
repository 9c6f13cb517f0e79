"""Recordings of policies and of agents that remember, in the world in which they act."""

from collections.abc import Callable

import jax
import numpy as np
import pandas as pd

from utiliscope.behaviour import Behaviour
from utiliscope.errors import InputError, check_whole
from utiliscope.values import check_shape
from utiliscope.world.model import absorbing_states, check_world
from utiliscope.world.possible import PossibleWorlds, World
from utiliscope.world.transition import links


def simulate(key, world: World, policy, *, num_episodes: int, num_steps: int) -> Behaviour:
    """Recorded decisions of `policy` `[S, A]`, or `[H, S, A]` by time, as those of `play`.

    Raises InputError for shapes that do not fit, rows that are no probabilities, and unavailable actions.
    """
    check_shape(world, policy)
    policy = np.asarray(policy, np.float64)
    if not (np.isfinite(policy).all() and policy.min() >= 0 and np.allclose(policy.sum(-1), 1.0, atol=1e-6)):
        raise InputError("the rows of the policy are not probabilities; they must be numbers >= 0 that sum to 1")
    if (policy * ~np.asarray(world.available)).any():
        raise InputError("the policy takes actions that are not available; give them probability 0")
    if policy.ndim == 3 and len(policy) < num_steps:
        raise InputError(
            f"the policy covers {len(policy)} steps of episodes of {num_steps}; give one row of it per step"
        )

    def decide(random, t, state, _):
        return drawn(random, (policy if policy.ndim == 2 else policy[t])[state]), None

    return play(key, world, decide, num_episodes=num_episodes, num_steps=num_steps)


def play(key, world: World, decide: Callable, *, num_episodes: int, num_steps: int) -> Behaviour:
    """Recorded decisions of whatever chooses by `decide`, all episodes side by side.

    decide: of (random, t, state, memory), a NumPy generator, the time, the `[E]` present states and what it returned
    last, None at first; returns the `[E]` actions, which must be available, and what it wants to remember.

    An episode has `num_steps` decisions; fewer if the world's horizon is earlier, or if it comes to a state that cannot
    be left and offers one action: nothing is decided there. An episode that begins in one has one decision.

    The world's chances and those of `decide` are drawn from streams of their own, so that agents who do the same are
    recorded the same. Costs some microseconds a step for each hundred episodes, on the host, without compilation.
    Raises InputError for `PossibleWorlds` and for numbers below 1.
    """
    check_actual(world)
    check_whole("num_episodes", num_episodes, 1)
    check_whole("num_steps", num_steps, 1)
    length = num_steps if world.horizon is None else min(num_steps, world.horizon)
    successors, chance = links(world.transition)
    over = absorbing_states(world) & (np.asarray(world.available).sum(-1) == 1)
    worldly, mental = generator(key).spawn(2)

    state = drawn(worldly, np.broadcast_to(np.asarray(world.initial, np.float64), (num_episodes, world.num_states)))
    goes_on, memory, rows = np.ones(num_episodes, bool), None, []
    for t in range(length):
        action, memory = decide(mental, t, state, memory)
        following = successors[state, drawn(worldly, chance[state, action])]
        episode = np.flatnonzero(goes_on)
        rows.append(np.stack([episode, np.full(len(episode), t), *(x[episode] for x in (state, action, following))]))
        goes_on = goes_on & ~over[following]
        state = following
        if not goes_on.any():
            break
    table = np.concatenate(rows, axis=1)
    table = table[:, np.lexsort((table[1], table[0]))].astype(np.int64)
    columns = dict(zip(("episode", "t", "state", "action", "next_state"), table, strict=True))
    return Behaviour(pd.DataFrame(columns), world.num_states, world.num_actions)


def generator(key) -> np.random.Generator:
    """NumPy's generator, begun from a key of JAX."""
    return np.random.default_rng(np.asarray(jax.random.key_data(key)))


def drawn(random, probabilities) -> np.ndarray:
    """`[E]` places drawn from the rows of `[E, n]` weights, by one uniform number each."""
    steps = np.cumsum(probabilities, axis=-1)
    total = steps[:, -1]
    level = np.minimum(random.random(len(steps)) * total, np.nextafter(total, 0.0))
    return np.argmax(steps > level[:, None], axis=-1)


def check_actual(world) -> None:
    """Raise InputError for anything but one `WorldModel`."""
    if isinstance(world, PossibleWorlds):
        raise InputError("an agent acts in one world: give one of them in place of PossibleWorlds")
    check_world(world)

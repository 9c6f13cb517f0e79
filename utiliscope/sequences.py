"""Uniform action sequences: the random policies of people and animals who remember."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .errors import InputError, check_whole
from .payoffs import Payoffs
from .values import expected_utility, on_device
from .world.model import is_deterministic
from .world.possible import PossibleWorlds, World, weighted_worlds
from .world.transition import likeliest


class ActionSequences(eqx.Module):
    """Uniform sequences of `horizon` actions, chosen among those available where the sequence has led.

    In a deterministic world with one start these are all deterministic policies with memory. As a policy it is
    `[H, S, A]`: step t takes the k-th available action of the state, k = floor(choice_t * how many there are).
    Utilities are counted over the same `horizon`. In `PossibleWorlds` the choices are the same in each, whatever they
    lead to there.
    """

    horizon: int = eqx.field(static=True)

    def __init__(self, horizon: int):
        check_whole("the horizon of ActionSequences", horizon, 1)
        self.horizon = int(horizon)

    @property
    def atomic(self) -> bool:
        return True

    def sample(self, key, world: World):
        """`[H, S, A]`, one-hot rows."""
        return self.policy(self.draw(key, world), world)

    def policy(self, choices, world: World):
        """`[H, S, A]` policy of `[H]` choices."""
        actions = _actions(choices[:, None], world, jnp.arange(world.num_states))
        return jax.nn.one_hot(actions, world.num_actions, dtype=choices.dtype)

    def draw(self, key, world: World):
        """`[H]` numbers in [0, 1) that choose an action for each step."""
        return jax.random.uniform(key, (self.horizon,))

    def perturb(self, key, choices, world: World):
        """Another choice at one step: new choices and the log ratio of the move (0)."""
        step_key, choice_key = jax.random.split(key)
        step = jax.random.randint(step_key, (), 0, self.horizon)
        return choices.at[step].set(jax.random.uniform(choice_key)), jnp.zeros((), choices.dtype)

    def value(self, choices, world: World, payoffs: Payoffs):
        """Utility of a sequence: along its path from each start if the world is deterministic, else by matrices."""
        known = not any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(world))
        if known and is_deterministic(world):
            return path_value(choices, world, payoffs)
        return expected_utility(world, self.policy(choices, world), payoffs)


def comparison_world(world: World, policy_prior) -> World:
    """`world`, or each possible world, with the horizon over which policies are compared under `policy_prior`."""
    horizon = getattr(policy_prior, "horizon", None)
    if horizon is None or horizon == world.horizon:
        return world
    if world.horizon is not None:
        raise InputError(
            f"the world's horizon is {world.horizon}, that of the action sequences {horizon}; make them equal"
        )
    if isinstance(world, PossibleWorlds):
        longer = tuple(dataclasses.replace(one, horizon=horizon) for one in world.worlds)
        return dataclasses.replace(world, worlds=longer)
    return dataclasses.replace(world, horizon=horizon)


def path_value(choices, world: World, payoffs: Payoffs):
    """Utility of `[H]` choices in a deterministic world, averaged over its starts; `[U]` for a stack of payoffs.

    Of `PossibleWorlds` the starts in each. Memory grows with the number of starts, not with S^2.
    """
    chances, worlds = zip(*weighted_worlds(world), strict=True)
    initial = np.array([chance * np.asarray(one.initial) for chance, one in zip(chances, worlds, strict=True)])
    place, starts = np.nonzero(initial)
    weight, place = jnp.asarray(initial[place, starts]), jnp.asarray(place)
    discount_rate = jnp.asarray(np.array([float(one.discount) for one in worlds]))[place]
    following = jnp.asarray(np.array([likeliest(one.transition)[0] for one in worlds]))
    payoffs = on_device(payoffs)

    def step(carry, choice):
        states, discount, total, memory = carry
        actions = _actions(choice, world, states)
        now, memory = _paid(payoffs, states, memory)
        if payoffs.action is not None:
            now = now + payoffs.action[..., states, actions]
        return (following[place, states, actions], discount * discount_rate, total + discount * now, memory), None

    total = jnp.zeros((*payoffs.state.shape[:-1], len(starts)))
    absent = jnp.ones((payoffs.targets.shape[0], len(starts)), bool)
    memory = absent, jnp.zeros((len(payoffs.automata), len(starts)), jnp.int32)
    (states, discount, total, memory), _ = jax.lax.scan(
        step, (jnp.asarray(starts), jnp.ones(len(starts)), total, memory), choices
    )
    now, _ = _paid(payoffs, states, memory)
    return (total + discount * now) @ weight


def _paid(payoffs, states, memory):
    """What being in `states` pays; which targets are then still to be reached, and what each automaton remembers."""
    absent, memories = memory
    arrived = absent & payoffs.targets[:, states]
    total = payoffs.state[..., states] + payoffs.reach @ arrived.astype(payoffs.reach.dtype)
    if not payoffs.automata:
        return total, (absent & ~arrived, memories)
    read = [
        (jnp.where(now >= 0, one.pay[now, states], 0.0), jnp.where(now >= 0, one.step[now, states], -1))
        for one, now in zip(payoffs.automata, memories, strict=True)
    ]
    paid, memories = (jnp.stack(part) for part in zip(*read, strict=True))
    return total + payoffs.weight @ paid, (absent & ~arrived, memories.astype(jnp.int32))


def _actions(choices, world, states):
    """The action that `choices` in [0, 1) take in `states`, by rank among the available ones."""
    available = jnp.asarray(world.available)
    ranked = jnp.argsort(~available, axis=-1, stable=True)
    number = available.sum(-1)[states]
    rank = jnp.minimum(jnp.floor(choices * number).astype(int), number - 1)
    return ranked[states, rank]

"""`PossibleWorlds`: a weighted set of worlds, for an agent, or an observer, who does not know which one it is."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from utiliscope.errors import InputError, listed

from .model import WorldModel
from .transition import SparseTransition, collected, links


class PossibleWorlds(eqx.Module):
    r"""Worlds w of the same states and actions, with probabilities P(w): current beliefs, or a prior over environments.

    .. math:: V(\pi) = \sum_w P(w) \, V_w(\pi)

    Worlds are averaged first, then policies are compared: a policy is the same in every world, and does not see which
    one it is in. Build one with `possible_worlds`, which checks it.

    worlds: `B` worlds. weights: `[B]` P(w), above 0; they sum to 1.
    """

    worlds: tuple[WorldModel, ...]
    weights: Float[Array | np.ndarray, " B"]

    # No `transition`: a mean of transitions would be silently taken for a world, and has other values (`mean_world`).

    @property
    def num_states(self) -> int:
        return self.worlds[0].num_states

    @property
    def num_actions(self) -> int:
        return self.worlds[0].num_actions

    @property
    def available(self):
        """`[S, A]`, common to all worlds."""
        return self.worlds[0].available

    @property
    def features(self) -> dict:
        """Common to all worlds, or a utility would mean something else in each."""
        return self.worlds[0].features

    @property
    def xy(self):
        """`[S, 2]` where the first world that is drawn has its states, or None."""
        return next((one.xy for one in self.worlds if one.xy is not None), None)

    @property
    def state_names(self) -> tuple[str, ...]:
        return self.worlds[0].state_names

    @property
    def action_names(self) -> tuple[str, ...]:
        return self.worlds[0].action_names

    @property
    def horizon(self) -> int | None:
        return self.worlds[0].horizon

    @property
    def initial(self):
        """`[S]` probability of the first state, whatever the world."""
        return self.mean(lambda one: one.initial)

    @property
    def discount(self):
        """Scalar, the weighted mean; values use each world's own."""
        rates = [one.discount for one in self.worlds]
        known = not any(isinstance(rate, jax.core.Tracer) for rate in rates)
        # A mean of equal numbers would be off in its last digit.
        return rates[0] if known and len(set(map(float, rates))) == 1 else self.mean(lambda one: one.discount)

    def mean(self, of):
        """Weighted mean of an array that each world has, `of(world)`."""
        return sum(weight * of(one) for weight, one in zip(self.weights, self.worlds, strict=True))


World = WorldModel | PossibleWorlds


def possible_worlds(worlds, weights=None) -> PossibleWorlds:
    """Checked `PossibleWorlds`.

    worlds: a list of `WorldModel`s that agree in their states, actions, names, available actions, features and
    horizon. Transitions, starts and discounts may differ.
    weights: `[B]` how likely each is, on any scale; equal by default. Worlds of weight 0 are left out.

    Raises InputError where worlds disagree, and for weights that are not finite, negative or all 0.
    """
    if isinstance(worlds, WorldModel | PossibleWorlds):
        raise InputError(f"worlds is one {type(worlds).__name__}; give a list of worlds: possible_worlds([world, ...])")
    worlds = tuple(worlds)
    if not worlds:
        raise InputError("worlds is empty; give at least one possible world")
    for i, one in enumerate(worlds):
        if not isinstance(one, WorldModel) or np.ndim(one.initial) != 1:
            shown = "a stack of worlds" if isinstance(one, WorldModel) else f"a {type(one).__name__}"
            raise InputError(f"worlds[{i}] is {shown}, not one WorldModel; give a flat list of worlds")
        _check_agreement(i, one, worlds[0])
    weights = _checked_weights(weights, len(worlds))
    kept = weights > 0
    return PossibleWorlds(tuple(one for one, keep in zip(worlds, kept, strict=True) if keep), weights[kept])


def weighted_worlds(world: World) -> list[tuple[float, WorldModel]]:
    """(probability, world) of every possible world; one world alone has probability 1."""
    if isinstance(world, WorldModel):
        return [(1.0, world)]
    return list(zip(world.weights, world.worlds, strict=True))


def mean_world(world: World) -> WorldModel:
    """The world whose transitions, starts and discount are weighted means; of one world, itself.

    It has every move that some world has, and is drawn and stored in their place. Its values are *not* theirs: it
    chooses a world anew at every step, where a possible world stays what it is.
    """
    if isinstance(world, WorldModel):
        return world
    return dataclasses.replace(
        world.worlds[0],
        transition=_mean_transition(world),
        initial=world.initial,
        discount=np.asarray(world.discount),
        xy=world.xy,
    )


def _mean_transition(world):
    if not any(isinstance(one.transition, SparseTransition) for one in world.worlds):
        return world.mean(lambda one: np.asarray(one.transition))
    moves = []
    for weight, one in zip(np.asarray(world.weights), world.worlds, strict=True):
        successors, chance = links(one.transition)
        state, action, place = np.nonzero(chance)
        moves.append((state, action, successors[state, place], weight * chance[state, action, place]))
    return collected(*map(np.concatenate, zip(*moves, strict=True)), (world.num_states, world.num_actions))


def averaged(function, world: PossibleWorlds):
    """Weighted mean over the possible worlds of what `function(world)` returns, arrays or a tree of them.

    Worlds whose arrays have the same shapes are stacked and mapped over, so that many compile and run as one.
    """
    groups: dict[tuple, list[int]] = {}
    for i, one in enumerate(world.worlds):
        shapes = tuple(jnp.shape(leaf) for leaf in jax.tree.leaves(one))
        groups.setdefault((jax.tree.structure(one), shapes), []).append(i)
    weights, total = jnp.asarray(world.weights), None
    for places in groups.values():
        stack = jax.tree.map(lambda *parts: jnp.stack(parts), *(world.worlds[i] for i in places))
        share = weights[np.array(places)]
        part = jax.tree.map(lambda x, share=share: jnp.tensordot(share, x, 1), jax.vmap(function)(stack))
        total = part if total is None else jax.tree.map(jnp.add, total, part)
    return total


def _check_agreement(i, one, first):
    def refuse(what, here, there, advice):
        raise InputError(f"worlds[{i}] has {what} {here}, worlds[0] {there}; {advice}")

    shape, common = (one.num_states, one.num_actions), (first.num_states, first.num_actions)
    if shape != common:
        refuse("(states, actions)", shape, common, "possible worlds share both, also those that only some can reach")
    for what in ("state_names", "action_names"):
        here, there = getattr(one, what), getattr(first, what)
        if here != there:
            other = [(a, b) for a, b in zip(here, there, strict=False) if a != b]
            shown = other[0] if other else (len(here), len(there))
            refuse(what, repr(shown[0]), repr(shown[1]), "name states and actions alike, and in the same order")
    differs = np.asarray(one.available) != np.asarray(first.available)
    if differs.any():
        state, action = (int(x) for x in np.argwhere(differs)[0])
        raise InputError(
            f"worlds[{i}] and worlds[0] disagree whether action {action} is available in state {state}; a policy does "
            "not know which world it is in: make it available in both, as one that stays where it does nothing"
        )
    if one.horizon != first.horizon:
        refuse("the horizon", one.horizon, first.horizon, "give all possible worlds the same one")
    if set(one.features) != set(first.features):
        odd = sorted(set(one.features) ^ set(first.features))
        refuse("the features", listed(one.features), listed(first.features), f"{listed(odd)} must be in all or none")
    for name, values in one.features.items():
        if not np.array_equal(values, first.features[name]):
            raise InputError(
                f"feature {name!r} differs between worlds[{i}] and worlds[0]; a utility is over state sequences, the "
                "same in all worlds: put what differs into the state, or into names of its own"
            )


def _checked_weights(weights, number) -> np.ndarray:
    try:
        weights = np.ones(number) if weights is None else np.array(weights, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"weights is not a list of numbers: {error}") from None
    if weights.shape != (number,):
        raise InputError(f"weights has shape {weights.shape}; give one number for each of {number} worlds")
    bad = ~(np.isfinite(weights) & (weights >= 0))
    if bad.any():
        place = int(np.argmax(bad))
        raise InputError(f"weights[{place}] is {weights[place]}; weights are finite and not negative")
    if not weights.any():
        raise InputError("all weights are 0; at least one world must be possible")
    weights = weights / weights.max()  # first, or huge weights overflow in their sum
    return weights / weights.sum()

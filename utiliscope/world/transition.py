"""Transitions of bounded branching, and what is asked of transitions of either kind.

A transition is a dense `[S, A, S]` array or a `SparseTransition`, whose memory grows with the number of moves.
Other modules ask the functions here, and never index one.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from utiliscope.errors import InputError


class SparseTransition(eqx.Module):
    """Probabilities of the next state, kept for the `K` states only that each state can lead to.

    Build one with `sparse_transition`.

    successors: `[S, K]` where a state can lead under any of its actions; distinct, and where there are fewer one of
        them is repeated with chance 0.
    chance: `[S, A, K]` probability of going there; the last axis sums to 1.
    """

    successors: Int[Array | np.ndarray, "*B S K"]
    chance: Float[Array | np.ndarray, "*B S A K"]

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the dense array: `[S, A, S]`."""
        return (*self.chance.shape[:-1], self.successors.shape[-2])

    @property
    def ndim(self) -> int:
        return self.chance.ndim

    def dense(self):
        """`[S, A, S]` probabilities, for worlds small enough."""
        rows, actions = np.arange(self.shape[0])[:, None, None], np.arange(self.shape[1])[:, None]
        place = rows, actions, self.successors[:, None, :]
        if isinstance(self.chance, jax.Array):
            return jnp.zeros(self.shape, self.chance.dtype).at[place].add(self.chance)
        table = np.zeros(self.shape)
        np.add.at(table, place, self.chance)
        return table

    def __array__(self, dtype=None, copy=None):
        # Else NumPy would make an array of one object of it, which hashes and compares as anything.
        raise InputError(
            "a sparse transition was used as an array; call its dense() where S x A x S numbers fit into memory"
        )


def sparse_transition(next_state, probability=None) -> SparseTransition:
    """A `SparseTransition` from lists of next states.

    next_state: `[S, A]`, or `[S, A, K]` for up to K outcomes of an action, in any order; -1 for no outcome.
    probability: of the same shape, by default 1. Outcomes that are listed twice are added up.

    An action without outcomes must be marked as unavailable in `world_model`, which also checks that the others'
    sum to 1. Memory grows with the numbers given. Raises InputError for states out of range and for probabilities
    that are negative or not finite, with their place.
    """
    next_state = whole_numbers("next_state", next_state)
    if next_state.ndim not in (2, 3) or 0 in next_state.shape:
        raise InputError(f"next_state has shape {next_state.shape}; it must be [states, actions, outcomes]")
    probability = _floats("probability", np.ones(next_state.shape) if probability is None else probability)
    if probability.shape != next_state.shape:
        shapes = f"probability has shape {probability.shape}, and next_state {next_state.shape}"
        raise InputError(f"{shapes}; give one probability for each")
    num_states, num_actions = next_state.shape[:2]
    check_states("next_state", next_state, num_states, least=-1)
    wrong = (next_state >= 0) & ~(np.isfinite(probability) & (probability >= 0))
    if wrong.any():
        where = np.argwhere(wrong)[0].tolist()
        raise InputError(f"probability{where} is {probability[tuple(where)]}; probabilities are finite numbers >= 0")
    present = np.nonzero(next_state >= 0)
    moves = present[0], present[1], next_state[present], probability[present]
    return collected(*moves, (num_states, num_actions))


def check_states(name, states, num_states, *, least=0) -> None:
    """Raise InputError unless all `states` are in `least`..`num_states` - 1."""
    outside = (states < least) | (states >= num_states)
    if outside.any():
        where = np.argwhere(outside)[0].tolist()
        none = ", and -1 says that there is none" if least < 0 else ""
        raise InputError(f"{name}{where} is {states[tuple(where)]}; states are 0..{num_states - 1}{none}")


def collected(state, action, next_state, probability, shape) -> SparseTransition:
    """The transition of `[N]` moves; those of one kind are added up, and those of chance 0 left out."""
    num_states, num_actions = shape
    kept = probability != 0
    state, action, next_state, probability = (x[kept] for x in (state, action, next_state, probability))
    links, link = np.unique(state.astype(np.int64) * num_states + next_state, return_inverse=True)
    start, end = links // num_states, links % num_states
    number = np.bincount(start, minlength=num_states)
    rank = np.arange(len(links)) - (np.cumsum(number) - number)[start]
    width = max(int(number.max()), 1)
    # Each state's own index fills up the row of one without any move, its first successor the others.
    filler = np.arange(num_states)
    filler[start[rank == 0]] = end[rank == 0]
    successors = np.repeat(filler[:, None], width, axis=1).astype(np.int32)
    successors[start, rank] = end
    chance = np.zeros((num_states, num_actions, width))
    np.add.at(chance, (state, action, rank[link]), probability)
    return SparseTransition(successors, chance)


def with_loops(transition, usable):
    """`transition` in NumPy with self-loops in place of the actions that are not `usable` `[S, A]`."""
    if not isinstance(transition, SparseTransition):
        loops = np.broadcast_to(np.eye(len(transition))[:, None, :], transition.shape)
        return np.where(usable[:, :, None], transition, loops)
    chance, successors = np.asarray(transition.chance), np.asarray(transition.successors)
    used, barred = np.nonzero(usable[:, :, None] & (chance != 0)), np.nonzero(~usable)
    return collected(
        np.concatenate([used[0], barred[0]]),
        np.concatenate([used[1], barred[1]]),
        np.concatenate([successors[used[0], used[2]], barred[0]]),
        np.concatenate([chance[used], np.ones(len(barred[0]))]),
        usable.shape,
    )


def links(transition) -> tuple[np.ndarray, np.ndarray]:
    """`[S, K]` successors, ascending, and `[S, A, K]` chances of them, in NumPy; where fewer, others with chance 0."""
    if isinstance(transition, SparseTransition):
        return np.asarray(transition.successors), np.asarray(transition.chance)
    transition = np.asarray(transition)
    possible = (transition > 0).any(1)
    number = max(int(possible.sum(-1).max()), 1)
    successors = np.argsort(~possible, axis=-1, kind="stable")[:, :number]
    return successors, np.take_along_axis(transition, successors[:, None, :], axis=-1)


def on_host(transition):
    """`transition` in NumPy, of its kind."""
    return SparseTransition(*links(transition)) if isinstance(transition, SparseTransition) else np.asarray(transition)


def moves(transition, available) -> np.ndarray:
    """`[M, 2]` pairs of a state and a next one that some available action leads to, in ascending order."""
    allowed = np.asarray(available)[:, :, None]
    if not isinstance(transition, SparseTransition):
        return np.argwhere(((np.asarray(transition) > 0) & allowed).any(1))
    successors, chance = links(transition)
    state, place = np.nonzero(((chance > 0) & allowed).any(1))
    pairs = np.stack([state, successors[state, place]], -1).astype(np.int64)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def likeliest(transition) -> tuple[np.ndarray, np.ndarray]:
    """`[S, A]` the likeliest next state, the first of equals, and its probability, in NumPy."""
    if not isinstance(transition, SparseTransition):
        transition = np.asarray(transition)
        return transition.argmax(-1), transition.max(-1)
    successors, chance = links(transition)
    return np.take_along_axis(successors, chance.argmax(-1), axis=-1).astype(np.int64), chance.max(-1)


def chance_of(transition, state, action, next_state) -> np.ndarray:
    """`[N]` probability that `action` in `state` leads to `next_state`, `[N]` each."""
    if not isinstance(transition, SparseTransition):
        return np.asarray(transition)[state, action, next_state]
    successors, chance = links(transition)
    return np.where(successors[state] == next_state[:, None], chance[state, action], 0.0).sum(-1)


def next_values(transition, value):
    """`[S, A]` expected `value` `[S]` of the next state; NumPy or JAX as it is given."""
    if not isinstance(transition, SparseTransition):
        return transition @ value
    return (transition.chance @ value[transition.successors][:, :, None])[:, :, 0]


def under(transition, policy):
    """The transition of the chain that `policy` `[S, A]` makes, of either kind, with one action (JAX)."""
    if not isinstance(transition, SparseTransition):
        return jnp.einsum("sa,sat->st", policy, transition)[:, None]
    return SparseTransition(transition.successors, jnp.einsum("sa,sak->sk", policy, transition.chance)[:, None])


def push(transition, flow):
    """`[S]` where `flow` `[S, A]`, the weight of each action in each state, leads in one step (JAX)."""
    if not isinstance(transition, SparseTransition):
        return jnp.einsum("sa,sat->t", flow, transition)
    weight = jnp.einsum("sa,sak->sk", flow, transition.chance)
    return jnp.zeros(weight.shape[0], weight.dtype).at[transition.successors].add(weight)


def whole_numbers(name, values) -> np.ndarray:
    """`values` as integers; raise InputError for anything else."""
    numbers = _floats(name, values)
    broken = ~(numbers % 1 == 0)
    if broken.any():
        where = np.argwhere(broken)[0].tolist()
        raise InputError(f"{name}{where} is {numbers[tuple(where)]}; states are whole numbers, and -1 says none")
    return numbers.astype(np.int64)


def _floats(name, values) -> np.ndarray:
    try:
        return np.array(values, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} is not an array of numbers: {error}") from None

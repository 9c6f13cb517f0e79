"""`Payoffs`: what a utility pays along a state sequence, in the form that values are computed from."""

from typing import Protocol

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Bool, Float

from .automata import Automaton
from .errors import InputError


class Payoffs(eqx.Module):
    """What one utility, or `U` stacked ones, pay along a state sequence s_0, s_1, ....

    A sequence is worth  sum_t discount**t (state[s_t] + action[s_t, a_t]) + sum_c reach[c] discount**T_c
    with T_c the first time in `targets[c]` (never: 0), and what each automaton pays, times its weight. States count
    from s_0 to the last state, actions only where one is taken.

    state: `[*U, S]` paid at each visit.
    action: `[*U, S, A]` paid for each action, or None.
    reach: `[*U, C]` paid once, on the first arrival.
    targets: `[C, S]` the sets of states that `reach` speaks of, shared by all utilities.
    weight: `[*U, D]` of each automaton, or None where there are none.
    automata: `D` forms with memory, shared by all utilities.
    """

    state: Float[Array | np.ndarray, "*U S"]
    action: Float[Array | np.ndarray, "*U S A"] | None
    reach: Float[Array | np.ndarray, "*U C"]
    targets: Bool[Array | np.ndarray, "C S"]
    weight: Float[Array | np.ndarray, "*U D"] | None = None
    automata: tuple[Automaton, ...] = ()

    @property
    def num_utilities(self) -> int:
        return self.state.shape[0]

    def __getitem__(self, index) -> "Payoffs":
        """The utilities at `index` of a stack."""
        action = None if self.action is None else self.action[index]
        weight = None if self.weight is None else self.weight[index]
        return Payoffs(self.state[index], action, self.reach[index], self.targets, weight, self.automata)


class UtilityProgram(Protocol):
    """A utility that knows what it pays: the programs of a grammar, or a user's own."""

    def payoffs(self, world) -> Payoffs: ...


def as_payoffs(world, utility) -> Payoffs:
    """`utility` as `Payoffs`: a `[S]` or `[S, A]` array a step, `Payoffs`, a utility program or Candidates."""
    if isinstance(utility, Payoffs):
        return utility
    if callable(getattr(utility, "payoffs", None)):
        return utility.payoffs(world)
    if isinstance(getattr(utility, "payoffs", None), Payoffs):
        return utility.payoffs
    if isinstance(utility, str):
        raise InputError(f"utility is the text {utility!r}; read it with Grammar(world).parse({utility!r})")
    array = utility if isinstance(utility, jax.Array) else np.asarray(utility, getattr(utility, "dtype", np.float64))
    num_states, num_actions = world.num_states, world.num_actions
    none = np.zeros((0,))
    targets = np.zeros((0, num_states), bool)
    if array.shape == (num_states,):
        return Payoffs(array * 1.0, None, none, targets)
    if array.shape == (num_states, num_actions):
        return Payoffs(np.zeros(num_states), array * 1.0, none, targets)
    raise InputError(
        f"utility has shape {array.shape}; give payoffs a step, [states] = ({num_states},) or "
        f"[states, actions] = ({num_states}, {num_actions}), or a utility program"
    )


def stack_payoffs(payoffs: list[Payoffs]) -> Payoffs:
    """Single utilities as one stack: targets and automata merged, missing parts filled with zeros."""
    (reach, targets), (weight, automata) = shared_targets(payoffs), shared_automata(payoffs)
    shapes = [one.action.shape for one in payoffs if one.action is not None]
    action = (
        np.stack([np.zeros(shapes[0]) if one.action is None else np.asarray(one.action) for one in payoffs])
        if shapes
        else None
    )
    state = np.stack([np.asarray(one.state, np.float64) for one in payoffs])
    weight = _table(weight, (len(payoffs), len(automata))) if automata else None
    return Payoffs(state, action, _table(reach, (len(payoffs), len(targets))), targets, weight, automata)


def shared_targets(payoffs):
    """Row, column and amount of what single utilities are paid on arrival, and the `[C, S]` sets that columns are."""
    entries, targets = _shared([(one.reach, np.asarray(one.targets)) for one in payoffs], np.ndarray.tobytes)
    return entries, np.array(targets, bool).reshape(len(targets), payoffs[0].state.shape[-1])


def shared_automata(payoffs):
    """Row, column and weight of the automata of single utilities, and the automata that columns are."""
    entries, automata = _shared(
        [((), ()) if one.weight is None else (one.weight, one.automata) for one in payoffs], _content
    )
    return entries, tuple(automata)


def _shared(lists, name):
    """Row, column and weight of the different things that the utilities' lists of (weights, things) speak of."""
    index, things, entries = {}, [], []
    for row, (weights, some) in enumerate(lists):
        for weight, thing in zip(np.asarray(weights), some, strict=True):
            column = index.setdefault(name(thing), len(things))
            if column == len(things):
                things.append(thing)
            entries.append((row, column, weight))
    rows, columns, weights = zip(*entries, strict=True) if entries else ((), (), ())
    return (np.array(rows, int), np.array(columns, int), np.array(weights, np.float64)), things


def _table(entries, shape):
    table = np.zeros(shape)
    rows, columns, weights = entries
    np.add.at(table, (rows, columns), weights)
    return table


def _content(machine):
    return np.asarray(machine.step).tobytes(), np.asarray(machine.pay).tobytes()

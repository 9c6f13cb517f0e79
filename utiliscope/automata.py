"""`Automaton`: a payoff along a state sequence that depends on what has been seen."""

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float, Int

from .errors import InputError
from .memory_classes import smallest_machine


class Automaton(eqx.Module):
    """What one form with memory pays: a finite-state machine that reads a state sequence s_0, s_1, ....

    Memory begins as 0. Reading s_t with memory m pays  discount**t pay[m, s_t]  and leaves the memory step[m, s_t].

    step: `[M, S]` the memory left, or -1 where nothing is paid any more, whatever comes.
    pay: `[M, S]`.
    """

    step: Int[Array | np.ndarray, "M S"]
    pay: Float[Array | np.ndarray, "M S"]

    @property
    def num_memories(self) -> int:
        return self.step.shape[0]


def automaton(step, pay) -> Automaton:
    """A validated `Automaton` from `[M, S]` arrays, with memories that are never left behind and pay nothing cut off.

    Raises InputError for shapes that differ, memories that do not exist, and amounts that are not finite.
    """
    step, pay = np.asarray(step), np.asarray(pay, np.float64)
    if step.ndim != 2 or step.shape != pay.shape or not len(step):
        raise InputError(f"step and pay of an automaton are [memories, states]; these are {step.shape} and {pay.shape}")
    if not np.issubdtype(step.dtype, np.integer) or step.min(initial=0) < -1 or step.max(initial=-1) >= len(step):
        raise InputError(
            f"step of an automaton leads to whole memories from 0 to {len(step) - 1}, or to -1 for the end"
        )
    if not np.isfinite(pay).all():
        memory, state = np.argwhere(~np.isfinite(pay))[0]
        raise InputError(f"an automaton pays {pay[memory, state]} for state {state} with memory {memory}; give numbers")
    return smallest(step, pay)


def arrivals(targets) -> list[Automaton]:
    """First arrivals in each of `[C, S]` sets: nothing to remember, and the end on arrival."""
    return [Automaton(np.where(target, -1, 0)[None].astype(np.int32), target[None] * 1.0) for target in targets]


def smallest(step, pay) -> Automaton:
    """The smallest automaton that pays the same along every sequence as `[M, S]` step and pay."""
    return Automaton(*smallest_machine(np.ascontiguousarray(step, np.int64), np.ascontiguousarray(pay, np.float64)))

"""`Candidates`: the utilities that are compared, with their names, code lengths and payoffs."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from ..errors import InputError, listed
from ..payoffs import Payoffs, as_payoffs, stack_payoffs

# Rounding in a sum of masses that is exactly 1.
_KRAFT_TOLERANCE = 1e-9


@dataclass(frozen=True, eq=False, repr=False)
class Candidates:
    """`U` utilities, shortest first.

    names: what each is called; for utilities of a grammar, the shortest program.
    code_length: `[U]` bits K; 2^-K is the prior mass, and the masses sum to at most 1.
    payoffs: the stack of what they pay.
    """

    names: list[str]
    code_length: Float[np.ndarray, " U"]
    payoffs: Payoffs

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, indices) -> "Candidates":
        """Some of the candidates: a slice, a list of places, or a mask; in the order asked for."""
        places = np.atleast_1d(np.arange(len(self))[indices])
        return Candidates([self.names[i] for i in places], self.code_length[places], self.payoffs[places])

    def index(self, name: str) -> int:
        """The place of the candidate called `name`."""
        if name not in self.names:
            raise InputError(f"no candidate is called {name!r}; there are {listed(self.names)}")
        return self.names.index(name)

    def select(self, names) -> "Candidates":
        """The candidates of these names, in the order given."""
        return self[np.array([self.index(name) for name in names], int)]

    def to_frame(self) -> pd.DataFrame:
        """One row for each candidate: `utility`, `code_length`."""
        return pd.DataFrame({"utility": self.names, "code_length": self.code_length})

    def __repr__(self) -> str:
        shown = (f"{name}  {bits:.2f} bits" for name, bits in zip(self.names, self.code_length, strict=True))
        return f"Candidates({len(self)}: {listed(shown)})"


def candidate_set(world, utilities: Mapping, code_length=None) -> Candidates:
    """Candidates of your own choice.

    utilities: name to `[S]` or `[S, A]` payoffs a step, `Payoffs`, a program, or an expression such as
        "reach(G) - 2*time(b)", in which single states (@12) may be named as well.
    code_length: bits of each, in the order of `utilities` or by name; by default the same for all, log2 U.
        The masses 2^-bits must sum to at most 1.
    """
    if not isinstance(utilities, Mapping) or not utilities:
        raise InputError("candidate_set() takes a mapping from name to utility, with at least one utility")
    names = list(utilities)
    unnamed = [name for name in names if not isinstance(name, str) or not name]
    if unnamed:
        raise InputError(f"a candidate is called {unnamed[0]!r}; names are non-empty strings")
    payoffs = [_checked_payoffs(world, name, utility) for name, utility in utilities.items()]
    return sorted_candidates(names, _checked_code_length(code_length, names), payoffs)


def sorted_candidates(names: list[str], code_length, payoffs: list[Payoffs]) -> Candidates:
    """The parts put together, by code length and then by name."""
    # Rounding in the last digits must not decide the order of equals.
    order = sorted(range(len(names)), key=lambda i: (round(float(code_length[i]), 9), names[i]))
    bits = np.array([code_length[i] for i in order], np.float64)
    return Candidates([names[i] for i in order], bits, stack_payoffs([payoffs[i] for i in order]))


def _checked_payoffs(world, name, utility) -> Payoffs:
    # The grammar imports this module.
    from .grammar import Grammar

    try:
        if isinstance(utility, str):
            utility = Grammar(world, states=True).parse(utility)
        payoffs = as_payoffs(world, utility)
    except (TypeError, ValueError) as error:
        raise InputError(f"utility {name!r}: {error}") from None
    num_states, num_actions = world.num_states, world.num_actions
    num_targets = payoffs.targets.shape[0]
    parts = {
        "state": (payoffs.state, (num_states,)),
        "action": (payoffs.action, (num_states, num_actions)),
        "reach": (payoffs.reach, (num_targets,)),
        "targets": (payoffs.targets, (num_targets, num_states)),
    }
    for part, (values, shape) in parts.items():
        if values is None:
            continue
        if values.shape != shape:
            raise InputError(f"utility {name!r}: {part} has shape {values.shape}, not {shape} as in this world")
        finite = np.isfinite(np.asarray(values))
        if not finite.all():
            where = [int(i) for i in np.argwhere(~finite)[0]]
            raise InputError(f"utility {name!r} pays {np.asarray(values)[tuple(where)]} at {part} {where}; give numbers")
    return payoffs


def _checked_code_length(code_length, names) -> np.ndarray:
    if code_length is None:
        return np.full(len(names), np.log2(len(names)))
    if isinstance(code_length, Mapping):
        if set(code_length) != set(names):
            odd = sorted(map(str, set(code_length) ^ set(names)))
            raise InputError(f"code_length and the utilities differ in their names: {listed(odd)}")
        code_length = [code_length[name] for name in names]
    try:
        bits = np.array(code_length, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"code_length is not a list of numbers: {error}") from None
    if bits.shape != (len(names),):
        raise InputError(f"code_length has shape {bits.shape}; give one number of bits for each of {len(names)} utilities")
    bad = ~(np.isfinite(bits) & (bits >= 0))
    if bad.any():
        place = int(np.argmax(bad))
        raise InputError(f"code_length of {names[place]!r} is {bits[place]}; bits are finite and not negative")
    mass = float(np.sum(2.0**-bits))
    if mass > 1 + _KRAFT_TOLERANCE:
        raise InputError(
            f"the code lengths are too short: their masses 2^-bits sum to {mass:.6g}, more than 1; "
            f"add {np.log2(mass):.4g} bits to each"
        )
    return bits

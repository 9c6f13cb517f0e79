"""`Candidates`: the utilities that are compared, with their names, code lengths and payoffs."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from jaxtyping import Float

from utiliscope.errors import InputError, listed
from utiliscope.payoffs import Payoffs, stack_payoffs
from utiliscope.sparse_payoffs import SparsePayoffs


@dataclass(frozen=True, eq=False, repr=False)
class Candidates:
    """`U` utilities, shortest first.

    names: what each is called; for utilities of a grammar, the shortest program.
    code_length: `[U]` bits K; 2^-K is the prior mass, and the masses sum to at most 1.
    paid: the stack of what they pay, dense or sparse.
    """

    names: list[str]
    code_length: Float[np.ndarray, " U"]
    paid: Payoffs | SparsePayoffs

    @cached_property
    def payoffs(self) -> Payoffs:
        """The stack of what they pay. Where it is kept sparse, tables of all utilities and automata are made when first
        asked for: take some of the candidates where there are many."""
        return self.paid.dense() if isinstance(self.paid, SparsePayoffs) else self.paid

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, indices) -> "Candidates":
        """Some of the candidates: a slice, a list of places, or a mask; in the order asked for."""
        places = np.atleast_1d(np.arange(len(self))[indices])
        return Candidates([self.names[i] for i in places], self.code_length[places], self.paid[places])

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


def sorted_candidates(names: list[str], code_length, payoffs: list[Payoffs]) -> Candidates:
    """The parts put together, by code length and then by name."""
    # Rounding in the last digits must not decide the order of equals.
    order = sorted(range(len(names)), key=lambda i: (round(float(code_length[i]), 9), names[i]))
    bits = np.array([code_length[i] for i in order], np.float64)
    return Candidates([names[i] for i in order], bits, stack_payoffs([payoffs[i] for i in order]))

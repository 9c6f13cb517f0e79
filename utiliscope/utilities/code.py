"""Code lengths: how many bits a program of the grammar takes.

A program is a list of terms. Each term is announced by a flag bit and the list ends with a stop bit; a term is

    sign (1 bit)   |weight| (Elias gamma, 2 floor(log2 w) + 1 bits)   form (see `form_bits`)

Every part is a complete prefix code, so the masses 2^-bits of all programs sum to exactly 1. Constants are
notation outside the code: they change a utility by an affine map only, so a program costs what it costs without.
"""

import math

import numpy as np

from .meaning import state_names
from .syntax import Atom, Form


def form_bits(world, states: bool) -> dict[Form, float]:
    """Bits of every form that a term can take, in the order of names.

    With both features and single states: 1 bit says which. Then the atom, uniformly: log2 F or log2 S bits. Then
    1 bit for reach or time, none for a float feature, which has only time. The masses 2^-bits sum to 1.
    """
    features = {Atom(name): np.asarray(values).dtype == bool for name, values in world.features.items()}
    singles = {Atom(name, is_state=True): True for name in (state_names(world) if states else ())}
    choice = 1.0 if features and singles else 0.0
    bits = {}
    for atoms in (features, singles):
        for atom, is_set in atoms.items():
            for kind in ("reach", "time") if is_set else ("time",):
                bits[Form(kind, atom)] = choice + math.log2(len(atoms)) + float(is_set)
    return bits


def weight_bits(weight: int) -> int:
    """Elias gamma code length of a whole number from 1 on."""
    return 2 * weight.bit_length() - 1


def term_bits(weight: int, form_cost: float) -> float:
    """Bits of one term: its flag, sign, weight and form."""
    return 2.0 + weight_bits(abs(weight)) + form_cost


def program_bits(program, forms: dict[Form, float]) -> float:
    """Bits of a program: its terms and the stop bit."""
    return 1.0 + sum(term_bits(term.weight, forms[term.form]) for term in program.terms)


def largest_weight(bits: float) -> int:
    """The largest weight whose code takes at most `bits`, 0 if none does."""
    return 2 ** int((bits - 1) // 2 + 1) - 1 if bits >= 1 else 0

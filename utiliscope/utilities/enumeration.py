"""All programs up to a code length, and their masses summed by hypothesis."""

from typing import NamedTuple

import numpy as np

from utiliscope.errors import InputError

from .code import largest_weight, term_bits
from .equality import coefficients, hypotheses
from .syntax import KINDS, Program, Term

_MOST_PROGRAMS = 2_000_000
# Sums of logarithms that are equal on paper differ in the last digits.
_BIT_TOLERANCE = 1e-9


class Hypothesis(NamedTuple):
    """Programs that agree: the shortest of them, and the summed mass of all that were found."""

    program: Program
    mass: float


class _Sums(NamedTuple):
    """Programs of `m` terms without regard to order.

    terms: `[N, m]` places in the list of terms, ascending. bits: `[N]` code length of one ordering.
    orderings: `[N]` how many orderings there are.
    """

    terms: np.ndarray
    bits: np.ndarray
    orderings: np.ndarray


def enumerate_hypotheses(world, forms: dict, max_bits: float) -> list[Hypothesis]:
    """The hypotheses of all programs that take at most `max_bits` bits; `forms` says what each form costs."""
    terms = _affordable_terms(forms, max_bits)
    row = {form: i for i, form in enumerate({term.form: None for term, _ in terms})}
    sums = list(_sums(np.array([bits for _, bits in terms]), max_bits))
    table = coefficients(world, list(row))

    form_of = np.array([row[term.form] for term, _ in terms], int)
    weight_of = np.array([term.weight for term, _ in terms], np.float64)
    width = max(level.terms.shape[1] for level in sums)
    # The weight behind the last one is zero: it fills up the shorter sums.
    form_of, weight_of = np.append(form_of, 0), np.append(weight_of, 0.0)
    padded = np.concatenate(
        [np.pad(s.terms, ((0, 0), (0, width - s.terms.shape[1])), constant_values=len(terms)) for s in sums]
    )
    bits = np.concatenate([s.bits for s in sums])
    mass = np.concatenate([s.orderings for s in sums]) * 2.0**-bits
    group = hypotheses(table, form_of[padded], weight_of[padded])

    negative = (weight_of[padded] < 0).sum(1)
    order = np.lexsort((np.arange(len(bits)), negative, np.round(bits, 6), group))
    first = order[np.concatenate([[True], np.diff(group[order]) > 0])]
    total = np.bincount(group, mass)
    chosen = ([terms[i][0] for i in padded[place] if i < len(terms)] for place in first)
    return [Hypothesis(_in_order(terms_), float(total[group[p]])) for terms_, p in zip(chosen, first, strict=True)]


def _affordable_terms(forms, max_bits) -> list[tuple[Term, float]]:
    """Terms that fit into a program, with their bits: cheap and positive ones first."""
    # What is left for the weight after the stop bit, the flag, the sign and the form.
    largest = {form: largest_weight(max_bits + _BIT_TOLERANCE - 3 - cost) for form, cost in forms.items()}
    if 2 * sum(largest.values()) > _MOST_PROGRAMS:
        _refuse(max_bits)
    terms = [
        (Term(sign * weight, form), term_bits(weight, cost))
        for form, cost in forms.items()
        for weight in range(1, largest[form] + 1)
        for sign in (1, -1)
    ]
    return sorted(terms, key=lambda item: (round(item[1], 6), item[0].weight < 0, abs(item[0].weight)))


def _sums(costs, max_bits):
    """`_Sums` of 0, 1, 2, ... terms, in the order of their terms."""
    level = _Sums(np.zeros((1, 0), int), np.ones(1), np.ones(1))
    runs = np.zeros(1, int)
    total = 0
    while len(level.bits):
        yield level
        last = level.terms[:, -1] if level.terms.shape[1] else np.zeros(1, int)
        end = np.searchsorted(costs, max_bits + _BIT_TOLERANCE - level.bits, side="right")
        counts = np.maximum(end - last, 0)
        total += int(counts.sum())
        if total > _MOST_PROGRAMS:
            _refuse(max_bits)
        parent = np.repeat(np.arange(len(counts)), counts)
        offset = np.arange(len(parent)) - np.repeat(np.cumsum(counts) - counts, counts)
        new = last[parent] + offset
        terms = np.column_stack([level.terms[parent], new])
        # A term that repeats the one before it takes away orderings: m! / (r_1! r_2! ...).
        runs = np.where((terms.shape[1] > 1) & (offset == 0), runs[parent] + 1, 1)
        level = _Sums(terms, level.bits[parent] + costs[new], level.orderings[parent] * terms.shape[1] / runs)


def _in_order(terms) -> Program:
    """The sum in the order in which it reads best: positive first, then by form."""
    return Program(tuple(sorted(terms, key=lambda t: (t.weight < 0, KINDS.index(t.form.kind), str(t.form), t.weight))))


def _refuse(max_bits):
    raise InputError(
        f"max_bits = {max_bits:g} allows more than {_MOST_PROGRAMS} programs in this world; lower max_bits"
    )

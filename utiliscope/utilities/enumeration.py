"""All programs up to a code length, and their masses summed by hypothesis."""

from typing import NamedTuple

import numpy as np

from utiliscope.errors import InputError
from utiliscope.payoffs import Payoffs, stack_payoffs

from .candidates import Candidates
from .code import Prices, gamma_bits, largest_gamma
from .equality import same_hypotheses
from .meanings import BIT_TOLERANCE, MOST_ROUNDED, Forms
from .syntax import FORMS, Program, Term

_MOST_SUMS = 4_000_000


class _Terms(NamedTuple):
    """Terms of one form, weight and length, cheap and positive ones first.

    form: `[T]` place of the form. weight: `[T]`. bits: `[T]`. number: `[T]` how many terms there are of this meaning
    and length.
    """

    form: np.ndarray
    weight: np.ndarray
    bits: np.ndarray
    number: np.ndarray


class _Sums(NamedTuple):
    """Programs of `m` terms without regard to order.

    terms: `[N, m]` places in the list of terms, ascending. bits: `[N]` code length. number: `[N]` how many programs
    there are of it.
    """

    terms: np.ndarray
    bits: np.ndarray
    number: np.ndarray


def enumerated(world, prices: Prices, own, max_bits: float) -> Candidates:
    """The candidates of all programs that take at most `max_bits` bits."""
    # A program of one term pays for its end, and for the term's flag, sign and weight of 1.
    forms = Forms(world, prices, own, max_bits - 1 - prices.term(1)) if max_bits >= 1 + prices.term(1) else None
    if forms is None or not forms.ways:
        nothing = Payoffs(np.zeros(world.num_states), None, np.zeros(0), np.zeros((0, world.num_states), bool))
        return Candidates(["0"], np.array([1.0]), stack_payoffs([nothing]))
    parts = stack_payoffs(forms.payoffs)
    terms = _terms(forms, max_bits)
    sums = list(_sums(terms, max_bits))
    width = max(level.terms.shape[1] for level in sums)
    # The term behind the last one weighs nothing: it fills up the shorter sums.
    padded = np.concatenate(
        [np.pad(s.terms, ((0, 0), (0, width - s.terms.shape[1])), constant_values=len(terms.bits)) for s in sums]
    ).astype(np.int32)
    form_of, weight_of = np.append(terms.form, 0), np.append(terms.weight, 0.0)
    bits = np.concatenate([s.bits for s in sums])
    mass = np.concatenate([s.number for s in sums]) * 2.0**-bits
    group = same_hypotheses(world, parts, form_of[padded], weight_of[padded], MOST_ROUNDED)
    negative = (weight_of[padded] < 0).sum(1)
    order = np.lexsort((np.arange(len(bits)), negative, np.round(bits, 6), group))
    first = order[np.concatenate([[True], np.diff(group[order]) > 0])]
    total = np.bincount(group, mass)[group[first]]
    names = [_named(forms, terms, places) for places in padded[first]]
    length = -np.log2(total)
    # Rounding in the last digits must not decide the order of equals.
    shown = np.array(sorted(range(len(names)), key=lambda i: (round(float(length[i]), 9), names[i])))
    chosen = padded[first[shown]]
    payoffs = _summed(parts, form_of[chosen], weight_of[chosen])
    return Candidates([names[i] for i in shown], length[shown], payoffs)


def _terms(forms: Forms, max_bits) -> _Terms:
    """All terms that fit into a program."""
    rows = []
    for place, ways in enumerate(forms.ways):
        for cost, number in ways.numbers.items():
            # What is left for the weight after the stop bit, the flag, the sign and the form.
            largest = largest_gamma(max_bits + BIT_TOLERANCE - 3 - cost)
            if len(rows) + 2 * largest > _MOST_SUMS:
                _refuse(max_bits)
            for weight in range(1, largest + 1):
                rows += [(place, sign * weight, 2.0 + gamma_bits(weight) + cost, number) for sign in (1, -1)]
    rows.sort(key=lambda row: (round(row[2], 6), row[1] < 0, abs(row[1])))
    form, weight, bits, number = (np.array(column) for column in zip(*rows, strict=True))
    return _Terms(form, weight.astype(np.float64), bits, number.astype(np.float64))


def _sums(terms, max_bits):
    """`_Sums` of 0, 1, 2, ... terms, in the order of their terms."""
    level = _Sums(np.zeros((1, 0), np.int32), np.ones(1), np.ones(1))
    runs = np.zeros(1, int)
    total = 0
    while len(level.bits):
        yield level
        last = level.terms[:, -1] if level.terms.shape[1] else np.zeros(1, int)
        end = np.searchsorted(terms.bits, max_bits + BIT_TOLERANCE - level.bits, side="right")
        counts = np.maximum(end - last, 0)
        total += int(counts.sum())
        if total > _MOST_SUMS:
            _refuse(max_bits)
        parent = np.repeat(np.arange(len(counts)), counts)
        offset = np.arange(len(parent)) - np.repeat(np.cumsum(counts) - counts, counts)
        new = last[parent] + offset
        longer = np.column_stack([level.terms[parent], new.astype(np.int32)])
        # A term that repeats the one before it takes away orderings: m! / (r_1! r_2! ...).
        runs = np.where((longer.shape[1] > 1) & (offset == 0), runs[parent] + 1, 1)
        number = level.number[parent] * terms.number[new] * longer.shape[1] / runs
        level = _Sums(longer, level.bits[parent] + terms.bits[new], number)


def _named(forms, terms, places) -> str:
    """The sum in the order in which it reads best: positive first, then by form."""
    some = [Term(int(terms.weight[i]), forms.ways[terms.form[i]].best) for i in places if i < len(terms.bits)]
    kinds = list(FORMS)

    def order(term):
        kind = term.form.kind
        return term.weight < 0, kinds.index(kind) if kind in kinds else len(kinds), str(term.form), term.weight

    return str(Program(tuple(sorted(some, key=order))))


def _summed(parts: Payoffs, forms, weights) -> Payoffs:
    """The stack of weighted sums of `parts`, by `[U, m]` places and weights."""

    def sums(values):
        if values is None:
            return None
        total = np.zeros((len(forms), *values.shape[1:]))
        flat, table = total.reshape(len(forms), -1), np.asarray(values).reshape(len(values), -1)
        # A form has a few entries in a table that is as wide as there are automata.
        rows, columns = np.nonzero(table)
        begin = np.searchsorted(rows, np.arange(len(values) + 1))
        for some, weight in zip(forms.T, weights.T, strict=True):
            there = np.flatnonzero(weight)
            number = np.diff(begin)[some[there]]
            sum_of = np.repeat(there, number)
            entry = np.arange(number.sum()) + np.repeat(begin[some[there]] - np.cumsum(number) + number, number)
            flat[sum_of, columns[entry]] += weight[sum_of] * table[rows[entry], columns[entry]]
        return total

    return Payoffs(
        sums(parts.state), sums(parts.action), sums(parts.reach), parts.targets, sums(parts.weight), parts.automata
    )


def _refuse(max_bits):
    raise InputError(f"max_bits = {max_bits:g} allows more than {_MOST_SUMS} sums in this world; lower max_bits")

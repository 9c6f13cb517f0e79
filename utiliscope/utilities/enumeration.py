"""All programs up to a code length, and their masses summed by hypothesis."""

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from utiliscope.errors import InputError
from utiliscope.payoffs import Payoffs, stack_payoffs
from utiliscope.sparse_payoffs import sparse_stack

from .candidates import Candidates
from .code import Prices, gamma_bits, largest_gamma
from .equality import same_hypotheses
from .meanings import BIT_TOLERANCE, MOST_ROUNDED, Forms
from .syntax import FORMS, sum_text, weighted_text

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
    _refuse_early(prices, max_bits)
    # A program of one term pays for its end, and for the term's flag, sign and weight of 1.
    forms = Forms(world, prices, own, max_bits - 1 - prices.term(1)) if max_bits >= 1 + prices.term(1) else None
    if forms is None or not forms.ways:
        nothing = Payoffs(np.zeros(world.num_states), None, np.zeros(0), np.zeros((0, world.num_states), bool))
        return Candidates(["0"], np.array([1.0]), stack_payoffs([nothing]))
    parts = sparse_stack(forms.payoffs)
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
    names = _names(forms, terms, padded[first])
    length = -np.log2(total)
    # Rounding in the last digits must not decide the order of equals.
    shown = np.array(sorted(range(len(names)), key=lambda i: (round(float(length[i]), 9), names[i])))
    chosen = padded[first[shown]]
    sums, _ = np.nonzero(weight_of[chosen])
    some = chosen[weight_of[chosen] != 0]
    shares = csr_array((weight_of[some], (sums, form_of[some])), (len(chosen), parts.num_utilities))
    return Candidates([names[i] for i in shown], length[shown], parts.mixed(shares))


def _refuse_early(prices, max_bits):
    """Refuse what one of the cheapest sets in one form would be too much for, before forms are listed."""
    sets = [*prices.sets.values(), *prices.states.values()]
    if not sets:
        return
    cheapest = prices.predicates["atom"] + min(sets)
    costs = [bits + cheapest for kind, bits in prices.kinds.items() if FORMS.get(kind) == "p"]
    if not costs:
        return
    room = int(max_bits - 1)
    # Terms by their bits: two of each weight; and ordered sums of m terms.
    terms = np.zeros(room + 1)
    for bits in range(1, room + 1, 2):
        if bits + 2 + min(costs) <= room:
            terms[int(np.ceil(bits + 2 + min(costs)))] += 2.0 ** ((bits + 1) / 2)
    sums, number, orders = terms, 1, 1.0
    while sums.any():
        if sums.sum() / orders > _MOST_SUMS:
            _refuse(max_bits)
        sums, number = np.convolve(sums, terms)[: room + 1], number + 1
        orders *= number


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


def _names(forms, terms, sums) -> list[str]:
    """Of sums `[N, m]` of places of terms, each in the order in which it reads best: positive first, then by form."""
    texts, kinds = [str(ways.best) for ways in forms.ways], list(FORMS)
    ranks = [kinds.index(ways.best.kind) if ways.best.kind in kinds else len(kinds) for ways in forms.ways]
    # Of each term its place in that order, and its text.
    known = [
        ((weight < 0, ranks[form], texts[form], weight), weighted_text(weight, texts[form]))
        for form, weight in zip(terms.form.tolist(), terms.weight.astype(int).tolist(), strict=True)
    ]
    return [sum_text([text for _, text in sorted(known[i] for i in some if i < len(known))]) for some in sums.tolist()]


def _refuse(max_bits):
    raise InputError(f"max_bits = {max_bits:g} allows more than {_MOST_SUMS} sums in this world; lower max_bits")

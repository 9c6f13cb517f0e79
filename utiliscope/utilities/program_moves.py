"""Markov moves over programs, each with the exact ratio of its proposal probabilities.

A move takes (rng, program, prices) and gives a `Proposal`, or None where what it chose to do cannot be done: then the
chain stays where it is, and that counts as a step. Accepted with probability

    min(1, target(new) / target(old) * exp(log_ratio)),    log_ratio = ln q(old | new) - ln q(new | old) in nats,

every move leaves any target over programs as it is (Metropolis-Hastings; of programs: Goodman, Tenenbaum, Feldman and
Griffiths 2008, "A rational analysis of rule-based concept learning"). A move first chooses a place of the program and a
way to change it; where several lead to the same program, each way is balanced by its own way back, so that the ratio
needs no sum over them. What a move draws, it draws from the prior by `drawing.py`, and pays what `Prices` says.

rng: a NumPy `Generator`, or what has its `integers(n)` and `choice(n, p=...)`. The terms of a program are an ordered
list, as in its code. Amounts stand nowhere but alone in `time`.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from .code import Prices
from .drawing import drawn, drawn_argument, drawn_form, drawn_number, drawn_predicate, drawn_term
from .syntax import FORMS, And, Atom, Form, Not, Or, Predicate, Program

LN2 = math.log(2)
_JOINED = {"not": Not, "and": And, "or": Or}
# A term flips a fair coin to be there. Added this often, removed else, every added term of the prior is accepted.
_ADDED = 1 / 3


class Proposal(NamedTuple):
    """Where a move would go, and ln q(old | new) - ln q(new | old) in nats."""

    program: Program
    log_ratio: float


Move = Callable[[Any, Program, Prices], Proposal | None]


class Place(NamedTuple):
    """A part of a program: the steps to it from the top, what can stand there, and what does.

    sort: "term", "form", "inner" (a form within another), "amount" (an amount or a predicate), "predicate", "number" or
    "action".
    """

    path: tuple
    sort: str
    part: Any


def redraw(rng, program: Program, prices: Prices) -> Proposal:
    """Another program from the prior: independent of the old one."""
    new = replace(program, terms=drawn(rng, prices))
    return Proposal(new, LN2 * (prices.program(new) - prices.program(program)))


def regenerate(rng, program: Program, prices: Prices) -> Proposal | None:
    """One part, any of them with the same chance, drawn again."""
    chosen = _any(rng, places(program))
    if chosen is None:
        return None
    part = _drawn_part(rng, prices, chosen.sort)
    new = _put(program, chosen.path, part)
    bits = _bits(prices, chosen.sort, part) - _bits(prices, chosen.sort, chosen.part)
    return Proposal(new, LN2 * bits + math.log(len(places(program)) / len(places(new))))


def add_or_remove_term(rng, program: Program, prices: Prices) -> Proposal | None:
    """A term from the prior, put in anywhere; or any of the terms taken out."""
    terms = program.terms
    adds = rng.choice(2, p=[1 - _ADDED, _ADDED])
    odds = math.log((1 - _ADDED) / _ADDED)
    if adds:
        place, term = rng.integers(len(terms) + 1), drawn_term(rng, prices)
        new = replace(program, terms=(*terms[:place], term, *terms[place:]))
        return Proposal(new, odds + LN2 * _bits(prices, "term", term))
    if not terms:
        return None
    place = rng.integers(len(terms))
    new = replace(program, terms=(*terms[:place], *terms[place + 1 :]))
    return Proposal(new, -odds - LN2 * _bits(prices, "term", terms[place]))


def change_weight(rng, program: Program, prices: Prices) -> Proposal | None:
    """The weight of one term: its sign changed, one more or less (from -1 to 1), doubled, or halved (if even). Or all
    weights: their signs changed, doubled, or halved (if all are even), which is the same utility at another price."""
    terms = program.terms
    if not terms:
        return None
    place, way = int(rng.integers(len(terms))), int(rng.integers(8))
    weights = [term.weight for term in terms] if way >= 5 else [terms[place].weight]
    if way in (0, 5):
        new = [-weight for weight in weights]
    elif way in (1, 2):
        step = 3 - 2 * way
        new = [weights[0] + step or step]
    else:
        new = [_scaled(weight, way in (3, 6)) for weight in weights]
    if None in new:
        return None
    if way < 5:
        return Proposal(_put(program, ("terms", place, "weight"), new[0]), 0.0)
    changed = tuple(replace(term, weight=weight) for term, weight in zip(terms, new, strict=True))
    return Proposal(replace(program, terms=changed), 0.0)


def change_number(rng, program: Program, prices: Prices) -> Proposal | None:
    """One count: one more or less, doubled or halved (if even)."""
    chosen = _any(rng, places(program, "number"))
    if chosen is None:
        return None
    way = int(rng.integers(4))
    new = chosen.part + (1 if way == 0 else -1) if way < 2 else _scaled(chosen.part, way == 2)
    if new is None or not 1 <= new <= len(prices.numbers):
        return None
    return Proposal(_put(program, chosen.path, new), 0.0)


def swap_terms(rng, program: Program, prices: Prices) -> Proposal | None:
    """Two terms change places, or only their weights do."""
    terms = program.terms
    pair = _pair(rng, len(terms))
    if pair is None:
        return None
    first, second = (terms[i] for i in pair)
    if rng.integers(2):
        first, second = replace(first, weight=second.weight), replace(second, weight=first.weight)
    else:
        first, second = second, first
    changed = dict(zip(pair, (first, second), strict=True))
    return Proposal(replace(program, terms=tuple(changed.get(i, term) for i, term in enumerate(terms))), 0.0)


def swap_predicates(rng, program: Program, prices: Prices) -> Proposal | None:
    """Two predicates, or parts of them, change places; neither within the other, and an amount only where it can be."""
    found = places(program, "predicate", "amount")
    pair = _pair(rng, len(found))
    if pair is None:
        return None
    first, second = (found[i] for i in pair)
    shorter = min(len(first.path), len(second.path))
    if first.path[:shorter] == second.path[:shorter]:
        return None
    for one, other in ((first, second), (second, first)):
        if one.sort == "predicate" and _is_amount(other.part, prices):
            return None
    return Proposal(_put(_put(program, first.path, second.part), second.path, first.part), 0.0)


def change_kind(rng, program: Program, prices: Prices) -> Proposal | None:
    """Another kind of form, drawn from the prior, that keeps the first predicate and the count where both kinds have
    them; what it lacks is drawn, what it has no place for is dropped."""
    forms = places(program, "form", "inner")
    chosen = _any(rng, forms)
    if chosen is None:
        return None
    old = chosen.part
    kinds = [kind for kind in prices.kinds if chosen.sort == "form" or kind != "does"]
    kind = kinds[_chosen(rng, [prices.kinds[kind] for kind in kinds])]
    had, has = FORMS.get(old.kind, ""), FORMS.get(kind, "")
    predicate = old.predicates[0] if "p" in had and "p" in has else None
    # An amount has no way back from where it does not fit.
    if kind == old.kind or (predicate is not None and _is_amount(predicate, prices)):
        return None
    number = old.number if "n" in had and "n" in has else None
    new = _drawn_of_kind(rng, prices, kind, predicate, number)

    def not_kept(form):
        kept = 0.0 if predicate is None else prices.argument(form.kind, predicate)
        return prices.form(form) - kept - (0.0 if number is None else prices.numbers[number - 1])

    changed = _put(program, chosen.path, new)
    odds = math.log(len(forms) / len(places(changed, "form", "inner")))
    return Proposal(changed, LN2 * (not_kept(new) - not_kept(old)) + odds)


def wrap_or_unwrap(rng, program: Program, prices: Prices) -> Proposal | None:
    """A form put within a count of steps drawn from the prior, or taken out of it."""
    forms = places(program, "form", "inner")
    chosen = _any(rng, forms)
    if chosen is None or "within" not in prices.kinds:
        return None
    form = chosen.part
    if rng.integers(2):
        if form.kind == "does":
            return None
        steps = drawn_number(rng, prices)
        new, bits, number = Form("within", (), steps, form), prices.numbers[steps - 1], len(forms) + 1
    else:
        if form.kind != "within":
            return None
        new, bits, number = form.inner, -prices.numbers[form.number - 1], len(forms) - 1
    return Proposal(_put(program, chosen.path, new), LN2 * bits + math.log(len(forms) / number))


def grow_or_shrink_predicate(rng, program: Program, prices: Prices) -> Proposal | None:
    """A predicate p becomes not p, or p and/or another from the prior on either side; or one of its parts alone."""
    found = [one for one in places(program, "predicate", "amount") if not _is_amount(one.part, prices)]
    operators = [name for name in _JOINED if name in prices.predicates]
    chosen = _any(rng, found)
    if chosen is None or not operators:
        return None
    old = chosen.part
    costs = [prices.predicates[name] for name in operators]
    all_operators = sum(2.0**-bits for bits in costs)
    if rng.integers(2):
        name = operators[_chosen(rng, costs)]
        if name == "not":
            new, drawn_bits = Not(old), 0.0
        else:
            other = drawn_predicate(rng, prices)
            new = _JOINED[name](*((old, other) if rng.integers(2) else (other, old)))
            drawn_bits = prices.of_predicate(other)
        sign = 1
    else:
        if isinstance(old, Atom):
            return None
        name, drawn_bits, sign = type(old).__name__.lower(), 0.0, -1
        if name == "not":
            new = old.part
        else:
            new, other = (old.left, old.right) if rng.integers(2) else (old.right, old.left)
            drawn_bits = prices.of_predicate(other)
    changed = _put(program, chosen.path, new)
    number = sum(not _is_amount(one.part, prices) for one in places(changed, "predicate", "amount"))
    # The coin for the side that grows is the coin for the side that stays.
    bits = prices.predicates[name] + math.log2(all_operators) + drawn_bits
    return Proposal(changed, sign * LN2 * bits + math.log(len(found) / number))


# By name, with how often each is tried: those that keep most of a program often, those that keep little now and then.
MOVES: dict[str, tuple[Move, float]] = {
    "redraw": (redraw, 0.04),
    "regenerate": (regenerate, 0.26),
    "add_or_remove_term": (add_or_remove_term, 0.16),
    "change_weight": (change_weight, 0.16),
    "change_number": (change_number, 0.08),
    "swap_terms": (swap_terms, 0.05),
    "swap_predicates": (swap_predicates, 0.05),
    "change_kind": (change_kind, 0.08),
    "wrap_or_unwrap": (wrap_or_unwrap, 0.04),
    "grow_or_shrink_predicate": (grow_or_shrink_predicate, 0.08),
}


def places(program: Program, *sorts: str) -> list[Place]:
    """All parts of a program that can be chosen, or those of some sorts, in the order of its text."""
    found: list[Place] = []
    left: list[Place] = [Place(("terms", i), "term", term) for i, term in enumerate(program.terms)][::-1]
    while left:
        place = left.pop()
        path, sort, part = place
        if not sorts or sort in sorts:
            found.append(place)
        if sort == "term":
            left.append(Place((*path, "form"), "form", part.form))
        elif sort in ("form", "inner"):
            if part.action is not None:
                left.append(Place((*path, "action"), "action", part.action))
            if part.inner is not None:
                left.append(Place((*path, "inner"), "inner", part.inner))
            if part.number is not None:
                left.append(Place((*path, "number"), "number", part.number))
            argument = "amount" if part.kind == "time" else "predicate"
            for i in reversed(range(len(part.predicates))):
                left.append(Place((*path, "predicates", i), argument, part.predicates[i]))
        elif isinstance(part, Not):
            left.append(Place((*path, "part"), "predicate", part.part))
        elif isinstance(part, And | Or):
            left.append(Place((*path, "right"), "predicate", part.right))
            left.append(Place((*path, "left"), "predicate", part.left))
    return found


def _put(whole, path, part):
    """`whole` with another part at the end of the path."""
    along = [whole]
    for step in path[:-1]:
        along.append(getattr(along[-1], step) if isinstance(step, str) else along[-1][step])
    for one, step in zip(reversed(along), reversed(path), strict=True):
        part = replace(one, **{step: part}) if isinstance(step, str) else (*one[:step], part, *one[step + 1 :])
    return part


def _drawn_part(rng, prices, sort):
    match sort:
        case "term":
            return drawn_term(rng, prices)
        case "form" | "inner":
            return drawn_form(rng, prices, within=sort == "inner")
        case "amount":
            return drawn_argument(rng, prices, "time")
        case "predicate":
            return drawn_predicate(rng, prices)
        case "number":
            return drawn_number(rng, prices)
    return _drawn_action(rng, prices)


def _drawn_action(rng, prices):
    actions = list(prices.actions)
    return actions[_chosen(rng, [prices.actions[action] for action in actions])]


def _drawn_of_kind(rng, prices, kind, predicate, number) -> Form:
    """A form of this kind, as in `drawn_form`, but for the first predicate and the count where they are given."""
    signature = FORMS.get(kind, "")
    predicates: list[Predicate] = [] if predicate is None else [predicate]
    while len(predicates) < signature.count("p"):
        predicates.append(drawn_argument(rng, prices, kind))
    while kind == "sequence" and rng.integers(2):
        predicates.append(drawn_argument(rng, prices, kind))
    if "n" in signature and number is None:
        number = drawn_number(rng, prices)
    inner = drawn_form(rng, prices, within=True) if "f" in signature else None
    action = _drawn_action(rng, prices) if "a" in signature else None
    return Form(kind, tuple(predicates), number, inner, action)


def _bits(prices, sort, part) -> float:
    """What it takes to draw a part."""
    match sort:
        case "term":
            return prices.term(part.weight) - 1 + prices.form(part.form)  # the flag is no part of it
        case "form":
            return prices.form(part)
        case "inner":
            return prices.form(part) - prices.not_within
        case "amount":
            return prices.argument("time", part)
        case "predicate":
            return prices.of_predicate(part)
        case "number":
            return prices.numbers[part - 1]
    return prices.actions[part]


def _is_amount(predicate, prices) -> bool:
    return isinstance(predicate, Atom) and not predicate.is_state and predicate.name in prices.amounts


def _scaled(number, doubles):
    """Twice or half of a number; None for half of an odd one."""
    if doubles:
        return 2 * number
    return None if number % 2 else number // 2


def _any(rng, options):
    return options[rng.integers(len(options))] if options else None


def _pair(rng, number):
    """Two different places out of `number`, or None."""
    if number < 2:
        return None
    first, second = rng.integers(number), rng.integers(number - 1)
    return int(first), int(second + (second >= first))


def _chosen(rng, bits) -> int:
    """A place among choices that take these bits."""
    chances = [2.0**-one for one in bits]
    return int(rng.choice(len(chances), p=[chance / sum(chances) for chance in chances]))

"""Programs drawn from their prior, production by production."""

import numpy as np

from .code import Prices
from .syntax import FORMS, And, Atom, Form, Not, Or, Predicate, Term


def drawn(rng, prices: Prices) -> tuple[Term, ...]:
    """Terms as long as a fair coin says so; their number has no bound."""
    terms = []
    while rng.integers(2):
        terms.append(drawn_term(rng, prices))
    return tuple(terms)


def drawn_term(rng, prices: Prices) -> Term:
    """A term: its sign, its weight by an Elias gamma code, and its form."""
    sign = 1 - 2 * int(rng.integers(2))
    return Term(sign * drawn_weight(rng), drawn_form(rng, prices))


def drawn_weight(rng) -> int:
    """A number from 1 on with probability 2^-(2 floor(log2 n) + 1)."""
    weight, doublings = 1, 0
    while rng.integers(2):
        doublings += 1
    for _ in range(doublings):
        weight = 2 * weight + int(rng.integers(2))
    return weight


def drawn_form(rng, prices: Prices, within=False) -> Form:
    """A form, or one that can stand within another."""
    kinds = {kind: bits for kind, bits in prices.kinds.items() if not within or kind != "does"}
    kind = _choice(rng, kinds)
    parts, predicates = {}, []
    for letter in FORMS.get(kind, "").rstrip("*"):
        if letter == "p":
            predicates.append(drawn_argument(rng, prices, kind))
        elif letter == "n":
            parts["number"] = drawn_number(rng, prices)
        elif letter == "f":
            parts["inner"] = drawn_form(rng, prices, within=True)
        else:
            parts["action"] = _choice(rng, prices.actions)
    if kind == "sequence":
        while rng.integers(2):
            predicates.append(drawn_argument(rng, prices, kind))
    return Form(kind, tuple(predicates), **parts)


def drawn_number(rng, prices: Prices) -> int:
    """A count."""
    return 1 + _choice(rng, dict(enumerate(prices.numbers)))


def drawn_argument(rng, prices: Prices, kind) -> Predicate:
    """A predicate, or in `time` perhaps an amount."""
    if kind == "time" and prices.amounts:
        options = prices.amounts | {None: prices.predicate}
        name = _choice(rng, options)
        if name is not None:
            return Atom(name)
    return drawn_predicate(rng, prices)


def drawn_predicate(rng, prices: Prices) -> Predicate:
    """A set of states."""
    match _choice(rng, prices.predicates):
        case "not":
            return Not(drawn_predicate(rng, prices))
        case "and":
            return And(drawn_predicate(rng, prices), drawn_predicate(rng, prices))
        case "or":
            return Or(drawn_predicate(rng, prices), drawn_predicate(rng, prices))
    atoms = {Atom(name): bits for name, bits in prices.sets.items()}
    atoms |= {Atom(name, True): bits for name, bits in prices.states.items()}
    return _choice(rng, atoms)


def _choice(rng, bits):
    options = list(bits)
    chances = 2.0 ** -np.array([bits[option] for option in options])
    return options[rng.choice(len(options), p=chances / chances.sum())]

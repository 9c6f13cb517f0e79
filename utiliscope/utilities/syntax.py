"""Utilities as trees: predicates, forms, terms, programs, and how they are printed. `reading.py` parses them back."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from utiliscope.errors import InputError

PLAIN_WORD = re.compile(r"[^\W\d]\w*")
_STATE = re.compile(r"\w+")
WORDS = ("and", "or", "not")

# What each form takes: p a predicate, n a whole number from 1 on, f a form, a an action; a star repeats.
FORMS = {
    "time": "p",
    "reach": "p",
    "avoid": "p",
    "end": "p",
    "visits": "pn",
    "every": "pn",
    "sequence": "pp*",
    "within": "nf",
    "does": "pa",
}


def quoted(name, plain=PLAIN_WORD) -> str:
    """`name` as it is, or in double quotes where it is no plain word."""
    return name if plain.fullmatch(name) and name not in WORDS else json.dumps(name, ensure_ascii=False)


@dataclass(frozen=True)
class Atom:
    """A set of states, or an amount in each: a feature of the world, or one state."""

    name: str
    is_state: bool = False

    def __str__(self) -> str:
        return "@" + quoted(self.name, _STATE) if self.is_state else quoted(self.name)


@dataclass(frozen=True)
class Not:
    """The states that are not in a set."""

    part: "Predicate"

    def __str__(self) -> str:
        return f"not {_within(self.part, (Atom, Not))}"


@dataclass(frozen=True)
class And:
    """The states in both of two sets."""

    left: "Predicate"
    right: "Predicate"

    def __str__(self) -> str:
        return f"{_within(self.left, (Atom, Not, And))} and {_within(self.right, (Atom, Not))}"


@dataclass(frozen=True)
class Or:
    """The states in either of two sets."""

    left: "Predicate"
    right: "Predicate"

    def __str__(self) -> str:
        return f"{self.left} or {_within(self.right, (Atom, Not, And))}"


Predicate = Atom | Not | And | Or


def _within(predicate, plain) -> str:
    return str(predicate) if isinstance(predicate, plain) else f"({predicate})"


def operators_of(predicate) -> list[str]:
    """The words that a predicate is made with, "not", "and" and "or"."""
    match predicate:
        case Not(part):
            return ["not", *operators_of(part)]
        case And(left, right) | Or(left, right):
            word = "and" if isinstance(predicate, And) else "or"
            return [word, *operators_of(left), *operators_of(right)]
    return []


def atoms_of(predicate) -> list[Atom]:
    """The features and states that a predicate names, from left to right."""
    match predicate:
        case Atom():
            return [predicate]
        case Not(part):
            return atoms_of(part)
        case And(left, right) | Or(left, right):
            return atoms_of(left) + atoms_of(right)


def usage(kind) -> str:
    """How a form is written, such as every(p, n)."""
    names, seen = [], "pqr"
    for letter in FORMS[kind].rstrip("*"):
        if letter == "p":
            names.append(seen[0])
            seen = seen[1:]
        else:
            names.append({"n": "n", "f": "form", "a": "action"}[letter])
    return f"{kind}({', '.join(names)}{', ...' if FORMS[kind].endswith('*') else ''})"


@dataclass(frozen=True)
class Form:
    """What is counted along a state sequence: see the table in `forms.py`.

    kind: one of `FORMS`, or the name of a grammar's own leaf, which takes nothing.
    predicates: its sets of states. number: its n, or None. inner: the form within it, or None. action: or None.
    """

    kind: str
    predicates: tuple = ()
    number: int | None = None
    inner: "Form | None" = None
    action: str | None = None

    def __post_init__(self):
        if self.number is not None and not (hasattr(self.number, "__index__") and self.number >= 1):
            raise InputError(f"{self.kind} counts {self.number}; give a whole number from 1 on")
        signature = FORMS.get(self.kind, "").rstrip("*")
        sets = len(self.predicates) - signature.count("p")
        given = {"n": self.number, "f": self.inner, "a": self.action}
        fits = all((given[letter] is not None) == (letter in signature) for letter in given)
        if not fits or sets < 0 or (sets and not FORMS.get(self.kind, "").endswith("*")):
            written = usage(self.kind) if self.kind in FORMS else f"{self.kind}()"
            raise InputError(f"'{self}' is not as {self.kind} is written: {written}")
        if self.inner is not None and self.inner.kind == "does":
            raise InputError(f"'{self}': does(...) cannot stand within another form")

    def __str__(self) -> str:
        parts = [str(predicate) for predicate in self.predicates]
        if self.number is not None:
            parts.append(str(self.number))
        if self.inner is not None:
            parts.append(str(self.inner))
        if self.action is not None:
            parts.append(quoted(self.action))
        return f"{self.kind}({', '.join(parts)})"


def weighted_text(weight, form: str) -> str:
    """A term, of its form's text."""
    size = abs(weight)
    return "-" * (weight < 0) + (form if size == 1 else f"{size}*{form}")


def sum_text(terms: list[str]) -> str:
    """A sum, of its terms' texts."""
    if not terms:
        return "0"
    return terms[0] + "".join(f" - {term[1:]}" if term.startswith("-") else f" + {term}" for term in terms[1:])


@dataclass(frozen=True)
class Term:
    """A form with its whole, nonzero weight."""

    weight: int
    form: Form

    def __post_init__(self):
        if not hasattr(self.weight, "__index__"):
            raise InputError(f"{self.form} has weight {self.weight}; give a whole number")
        if self.weight == 0:
            raise InputError(f"{self.form} has weight 0; leave the term out")

    def __str__(self) -> str:
        return weighted_text(self.weight, str(self.form))


@dataclass(frozen=True)
class Own:
    """What a grammar adds to the words of the world, `[S]` or automata by name."""

    features: Mapping = field(default_factory=dict)
    forms: Mapping = field(default_factory=dict)


@dataclass(frozen=True)
class Program:
    """A utility: the sum of `terms` plus `constant`.

    The constant adds the same to every sequence and changes no comparison of policies: it is kept in print, and
    has no payoff and no code length. The lone constant is the empty sum.

    own: features and forms of the grammar that it was read with, which the world does not know.
    """

    terms: tuple[Term, ...] = ()
    constant: int = 0
    own: Own = field(default=Own(), compare=False, repr=False)

    def __str__(self) -> str:
        parts = [str(term) for term in self.terms]
        return sum_text([*parts, str(self.constant)] if self.constant else parts)

    def payoffs(self, world):
        """The `Payoffs` of this utility in `world`."""
        from .meaning import payoffs_of

        return payoffs_of(self, world)

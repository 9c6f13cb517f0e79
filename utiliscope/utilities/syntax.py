"""The written form of utilities: program nodes, printing, and parsing with errors that point at the place.

utility := [sign] summand {sign summand}        reach(G) - 2*time("odd name") + 1
summand := number | [number "*"] form           numbers are whole
form    := ("reach" | "time") "(" atom ")"
atom    := feature | "@" state                  names that are not plain words stand in double quotes
"""

import json
import re
from dataclasses import dataclass

from utiliscope.errors import InputError

from .meaning import payoffs_of

KINDS = ("reach", "time")

# Beyond this, weights are not exact in float64.
_LARGEST = 2**53

_FEATURE = re.compile(r"[^\W\d]\w*")
_STATE = re.compile(r"\w+")
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_TOKEN = re.compile(
    rf"(?P<number>[0-9]+(?:\.[0-9]*)?|\.[0-9]+)|(?P<word>[^\W\d]\w*)|(?P<state>@(?:\w+|{_QUOTED}))"
    rf"|(?P<quoted>{_QUOTED})|(?P<symbol>[-+*()])",
    re.DOTALL,
)


@dataclass(frozen=True)
class Atom:
    """A set of states, or an amount in each: a feature of the world, or one state."""

    name: str
    is_state: bool = False

    def __str__(self) -> str:
        plain = (_STATE if self.is_state else _FEATURE).fullmatch(self.name)
        return "@" * self.is_state + (self.name if plain else json.dumps(self.name, ensure_ascii=False))


@dataclass(frozen=True)
class Form:
    """What is counted: `kind` is "time" (discounted stay) or "reach" (discount to the first arrival)."""

    kind: str
    atom: Atom

    def __str__(self) -> str:
        return f"{self.kind}({self.atom})"


@dataclass(frozen=True)
class Term:
    """A form with its whole, nonzero weight."""

    weight: int
    form: Form

    def __post_init__(self):
        if self.weight == 0:
            raise InputError(f"{self.form} has weight 0; leave the term out")

    def __str__(self) -> str:
        size = abs(self.weight)
        return "-" * (self.weight < 0) + (f"{self.form}" if size == 1 else f"{size}*{self.form}")


@dataclass(frozen=True)
class Program:
    """A utility: the sum of `terms` plus `constant`.

    The constant adds the same to every sequence and changes no comparison of policies: it is kept in print, and
    has no payoff and no code length. The lone constant is the empty sum.
    """

    terms: tuple[Term, ...] = ()
    constant: int = 0

    def __str__(self) -> str:
        parts = [str(term) for term in self.terms]
        if self.constant or not parts:
            parts.append(str(self.constant))
        rest = (f" - {part[1:]}" if part.startswith("-") else f" + {part}" for part in parts[1:])
        return parts[0] + "".join(rest)

    def payoffs(self, world):
        """The `Payoffs` of this utility in `world`."""
        return payoffs_of(self, world)


def parse(text, refusal) -> Program:
    """The program that `text` spells.

    refusal: called with each `Form`; None where the form can be used, else (problem, advice) for the error.
    """
    if not isinstance(text, str):
        raise InputError(f"a utility is written as text, not {type(text).__name__}; e.g. 'reach(G) - 2*time(b)'")
    reader = _Reader(text)
    if reader.kind == "end":
        raise InputError("the utility is empty; write one such as reach(G) - 2*time(b), or 0 for no preference")
    terms, constant, first = [], 0, True
    while reader.kind != "end":
        sign = -1 if reader.token == "-" else 1
        if reader.token in ("+", "-"):
            reader.advance()
        elif reader.token == ")":
            reader.fail("this ')' was never opened", "take it out")
        elif not first:
            reader.fail(f"unexpected {reader.token!r}", "terms are joined by + or -")
        summand = _summand(reader, sign, refusal)
        if isinstance(summand, Term):
            terms.append(summand)
        else:
            constant += summand
        first = False
    return Program(tuple(terms), constant)


def _summand(reader, sign, refusal) -> Term | int:
    weight = 1
    if reader.kind == "number":
        place, weight = reader.start, _whole(reader)
        if reader.token != "*":
            return sign * weight
        if weight == 0:
            reader.fail("weight 0", "leave the term out", place)
        reader.advance()
    if reader.kind != "word":
        reader.fail(f"expected reach(...) or time(...), found {reader.described}")
    return Term(sign * weight, _form(reader, refusal))


def _form(reader, refusal) -> Form:
    kind = reader.token
    if kind not in KINDS:
        reader.fail(f"unknown form {kind!r}", "the forms are reach(p) and time(p), with p a feature or a @state")
    reader.advance()
    opened = reader.start
    if reader.token != "(":
        reader.fail(f"expected '(' after {kind!r}, found {reader.described}")
    reader.advance()
    place = reader.start
    form = Form(kind, _atom(reader))
    refused = refusal(form)
    if refused:
        reader.fail(*refused, place)
    if reader.kind == "end":
        reader.fail("this '(' is not closed", "add ')'", opened)
    if reader.token != ")":
        reader.fail(f"expected ')', found {reader.described}", f"{kind} takes one feature or @state")
    reader.advance()
    return form


def _atom(reader) -> Atom:
    is_state = reader.kind == "state"
    written = reader.token[is_state:]
    if reader.kind == "number":
        reader.fail(
            f"expected a feature, found {written!r}", f'quote a feature "{written}", or name a state @{written}'
        )
    if reader.kind not in ("word", "state", "quoted"):
        reader.fail(f"expected a feature or a @state, found {reader.described}")
    name = written
    if written.startswith('"'):
        try:
            name = json.loads(written, strict=False)
        except json.JSONDecodeError:
            reader.fail(f"cannot read the name {written}", 'write a backslash as \\\\ and a quote as \\"')
    reader.advance()
    return Atom(name, is_state)


def _whole(reader) -> int:
    digits = reader.token
    if "." in digits:
        reader.fail(f"{digits} is not a whole number", "weights are integers; scale all of them up")
    if len(digits.lstrip("0")) > len(str(_LARGEST)) or int(digits) > _LARGEST:
        reader.fail("this number is too large", f"weights go up to {_LARGEST}")
    reader.advance()
    return int(digits)


class _Reader:
    """A place in the text: the present token, its kind ("end" after the last) and where it starts."""

    def __init__(self, text):
        self.text = text
        self.token, self.kind, self.start = "", "", 0
        self.advance()

    @property
    def described(self) -> str:
        return "the end" if self.kind == "end" else repr(self.token)

    def advance(self):
        start = self.start + len(self.token)
        while start < len(self.text) and self.text[start].isspace():
            start += 1
        self.start = start
        match = _TOKEN.match(self.text, start)
        if match:
            self.token, self.kind = match.group(), match.lastgroup
        elif start == len(self.text):
            self.token, self.kind = "", "end"
        elif self.text[start] == '"' or self.text.startswith('@"', start):
            self.fail("this quoted name does not end", 'add "')
        elif self.text[start] == "@":
            self.fail("expected a state's name after '@'", 'e.g. @12 or @"0,3"')
        else:
            self.fail(f"cannot read {self.text[start]!r}", "a utility reads like reach(G) - 2*time(b)")

    def fail(self, problem, advice=None, start=None):
        start = self.start if start is None else start
        text = "".join(" " if char.isspace() else char for char in self.text)
        left = max(0, start - 60)
        shown, place = text[left : left + 100], start - left
        if left:
            shown, place = "..." + shown, place + 3
        more = f"; {advice}" if advice else ""
        raise InputError(f"{problem} at column {start + 1} of the utility{more}\n    {shown}\n    {' ' * place}^")

"""Reading utilities: from text to programs, with errors that point at the place.

utility   := [sign] summand {sign summand}            reach(G) - 2*every(not mud and port, 10) + 1
summand   := number | [number "*"] form               numbers are whole
form      := kind "(" arguments ")"                   the arguments of each kind: `syntax.FORMS`
predicate := conjunction {"or" conjunction}
conjunction := part {"and" part}
part      := "not" part | "(" predicate ")" | atom
atom      := feature | "@" state                      names that are not plain words stand in double quotes
"""

import json
import re
from typing import Protocol, runtime_checkable

from utiliscope.errors import InputError

from .syntax import FORMS, WORDS, And, Atom, Form, Not, Or, Program, Term, usage

# Beyond this, weights are not exact in float64.
_LARGEST = 2**53

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_TOKEN = re.compile(
    rf"(?P<number>[0-9]+(?:\.[0-9]*)?|\.[0-9]+)|(?P<word>[^\W\d]\w*)|(?P<state>@(?:\w+|{_QUOTED}))"
    rf"|(?P<quoted>{_QUOTED})|(?P<symbol>[-+*(),])",
    re.DOTALL,
)


@runtime_checkable
class Vocabulary(Protocol):
    """What a grammar has words for. Each refusal is None, or (problem, advice) for the error."""

    leaves: tuple[str, ...]

    def refuse_kind(self, kind): ...

    def refuse_atom(self, atom, amount: bool): ...

    def refuse_number(self, number): ...

    def refuse_action(self, name): ...


class Anything:
    """A vocabulary that has every word, and no leaves of its own."""

    leaves = ()

    def refuse_kind(self, kind):
        return None

    def refuse_atom(self, atom, amount):
        return None

    refuse_number = refuse_action = refuse_kind


def parse(text, vocabulary: Vocabulary = Anything()) -> Program:
    """The program that `text` spells, in words of the vocabulary."""
    if not isinstance(text, str):
        raise InputError(f"a utility is written as text, not {type(text).__name__}; e.g. 'reach(G) - 2*time(b)'")
    reader = Reader(text, vocabulary)
    try:
        return _program(reader)
    except RecursionError:
        reader.fail("this is nested too deeply", "take out parentheses, or split the utility")


def _program(reader) -> Program:
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
        summand = _summand(reader, sign)
        if isinstance(summand, Term):
            terms.append(summand)
        else:
            constant += summand
        first = False
    return Program(tuple(terms), constant)


def _summand(reader, sign) -> Term | int:
    weight = 1
    if reader.kind == "number":
        place, weight = reader.start, _whole(reader)
        if reader.token != "*":
            return sign * weight
        if weight == 0:
            reader.fail("weight 0", "leave the term out", place)
        reader.advance()
    if reader.kind != "word":
        reader.fail(f"expected a form such as reach(...) or time(...), found {reader.described}")
    return Term(sign * weight, _form(reader))


def _form(reader) -> Form:
    kind, place = reader.token, reader.start
    leaf = kind in reader.vocabulary.leaves
    if not leaf and kind not in FORMS:
        known = ", ".join([*FORMS, *reader.vocabulary.leaves])
        reader.fail(f"unknown form {kind!r}", f"the forms are {known}")
    reader.refuse(reader.vocabulary.refuse_kind(kind), place)
    reader.advance()
    opened = reader.start
    if reader.token != "(":
        reader.fail(f"expected '(' after {kind!r}, found {reader.described}")
    reader.advance()
    parts = {"predicates": []}
    if not leaf:
        _arguments(reader, kind, parts, opened)
    _close(reader, opened, kind)
    return Form(kind, tuple(parts.pop("predicates")), **parts)


def _arguments(reader, kind, parts, opened):
    signature, repeats = FORMS[kind].rstrip("*"), FORMS[kind].endswith("*")
    place = 0
    while place < len(signature) or (repeats and reader.token == ","):
        if place:
            if reader.token != ",":
                if reader.kind == "end":
                    reader.fail("this '(' is not closed", "add ')'", opened)
                reader.fail(f"expected ',', found {reader.described}", f"{kind} is written {usage(kind)}")
            reader.advance()
        what = signature[min(place, len(signature) - 1)]
        if what == "p":
            parts["predicates"].append(_predicate(reader, amount=kind == "time"))
        elif what == "n":
            parts["number"] = _count(reader, kind)
        elif what == "a":
            parts["action"] = _action(reader)
        else:
            if reader.kind != "word":
                reader.fail(f"expected a form, found {reader.described}", f"{kind} is written {usage(kind)}")
            if reader.token == "does":
                reader.fail("does(...) cannot stand within another form", "it looks at actions; write it as a term")
            parts["inner"] = _form(reader)
        place += 1


def _close(reader, opened, kind):
    if reader.kind == "end":
        reader.fail("this '(' is not closed", "add ')'", opened)
    if reader.token != ")":
        more = f"{kind} is written {usage(kind)}" if kind in FORMS else f"{kind} takes nothing: write {kind}()"
        reader.fail(f"expected ')', found {reader.described}", more)
    reader.advance()


def _predicate(reader, amount):
    """A set of states; where `amount`, a feature by itself may be an amount instead."""
    predicate = _disjunction(reader)
    for atom, start in reader.atoms:
        reader.refuse(reader.vocabulary.refuse_atom(atom, amount and isinstance(predicate, Atom)), start)
    reader.atoms.clear()
    return predicate


def _disjunction(reader):
    left = _conjunction(reader)
    while reader.kind == "word" and reader.token == "or":
        reader.refuse(reader.vocabulary.refuse_kind("or"), reader.start)
        reader.advance()
        left = Or(left, _conjunction(reader))
    return left


def _conjunction(reader):
    left = _part(reader)
    while reader.kind == "word" and reader.token == "and":
        reader.refuse(reader.vocabulary.refuse_kind("and"), reader.start)
        reader.advance()
        left = And(left, _part(reader))
    return left


def _part(reader):
    if reader.kind == "word" and reader.token == "not":
        reader.refuse(reader.vocabulary.refuse_kind("not"), reader.start)
        reader.advance()
        return Not(_part(reader))
    if reader.token != "(":
        start = reader.start
        atom = read_atom(reader)
        reader.atoms.append((atom, start))
        return atom
    opened = reader.start
    reader.advance()
    predicate = _disjunction(reader)
    if reader.kind == "end":
        reader.fail("this '(' is not closed", "add ')'", opened)
    if reader.token != ")":
        reader.fail(f"expected ')', found {reader.described}", "sets are joined by and, or")
    reader.advance()
    return predicate


def read_atom(reader) -> Atom:
    is_state = reader.kind == "state"
    written = reader.token[is_state:]
    if reader.kind == "number":
        reader.fail(
            f"expected a feature, found {written!r}", f'quote a feature "{written}", or name a state @{written}'
        )
    if reader.kind not in ("word", "state", "quoted") or (reader.kind == "word" and written in WORDS):
        reader.fail(f"expected a feature or a @state, found {reader.described}")
    return Atom(_name(reader, written), is_state)


def _name(reader, written) -> str:
    name = written
    if written.startswith('"'):
        try:
            name = json.loads(written, strict=False)
        except json.JSONDecodeError:
            reader.fail(f"cannot read the name {written}", 'write a backslash as \\\\ and a quote as \\"')
    reader.advance()
    return name


def _action(reader) -> str:
    if reader.kind not in ("word", "quoted", "number"):
        reader.fail(f"expected an action, found {reader.described}")
    place = reader.start
    name = _name(reader, reader.token)
    reader.refuse(reader.vocabulary.refuse_action(name), place)
    return name


def _count(reader, kind) -> int:
    if reader.kind != "number":
        reader.fail(f"expected a whole number from 1 on, found {reader.described}", f"{kind} is written {usage(kind)}")
    place, number = reader.start, _whole(reader)
    if number < 1:
        reader.fail(f"n is {number}", f"{kind} is written {usage(kind)} with n from 1 on", place)
    reader.refuse(reader.vocabulary.refuse_number(number), place)
    return number


def _whole(reader) -> int:
    digits = reader.token
    if "." in digits:
        reader.fail(f"{digits} is not a whole number", "weights and counts are integers")
    if len(digits.lstrip("0")) > len(str(_LARGEST)) or int(digits) > _LARGEST:
        reader.fail("this number is too large", f"numbers go up to {_LARGEST}")
    reader.advance()
    return int(digits)


class Reader:
    """A place in the text: the present token, its kind ("end" after the last) and where it starts."""

    def __init__(self, text, vocabulary):
        self.text, self.vocabulary = text, vocabulary
        self.token, self.kind, self.start = "", "", 0
        self.atoms = []  # of the present predicate, with their places: checked once it is known what stands around them
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

    def refuse(self, refused, start):
        if refused:
            self.fail(*refused, start)

    def fail(self, problem, advice=None, start=None):
        start = self.start if start is None else start
        text = "".join(" " if char.isspace() else char for char in self.text)
        left = max(0, start - 60)
        shown, place = text[left : left + 100], start - left
        if left:
            shown, place = "..." + shown, place + 3
        more = f"; {advice}" if advice else ""
        raise InputError(f"{problem} at column {start + 1} of the utility{more}\n    {shown}\n    {' ' * place}^")

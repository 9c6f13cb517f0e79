"""Code lengths: what every production of the grammar costs in bits.

A program is a list of terms. Each term is announced by a flag bit and the list ends with a stop bit; a term is

    sign (1 bit)   |weight| (Elias gamma)   form

A form is its kind and then its arguments in turn: predicates, a count, a form within it, an action. A sequence of more
than two predicates pays a bit to go on or to stop after the second and each later one. A predicate is an atom, or `not`
and one, or `and`/`or` and two. Every choice has the probabilities of `Prices`; so the masses 2^-bits of all programs
sum to 1. Constants are notation outside the code: they change a utility by an affine map only.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real

from utiliscope.errors import InputError, listed

from .syntax import FORMS, And, Atom, Form, Not, Or, Program

# Relative weights; those that a grammar has are scaled to sum to 1, forms and predicates each for themselves.
FORM_WEIGHTS = {
    "time": 1 / 4, "reach": 1 / 4, "visits": 1 / 8, "every": 1 / 8, "sequence": 1 / 8, "within": 1 / 16,
    "avoid": 1 / 32, "end": 1 / 32, "does": 1 / 8,
}  # fmt: skip
OWN_WEIGHT = 1 / 8
PREDICATE_WEIGHTS = {"atom": 5 / 8, "not": 1 / 8, "and": 1 / 8, "or": 1 / 8}
STATE_WEIGHT = {"state": 1 / 2}
# Of the mass of all programs, what is rounding.
_PROPER = 1e-6


def gamma_bits(number: int) -> int:
    """Elias gamma code length of a whole number from 1 on: 2 floor(log2 n) + 1."""
    return 2 * int(number).bit_length() - 1


def largest_gamma(bits: float) -> int:
    """The largest number whose code takes at most `bits`, 0 if none does."""
    return 2 ** int((bits - 1) // 2 + 1) - 1 if bits >= 1 else 0


@dataclass(frozen=True)
class Prices:
    """Bits of every production.

    kinds: of each form. predicates: of "atom", "not", "and", "or". sets, states, amounts: of one name as an atom (for
    amounts, in place of a predicate), by name. predicate: of having a predicate where an amount could stand. actions:
    of each action. numbers: of counts 1, 2, ..., up to the longest that a form may look at.
    """

    kinds: Mapping[str, float]
    predicates: Mapping[str, float]
    sets: Mapping[str, float]
    states: Mapping[str, float]
    amounts: Mapping[str, float]
    predicate: float
    actions: Mapping[str, float]
    numbers: tuple[float, ...]

    def program(self, program: Program) -> float:
        """Bits of a program: its terms and the stop bit."""
        return 1.0 + sum(self.term(term.weight) + self.form(term.form) for term in program.terms)

    def term(self, weight: int) -> float:
        """Bits of a term but for its form: flag, sign and weight."""
        return 2.0 + gamma_bits(abs(weight))

    def form(self, form: Form) -> float:
        """Bits of a form."""
        bits = self.kinds[form.kind] + sum(self.argument(form.kind, one) for one in form.predicates)
        if form.kind == "sequence":
            bits += len(form.predicates) - 1.0
        if form.number is not None:
            bits += self.numbers[form.number - 1]
        if form.inner is not None:
            bits += self.form(form.inner) - self.not_within
        if form.action is not None:
            bits += self.actions[form.action]
        return bits

    @property
    def not_within(self) -> float:
        """What the kinds that can stand within another save, as there are fewer."""
        return -math.log2(sum(2.0**-bits for kind, bits in self.kinds.items() if kind != "does"))

    def argument(self, kind, predicate) -> float:
        """Bits of a predicate, or of an amount, in a form of this kind."""
        if kind != "time":
            return self.of_predicate(predicate)
        if isinstance(predicate, Atom) and not predicate.is_state and predicate.name in self.amounts:
            return self.amounts[predicate.name]
        return self.predicate + self.of_predicate(predicate)

    def of_predicate(self, predicate) -> float:
        """Bits of a set of states."""
        match predicate:
            case Atom(name, is_state):
                return self.predicates["atom"] + (self.states if is_state else self.sets)[name]
            case Not(part):
                return self.predicates["not"] + self.of_predicate(part)
            case And(left, right):
                return self.predicates["and"] + self.of_predicate(left) + self.of_predicate(right)
            case Or(left, right):
                return self.predicates["or"] + self.of_predicate(left) + self.of_predicate(right)


def prices(sets, states, amounts, actions, own, weights, horizon) -> Prices:
    """The prices of a grammar with these names; `weights` change the relative weights of productions."""
    known = FORM_WEIGHTS | dict.fromkeys(own, OWN_WEIGHT) | PREDICATE_WEIGHTS | STATE_WEIGHT
    weights = checked_weights(weights, known)
    there = known | weights
    kinds = [kind for kind in FORMS if (sets or states or (amounts and kind == "time")) and (actions or kind != "does")]
    if not there["atom"]:
        raise InputError("the weight of 'atom' is 0: sets of states are made of atoms")
    predicates = shares({name: there[name] for name in PREDICATE_WEIGHTS})
    share = there["state"] if sets and states else float(bool(states))
    if not 0 <= share <= 1 or (states and not share):
        raise InputError(f"the weight of 'state' is {there['state']}; it is the share of atoms that are single states")
    total = len(amounts) + len(sets) + bool(states)
    gammas = [2.0 ** -gamma_bits(n) for n in range(1, horizon + 1)]
    found = Prices(
        shares({kind: there[kind] for kind in [*kinds, *own]}),
        predicates,
        {name: math.log2(len(sets)) + (-math.log2(1 - share) if share < 1 else math.inf) for name in sets},
        {name: math.log2(len(states)) - math.log2(share) for name in states},
        {name: math.log2(total) for name in amounts},
        math.log2(total) - math.log2(total - len(amounts)) if sets or states else math.inf,
        {name: math.log2(len(actions)) for name in actions},
        tuple(-math.log2(mass / sum(gammas)) for mass in gammas),
    )
    if not abs(total_mass(found, 1.0) - 1) < _PROPER:
        raise InputError(
            "with these weights programs have no end: 'and', 'or', 'not' and 'within' have to leave more weight to "
            "the others"
        )
    return found


def checked_weights(weights, known):
    weights = {} if weights is None else weights
    if not isinstance(weights, Mapping):
        raise InputError(f"weights are {weights!r:.60}; give a number for each production, by name")
    for name, weight in weights.items():
        if name not in known:
            raise InputError(f"no production is called {name!r}; weights are for {listed(known)}")
        if isinstance(weight, bool) or not (isinstance(weight, Real) and 0 <= weight < math.inf):
            raise InputError(f"the weight of {name!r} is {weight!r}; give a finite number, 0 to leave it out")
    return {name: float(weight) for name, weight in weights.items()}


def shares(weights):
    """Bits of choices with these relative weights; those of weight 0 are not there."""
    total = sum(weights.values())
    if total == 0:
        raise InputError(f"all of {listed(weights)} have weight 0; leave one of them in")
    return {name: -math.log2(weight / total) for name, weight in weights.items() if weight > 0}


def total_mass(prices: Prices, simplicity: float) -> float:
    """The sum of 2^(-simplicity K) over all programs, inf where there is none: 1 at simplicity 1.

    By the grammar's own recursion: a list, a form and a predicate are sums over what they are made of.
    """
    if simplicity <= 0.5:
        return math.inf  # the sum over the 2^k weights of 2 k + 1 bits

    def mass(*bits):
        return sum(2.0 ** (-simplicity * one) for one in bits)

    def repeated(share):
        return 1 / (1 - share) if share < 1 else math.inf

    atoms = mass(prices.predicates.get("atom", math.inf)) * mass(*prices.sets.values(), *prices.states.values())
    one = 1 - mass(prices.predicates.get("not", math.inf))
    two = mass(prices.predicates.get("and", math.inf), prices.predicates.get("or", math.inf))
    # The smaller root of two z^2 - one z + atoms = 0 is the sum over trees, where they have one.
    room = one**2 - 4 * two * atoms
    if one <= 0 or room < 0:
        return math.inf
    predicate = 2 * atoms / (one + math.sqrt(room))
    amount = mass(*prices.amounts.values()) + mass(prices.predicate) * predicate
    parts = {"p": predicate, "n": mass(*prices.numbers), "a": mass(*prices.actions.values())}
    longer = mass(1) * predicate

    def arguments(kind):
        if kind == "time":
            return amount
        if kind == "sequence":
            return predicate * longer * repeated(longer)
        return math.prod(parts[letter] for letter in FORMS.get(kind, ""))

    def forms(kinds, bits_less):
        """Of those kinds that have no form within."""
        return sum(mass(prices.kinds[kind] - bits_less) * arguments(kind) for kind in kinds if kind != "within")

    within = parts["n"] * mass(prices.kinds.get("within", math.inf) - prices.not_within)
    inner = forms([kind for kind in prices.kinds if kind != "does"], prices.not_within) * repeated(within)
    form = forms(prices.kinds, 0.0) + mass(prices.kinds.get("within", math.inf)) * parts["n"] * inner
    weight = mass(1) / (1 - 2 * mass(2))
    return mass(1) * repeated(2 * mass(2) * weight * form)  # of either sign

"""All forms up to a code length, those of one meaning together: by the states of predicates, then by what forms pay."""

from dataclasses import dataclass, field

import numpy as np

from utiliscope.errors import InputError
from utiliscope.payoffs import Payoffs
from utiliscope.world.model import reachable_states
from utiliscope.world.possible import weighted_worlds

from .code import Prices, largest_gamma
from .meaning import form_payoffs, predicate_values
from .syntax import FORMS, And, Atom, Form, Not, Or, Predicate

# Sums of logarithms that are equal on paper differ in the last digits.
BIT_TOLERANCE = 1e-9
_DIGITS = 10
# Different forms, where they are compared exactly; in floats, every one takes a column in a table of all. And forms
# that may turn out to be the same.
MOST_FORMS, MOST_ROUNDED, _MOST_TRIED = 20_000, 1000, 100_000
# Pairs of predicates that are joined.
_MOST_JOINED = 300_000


def refuse_forms(most=None):
    """Raise InputError where there are too many forms."""
    raise InputError(
        f"the programs use more than {most or MOST_FORMS} different forms, too many to compare in this world; "
        "name the sets of states that matter as features, leave forms out by weight 0, or lower max_bits"
    )


@dataclass
class Ways:
    """Expressions of one meaning: how many there are of each length, and the first of the shortest.

    numbers: how many by bits. cost, best: the least bits, and an expression of them.
    """

    numbers: dict[float, int] = field(default_factory=dict)
    cost: float = np.inf
    best: object = None

    def add(self, bits, number, expression):
        """Count `number` more of `bits`; `expression()` builds one of them, if it is to stand for all."""
        bits = round(bits, _DIGITS)
        self.numbers[bits] = self.numbers.get(bits, 0) + number
        if bits < self.cost:
            self.cost, self.best = bits, expression()


class Forms:
    """Forms of at most `max_bits`, by meaning.

    ways: `F` of them, in the order of their bits and then of their text. payoffs: what each pays.
    """

    def __init__(self, world, prices: Prices, own, max_bits: float):
        self.world, self.prices, self.own = world, prices, own
        self.max_bits = max_bits + BIT_TOLERANCE
        self.reachable = np.any([reachable_states(one) for _, one in weighted_worlds(world)], axis=0)
        self.values: dict[bytes, np.ndarray] = {}
        self.predicates = self._predicates(self.max_bits - min(prices.kinds.values()))
        found: dict[tuple, tuple[Payoffs, Ways]] = {}
        for tried, (ways, form) in enumerate(self._forms(self.max_bits)):
            if tried > _MOST_TRIED or len(found) > MOST_FORMS:
                refuse_forms(min(tried, MOST_FORMS))
            paid = form_payoffs(world, form, own)
            entry = found.setdefault(self._content(paid), (paid, Ways()))[1]
            for bits, number in ways.items():
                entry.add(bits, number, lambda form=form: form)
        entries = sorted(found.values(), key=lambda entry: (entry[1].cost, str(entry[1].best)))
        self.payoffs = [paid for paid, _ in entries]
        self.ways = [ways for _, ways in entries]

    def _content(self, paid: Payoffs) -> tuple:
        """What tells one payment from another, as far as it can be reached."""
        seen = self.reachable
        action = b"" if paid.action is None else paid.action[seen].tobytes()
        machines = [(one.step[:, seen].tobytes(), one.pay[:, seen].tobytes()) for one in paid.automata]
        reach = tuple(paid.reach), tuple(target[seen].tobytes() for target in paid.targets)
        return paid.state[seen].tobytes(), action, reach, tuple(machines)

    def _predicates(self, budget) -> list[Ways]:
        """Of all predicates within the budget, those of one extent together, cheap ones first."""
        prices, levels, joined = self.prices, [], 0
        atoms = {Atom(name): bits for name, bits in prices.sets.items()}
        atoms |= {Atom(name, True): bits for name, bits in prices.states.items()}
        first: dict[bytes, Ways] = {}
        for atom, bits in atoms.items():
            if prices.predicates["atom"] + bits <= budget:
                self._count(
                    first, predicate_values(self.world, atom, self.own), prices.predicates["atom"] + bits, 1, atom
                )
        levels.append(first)
        # The level of a predicate is the number of its operators.
        while levels[-1]:
            level: dict[bytes, Ways] = {}
            self._negate(level, levels[-1], budget)
            for i, left in enumerate(levels):
                joined += self._join(level, left, levels[len(levels) - 1 - i], budget, _MOST_JOINED - joined)
            levels.append(level)
        total: dict[bytes, Ways] = {}
        for level in levels:
            for extent, ways in level.items():
                entry = total.setdefault(extent, Ways())
                for bits, number in ways.numbers.items():
                    entry.add(bits, number, lambda ways=ways: ways.best)
        return sorted(total.values(), key=lambda ways: ways.cost)

    def _count(self, level, values, bits, number, expression):
        extent = np.packbits(values[self.reachable]).tobytes()
        self.values.setdefault(extent, values)
        level.setdefault(extent, Ways()).add(bits, number, lambda: expression)

    def _negate(self, level, parts, budget):
        bits = self.prices.predicates.get("not", np.inf)
        for extent, ways in parts.items():
            for cost, number in ways.numbers.items():
                if cost + bits <= budget:
                    self._count(level, ~self.values[extent], cost + bits, number, Not(ways.best))

    def _join(self, level, lefts, rights, budget, most) -> int:
        """How many pairs there were; at most `most`."""
        rights, pairs = sorted(rights.items(), key=lambda entry: entry[1].cost), 0
        for kind, operator, combined in (("and", And, np.logical_and), ("or", Or, np.logical_or)):
            bits = self.prices.predicates.get(kind, np.inf)
            for left, some in lefts.items():
                room = budget - bits - some.cost
                for right, others in rights:
                    if others.cost > room:
                        break
                    pairs += 1
                    if pairs > most:
                        refuse_forms()
                    values = combined(self.values[left], self.values[right])
                    for cost, number in some.numbers.items():
                        for more, times in others.numbers.items():
                            if cost + more + bits <= budget:
                                joint = operator(some.best, others.best)
                                self._count(level, values, cost + more + bits, number * times, joint)
        return pairs

    def _forms(self, budget, within=False):
        """`(numbers by bits, form)` for every form within the budget, by extent of its predicates."""
        for kind, bits in self.prices.kinds.items():
            if within and kind == "does":
                continue
            bits -= self.prices.not_within if within else 0.0
            left = budget - bits
            signature = FORMS.get(kind)
            if left < 0:
                continue
            if signature is None:
                yield {bits: 1}, Form(kind)
            elif signature == "nf":
                for number, cost in self._numbers(left):
                    for ways, inner in self._forms(left - cost, within=True):
                        yield _dearer(ways, bits + cost), Form(kind, (), number, inner)
            elif signature == "pp*":
                for ways, predicates in self._tuples(left):
                    yield _dearer(ways, bits), Form(kind, predicates)
            else:
                for ways, predicate in self._arguments(kind, left):
                    if signature == "pn":
                        for number, cost in self._numbers(left - min(ways)):
                            yield _within_budget(_dearer(ways, bits + cost), budget), Form(kind, (predicate,), number)
                    elif signature == "pa":
                        for action, cost in self.prices.actions.items():
                            some = _within_budget(_dearer(ways, bits + cost), budget)
                            if some:
                                yield some, Form(kind, (predicate,), action=action)
                    else:
                        yield _within_budget(_dearer(ways, bits), budget), Form(kind, (predicate,))

    def _numbers(self, budget):
        most = min(largest_gamma(max(budget, 0) + 1), len(self.prices.numbers))
        return [(n, self.prices.numbers[n - 1]) for n in range(1, most + 1) if self.prices.numbers[n - 1] <= budget]

    def _arguments(self, kind, budget):
        more = 0.0
        if kind == "time":
            more = self.prices.predicate
            yield from (({bits: 1}, Atom(name)) for name, bits in self.prices.amounts.items() if bits <= budget)
        for ways in self.predicates:
            if ways.cost + more > budget:
                break
            yield _within_budget(_dearer(ways.numbers, more), budget), ways.best

    def _tuples(self, budget):
        """Of two predicates or more; each one after the first pays a bit to go on or to stop."""
        level: list[tuple[dict, tuple[Predicate, ...]]] = [(w.numbers, (w.best,)) for w in self.predicates]
        while level:
            longer = []
            for ways, before in level:
                room = budget - min(ways) - 1
                for more in self.predicates:
                    if more.cost > room:
                        break
                    joint: dict[float, int] = {}
                    for bits, number in ways.items():
                        for cost, times in more.numbers.items():
                            joint[bits + cost + 1] = joint.get(bits + cost + 1, 0) + number * times
                    joint = _within_budget(joint, budget)
                    if joint:
                        longer.append((joint, (*before, more.best)))
                        if len(longer) > _MOST_TRIED:
                            refuse_forms(_MOST_TRIED)
            yield from longer
            level = longer


def _dearer(ways, bits):
    return {cost + bits: number for cost, number in ways.items()}


def _within_budget(ways, budget):
    return {cost: number for cost, number in ways.items() if cost <= budget}

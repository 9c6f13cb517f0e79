"""`Grammar`: the description-length prior over utilities of one world."""

import math
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from functools import cached_property

import jax
import numpy as np

from utiliscope.automata import Automaton, automaton
from utiliscope.errors import InputError, check_bits, check_whole, listed
from utiliscope.world.model import check_world
from utiliscope.world.possible import World, weighted_worlds

from .candidates import Candidates, sorted_candidates
from .code import PREDICATE_WEIGHTS, STATE_WEIGHT, Prices, prices
from .drawing import drawn
from .enumeration import enumerated
from .equality import grouped
from .meaning import action_names, state_names
from .reading import parse
from .syntax import FORMS, PLAIN_WORD, Atom, Form, Own, Program, atoms_of, operators_of


@dataclass(frozen=True, eq=False)
class Grammar:
    """Utilities as sums of weighted forms over state sequences of `world`, and what each costs in bits.

    Forms are `time(p)`, `reach(p)`, `avoid(p)`, `end(p)`, `visits(p, n)`, `every(p, n)`, `sequence(p, q, ...)` and
    `within(n, form)`; `forms.py` has the table of what they mean. p is a feature of the world, a single state such as
    `@12` or `@"0,3"`, or made of these with `and`, `or`, `not` and parentheses.

    world: whose features and states the programs speak of; one, or `PossibleWorlds`. There, programs agree if they
        do in every world, each with a constant of its own.
    states: whether single states can be named; by default only if the world has no features.
    actions: whether actions can be named, in `does(p, action)`: "act like this".
    features: more features, by name: `[S]`, or a function of a state's name that gives a bool, or an amount.
    forms: more forms, by name, written name(): an `Automaton`, `[S]` amounts a step, or a function of a state's name.
    weights: relative weights of productions, where not the usual ones (`code.FORM_WEIGHTS`, `code.PREDICATE_WEIGHTS`;
        "state" is the share of atoms that are single states, 1/2). Weight 0 leaves a production out, as `end` is by
        default in `PossibleWorlds` of several discounts, where it is no single utility.
    horizon: the longest n, which is the time that `within` looks at and `every` waits for, and the visits that `visits`
        counts. Each costs its Elias gamma code, 2 floor(log2 n) + 1 bits, less what there is to save as none is longer.

    Raises InputError for worlds without anything to name, features that are not finite, names taken twice, and weights
    under which programs have no end.
    """

    world: World
    _: KW_ONLY
    states: bool | None = None
    actions: bool = False
    features: Mapping | None = None
    forms: Mapping | None = None
    weights: Mapping | None = None
    horizon: int = 64
    own: Own = field(init=False)
    prices: Prices = field(init=False)

    def __post_init__(self):
        check_world(self.world)
        check_whole("the horizon of a Grammar", self.horizon, 1)
        for _, one in weighted_worlds(self.world):
            if np.ndim(one.initial) != 1:
                raise InputError(f"a grammar is for one world, not a stack of shape {np.shape(one.initial)[:-1]}")
        if self.states is None:
            object.__setattr__(self, "states", not self.world.features and not self.features)
        object.__setattr__(self, "own", self._own())
        if not self.states and not self._features:
            raise InputError("this world has no features, so a utility has nothing to name; use Grammar(world)")
        object.__setattr__(self, "prices", self._prices())

    def _own(self) -> Own:
        for what, given in (("features", self.features), ("forms", self.forms)):
            if given is not None and not (isinstance(given, Mapping) and all(isinstance(name, str) for name in given)):
                raise InputError(f"{what} of your own are {given!r:.60}; give them by name, as a dictionary")
        features = {name: self._values("feature", name, given) for name, given in (self.features or {}).items()}
        for name in features:
            if name in self.world.features:
                raise InputError(f"the world has a feature called {name!r} already; give yours another name")
        forms = {}
        taken = [*FORMS, *PREDICATE_WEIGHTS, *STATE_WEIGHT]
        for name, given in (self.forms or {}).items():
            if not PLAIN_WORD.fullmatch(name) or name in taken:
                raise InputError(
                    f"a form of your own is called {name!r}; take a plain word that is not one of {', '.join(taken)}"
                )
            if isinstance(given, Automaton):
                forms[name] = automaton(given.step, given.pay)
                if forms[name].step.shape[1] != self.world.num_states:
                    raise InputError(
                        f"form {name!r} reads {forms[name].step.shape[1]} states, not {self.world.num_states}"
                    )
            else:
                forms[name] = self._values("form", name, given).astype(np.float64)
        return Own(features, forms)

    def _values(self, what, name, given) -> np.ndarray:
        """`[S]` bools or finite floats, from an array or a function of a state's name."""
        if callable(given):
            given = [given(state) for state in state_names(self.world)]
        values = np.asarray(given)
        if values.shape != (self.world.num_states,):
            raise InputError(
                f"{what} {name!r} has shape {values.shape}; give one value for each of {self.world.num_states} states"
            )
        if values.dtype == bool:
            return values
        try:
            values = values.astype(np.float64)
        except (TypeError, ValueError):
            raise InputError(f"{what} {name!r} has values that are not numbers") from None
        if not np.isfinite(values).all():
            place = int(np.argmin(np.isfinite(values)))
            raise InputError(
                f"{what} {name!r} is {values[place]} in state {state_names(self.world)[place]}; give numbers"
            )
        return values

    @cached_property
    def _features(self) -> dict[str, np.ndarray]:
        return {name: np.asarray(values) for name, values in self.world.features.items()} | dict(self.own.features)

    def _prices(self) -> Prices:
        sets = [name for name, values in self._features.items() if values.dtype == bool]
        amounts = [name for name in self._features if name not in sets]
        states = state_names(self.world) if self.states else ()
        actions = action_names(self.world) if self.actions else ()
        weights = self.weights
        discounts = {float(one.discount) for _, one in weighted_worlds(self.world)}
        if weights is None or (isinstance(weights, Mapping) and "end" not in weights):
            # It would be another utility in each world.
            weights = dict(weights or {}) | ({"end": 0} if self.world.horizon is None and len(discounts) > 1 else {})
        return prices(sets, states, amounts, actions, list(self.own.forms), weights, self.horizon)

    def parse(self, text) -> Program:
        """The program that `text` spells, such as "reach(G) - 2*every(port, 10)"."""
        program = parse(text, _Vocabulary(self))
        return Program(program.terms, program.constant, self.own)

    def code_length(self, program: Program | str) -> float:
        """Description length K in bits of one program, given as such or as text."""
        return self.prices.program(self._checked(program))

    def log_prob(self, program: Program | str) -> float:
        """Log prior probability of one program, in nats: -K LN2."""
        return -self.code_length(program) * math.log(2)

    def sample(self, key) -> Program:
        """A program drawn from the prior; its length is random and has no bound."""
        rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
        return Program(drawn(rng, self.prices), 0, self.own)

    def enumerate(self, max_bits: float | int = 14) -> Candidates:
        """The candidates of all programs that take at most `max_bits` bits.

        Programs that agree up to a positive affine map on every reachable state sequence are one candidate, named
        by the shortest of them; its mass is the sum of 2^-K over all of them that were found. Utilities that
        prefer nothing are the candidate "0".
        """
        check_bits(max_bits)
        return enumerated(self.world, self.prices, self.own, float(max_bits))

    def select(self, expressions) -> Candidates:
        """Candidates of your choice, each with the code length of the program as written.

        Two that agree up to a positive affine map on every reachable sequence are an error.
        """
        if isinstance(expressions, str) or not (expressions := list(expressions)):
            raise InputError("select() takes a list of expressions, with at least one of them")
        programs = [self._checked(expression) for expression in expressions]
        seen: dict[int, Program] = {}
        for group, program in zip(grouped(self.world, programs).tolist(), programs, strict=True):
            if group in seen:
                raise InputError(
                    f"'{seen[group]}' and '{program}' are one utility in this world: they agree up to a positive "
                    "affine map on every reachable state sequence; keep one of them"
                )
            seen[group] = program
        bits = np.array([self.code_length(program) for program in programs])
        return sorted_candidates([str(p) for p in programs], bits, [p.payoffs(self.world) for p in programs])

    def _checked(self, program) -> Program:
        if not isinstance(program, Program):
            return self.parse(program)
        vocabulary = _Vocabulary(self)
        for term in program.terms:
            for refused in vocabulary.refusals(term.form):
                raise InputError(f"{'; '.join(refused)} (in '{program}')")
        return Program(program.terms, program.constant, self.own)


class _Vocabulary:
    """What a grammar has words for, as `reading.parse` asks."""

    def __init__(self, grammar):
        self.grammar = grammar
        self.leaves = tuple(grammar.own.forms)

    def refusals(self, form: Form):
        """All reasons why a form is not one of this grammar's."""
        parts = [self.refuse_kind(form.kind)]
        for predicate in form.predicates:
            alone = form.kind == "time" and isinstance(predicate, Atom)
            parts += [self.refuse_kind(word) for word in operators_of(predicate)]
            parts += [self.refuse_atom(atom, alone) for atom in atoms_of(predicate)]
        if form.number is not None:
            parts.append(self.refuse_number(form.number))
        if form.action is not None:
            parts.append(self.refuse_action(form.action))
        if form.inner is not None:
            parts += self.refusals(form.inner)
        return [part for part in parts if part]

    def refuse_kind(self, kind):
        prices = self.grammar.prices
        if kind in prices.kinds or kind in prices.predicates:
            return None
        if kind == "does" and not self.grammar.actions:
            return "does(...) names an action", "this grammar has no actions; use Grammar(world, actions=True)"
        if kind in FORMS and not prices.sets and not prices.states:
            return (
                f"{kind!r} is of sets of states, and the features here are amounts",
                "give features that are true or false, or use Grammar(world, states=True)",
            )
        return f"{kind!r} has weight 0 in this grammar", "use another form, or give it a weight"

    def refuse_atom(self, atom, amount):
        grammar = self.grammar
        if atom.is_state and not grammar.states:
            return f"{atom} is a single state", "this grammar has features only; use Grammar(world, states=True)"
        names = state_names(grammar.world)
        states = [Atom(name, is_state=True) for name in names]
        if atom.is_state:
            if atom.name in names:
                return None
            return f"unknown state {atom.name!r}", f"states of this world: {listed(states)}"
        if atom.name in grammar._features:
            if amount or grammar._features[atom.name].dtype == bool:
                return None
            return (
                f"a set of states is needed here, and {atom.name!r} is an amount",
                f"use time({atom}), or give places as true and false",
            )
        features = [Atom(name) for name in grammar._features]
        known = f"features of this world: {listed(features)}" if features else "this world has no features"
        state = Atom(atom.name, is_state=True)
        return f"unknown feature {atom.name!r}", known + (
            f"; a single state is written {state}" if state in states else ""
        )

    def refuse_number(self, number):
        if number <= self.grammar.horizon:
            return None
        return (
            f"n is {number}",
            f"this grammar counts up to {self.grammar.horizon}; use Grammar(world, horizon={number})",
        )

    def refuse_action(self, name):
        names = action_names(self.grammar.world)
        return None if name in names else (f"unknown action {name!r}", f"actions of this world: {listed(names)}")

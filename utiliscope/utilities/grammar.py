"""`Grammar`: the description-length prior over utilities of one world."""

import math
from dataclasses import KW_ONLY, dataclass
from functools import cached_property

import jax
import numpy as np

from utiliscope.errors import InputError, listed
from utiliscope.world.model import check_world
from utiliscope.world.possible import World, weighted_worlds

from .candidates import Candidates, sorted_candidates
from .code import form_bits, program_bits
from .enumeration import enumerate_hypotheses
from .equality import grouped
from .meaning import state_names
from .syntax import Atom, Form, Program, Term, parse


@dataclass(frozen=True, eq=False)
class Grammar:
    """Utilities as sums of weighted forms over the states of `world`, and what each costs in bits.

    `time(p)` is the discounted time spent in p, `reach(p)` the discount to the first arrival there; p is a feature
    of the world, or a single state such as `@12` or `@"0,3"`.

    world: whose features and states the programs speak of; one, or `PossibleWorlds`. There, programs agree if they
        do in every world, each with a constant of its own.
    states: whether single states can be named; by default only if the world has no features.
    """

    world: World
    _: KW_ONLY
    states: bool | None = None

    def __post_init__(self):
        check_world(self.world)
        for _, one in weighted_worlds(self.world):
            if np.ndim(one.initial) != 1:
                raise InputError(f"a grammar is for one world, not a stack of shape {np.shape(one.initial)[:-1]}")
        if self.states is None:
            object.__setattr__(self, "states", not self.world.features)
        if not self.states and not self.world.features:
            raise InputError("this world has no features, so a utility has nothing to name; use Grammar(world)")

    @cached_property
    def forms(self) -> dict[Form, float]:
        """Every form of this grammar and its bits."""
        return form_bits(self.world, bool(self.states))

    def parse(self, text) -> Program:
        """The program that `text` spells, such as "reach(G) - 2*time(b)"."""
        return parse(text, self._refusal)

    def code_length(self, program: Program | str) -> float:
        """Description length K in bits of one program, given as such or as text."""
        program = self._checked(program)
        return program_bits(program, self.forms)

    def log_prob(self, program: Program | str) -> float:
        """Log prior probability of one program, in nats: -K LN2."""
        return -self.code_length(program) * math.log(2)

    def sample(self, key) -> Program:
        """A program drawn from the prior; its length is random and has no bound."""
        rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
        forms = list(self.forms)
        chances = 2.0 ** -np.array(list(self.forms.values()))
        terms = []
        while rng.integers(2):
            sign = 1 - 2 * int(rng.integers(2))
            weight, doublings = 1, 0
            while rng.integers(2):
                doublings += 1
            for _ in range(doublings):
                weight = 2 * weight + int(rng.integers(2))
            terms.append(Term(sign * weight, forms[rng.choice(len(forms), p=chances / chances.sum())]))
        return Program(tuple(terms))

    def enumerate(self, max_bits: float | int = 14) -> Candidates:
        """The candidates of all programs that take at most `max_bits` bits.

        Programs that agree up to a positive affine map on every reachable state sequence are one candidate, named
        by the shortest of them; its mass is the sum of 2^-K over all of them that were found. Utilities that
        prefer nothing are the candidate "0".
        """
        if not 1 <= max_bits < math.inf:
            raise InputError(f"max_bits is {max_bits}; the shortest program takes 1 bit, and 14 is a good start")
        found = enumerate_hypotheses(self.world, self.forms, float(max_bits))
        names = [str(hypothesis.program) for hypothesis in found]
        bits = -np.log2([hypothesis.mass for hypothesis in found])
        return sorted_candidates(names, bits, [hypothesis.program.payoffs(self.world) for hypothesis in found])

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
        for term in program.terms:
            refused = self._refusal(term.form)
            if refused:
                raise InputError(f"{'; '.join(refused)} (in '{program}')")
        return program

    def _refusal(self, form) -> tuple[str, str] | None:
        """(problem, advice) where `form` is not one of this grammar's."""
        if form in self.forms:
            return None
        atom = form.atom
        if atom.is_state and not self.states:
            return f"{atom} is a single state", "this grammar has features only; use Grammar(world, states=True)"
        states = [Atom(name, is_state=True) for name in state_names(self.world)]
        if atom.is_state:
            return f"unknown state {atom.name!r}", f"states of this world: {listed(states)}"
        features = [Atom(name) for name in self.world.features]
        if atom not in features:
            known = f"features of this world: {listed(features)}" if features else "this world has no features"
            state = Atom(atom.name, is_state=True)
            return f"unknown feature {atom.name!r}", known + (
                f"; a single state is written {state}" if state in states else ""
            )
        return f"{form.kind} needs a set of states, and {atom.name!r} is an amount", f"use time({atom})"

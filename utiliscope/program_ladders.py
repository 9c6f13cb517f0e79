"""Tempered chains of utility programs: their moves, their swaps, and the likelihood of every utility that they meet."""

import hashlib
import math
import random
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .automata import Automaton
from .errors import InputError
from .payoffs import Payoffs
from .utilities.drawing import drawn
from .utilities.meaning import form_payoffs
from .utilities.program_moves import LN2, MOVES
from .utilities.syntax import Form, Program
from .world.model import reachable_states
from .world.possible import weighted_worlds

# Weights and payoffs are compared to this many digits.
_DIGITS = 9
# In place of -inf, which cannot be subtracted from itself.
NO_CHANCE = -1e300
_REMEMBERED = 2**16


class Numbers:
    """The `integers` and `choice` of a NumPy generator, in a fraction of their time for one number each.

    random: gives a number from 0 to below 1.
    """

    def __init__(self, generator):
        self.random = random.Random(int(generator.integers(2**63))).random

    def integers(self, number) -> int:
        return int(self.random() * number)

    def choice(self, number, p) -> int:
        left = self.random()
        for place, chance in enumerate(p):
            left -= chance
            if left < 0:
                return place
        # Rounding has left a little over: it goes to the last that has a chance.
        return max(place for place in range(number) if p[place] > 0)


class Part(NamedTuple):
    """What one form pays: `Payoffs` in plain arrays, whose sets to reach and automata go by their content.

    others: `[(weight, content, set or automaton)]`.
    """

    state: np.ndarray
    action: np.ndarray | None
    others: list


class Meanings:
    """Code lengths and likelihoods of programs; every utility is evaluated once, whatever programs there are for it."""

    def __init__(self, grammar, log_likelihood):
        self.grammar, self.function = grammar, log_likelihood
        self.reachable = np.any([reachable_states(one) for _, one in weighted_worlds(grammar.world)], axis=0)
        self.known: dict[bytes, float] = {}
        self.read = lru_cache(_REMEMBERED)(self._read)
        self.part = lru_cache(_REMEMBERED)(self._part)

    def _part(self, form: Form) -> Part:
        paid, seen = form_payoffs(self.grammar.world, form, self.grammar.own), self.reachable
        others = [(w, target[seen].tobytes(), target) for w, target in zip(paid.reach, paid.targets, strict=True)]
        for weight, machine in zip([] if paid.weight is None else paid.weight, paid.automata, strict=True):
            content = machine.step[:, seen].tobytes() + machine.pay[:, seen].tobytes()
            others.append((weight, content, machine))
        return Part(paid.state, paid.action, others)

    def _read(self, program: Program) -> tuple[float, bytes]:
        """Bits of a program, and what tells its payoffs from others, up to scale and a constant a step."""
        state, action, others = self._sums(program)
        state = state[self.reachable]
        values = [state - state[0], np.zeros(0) if action is None else action[self.reachable].ravel()]
        values.append(np.array(list(others.values())))
        size = max(float(np.abs(one).max(initial=0)) for one in values)
        digest = hashlib.blake2b(digest_size=16)
        if size > 0:
            state, action, weights = (np.round(one / size, _DIGITS) + 0.0 for one in values)
            digest.update(state.tobytes() + (action.tobytes() if action.any() else b""))
            for content, weight in sorted(zip(others, weights.tolist(), strict=True)):
                if weight:
                    digest.update(hashlib.blake2b(content).digest() + np.float64(weight).tobytes())
        return self.grammar.prices.program(program), digest.digest()

    def _sums(self, program):
        """What a program pays: by state, by action, and on sets and automata by their content."""
        state, action = np.zeros(len(self.reachable)), None
        others: dict[bytes, float] = {}
        for term in program.terms:
            part = self.part(term.form)
            state = state + term.weight * part.state
            if part.action is not None:
                action = term.weight * part.action + (0.0 if action is None else action)
            for weight, content, _ in part.others:
                others[content] = others.get(content, 0.0) + term.weight * weight
        return state, action, others

    def payoffs(self, programs) -> Payoffs:
        """The stack of what programs pay."""
        sums = [self._sums(program) for program in programs]
        things = {c: thing for p in programs for t in p.terms for _, c, thing in self.part(t.form).others}
        sets = [content for content, thing in things.items() if not isinstance(thing, Automaton)]
        machines = [content for content, thing in things.items() if isinstance(thing, Automaton)]

        def table(contents):
            rows = [[others.get(content, 0.0) for content in contents] for _, _, others in sums]
            return np.array(rows, np.float64).reshape(len(sums), len(contents))

        actions = None
        if any(action is not None for _, action, _ in sums):
            none = np.zeros((len(self.reachable), self.grammar.world.num_actions))
            actions = np.stack([none if action is None else action for _, action, _ in sums])
        targets = np.array([things[content] for content in sets], bool).reshape(len(sets), len(self.reachable))
        weight = table(machines) if machines else None
        automata = tuple(things[content] for content in machines)
        return Payoffs(np.stack([state for state, _, _ in sums]), actions, table(sets), targets, weight, automata)

    def evaluate(self, programs: list[Program]) -> tuple[list[float], list[float]]:
        """Bits and nats of each."""
        read = [self.read(program) for program in programs]
        new = {content: program for (_, content), program in zip(read, programs, strict=True)}
        new = {content: program for content, program in new.items() if content not in self.known}
        if new:
            found = np.asarray(self.function(self.payoffs(list(new.values()))))
            if found.shape != (len(new),):
                raise InputError(
                    f"log_likelihood gave shape {found.shape} for {len(new)} utilities; it must give one number of "
                    f"nats for each, [{len(new)}]"
                )
            for (content, program), nats in zip(new.items(), found.tolist(), strict=True):
                if math.isnan(nats) or nats == math.inf:
                    raise InputError(f"log_likelihood of '{program}' is {nats}; it must be a number, or -inf")
                self.known[content] = max(nats, NO_CHANCE)
        return [bits for bits, _ in read], [self.known[content] for _, content in read]


class Ladders:
    """`C` replicas of `T` tempered chains each, the coldest last.

    programs: lists `[C][T]`. bits, log_likelihood: `[C, T]`. seen_hot: `[C, T]` whether the state has come from the hot
    end since it was last at the cold one.
    """

    def __init__(self, rng, grammar, meanings, warmth, num_chains, simplicity):
        self.rng, self.prices, self.meanings = rng, grammar.prices, meanings
        self.warmth, self.simplicity = warmth, simplicity
        self.places = [(chain, rung) for chain in range(num_chains) for rung in range(len(warmth))]
        begin = [Program(drawn(rng, self.prices), 0, grammar.own) for _ in self.places]
        self.programs = [begin[i : i + len(warmth)] for i in range(0, len(begin), len(warmth))]
        self.bits, self.log_likelihood = (
            np.array(values).reshape(num_chains, -1) for values in meanings.evaluate(begin)
        )
        self.seen_hot = np.zeros((num_chains, len(warmth)), bool)
        self.names, self.functions = list(MOVES), [move for move, _ in MOVES.values()]
        self.shares = [share for _, share in MOVES.values()]
        self.forget()

    def forget(self):
        """Rates are counted anew."""
        self.proposed = np.zeros((len(self.names), len(self.warmth)), int)
        self.accepted = np.zeros_like(self.proposed)
        self.swapped = np.zeros(len(self.warmth) - 1)
        self.tried = np.zeros(len(self.warmth) - 1)
        self.restarts = 0

    def move(self, last):
        """One move of every chain. The prior itself is drawn from, once before the swap (`last`), and needs no more."""
        proposals = []
        for chain, rung in self.places:
            if self.warmth[rung] == 0 and self.simplicity == 1:
                if not last:
                    continue
                which = self.names.index("redraw")
            else:
                which = self.rng.choice(len(self.shares), self.shares)
            self.proposed[which, rung] += 1
            old = self.programs[chain][rung]
            proposal = self.functions[which](self.rng, old, self.prices)
            if proposal is not None and proposal.program != old:
                proposals.append((chain, rung, which, *proposal))
        if not proposals:
            return
        evaluated = self.meanings.evaluate([proposal[3] for proposal in proposals])
        for (chain, rung, which, program, log_ratio), bits, nats in zip(proposals, *evaluated, strict=True):
            log_ratio -= LN2 * self.simplicity * (bits - self.bits[chain, rung])
            log_ratio += self.warmth[rung] * (nats - self.log_likelihood[chain, rung])
            if log_ratio >= 0 or self.rng.random() < math.exp(log_ratio):
                self.programs[chain][rung] = program
                self.bits[chain, rung], self.log_likelihood[chain, rung] = bits, nats
                self.accepted[which, rung] += 1

    def swap(self, parity):
        """Neighbours change places: 0 with 1, 2 with 3, ..., or from 1 on."""
        self.seen_hot[:, 0] = True
        for rung in range(parity, len(self.warmth) - 1, 2):
            pair, back = [rung, rung + 1], [rung + 1, rung]
            for chain, programs in enumerate(self.programs):
                gain = self.log_likelihood[chain, rung] - self.log_likelihood[chain, rung + 1]
                chance = math.exp(min(0.0, (self.warmth[rung + 1] - self.warmth[rung]) * gain))
                self.swapped[rung] += chance
                self.tried[rung] += 1
                if self.rng.random() < chance:
                    programs[rung], programs[rung + 1] = programs[rung + 1], programs[rung]
                    for values in (self.bits, self.log_likelihood, self.seen_hot):
                        values[chain, pair] = values[chain, back]
        if len(self.warmth) > 1:
            self.restarts += int(self.seen_hot[:, -1].sum())
        self.seen_hot[:, -1] = False

    def adapt(self):
        """Temperatures between which swaps are refused equally often, as far as the rates so far tell."""
        if len(self.warmth) < 3:
            return
        refused = 1 - self.swapped / np.maximum(self.tried, 1)
        barrier = np.concatenate([[0.0], np.cumsum(refused + 1e-3)])
        self.warmth = np.interp(np.linspace(0, barrier[-1], len(self.warmth)), barrier, self.warmth)

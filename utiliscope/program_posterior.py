"""`sample_programs`: the posterior over utility programs by Markov moves, where they are too many to enumerate.

Parallel tempering, and not SMC, for three reasons. The hot end is the prior, of which exact and independent draws are
to be had: so every chain is begun anew again and again, and finds hypotheses late in the run as well as early, where a
particle filter has lost what it did not draw at first. Independent replicas disagree visibly where this fails. And a
long run is better than several short ones, because a hypothesis that is met again is not evaluated again.

The ladder is adapted by Syed, Bouchard-Côté, Deligiannidis and Doucet (2022), "Non-reversible parallel tempering: a
scalable highly parallel MCMC scheme" (JRSS B 84): even and odd swaps alternate, and temperatures are moved during
warmup until all neighbours refuse to swap equally often.
"""

import hashlib
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import arviz as az
import jax
import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from .automata import Automaton
from .diagnostics import warn_of
from .errors import InputError, check_whole, listed
from .payoffs import Payoffs
from .utilities import Candidates, Grammar
from .utilities.candidates import sorted_candidates
from .utilities.code import Prices
from .utilities.drawing import drawn
from .utilities.equality import grouped
from .utilities.meaning import form_payoffs
from .utilities.program_moves import LN2, MOVES
from .utilities.syntax import FORMS, Form, Program
from .world.model import reachable_states
from .world.possible import weighted_worlds

# What `equality.grouped` compares in seconds; hypotheses too rare to be among them are told apart by payoffs alone.
_MOST_FORMS = 400
# Hypotheses that must agree between replicas before the rest is believed.
_CHECKED_SHARE = 0.05
# Weights and payoffs are compared to this many digits.
_DIGITS = 9
# In place of -inf, which cannot be subtracted from itself.
_NO_CHANCE = -1e300
# Shares of the warmup at which the ladder is adapted; from the last on it stays.
_ADAPTED = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2)
_LEAST_WARMTH = 0.01
_REMEMBERED = 2**16


@dataclass(frozen=True, eq=False, repr=False)
class ProgramPosterior:
    """What a run of `sample_programs` found: `P` programs of `H` hypotheses in `C` replicas of `N` draws.

    programs: distinct programs of the draws, the most frequent first. share: `[P]` of the draws. code_length: `[P]`
    bits K. log_likelihood: `[P]` nats. hypothesis: `[P]` place of the hypothesis that it is.

    names: of the hypotheses, the likeliest first: the shortest program seen. probability: `[H]`; std_error: `[H]` its
    Monte Carlo error, the larger one of what the draws (ArviZ) and what the replicas' means say. A hypothesis that was
    never met has no row and no error. mass_bits: `[H]` -log2 of the sum of 2^-K over its programs that were met: not
    less than its K. rhat, ess: `[H]` of its indicator over replicas; R-hat is NaN for one replica.

    draws: `[C, N]` places of hypotheses. bits: `[C, N]` K of the programs drawn.
    inverse_temperatures: `[T]` from hot to cold, 1. swap_rate: `[T - 1]` of neighbours, after warmup.
    acceptance: by move (rows) and inverse temperature, changes made for each proposal, after warmup; NaN if none.
    restarts: how often a state of the hot end has come down to the cold one, over all replicas, after warmup.
    evaluations: utilities that the likelihood was asked for.
    diagnostics: `max_rhat` and `min_ess` over K and every hypothesis of at least 5 %, `max_std_error` over all, and
    `compared_share` of the draws whose programs are merged whenever they are one hypothesis: the rarest are merged
    only where their payoffs show it, if there are many forms.
    """

    programs: tuple[Program, ...]
    share: Float[np.ndarray, " P"]
    code_length: Float[np.ndarray, " P"]
    log_likelihood: Float[np.ndarray, " P"]
    hypothesis: Int[np.ndarray, " P"]
    names: tuple[str, ...]
    probability: Float[np.ndarray, " H"]
    std_error: Float[np.ndarray, " H"]
    mass_bits: Float[np.ndarray, " H"]
    rhat: Float[np.ndarray, " H"]
    ess: Float[np.ndarray, " H"]
    draws: Int[np.ndarray, "C N"]
    bits: Float[np.ndarray, "C N"]
    inverse_temperatures: Float[np.ndarray, " T"]
    swap_rate: Float[np.ndarray, " T-1"]
    acceptance: pd.DataFrame
    restarts: int
    evaluations: int
    diagnostics: dict
    world: Any

    def to_frame(self) -> pd.DataFrame:
        """One row for each hypothesis, the likeliest first."""
        first = np.unique(self.hypothesis, return_index=True)[1]
        columns = dict(utility=self.names, probability=self.probability, std_error=self.std_error)
        columns |= dict(code_length=self.mass_bits, log_likelihood=self.log_likelihood[first])
        return pd.DataFrame(columns | dict(rhat=self.rhat, ess=self.ess))

    def candidates(self, least: float = 0.0) -> Candidates:
        """The hypotheses of at least this probability, for `fit`; their code lengths are of the programs met."""
        kept = np.flatnonzero(self.probability >= least)
        if not len(kept):
            raise InputError(f"no hypothesis has a probability of {least}; the likeliest has {self.probability[0]:.3g}")
        named = {str(program): program for program in self.programs}
        payoffs = [named[self.names[h]].payoffs(self.world) for h in kept]
        return sorted_candidates([self.names[h] for h in kept], self.mass_bits[kept], payoffs)

    def __repr__(self) -> str:
        rows = zip(self.names, self.probability, self.std_error, strict=True)
        shown = listed(f"{name}  {share:.3f} ± {error:.3f}" for name, share, error in rows)
        return f"ProgramPosterior({len(self.names)} hypotheses, {len(self.programs)} programs: {shown})"


def sample_programs(
    key,
    grammar: Grammar,
    log_likelihood: Callable[[Payoffs], Any],
    *,
    num_samples: int = 2000,
    num_warmup: int = 1000,
    num_chains: int = 4,
    num_temperatures: int = 8,
    inverse_temperatures: Sequence[float] | np.ndarray | None = None,
    moves_per_sample: int = 8,
    simplicity: float = 1.0,
    progress: Callable[[int, int], None] | None = None,
) -> ProgramPosterior:
    r"""Programs of `grammar` drawn from their posterior by parallel tempering, merged into hypotheses.

    .. math:: P(program) \propto 2^{-\alpha K(program)} \exp(\mathrm{log\_likelihood}),
        \quad \text{tempered:} \quad 2^{-\alpha K} \exp(\beta\, \mathrm{log\_likelihood})

    log_likelihood: takes a stack of `U` Payoffs to `[U]` nats, -inf allowed; NumPy or JAX. It is asked for all replicas
        and temperatures at once, with another U each time, and other targets and automata: compile inside it what has
        fixed shapes. *Utilities that agree up to a positive affine map on every reachable sequence must have the
        same likelihood*, as they do by g: it is asked once for all that pay the same after scaling, after taking off
        a constant a step, and in states that are reachable, and for one of them.
    num_samples: draws kept in each of `num_chains` independent replicas, one after every `moves_per_sample` moves at
        every temperature. num_warmup: as many more before, in which the ladder is adapted.
    num_temperatures: of the ladder from the prior (inverse temperature 0) to the posterior (1); 1 for no tempering.
        inverse_temperatures: rising to 1, to be taken as they are instead.
    simplicity: alpha on the K of every *program*. A hypothesis weighs the sum of 2^(-alpha K) over its programs: for
        alpha = 1 its mass in `Grammar.enumerate`, else not that mass to the power of alpha.
    progress: called with samples done and of how many, warmup included.

    The same key gives the same draws. Warns (ConvergenceWarning) if R-hat (of 2 chains or more) or effective sample
    sizes of K and the leading hypotheses are poor. What no replica has met is not in the result, and no diagnostic
    can see it. Raises InputError for bad input, for likelihoods that are NaN, +inf or not `[U]`, if draws have
    likelihood 0 (no program that is possible was met), and for weights on simplicity below 1 under which all programs
    together have no finite mass.

    Costs some 0.1 to 0.5 ms for each move of each chain and temperature, on one core, besides the likelihood.
    """
    prices = grammar.prices
    _check(grammar, num_samples, num_warmup, num_chains, num_temperatures, moves_per_sample, simplicity)
    if not math.isfinite(total_mass(prices, simplicity)):
        raise InputError(
            f"simplicity is {simplicity}: the masses 2^(-{simplicity} K) of this grammar's programs have no finite "
            "sum, so that longer and longer ones would be drawn; take 1 or more, or weights that make long ones rarer"
        )
    warmth = _ladder(num_temperatures, inverse_temperatures)
    adapted = set() if inverse_temperatures is not None else {int(num_warmup * share) for share in _ADAPTED}
    rng = _Numbers(np.random.default_rng(np.asarray(jax.random.key_data(key))))
    meanings = _Meanings(grammar, log_likelihood)
    ladders = _Ladders(rng, grammar, meanings, warmth, num_chains, float(simplicity))
    index: dict[Program, int] = {}
    likelihoods: list[float] = []
    drawn_programs = np.zeros((num_chains, num_samples), int)
    total = num_warmup + num_samples
    for sample in range(total):
        if sample == num_warmup:
            ladders.forget()
        elif sample in adapted and sample:
            ladders.adapt()
            ladders.forget()
        for move in range(moves_per_sample):
            ladders.move(last=move == moves_per_sample - 1)
        ladders.swap(sample % 2)
        if sample >= num_warmup:
            for chain in range(num_chains):
                program = ladders.programs[chain][-1]
                place = index.setdefault(program, len(index))
                if place == len(likelihoods):
                    likelihoods.append(float(ladders.log_likelihood[chain, -1]))
                drawn_programs[chain, sample - num_warmup] = place
        if progress is not None:
            progress(sample + 1, total)
    if min(likelihoods) <= _NO_CHANCE:
        raise InputError("draws have likelihood 0: no program that explains the data was met; run a longer warmup")
    result = _merged(grammar, list(index), np.array(likelihoods), drawn_programs, meanings, ladders)
    warn_of(result.diagnostics, stacklevel=2)
    return result


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


class _Numbers:
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


class _Part(NamedTuple):
    """What one form pays: `Payoffs` in plain arrays, whose sets to reach and automata go by their content.

    others: `[(weight, content, set or automaton)]`.
    """

    state: np.ndarray
    action: np.ndarray | None
    others: list


class _Meanings:
    """Code lengths and likelihoods of programs; every utility is evaluated once, whatever programs there are for it."""

    def __init__(self, grammar, log_likelihood):
        self.grammar, self.function = grammar, log_likelihood
        self.reachable = np.any([reachable_states(one) for _, one in weighted_worlds(grammar.world)], axis=0)
        self.known: dict[bytes, float] = {}
        self.read = lru_cache(_REMEMBERED)(self._read)
        self.part = lru_cache(_REMEMBERED)(self._part)

    def _part(self, form: Form) -> _Part:
        paid, seen = form_payoffs(self.grammar.world, form, self.grammar.own), self.reachable
        others = [(w, target[seen].tobytes(), target) for w, target in zip(paid.reach, paid.targets, strict=True)]
        for weight, machine in zip([] if paid.weight is None else paid.weight, paid.automata, strict=True):
            content = machine.step[:, seen].tobytes() + machine.pay[:, seen].tobytes()
            others.append((weight, content, machine))
        return _Part(paid.state, paid.action, others)

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
                self.known[content] = max(nats, _NO_CHANCE)
        return [bits for bits, _ in read], [self.known[content] for _, content in read]


class _Ladders:
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


def _merged(grammar, programs, likelihoods, drawn_programs, meanings, ladders) -> ProgramPosterior:
    """The result, from the distinct programs drawn and `[C, N]` their places."""
    counts = np.bincount(drawn_programs.ravel(), minlength=len(programs))
    read = [meanings.read(program) for program in programs]
    bits = np.array([one for one, _ in read])
    texts = [str(program) for program in programs]
    shortest = sorted(range(len(programs)), key=lambda i: (round(bits[i], 6), texts[i].count("-"), texts[i]))
    group, compared = _groups(grammar, programs, [content for _, content in read], counts, shortest)
    names: dict[int, str] = {}
    for i in shortest:
        names.setdefault(int(group[i]), texts[i])
    number = len(names)
    weight = np.bincount(group, counts, number)
    ranked = np.array(sorted(range(number), key=lambda h: (-weight[h], names[h])))
    group = np.argsort(ranked)[group]
    order = np.array(sorted(range(len(programs)), key=lambda i: (-counts[i], bits[i], texts[i])))
    draws = group[drawn_programs]
    rhat, ess, error = _checks(draws == h for h in range(number))
    length = bits[drawn_programs]
    (k_rhat,), (k_ess,), _ = _checks([length])
    probability = weight[ranked] / counts.sum()
    leading = probability >= _CHECKED_SHARE
    rhats = np.append(rhat[leading], k_rhat)
    rate = np.where(ladders.proposed > 0, ladders.accepted / np.maximum(ladders.proposed, 1), np.nan)
    return ProgramPosterior(
        programs=tuple(programs[i] for i in order),
        share=counts[order] / counts.sum(),
        code_length=bits[order],
        log_likelihood=likelihoods[order],
        hypothesis=group[order],
        names=tuple(names[h] for h in ranked.tolist()),
        probability=probability,
        std_error=error,
        mass_bits=-np.log2(np.bincount(group, 2.0**-bits, number)),
        rhat=rhat,
        ess=ess,
        draws=draws,
        bits=length,
        inverse_temperatures=np.array(ladders.warmth),
        swap_rate=ladders.swapped / np.maximum(ladders.tried, 1),
        acceptance=pd.DataFrame(rate, index=ladders.names, columns=np.array(ladders.warmth)),
        restarts=ladders.restarts,
        evaluations=len(meanings.known),
        diagnostics={
            "max_rhat": float(np.nan_to_num(rhats, nan=1.0, posinf=math.inf).max()),
            "min_ess": float(np.append(ess[leading], k_ess).min()),
            "max_std_error": float(error.max()),
            "compared_share": compared,
        },
        world=grammar.world,
    )


def _groups(grammar, programs, contents, counts, shortest) -> tuple[np.ndarray, float]:
    """`[P]` numbers of hypotheses, from 0 on; and the share of the draws that were compared by all that they pay.

    Programs of one content are one anyway. The shortest of each stands for all, those with the most draws first, as
    many as have no more forms than can be compared.
    """
    weight: dict[bytes, int] = {}
    for content, count in zip(contents, counts.tolist(), strict=True):
        weight[content] = weight.get(content, 0) + count
    leader: dict[bytes, int] = {}
    for i in shortest:
        leader.setdefault(contents[i], i)
    compared, forms = [], set()
    for content in sorted(leader, key=lambda content: (-weight[content], leader[content])):
        more = forms | {term.form for term in programs[leader[content]].terms}
        if len(more) <= _MOST_FORMS:
            compared.append(content)
            forms = more
    group = dict(zip(compared, grouped(grammar.world, [programs[leader[c]] for c in compared]).tolist(), strict=True))
    fresh = max(group.values()) + 1
    for content in leader:
        if content not in group:
            group[content], fresh = fresh, fresh + 1
    share = sum(weight[content] for content in compared) / sum(weight.values())
    return np.unique([group[content] for content in contents], return_inverse=True)[1], share


def _checks(columns):
    """R-hat, effective sample size and Monte Carlo error of the mean, of `[C, N]` draws each."""
    rows = []
    for draws in columns:
        draws = np.asarray(draws, np.float64)
        means = draws.mean(1)
        between = means.std(ddof=1) / math.sqrt(len(means)) if len(means) > 1 else 0.0
        if draws.std() == 0:
            rows.append((1.0, float(draws.size), 0.0))
            continue
        with np.errstate(divide="ignore", invalid="ignore"):
            rhat = float(np.nan_to_num(az.rhat(draws), nan=np.inf)) if len(means) > 1 else math.nan
            ess = float(np.nan_to_num(az.ess(draws, method="mean"), nan=0.0))
            error = float(np.nan_to_num(az.mcse(draws, method="mean"), nan=0.0))
        rows.append((rhat, ess, max(error, between)))
    return np.array(rows).T


def _ladder(num_temperatures, given) -> np.ndarray:
    """`[T]` inverse temperatures to begin with, or those that are asked for."""
    if given is None:
        if num_temperatures < 3:
            return np.linspace(0.0, 1.0, num_temperatures) if num_temperatures == 2 else np.ones(1)
        return np.append(0.0, np.geomspace(_LEAST_WARMTH, 1.0, num_temperatures - 1))
    warmth = np.array(given, np.float64)
    if warmth.ndim != 1 or not len(warmth) or warmth[0] < 0 or warmth[-1] != 1 or not (np.diff(warmth) > 0).all():
        raise InputError(f"inverse_temperatures are {given!r}; give numbers from 0 on that rise to 1, the posterior")
    return warmth


def _check(grammar, num_samples, num_warmup, num_chains, num_temperatures, moves_per_sample, simplicity):
    if not isinstance(grammar, Grammar):
        raise InputError(f"grammar is {grammar!r:.60}; give a Grammar(world)")
    numbers = dict(num_samples=num_samples, num_warmup=num_warmup, num_chains=num_chains)
    numbers |= dict(num_temperatures=num_temperatures, moves_per_sample=moves_per_sample)
    for (name, value), least in zip(numbers.items(), (4, 0, 1, 1, 1), strict=True):
        check_whole(name, value, least)
    if not (np.isfinite(simplicity) and simplicity > 0):
        raise InputError(f"simplicity is {simplicity}; it must be a weight above 0")

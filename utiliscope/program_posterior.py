"""`sample_programs`: the posterior over utility programs by Markov moves, where they are too many to enumerate.

Parallel tempering, and not SMC, for three reasons. The hot end is the prior, of which exact and independent draws are
to be had: so every chain is begun anew again and again, and finds hypotheses late in the run as well as early, where a
particle filter has lost what it did not draw at first. Independent replicas disagree visibly where this fails. And a
long run is better than several short ones, because a hypothesis that is met again is not evaluated again.

The ladder is adapted by Syed, Bouchard-Côté, Deligiannidis and Doucet (2022), "Non-reversible parallel tempering: a
scalable highly parallel MCMC scheme" (JRSS B 84): even and odd swaps alternate, and temperatures are moved during
warmup until all neighbours refuse to swap equally often.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import arviz as az
import jax
import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from .diagnostics import warn_of
from .errors import InputError, check_whole, listed
from .payoffs import Payoffs
from .program_ladders import NO_CHANCE, Ladders, Meanings, Numbers
from .utilities import Candidates, Grammar
from .utilities.candidates import sorted_candidates
from .utilities.code import total_mass
from .utilities.equality import grouped
from .utilities.syntax import Program

# What `equality.grouped` compares in seconds; hypotheses too rare to be among them are told apart by payoffs alone.
_MOST_FORMS = 400
# Hypotheses that must agree between replicas before the rest is believed.
_CHECKED_SHARE = 0.05
# Shares of the warmup at which the ladder is adapted; from the last on it stays.
_ADAPTED = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2)
_LEAST_WARMTH = 0.01


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
    _check(grammar, num_samples, num_warmup, num_chains, num_temperatures, moves_per_sample, simplicity)
    prices = grammar.prices
    if not math.isfinite(total_mass(prices, simplicity)):
        raise InputError(
            f"simplicity is {simplicity}: the masses 2^(-{simplicity} K) of this grammar's programs have no finite "
            "sum, so that longer and longer ones would be drawn; take 1 or more, or weights that make long ones rarer"
        )
    warmth = _ladder(num_temperatures, inverse_temperatures)
    adapted = set() if inverse_temperatures is not None else {int(num_warmup * share) for share in _ADAPTED}
    rng = Numbers(np.random.default_rng(np.asarray(jax.random.key_data(key))))
    meanings = Meanings(grammar, log_likelihood)
    ladders = Ladders(rng, grammar, meanings, warmth, num_chains, float(simplicity))
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
    if min(likelihoods) <= NO_CHANCE:
        raise InputError("draws have likelihood 0: no program that explains the data was met; run a longer warmup")
    result = _merged(grammar, list(index), np.array(likelihoods), drawn_programs, meanings, ladders)
    warn_of(result.diagnostics, stacklevel=2)
    return result


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

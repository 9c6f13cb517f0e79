"""Moves over programs leave the prior as it is; the sampler agrees with enumeration, and says when it does not.

The proposals of a move are enumerated exactly, by a stand-in for the random generator that takes every choice in turn.
"""

import math
import warnings
from collections import Counter, defaultdict

import jax
import numpy as np
import pytest

import utiliscope as us
from utiliscope.diagnostics import ConvergenceWarning
from utiliscope.payoffs import stack_payoffs
from utiliscope.program_ladders import Numbers
from utiliscope.program_posterior import sample_programs
from utiliscope.utilities.code import total_mass
from utiliscope.utilities.drawing import drawn
from utiliscope.utilities.equality import grouped
from utiliscope.utilities.program_moves import LN2, MOVES, places
from utiliscope.utilities.syntax import Atom, Form, Not, Program, Term
from utiliscope.values import remembered

TRANSITION = np.array([np.eye(3)[[1, 2]], np.eye(3)[[2, 0]], np.eye(3)[[0, 1]]])
SETS = {"p": np.array([False, True, False]), "q": np.array([False, False, True])}
LOOP = us.world_model(TRANSITION, [1, 0, 0], 0.9, features=SETS)
RICH = us.world_model(TRANSITION, [1, 0, 0], 0.9, features=SETS | {"c": np.array([1.0, 0.0, 2.0])})
# Few words, so that programs are short and their masses large.
ALL_WORDS = us.Grammar(RICH, actions=True, horizon=2, weights={"end": 0, "avoid": 0, "or": 0, "every": 0})
PLAIN = us.Grammar(
    LOOP, weights=dict.fromkeys(("visits", "every", "sequence", "within", "avoid", "end", "and", "or"), 0)
)


COUNTS = us.Grammar(
    LOOP, horizon=3, weights=dict.fromkeys(("reach", "sequence", "within", "avoid", "end", "and", "or", "not"), 0)
)


class Fork(Exception):
    """A choice that the script does not make."""


class Script:
    """A random generator that chooses as it is told."""

    def __init__(self, choices):
        self.left = list(choices)

    def choice(self, number, p):
        if not self.left:
            raise Fork([float(chance) for chance in p])
        return self.left.pop(0)

    def integers(self, number):
        return self.choice(number, [1 / number] * number)


def proposals(move, program, prices, least=2e-4):
    """Every outcome of a move and its chance, of those ways that have a chance of at least `least`."""
    found, open_ways = [], [((), 1.0)]
    while open_ways:
        way, chance = open_ways.pop()
        try:
            found.append((move(Script(way), program, prices), chance))
        except Fork as fork:
            (chances,) = fork.args
            open_ways += [((*way, i), chance * p) for i, p in enumerate(chances) if chance * p >= least]
    return found


def flows(move, grammar, program):
    """By program: how often the prior is there, goes from it to another, and is accepted."""
    result = defaultdict(float)
    here = grammar.code_length(program)
    for proposal, chance in proposals(move, program, grammar.prices):
        if proposal is not None and proposal.program != program:
            log_ratio = proposal.log_ratio - LN2 * (grammar.code_length(proposal.program) - here)
            result[proposal.program] += 2.0**-here * chance * min(1.0, math.exp(log_ratio))
    return result


# Programs that lead to each other, by move. Ways of a chance below 2e-4 are left out: they lead to longer programs.
NEAR = {
    "redraw": ["0", "time(c)", "reach(p)"],
    "regenerate": ["reach(p)", "time(c)", "time(p)", "reach(not p)", "does(p, 0)", "does(p, 1)"],
    "add_or_remove_term": ["0", "time(c)", "reach(p)", "time(c) + time(c)", "time(c) - time(c)"],
    "change_weight": [
        *(f"{weight}*reach(p)" for weight in (-4, -3, -2, -1, 1, 2, 3, 4, 6)),
        *("time(c) - 2*reach(p)", "-time(c) + 2*reach(p)", "2*time(c) - 4*reach(p)"),
    ],
    "change_number": ["visits(p, 1)", "visits(p, 2)", "within(1, reach(p))", "within(2, reach(p))"],
    "swap_terms": ["time(c) - reach(p)", "-reach(p) + time(c)", "-time(c) + reach(p)", "reach(p) - time(c)"],
    "swap_predicates": [
        *("sequence(p, q)", "sequence(q, p)", "reach(p and q)", "reach(q and p)", "time(c) + time(p)"),
        *("time(p) + time(c)", "reach(p and q) + time(q)", "reach(q and p) + time(q)", "reach(q and q) + time(p)"),
    ],
    "change_kind": ["time(p)", "reach(p)", "sequence(p, p)", "visits(p, 1)", "within(1, time(c))", "does(p, 0)"],
    "wrap_or_unwrap": ["reach(p)", "within(1, reach(p))", "within(2, reach(p))", "within(1, within(1, reach(p)))"],
    "grow_or_shrink_predicate": ["time(p)", "time(not p)", "time(not not p)", "time(p and q)", "time(p and p)"],
}


@pytest.mark.parametrize("name", MOVES)
def test_every_move_is_in_detailed_balance_with_the_prior(name):
    programs = [ALL_WORDS.parse(text) for text in NEAR[name]]
    flow = {program: flows(MOVES[name][0], ALL_WORDS, program) for program in programs}
    there = np.array([[flow[one][other] for other in programs] for one in programs])
    np.testing.assert_allclose(there, there.T, rtol=1e-9, atol=1e-300)
    assert ((there > 0).sum(1) > 0).all()


def test_a_ratio_is_that_of_the_chances_where_there_is_one_way():
    for name, one, other in (
        ("regenerate", "reach(p)", "reach(p and q)"),
        ("add_or_remove_term", "0", "2*time(c)"),
        ("change_kind", "reach(q)", "within(1, time(c))"),
        ("wrap_or_unwrap", "time(c)", "within(2, time(c))"),
        ("grow_or_shrink_predicate", "reach(p)", "reach(p and q)"),
    ):
        chances, ratios = [], []
        for old, new in ((one, other), (other, one)):
            old, new = ALL_WORDS.parse(old), ALL_WORDS.parse(new)
            some = [(p.log_ratio, q) for p, q in proposals(MOVES[name][0], old, ALL_WORDS.prices) if p and p[0] == new]
            chances.append(sum(chance for _, chance in some))
            ratios.append(max(some, key=lambda pair: pair[1])[0])
        assert ratios[0] == pytest.approx(-ratios[1])
        if name != "regenerate":  # a predicate, its form and its term: three ways from one to the other
            assert ratios[0] == pytest.approx(math.log(chances[1] / chances[0]))


def test_chances_of_proposals_sum_to_one():
    for name in ("change_weight", "change_number", "swap_terms", "swap_predicates"):
        for text in ("0", "time(c)", "reach(p and not q) - 3*visits(q, 2) + within(2, sequence(p, q))"):
            found = proposals(MOVES[name][0], ALL_WORDS.parse(text), ALL_WORDS.prices)
            assert sum(chance for _, chance in found) == pytest.approx(1)


@pytest.mark.parametrize("number", [700, pytest.param(20_000, marks=pytest.mark.slow)])
def test_moves_change_draws_of_the_prior_into_draws_of_the_prior(number):
    rng, prices = Numbers(np.random.default_rng(1)), ALL_WORDS.prices
    after, moved = [], 0
    for _ in range(number):
        program = Program(drawn(rng, prices), 0, ALL_WORDS.own)
        for move, _ in MOVES.values():
            proposal = None if move.__name__ == "redraw" else move(rng, program, prices)
            if proposal is None:
                continue
            bits = prices.program(proposal.program) - prices.program(program)
            if rng.random() < math.exp(min(0.0, proposal.log_ratio - LN2 * bits)):
                moved += proposal.program != program
                program = proposal.program
        after.append(program)
    assert moved > number
    for program, count in Counter(after).items():
        mass = 2.0 ** -prices.program(program)
        if number * mass > 10:
            assert abs(count / number - mass) < 5 * math.sqrt(mass * (1 - mass) / number), program
    # What is long stays as frequent: the numbers of parts of a program.
    fresh = [Program(drawn(rng, prices)) for _ in range(number)]
    for sorts in (("term",), ("inner",), ("predicate", "amount"), ("number",), ("action",)):
        sizes, expected = (np.array([float(len(places(p, *sorts))) for p in some]) for some in (after, fresh))
        assert abs(sizes.mean() - expected.mean()) <= 5 * math.hypot(sizes.std(), expected.std()) / math.sqrt(number)


@pytest.mark.parametrize("simplicity", [1.0, 1.5])
def test_the_mass_of_all_programs_is_what_enumeration_comes_to(simplicity):
    weights = {"not": 0, "and": 0, "or": 0, "visits": 0, "every": 0, "sequence": 0, "within": 0.02}
    grammar = us.Grammar(
        us.world_model(TRANSITION, [1, 0, 0], 0.9, features={"p": SETS["p"]}), horizon=1, weights=weights
    )
    rng = Numbers(np.random.default_rng(0))
    bits = np.array([grammar.prices.program(Program(drawn(rng, grammar.prices))) for _ in range(2500)])
    ratio = 2.0 ** ((1 - simplicity) * bits)  # the mean of 2^(-aK) / 2^-K under 2^-K is the sum of 2^(-aK)
    assert abs(ratio.mean() - total_mass(grammar.prices, simplicity)) <= 5 * ratio.std() / math.sqrt(len(bits)) + 1e-12


def test_the_mass_of_all_programs_is_one_in_every_grammar():
    for grammar in (ALL_WORDS, PLAIN, us.Grammar(LOOP), us.Grammar(LOOP, states=True), us.Grammar(RICH, horizon=3)):
        assert total_mass(grammar.prices, 1.0) == pytest.approx(1, abs=1e-9)
    # Predicates branch so much that a little less weight on their length makes them endless; plain ones stand more.
    assert total_mass(ALL_WORDS.prices, 0.5) == math.inf
    assert 1 < total_mass(PLAIN.prices, 0.9) < math.inf


POLICIES = np.array([np.eye(2)[[i >> 2 & 1, i >> 1 & 1, i & 1]] for i in range(8)])


class Values:
    """Expected utilities `[U, 8]` under all deterministic policies, and how often they were asked for."""

    def __init__(self, world):
        self.world, self.known, self.asked = world, {}, 0
        self.visits = [us.occupancy(world, policy) for policy in POLICIES]

    def __call__(self, payoffs):
        self.asked += payoffs.num_utilities
        result = payoffs.state @ np.array([visits.state for visits in self.visits]).T
        if payoffs.action is not None:
            result = result + np.einsum("usa,psa->up", payoffs.action, np.array([v.action for v in self.visits]))
        for c, target in enumerate(payoffs.targets):
            name = target.tobytes()
            if name not in self.known:
                self.known[name] = np.array([us.arrival(self.world, p, target[None])[0] for p in POLICIES])
            result = result + payoffs.reach[:, [c]] * self.known[name]
        for d, machine in enumerate(payoffs.automata):
            name = machine.step.tobytes() + machine.pay.tobytes()
            if name not in self.known:
                self.known[name] = np.array([remembered(self.world, p, (machine,))[0] for p in POLICIES])
            result = result + payoffs.weight[:, [d]] * self.known[name]
        return result


def standardised(values):
    """Values up to a positive affine map."""
    centred = values - values.mean(1, keepdims=True)
    spread = np.abs(centred).max(1, keepdims=True)
    return np.where(spread > 1e-9, centred / np.maximum(spread, 1e-9), 0.0)


def intelligence_of(world, operators, weight):
    """ln of the product over operators of 2^(weight g) / Z: each a deterministic policy, by number."""
    values = Values(world)

    def log_likelihood(payoffs):
        v = standardised(values(payoffs))
        share = (v[:, None, :] >= v[:, :, None] - 1e-9).mean(-1)
        total = -weight * np.log(share)
        total = total - np.log(np.exp(total).mean(1, keepdims=True))
        return total[:, operators].sum(1)

    return log_likelihood, values


def near(grammar, texts, width):
    """Gaussian about the standardised values of the nearest one of some utilities."""
    values = Values(grammar.world)
    centres = [standardised(values(grammar.select([text]).payoffs))[0] for text in texts]

    def log_likelihood(payoffs):
        z = standardised(values(payoffs))
        return -np.min([((z - centre) ** 2).sum(1) for centre in centres], axis=0) / (2 * width**2)

    return log_likelihood, values


def enumerated(grammar, log_likelihood, max_bits):
    """The hypotheses within the budget and their posterior."""
    found = grammar.enumerate(max_bits)
    log_mass = -LN2 * found.code_length + log_likelihood(found.payoffs)
    mass = np.exp(log_mass - log_mass.max())
    return found, mass / mass.sum()


def shares(grammar, result, exact, max_bits):
    """Of all hypotheses, their share of the draws of at most `max_bits`, and what enumeration says of these programs.

    Both are of the same programs, so that nothing is missing from either: given its length, a draw has the posterior
    of all programs of that length.
    """
    found, probability = exact
    within = result.code_length <= max_bits + 1e-9
    group = grouped(grammar.world, [*map(grammar.parse, found.names), *result.programs])
    share = np.bincount(group[len(found) :], result.share * within, group.max() + 1) / result.share[within].sum()
    return share, np.bincount(group[: len(found)], probability, group.max() + 1)


def variation(one, other):
    return 0.5 * np.abs(one - other).sum()


@pytest.mark.slow
def test_draws_agree_with_enumeration():
    log_likelihood, values = near(PLAIN, ["time(p)", "-time(q)"], 0.1)
    exact = enumerated(PLAIN, log_likelihood, 17)
    asked = values.asked
    sizes = dict(num_temperatures=3, num_samples=300, num_warmup=60, moves_per_sample=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        result = sample_programs(jax.random.key(0), PLAIN, log_likelihood, **sizes)
    share, expected = shares(PLAIN, result, exact, 17)
    assert variation(share, expected) < 0.1  # as many draws as there are hypotheses; the long runs below come closer
    assert result.evaluations == values.asked - asked
    assert set(result.names[:2]) == {"time(p)", "-time(q)"} and result.diagnostics["max_rhat"] < 1.05
    group = np.argsort(-expected)[:2]
    assert (np.abs(share - expected)[group] < 5 * result.std_error[:2].max() / (result.bits <= 17).mean()).all()
    assert result.draws.shape == result.bits.shape == (4, 300)
    np.testing.assert_allclose(result.share.sum(), 1)
    np.testing.assert_allclose(result.probability, np.bincount(result.draws.ravel()) / result.draws.size)
    assert (result.std_error > 0).all() and result.to_frame().shape == (len(result.names), 7)
    # Its candidates go where those of enumeration go.
    some = result.candidates(0.01)
    assert "time(p)" in some.names and some.payoffs.num_utilities == len(some) < len(result.names)
    everything = PLAIN.enumerate(17)
    assert some.code_length[some.index("time(p)")] >= everything.code_length[everything.index("time(p)")] - 0.02


@pytest.mark.slow
def test_without_data_the_posterior_is_the_prior():
    sizes = dict(num_temperatures=1, num_samples=200, num_warmup=20, moves_per_sample=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        result = sample_programs(jax.random.key(2), ALL_WORDS, lambda payoffs: np.zeros(payoffs.num_utilities), **sizes)
    for text in ("0", "time(c)", "-time(c)", "reach(p)", "-reach(q)"):
        mass = 2.0 ** -ALL_WORDS.code_length(text)
        is_it = [str(program) == text for program in result.programs]
        place = is_it.index(True)
        assert abs(result.share[place] - mass) < 5 * max(
            result.std_error[result.hypothesis[place]], math.sqrt(mass / result.draws.size)
        )
    assert result.swap_rate.shape == (0,) and result.restarts == 0 and list(result.acceptance.index) == list(MOVES)
    assert (result.acceptance.to_numpy() > 0).all()


SLOW = {
    "plain": (PLAIN, lambda: intelligence_of(LOOP, [1, 1, 1, 3], 1.5)[0], 17),
    "counts": (COUNTS, lambda: near(COUNTS, ["every(p, 2) - time(q)"], 0.2)[0], 16),
    "all words": (ALL_WORDS, lambda: intelligence_of(RICH, [1, 1, 3], 1.5)[0], 14),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_long_runs_agree_with_enumeration(name):
    grammar, likelihood, max_bits = SLOW[name]
    log_likelihood = likelihood()
    exact = enumerated(grammar, log_likelihood, max_bits)
    result = sample_programs(jax.random.key(0), grammar, log_likelihood, num_temperatures=4, num_samples=3000)
    share, expected = shares(grammar, result, exact, max_bits)
    assert variation(share, expected) < 0.05


@pytest.mark.slow
def test_two_modes_need_tempering():
    log_likelihood, _ = near(PLAIN, ["reach(q) - time(p)", "3*reach(p) + time(q)"], 0.04)
    exact = enumerated(PLAIN, log_likelihood, 18)
    # Effective draws come slowly where chains have to change sides.
    sizes = dict(num_samples=9000, num_warmup=1000)
    tempered = sample_programs(jax.random.key(0), PLAIN, log_likelihood, **sizes)
    share, expected = shares(PLAIN, tempered, exact, 18)
    assert variation(share, expected) < 0.05 and tempered.diagnostics["max_rhat"] < 1.02
    with pytest.warns(ConvergenceWarning, match="R-hat"):
        sizes = dict(num_samples=2000, num_warmup=500)
        plain = sample_programs(jax.random.key(0), PLAIN, log_likelihood, num_temperatures=1, **sizes)
    share, expected = shares(PLAIN, plain, exact, 18)
    assert variation(share, expected) > 0.1 and plain.diagnostics["max_rhat"] > 1.1


TINY = dict(num_samples=8, num_warmup=4, num_chains=2, num_temperatures=3, moves_per_sample=2)


def flat(payoffs):
    return np.zeros(payoffs.num_utilities)


def all_programs(grammar, max_bits):
    """Every program of plain terms within the budget, and its bits, by trying all ordered lists of terms."""
    predicates = [Atom("p"), Atom("q")]
    for _ in range(2):
        predicates += [Not(predicate) for predicate in predicates[-2:]]
    forms = [Form(kind, (predicate,)) for kind in ("time", "reach") for predicate in predicates]
    terms = [Term(sign * weight, form) for form in forms for weight in range(1, 16) for sign in (1, -1)]
    costs = [grammar.code_length(Program((term,))) - 1 for term in terms]
    found, level = [], [((), 1.0)]
    while level:
        found += level
        level = [
            ((*some, t), b + c) for some, b in level for t, c in zip(terms, costs, strict=True) if b + c <= max_bits
        ]
    return [Program(some) for some, _ in found], np.array([bits for _, bits in found])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::utiliscope.diagnostics.ConvergenceWarning")
def test_simplicity_weighs_the_length_of_programs():
    log_likelihood, _ = near(PLAIN, ["time(p)", "reach(q) - time(p)"], 0.3)
    programs, bits = all_programs(PLAIN, 15)
    content = log_likelihood(stack_payoffs([program.payoffs(LOOP) for program in programs]))
    mass = np.exp(-2 * LN2 * bits + content)
    sizes = dict(num_temperatures=2, num_samples=300, num_warmup=50, moves_per_sample=4, simplicity=2.0)
    result = sample_programs(jax.random.key(0), PLAIN, log_likelihood, **sizes)
    group = grouped(LOOP, [*programs, *result.programs])
    expected = np.bincount(group[: len(programs)], mass / mass.sum(), group.max() + 1)
    assert variation(np.bincount(group[len(programs) :], result.share, group.max() + 1), expected) < 0.05


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::utiliscope.diagnostics.ConvergenceWarning")
def test_a_key_gives_one_run():
    one, same, other = (sample_programs(jax.random.key(i), PLAIN, flat, **TINY) for i in (0, 0, 1))
    assert one.programs == same.programs and (one.draws == same.draws).all()
    assert one.programs != other.programs
    assert repr(one).startswith(f"ProgramPosterior({len(one.names)} hypotheses")
    given = sample_programs(jax.random.key(0), PLAIN, flat, **TINY | dict(inverse_temperatures=[0.0, 0.3, 1.0]))
    assert given.inverse_temperatures.tolist() == [0.0, 0.3, 1.0]


@pytest.mark.filterwarnings("ignore::utiliscope.diagnostics.ConvergenceWarning")
def test_no_utility_is_evaluated_twice():
    seen = []

    def log_likelihood(payoffs):
        values = np.asarray(payoffs.state) - np.asarray(payoffs.state)[:, :1]
        for row, reach in zip(values, payoffs.reach, strict=True):
            sets = {t.tobytes(): w for t, w in zip(payoffs.targets, reach, strict=True) if w}
            size = max([*np.abs(row), *map(abs, sets.values())]) or 1.0
            seen.append(
                (tuple((row / size).round(6) + 0.0), tuple(sorted((k, round(w / size, 6)) for k, w in sets.items())))
            )
        return np.zeros(len(values))

    result = sample_programs(jax.random.key(0), PLAIN, log_likelihood, **TINY | dict(num_samples=60))
    assert len(seen) == len(set(seen)) == result.evaluations


@pytest.mark.filterwarnings("ignore::utiliscope.diagnostics.ConvergenceWarning")
def test_impossible_utilities_are_never_drawn():
    values = Values(LOOP)

    def log_likelihood(payoffs):
        return np.where(standardised(values(payoffs))[:, 0] > 0, 0.0, -np.inf)

    result = sample_programs(jax.random.key(0), PLAIN, log_likelihood, **TINY | dict(num_warmup=20))
    assert "0" not in result.names and (result.log_likelihood == 0).all()


@pytest.mark.slow
def test_possible_worlds_and_simplicity():
    slower = us.world_model(TRANSITION, [0, 1, 0], 0.8, features=SETS)
    grammar = us.Grammar(us.possible_worlds([LOOP, slower]), weights={"end": 0})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        result = sample_programs(jax.random.key(0), grammar, flat, **TINY | dict(simplicity=3.0, num_samples=30))
    assert result.names[0] == "0" and result.probability[0] > 0.5


def test_bad_input_is_refused():
    def run(function=flat, grammar=PLAIN, **changed):
        return sample_programs(jax.random.key(0), grammar, function, **TINY | changed)

    for name, value in (("num_samples", 2), ("num_warmup", -1), ("num_chains", 0), ("moves_per_sample", 0)):
        with pytest.raises(us.InputError, match=name):
            run(**{name: value})
    with pytest.raises(us.InputError, match="num_temperatures"):
        run(num_temperatures=0)
    for ladder in ([], [0.0, 0.5], [0.5, 0.2, 1.0], [-0.1, 1.0], [0.0, math.nan, 1.0]):
        with pytest.raises(us.InputError, match="inverse_temperatures"):
            run(inverse_temperatures=ladder)
    for simplicity in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(us.InputError, match="simplicity"):
            run(simplicity=simplicity)
    with pytest.raises(us.InputError, match="no finite sum"):
        run(grammar=ALL_WORDS, simplicity=0.7)
    with pytest.raises(us.InputError, match=r"shape \(\) for"):
        run(lambda payoffs: 0.0)
    for nats in (math.nan, math.inf):
        with pytest.raises(us.InputError, match=f"is {nats}; it must be"):
            run(lambda payoffs, nats=nats: np.full(payoffs.num_utilities, nats))
    with pytest.raises(us.InputError, match="likelihood 0"):
        run(lambda payoffs: np.full(payoffs.num_utilities, -np.inf))


@pytest.mark.filterwarnings("ignore::utiliscope.diagnostics.ConvergenceWarning")
def test_candidates_of_no_hypothesis_are_refused():
    result = sample_programs(jax.random.key(0), PLAIN, flat, **TINY)
    with pytest.raises(us.InputError, match="no hypothesis has a probability"):
        result.candidates(1.1)

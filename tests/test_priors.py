"""Priors over utilities: what all have in common, and each against brute force in small worlds."""

import itertools
import math
import re
from collections import Counter, defaultdict

import jax
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import cauchy

import utiliscope as us
from utiliscope.utilities.equality import coefficients
from utiliscope.utilities.priors import UtilityPrior, differences, independent
from utiliscope.utilities.sparse_weights import SparseWeights, WeightedSum
from utiliscope.utilities.stack_machine import StackMachine, StackProgram
from utiliscope.utilities.syntax import Atom


def graph(links, initial, discount, features=None, **options):
    """A deterministic world; `links[s]` lists the next states of s."""
    actions = max(map(len, links))
    transition = np.array([np.eye(len(links))[[*to, *to[:1] * (actions - len(to))]] for to in links])
    return us.world_model(transition, initial, discount, features=features, **options)


P, Q, C = [False, True, False], [False, False, True], [1.0, 2.0, 4.0]
LOOP = [[1, 2], [2, 0], [0]]
WORLDS = {
    "loop": graph(LOOP, [1, 0, 0], 0.9, {"p": P, "q": Q}),
    "amounts": graph(LOOP, [1, 0, 0], 0.9, {"p": P, "c": C}),
    "one way": graph([[0, 1], [1, 2], [2]], [1, 0, 0], 0.8, {"p": P, "q": Q, "c": C}),
    "cycle": graph([[1], [2], [0]], [1, 0, 0], 0.9, {"p": P, "q": Q}),  # nothing to decide
    "starts": graph([[1], [2], [0]], [0.5, 0.5, 0], 0.9, {"p": P, "q": Q}),
    "hub": graph([[1, 2], [0], [0]], [1, 0, 0], 0.9, {"p": P, "q": Q}),  # half of the time in 0, whatever one does
    "unreachable": graph([[1], [0, 1], [0]], [0.5, 0.5, 0], 0.9, {"p": Q, "q": [True, False, False]}),
    "short": graph([[0, 1], [1, 2], [0]], [0.3, 0.7, 0], 1.0, {"p": P, "q": Q}, horizon=3),
    "hub with an end": graph([[1, 2], [0], [0]], [1, 0, 0], 0.5, {"p": P, "q": Q}, horizon=4),
    "bandit": graph([[1, 2], [1], [2]], [1, 0, 0], 1.0, {"p": P, "c": C}, horizon=1),
    "at once": graph(LOOP, [0.5, 0.5, 0], 0.0, {"p": P, "c": C}),
    "states": graph([[1, 2], [2], [2]], [1, 0, 0], 0.5),
}
GRID = us.gridworld([".G.", "b..", "..."], slip=0.1, discount=0.95)
BIG = us.gridworld(["." * 20] * 20, discount=0.95)


def worth(world):
    """`[N, S]` how often each state is visited along every reachable sequence, discounted."""
    links = ((world.transition > 0) & world.available[:, :, None]).any(1)
    paths = [(int(s),) for s in np.flatnonzero(world.initial)]
    rows, ones = [], np.eye(world.num_states)
    discount = float(world.discount)
    for _ in range(world.horizon or 6):
        for path in paths if world.horizon is None else ():
            for back, state in enumerate(path):
                if links[path[-1], state]:  # from here on, the part since `back` for ever
                    period, weights = len(path) - back, discount ** np.arange(len(path))
                    weights[back:] /= 1 - discount**period
                    rows.append(weights @ ones[list(path)])
        paths = [(*path, int(s)) for path in paths for s in np.flatnonzero(links[path[-1]])]
    if world.horizon is not None:
        rows = [discount ** np.arange(len(path)) @ ones[list(path)] for path in paths]
    return np.array(rows)


KNOWN = {}  # what worlds of this file are worth, as it is asked for often


def hypothesis(world, paid):
    """What a utility has in common with those that agree with it up to a positive affine map."""
    if id(world) not in KNOWN:
        KNOWN[id(world)] = worth(world)
    total = KNOWN[id(world)] @ paid
    total = total - total.mean()
    largest = np.abs(total).max()
    return () if largest < 1e-9 * max(1, np.abs(paid).max()) else tuple((np.round(total / largest, 7) + 0.0).tolist())


# --- What all priors have in common


PRIORS = {
    "grammar": lambda world: us.Grammar(world),
    "whole weights": lambda world: SparseWeights(world),
    "weights": lambda world: SparseWeights(world, precision=0.5, scale=2.0),
    "machine": lambda world: StackMachine(world),
}


@pytest.mark.parametrize("name", PRIORS)
def test_priors_have_the_methods(name):
    prior = PRIORS[name](GRID)
    assert isinstance(prior, UtilityPrior)
    assert not isinstance(GRID, UtilityPrior)
    assert prior.log_prob(prior.sample(jax.random.key(0))) < 0


@pytest.mark.parametrize("world", [GRID, WORLDS["amounts"], WORLDS["states"]])
@pytest.mark.parametrize("name", PRIORS)
def test_samples_follow_the_code_lengths(name, world):
    prior, count = PRIORS[name](world), 200
    drawn = Counter(str(prior.sample(key)) for key in jax.random.split(jax.random.key(5), count))
    for text in prior.enumerate(11).names[:5]:
        chance = math.exp(prior.log_prob(text))
        # Where one or two are expected, the numbers are Poisson's.
        assert abs(drawn[text] / count - chance) < 5 * math.sqrt(chance * (1 - chance) / count) + 4 / count, text
    assert all(str(prior.parse(text)) == text for text in drawn)
    assert str(prior.sample(jax.random.key(1))) == str(prior.sample(jax.random.key(1)))


@pytest.mark.slow
@pytest.mark.parametrize("name", PRIORS)
@pytest.mark.parametrize("place", WORLDS)
def test_candidates_are_what_their_names_say(place, name):
    world = WORLDS[place]
    prior = PRIORS[name](world)
    found = prior.enumerate(11)
    assert (2.0**-found.code_length).sum() <= 1
    assert sorted(found.code_length.round(9)) == found.code_length.round(9).tolist()
    for text, bits, paid in zip(found.names, found.code_length, found.payoffs.state, strict=True):
        assert bits <= prior.code_length(text) + 1e-9
        program = prior.parse(text)
        assert str(program) == text
        seen = worth(world).any(0)
        np.testing.assert_allclose(program.payoffs(world).state[seen], paid[seen], atol=1e-12)


@pytest.mark.parametrize("name", PRIORS)
def test_candidates_have_values(name):
    prior, policy = PRIORS[name](GRID), np.full((9, GRID.num_actions), 1 / GRID.num_actions)
    candidates = prior.enumerate(9)
    values = us.expected_utility(GRID, policy, candidates)
    assert values.shape == (len(candidates),)
    one = us.expected_utility(GRID, policy, prior.parse(candidates.names[2]))
    np.testing.assert_allclose(values[2], one, rtol=1e-9)


@pytest.mark.slow
def test_a_fit_takes_the_candidates_of_any_prior():
    world = graph([[0, 1], [1, 2], [0]], [1, 0, 0], 0.9, {"p": P, "c": C}, horizon=3)
    rows = pd.DataFrame({"episode": 0, "t": [0, 1, 2], "state": [0, 1, 1], "action": [1, 0, 0]})
    for name in ("weights", "machine"):
        candidates = PRIORS[name](world).enumerate(9)
        found = us.fit(
            us.read_behaviour(rows, world), world, candidates=candidates, reading="achieved", num_particles=32
        )
        assert found.posterior["utility_log_prob"].sizes["utility"] == len(candidates)


# --- Which payoffs a step are one hypothesis


@pytest.mark.parametrize("name", WORLDS)
def test_differences_vanish_where_all_sequences_are_worth_the_same(name):
    world = WORLDS[name]
    rows = worth(world)
    centred = rows - rows.mean(0)
    found = differences(world, np.eye(3)).T
    ranks = [np.linalg.matrix_rank(part, tol=1e-8) for part in (centred, found, np.concatenate([centred, found]))]
    assert len(set(ranks)) == 1
    table = independent(found.T, np.eye(3))
    assert table.shape == (3, ranks[0])


def test_differences_in_possible_worlds():
    one, other = graph([[1, 1], [1]], [1, 0], 0.9), graph([[1, 1], [0]], [1, 0], 0.9)
    decided = graph([[0, 1], [1]], [1, 0], 0.9)
    both = us.possible_worlds([one, other])
    # Each has one sequence only, so there is nothing to prefer; which world it is, no policy decides.
    np.testing.assert_allclose(differences(both, np.eye(2)), 0, atol=1e-12)
    assert np.linalg.matrix_rank(differences(us.possible_worlds([one, decided]), np.eye(2)), tol=1e-8) == 1
    assert SparseWeights(us.possible_worlds([one, decided])).enumerate(9).names == ["0", "time(@0)", "time(@1)"]
    assert set(StackMachine(us.possible_worlds([one, decided])).enumerate(9).names) == {"1", "@0", "@1"}


def test_differences_are_what_random_walks_find():
    rng = np.random.default_rng(1)
    for number in range(30):
        size = int(rng.integers(2, 7))
        transition = np.eye(size)[rng.integers(size, size=(size, 2))]
        initial = rng.permutation(np.append([1, number % 3 == 0], np.zeros(size - 2)))
        discount, horizon = float(rng.choice([0.5, 0.9, 0.99])), None if number % 2 else int(rng.integers(1, 6))
        world = us.world_model(transition, initial / initial.sum(), discount, horizon=horizon)
        single = us.Payoffs(np.eye(size), None, np.zeros((size, 0)), np.zeros((0, size), bool))
        found, walks = differences(world, np.eye(size)), coefficients(world, single)
        both = (found, walks, np.concatenate([found, walks], axis=1))
        assert len({np.linalg.matrix_rank(part, tol=1e-6) if part.size else 0 for part in both}) == 1


def test_rare_states_are_not_lost():
    length = 60
    moves = [[max(s - 1, 0), min(s + 1, length - 1)] for s in range(length)]
    chain = graph(moves, np.eye(length)[0], 0.5)
    table = differences(chain, np.eye(length))
    assert np.linalg.matrix_rank(table, tol=1e-8) == length - 1
    far = np.eye(length)[-1:]
    np.testing.assert_allclose(differences(chain, far), -differences(chain, 1 - far), atol=1e-12)
    assert np.abs(differences(chain, far)).max() > 0.1
    marked = us.world_model(chain.transition, chain.initial, 0.5, features={"far": far[0], "near": 1 - far[0]})
    for prior in (SparseWeights(marked), StackMachine(marked)):
        found = prior.enumerate(13)
        assert len(found) == 3 and sum(not any(paid - paid[0]) for paid in found.payoffs.state) == 1


def test_a_long_discount_and_a_long_horizon():
    for options in ({"discount": 0.999999}, {"discount": 1.0, "horizon": 300}):
        world = graph([[1, 2], [0], [0]], [1, 0, 0], options.pop("discount"), **options)
        found = differences(world, np.array([[1.0, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]]))
        np.testing.assert_allclose(found[:2], 0, atol=1e-8)  # half of the time in 0
        np.testing.assert_allclose(found[2], -found[3], atol=1e-8)
        assert np.abs(found[2]).max() > 0.1


# --- Sparse weights


@pytest.mark.parametrize("options", [{}, {"precision": 0.5}, {"precision": 0.3, "scale": 4.0}])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_kraft_equality_of_weights(size, options):
    features = {f"f{i}": np.arange(3) == i for i in range(size)}
    prior = SparseWeights(graph(LOOP, [1, 0, 0], 0.9, features), **options)
    most = 3
    total = defaultdict(float)
    for numbers in itertools.product(range(-most, most + 1), repeat=size):
        terms = tuple((Atom(f"f{i}"), n) for i, n in enumerate(numbers) if n)
        total[len(terms)] += 2.0 ** -prior.code_length(WeightedSum(terms, prior.unit))
    gamma = 2.0 ** -np.array([1, 3, 3, 5])[: size + 1]
    if options:
        width, scale = options["precision"], options.get("scale", 1.0)
        left = cauchy(scale=scale).sf((most + 0.5) * width) / cauchy(scale=scale).sf(width / 2)
    else:
        left = 1 / 4
    np.testing.assert_allclose(
        [total[n] for n in range(size + 1)], gamma / gamma.sum() * (1 - left) ** np.arange(size + 1)
    )


def test_bits_of_a_weight_are_those_of_its_cell():
    prior = SparseWeights(graph(LOOP, [1, 0, 0], 0.9, {"p": P}), precision=0.25, scale=3.0)
    density, most = cauchy(scale=3.0), 2 * cauchy(scale=3.0).sf(0.125)
    bits = prior.code_length("time(p)") - prior.code_length("-20.25*time(p)")
    near, far = (density.sf(w - 0.125) - density.sf(w + 0.125) for w in (1, 20.25))
    assert bits == pytest.approx(math.log2(far / near), abs=1e-9)
    gamma = 2.0 ** -np.array([1, 3])
    assert prior.code_length("time(p)") == pytest.approx(3 + math.log2(gamma.sum()) - math.log2(near / most))
    # Twice the size has a quarter of the mass, however far out.
    difference = prior.code_length("200000000000*time(p)") - prior.code_length("100000000000*time(p)")
    assert difference == pytest.approx(2, abs=1e-6)


def test_code_length_by_hand():
    prior = SparseWeights(WORLDS["one way"])
    normaliser = math.log2(1 / 2 + 1 / 8 + 1 / 8 + 1 / 32)
    for text, bits in (
        ("0", 1),
        ("time(p)", 3 + math.log2(3) + 1 + 1),
        ("-5*time(c)", 3 + math.log2(3) + 1 + 5),
        ("2*time(p) - time(c)", 3 + math.log2(3) + 1 + 3 + 1 + 1),
        ("time(p) + time(q) + 9*time(c)", 5 + 0 + 2 + 2 + 1 + 7),
    ):
        assert prior.code_length(text) == pytest.approx(bits + normaliser, abs=1e-12)


@pytest.mark.parametrize("options", [{}, {"precision": 1.5, "scale": 2.0}])
@pytest.mark.parametrize("name", WORLDS)
def test_sums_agree_with_brute_force(name, options):
    world, max_bits = WORLDS[name], 10.5
    prior = SparseWeights(world, **options)
    mass, shortest = defaultdict(float), defaultdict(lambda: math.inf)
    largest = next(n for n in itertools.count(1) if prior._which_bits[1] + prior._weight_bits(n) > max_bits)
    cost = {n: prior._weight_bits(n) if n else 0.0 for n in range(-largest, largest + 1)}
    for numbers in itertools.product(cost, repeat=len(prior.values)):
        if sum(map(cost.get, numbers)) > max_bits - 2:  # which have a weight takes more, if not none has
            continue
        terms = tuple((atom, n) for atom, n in zip(prior.values, numbers, strict=True) if n)
        bits = prior._which_bits[len(terms)] + sum(prior._weight_bits(n) for _, n in terms)
        if bits <= max_bits:
            key = hypothesis(world, WeightedSum(terms, prior.unit).payoffs(world).state)
            mass[key] += 2.0**-bits
            shortest[key] = min(shortest[key], bits)
    found = prior.enumerate(max_bits)
    keys = [hypothesis(world, paid) for paid in found.payoffs.state]
    assert len(set(keys)) == len(keys) == len(mass)
    np.testing.assert_allclose(2.0**-found.code_length, [mass[key] for key in keys], rtol=1e-9)
    np.testing.assert_allclose([prior.code_length(text) for text in found.names], [shortest[key] for key in keys])
    assert found.names[keys.index(())] == "0"


names = st.text(min_size=1, max_size=6) | st.sampled_from(["G", "min", "1", "odd name", '"', "\\", "é", "time", "not"])


@settings(deadline=None, max_examples=40)
@given(
    st.lists(names, min_size=1, max_size=4, unique=True),
    st.sampled_from([None, 1, 0.5, 0.1, 1 / 3, 1e-9, 7e5]),
    st.lists(st.integers(-(10**9), 10**9).filter(bool), min_size=4, max_size=4),
    st.data(),
)
def test_printed_programs_parse_back(features, precision, numbers, data):
    world = graph(LOOP, [1, 0, 0], 0.9)
    given_features = {name: np.arange(3) == i for i, name in enumerate(features)}
    prior = SparseWeights(world, features=given_features, states=True, precision=precision)
    terms = tuple((atom, n) for atom, n in zip(prior.values, numbers))
    program = WeightedSum(terms, prior.unit)
    assert prior.parse(str(program)) == program
    machine = StackMachine(world, features=given_features, states=True)
    options = [one for one in machine.bits if one != "halt"]
    program = StackProgram(tuple(data.draw(st.lists(st.sampled_from(options), min_size=1))), machine.max_steps)
    assert machine.parse(str(program)) == program


def test_weights_are_written_in_the_order_of_the_features():
    prior = SparseWeights(GRID, precision=0.25)
    assert str(prior.parse(" -time( b )+ 1.50 * time(G)")) == "1.5*time(G) - time(b)"
    assert str(prior.parse("-.25*time(G)")) == "-0.25*time(G)" and str(prior.parse(" 0 ")) == "0"
    paid = prior.parse("1.5*time(G) - time(b)").payoffs(GRID).state
    np.testing.assert_allclose(paid[[1, 3]], [1.5, -1])
    assert prior.code_length(prior.parse("-time(G)")) == prior.code_length("-time(G)")


def test_own_features_are_weighed_too():
    prior = SparseWeights(GRID, features={"x": lambda state: float(state[0])}, states=True)
    assert len(prior.values) == 2 + 1 + 9
    np.testing.assert_allclose(prior.parse('time(x) - 3*time(@"0,0")').payoffs(GRID).state[[0, 8]], [-3, 2])
    program = StackMachine(GRID, features={"x": lambda state: float(state[0])}).parse("x x *")
    np.testing.assert_allclose(program.payoffs(GRID).state, np.repeat([0, 1, 4], 3))


@pytest.mark.parametrize(
    ("options", "text", "column", "message"),
    [
        ({}, "3*time(G) - 0.5*time(b)", 13, "0.5 is not a whole number.*precision=0.5"),
        ({"precision": 0.25}, "3*time(G) - 0.3*time(b)", 13, "0.3 is no multiple of the precision 0.25.*0.25 and 0.5$"),
        ({}, "0*time(G)", 1, "weight 0.*leave the term out"),
        ({}, "time(b) + 0.0*time(G)", 11, "weight 0"),
        ({}, "2*time(x)", 8, "unknown feature 'x'.*weighed here: G, b"),
        ({}, "time(@1)", 6, "unknown state '1'"),
        ({}, "2*reach(G)", 3, r"expected time\(feature\): unknown form 'reach'"),
        ({}, "time(G) + time(G)", 16, "G has a weight already"),
        ({}, "time(G) time(b)", 9, r"unexpected 'time'.*joined by \+ or -"),
        ({}, "time(G) + 3", 11, "a constant changes nothing"),
        ({}, "2 time(b)", 1, "a number without a feature"),
        ({}, "time(not b)", 6, "expected a feature"),
        ({}, "time(G and b)", 8, r"expected '\)', found 'and'"),
        ({}, "time(G", 5, "not closed"),
        ({}, "time G", 6, r"expected '\('"),
        ({}, "time(G) -", 10, "found the end"),
        ({}, "1" * 1001 + "*time(G)", 1, "too long"),
    ],
)
def test_errors_in_sums_point_at_the_place(options, text, column, message):
    points_at(SparseWeights(GRID, **options), text, column, message)


def points_at(prior, text, column, message):
    with pytest.raises(us.InputError) as caught:
        prior.parse(text)
    first, shown, caret = str(caught.value).split("\n")
    assert re.search(message, first) and f"at column {column} of the utility" in first
    assert (shown + " ")[caret.index("^")] == (text + " ")[column - 1]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: SparseWeights(GRID, precision=0), "precision is 0"),
        (lambda: SparseWeights(GRID, precision=math.inf), "precision is inf"),
        (lambda: SparseWeights(GRID, precision=1, scale=-1.0), "scale is -1"),
        (lambda: SparseWeights(GRID, scale=2.0), "give a precision too"),
        (lambda: SparseWeights(GRID, precision=1e-12), "precision is 1e-12 times the scale"),
        (lambda: SparseWeights(WORLDS["states"], states=False), "no features"),
        (lambda: SparseWeights(GRID, features={"G": np.zeros(9)}), "called 'G' already"),
        (lambda: SparseWeights(GRID).parse(3), "not int"),
        (lambda: SparseWeights(GRID).parse(" "), "empty"),
        (lambda: SparseWeights(GRID).enumerate(0.5), "max_bits is 0.5"),
        (lambda: SparseWeights(GRID).enumerate(math.nan), "max_bits"),
        (lambda: SparseWeights(GRID).enumerate(60), "more than 4000000 sums.*lower max_bits"),
        (lambda: SparseWeights(GRID, precision=1e-9).enumerate(60), "more than 4000000 sums"),
        (lambda: StackMachine(BIG).enumerate(34), "more than 335544 programs"),
        (lambda: SparseWeights(BIG).enumerate(26), "more than 335544 sums"),
        (lambda: SparseWeights(GRID).code_length(SparseWeights(GRID, precision=0.5).parse("0.5*time(G)")), "whole"),
        (lambda: StackMachine(GRID, max_steps=0), "max_steps"),
        (lambda: StackMachine(GRID, weights={"push": 0}), "'push' has weight 0"),
        (lambda: StackMachine(GRID, weights={"halt": 0}), "'halt' has weight 0"),
        (lambda: StackMachine(GRID, weights={"drop": 1}), "no production is called 'drop'"),
        (lambda: StackMachine(GRID, features={"big": np.full(9, -1e6)}), "big goes up to 1e\\+06"),
        (lambda: StackMachine(WORLDS["states"], states=False), "no features"),
        (lambda: StackMachine(GRID).parse(3), "not int"),
        (lambda: StackMachine(GRID).parse(""), "empty"),
        (lambda: StackMachine(GRID).enumerate(math.inf), "max_bits is inf"),
        (lambda: StackMachine(GRID).enumerate(2), "no program of 2 bits"),
        (lambda: StackMachine(GRID).enumerate(60), "more than 4000000 programs.*lower max_bits"),
    ],
)
def test_bad_input(build, message):
    with pytest.raises(us.InputError, match=message):
        build()


# --- The stack machine


def plain_run(instructions, values, max_steps):
    """(stack or None if it failed) of one program in one state, one instruction at a time."""
    match, opened = {}, []
    for place, one in enumerate(instructions):
        if one == "do":
            opened.append(place)
        if one == "while":
            match[place] = opened.pop() if opened else 0
    stack, place, steps = [], 0, 0
    try:
        while place < len(instructions):
            one = instructions[place]
            steps += 1
            place += 1
            if steps > max_steps:
                return None
            if isinstance(one, Atom):
                stack.append(float(values[one]))
            elif one == "1":
                stack.append(1.0)
            elif one == "dup":
                stack.append(stack[-1])
            elif one == "swap":
                right, left = stack.pop(), stack.pop()
                stack += [right, left]
            elif one == "not":
                stack.append(float(stack.pop() <= 0))
            elif one == "while":
                if stack.pop() > 0:
                    place = match[place - 1]
            elif one != "do":
                right, left = stack.pop(), stack.pop()
                results = {"+": left + right, "-": left - right, "*": left * right}
                stack.append((results | {"min": min(left, right), "max": max(left, right)})[one])
            if len(stack) > 16 or (stack and abs(stack[-1]) > 2**16):
                return None
    except IndexError:
        return None
    return stack


MACHINES = {
    "usual": ({}, 14.5),
    "loops": ({"weights": {"do": 1 / 4, "while": 1 / 4, "dup": 1 / 8, "not": 0, "min": 0, "max": 0, "*": 0}}, 15.5),
    "few steps": ({"max_steps": 4}, 13),
    "orders": ({"weights": {"swap": 1 / 4, "max": 1 / 4, "not": 0, "while": 0, "do": 0, "+": 0}}, 12.5),
}


@pytest.mark.parametrize(
    ("name", "kind"),
    [(name, "usual") for name in WORLDS] + [("amounts", kind) for kind in MACHINES] + [("loop", "loops")],
)
def test_programs_agree_with_a_plain_interpreter(name, kind):
    world = WORLDS[name]
    options, max_bits = MACHINES[kind]
    machine = StackMachine(world, **options)
    states = np.flatnonzero(worth(world).any(0)).tolist()
    halt = machine.bits["halt"]
    mass, shortest, totals = defaultdict(float), defaultdict(lambda: math.inf), Counter()
    waiting = [((), math.log2(1 - 2.0**-halt))]
    while waiting:
        before, bits = waiting.pop()
        for one, cost in machine.bits.items():
            program, length = (*before, one), bits + cost
            if one == "halt":
                continue
            if length + halt > max_bits + 1e-9:
                totals["longer"] += 2.0**-length
                continue
            stacks = [
                plain_run(program, {atom: values[s] for atom, values in machine.values.items()}, machine.max_steps)
                for s in states
            ]
            if any(stack is None for stack in stacks):
                totals["lost"] += 2.0**-length
                continue
            waiting.append((program, length))
            if not all(stacks):
                totals["lost"] += 2.0 ** -(length + halt)
                continue
            paid = np.zeros(world.num_states)
            paid[states] = [stack[-1] for stack in stacks]
            key = hypothesis(world, paid)
            totals["computed"] += 2.0 ** -(length + halt)
            totals["programs"] += 1
            mass[key] += 2.0 ** -(length + halt)
            shortest[key] = min(shortest[key], length + halt)
    found = machine.run(max_bits)
    keys = [hypothesis(world, paid) for paid in found.candidates.payoffs.state]
    assert found.num_programs == totals["programs"]
    masses = [totals["computed"], totals["lost"], totals["longer"]]
    np.testing.assert_allclose([found.computed, found.lost, found.longer], masses, rtol=1e-9)
    assert sum(masses) == pytest.approx(1, abs=1e-12)
    assert len(set(keys)) == len(keys) == len(mass)
    np.testing.assert_allclose(2.0**-found.candidates.code_length, [mass[key] for key in keys], rtol=1e-9)
    lengths = [machine.code_length(text) for text in found.candidates.names]
    np.testing.assert_allclose(lengths, [shortest[key] for key in keys])


def test_batches_change_nothing(monkeypatch):
    machine = StackMachine(WORLDS["amounts"], weights={"do": 1 / 4, "while": 1 / 4})
    whole = machine.run(15)
    monkeypatch.setattr("utiliscope.utilities.stack_search._ENTRIES", 500)
    parts = machine.run(15)
    assert parts.candidates.names == whole.candidates.names and parts.num_programs == whole.num_programs
    np.testing.assert_allclose(parts.candidates.code_length, whole.candidates.code_length)


def test_kraft_equality_of_programs():
    machine = StackMachine(WORLDS["amounts"])
    options = [one for one in machine.bits if one != "halt"]
    total = 0.0
    for length in (1, 2, 3):
        programs = itertools.product(options, repeat=length)
        total += sum(2.0 ** -machine.code_length(StackProgram(program, 64)) for program in programs)
        assert total == pytest.approx(1 - (3 / 4) ** length, abs=1e-12)


def test_code_length_of_a_program_by_hand():
    machine = StackMachine(WORLDS["amounts"])
    saved = math.log2(4 / 3)
    assert machine.code_length("c") == pytest.approx(3 + 2 - saved)
    assert machine.code_length("c 1 + dup *") == pytest.approx(3 + 4 + 4 + 5 + 4 + 2 - saved)
    assert machine.log_prob("p do 1 while") == pytest.approx(-(3 + 5 + 4 + 5 + 2 - saved) * math.log(2))
    uneven = StackMachine(WORLDS["amounts"], weights={"halt": 1 / 2, "min": 0})
    assert uneven.code_length("c") == pytest.approx(
        math.log2(8 * (39 / 32)) + 0 + math.log2(39 / 32 / (1 / 2)) - saved_by(39 / 32)
    )
    with pytest.raises(us.InputError, match="'min' has weight 0"):
        uneven.parse("p c min")


def saved_by(total):
    return -math.log2(1 - 0.5 / total)


@pytest.mark.parametrize(
    ("text", "paid"),
    [
        ("c", [1, 2, 4]),
        ("p not", [1, 0, 1]),
        ("c 1 -", [0, 1, 3]),
        ("1 c -", [0, -1, -3]),
        ("p c swap -", [1, 1, 4]),
        ("c dup *", [1, 4, 16]),
        ("p c max", [1, 2, 4]),
        ("p c min", [0, 1, 0]),
        ("p 1 - not not", [0, 0, 0]),
        ("1 c do swap dup + swap 1 - dup while +", [2, 4, 16]),  # 2 to the c
        ("c do 1 - dup while", [0, 0, 0]),
        ("p 1 - while c", [1, 2, 4]),
        ("c do dup do 1 - dup while + 1 - dup while", [0, 0, 0]),  # a loop in a loop
    ],
)
def test_meaning_of_programs(text, paid):
    found = StackMachine(WORLDS["amounts"], max_steps=200).parse(text).payoffs(WORLDS["amounts"])
    np.testing.assert_array_equal(found.state, paid)
    assert found.reach.shape == (0,) and found.action is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("p +", "'p \\+' computes nothing in state '0': it pops from an empty stack"),
        ("p do 1 while", "state '0': it runs on for too many steps"),
        ("1 p while c", "state '1': it has more than 16 numbers"),  # back to the start
        ("p p - while", "state '0': it leaves nothing on the stack"),
        ("do", "leaves nothing"),
        ("1 " * 17, "more than 16 numbers"),
        ("c do dup * dup while", "state '2': it has a number beyond 65536"),  # 4, 16, 256, 65536
        ("c do dup do 1 - dup while + 1 - dup while", "state '2': it runs on"),
    ],
)
def test_programs_that_compute_nothing(text, reason):
    world = WORLDS["amounts"]
    machine = StackMachine(world)
    with pytest.raises(us.InputError, match=reason):
        machine.parse(text).payoffs(world)
    assert machine.code_length(text) > 2


def test_only_reachable_states_must_compute():
    world = WORLDS["unreachable"]
    program = StackMachine(world).parse("p while q")  # in the third state for ever
    np.testing.assert_array_equal(program.payoffs(world).state, [1, 0, 0])
    assert StackMachine(world).code_length("p while q") == StackMachine(WORLDS["loop"]).code_length("p while q")


def test_words_of_the_machine_in_quotes():
    machine = StackMachine(graph(LOOP, [1, 0, 0], 0.9, {"min": P, "1": Q, "halt": P, "a b": C}))
    program = machine.parse('"min" "1" min halt + "a b"')
    assert program.instructions == (Atom("min"), Atom("1"), "min", Atom("halt"), "+", Atom("a b"))
    assert str(program) == '"min" "1" min halt + "a b"'
    assert str(StackMachine(GRID, states=True).parse('@"0,0" G-')) == '@"0,0" G -'


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("G x +", 3, "unknown feature or instruction 'x'.*features here: G, b"),
        ("G 2 +", 3, r"unknown instruction '2'.*instructions are 1, \+"),
        ("G ( b", 3, r"unknown instruction '\('"),
        ("G b + @1", 7, "unknown state '1'"),
        ("G and b", 3, "expected a feature"),
        ("G % b", 3, "cannot read '%'"),
    ],
)
def test_errors_in_programs_point_at_the_place(text, column, message):
    points_at(StackMachine(GRID), text, column, message)


@pytest.mark.slow
def test_sums_of_many_bits_stay_apart():
    """Whole weights of two features: as many hypotheses as there are directions."""
    candidates = SparseWeights(us.gridworld(["a.b"])).enumerate(28)
    assert len(candidates) == 55_913

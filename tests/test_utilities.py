import itertools
import math
import re
from collections import Counter

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import utiliscope as us
from utiliscope.utilities.code import gamma_bits
from utiliscope.utilities.drawing import drawn
from utiliscope.utilities.reading import parse
from utiliscope.utilities.syntax import FORMS, And, Atom, Form, Not, Or, Program, Term

GRID = us.gridworld([".G.", "b.#", "..1"], slip=0.1, discount=0.9)
LOOP = np.eye(3)[[[1, 2], [2, 0], [0, 0]]]  # [S, A, S]


def world(**features):
    return us.world_model(LOOP, np.full(3, 1 / 3), 0.9, features=features)


TWO = world(p=[True, False, False], q=[False, True, False])
MIXED = world(p=[True, False, False], q=[False, True, True], cost=[0.5, 0.0, 2.0])

# --- Text


names = st.text(min_size=1, max_size=6) | st.sampled_from(
    ["G", "b", "1", "odd name", '"', "\\", "0,3", "é", "time", "and", "not", "or"]
)
whole = st.integers(1, 300).flatmap(lambda n: st.sampled_from([n, -n, 1, -1]))
atoms = st.builds(Atom, names, st.booleans())
sets = st.recursive(atoms, lambda p: st.builds(Not, p) | st.builds(And, p, p) | st.builds(Or, p, p), max_leaves=4)
counts = st.integers(1, 999)


def of_kind(kind, *predicates, **parts):
    return st.builds(Form, st.just(kind), st.tuples(*predicates), **parts)


forms = st.recursive(
    st.one_of(
        *(of_kind(kind, sets) for kind in ("time", "reach", "avoid", "end")),
        *(of_kind(kind, sets, number=counts) for kind in ("visits", "every")),
        of_kind("sequence", sets, sets) | of_kind("sequence", sets, sets, sets),
        of_kind("does", sets, action=names),
    ),
    lambda form: of_kind("within", number=counts, inner=form.filter(lambda one: one.kind != "does")),
    max_leaves=3,
)
terms = st.builds(Term, whole, forms)


@given(st.lists(terms, max_size=4), st.integers(-9, 9))
def test_a_printed_program_parses_back(terms, constant):
    program = Program(tuple(terms), constant)
    assert parse(str(program)) == program


@pytest.mark.slow
def test_ten_thousand_random_programs_parse_back():
    grammar = us.Grammar(MIXED, states=True, actions=True)
    rng = np.random.default_rng(0)
    for _ in range(10_000):
        program = Program(drawn(rng, grammar.prices))
        assert grammar.parse(str(program)) == program
        assert parse(str(program)) == program


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        (" reach( G )-2 * time(b) ", "reach(G) - 2*time(b)"),
        ("-time(b)", "-time(b)"),
        ("+1*time(b)", "time(b)"),
        ('3*reach(G) + time("1") - 1', '3*reach(G) + time("1") - 1'),
        ("1 + time(b) + 2", "time(b) + 3"),
        ('time("b")', "time(b)"),
        ("1 - 1 + 0", "0"),
        ("-7", "-7"),
        ("every( G and (not b), 10)", "every(G and not b, 10)"),
        ("time((G or b) and not (G and b))", "time((G or b) and not (G and b))"),
        ("time(G or (b or G))", "time(G or (b or G))"),
        ("time(not not G)", "time(not not G)"),
        ("2*within(5, sequence(G,b , G))-visits(b,2)", "2*within(5, sequence(G, b, G)) - visits(b, 2)"),
    ],
)
def test_text_is_read_and_tidied(text, printed):
    assert str(us.Grammar(GRID).parse(text)) == printed


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("reach(Q) - 2*time(b)", 7, "unknown feature 'Q'.*features of this world: \"1\", G, b"),
        ("time(b) + time(@Q)", 16, "@Q is a single state.*states=True"),
        ("time(b", 5, "not closed"),
        ("time(b))", 8, "never opened"),
        ("(time(b))", 1, "expected a form"),
        ("time(b) + 0*reach(G)", 11, "weight 0"),
        ("2.5*time(b)", 1, "2.5 is not a whole number"),
        ("time(b) + 12345678901234567890*time(G)", 11, "too large"),
        ("visit(b)", 1, "unknown form 'visit'.*reach"),
        ("visits(b)", 9, "expected ','.*visits\\(p, n\\)"),
        ("visits(b, 0)", 11, "n is 0.*from 1 on"),
        ("visits(b, -2)", 11, "expected a whole number from 1 on, found '-'"),
        ("every(b, 2.5)", 10, "2.5 is not a whole number"),
        ("every(b, 65)", 10, "n is 65.*horizon=65"),
        ("every(b, 2", 6, "not closed"),
        ("sequence(b)", 11, "expected ','.*sequence\\(p, q, ...\\)"),
        ("within(3, b)", 11, "unknown form 'b'"),
        ("within(b, time(G))", 8, "expected a whole number"),
        ("within(3, does(b, up))", 11, "cannot stand within another form"),
        ("within(3)", 9, "expected ','.*within\\(n, form\\)"),
        ("time(b and)", 11, "expected a feature"),
        ("time((b or G)", 5, "not closed"),
        ("time(b and (G or b)", 5, "not closed"),
        ("time(b and (G or Q))", 18, "unknown feature 'Q'"),
        ("does(b, up)", 1, "actions=True"),
        ("time b", 6, "expected '\\('"),
        ("time(1)", 6, 'quote a feature "1"'),
        ("time()", 6, "expected a feature"),
        ("time(b G)", 8, "expected '\\)'"),
        ('time("b)', 6, "does not end"),
        (r'time("\q")', 6, "cannot read the name"),
        ("time(@)", 6, "state's name"),
        ("time(b) time(G)", 9, "joined by"),
        ("time(b) -", 10, "found the end"),
        ("2*3", 3, "found '3'"),
        ("time(b)\n% 2", 9, "cannot read '%'"),
    ],
)
def test_errors_point_at_the_place(text, column, message):
    with pytest.raises(us.InputError, match=re.compile(message, re.DOTALL)) as caught:
        us.Grammar(GRID).parse(text)
    first, shown, caret = str(caught.value).split("\n")
    assert f"at column {column} of the utility" in first
    assert shown.strip() == text.replace("\n", " ").strip()
    assert caret.index("^") - shown.index(text[0]) == column - 1


def test_a_long_text_is_shown_around_the_place():
    with pytest.raises(us.InputError, match="column 901") as caught:
        us.Grammar(GRID).parse("time(b) + " * 90 + "?")
    _, shown, caret = str(caught.value).split("\n")
    assert shown[caret.index("^")] == "?" and len(shown) < 120


def test_other_errors_of_text():
    with pytest.raises(us.InputError, match="is empty"):
        us.Grammar(GRID).parse("  ")
    with pytest.raises(us.InputError, match="not int"):
        us.Grammar(GRID).parse(3)
    with pytest.raises(us.InputError, match=r"'cost' is an amount.*time\(cost\)"):
        us.Grammar(MIXED).parse("reach(cost)")
    with pytest.raises(us.InputError, match=r"'cost' is an amount at column 6"):
        us.Grammar(MIXED).parse("time(cost and p)")
    with pytest.raises(us.InputError, match=r"unknown action 'fly'.*actions of this world: up"):
        us.Grammar(GRID, actions=True).parse("does(b, fly)")
    with pytest.raises(us.InputError, match="'visits' has weight 0"):
        us.Grammar(GRID, weights={"visits": 0}).parse("visits(b, 2)")
    with pytest.raises(us.InputError, match="'not' has weight 0"):
        us.Grammar(GRID, weights={"not": 0}).parse("time(not b)")
    with pytest.raises(us.InputError, match="every counts 0"):
        Form("every", (Atom("b"),), 0)
    with pytest.raises(us.InputError, match=r"unknown state '9'.*@.0,0"):
        us.Grammar(GRID, states=True).parse("time(@9)")
    with pytest.raises(us.InputError, match=r"no features.*a single state is written @2"):
        us.Grammar(world()).parse('time("2")')
    with pytest.raises(us.InputError, match="no features"):
        us.Grammar(world(), states=False)
    with pytest.raises(us.InputError, match="weight 0"):
        Term(0, Form("time", (Atom("b"),)))


# --- Meaning


def test_payoffs_of_a_program():
    paid = us.Grammar(MIXED, states=True).parse("reach(p) - 2*time(cost) + 3*time(@2) - 4*reach(@0) + 7").payoffs(MIXED)
    np.testing.assert_allclose(paid.state, [-1, 0, -4 + 3])
    np.testing.assert_array_equal(paid.targets, [[True, False, False]])  # p is the set @0
    np.testing.assert_allclose(paid.reach, [1 - 4])
    assert paid.action is None


def test_a_constant_pays_nothing():
    for text in ("0", "5"):
        paid = us.Grammar(TWO).parse(text).payoffs(TWO)
        assert not paid.state.any() and paid.targets.shape == (0, 3) and paid.reach.shape == (0,)


def test_meaning_of_programs_from_elsewhere():
    with pytest.raises(us.InputError, match="features of this world: p, q"):
        Program((Term(1, Form("time", (Atom("G"),))),)).payoffs(TWO)
    with pytest.raises(us.InputError, match="unknown state '8'"):
        Program((Term(1, Form("time", (Atom("8", True),))),)).payoffs(TWO)
    with pytest.raises(us.InputError, match="amount"):
        Program((Term(1, Form("reach", (Atom("cost"),))),)).payoffs(MIXED)
    with pytest.raises(us.InputError, match="unknown feature 'G'"):
        us.Grammar(TWO).code_length(Program((Term(1, Form("time", (Atom("G"),))),)))


# --- Code lengths


ATOM, OPERATOR, COUNTS = math.log2(8 / 5), 3, math.log2(sum(2.0 ** -gamma_bits(n) for n in range(1, 65)))


@pytest.mark.parametrize(
    ("grammar", "text", "bits"),
    [
        (us.Grammar(TWO), "0", 1),
        (us.Grammar(TWO), "12", 1),
        # stop + flag, sign, weight, kind, an atom, one of two features
        (us.Grammar(TWO), "reach(p)", 1 + 3 + 2 + ATOM + 1),
        (us.Grammar(TWO), "reach(p) - 1", 7 + ATOM),
        (us.Grammar(TWO), "-5*reach(p) + time(q)", 1 + (1 + 1 + 5 + 2 + ATOM + 1) + (3 + 2 + ATOM + 1)),
        (us.Grammar(TWO), "time(not p and q)", 1 + 3 + 2 + 2 * OPERATOR + 2 * (ATOM + 1)),
        (us.Grammar(TWO), "visits(p, 2)", 1 + 3 + 3 + ATOM + 1 + 3 + COUNTS),
        (us.Grammar(TWO), "every(p, 64)", 1 + 3 + 3 + ATOM + 1 + 13 + COUNTS),
        (us.Grammar(TWO), "sequence(p, q)", 1 + 3 + 3 + 2 * (ATOM + 1) + 1),
        (us.Grammar(TWO), "sequence(p, q, p)", 1 + 3 + 3 + 3 * (ATOM + 1) + 2),
        (us.Grammar(TWO), "within(3, reach(p))", 1 + 3 + 4 + 3 + COUNTS + 2 + ATOM + 1),
        (us.Grammar(TWO, actions=True), "does(p, 1)", 1 + 3 + 3 + math.log2(9 / 8) + ATOM + 1 + 1),
        (us.Grammar(TWO, actions=True), "within(1, reach(p))", 1 + 3 + 4 + math.log2(9 / 8) + 1 + COUNTS + 3 + ATOM),
        (us.Grammar(MIXED), "time(cost)", 1 + 3 + 2 + math.log2(3)),
        (us.Grammar(MIXED), "time(p)", 1 + 3 + 2 + math.log2(3 / 2) + ATOM + 1),
        (us.Grammar(MIXED, states=True), "2*time(cost) + reach(@1)", 1 + (7 + 2) + (5 + ATOM + 1 + math.log2(3))),
        (us.Grammar(world()), "time(@1)", 1 + 3 + 2 + ATOM + math.log2(3)),
        (us.Grammar(TWO, weights={"reach": 1, "time": 0}), "reach(p)", 1 + 3 + math.log2(1.5) + ATOM + 1),
        (us.Grammar(TWO, weights={"atom": 1, "not": 0, "and": 0, "or": 0}), "reach(p)", 1 + 3 + 2 + 1),
        (us.Grammar(TWO, forms={"own": TWO.features["p"]}), "own()", 1 + 3 + 3 + math.log2(9 / 8)),
    ],
)
def test_code_length_by_hand(grammar, text, bits):
    assert grammar.code_length(text) == pytest.approx(bits, abs=1e-12)
    assert grammar.log_prob(grammar.parse(text)) == pytest.approx(-bits * math.log(2), abs=1e-12)


def test_kraft_equality_of_the_parts():
    for place, states in itertools.product((TWO, MIXED, GRID), (False, True)):
        prices = us.Grammar(place, states=states, actions=True, forms={"own": np.zeros(place.num_states)}).prices
        shares = [prices.kinds, prices.predicates, prices.sets | {f"@{s}": b for s, b in prices.states.items()}]
        shares += [prices.amounts | {None: prices.predicate}, prices.actions, dict(enumerate(prices.numbers))]
        for part in shares:
            assert sum(2.0**-bits for bits in part.values()) == pytest.approx(1, abs=1e-12)
    for doublings in range(1, 12):
        mass = sum(2.0 ** -gamma_bits(weight) for weight in range(1, 2**doublings))
        assert mass == pytest.approx(1 - 2.0**-doublings, abs=1e-12)


@pytest.mark.slow
def test_samples_follow_the_code_lengths():
    grammar = us.Grammar(MIXED, states=True, actions=True)
    count = 1500
    drawn = Counter(str(grammar.sample(key)) for key in jax.random.split(jax.random.key(5), count))
    for text in ("0", "time(cost)", "-time(cost)", "reach(p)", "time(@2)", "does(p, 0)", "sequence(p, q)"):
        chance = math.exp(grammar.log_prob(text))
        assert abs(drawn[text] / count - chance) < 5 * math.sqrt(chance * (1 - chance) / count)
    assert grammar.sample(jax.random.key(1)) == grammar.sample(jax.random.key(1))
    kinds = Counter(term.form.kind for text in drawn.elements() for term in grammar.parse(text).terms)
    for kind, bits in grammar.prices.kinds.items():
        share = kinds[kind] / kinds.total()
        assert abs(share - 2.0**-bits) < 5 * math.sqrt(2.0**-bits / kinds.total())


# --- Words of one's own


def test_features_and_forms_of_ones_own():
    grammar = us.Grammar(
        TWO,
        features={"late": lambda state: int(state) > 0, "amount": [0.5, 1.0, 2.0]},
        forms={"size": lambda state: 2.0 * int(state), "twice": us.Automaton(np.zeros((1, 3), int), np.eye(3)[1:2])},
    )
    paid = grammar.parse("time(late and not p) - 2*size() + 3*twice() + time(amount)").payoffs(TWO)
    np.testing.assert_allclose(paid.state, [0 - 0 + 0 + 0.5, 1 - 4 + 3 + 1.0, 1 - 8 + 0 + 2.0])
    assert not paid.automata
    found = grammar.enumerate(11)
    assert "size()" in found.names and "time(amount)" in found.names
    value = us.expected_utility(TWO, np.full((3, 2), 0.5), grammar.parse("reach(late)"))
    assert float(value) == pytest.approx(
        float(us.expected_utility(TWO, np.full((3, 2), 0.5), us.Grammar(TWO).parse("reach(not p)")))
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": {"p": [True, False, True]}}, "already"),
        ({"features": {"x": [1.0, 2.0]}}, "feature 'x' has shape \\(2,\\)"),
        ({"features": {"x": [1.0, np.nan, 2.0]}}, "feature 'x' is nan in state 1"),
        ({"features": {"x": ["a", "b", "c"]}}, "not numbers"),
        ({"forms": {"reach": np.zeros(3)}}, "called 'reach'"),
        ({"forms": {"a b": np.zeros(3)}}, "called 'a b'"),
        ({"forms": {"x": us.Automaton(np.zeros((1, 4), int), np.zeros((1, 4)))}}, "reads 4 states, not 3"),
        ({"weights": {"reaches": 1}}, "no production is called 'reaches'"),
        ({"weights": {"reach": -1}}, "weight of 'reach' is -1"),
        ({"weights": {"atom": 0}}, "atom"),
        ({"weights": dict.fromkeys(FORMS, 0)}, "leave one of them in"),
        ({"states": True, "weights": {"state": 2}}, "weight of 'state' is 2"),
        ({"horizon": 0}, "horizon"),
    ],
)
def test_grammars_that_cannot_be(options, message):
    with pytest.raises(us.InputError, match=message):
        us.Grammar(TWO, **options)


# --- Candidates


def test_candidate_set_takes_all_kinds_of_utilities():
    table = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])
    given = us.Payoffs(np.arange(3.0), None, np.ones(1), np.array([[True, False, True]]))
    program = us.Grammar(TWO).parse("reach(q)")
    chosen = us.candidate_set(TWO, {"b": table, "a": [1, 0, 0], "c": given, "d": program, "e": "time(p) - reach(@1)"})
    assert chosen.names == list("abcde") and len(chosen) == chosen.payoffs.num_utilities == 5
    np.testing.assert_allclose(chosen.code_length, math.log2(5))
    np.testing.assert_allclose(chosen.payoffs.action[1], table)
    np.testing.assert_allclose(chosen.payoffs.state[:, 0], [1, 0, 0, 0, 1])
    np.testing.assert_array_equal(chosen.payoffs.targets, [[True, False, True], [False, True, False]])
    np.testing.assert_allclose(chosen.payoffs.reach[2:], [[1, 0], [0, 1], [0, -1]])

    sorted_ = us.candidate_set(TWO, {"a": "time(p)", "b": "time(q)"}, {"b": 1, "a": 2})
    assert sorted_.names == ["b", "a"] and sorted_.code_length.tolist() == [1, 2]


def test_parts_of_candidates():
    found = us.Grammar(TWO).enumerate(9)
    part = found[1:4]
    assert part.names == found.names[1:4] and part.payoffs.num_utilities == 3
    assert found[found.code_length < 5].names == [found.names[i] for i in np.flatnonzero(found.code_length < 5)]
    again = found.select(["time(q)", "0"])
    assert again.names == ["time(q)", "0"] and again.index("0") == 1
    np.testing.assert_array_equal(again.payoffs.state, [[0, 1, 0], [0, 0, 0]])
    assert found[2].names == [found.names[2]]
    assert found.to_frame().columns.tolist() == ["utility", "code_length"] and len(found.to_frame()) == len(found)
    assert repr(found).startswith(f"Candidates({len(found)}: 0  ")
    with pytest.raises(us.InputError, match="no candidate is called 'x'"):
        found.index("x")


@pytest.mark.parametrize(
    ("utilities", "code_length", "message"),
    [
        ({}, None, "at least one"),
        (["time(p)"], None, "mapping"),
        ({"": "time(p)"}, None, "non-empty"),
        ({"a": "time(x)"}, None, "utility 'a': unknown feature 'x'"),
        ({"a": [1.0, 2.0]}, None, "utility 'a'.*shape \\(2,\\)"),
        ({"a": [[1.0, 2.0], [3.0]]}, None, "utility 'a'"),
        ({"a": [1.0, np.nan, 0.0]}, None, "utility 'a' pays nan at state \\[1\\]"),
        ({"a": "time(p)"}, [1.0, 2.0], "shape \\(2,\\)"),
        ({"a": "time(p)"}, {"b": 1.0}, "differ in their names: a, b"),
        ({"a": "time(p)"}, [-1.0], "'a' is -1"),
        ({"a": "time(p)"}, ["long"], "not a list of numbers"),
        ({"a": "time(p)", "b": "time(q)"}, [0.5, 0.5], "sum to 1.41421.*add 0.5 bits"),
    ],
)
def test_candidate_set_refuses(utilities, code_length, message):
    with pytest.raises(us.InputError, match=message):
        us.candidate_set(TWO, utilities, code_length)


def test_candidate_set_refuses_payoffs_of_another_world():
    with pytest.raises(us.InputError, match="state has shape \\(7,\\)"):
        us.candidate_set(TWO, {"a": us.Payoffs(np.zeros(7), None, np.zeros(0), np.zeros((0, 7), bool))})


@pytest.mark.parametrize(
    "text", ["reach(" + "(" * 3000 + "b", "time(b) - " + "within(2, " * 3000, "time(" + "not " * 9999]
)
def test_too_deep_is_said(text):
    with pytest.raises(us.InputError, match=r"nested too deeply at column \d+ of the utility"):
        us.Grammar(GRID).parse(text)


@pytest.mark.parametrize(
    "given",
    [
        dict(weights={"and": 2.0, "or": 2.0}),
        dict(weights=dict.fromkeys(["time", "reach", "avoid", "end", "visits", "every", "sequence"], 0)),
        dict(features={3: np.ones(9)}),
        dict(forms={"atom": np.ones(9)}),
    ],
    ids=["endless sets", "endless forms", "number as a name", "name of a production"],
)
def test_vocabularies_that_cannot_be(given):
    with pytest.raises(us.InputError, match=r"have no end|by name|take a plain word|for each production"):
        us.Grammar(GRID, **given)


@pytest.mark.parametrize(
    "build",
    [
        lambda: Form("every", (Atom("G"),)),
        lambda: Form("reach", (Atom("G"), Atom("b"))),
        lambda: Form("sequence", (Atom("G"),)),
        lambda: Form("within", (), 3, Form("does", (Atom("G"),), action="up")),
    ],
)
def test_programs_by_hand_are_checked(build):
    with pytest.raises(us.InputError, match=r"is written|cannot stand"):
        build()


def test_numbers_of_numpy_are_weights():
    weights = {"reach": 2.0, "time": 0.5}
    plain, numpy = (us.Grammar(GRID, weights=w) for w in (weights, {k: np.float32(v) for k, v in weights.items()}))
    assert plain.code_length("reach(G)") == numpy.code_length("reach(G)")

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
from utiliscope.utilities.code import form_bits, weight_bits
from utiliscope.utilities.syntax import Atom, Form, Program, Term, parse

GRID = us.gridworld([".G.", "b.#", "..1"], slip=0.1, discount=0.9)
LOOP = np.eye(3)[[[1, 2], [2, 0], [0, 0]]]  # [S, A, S]


def world(**features):
    return us.world_model(LOOP, np.full(3, 1 / 3), 0.9, features=features)


TWO = world(p=[True, False, False], q=[False, True, False])
MIXED = world(p=[True, False, False], q=[False, True, True], cost=[0.5, 0.0, 2.0])

# --- Text


names = st.text(min_size=1, max_size=6) | st.sampled_from(["G", "b", "1", "odd name", '"', "\\", "0,3", "é", "time"])
whole = st.integers(1, 300).flatmap(lambda n: st.sampled_from([n, -n, 1, -1]))
terms = st.builds(
    Term, whole, st.builds(Form, st.sampled_from(["time", "reach"]), st.builds(Atom, names, st.booleans()))
)


@given(st.lists(terms, max_size=4), st.integers(-9, 9))
def test_a_printed_program_parses_back(terms, constant):
    program = Program(tuple(terms), constant)
    assert parse(str(program), lambda form: None) == program


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
        ("(time(b))", 1, "expected reach"),
        ("time(b) + 0*reach(G)", 11, "weight 0"),
        ("2.5*time(b)", 1, "2.5 is not a whole number"),
        ("time(b) + 12345678901234567890*time(G)", 11, "too large"),
        ("visits(b)", 1, "unknown form 'visits'.*reach"),
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
    with pytest.raises(us.InputError, match=r"unknown state '9'.*@.0,0"):
        us.Grammar(GRID, states=True).parse("time(@9)")
    with pytest.raises(us.InputError, match=r"no features.*a single state is written @2"):
        us.Grammar(world()).parse('time("2")')
    with pytest.raises(us.InputError, match="no features"):
        us.Grammar(world(), states=False)
    with pytest.raises(us.InputError, match="weight 0"):
        Term(0, Form("time", Atom("b")))


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
        Program((Term(1, Form("time", Atom("G"))),)).payoffs(TWO)
    with pytest.raises(us.InputError, match="unknown state '8'"):
        Program((Term(1, Form("time", Atom("8", True))),)).payoffs(TWO)
    with pytest.raises(us.InputError, match="amount"):
        Program((Term(1, Form("reach", Atom("cost"))),)).payoffs(MIXED)
    with pytest.raises(us.InputError, match="unknown feature 'G'"):
        us.Grammar(TWO).code_length(Program((Term(1, Form("time", Atom("G"))),)))


# --- Code lengths


@pytest.mark.parametrize(
    ("grammar", "text", "bits"),
    [
        (us.Grammar(TWO), "0", 1),
        (us.Grammar(TWO), "12", 1),
        # stop + flag, sign, weight, one of two features, reach or time
        (us.Grammar(TWO), "reach(p)", 1 + 1 + 1 + 1 + 1 + 1),
        (us.Grammar(TWO), "reach(p) - 1", 6),
        (us.Grammar(TWO), "-5*reach(p) + time(q)", 1 + (1 + 1 + 5 + 1 + 1) + (1 + 1 + 1 + 1 + 1)),
        (us.Grammar(MIXED), "time(cost)", 1 + 1 + 1 + 1 + math.log2(3)),
        (us.Grammar(MIXED, states=True), "2*time(cost) + reach(@1)", 1 + (5 + 1 + math.log2(3)) + (5 + math.log2(3))),
        (us.Grammar(world()), "time(@1)", 1 + 3 + math.log2(3) + 1),
    ],
)
def test_code_length_by_hand(grammar, text, bits):
    assert grammar.code_length(text) == pytest.approx(bits, abs=1e-12)
    assert grammar.log_prob(grammar.parse(text)) == pytest.approx(-bits * math.log(2), abs=1e-12)


def test_kraft_equality_of_the_parts():
    for place, states in itertools.product((TWO, MIXED, GRID), (False, True)):
        assert sum(2.0**-bits for bits in form_bits(place, states).values()) == pytest.approx(1, abs=1e-12)
    assert sum(2.0**-bits for bits in form_bits(world(), True).values()) == pytest.approx(1, abs=1e-12)
    for doublings in range(1, 12):
        mass = sum(2.0 ** -weight_bits(weight) for weight in range(1, 2**doublings))
        assert mass == pytest.approx(1 - 2.0**-doublings, abs=1e-12)


def test_kraft_equality_of_all_programs():
    # Two features: a term has 4 forms at 2 bits, a flag, a sign and a weight, so there are 8 * 2^k terms of 5 + 2k
    # bits, and f(n) = sum_k 8 * 2^k f(n - 5 - 2k) programs of n bits, f(1) = 1.
    most = 400
    number = [0, 1]
    for n in range(2, most):
        number.append(sum(8 * 2**k * number[n - 5 - 2 * k] for k in range((n - 5) // 2 + 1) if n - 5 - 2 * k > 0))
    grammar = us.Grammar(TWO)
    by_bits = Counter(grammar.code_length(program) for program in all_programs(grammar, 12))
    assert by_bits == {n: number[n] for n in range(1, 13) if number[n]}
    assert sum(count / 2**n for n, count in enumerate(number)) == pytest.approx(1, abs=1e-6)


def all_programs(grammar, max_bits):
    """Every ordered list of terms within `max_bits`, built by brute force."""
    terms = [Term(s * w, form) for form in grammar.forms for w in range(1, 64) for s in (1, -1)]
    terms = [term for term in terms if grammar.code_length(Program((term,))) <= max_bits]
    found, level = [], [Program()]
    while level:
        found += level
        longer = (Program((*some.terms, term)) for some in level for term in terms)
        level = [program for program in longer if grammar.code_length(program) <= max_bits]
    return found


def test_samples_follow_the_code_lengths():
    grammar = us.Grammar(MIXED, states=True)
    count = 4000
    drawn = Counter(str(grammar.sample(key)) for key in jax.random.split(jax.random.key(5), count))
    for text in ("0", "time(cost)", "-time(cost)", "reach(p)", "time(@2)", "2*time(cost)"):
        chance = math.exp(grammar.log_prob(text))
        assert abs(drawn[text] / count - chance) < 5 * math.sqrt(chance * (1 - chance) / count)
    assert grammar.sample(jax.random.key(1)) == grammar.sample(jax.random.key(1))
    assert all(grammar.parse(text) for text in drawn)


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

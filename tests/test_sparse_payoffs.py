"""Stacks in sparse tables against dense ones, and candidates that keep them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

import utiliscope as us
from utiliscope.payoffs import stack_payoffs
from utiliscope.sparse_payoffs import SparsePayoffs, sparse_payoffs, sparse_stack
from utiliscope.utilities.meaning import weighted_sum

WORLD = us.gridworld(["..A", ".#B"], slip=0.1, discount=0.8)
GRAMMAR = us.Grammar(WORLD, actions=True)
TEXTS = [
    "time(A)", "reach(B)", "avoid(A)", "visits(A, 2)", "every(B, 3)", "sequence(A, B)", "within(2, time(B))",
    "does(A, up)", "reach(A) - every(B, 3)", "2*time(A) + does(B, down)", "0",
]  # fmt: skip
PAID = [GRAMMAR.parse(text).payoffs(WORLD) for text in TEXTS]
POLICY = np.random.default_rng(0).dirichlet(np.ones(WORLD.num_actions), WORLD.num_states)


def worth(payoffs):
    return np.asarray(us.expected_utility(WORLD, POLICY, payoffs))


def same(one, other):
    for name in ("state", "action", "reach", "targets", "weight"):
        left, right = getattr(one, name), getattr(other, name)
        assert (left is None) == (right is None)
        if left is not None:
            np.testing.assert_array_equal(left, right)
    assert len(one.automata) == len(other.automata)


@given(st.lists(st.sampled_from(range(len(TEXTS))), min_size=1, max_size=6))
@settings(max_examples=40, deadline=None)
def test_dense_again_is_the_stack(places):
    some = [PAID[i] for i in places]
    same(sparse_stack(some).dense(), stack_payoffs(some))
    same(sparse_payoffs(stack_payoffs(some)).dense(), stack_payoffs(some))


@given(st.lists(st.lists(st.integers(-2, 2), min_size=4, max_size=4), min_size=1, max_size=5), st.randoms())
@settings(max_examples=5, deadline=None)
def test_mixtures_are_weighted_sums(weights, random):
    places = random.choices(range(len(TEXTS)), k=4)
    stack = sparse_stack([PAID[i] for i in places])
    found = stack.mixed(csr_array(np.array(weights, float)))
    expected = [weighted_sum(WORLD, row, [PAID[i] for i in places]) for row in weights]
    np.testing.assert_allclose(worth(found.dense()), [worth(one) for one in expected], atol=1e-12)
    # Nothing is kept that nobody is paid for.
    assert found.reach.shape[1] == len(found.targets) == len(np.unique(found.reach.indices))
    assert found.weight.shape[1] == len(found.automata) == len(np.unique(found.weight.indices))


@pytest.mark.parametrize("choice", [slice(2, 9, 3), [8, 0, 8], np.arange(11) % 4 == 0, slice(0, 0), -1, np.array([10])])
def test_candidates_that_are_chosen_keep_what_they_are_worth(choice):
    bits = np.arange(1.0, 12)
    kept, dense = us.Candidates(TEXTS, bits, sparse_stack(PAID)), us.Candidates(TEXTS, bits, stack_payoffs(PAID))
    some, other = kept[choice], dense[choice]
    assert some.names == other.names and some.code_length.tolist() == other.code_length.tolist()
    if len(some):
        np.testing.assert_allclose(worth(some.payoffs), worth(other.payoffs), rtol=1e-12)
    assert len(some.payoffs.automata) <= len(other.payoffs.automata)


@pytest.mark.slow
def test_enumerated_candidates_are_sparse_and_are_their_programs():
    found = GRAMMAR.enumerate(14)
    assert isinstance(found.paid, SparsePayoffs) and found.payoffs is found.payoffs
    programs = [GRAMMAR.parse(name).payoffs(WORLD) for name in found.names]
    np.testing.assert_allclose(worth(found.payoffs), worth(stack_payoffs(programs)), rtol=1e-11, atol=1e-12)
    assert max(len(found[i].payoffs.automata) for i in range(len(found))) <= 2 < len(found.payoffs.automata)

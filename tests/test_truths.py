"""What agents of the suite are in truth after, as places among the candidates."""

import numpy as np
import pytest
from class_index import class_index

from utiliscope.agents.roster import ROSTER, Entry
from utiliscope.payoffs import Payoffs, as_payoffs
from utiliscope.suite.places import Places, task_of
from utiliscope.suite.truths import probes, same_class, true_place

WORLD = "rooms-corner"  # its candidates have no memory, and its rarest goal is worth less than 0.01 to most


@pytest.fixture(scope="module")
def task():
    return task_of(WORLD)


@pytest.fixture(scope="module")
def known(task):
    return probes(task)


def test_every_candidate_is_of_its_own_class_alone(task, known):
    payoffs = task.candidates.payoffs
    found = np.array([same_class(task, known, payoffs[u]) for u in range(len(task.candidates))])
    np.testing.assert_array_equal(found, np.eye(len(found), dtype=bool))


def test_scale_and_constants_do_not_matter(task, known):
    for text in task.utilities:
        place = class_index(task, text)
        own = as_payoffs(task.world, task.grammar.parse(text))
        for scale, constant in ((1e-6, 0.0), (300.0, -7.0)):
            other = Payoffs(scale * np.asarray(own.state) + constant, None, scale * np.asarray(own.reach), own.targets)
            assert np.flatnonzero(same_class(task, known, other)).tolist() == [place], text


def test_what_is_no_candidate_has_no_place(task, known):
    own = task.grammar.parse("5*time(k) - 7*time(w)")
    assert not same_class(task, known, as_payoffs(task.world, own)).any()
    assert true_place(task, known, ROSTER["optimal"], "5*time(k) - 7*time(w)") is None


def test_what_agents_are_after(task, known):
    names = task.candidates.names

    def after(agent, utility):
        place = true_place(task, known, ROSTER[agent], utility)
        return None if place is None else names[place]

    assert after("optimal", "time(k)") == "time(k)" and after("two-goals", "time(k)") == "time(k)"
    assert after("anti-rational", "time(k)") == "-time(k)" and after("degenerate-negated", "-time(w)") == "time(w)"
    assert after("degenerate-indifferent", "time(k)") == "0"
    assert after("proxy", "reach(G)") not in ("reach(G)", None)
    assert after("random", "time(k)") is None and after("optimal", "") is None


def test_places_are_worked_out_once_for_all_who_are_after_what_they_are_given(monkeypatch, task):
    calls = []

    def counted(*arguments):
        calls.append(arguments)
        return true_place(*arguments)

    monkeypatch.setattr("utiliscope.suite.places.true_place", counted)
    places = Places()
    index = class_index(task, "time(k)")
    for agent in ("optimal", "epsilon-0.3", "mcts-4", "optimal"):
        code_length, place = places(WORLD, agent, "time(k)")
        assert place == index
        np.testing.assert_array_equal(code_length, task.candidates.code_length)
    assert len(calls) == 1
    assert places(WORLD, "degenerate-indifferent", "time(k)")[1] == places(WORLD, "random", "")[1]
    assert len(calls) == 2 and task.candidates.names[places(WORLD, "clockwork", "")[1]] == "0"


def test_an_agent_that_is_after_nothing_has_no_place(task, known):
    """Whatever the user calls its kind."""
    assert true_place(task, known, Entry(ROSTER["drift"].agent, "mine"), "time(k)") is None

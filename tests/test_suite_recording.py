"""Recordings of the suite end when what is pursued is settled."""

import dataclasses

import numpy as np
import pytest

from utiliscope.agents.roster import ROSTER, Entry
from utiliscope.errors import InputError
from utiliscope.suite.jobs import Job
from utiliscope.suite.recording import recorded, until_settled
from utiliscope.suite.worlds import WORLDS


@pytest.fixture(scope="module")
def task():
    return WORLDS["labyrinth"]()


def job(agent, utility, seed=0):
    return Job("labyrinth", agent, utility, 4, seed, "prior")


def test_a_goal_to_be_reached_once_ends_the_episode(task):
    water = np.flatnonzero(task.world.features["water"])
    for agent in ("optimal", "epsilon-0.3", "habitual-0.3"):
        table = recorded(job(agent, "reach(water)"), task, ROSTER[agent]).table
        for _, episode in table.groupby("episode"):
            at = np.isin(episode["next_state"], water)
            assert not at[:-1].any() and (at[-1] or len(episode) == task.num_steps)
            assert not np.isin(episode["state"], water).any()


def test_goals_with_memory_end_when_they_are_whole(task):
    """`sequence(water, home)`: from home to the water and back, twice through the whole labyrinth."""
    world, table = task.world, recorded(job("optimal", "sequence(water, home)"), task, ROSTER["optimal"]).table
    for _, episode in table.groupby("episode"):
        water = np.isin(episode["next_state"], np.flatnonzero(world.features["water"]))
        home = np.isin(episode["next_state"], np.flatnonzero(world.features["home"]))
        first = int(np.argmax(water))
        assert water.any() and home[-1] and not home[first:-1].any() and len(episode) < task.num_steps


@pytest.mark.parametrize("utility", ["time(home)", "every(water, 3)"])
def test_what_goes_on_paying_goes_on(task, utility):
    behaviour = recorded(job("optimal", utility), task, ROSTER["optimal"])
    assert behaviour.num_decisions == 4 * task.num_steps
    payoffs = task.grammar.parse(utility).payoffs(task.world)
    assert until_settled(behaviour, task.world, payoffs) is behaviour


def test_nulls_and_alternating_goals_go_on(task):
    for agent, utility in (("random", ""), ("two-goals", "reach(water)")):
        assert recorded(job(agent, utility), task, ROSTER[agent]).num_decisions == 4 * task.num_steps


def test_recordings_depend_on_their_own_fields_alone(task):
    one, same = (recorded(job("epsilon-0.3", "time(home)"), task, ROSTER["epsilon-0.3"]) for _ in range(2))
    other = recorded(job("epsilon-0.3", "time(home)", seed=1), task, ROSTER["epsilon-0.3"])
    assert one.table.equals(same.table) and not one.table.equals(other.table)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda behaviour: 5,
            "'mine' recorded in the world 'labyrinth' is of type int; its method `record` must return",
        ),
        (lambda behaviour: behaviour.table, "is of type DataFrame"),
        (lambda behaviour: dataclasses.replace(behaviour, num_states=3), "does not fit: .* a world of 3 states"),
        (lambda behaviour: dataclasses.replace(behaviour, table=behaviour.table[:0]), "holds no decisions"),
    ],
)
@pytest.mark.parametrize("utility", ["time(home)", "reach(water)", ""])
def test_agents_must_give_recordings_of_the_world(task, change, message, utility):
    class Mine:
        def record(self, key, world, utility, **knobs):
            return change(ROSTER["random"].agent.record(key, world, utility, **knobs))

    with pytest.raises(InputError, match=message):
        recorded(job("mine", utility), task, Entry(Mine(), "mine"))

"""Every agent of the roster, in worlds of all kinds: what it leaves behind is a recording."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_worlds import UTILITIES, grid, random_world

import utiliscope as us
from utiliscope.agents import ROSTER, pursued
from utiliscope.agents.roster import read_roster
from utiliscope.payoffs import as_payoffs
from utiliscope.planning import value_range
from utiliscope.world.transition import chance_of

SLOW = {"mcts-4", "mcts-16", "mcts-64"}  # to compile, for each kind of world
QUICK = [name for name in ROSTER if name not in SLOW]


def record(name, world, utility, seed, num_episodes=6, num_steps=7):
    agent = ROSTER[name].agent
    return agent.record(jax.random.key(seed), world, utility, num_episodes=num_episodes, num_steps=num_steps)


def check(recorded, world, num_episodes=6, num_steps=7):
    table = recorded.table
    assert us.read_behaviour(table, world).table.equals(table)
    assert recorded.num_episodes == num_episodes and table["t"].min() == 0
    assert table["t"].max() < min(num_steps, world.horizon or num_steps)
    assert (np.asarray(world.initial)[table[table["t"] == 0]["state"]] > 0).all()
    assert np.asarray(world.available)[table["state"], table["action"]].all()
    state, action, following = (table[name].to_numpy() for name in ("state", "action", "next_state"))
    assert (chance_of(world.transition, state, action, following) > 0).all()


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    st.sampled_from(QUICK),
    st.integers(0, 10**6),
    st.sampled_from(UTILITIES),
    st.sampled_from([None, 5]),
    st.booleans(),
)
def test_recordings(name, seed, text, horizon, sparse):
    world = random_world(seed, horizon=horizon, sparse=sparse)
    utility = us.Grammar(world).parse(text)
    try:
        recorded = record(name, world, utility, seed)
    except us.InputError as error:
        # Where every feature is as good as the utility, there is no other goal.
        assert name in {"two-goals", "proxy"} and "nothing else to be after" in str(error)
        return
    check(recorded, world)
    assert recorded.table.equals(record(name, world, utility, seed).table)


@pytest.mark.parametrize("name", ROSTER)
def test_in_one_world(name):
    world = grid()
    utility = us.Grammar(world).parse("reach(G) - 2*time(b)")
    recorded = record(name, world, utility, 0)
    check(recorded, world)
    assert recorded.table.equals(record(name, world, utility, 0).table)
    if name != "clockwork":
        assert not recorded.table.equals(record(name, world, utility, 1).table)


@pytest.mark.parametrize("name", ROSTER)
def test_what_is_pursued(name):
    world = grid()
    utility = us.Grammar(world).parse("reach(G)")
    entry = ROSTER[name]
    found = pursued(entry.agent, world, utility)
    if entry.kind == "null":
        assert found is None
    elif name == "two-goals":
        assert found.num_utilities == 2
    elif name == "degenerate-indifferent":
        assert value_range(world, found) == (0.0, 0.0)
    elif name in {"proxy", "anti-rational", "degenerate-negated"}:
        assert value_range(world, found) != pytest.approx(value_range(world, utility))
    else:
        np.testing.assert_array_equal(found.reach, as_payoffs(world, utility).reach)


@pytest.mark.parametrize("name", ROSTER)
def test_an_agent_acts_in_one_world(name):
    world = random_world(1)
    with pytest.raises(us.InputError, match="in place of PossibleWorlds"):
        record(name, us.possible_worlds([world, random_world(1)]), np.arange(5.0), 0)


def test_families_and_kinds():
    assert {entry.kind for entry in ROSTER.values()} == {"agent", "degenerate", "null"}
    for name, entry in ROSTER.items():
        assert name.startswith(entry.family) or entry.family in {"confidence"}
    assert len(ROSTER) >= 35


@pytest.mark.parametrize("name", ["3", "''", "'a, b'", "' a'", "None", "('a',)"])
@pytest.mark.parametrize("line", ["{name}: Optimal()", "'fine': Entry(Optimal(), {name})"])
def test_names_that_no_option_could_name_are_refused(tmp_path, name, line):
    file = tmp_path / "mine.py"
    imports = "from utiliscope.agents import Optimal\nfrom utiliscope.agents.roster import Entry\n"
    file.write_text(f"{imports}OWN = {{{line.format(name=name)}, 'other': Optimal()}}\n")
    with pytest.raises(us.InputError) as refused:
        read_roster(f"{file}:OWN")
    assert f"{file}: OWN has {name} for the name of an agent or a family; give texts without" in str(refused.value)

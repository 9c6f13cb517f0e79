"""Methods of the suite: against the programs that they stand for, plain sums, and value iteration."""

from typing import NamedTuple

import jax
import numpy as np
import numpyro.distributions as dist
import pandas as pd
import pytest
from scipy.special import log_softmax, logsumexp

import utiliscope as us
from utiliscope.action_values import decision_values, log_boltzmann, soft_action_values
from utiliscope.agents.roster import ROSTER
from utiliscope.chains import joint_chain
from utiliscope.laws import LN2
from utiliscope.plain_payoffs import plain_payoffs
from utiliscope.planning import is_plain
from utiliscope.suite import planners
from utiliscope.suite.intelligence import LAWS, Intelligence, LawGrid, claim_name, of_intelligence
from utiliscope.suite.jobs import Job
from utiliscope.suite.methods import METHODS, reading, why_skipped
from utiliscope.suite.planners import Planner, planned_likelihoods
from utiliscope.suite.recording import recorded as recording
from utiliscope.suite.worlds import WORLDS
from utiliscope.world.transition import links

KEY = jax.random.key(0)


class Place(NamedTuple):
    world: us.WorldModel


PLACE = Place(us.gridworld(["a.", "..", ".G"], slip=0.2, discount=0.8))
NAMES = ("0", "time(G)", "-time(a)", "reach(G)", "sequence(a, G)", "time(a) + 2*reach(G)")
CANDIDATES = us.candidate_set(PLACE.world, {name: name for name in NAMES}, [1.0, 3.0, 3.5, 4.0, 5.0, 6.0])
PLAIN = CANDIDATES[[i for i, name in enumerate(CANDIDATES.names) if name in ("0", "time(G)", "-time(a)")]]


def recorded(seed, episodes=3, steps=6, label=0):
    """A random walk in the world, with the best action for `time(G)` in half of all decisions."""
    world, rng = PLACE.world, np.random.default_rng(seed)
    policy = 0.5 * us.optimal_policy(world, us.Grammar(world).parse("time(G)")) + 0.125
    rows = []
    for episode in range(episodes):
        state = rng.choice(world.num_states, p=world.initial)
        for t in range(steps):
            action = rng.choice(4, p=policy[state])
            following = rng.choice(world.num_states, p=world.transition[state, action])
            rows.append((episode + label, t, state, action, following))
            state = following
    return us.read_behaviour(pd.DataFrame(rows, columns=["episode", "t", "state", "action", "next_state"]), world)


BEHAVIOURS = [recorded(1), recorded(2, episodes=1), recorded(3, label=7)]
GRID = LawGrid(betas=(0.0, 0.8), means=(20.0,), shapes=(2.0, 4.0))
FAST = dict(METHODS) | {
    "intelligence": Intelligence(grid=GRID, concentrations=(1.0, 0.5), num_particles=32, tail_particles=32)
}


@pytest.mark.parametrize("name", METHODS)
def test_claims_are_posteriors_of_each_recording_by_itself(name):
    if why_skipped(name):
        with pytest.raises(us.InputError, match="not installed"):
            METHODS[name](KEY, PLACE, CANDIDATES, BEHAVIOURS)
        pytest.skip(why_skipped(name))
    found = reading(name, FAST[name](KEY, PLACE, CANDIDATES, BEHAVIOURS))
    alone = reading(name, FAST[name](KEY, PLACE, CANDIDATES, BEHAVIOURS[2:]))
    for law, claims in found.claims.items():
        if name == "imitation":
            assert claims.log_prob is None and claims.reward.shape == (3, PLACE.world.num_states)
            np.testing.assert_array_equal(alone.claims[law].reward[0], claims.reward[2])
            continue
        assert claims.log_prob.shape == (3, len(CANDIDATES))
        np.testing.assert_allclose(logsumexp(claims.log_prob, axis=1), 0.0, atol=1e-12)
        for extra in claims.extra.values():
            assert extra.shape == (3,) and np.isfinite(extra).all()
        if isinstance(METHODS[name], Intelligence):
            assert claims.bits.shape == claims.log_prob.shape and (claims.bits >= 0).all()
            assert (claims.bits[:, CANDIDATES.index("0")] == 0).all()
            np.testing.assert_array_equal(alone.claims[law].bits[0], claims.bits[2])
            np.testing.assert_array_equal(alone.claims[law].log_prob[0], claims.log_prob[2])
        else:
            assert claims.bits is None
        np.testing.assert_allclose(alone.claims[law].log_prob[0], claims.log_prob[2], rtol=1e-10, atol=1e-10)
    assert {entry: kept[0] for entry, kept in alone.kept.items()} == {
        entry: kept[2] for entry, kept in found.kept.items()
    }


@pytest.mark.slow
def test_intelligence_under_vmap():
    """What accelerators do: the same within errors, and a recording's numbers whatever it comes with."""
    settings = dict(grid=GRID, concentrations=(1.0, 0.5), num_particles=64, tail_particles=64)
    one_by_one, together = Intelligence(**settings), Intelligence(**settings, under_vmap=True)
    assert together.together and not one_by_one.together
    found, other = (method(KEY, PLACE, CANDIDATES, BEHAVIOURS) for method in (together, one_by_one))
    alone = together(KEY, PLACE, CANDIDATES, BEHAVIOURS[2:])
    for law, claims in found.claims.items():
        np.testing.assert_array_equal(alone.claims[law].log_prob[0], claims.log_prob[2])
    grids, errors = ([np.array(one.kept[entry]) for one in (found, other)] for entry in ("grid_evidence", "grid_error"))
    assert grids[0].shape == (3, 2, 4, len(CANDIDATES))
    # Each error is a mean over candidates.
    apart = np.sqrt(np.mean(np.subtract(*grids) ** 2, axis=-1))
    assert (apart[..., 1:] <= 5 * np.hypot(*errors)[..., 1:]).all() and (apart[..., 0] == 0).all()


@pytest.mark.parametrize("name", ["boltzmann", "maxent"])
def test_plans_say_the_same_of_a_recording_whatever_it_comes_with(name):
    """To the last digit: rows of a resumed suite are those of an unbroken one."""
    many = [recorded(seed, episodes=1 + seed % 4) for seed in range(9)]
    together = METHODS[name](KEY, PLACE, CANDIDATES, many)
    for size in (1, 2, 5):
        some = METHODS[name](KEY, PLACE, CANDIDATES, many[3 : 3 + size])
        np.testing.assert_array_equal(some.log_prob, together.log_prob[3 : 3 + size])
        np.testing.assert_array_equal(some.extra["log_temperature"], together.extra["log_temperature"][3 : 3 + size])


def test_each_concentration_claims_what_it_claims_alone():
    found, alone = (
        Intelligence(grid=GRID, concentrations=each, num_particles=16, tail_particles=32)(
            KEY, PLACE, CANDIDATES, BEHAVIOURS[:2]
        )
        for each in ((1.0, 0.5), (0.5,))
    )
    assert list(alone.claims) == list(LAWS)
    assert list(found.claims) == [*LAWS, *(f"{law} (dirichlet:0.5)" for law in LAWS)]
    for law in LAWS:
        claims, own = found.claims[claim_name(law, 0.5)], alone.claims[law]
        np.testing.assert_array_equal(claims.log_prob, own.log_prob)
        np.testing.assert_array_equal(claims.bits, own.bits)
        assert {name: list(one) for name, one in claims.extra.items()} == {k: list(v) for k, v in own.extra.items()}
        assert (claims.log_prob != found.claims[law].log_prob).any()
    assert [found.kept["grid_evidence"][j][1:] for j in range(2)] == alone.kept["grid_evidence"]


def test_names_of_claims_are_told_apart():
    tiny = 0.1 + 2**-50
    assert claim_name("bump", 0.1) == "bump (dirichlet:0.1)" and claim_name("bump", 3) == "bump (dirichlet:3)"
    assert claim_name("bump") == "bump" and float(claim_name("bump", tiny)[:-1].partition(":")[2]) == tiny
    others = ["boltzmann", "prior", "imitation", "intelligence-0.7 (dirichlet:1)"]
    assert of_intelligence([claim_name("mixture", tiny), *LAWS, *others]) == [claim_name("mixture", tiny), *LAWS]


def test_the_prior_alone():
    claims = METHODS["prior"](KEY, PLACE, CANDIDATES, BEHAVIOURS)
    expected = log_softmax(-LN2 * CANDIDATES.code_length)
    np.testing.assert_allclose(claims.log_prob, np.broadcast_to(expected, (3, len(expected))))


def test_boltzmann_likelihoods_are_sums_over_decisions():
    found = planned_likelihoods(PLACE.world, CANDIDATES.payoffs, BEHAVIOURS, soft=False)
    for j, behaviour in enumerate(BEHAVIOURS):
        q = decision_values(behaviour, PLACE.world, CANDIDATES.payoffs)
        actions = behaviour.table["action"].to_numpy()
        for place in (0, 450, 600, 777, 1200):
            log_policy = np.asarray(log_boltzmann(q, np.exp(planners._FINE[place])))
            expected = np.take_along_axis(log_policy, actions[None, :, None], -1).sum((1, 2))
            np.testing.assert_allclose(found[j, :, place], expected, rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["boltzmann", "maxent"])
def test_posteriors_by_nuts(name):
    """The programs of `fit`, over the same prior of temperatures."""
    candidates = CANDIDATES if name == "boltzmann" else PLAIN
    claims = METHODS[name](KEY, PLACE, candidates, BEHAVIOURS[:1])
    settings = dict(program=name, candidates=candidates, num_chains=4, num_samples=3000, prior_predictive=False)
    posterior = us.fit(BEHAVIOURS[0], PLACE.world, temperature=dist.LogNormal(0.0, 3.0), **settings)["posterior"]
    by_nuts = np.exp(np.asarray(posterior["utility_log_prob"]))
    # Four chains of ten batches: four means alone tell their own error badly.
    batches = by_nuts.reshape(40, 300, -1).mean(1)
    error = batches.std(0, ddof=1) / np.sqrt(40)
    assert (np.abs(by_nuts.mean((0, 1)) - np.exp(claims.log_prob[0])) <= 5 * error + 1e-3).all()


def test_soft_plans_without_memory_are_those_of_the_world():
    payoff, terminal = plain_payoffs(PLACE.world, PLAIN)
    found = planned_likelihoods(PLACE.world, PLAIN.payoffs, BEHAVIOURS, soft=True)
    for place in (300, 611, 800):
        temperature = np.exp(planners._FINE[place])
        for u in range(len(PLAIN)):
            q = soft_action_values(PLACE.world, payoff[u], temperature, terminal=terminal[u])
            log_policy = np.asarray(log_boltzmann(q, temperature))
            for j, behaviour in enumerate(BEHAVIOURS):
                # Between two temperatures of the plans log policies are splines.
                expected = (behaviour.counts() * log_policy).sum()
                assert found[j, u, place] == pytest.approx(expected, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("name", ["reach(G)", "sequence(a, G)", "time(a) + 2*reach(G)"])
def test_soft_plans_with_memory_by_value_iteration(name):
    """V(node) by repeated backups, 0 where the episode is over; then read along the recording, step by step."""
    world, payoffs = PLACE.world, CANDIDATES.payoffs[CANDIDATES.index(name)]
    nodes = joint_chain(world, payoffs)
    successors, chance = links(world.transition)
    place = 600 - 25  # T = exp(-0.5), one of those of the plans
    temperature, value = np.exp(planners._FINE[place]), np.zeros(len(nodes.state))
    onward = np.where(nodes.onward >= 0, nodes.onward, 0)
    finished = ~np.any(payoffs.state) & (nodes.over | (nodes.over[onward] | (nodes.onward < 0)).all(1))
    for _ in range(400):
        ahead = (chance[nodes.state] * value[onward][:, None]).sum(-1)
        q = nodes.paid + np.where(finished[:, None], 0.0, 0.8 * ahead)
        value = np.where(finished, q.max(-1), temperature * logsumexp(q / temperature, axis=-1))
    log_policy, expected = log_softmax(q / temperature, axis=-1), 0.0
    behaviour = BEHAVIOURS[0]
    for _, states, actions in behaviour.episodes():
        node = states[0]
        for t, action in enumerate(actions):
            expected += log_policy[node, action]
            node = nodes.onward[node, np.argmax(successors[states[t]] == states[t + 1])]
    stack = CANDIDATES[[CANDIDATES.index(name)]].payoffs
    found = planned_likelihoods(world, stack, [behaviour], soft=True)[0, 0, place]
    assert found == pytest.approx(expected, rel=1e-8)


@pytest.mark.slow
def test_the_evidence_that_is_kept_is_what_claims_are_made_of():
    claims, kept = FAST["intelligence"](KEY, PLACE, CANDIDATES, BEHAVIOURS[:2])
    for j in range(2):
        assert kept["grid_laws"][j] == ["exponential:0", "exponential:0.8", "bump:20:2", "bump:20:4"]
        assert kept["grid_concentrations"][j] == [1.0, 0.5] and np.shape(kept["grid_error"][j]) == (2, 4)
        found = np.array(kept["grid_evidence"][j])
        assert found.shape == (2, 4, len(CANDIDATES))
        assert (found[:, 0] == 0).all() and (found[:, :, CANDIDATES.index("0")] == 0).all()
        # The logarithm of a mixture has a bias of its own, and its correction.
        mixture = np.logaddexp(np.log(0.1), np.log(0.9) + found[0, 1])
        for name, log_evidence, error in (
            ("intelligence", found[0, 1], 0.0),
            ("bump", found[0, 2], 0.0),
            ("mixture", mixture, kept["grid_error"][j][0][1]),
        ):
            expected = log_softmax(log_evidence - LN2 * CANDIDATES.code_length)
            assert (np.abs(claims[name].log_prob[j] - expected) <= error + 2e-4).all(), name


@pytest.mark.parametrize("discount", [0.0, 0.8, 0.97])
def test_memo_plans_as_boltzmann(discount):
    """At 0.97 it looks 378 steps ahead: by recursion Python would end before."""
    pytest.importorskip("memo", reason=why_skipped("memo"))
    world = us.world_model(PLACE.world.transition, PLACE.world.initial, discount, features=PLACE.world.features)
    claims = METHODS["memo"](KEY, Place(world), CANDIDATES, BEHAVIOURS)
    assert (claims.extra["left_out"] == 2).all()
    plain = [name not in ("sequence(a, G)", "time(a) + 2*reach(G)") for name in CANDIDATES.names]
    assert (claims.log_prob[:, ~np.array(plain)] == -np.inf).all()
    # One that is after a set of states is read alike only up to its arrival.
    steps = [CANDIDATES.index(name) for name in PLAIN.names]
    found = log_softmax(claims.log_prob[:, steps], axis=1)
    expected = METHODS["boltzmann"](KEY, Place(world), PLAIN, BEHAVIOURS)
    # Coarser temperatures, and values of so many steps.
    np.testing.assert_allclose(found, expected.log_prob, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", WORLDS)
def test_memo_plans_as_boltzmann_in_the_suite(name):
    pytest.importorskip("memo", reason=why_skipped("memo"))
    task, agent = WORLDS[name](), ROSTER["boltzmann-0.3"]
    behaviour = recording(Job(name, "boltzmann-0.3", task.utilities[1], 10, 0, "memo"), task, agent)
    some = [
        u
        for u in range(len(task.candidates))
        if is_plain(one := task.candidates.payoffs[u])
        and not np.any(one.reach)
        and (one.weight is None or not np.any(one.weight))
    ]
    found, expected = (METHODS[one](KEY, task, task.candidates[some], [behaviour]) for one in ("memo", "boltzmann"))
    # Unlikely ones are at temperatures where values of so many steps are too few.
    np.testing.assert_allclose(np.exp(found.log_prob), np.exp(expected.log_prob), atol=1e-5)


def test_worlds_with_a_horizon_are_refused():
    world = us.world_model(PLACE.world.transition, PLACE.world.initial, 0.8, horizon=5)
    for name in ("boltzmann", "intelligence", "imitation", "memo"):
        if why_skipped(name):
            continue
        with pytest.raises(us.InputError, match="horizon"):
            METHODS[name](KEY, Place(world), CANDIDATES, BEHAVIOURS)
    assert Planner(soft=True) == METHODS["maxent"]

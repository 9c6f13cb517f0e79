"""imitation as a method of the suite: recordings as it takes them, and what it makes of known soft policies."""

from typing import NamedTuple

import jax
import numpy as np
import pandas as pd
import pytest
from scipy.special import logsumexp

import utiliscope as us
from utiliscope.suite.imitation_peer import Imitation, demonstrated
from utiliscope.suite.methods import METHODS, why_skipped
from utiliscope.suite.run import method
from utiliscope.suite.scores import score_reward
from utiliscope.suite.worlds import SUMS, SuiteWorld, grid
from utiliscope.suite.yardsticks import yardsticks

TASK = SuiteWorld(
    world=grid("a.b ..G", slip=0.1),
    changed=grid("a.b ..G", slip=0.1, walls=[("0,1", "0,2")]),
    utilities=("reach(G)", "-time(b)"),
    grammar_bits=8,
    grammar_weights=SUMS,
    grammar_horizon=4,
    num_steps=10,
)
installed = pytest.mark.skipif(why_skipped("imitation") is not None, reason=str(why_skipped("imitation")))


class Place(NamedTuple):
    world: us.WorldModel


def read(world, rows):
    return us.read_behaviour(pd.DataFrame(rows, columns=["episode", "t", "state", "action", "next_state"]), world)


def soft_visits(shown, reward):
    """`[S + 2]` visits of the soft policy of a finite horizon, by its definition."""
    value = [reward + np.log(shown.moves.shape[1])]
    policies = [np.full(shown.moves.shape[:2], 1 / shown.moves.shape[1])]
    for _ in range(shown.horizon - 1):
        q = reward[:, None] + shown.moves @ value[-1]
        value.append(logsumexp(q, axis=1))
        policies.append(np.exp(q - value[-1][:, None]))
    here, visits = shown.start, shown.start.copy()
    for policy in reversed(policies):
        here = np.einsum("s,sa,sat->t", here, policy, shown.moves)
        visits = visits + here
    return visits


def test_a_recording_as_imitation_takes_it():
    """Three states in a row, the last of which ends one of two recorded episodes; from the first only one way leads."""
    moves = np.zeros((3, 2, 3))
    moves[0, :, 1] = moves[1, 0, 0] = moves[1, 1, 2] = moves[2, :, 2] = 1.0
    world = us.world_model(moves, [1.0, 0, 0], 0.9, available=[[True, False], [True, True], [True, True]])
    short, long = [(0, 0, 0, 0, 1), (0, 1, 1, 1, 2)], [(1, 0, 0, 0, 1), (1, 1, 1, 0, 0), (1, 2, 0, 0, 1)]
    shown = demonstrated(world, read(world, short + long))
    np.testing.assert_allclose(shown.moves.sum(-1), 1.0)
    assert shown.horizon == 4 and shown.start.tolist() == [1, 0, 0, 0, 0]
    # State 2 was come to once, and ended there; what is not available goes to the last state.
    assert (shown.moves[2] == [0, 0, 0, 1, 0]).all() and (shown.moves[3] == [0, 0, 0, 1, 0]).all()
    assert shown.moves[0].tolist() == [[0, 1, 0, 0, 0], [0, 0, 0, 0, 1]]
    # Of five states each: 0 1 2 over over, and 0 1 0 1 with a step at random, to 0 or 2.
    np.testing.assert_allclose(shown.visits, np.array([3.5, 3.0, 1.5, 2.0, 0.0]) / 2)
    unknown = read(TASK.world, [(0, 0, 0, 0, 1), (0, 1, 1, 0, -1)])
    with pytest.raises(us.InputError, match="next_state is unknown"):
        demonstrated(TASK.world, unknown)


@installed
def test_visits_of_a_soft_policy_are_come_to():
    """Visits of a known soft policy: the reward that is learned has them, too, and is as good as the true one."""
    true = TASK.world.features["G"] - 1.0 * TASK.world.features["b"]
    start = [(e, 0, e, 0, e) for e in (0, 1, 3, 4)]
    shown = demonstrated(TASK.world, read(TASK.world, start))._replace(horizon=12)
    shown = shown._replace(visits=soft_visits(shown, np.append(true, [0.0, -1e6])))
    reward, gap = Imitation(iterations=400, tolerance=5e-3).learned(shown)
    assert gap <= 5e-3
    found = soft_visits(shown, np.append(reward, [0.0, -1e6]))
    assert np.abs(found - shown.visits).max() == pytest.approx(gap, abs=1e-9)
    assert reward.max() - reward.min() == pytest.approx(2.0, abs=0.1)
    measures, truth = yardsticks(TASK, TASK.candidates), TASK.candidates.index("-time(b)")
    row = score_reward(reward, truth, measures)
    assert row["regret"] < 0.05 < row["random_regret"]
    assert us.starc_distance(TASK.world, true, reward) < 0.05


@installed
def test_claims_say_whether_they_are_what_was_recorded(key):
    """A walk at random has a constant reward; one that ends at its goal holds the goal high."""
    world, rng = TASK.world, np.random.default_rng(0)
    walk, goal, state = [], [], 0
    for t in range(40):
        action = rng.choice(4)
        following = rng.choice(6, p=world.transition[state, action])
        walk.append((0, t, state, action, following))
        state = following
    policy = us.optimal_policy(world, TASK.grammar.parse("reach(G)"))
    for episode in range(8):
        state, t = 0, 0
        while state != 5 and t < 10:
            action = rng.choice(4, p=policy[state])
            following = rng.choice(6, p=world.transition[state, action])
            goal.append((episode, t, state, action, following))
            state, t = following, t + 1
    claims = METHODS["imitation"](key, Place(world), None, [read(world, walk), read(world, goal)])
    assert claims.log_prob is None and claims.bits is None and claims.reward.shape == (2, 6)
    assert set(claims.extra["converged"]) <= {0.0, 1.0} and (claims.extra["visits_gap"] >= 0).all()
    assert (claims.extra["converged"] == (claims.extra["visits_gap"] <= 0.01)).all()
    assert claims.reward[1].argmax() == 5
    measures = yardsticks(TASK, TASK.candidates)
    row = score_reward(claims.reward[1], TASK.candidates.index("reach(G)"), measures)
    assert row["regret"] < 0.1 and row["regret_changed"] < 0.1 and row["starc_mean"] < 0.5
    many = method("imitation", {"iterations": 3})
    assert many.iterations == 3 and many(key, Place(world), None, [read(world, walk)]).reward.shape == (1, 6)


def test_claims_are_those_of_each_recording_joined(key, monkeypatch):
    """What is learned is replaced by what was shown, so that imitation need not be here."""
    monkeypatch.setattr("utiliscope.suite.imitation_peer.why_not", lambda: None)
    monkeypatch.setattr(Imitation, "learned", lambda self, shown: (shown.visits[:6], float(shown.horizon) / 1000))
    behaviours = [read(TASK.world, [(0, t, 0, 0, 0) for t in range(length)]) for length in (3, 12)]
    claims = Imitation()(key, Place(TASK.world), None, behaviours)
    each = [demonstrated(TASK.world, behaviour).visits[:6] for behaviour in behaviours]
    np.testing.assert_array_equal(claims.reward, each)
    assert claims.log_prob is None and claims.bits is None
    assert claims.extra["visits_gap"].tolist() == [0.004, 0.013] and claims.extra["converged"].tolist() == [1.0, 0.0]
    one_by_one = Imitation().reader(key, Place(TASK.world), None)
    np.testing.assert_array_equal(one_by_one(behaviours[1]).reward, each[1:])


def test_without_imitation(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert why_skipped("imitation").startswith("imitation is not installed; run: pip install imitation")
    with pytest.raises(us.InputError, match="pip install imitation"):
        METHODS["imitation"](jax.random.key(0), TASK, TASK.candidates, [])

"""Scores of posteriors that are known, and their means, errors and rates by hand."""

import numpy as np
import pandas as pd
import pytest

import utiliscope as us
from utiliscope.suite.scores import LOG_FLOOR, score, score_reward
from utiliscope.suite.summaries import calibration_table, interval, summary
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


@pytest.fixture(scope="module")
def measures():
    return yardsticks(TASK, TASK.candidates)


def place(name):
    return TASK.candidates.index(name)


def log_of(masses):
    """`[U]` nats, from mass by name."""
    probability = np.zeros(len(TASK.candidates))
    for name, mass in masses.items():
        probability[place(name)] = mass
    with np.errstate(divide="ignore"):
        return np.log(probability)


def test_a_right_claim(measures):
    row = score(log_of({"reach(G)": 1.0}), place("reach(G)"), measures)
    expected = dict(true_mass=1, true_rank=1, log_score=0, brier=0, best_true=1, claimed_95=1, claimed_true=1)
    expected |= dict(claimed_false=0, none_claimed=0, entropy_bits=0, regret=0, regret_changed=0, floored=0)
    expected |= dict(epic_expected=0, epic_mean=0, starc_expected=0, starc_mean=0)
    for name, value in expected.items():
        assert row[name] == pytest.approx(value, abs=1e-6), name
    assert 0 < row["random_regret"] < 1 and 0 < row["random_regret_changed"] < 1


def test_a_wrong_claim(measures):
    row = score(log_of({"-time(b)": 1.0}), place("time(b)"), measures)
    expected = dict(true_mass=0, log_score=LOG_FLOOR, floored=1, brier=2, best_true=0, claimed_true=0, claimed_false=1)
    expected |= dict(regret=1, regret_changed=1, epic_expected=1, epic_mean=1, starc_expected=1, starc_mean=1)
    for name, value in expected.items():
        assert row[name] == pytest.approx(value, abs=1e-6), name
    # All others tie at 0, from the second rank to the last.
    assert row["true_rank"] == (2 + len(TASK.candidates)) / 2


def test_doubt(measures):
    masses = {"reach(G)": 0.5, "-time(b)": 0.3, "0": 0.2}
    row = score(log_of(masses), place("-time(b)"), measures)
    assert row["true_mass"] == pytest.approx(0.3) and row["true_rank"] == 2
    assert row["log_score"] == pytest.approx(np.log(0.3)) and row["brier"] == pytest.approx(0.25 + 0.49 + 0.04)
    assert row["entropy_bits"] == pytest.approx(-sum(p * np.log2(p) for p in masses.values()))
    assert row["best_mass"] == pytest.approx(0.5) and row["none_claimed"] == 1
    grammar = TASK.grammar
    truth, other = grammar.parse("-time(b)"), grammar.parse("reach(G)")
    for name, distance in (("epic", us.epic_distance), ("starc", us.starc_distance)):
        # The nothing that "0" prefers is at one half.
        expected = 0.5 * distance(TASK.world, truth, other) + 0.2 * 0.5
        assert row[f"{name}_expected"] == pytest.approx(expected, abs=1e-6)


def test_the_mean_of_opposite_beliefs_is_no_reward(measures):
    row = score(log_of({"time(a)": 0.5, "-time(a)": 0.5}), place("time(b)"), measures)
    assert row["epic_mean"] == row["starc_mean"] == 0.5
    assert row["regret"] == pytest.approx(row["random_regret"], abs=1e-9)
    assert score(log_of({"time(a)": 0.5, "-time(a)": 0.5}), place("time(a)"), measures)["best_true"] == 0.5


def test_the_prior_alone(measures):
    """A utility and its opposite cost the same here, so that the prior acts at random."""
    row = score(np.log(measures.prior), place("time(a)"), measures)
    assert row["none_claimed"] == 1 and row["epic_mean"] == row["starc_mean"] == 0.5
    for suffix in ("", "_changed"):
        assert row[f"regret{suffix}"] == row[f"prior_regret{suffix}"] == row[f"random_regret{suffix}"]


def test_nulls(measures):
    claimed = score(log_of({"time(a)": 0.96, "0": 0.04}), None, measures)
    assert claimed["claimed_95"] == claimed["claimed_false"] == 1
    nothing = score(log_of({"time(a)": 0.04, "0": 0.96}), None, measures)
    assert nothing["claimed_95"] == 0 and nothing["none_claimed"] == 1
    assert np.isnan(claimed["regret"]) and np.isnan(claimed["log_score"]) and np.isnan(claimed["best_true"])
    assert claimed.keys() == score(np.log(measures.prior), 0, measures).keys()


@pytest.mark.parametrize(("scale", "shift", "distance"), [(1.0, 0.0, 0.0), (7.0, -3.0, 0.0), (-1.0, 2.0, 1.0)])
def test_one_reward(measures, scale, shift, distance):
    """The true one, up to a positive affine map, is as good as can be, and its opposite as bad."""
    reward = scale * -TASK.world.features["b"].astype(float) + shift
    row = score_reward(reward, place("-time(b)"), measures)
    for name in ("regret", "regret_changed", "epic_expected", "epic_mean", "starc_expected", "starc_mean"):
        assert row[name] == pytest.approx(distance, abs=1e-6), name
    assert all(np.isnan(row[name]) for name in ("log_score", "true_rank", "best_true", "claimed_95", "best_mass"))
    likely = score(log_of({"-time(b)": 1.0}), place("-time(b)"), measures)
    assert row.keys() == likely.keys() and row["random_regret_changed"] == likely["random_regret_changed"]


def test_rewards_that_are_wrong(measures):
    """Where the goal pays every step the best policy stays: it reaches it as soon, but is another reward."""
    row = score_reward(TASK.world.features["G"].astype(float), place("reach(G)"), measures)
    assert row["regret"] == pytest.approx(0, abs=1e-6) and row["regret_changed"] == pytest.approx(0, abs=1e-6)
    assert 0.05 < row["starc_mean"] < 0.5 and 0.05 < row["epic_mean"] < 0.7
    other = TASK.world.features["a"].astype(float)
    row = score_reward(other, place("-time(b)"), measures)
    for name, distance in (("epic", us.epic_distance), ("starc", us.starc_distance)):
        expected = distance(TASK.world, TASK.grammar.parse("-time(b)"), other)
        assert row[f"{name}_mean"] == pytest.approx(expected, abs=1e-6)
    nothing = score_reward(np.full(6, 0.3), place("-time(b)"), measures)
    assert nothing["regret"] == nothing["random_regret"] and nothing["epic_mean"] == nothing["starc_mean"] == 0.5
    null = score_reward(other, None, measures)
    assert null.keys() == nothing.keys() and all(np.isnan(value) for value in null.values())
    for wrong in (np.ones(5), np.array([1.0, 0, 0, 0, 0, np.nan])):
        with pytest.raises(us.InputError, match="finite number for each of 6 states"):
            score_reward(wrong, place("-time(b)"), measures)


def test_scores_refuse_what_is_no_posterior(measures):
    with pytest.raises(us.InputError, match="sums to"):
        score(np.zeros(len(TASK.candidates)), 0, measures)
    with pytest.raises(us.InputError, match="shape"):
        score(np.zeros(2), 0, measures)


def jobs(values, methods=("one",), name="log_score", agents=("optimal",)):
    """A frame of jobs, with `values` `[agents, seeds, methods]`."""
    values = np.asarray(values, float).reshape(len(agents), -1, len(methods))
    return pd.DataFrame(
        [
            dict(world="w", agent=agent, utility=None, num_episodes=3, seed=seed, method=method) | {name: x}
            for agent, rows in zip(agents, values, strict=True)
            for seed, row in enumerate(rows)
            for method, x in zip(methods, row, strict=True)
        ]
    )


def test_errors_of_one_cell_are_those_of_a_mean():
    values = [1.0, 4.0, 2.0, 7.0]
    row = summary(jobs(values), "method").iloc[0]
    assert row["log_score"] == 3.5 and row["jobs"] == row["recordings"] == 4
    assert row["log_score_error"] == pytest.approx(np.std(values, ddof=1) / 2)


def test_errors_are_over_seeds_not_over_agents():
    row = summary(jobs([[1, 2], [101, 102]], agents=("a", "b")), ["world"]).iloc[0]
    assert row["log_score_error"] == pytest.approx(np.sqrt(2 * 0.25) / 2)
    assert np.isnan(summary(jobs([[1], [5]], agents=("a", "b")), ["world"]).iloc[0]["log_score_error"])


def test_methods_on_one_recording_are_no_more_evidence():
    one = summary(jobs([1.0, 4.0, 2.0]), "world").iloc[0]
    twice = summary(jobs([[1, 1], [4, 4], [2, 2]], methods=("a", "b")), "world").iloc[0]
    assert twice["log_score_error"] == pytest.approx(one["log_score_error"])
    assert (twice["jobs"], twice["recordings"]) == (6, 3)


def test_the_error_is_the_spread_over_repetitions():
    """Cells of different means and sizes; five standard errors of a standard deviation of so many repetitions."""
    rng = np.random.default_rng(0)
    means, errors = [], []
    for _ in range(60):
        frame = jobs(rng.normal([[0], [5], [9]], 1.0, (3, 4)), agents=("a", "b", "c")).drop(index=[1, 2])
        row = summary(frame, "world").iloc[0]
        # The mean of a design with gaps moves with the design alone, not between repetitions.
        means.append(row["log_score"])
        errors.append(row["log_score_error"])
    spread = np.std(means, ddof=1)
    assert abs(np.sqrt(np.mean(np.square(errors))) - spread) < 5 * spread / np.sqrt(2 * 59)


def test_scores_that_do_not_apply_do_not_count():
    row = summary(jobs([1.0, np.nan, 3.0]), "method").iloc[0]
    assert row["log_score"] == 2 and row["recordings"] == 3
    assert np.isnan(summary(jobs([np.nan, np.nan]), "method").iloc[0]["log_score"])


def test_rates_have_intervals():
    row = summary(jobs([0, 0, 0, 1, 0, 0, 0, 0, 0, 0], name="claimed_95"), "method").iloc[0]
    assert row["claimed_95"] == 0.1
    # Table values of Clopper and Pearson for 1 of 10.
    assert (row["claimed_95_low"], row["claimed_95_high"]) == pytest.approx((0.0025, 0.4450), abs=5e-5)
    assert interval(0.0, 10) == pytest.approx((0, 1 - 0.025**0.1))
    assert interval(1.0, 10) == pytest.approx((0.025**0.1, 1))


def test_calibration():
    frame = jobs([0.3, 0.4, 0.4, 0.97, 1.0, 0.95, 0.5], name="best_mass")
    frame["best_true"] = [1.0, 0.0, 0.0, 1.0, 1.0, 0.0, np.nan]
    table = calibration_table(frame, edges=[0, 0.5, 0.95, 1])
    assert table[["low", "high", "jobs"]].to_numpy().tolist() == [[0, 0.5, 3], [0.95, 1, 3]]
    assert table.stated.to_numpy() == pytest.approx([1.1 / 3, 2.92 / 3])
    assert table.frequency.to_numpy() == pytest.approx([1 / 3, 2 / 3])
    assert table.frequency_error.to_numpy() == pytest.approx([np.sqrt(2 / 27)] * 2)
    assert (table.frequency_low < table.frequency).all() and (table.frequency < table.frequency_high).all()
    with pytest.raises(us.InputError, match="widen"):
        calibration_table(frame, edges=[0.5, 1])
    with pytest.raises(us.InputError, match="rising"):
        calibration_table(frame, edges=[1, 0])


def test_summary_refuses_columns_that_are_not_there():
    with pytest.raises(us.InputError, match="no column law"):
        summary(jobs([1.0]), "law")


def test_errors_over_goals():
    """Those of the means of goals, where each counts alike; of one goal alone those of its recordings."""
    random = np.random.default_rng(5)
    rows = [
        dict(world=f"w{r}", agent="a", utility="u", num_episodes=1, seed=seed, method=m, log_score=random.normal())
        for r in range(6)
        for seed in range(3)
        for m in ("one", "two")
    ]
    frame = pd.DataFrame(rows)
    found = summary(frame, "agent", scores=["log_score"], over="goals").iloc[0]
    means = frame.groupby("world").log_score.mean()
    assert found.log_score == pytest.approx(means.mean())
    assert found.log_score_error == pytest.approx(means.std(ddof=1) / 6**0.5)
    one = frame[frame.world == "w0"]
    means = one.groupby("seed").log_score.mean()
    found = summary(one, "agent", scores=["log_score"], over="goals").iloc[0]
    assert found.log_score_error == pytest.approx(means.std(ddof=1) / 3**0.5)
    with pytest.raises(us.InputError, match="over 'worlds'"):
        summary(frame, "agent", over="worlds")

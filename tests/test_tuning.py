"""Tuning against exhaustive sums in small cases, and recovery of weights that made the data."""

import numpy as np
import pytest
from scipy.special import log_softmax

from utiliscope.errors import InputError
from utiliscope.laws import LN2
from utiliscope.suite.jobs import Job
from utiliscope.tuning.evidence import Evidence, Laws
from utiliscope.tuning.families import Families
from utiliscope.tuning.outcome import Outcome
from utiliscope.tuning.search import (
    Setting,
    best_setting,
    left_out,
    monte_carlo_error,
    score_settings,
    standing,
)
from utiliscope.tuning.surface import plot_surface, surface_of
from utiliscope.tuning.tables import ALL, family_table, weights_of
from utiliscope.tuning.weights_file import Weights

BETAS = (0.0, 0.3, 0.6, 0.9)
FEW = dict(simplicities=(0.5, 0.8, 1.0, 1.2, 1.5), shares=(0.0, 0.1))
LAWS = Laws((1.0, 0.5), (*(f"exponential:{beta:g}" for beta in BETAS), "bump:10:2"))


def made_up(seed, number=60, families=("one", "two", "three"), beta=0.6, alpha=1.0):
    """Recordings whose truth is drawn from the posterior under beta and alpha: those settings score best."""
    random, found = np.random.default_rng(seed), []
    for r in range(number):
        bits = random.exponential(12.0, 8) * (np.arange(8) > 0)
        code_length = random.uniform(1.0, 10.0, 8)
        log_evidence = np.stack([LN2 * one * bits for one in (*BETAS, 0.5)])
        chance = np.exp(log_softmax(beta * LN2 * bits - alpha * LN2 * code_length))
        family = families[r % len(families)]
        job = Job("w", f"{family}-{r % 2}", "u", 3, r, "intelligence")
        both = np.stack([log_evidence, 0.5 * log_evidence])
        truth = int(random.choice(8, p=chance))
        found.append(Evidence(job, family, "agent", both, np.zeros(both.shape[:2]), code_length, truth))
    return found


def test_scores_are_log_posteriors_of_the_truth():
    evidence = made_up(0, number=6)
    scores = score_settings(evidence, LAWS, simplicities=(0.5, 1.0), shares=(0.0, 0.2))
    assert scores.by_recording.shape == (6, 2, 2, 2, 5) and scores.by_family.shape == (3, 2, 2, 2, 5)
    for r, one in enumerate(evidence):
        mixed = np.log(0.2 + 0.8 * np.exp(one.log_evidence[1, 2]))
        expected = log_softmax(mixed - 0.5 * LN2 * one.code_length)[one.truth]
        assert scores.by_recording[r, 0, 1, 1, 2] == pytest.approx(expected)
        plain = log_softmax(one.log_evidence[0, 3] - LN2 * one.code_length)[one.truth]
        assert scores.by_recording[r, 1, 0, 0, 3] == pytest.approx(plain)
        assert scores.prior[r] == pytest.approx(log_softmax(-LN2 * one.code_length)[one.truth])
        # Without a weight on intelligence the evidence says nothing.
        assert scores.by_recording[r, 1, 0, 0, 0] == pytest.approx(scores.prior[r])


def test_monte_carlo_errors_are_those_of_noisy_evidence():
    (one,) = made_up(4, number=1)
    one = one._replace(std_error=np.full_like(one.std_error, 0.05))
    setting, random = Setting(1, 1, 0, 2), np.random.default_rng(0)
    settings = dict(simplicities=(0.5, 1.0), shares=(0.0, 0.2))

    def scores_of(evidence):
        twins = [*evidence, evidence[0]._replace(family="other")]
        return score_settings(twins, LAWS, **settings)

    noisy = [
        one._replace(log_evidence=one.log_evidence + 0.05 * random.standard_normal((2, 5, 8))) for _ in range(1000)
    ]
    spread = scores_of(noisy).by_recording[(slice(0, 1000), *setting)].std(ddof=1)
    found = monte_carlo_error(one, scores_of([one]), setting)
    # The standard error of a standard deviation of n draws is 1 / sqrt(2 n) of it; noise bends scores by less.
    assert found == pytest.approx(spread, rel=5 / np.sqrt(2000))


def test_families_agents_and_recordings_count_alike_in_turn():
    evidence = made_up(1, number=9, families=("one", "two"))
    evidence = [one for one in evidence if one.job.agent != "one-1"][:7]
    scores = score_settings(evidence, LAWS, simplicities=(1.0, 2.0), shares=(0.0,))
    by_agent = {}
    for one, found in zip(evidence, scores.by_recording):
        by_agent.setdefault((one.family, one.job.agent), []).append(found)
    for f, family in enumerate(scores.families):
        agents = [np.mean(found, axis=0) for (name, _), found in by_agent.items() if name == family]
        np.testing.assert_allclose(scores.by_family[f], np.mean(agents, axis=0))


@pytest.mark.slow
def test_weights_that_made_the_data_are_found():
    scores = score_settings(made_up(2, number=2000), LAWS, **FEW)
    best = best_setting(scores.by_family)
    assert scores.laws.laws[best.law] == "exponential:0.6" and best.concentration == 0
    assert scores.simplicities[best.simplicity] == 1.0 and scores.shares[best.share] == 0.0


def test_a_family_is_left_out_of_its_own_choice():
    evidence = made_up(3, number=90)
    # Family "two" is after what intelligence speaks against.
    evidence = [one._replace(log_evidence=-one.log_evidence) if one.family == "two" else one for one in evidence]
    scores = score_settings(evidence, LAWS, **FEW)
    chosen = left_out(scores)
    for place in range(3):
        rest = np.delete(scores.by_family, place, axis=0).mean(0)
        assert rest[chosen[place]] == rest.max()
    # Without it the others' weights are what they are.
    alone = score_settings([one for one in evidence if one.family != "two"], LAWS, **FEW)
    assert chosen[scores.families.index("two")] == best_setting(alone.by_family)


def test_one_to_one_is_the_greatest_proper_beta():
    scores = score_settings(made_up(4, number=12), LAWS, **FEW)
    assert standing(scores) == Setting(scores.simplicities.index(1.0), 0, 0, BETAS.index(0.9))


def test_distances_from_the_best_and_their_errors():
    scores = score_settings(made_up(5, number=30), LAWS, **FEW)
    found = surface_of(scores, Setting(0, 1, 1, 0))
    below, error = found.below()
    assert below[found.best] == 0 and error[found.best] == 0 and (below >= 0).all()
    a, b = found.best
    # The laws up to the fourth are exponential, with rising beta.
    gaps = scores.by_family[:, a, 1, 1, b] - scores.by_family[:, 3, 1, 1, 2]
    assert below[3, 2] == pytest.approx(gaps.mean()) and error[3, 2] == pytest.approx(gaps.std(ddof=1) / 3**0.5)


def test_the_table_of_families():
    evidence = made_up(6, number=60)
    scores = score_settings(evidence, LAWS, **FEW)
    table = family_table(evidence, scores).set_index("family")
    assert list(table.index) == ["one", "three", "two", ALL]
    families = table.drop(ALL)
    assert (families.oracle >= families.tuned - 1e-12).all() and (families.oracle >= families.one_to_one - 1e-12).all()
    np.testing.assert_allclose(families.gain, families.tuned - families.one_to_one)
    for name in ("tuned", "one_to_one", "oracle", "prior"):
        assert table.loc[ALL, name] == pytest.approx(families[name].mean())
        assert table.loc[ALL, f"{name}_error"] == pytest.approx(families[name].std(ddof=1) / 3**0.5)


def test_the_surface_is_drawn():
    figure = plot_surface(score_settings(made_up(7), LAWS))
    surface, profile, _ = figure.axes
    assert surface.get_xlabel().startswith("beta") and profile.lines
    few = Laws((1.0, 0.5), ("exponential:0.5", *LAWS.laws[1:]))
    with pytest.raises(ValueError, match="at least two"):
        plot_surface(score_settings(made_up(7), few._replace(laws=("bump:1:1",) * 5)))


def test_one_family_cannot_be_left_out():
    with pytest.raises(InputError, match="one family"):
        score_settings(made_up(8, families=("one",)), LAWS)
    with pytest.raises(InputError, match="no recording is left"):
        score_settings([], LAWS)


def test_errors_that_one_recording_cannot_tell_are_not_shown():
    evidence = made_up(6, number=3)
    scores = score_settings(evidence, LAWS, **FEW)
    table = family_table(evidence, scores)
    outcome = Outcome(scores, table, weights_of(scores, best_setting(scores.by_family)))
    text = outcome.text()
    assert np.isnan(table.tuned_error).sum() == 3 and "nan" not in text and text.count("±") == 5
    assert "left out" not in text
    names = tuple(f"agent-{number}" for number in range(7))
    assert all(name in outcome._replace(left_out=names).text() for name in names)


def test_the_printed_law_of_a_family_has_its_share_of_random_operators():
    evidence = made_up(6, number=6)
    scores = score_settings(evidence, LAWS, **(FEW | dict(shares=(0.1,))))
    table = family_table(evidence, scores)
    text = Outcome(scores, table, weights_of(scores, best_setting(scores.by_family))).text()
    for law, line in zip(table.law, text.splitlines()[1 : 1 + len(table)], strict=True):
        assert f" {law}+random:0.1 " in line
    none = score_settings(evidence, LAWS, **(FEW | dict(shares=(0.0,))))
    weights = weights_of(none, best_setting(none.by_family))
    assert "random:" not in Outcome(none, family_table(evidence, none), weights).text()


def test_monte_carlo_errors_of_means():
    """Over unlike numbers of recordings and of agents."""
    evidence = [one for one in made_up(9, number=9) if one.job.agent != "three-1"][:7]
    evidence = [one._replace(std_error=np.full((2, 5), 0.02 * (1 + place))) for place, one in enumerate(evidence)]
    scores = score_settings(evidence, LAWS, **FEW)
    table, variances = family_table(evidence, scores).set_index("family"), {}
    for family, chosen in zip(scores.families, left_out(scores)):
        of_agents = {}
        for one in evidence:
            if one.family == family:
                of_agents.setdefault(one.job.agent, []).append(monte_carlo_error(one, scores, chosen) ** 2)
        variances[family] = np.mean([np.mean(some) / len(some) for some in of_agents.values()]) / len(of_agents)
        assert table.monte_carlo[family] == pytest.approx(variances[family] ** 0.5) and variances[family] > 0
    assert table.monte_carlo[ALL] == pytest.approx((sum(variances.values()) / 9) ** 0.5)


def test_families_are_what_agents_do():
    families = Families()
    assert families("cliff", "optimal", "reach(G)") == ("optimal", "agent")
    # In a world without anything to lose the loss-averse agent is the optimal one.
    assert families("sparse", "loss-averse", "reach(a)") == ("optimal", "agent")
    assert families("sparse", "loss-averse", "time(a) - time(b)") == ("loss-averse", "agent")
    # Optimal for another goal is optimal for what it pursues.
    assert families("cliff", "anti-rational", "reach(G)") == ("optimal", "agent")
    assert families("cliff", "epsilon-0.3", "reach(G)") == ("epsilon", "agent")
    assert families("cliff", "habitual-0.3", "reach(G)") == ("habitual", "agent")
    assert families("cliff", "drift", "") == ("drift", "null")
    with pytest.raises(KeyError):
        families("cliff", "nobody", "")


def test_settings_are_named_as_options_are():
    scores = score_settings(made_up(9, number=6), LAWS)
    weights = weights_of(scores, Setting(7, 2, 1, 2))
    assert weights == Weights(0.7, "exponential:0.6+random:0.1", "dirichlet:0.5")

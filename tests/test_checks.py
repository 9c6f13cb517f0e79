"""What `utiliscope check` tells of a posterior, and where the next recording should be made."""

import dataclasses
import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.special import gammaincc

import utiliscope as us
from utiliscope.checks import check_posterior
from utiliscope.choices import named_law
from utiliscope.diagnostics import ConvergenceWarning, advice, diagnose, most_pareto_k, pareto_k, problems
from utiliscope.evidence import joint_bits
from utiliscope.laws import BumpLaw, ExponentialLaw, RandomMixture
from utiliscope.separation import information, start_separation

GRID = us.gridworld(["a..b"], discount=0.9)


def found(posterior):
    return {finding.what: finding for finding in check_posterior(posterior)}


def fitted(actions, **options):
    rows = [dict(episode=i, t=0, state=1 + i % 2, action=action) for i, action in enumerate(actions)]
    sizes = dict(num_warmup=150, num_samples=150, num_chains=2, num_particles=64)
    candidates = us.Grammar(GRID).select(["reach(a)", "reach(b)", "0"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return us.fit(pd.DataFrame(rows), GRID, candidates=candidates, **sizes, **options)


def test_information_is_mutual():
    """Two utilities, each with its own policy in state 0 and the same one in state 1."""
    policies = np.array([[[1.0, 0.0], [0.5, 0.5]], [[0.0, 1.0], [0.5, 0.5]]])[None]
    log_prob = np.log(np.array([[[0.75 - 1e-12, 1e-12, 0.25], [1e-12, 0.25, 0.75 - 1e-12]]]))
    bits = information(policies, log_prob, 0, 1)
    # 0 has 3/4 of the mass of the two, which is what one sure sign would settle.
    assert bits == pytest.approx([-(0.75 * np.log2(0.75) + 0.25 * np.log2(0.25)), 0.0], abs=1e-6)
    assert information(policies, np.log(np.full((1, 2, 3), 1 / 3)), 0, 1) == pytest.approx([0, 0], abs=1e-9)


def test_starts_that_separate():
    """In a corridor with a goal at each end: at an end one is paid whatever comes, and only the other is left."""
    payoffs = us.Grammar(GRID).select(["reach(a)", "reach(b)"]).payoffs
    apart = start_separation(GRID, payoffs)
    assert apart.shape == (4,) and apart[1] == pytest.approx(apart[2]) and apart[1] == 1.0
    assert apart[0] == apart[3] == 0.0


@pytest.mark.parametrize("order", [["reach(a)", "0"], ["0", "reach(a)"]])
def test_starts_that_separate_a_goal_from_none(order):
    """Whoever is after nothing acts at random: that costs something but at the goal, where all is paid already."""
    payoffs = us.Grammar(GRID).select(order).payoffs
    np.testing.assert_array_equal(start_separation(GRID, payoffs), [0.0, 1.0, 1.0, 1.0])
    far = dataclasses.replace(payoffs, state=payoffs.state + 1e6 * (np.array(order) == "0")[:, None])
    np.testing.assert_array_equal(start_separation(GRID, far), [0.0, 1.0, 1.0, 1.0])


def test_starts_with_nothing_to_gain():
    payoffs = us.candidate_set(GRID, {"0": np.zeros(4), "1": np.ones(4)}).payoffs
    np.testing.assert_array_equal(start_separation(GRID, payoffs), np.zeros(4))
    told = found(summed([1.0, 0.0], [1.0, 1.0], start_separation=np.zeros(4)))
    assert told["next recording"].says.startswith("from no start is there anything to gain for")


# Evidence of intelligence


def summed(bits, length, **constant):
    """The posterior of two utilities, summed exactly."""
    draws = {"utility_log_prob": (("chain", "draw", "utility"), np.log(np.full((1, 4, 2), 0.5)))}
    constant = {name: (("state",), values) for name, values in constant.items()}
    constant["code_length"] = (("utility",), np.array(length))
    if bits is not None:
        constant["behaviour_intelligence"] = (("utility",), np.array(bits))
    names = {"utility": ["one", "two"]}
    tree = xr.DataTree.from_dict(
        {"posterior": xr.Dataset(draws, names), "constant_data": xr.Dataset(constant, names | {"state": list("abcd")})}
    )
    tree["posterior"].attrs["program"] = "boltzmann"
    return tree


@pytest.mark.parametrize(
    ("bits", "words", "good"),
    [
        ([4.0, 5.0], "no more than random, for every candidate", False),
        ([9.7, 5.0], "not clearly more than random, for any candidate", False),
        ([11.0, 5.0], "yes: 11.0 bits for one", True),
        ([2000.0, np.inf], "yes: inf bits for two", True),
    ],
)
def test_words_for_the_evidence(bits, words, good):
    """Code lengths of 6 bits; the bar is at log2 20 = 4.3 bits more."""
    told = found(summed(bits, [6.0, 6.0]))["intelligent"]
    assert told.says.startswith(words) and told.good is good
    if words.startswith("not clearly"):
        assert "a chance of up to 0.08" in told.says


def test_programs_without_random_policies_say_so():
    told = found(summed(None, [6.0, 6.0]))["intelligent"]
    says = "not known: the program boltzmann does not compare with random policies; fit candidates beside it"
    assert told.says == says and told.good is None
    # So do those with weights, and those with neither.
    weights = xr.Dataset({"weights": (("chain", "draw", "weight"), np.ones((1, 4, 1)))}, {"weight": ["goal"]})
    for draws in (weights, xr.Dataset({"policy": (("chain", "draw"), np.ones((1, 4)))})):
        told = found(xr.DataTree.from_dict({"posterior": draws.assign_attrs(program="mine")}))
        assert "the program mine does not compare" in told["intelligent"].says


def test_random_operators_have_many_bits_together_as_seldom_as_stated():
    """Bits of random operators are exponential where random policies do not tie, and fewer where they do."""
    random = np.random.default_rng(0)
    for number in (1, 2, 3, 10):
        alone = random.exponential(1 / np.log(2), size=(number, 100_000))
        tied = -np.log2(np.ceil(2.0**-alone * 6) / 6)
        for bits, ties in ((alone, False), (tied, True)):
            together = joint_bits(bits)
            for least in (0.5, 2.0, 5.0, 8.0):
                share, chance = (together >= least).mean(), 2.0**-least
                error = np.sqrt(chance * (1 - chance) / together.size)
                assert share <= chance + 5 * error and (ties or share >= chance - 5 * error)


def test_bits_of_operators_together():
    """-log2 of the upper incomplete gamma function; by itself an operator has its own bits."""
    one = np.array([[0.0, 3.5, 7000.0, np.inf]])
    np.testing.assert_allclose(joint_bits(one), one[0], rtol=1e-14)
    bits = np.array([[0.0, 8.0, 3.0], [0.0, 8.0, 0.0], [0.0, 8.0, 20.0]])
    expected = -np.log2(gammaincc(3, bits.sum(0) * np.log(2)))
    np.testing.assert_allclose(joint_bits(bits), expected, atol=1e-12)
    # Three with 8 bits each for a goal of 7.3: by themselves 0.7 bits of evidence.
    assert expected[1] - 7.3 > np.log2(20)
    # What they have together is little less than their sum, and finite where its chance is no float.
    far = joint_bits(np.full((3, 1), 5000.0))[0]
    assert 15_000 - 2 * np.log2(15_000) < far < 15_000
    assert joint_bits(np.full((500, 1), 0.1))[0] == pytest.approx(0, abs=1e-9) and np.isinf(joint_bits([[np.inf], [1]]))


# Pareto k, and guides beside one another


def test_how_large_a_pareto_k_may_be():
    """min(1 - 1 / log10 S, 0.7), Vehtari et al. (2024)."""
    assert most_pareto_k(30) == pytest.approx(0.323, abs=5e-4) and most_pareto_k(500) == pytest.approx(0.629, abs=5e-4)
    assert most_pareto_k(3000) == most_pareto_k(None) == 0.7
    kept = dict(pareto_k=0.5)
    assert not problems(kept) and not problems(kept | dict(pareto_k_draws=500))
    # Files give numbers of NumPy.
    assert problems(kept | dict(pareto_k_draws=np.int64(64))) == [
        "the Pareto k of its importance ratios is 0.50 (should be at most 0.45 with 64 draws)"
    ]
    assert "another guide" in advice(kept | dict(pareto_k_draws=64))


@pytest.mark.parametrize(("draws", "good"), [(30, False), (600, True)])
def test_few_draws_tell_less_of_what_was_left_out(draws, good):
    """Ratios of a Pareto density of shape 0.5, by its quantiles."""
    share = (np.random.default_rng(0).permutation(draws) + 0.5) / draws
    told = (0.5 * np.log(1 - share)).reshape(2, -1, 1)
    k = pareto_k(-told)
    assert 0.323 < k < 0.629
    tree = xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset({"policy": (("chain", "draw"), told[..., 0])}),
            "log_likelihood": xr.Dataset({"action_taken": (("chain", "draw", "decision"), told)}),
        }
    )
    told = found(tree)["predicts"]
    assert told.good is good and (good or "Pareto k above 0.32 for 1 of 1 decisions" in told.says)


def guided(places, draws=100):
    """Draws of a guide for each place."""
    at = np.array(places)[:, None] + np.random.default_rng(0).normal(size=(len(places), draws))
    tree = xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset({"x": (("chain", "draw"), at)}),
            "sample_stats": xr.Dataset({"log_ratio": (("chain", "draw"), np.zeros(at.shape))}),
        }
    )
    tree["posterior"].attrs.update(dict(pareto_k=0.1, pareto_k_draws=draws, elbo=-1.0) | diagnose(tree))
    return tree


def test_guides_are_compared():
    together, apart, alone = (guided(places, 1000) for places in ([0, 0, 0], [0, 0, 3], [0]))
    assert found(together)["converged"].good and "R-hat at most 1.00" in found(together)["converged"].says
    told = found(apart)["converged"]
    assert told.good is False and "R-hat is up to" in told.says and "num_steps" in told.says
    assert "max_rhat" not in alone["posterior"].attrs and found(alone)["converged"].good
    # Their draws are independent: there is no sample size to be told.
    assert not any("min_ess" in one["posterior"].attrs for one in (together, apart, alone))


def test_a_single_candidate_identifies_nothing():
    told = found(summed([11.0, 5.0], [6.0, 6.0]).isel(utility=[0]))["identified"]
    assert told.says.startswith("not asked: one is the only candidate") and not told.good


@pytest.mark.slow
def test_behaviour_with_a_goal():
    told = found(fitted(["left"] * 400))
    assert told["intelligent"].good and "reach(a)" in told["intelligent"].says
    assert "left out one at a time" in told["predicts"].says
    assert set(told) >= {"converged", "predicts", "identified", "next recording"}


@pytest.mark.slow
def test_behaviour_without_one():
    told = found(fitted(["left", "right", "up", "down", "right", "left", "down", "up"] * 2))
    assert told["intelligent"].good is False and "more than random, for" in told["intelligent"].says
    assert told["identified"].says.startswith("yes: 0 has")


@pytest.mark.slow
def test_what_was_summed():
    world = us.world_model(np.eye(3)[[[1, 2], [1, 1], [2, 2]]], [1.0, 0, 0], 0.9)
    steps = pd.DataFrame([dict(episode=0, t=0, state=0, action=0)])
    candidates = us.candidate_set(world, {"one": np.array([0.0, 1, 0]), "two": np.array([0.0, 0, 1])})
    options = dict(reading="achieved", policy_prior=us.UniformDeterministic(), num_particles=64)
    posterior = us.fit(steps, world, candidates=candidates, **options)
    told = found(posterior)
    assert told["converged"].says == "yes: summed exactly, no sampler ran"
    assert "episodes that start in 0 (1.00)" in told["next recording"].says


@pytest.mark.parametrize(("bits", "good"), [([9.0, 12.0, 14.0], True), ([1.0, 2.0, 14.0], False)])
def test_continuous_weights(bits, good):
    random = np.random.default_rng(0)
    draws = np.tile(bits, (2, 20)) + random.random((2, 60))
    weights = random.normal([9.0, 0.0], size=(2, 60, 2))
    posterior = xr.Dataset(
        {"intelligence": (("chain", "draw"), draws), "weights": (("chain", "draw", "weight"), weights)},
        {"weight": ["goal", "mud"]},
    )
    told = found(xr.DataTree.from_dict({"posterior": posterior}))
    assert told["identified"].good and "goal has the largest weight" in told["identified"].says
    assert told["intelligent"].good is good and ("no more than random" in told["intelligent"].says) is not good


def test_what_would_tell_weights_apart():
    """Who is after the goal goes left in the first state, who minds the mud right; the second tells nothing."""
    weights = np.tile([[3.0, 0.1], [0.2, -2.0]], (2, 30, 1))
    policy = np.tile([[[0.9, 0.1], [0.5, 0.5]], [[0.2, 0.8], [0.5, 0.5]]], (2, 30, 1, 1))
    posterior = xr.Dataset(
        {"weights": (("chain", "draw", "weight"), weights), "policy": (("chain", "draw", "state", "action"), policy)},
        {"weight": ["goal", "mud"], "state": ["fork", "road"]},
    )
    told = found(xr.DataTree.from_dict({"posterior": posterior}))["next recording"].says
    mixed = -0.55 * np.log2(0.55) - 0.45 * np.log2(0.45)
    each = [-p * np.log2(p) - (1 - p) * np.log2(1 - p) for p in (0.9, 0.2)]
    bits = f"fork ({mixed - np.mean(each):.3f})"
    assert told.startswith(f"to tell whether goal or mud weighs most, decisions in states {bits}")
    assert told.endswith("bits each") and "road" not in told
    rows = np.random.default_rng(0).dirichlet(np.ones(2), (2, 60, 2))
    chance = posterior.assign(policy=(posterior["policy"].dims, rows))
    says = found(xr.DataTree.from_dict({"posterior": chance}))["next recording"].says
    assert says == "no single decision would tell whether goal or mud weighs most"
    sure = posterior.assign(weights=abs(posterior["weights"]) * np.array([99.0, 1.0]))
    assert "next recording" not in found(xr.DataTree.from_dict({"posterior": sure}))


# Laws by name


@pytest.mark.parametrize(
    ("text", "kind", "inferred"),
    [
        ("exponential", ExponentialLaw, {"beta"}),
        ("exponential:0.5", ExponentialLaw, set()),
        ("bump", BumpLaw, {"mean", "shape"}),
        ("bump:8", BumpLaw, {"shape"}),
        ("bump:8:3", BumpLaw, set()),
        ("bump:8:3+random", RandomMixture, {"share"}),
        ("exponential+random:0.2", RandomMixture, {"beta"}),
    ],
)
def test_laws_by_name(text, kind, inferred):
    from numpyro import handlers

    from utiliscope.laws import sampled_law

    law = named_law(text, atomic=False)
    with handlers.seed(rng_seed=0), handlers.trace() as trace:
        sampled_law(law)
    assert isinstance(law, kind) and set(trace) == inferred
    law.log_mean()


@pytest.mark.parametrize("text", ["linear", "exponential:x", "exponential:1:2", "bump+random+random", "bump:-1", ""])
def test_laws_that_are_none(text):
    with pytest.raises(us.InputError, match="--law is"):
        named_law(text, atomic=False)

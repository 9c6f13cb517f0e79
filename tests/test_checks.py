"""What `utiliscope check` tells of a posterior, and where the next recording should be made."""

import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import utiliscope as us
from utiliscope.checks import check_posterior
from utiliscope.choices import named_law
from utiliscope.diagnostics import ConvergenceWarning
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


@pytest.mark.slow
def test_behaviour_with_a_goal():
    told = found(fitted(["left"] * 400))
    assert told["intelligent"].good and "reach(a)" in told["intelligent"].says
    assert "left out one at a time" in told["predicts"].says
    assert set(told) >= {"converged", "predicts", "identified", "next recording"}


@pytest.mark.slow
def test_behaviour_without_one():
    told = found(fitted(["left", "right", "up", "down", "right", "left", "down", "up"] * 2))
    assert told["intelligent"].good is False and "no more than random, for every candidate" in told["intelligent"].says
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

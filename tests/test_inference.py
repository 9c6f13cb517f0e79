"""`fit` against integration over the policy simplex and against exact tables; what it returns, keeps and refuses."""

import dataclasses
import itertools
import math
import warnings

import arviz as az
import jax
import numpy as np
import pandas as pd
import pytest
from numpyro import distributions as dist

import utiliscope as us
from utiliscope.achievement import achieved_values, episode_utilities, started_world
from utiliscope.diagnostics import ConvergenceWarning, diagnose, warn_of
from utiliscope.laws import log_intelligence_weight
from utiliscope.payoffs import as_payoffs, stack_payoffs
from utiliscope.posterior import load_posterior, save_posterior
from utiliscope.programs import load_program
from utiliscope.summation import over_cells, read_off

AVAILABLE = np.array([[True, True, True], [True, True, False], [True, False, True]])
WORLD = us.world_model(
    np.random.default_rng(1).dirichlet(np.ones(3) * 0.5, (3, 3)),
    [0.6, 0.3, 0.1],
    0.8,
    available=AVAILABLE,
    state_names=["a", "b", "c"],
    action_names=["x", "y", "z"],
)
CANDIDATES = us.candidate_set(
    WORLD,
    {"be in a": np.array([1.0, 0, 0]), "be in b": np.array([0, 1.0, 0]), "be in c": np.array([0, 0, 1.0])},
    [1, 2, 2],
)
SHORT = dict(num_warmup=150, num_samples=200, num_chains=2, num_particles=128)


def recorded(world, policy, length, seed, *, start=None):
    """One episode of a policy, as `read_behaviour` takes it."""
    rng = np.random.default_rng(seed)
    state = rng.choice(world.num_states, p=world.initial) if start is None else start
    rows = []
    for t in range(length):
        action = rng.choice(world.num_actions, p=policy[state])
        following = rng.choice(world.num_states, p=world.transition[state, action])
        rows.append(dict(episode=seed, t=t, state=state, action=action, next_state=following))
        state = following
    return rows


def behaviour(world, rows):
    return us.read_behaviour(pd.DataFrame(rows), world)


BEST = us.optimal_policy(WORLD, np.array([1.0, 0, 0]))
STEPS = behaviour(WORLD, recorded(WORLD, 0.8 * BEST + 0.2 * AVAILABLE / AVAILABLE.sum(-1, keepdims=True), 12, 0))


def quiet_fit(*arguments, **options):
    """Short runs have not converged; that is known here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return us.fit(*arguments, **options)


@pytest.fixture(scope="module")
def posterior():
    return quiet_fit(STEPS, WORLD, candidates=CANDIDATES, seed=1, **SHORT)


def by_importance(counts, law, simplicity, number=200_000):
    """P(U | behaviour) with policies drawn from the Dirichlet posterior, and its Monte Carlo error."""
    rng = np.random.default_rng(3)
    shares = np.where(AVAILABLE, rng.gamma(np.where(AVAILABLE, 1.0 + counts, 1.0), size=(number, 3, 3)), 0.0)
    policies = shares / shares.sum(-1, keepdims=True)
    step = 0.8 * np.einsum("nsa,sat->nst", policies, WORLD.transition)
    visits = np.linalg.solve(np.swapaxes(np.eye(3) - step, 1, 2), np.tile(WORLD.initial[:, None], (number, 1, 1)))[
        ..., 0
    ]
    tails = us.value_tail(
        jax.random.key(0), WORLD, CANDIDATES.payoffs, policy_prior=us.Dirichlet(1.0), num_particles=128
    )
    bits = np.asarray(jax.jit(jax.vmap(tails.bits))(visits @ np.asarray(CANDIDATES.payoffs.state).T))
    weight = np.asarray(jax.jit(jax.vmap(lambda g: log_intelligence_weight(law, tails, g)))(bits))
    weight = 2.0 ** (-simplicity * CANDIDATES.code_length) * np.exp(weight)
    mean = weight.mean(0) / weight.mean(0).sum()
    # The error of a ratio of means.
    error = (weight - mean * weight.sum(-1, keepdims=True)).std(0) / weight.sum(-1).mean() / math.sqrt(number)
    return mean, error


def probabilities(posterior):
    table = us.utility_table(posterior).set_index("utility")
    return table.loc[CANDIDATES.names, "probability"].to_numpy(), table.loc[
        CANDIDATES.names, "probability_error"
    ].to_numpy()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("law", "simplicity"),
    [(us.ExponentialLaw(0.8), 1.0), (us.DensityLaw(dist.Gamma(3.0, 0.5)), 0.5)],
    ids=["seed", "bump"],
)
def test_policy_reading_against_importance_sampling(law, simplicity):
    """The same tails on both sides: this checks the joint program and NUTS, not splitting."""
    options = SHORT | dict(num_samples=800)
    found = quiet_fit(STEPS, WORLD, candidates=CANDIDATES, intelligence_law=law, simplicity=simplicity, **options)
    exact, exact_error = by_importance(STEPS.counts(), law, simplicity)
    probability, error = probabilities(found)
    assert (np.abs(probability - exact) < 5 * np.hypot(error, exact_error)).all()
    assert (np.abs(probability - exact) < 0.05).all() and exact.argmax() == 0


def test_what_a_posterior_holds(posterior):
    draws = posterior["posterior"].dataset
    assert set(posterior.children) == {
        "posterior", "prior", "sample_stats", "observed_data", "log_likelihood", "constant_data",
        "posterior_predictive", "prior_predictive",
    }  # fmt: skip
    assert draws["policy"].dims == ("chain", "draw", "state", "action") and draws["policy"].shape == (2, 200, 3, 3)
    assert draws["utility_log_prob"].dims == ("chain", "draw", "utility")
    assert draws["intelligence"].dims == ("chain", "draw", "utility")
    assert list(draws["utility"].values) == CANDIDATES.names
    assert list(draws["state"].values) == ["a", "b", "c"] and list(draws["action"].values) == ["x", "y", "z"]
    np.testing.assert_allclose(np.exp(draws["utility_log_prob"]).sum("utility"), 1.0)
    np.testing.assert_allclose(draws["policy"].sum("action"), 1.0)
    assert not draws["policy"].values[:, :, ~AVAILABLE].any()
    assert set(np.unique(draws["utility_index"])) <= {0, 1, 2}
    for name in (
        "program",
        "reading",
        "policy_prior",
        "intelligence_law",
        "seed",
        "max_rhat",
        "min_ess",
        "num_divergences",
    ):
        assert name in draws.attrs
    assert (draws.attrs["program"], draws.attrs["reading"]) == ("candidates", "policy")
    np.testing.assert_array_equal(posterior["observed_data"]["counts"], STEPS.counts())
    likelihood = posterior["log_likelihood"]["action_taken"].values
    table = STEPS.table
    np.testing.assert_allclose(likelihood, np.log(draws["policy"].values[:, :, table["state"], table["action"]]))


def test_arviz_reads_it(posterior):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ArviZ warns of high Pareto k
        loo = az.loo(posterior)
    assert np.isfinite(loo.elpd) and loo.n_data_points == 12
    summary = az.summary(posterior, var_names=["utility_log_prob", "intelligence"])
    assert len(summary) == 6


def test_save_and_load(posterior, tmp_path):
    path = tmp_path / "posterior.nc"
    save_posterior(posterior, path)
    loaded = load_posterior(path)
    assert loaded.equals(posterior)
    assert dict(loaded["posterior"].attrs)["policy_prior"] == posterior["posterior"].attrs["policy_prior"]
    pd.testing.assert_frame_equal(us.utility_table(loaded), us.utility_table(posterior))
    with pytest.raises(us.InputError, match="no posterior at"):
        load_posterior(tmp_path / "nothing.nc")
    (tmp_path / "text.nc").write_text("not a posterior")
    with pytest.raises(us.InputError, match="is not a posterior"):
        load_posterior(tmp_path / "text.nc")


def test_utility_table(posterior):
    table = us.utility_table(posterior)
    assert table["probability"].sum() == pytest.approx(1) and table["probability"].is_monotonic_decreasing
    assert set(table["utility"]) == set(CANDIDATES.names) and table["utility"][0] == "be in a"
    assert (table["std_error"] > 0).all() and (table["intelligence"] >= 0).all()
    by_name = table.set_index("utility")["code_length"]
    np.testing.assert_array_equal(by_name[CANDIDATES.names], CANDIDATES.code_length)


def test_the_seed_decides(posterior):
    """The same one draws the same: see `test_programs_from_files`."""
    other = quiet_fit(STEPS, WORLD, candidates=CANDIDATES, seed=2, **SHORT)
    assert not np.array_equal(other["posterior"]["policy"], posterior["posterior"]["policy"])


def test_runs_that_are_too_short_say_so(posterior):
    """By the first draws of a longer run; that `fit` passes it on is seen in `tests/test_cli.py`."""
    first = posterior.filter(lambda node: "draw" in node.dims).isel(draw=slice(6))
    with pytest.warns(ConvergenceWarning, match=r"the sampler has not converged.*run longer"):
        warn_of(diagnose(first), stacklevel=1)


# The achieved reading


def tree():
    """Three binary choices from one start: states are the choices so far, and the last ones absorb."""
    histories = [format(i, "b")[1:] for i in range(1, 16)]
    index = {history: i for i, history in enumerate(histories)}
    transition = np.zeros((15, 2, 15))
    for history, i in index.items():
        for action in (0, 1):
            transition[i, action, index[history + str(action)] if len(history) < 3 else i] = 1.0
    available = np.array([[True, len(history) < 3] for history in histories])
    world = us.world_model(transition, np.eye(15)[0], 0.9, available=available)
    ends = np.array([len(history) == 3 for history in histories])
    ones = ends * np.array([history.count("1") for history in histories], float)
    utilities = {
        "A": ones,
        "B": (ones == 3) * 1.0,
        "C": np.zeros(15),
        "D": ends * np.array([history.startswith("1") for history in histories], float),
    }
    return world, us.candidate_set(world, utilities, {"A": 3, "B": 4, "C": 2, "D": 3}), index


Z = {"A": 2.303571428571429, "B": 1.875, "C": 1.0, "D": 1.5}
BITS = {"111": {"A": 3, "B": 3, "C": 0, "D": 1}, "110": {"A": 1, "B": 0, "C": 0, "D": 1}}


@pytest.mark.parametrize("choices", BITS)
@pytest.mark.parametrize("prior", [us.UniformDeterministic(), us.ActionSequences(3)], ids=["policies", "sequences"])
def test_three_binary_choices(choices, prior):
    """Section 7's table with the normalisers: 2^-K 2^g / Z, up to the error of the tails.

    Its code lengths, one bit longer each: as printed, their masses sum to 9/8.
    """
    world, candidates, index = tree()
    rows = [dict(episode=0, t=t, state=index[choices[:t]], action=int(bit)) for t, bit in enumerate(choices)]
    found = us.fit(
        behaviour(world, rows),
        world,
        candidates=candidates,
        reading="achieved",
        policy_prior=prior,
        intelligence_law=us.ExponentialLaw(1.0),
        num_particles=4096 if prior == us.UniformDeterministic() else 1024,
    )
    table = us.utility_table(found).set_index("utility")
    g, lengths = BITS[choices], dict(zip(candidates.names, candidates.code_length, strict=True))
    errors = 5 * table["std_error"] + 1e-9
    for name, bits in g.items():
        assert abs(table.loc[name, "intelligence"] - bits) <= errors[name]
    weight = pd.Series({name: 2.0 ** (g[name] - lengths[name]) / Z[name] for name in g})
    exact = weight / weight.sum()
    # 2^g / Z is off by at most ln 2 times the error of g and as much again for Z.
    np.testing.assert_allclose(table["probability"][exact.index], exact, rtol=2 * math.log(2) * errors.max())
    assert found["posterior"]["utility_log_prob"].values.std((0, 1)).max() < 1e-12


@pytest.mark.slow
def test_likelihoods_of_utilities_are_those_of_the_fit():
    world, candidates, index = tree()
    rows = [dict(episode=0, t=t, state=index["110"[:t]], action=int(bit)) for t, bit in enumerate("110")]
    recorded, settings = behaviour(world, rows), dict(policy_prior=us.ActionSequences(3), num_particles=256)
    likelihood = us.achieved_log_likelihood(recorded, world, **settings)
    log_prob = likelihood(candidates.payoffs) - candidates.code_length * np.log(2)
    found = us.fit(recorded, world, candidates=candidates, reading="achieved", **settings)
    expected = found["posterior"]["utility_log_prob"].values[0, 0]
    # Of both tails; the errors of g times ln 2 at most.
    errors = us.utility_table(found).set_index("utility").loc[candidates.names, "std_error"].to_numpy()
    apart = np.abs(log_prob - np.logaddexp.reduce(log_prob) - expected)
    assert (apart <= 5 * np.log(2) * math.hypot(*errors, *errors) + 1e-9).all()
    with pytest.raises(us.InputError, match="whole episodes"):
        us.achieved_log_likelihood(behaviour(world, rows[:2]), world, **settings)(candidates.payoffs)


@pytest.mark.slow
def test_programs_are_sampled_by_what_episodes_achieved():
    world = dataclasses.replace(corridor(), features={"goal": np.arange(4) == 3, "way": np.arange(4) == 1})
    recorded = behaviour(world, episode([0, 1, 2, 3]))
    likelihood = us.achieved_log_likelihood(recorded, world, policy_prior=us.ActionSequences(4), num_particles=128)
    left_out = dict.fromkeys(["visits", "every", "sequence", "within", "avoid", "end", "not", "and", "or"], 0)
    grammar = us.Grammar(world, weights=left_out)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", us.ConvergenceWarning)
        found = us.sample_programs(
            jax.random.key(0), grammar, likelihood, num_samples=100, num_warmup=50, num_chains=2, num_temperatures=2
        )
    candidates = grammar.enumerate(14)
    exact = candidates.code_length * -np.log(2) + likelihood(candidates.payoffs)
    exact = np.exp(exact - exact.max())
    assert found.names[0] == candidates.names[int(exact.argmax())]
    # A utility is as likely alone as among others, up to the errors of tails.
    alone = [likelihood(candidates.payoffs[[i]])[0] for i in range(4)]
    np.testing.assert_allclose(alone, likelihood(candidates.payoffs)[:4], atol=1.0)


def corridor(**options):
    """Walk right to the goal, which absorbs."""
    links = [[0, 1], [0, 2], [1, 3], [3, 3]]
    return us.world_model(np.eye(4)[links], [1, 0, 0, 0], 0.5, available=[[1, 1]] * 3 + [[1, 0]], **options)


def episode(states, label=0):
    moves = itertools.pairwise(states)
    return [dict(episode=label, t=t, state=s, action=int(n > s), next_state=n) for t, (s, n) in enumerate(moves)]


def long_sum(world, states, actions, payoffs, steps=200):
    """Utility with the last state held, term by term."""
    states = [*states, *[states[-1]] * (steps + 1 - len(states))]
    actions = [*actions, *[0] * (steps - len(actions))]
    gamma, total = float(world.discount), 0.0
    for t, s in enumerate(states):
        total += gamma**t * payoffs.state[s]
    for t, a in enumerate(actions):
        total += gamma**t * payoffs.action[states[t], a]
    for weight, target in zip(payoffs.reach, payoffs.targets, strict=True):
        total += weight * max((gamma**t for t, s in enumerate(states) if target[s]), default=0.0)
    return total


PAYOFFS = us.Payoffs(
    np.array([0.3, -1.0, 0.7, 2.0]),
    np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6], [0.7, 0.8]]),
    np.array([1.5, -2.0]),
    np.array([[False, False, True, True], [True, False, False, False]]),
)


@pytest.mark.parametrize("horizon", [None, 3, 6])
def test_the_last_state_is_held(horizon):
    world = corridor(horizon=horizon)
    for states in ([0, 1, 2, 3], [0, 1, 0, 1, 2, 3], [1, 2, 3]):
        rows = episode(states)
        actions = [row["action"] for row in rows]
        if horizon is not None:
            states, actions = states[: horizon + 1], actions[:horizon]
        found = episode_utilities(behaviour(world, rows), world, stack_payoffs([PAYOFFS]))
        assert found.shape == (1, 1)
        assert found[0, 0] == pytest.approx(
            long_sum(world, states, actions, PAYOFFS, 200 if horizon is None else horizon)
        )


def test_several_episodes_have_a_mean_and_an_error():
    world, payoffs = corridor(), stack_payoffs([PAYOFFS, as_payoffs(corridor(), np.array([0, 0, 0, 1.0]))])
    steps = behaviour(world, [*episode([0, 1, 2, 3], 0), *episode([1, 2, 3], 1), *episode([0, 1, 0, 1, 2, 3], 2)])
    each = episode_utilities(steps, world, payoffs)
    mean, error = achieved_values(steps, world, payoffs)
    np.testing.assert_allclose(mean, each.mean(0))
    # Random policies have the same starts: the error is the spread of the two episodes that start in 0.
    np.testing.assert_allclose(error, each[[0, 2]].std(0, ddof=1) / math.sqrt(3))
    alone = behaviour(world, [*episode([0, 1, 2, 3], 0), *episode([1, 2, 3], 1)])
    np.testing.assert_array_equal(achieved_values(alone, world, payoffs)[1], 0.0)
    np.testing.assert_allclose(started_world(steps, world).initial, [2 / 3, 1 / 3, 0, 0])
    alone, none = achieved_values(behaviour(world, episode([0, 1, 2, 3])), world, payoffs)
    np.testing.assert_allclose(alone, each[0])
    assert not none.any()


def test_episodes_that_are_not_whole_are_refused():
    cut = behaviour(corridor(), episode([0, 1, 2]))
    options = dict(candidates=us.candidate_set(corridor(), {"goal": np.eye(4)[3]}), reading="achieved")
    with pytest.raises(us.InputError, match=r"needs whole episodes.*do not end in an absorbing state"):
        us.fit(cut, corridor(), policy_prior=us.UniformDeterministic(), **options)
    with pytest.raises(us.InputError, match="shorter than the horizon of 3"):
        episode_utilities(cut, corridor(horizon=3), options["candidates"].payoffs)
    assert episode_utilities(cut, corridor(horizon=2), options["candidates"].payoffs).shape == (1, 1)


def test_one_episode_in_a_world_of_chance_warns():
    world = us.world_model([[[0.5, 0.5]], [[0.0, 1.0]]], [1, 0], 0.9)
    rows = [dict(episode=0, t=0, state=0, action=0, next_state=1)]
    with pytest.warns(UserWarning, match="luck counts as intelligence"):
        achieved_values(behaviour(world, rows), world, stack_payoffs([as_payoffs(world, np.array([0.0, 1.0]))]))


@pytest.mark.slow
@pytest.mark.parametrize("prior", [us.UniformDeterministic(), us.Dirichlet(1.0)], ids=["finite", "continuous"])
def test_luck_beyond_the_best_policy_is_no_more_than_the_best(prior):
    """Achieved values that no policy expects, and quadrature nodes beyond them: bits of the best, never NaN."""
    transition = np.array([[[0.9, 0.1], [0.6, 0.4]], [[0.0, 1.0], [0.0, 1.0]]])
    world = us.world_model(transition, [1.0, 0.0], 0.9, available=[[1, 1], [1, 0]])
    rows = [dict(episode=e, t=t, state=0, action=1, next_state=int(t == e)) for e in (0, 1) for t in range(e + 1)]
    candidates = us.candidate_set(world, {"end": np.array([0.0, 1.0]), "stay": np.array([1.0, 0.0])})
    found = us.fit(
        behaviour(world, rows), world, candidates=candidates, reading="achieved", policy_prior=prior, num_particles=128
    )
    table = us.utility_table(found).set_index("utility")
    assert np.isfinite(table.drop(columns="is_lower_bound").to_numpy(float)).all()
    assert table.loc["end", "probability"] > table.loc["stay", "probability"]
    if prior.atomic:
        # Two policies: one has 1 bit for "end", and the same has 0 for "stay". Both utilities have the same Z.
        assert table.loc["end", "intelligence"] == pytest.approx(1.0, abs=5 * table.loc["end", "std_error"])
        assert table.loc["stay", "intelligence"] == pytest.approx(0.0, abs=1e-9)
        odds = table.loc["end", "probability"] / table.loc["stay", "probability"]
        assert odds == pytest.approx(2**0.8, rel=5 * math.log(2) * table.loc["end", "std_error"])


# What is refused, and programs of one's own


def test_refusals():
    options = dict(candidates=CANDIDATES, **SHORT)
    with pytest.raises(us.InputError, match=r"UniformDeterministic has no density.*likelihood 0.*reading='achieved'"):
        us.fit(STEPS, WORLD, policy_prior=us.UniformDeterministic(), **options)
    with pytest.raises(us.InputError, match="improper over continuous"):
        us.fit(
            STEPS, WORLD, intelligence_law=us.ExponentialLaw(1.0), progress=lambda phase: pytest.fail(phase), **options
        )
    with pytest.raises(us.InputError, match="choose policy or achieved"):
        us.fit(STEPS, WORLD, reading="both", **options)
    for name, wrong in (("simplicity", -1.0), ("num_samples", 2), ("num_chains", 0), ("seed", -1)):
        with pytest.raises(us.InputError, match=f"{name} is {wrong}"):
            us.fit(STEPS, WORLD, **(options | {name: wrong}))


OWN = """
from utiliscope.models.candidates import candidates as shipped

def mine(counts, world, candidates, tails, **settings):
    shipped(counts, world, candidates, tails, **settings)

def bare(counts, world, candidates, tails, **settings):
    import numpyro
    numpyro.sample("policy", settings["policy_prior"].distribution(world))
"""


def test_programs_from_files(tmp_path, posterior):
    path = tmp_path / "own.py"
    path.write_text(OWN)
    found = quiet_fit(STEPS, WORLD, candidates=CANDIDATES, program=f"{path}:mine", seed=1, **SHORT)
    for name in ("policy", "intelligence", "utility_log_prob", "utility_index"):
        np.testing.assert_array_equal(found["posterior"][name], posterior["posterior"][name])
    assert found["posterior"].attrs["program"] == "mine"
    with pytest.raises(us.InputError, match="'bare' has no deterministic site 'utility_log_prob'"):
        quiet_fit(STEPS, WORLD, candidates=CANDIDATES, program=f"{path}:bare", **SHORT)


def test_programs_by_name(tmp_path):
    assert load_program("candidates").__name__ == "candidates"
    assert load_program("candidates", "achieved").__name__ == load_program("achieved").__name__ == "achieved"
    assert load_program(print) is print
    one = tmp_path / "one.py"
    one.write_text("def only(x):\n    return x\n\n\ndef _hidden():\n    pass\n")
    assert load_program(str(one))(3) == load_program(f"{one}:only")(3) == 3
    (tmp_path / "typed.py").write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n\n\n"
        "@dataclass\nclass Held:\n    x: int\n\n\ndef typed(x):\n    return Held(x).x\n"
    )
    assert load_program(str(tmp_path / "typed.py"))(3) == 3
    for program, content, message in (
        ("nothing", None, "there is no program 'nothing'"),
        (str(tmp_path / "gone.py"), None, "does not exist"),
        (str(tmp_path / "empty.py"), "x = 1\n", "it defines no function"),
        (str(tmp_path / "two.py"), "def f(): pass\ndef g(): pass\n", r"no function 'two'; it defines f, g"),
        (f"{one}:other", None, "no function 'other'"),
        (str(tmp_path / "broken.py"), "def f(:\n", "cannot be run: SyntaxError"),
        (str(tmp_path / "raises.py"), "1 / 0\n", "cannot be run: ZeroDivisionError"),
        (str(tmp_path / "leaves.py"), "import sys\nsys.exit(3)\n", r"cannot be run: SystemExit at .*leaves\.py:2: 3"),
    ):
        if content is not None:
            (tmp_path / program.rpartition("/")[2]).write_text(content)
        with pytest.raises(us.InputError, match=message):
            load_program(program)


# Calibration of the whole program


@pytest.mark.slow
def test_stated_probabilities_are_frequencies():
    """U from its prior, a policy from xi re-weighted by intelligence, behaviour from it; then P(U | behaviour).

    Among simulations the stated probability of a candidate must average to how often it was the true one, overall and
    where it was stated high or low. The policy comes from 4000 random ones, by their weights for U.
    """
    rng = np.random.default_rng(0)
    transition = np.array([[[0.9, 0.1], [0.2, 0.8]], [[0.7, 0.3], [0.1, 0.9]]])
    world = us.world_model(transition, [0.5, 0.5], 0.8)
    candidates = us.candidate_set(world, {"first": np.array([1.0, 0]), "second": np.array([0, 1.0])}, [0.5, 1.8])
    law, prior = us.ExponentialLaw(0.8), us.Dirichlet(1.0)
    tails = us.value_tail(jax.random.key(0), world, candidates.payoffs, policy_prior=prior, num_particles=256)
    policies = np.asarray(jax.vmap(lambda key: prior.sample(key, world))(jax.random.split(jax.random.key(1), 4000)))
    values = jax.vmap(lambda policy: us.expected_utility(world, policy, candidates.payoffs))(policies)
    weights = np.exp(jax.vmap(lambda v: log_intelligence_weight(law, tails, tails.bits(v)))(values))
    mass = 2.0**-candidates.code_length / (2.0**-candidates.code_length).sum()
    stated, truth = [], []
    for simulation in range(60):
        utility = rng.choice(2, p=mass)
        weight = np.asarray(weights[:, utility])
        policy = policies[rng.choice(len(policies), p=weight / weight.sum())]
        steps = behaviour(world, recorded(world, policy, 6, simulation + 1))
        options = dict(num_warmup=150, num_samples=150, num_chains=1, num_particles=256, intelligence_law=law)
        found = quiet_fit(steps, world, candidates=candidates, policy_prior=prior, seed=simulation, **options)
        table = us.utility_table(found).set_index("utility")
        stated.append(table.loc["first", "probability"])
        truth.append(utility == candidates.index("first"))
    stated, truth = np.array(stated), np.array(truth, float)
    error = np.sqrt(np.sum(stated * (1 - stated)))
    assert abs(np.sum(truth - stated)) < 5 * error
    lean = stated - stated.mean()
    assert abs(np.sum((truth - stated) * lean)) < 5 * np.sqrt(np.sum(stated * (1 - stated) * lean**2))
    assert stated.std() > 0.05  # the recordings do say something


@pytest.mark.slow
def test_the_error_of_a_mean_is_weighed_by_how_rare_values_are():
    """E[h(g)] / Z over xi(V | mean, error) against the integral over g of a Dirichlet bandit: 2^-g = (1 - V)^2."""
    world = us.world_model(np.ones((1, 3, 1)), [1.0], 0.0)
    candidates = us.candidate_set(world, {"arm": np.eye(3)[:1], "none": np.zeros((1, 3))})
    mean, error = np.array([0.8, 0.0]), np.array([0.1, 0.0])
    bits = np.linspace(0, 400, 400_001)
    value = 1 - 2 ** (-bits / 2)
    log_share = -math.log(2) * bits - ((value - mean[0]) / error[0]) ** 2 / 2
    weight = np.exp(np.logaddexp.reduce(log_share + 0.8 * math.log(2) * bits) - np.logaddexp.reduce(log_share)) * 0.2
    order = [candidates.index("arm"), candidates.index("none")]
    for reach in (0.999, 0.999999):  # what lies far up the tail changes nothing
        tails = us.value_tail(
            jax.random.key(0),
            world,
            candidates.payoffs,
            policy_prior=us.Dirichlet(1.0),
            num_particles=4096,
            reach=reach,
        )
        law = dict(intelligence_law=us.ExponentialLaw(0.8), simplicity=1.0)
        inputs = dict(value=mean[np.argsort(order)], value_error=error[np.argsort(order)], tails=tails) | law
        log_prob, _ = read_off(
            jax.random.key(1), *over_cells(load_program("achieved"), inputs | {"candidates": candidates})
        )
        odds = np.exp(np.asarray(log_prob)[order])
        assert odds[0] / odds[1] == pytest.approx(weight, rel=5 * 0.8 * math.log(2) * float(tails.log2_error.max()))


@pytest.mark.parametrize("by", ["fit", "command line"])
def test_candidates_are_told_apart_over_the_horizon_of_the_comparison(by, monkeypatch, tmp_path, capsys):
    """Without end reach(G) and time(G) are one utility where G is never left; over 5 steps they are two."""
    import utiliscope.inputs
    import utiliscope.utilities
    from utiliscope.cli import main

    following = np.array([[0, 1], [0, 2], [2, 2]])
    world = us.world_model(np.eye(3)[following], [1.0, 0, 0], 0.9, features={"G": [False, False, True]})
    rows = [dict(episode=0, t=t, state=t, action=1, next_state=t + 1) for t in range(2)]
    seen = []

    class Watched(us.Grammar):
        def enumerate(self, max_bits=14):
            seen.append(self.select(["reach(G)", "time(G)"]))
            raise us.InputError("enough seen")

    monkeypatch.setattr(utiliscope.inputs, "Grammar", Watched)
    monkeypatch.setattr(utiliscope.utilities, "Grammar", Watched)
    with pytest.raises(us.InputError, match="one utility"):
        us.Grammar(world).select(["reach(G)", "time(G)"])
    if by == "fit":
        with pytest.raises(us.InputError, match="enough seen"):
            us.fit(pd.DataFrame(rows), world, reading="achieved", policy_prior=us.ActionSequences(5))
    else:
        us.write_world(world, tmp_path / "world.json")
        pd.DataFrame(rows).to_csv(tmp_path / "steps.csv", index=False)
        command = ["fit", str(tmp_path / "steps.csv"), "--world", str(tmp_path / "world.json"), "--reading", "achieved"]
        monkeypatch.setattr("sys.argv", ["utiliscope", *command, "--random-policies", "sequences:5", "--out",
                                         str(tmp_path / "out")])  # fmt: skip
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2 and "enough seen" in capsys.readouterr().err
    assert len(seen) == 1 and len(seen[0]) == 2

"""`fit` with every way of inference and with programs of all kinds: what they are given, and what becomes of it."""

import itertools
import math
import subprocess
import sys
import warnings

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pandas as pd
import pytest
from jax.scipy.special import logsumexp
from numpyro import distributions as dist
from scipy.special import gammaincc
from scipy.stats import norm

import utiliscope as us
from utiliscope.checks import check_posterior
from utiliscope.diagnostics import ConvergenceWarning, pareto_k
from utiliscope.inputs import asked_for
from utiliscope.laws import LN2, log_intelligence_weight
from utiliscope.recorded_actions import RecordedActions
from utiliscope.report import report_html
from utiliscope.variational import Guides

# Three arms; an episode is one pull.
ARMS = us.world_model(
    np.array([[[0, 1.0], [0, 1.0], [0, 1.0]], [[0, 1.0], [0, 0], [0, 0]]]),
    [1.0, 0.0],
    0.9,
    available=[[True, True, True], [True, False, False]],
    state_names=["choice", "over"],
    action_names=["x", "y", "z"],
)
UTILITIES = {
    "x": np.array([[1.0, 0, 0], [0, 0, 0]]),
    "y over z": np.array([[0.0, 1, 0.5], [0, 0, 0]]),
    "0": np.zeros((2, 3)),
}
CANDIDATES = us.candidate_set(ARMS, UTILITIES, [2.0, 3.0, 2.0])
SHORT = dict(num_warmup=100, num_samples=100, num_chains=2, num_particles=64, candidates=CANDIDATES)


def pulls(actions, subject=None):
    rows = [dict(episode=i, t=0, state="choice", action=action, next_state="over") for i, action in enumerate(actions)]
    return pd.DataFrame(rows).assign(**({} if subject is None else {"subject": subject}))


def quiet(*arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return us.fit(*arguments, **options)


@pytest.fixture(scope="module")
def posteriors():
    return {program: quiet(pulls("xxyx"), ARMS, program=program, **SHORT) for program in ("candidates", "noisy")}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Estimated shape parameter")  # so few draws
def test_arviz_compares_programs(posteriors):
    table = az.compare(posteriors, var_name="action_taken")
    assert set(table.index) == set(posteriors) and np.isfinite(table["elpd"]).all()
    assert len(az.loo(posteriors["noisy"], var_name="action_taken", pointwise=True).elpd_i) == 4


@pytest.mark.slow
def test_what_is_predicted(posteriors):
    for posterior in posteriors.values():
        for group in ("prior", "posterior"):
            policy = posterior[group]["policy"].values[..., 0, :]
            drawn = posterior[f"{group}_predictive"]["action_taken"].values
            assert drawn.shape == (2, 100, 4)
            share = np.stack([(drawn == action).mean() for action in range(3)])
            error = np.sqrt(share * (1 - share) / drawn.size) + 1e-9
            assert (np.abs(share - policy.mean((0, 1))) < 5 * error).all()
        told = posterior["log_likelihood"]["action_taken"].values
        policy = posterior["posterior"]["policy"].values
        np.testing.assert_allclose(told, np.log(policy[:, :, 0, [0, 0, 1, 0]]))
        # What was recorded is likelier after it was recorded.
        before = posterior["prior"]["policy"].values[..., 0, 0].mean()
        assert posterior["posterior"]["policy"].values[..., 0, 0].mean() > before + 0.1


@pytest.mark.slow
def test_posteriors_are_kept_whole(posteriors, tmp_path):
    us.save_posterior(posteriors["noisy"], tmp_path / "posterior.nc")
    found = us.load_posterior(tmp_path / "posterior.nc")
    assert set(found.children) == set(posteriors["noisy"].children)
    for name, group in found.children.items():
        for variable, values in group.dataset.items():
            np.testing.assert_array_equal(values, posteriors["noisy"][name][variable])


# What programs are given


def test_programs_get_what_they_name():
    def plain(counts, world, *, policy_prior):
        policy = numpyro.sample("policy", policy_prior.distribution(world))
        numpyro.sample("action", RecordedActions(policy, counts.sum(-1)), obs=counts)

    assert asked_for(plain, "policy") == ("counts", "world", "policy_prior")
    posterior = quiet(pulls("xxyx"), ARMS, program=plain, **SHORT | dict(candidates=None))
    assert us.parameter_table(posterior).empty and "infers nothing else" in report_html(posterior)
    draws = posterior["posterior"].dataset
    assert "utility" not in draws.dims and draws.attrs["program"] == "plain"
    # Dirichlet(1 + counts).
    policy = draws["policy"].values[:, :, 0].reshape(-1, 3)
    exact = np.array([4, 2, 1]) / 7
    error = np.sqrt(exact * (1 - exact) / 8 / np.min(az.ess(draws["policy"].values[:, :, 0])))
    assert (np.abs(policy.mean(0) - exact) < 5 * error).all()


def test_scores_are_named_by_their_weights():
    def scored(counts, weights):
        score = numpyro.sample("score", dist.Normal().expand([len(weights)]).to_event(1))
        numpyro.deterministic("weights", score)

    def other(counts, weights):
        numpyro.deterministic("weights", numpyro.sample("w", dist.Normal().expand([len(weights)]).to_event(1)))
        numpyro.sample("score", dist.Normal())

    options = dict(method="svi", num_steps=2, num_samples=30, num_chains=1, weights=us.FeatureWeights(ARMS))
    draws = quiet(pulls("xy"), ARMS, program=scored, **options)["posterior"].dataset
    assert draws["score"].dims == draws["weights"].dims == ("chain", "draw", "weight")
    assert draws.attrs["pareto_k_draws"] == 30
    assert quiet(pulls("xy"), ARMS, program=other, **options)["posterior"]["score"].dims == ("chain", "draw")


def test_programs_that_find_nothing_are_told_before_any_sampling():
    def no_answer(counts, world, candidates, *, policy_prior):
        numpyro.sample("policy", policy_prior.distribution(world))

    def too_few(counts, world, candidates, tails, *, policy_prior):
        numpyro.sample("policy", policy_prior.distribution(world))
        numpyro.deterministic("utility_log_prob", np.zeros(3))
        numpyro.deterministic("intelligence", np.zeros(2))

    def chooses(counts, candidates):
        x = numpyro.sample("x", dist.Normal())
        numpyro.sample("utility", dist.Categorical(logits=np.zeros(2)))
        numpyro.deterministic("intelligence", x)
        numpyro.factor("operator", -x)

    def heard(phase):
        assert phase not in ("compiling", "sampling", "summing"), phase

    for program, message in (
        (no_answer, "'no_answer' has no deterministic site 'utility_log_prob' with one entry for each of the 3 cand"),
        (too_few, "'too_few' has no deterministic site 'intelligence'"),
        (
            chooses,
            r"'chooses' has a site 'utility_log_prob' of shape \(2,\); under that name it has to be \[U\] = \(3,\)",
        ),
        (lambda candidates: None, "the program '<lambda>' has no sites.*numpyro.sample"),
        (lambda candidates: numpyro.sample("n", dist.Normal(), obs=0.0), "the program '<lambda>' has no sites"),
    ):
        with pytest.raises(us.InputError, match=message):
            us.fit(pulls("xy"), ARMS, program=program, progress=heard, **SHORT)


def _site(name, shape=()):
    """A program that samples numbers under a name of its own."""

    def mine(counts):
        numpyro.sample(name, dist.Normal().expand(shape).to_event(len(shape)))

    return mine


def _returns(value):
    def mine(counts):
        numpyro.sample("x", dist.Normal())
        return value

    return mine


def _chooses(counts):
    numpyro.sample("x", dist.Normal())
    numpyro.sample("utility", dist.Categorical(logits=np.zeros(3)))
    numpyro.deterministic("intelligence", jnp.zeros(()))
    numpyro.factor("operator", 0.0)


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (_site("chain"), "'mine' has a site called 'chain', and that name is one of the posterior's own; call it oth"),
        (_site("initial"), "'initial', and that name is one of the posterior's own"),
        (_site("habit/pull"), "names of sites have no '/'"),
        (_site("policy"), r"'policy' of shape \(\); under that name it has to be \[S, A\] = \(2, 3\)"),
        (_site("weights", (3,)), "'weights', which is over weights, and does not ask for them: give it an argument"),
        (_site("utility_log_prob", (2,)), "'utility_log_prob', which is over candidates, and does not ask for them"),
        (_site("subject_log_prob", (2,)), "'subject_log_prob', which is over subject_counts, candidates"),
        (_chooses, "picks a candidate by its discrete site 'utility', and does not ask for them"),
        (
            _returns(np.zeros(3)),
            r"returns an array of shape \(3,\).*of actions, \(2, 3\), or nothing",
        ),
        (_returns(0.5), "returns float"),
        (_returns({}), "returns dict"),
    ],
)
def test_names_and_shapes_are_checked_before_any_sampling(program, message):
    def heard(phase):
        assert phase not in ("compiling", "sampling", "summing"), phase

    with pytest.raises(us.InputError, match=message):
        us.fit(pulls("xy"), ARMS, program=program, progress=heard, **SHORT | dict(candidates=None))


@pytest.mark.parametrize(
    ("name", "shape"), [("pull", ()), ("log_mixture", (2,)), ("subject_bias", (3,)), ("score", (2,))]
)
def test_other_names_are_free(name, shape):
    options = dict(method="svi", num_steps=2, num_samples=8, num_chains=1)
    posterior = quiet(pulls("xy"), ARMS, program=_site(name, shape), **options)
    assert posterior["posterior"][name].shape == (1, 8, *shape)
    assert len(us.parameter_table(posterior)) == math.prod(shape)


def test_a_likelihood_that_is_nowhere_finite_is_said():
    def impossible(counts):
        x = numpyro.sample("x", dist.Normal())
        numpyro.factor("operator", -jnp.inf * (1 + x**2))

    options = dict(num_warmup=10, num_samples=10, num_chains=2)
    with pytest.warns(ConvergenceWarning, match="log density that is not finite"):
        posterior = us.fit(pulls("xy"), ARMS, program=impossible, prior_predictive=False, **options)
    said = check_posterior(posterior)[0]
    assert said.good is False and len(said.says) < 400 and "sites and factors are finite" in said.says
    assert "not finite" in report_html(posterior)


def test_leaving_one_out_where_only_the_utility_varies():
    """Log likelihoods of few values have no tail for a Pareto k."""
    posterior = quiet(pulls("xxyxz"), ARMS, program="boltzmann", temperature=1.0, **SHORT)
    told = {one.what: one for one in check_posterior(posterior)}
    assert "bits a decision" in told["predicts"].says


def test_numpyro_works_where_arviz_came_first():
    lines = "import arviz", "import numpyro.distributions", "from utiliscope import fit", "import numpyro"
    lines += ("from numpyro import handlers", "handlers.trace(lambda: numpyro.factor('f', 0.0)).get_trace()")
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True, capture_output=True)


def test_names_that_are_not_known():
    def odd(counts, world, tail):
        pass

    def positional(*arguments):
        pass

    with pytest.raises(us.InputError, match=r"'odd' asks for 'tail', which the policy reading does not have.*tails"):
        us.fit(pulls("x"), ARMS, program=odd, **SHORT)
    with pytest.raises(us.InputError, match=r"'positional' takes \*arguments"):
        us.fit(pulls("x"), ARMS, program=positional, **SHORT)
    with pytest.raises(us.InputError, match=r"'noisy' asks for 'counts'.*with reading='policy' there is one"):
        us.fit(pulls("x"), ARMS, program="noisy", reading="achieved", **SHORT)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(method="mcmc"), "method is 'mcmc'"),
        (dict(method="exact"), r"continuous sites \(policy\), which cannot be summed"),
        (dict(program="achieved", reading="achieved", method="nuts"), "no continuous sites to sample"),
        (dict(guide="wide"), "guide is 'wide'"),
        (dict(program="noisy", noise=-1.0), r"noise is -1\.0"),
        (dict(noise=1.0), "asks for no noise"),
        (dict(num_steps=100), "with 'nuts' they would do nothing"),
        (dict(guide="flow", method="nuts"), "with 'nuts' they would do nothing"),
        (dict(target_accept=1.0), r"target_accept is 1\.0; it must be a share"),
        (dict(target_accept=0.9, method="svi"), "with 'svi' it would do nothing"),
        (dict(program="boltzmann", tail_bits=20.0), "asks for no tail_bits"),
        (dict(program="boltzmann_weights", simplicity=2.0), "asks for no simplicity"),
        (dict(program="boltzmann", policy_prior=us.Dirichlet(0.5)), "asks for no policy_prior"),
        (dict(operators="who"), "asks for no operators"),
        (dict(program="weights"), "asks for no candidates"),
        (dict(program="achieved", reading="achieved", prior_predictive=True), "nothing to leave out"),
        (dict(program="boltzmann", temperature=dist.Normal(0, 1)), "temperature has a prior over other than positive"),
        (dict(program="population"), "no column 'subject'"),
        (dict(program="population", operators="who"), "no column 'who'"),
        (dict(intelligence_law=us.ExponentialLaw(dist.HalfNormal(1.0))), "improper over continuous"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(us.InputError, match=message):
        us.fit(pulls("xy"), ARMS, **(SHORT | options))


def test_proposals_are_accepted_as_often_as_asked():
    settings = SHORT | dict(program="boltzmann", num_warmup=300, num_samples=300, prior_predictive=False)
    often = quiet(pulls("xxy"), ARMS, target_accept=0.95, **settings)
    seldom = quiet(pulls("xxy"), ARMS, target_accept=0.6, **settings)
    rates = [float(one["sample_stats"]["acceptance_rate"].mean()) for one in (seldom, often)]
    assert rates[0] < 0.8 < 0.9 < rates[1]


# Discrete sites, summed


@pytest.mark.slow
def test_a_law_is_inferred_from_what_was_achieved():
    """Two actions in turn among nine sequences: against sums over a grid of beta."""
    world = us.world_model(np.eye(3)[[[1, 1, 1], [2, 2, 2], [2, 2, 2]]], [1.0, 0, 0], 1.0, horizon=2)
    paid = np.array([[2.0, 1.0, 0.0], [2.5, 1.2, 0.0], [0, 0, 0]])
    candidates = us.candidate_set(world, {"more": paid, "less": -paid, "0": 0 * paid}, [2.0] * 3)
    steps = pd.DataFrame([dict(episode=0, t=t, state=t, action=a) for t, a in enumerate((0, 1))])
    # A few of the longest steps diverge; what is drawn is compared with the exact sums.
    prior, options = dist.HalfNormal(1.5), dict(num_warmup=300, num_samples=3000, num_chains=2)
    posterior = quiet(
        steps,
        world,
        reading="achieved",
        candidates=candidates,
        policy_prior=us.ActionSequences(2),
        intelligence_law=us.ExponentialLaw(prior),
        num_particles=4096,
        **options,
    )
    values = sorted({u + v for u, v in itertools.product([2.0, 1.0, 0.0], [2.5, 1.2, 0.0])}, reverse=True)
    assert len(values) == 9
    rank = {"more": values.index(3.2) + 1, "less": 9 - values.index(3.2)}
    betas = (np.arange(600) + 0.5) / 100

    def relative(rank, beta):
        return beta * math.log(9 / rank) - np.log(np.mean((9 / np.arange(1, 10))[:, None] ** beta, axis=0))

    each = np.stack([relative(rank["more"], betas), relative(rank["less"], betas), 0 * betas])
    weight = np.exp(np.asarray(prior.log_prob(betas))) * np.exp(each)
    exact = weight.sum(1) / weight.sum()
    table = us.utility_table(posterior).set_index("utility")
    found, error = (table.loc[["more", "less", "0"], name].to_numpy() for name in ("probability", "probability_error"))
    assert (np.abs(found - exact) < 5 * error + 1e-3).all()
    beta = posterior["posterior"]["beta"].values
    mean = (weight.sum(0) / weight.sum()) @ betas
    assert abs(beta.mean() - mean) < 5 * float(az.mcse(beta)) + 0.03
    assert set(posterior.children) >= {"sample_stats"} and posterior["posterior"].attrs["method"] == "nuts"


# Variational guides


def banana(counts, *, curve):
    """A bent density of two numbers, with a normal first one; `counts` are of no matter."""
    x = numpyro.sample("x", dist.Normal(0.0, 1.0))
    numpyro.sample("y", dist.Normal(curve * x**2, 0.3))


def ascended(curve, **options):
    return Guides(banana, dict(curve=curve), **options).run(jax.random.key(0), dict(counts=0.0))


@pytest.mark.parametrize(
    ("curve", "guide", "good"), [(0.0, "low-rank", True), pytest.param(2.0, "low-rank", False, marks=pytest.mark.slow)]
)
def test_a_guide_says_how_wrong_it_is(curve, guide, good):
    with jax.enable_x64(True):
        sizes = dict(guide=guide, num_steps=1500, num_samples=1000, num_chains=2)
        samples, stats, found = ascended(curve, **sizes)
    assert samples["x"].shape == stats["log_ratio"].shape == (2, 1000)
    assert (found["pareto_k"] < 0.7) == good
    if good:
        assert abs(samples["x"].mean()) < 0.15 and abs(samples["y"].std() - 0.3) < 0.1


def test_a_flow_runs():
    with jax.enable_x64(True):
        sizes = dict(guide="flow", num_steps=20, num_samples=50, num_chains=1)
        samples, stats, found = ascended(1.0, **sizes)
    expected = norm.logpdf(samples["x"]) + norm.logpdf(samples["y"], samples["x"] ** 2, 0.3)
    np.testing.assert_allclose(stats["lp"], expected, rtol=1e-6)
    assert np.isfinite(stats["log_ratio"]).all() and np.isfinite(found["elbo"])


@pytest.mark.slow
def test_a_flow_follows_what_a_normal_guide_cannot():
    """Its bound is that of the evidence, 0, but for what it gets wrong; Pareto's k of its tails goes with the seed."""
    sizes = dict(num_steps=6000, num_samples=2000, num_chains=1)
    with jax.enable_x64(True):
        bent, stiff = (ascended(1.0, guide=guide, **sizes) for guide in ("flow", "low-rank"))
    assert -0.1 < bent[2]["elbo"] < 0 and stiff[2]["elbo"] < -0.5 and stiff[2]["pareto_k"] > 0.7
    samples, stats, _ = bent
    # Densities of draws say the same as the bound that was climbed.
    ratio = stats["log_ratio"].ravel()
    assert ratio.mean() == pytest.approx(bent[2]["elbo"], abs=5 * ratio.std() / np.sqrt(2000))
    assert np.std(samples["x"]) == pytest.approx(1.0, rel=0.1)
    assert np.std(samples["y"] - samples["x"] ** 2) == pytest.approx(0.3, rel=0.1)


def test_pareto_k_of_known_tails():
    """Ratios of a Pareto density of shape k have k; equal ones none."""
    draws = np.random.default_rng(0).exponential(size=20_000)
    for k in (0.2, 0.9):
        assert pareto_k(k * draws) == pytest.approx(k, abs=0.15)
    assert (
        pareto_k(np.zeros(100)) == -np.inf and pareto_k([0.0, np.inf] * 20) == np.inf and np.isnan(pareto_k([0.0, 1.0]))
    )


@pytest.mark.slow
def test_fit_by_a_guide(posteriors):
    posterior = quiet(pulls("xxyx"), ARMS, method="svi", num_steps=800, **SHORT)
    attributes = posterior["posterior"].attrs
    assert attributes["method"] == "svi" and np.isfinite(attributes["pareto_k"])
    assert attributes["pareto_k_draws"] == SHORT["num_samples"] and attributes["max_rhat"] < 1.1
    first = us.utility_table(posterior).set_index("utility")["probability"]
    other = us.utility_table(posteriors["candidates"]).set_index("utility")["probability"]
    assert np.abs(first - other).max() < 0.15
    # What was recorded is likelier after it was recorded.
    shares = [posterior[group]["policy"].values[..., 0, 0].mean() for group in ("prior", "posterior")]
    assert 0.2 < shares[0] < shares[1] - 0.1
    assert posterior["prior_predictive"]["action_taken"].shape == (2, 100, 4)


def test_what_is_summed_has_a_prior():
    posterior = quiet(pulls("xxyx"), ARMS, program="boltzmann", temperature=0.3, **SHORT)
    assert posterior["posterior"].attrs["method"] == "exact"
    prior, share = np.exp(posterior["prior"]["utility_log_prob"].values), 2.0**-CANDIDATES.code_length
    np.testing.assert_allclose(prior, np.broadcast_to(share / share.sum(), prior.shape))
    assert {"prior_predictive", "log_likelihood"} <= set(posterior.children)
    alone = quiet(pulls("xxyx"), ARMS, program="boltzmann", temperature=0.3, prior_predictive=False, **SHORT)
    assert "prior" not in alone.children and "prior_predictive" not in alone.children


def needs_actions(actions, candidates):
    numpyro.deterministic("utility_log_prob", jnp.zeros(len(candidates)) + actions.max())


def shares(counts, candidates):
    x = numpyro.sample("x", dist.Normal())
    numpyro.deterministic("utility_log_prob", x + counts.sum() / counts.sum() * jnp.zeros(len(candidates)))


@pytest.mark.filterwarnings("ignore::utiliscope.diagnostics.ConvergenceWarning")
@pytest.mark.parametrize(
    ("program", "says"), [(needs_actions, "ValueError"), (shares, "utility_log_prob would not be numbers")]
)
def test_a_program_that_needs_a_recording_has_no_prior(program, says):
    with pytest.warns(UserWarning, match=f"cannot be run on an empty recording .{says}.*no prior group"):
        posterior = us.fit(pulls("xxyx"), ARMS, program=program, **SHORT)
    assert "prior" not in posterior.children and "posterior" in posterior.children
    with pytest.raises(us.InputError, match=f"cannot be run on an empty recording .{says}"):
        quiet(pulls("xxyx"), ARMS, program=program, prior_predictive=True, **SHORT)
    assert "prior" not in quiet(pulls("xxyx"), ARMS, program=program, prior_predictive=False, **SHORT).children


@pytest.mark.slow
@pytest.mark.parametrize("method", ["nuts", "svi"])
def test_what_is_summed_within_has_a_prior(method):
    """A utility that is summed out, among actions with a temperature that is not."""

    def soft(counts, candidates):
        utility = numpyro.sample("utility", dist.Categorical(logits=-candidates.code_length * LN2))
        temperature = numpyro.sample("temperature", dist.LogNormal(0.0, 1.0))
        action = jnp.asarray(candidates.payoffs.action)[utility, 0] / temperature
        numpyro.deterministic("intelligence", temperature)
        numpyro.factor("operator", counts[0] @ jax.nn.log_softmax(action))

    steps = dict(num_steps=300) if method == "svi" else {}
    posterior = quiet(pulls("xxyx"), ARMS, program=soft, method=method, **steps, **SHORT)
    prior, share = np.exp(posterior["prior"]["utility_log_prob"].values), 2.0**-CANDIDATES.code_length
    np.testing.assert_allclose(prior, np.broadcast_to(share / share.sum(), prior.shape), rtol=1e-6)
    assert set(posterior["prior"].dataset) == set(posterior["posterior"].dataset)
    attributes = posterior["prior"].attrs
    assert ("pareto_k" if method == "svi" else "min_ess") in attributes and attributes["max_rhat"] >= 0.9


@pytest.mark.slow
def test_an_atlas_has_a_prior_where_it_is_wanted():
    """Before anything is recorded, features of one kind weigh as much as those of the other."""
    world = us.gridworld(["a.", ".b"], slip=0.1, discount=0.8)
    behaviour = pd.DataFrame([dict(episode=e, t=0, state="0,0", action="stay") for e in range(4)])
    state = world.state_names[0]
    behaviour = behaviour.assign(state=state, action=world.action_names[0])
    options = dict(program="weights", num_warmup=200, num_samples=400, num_chains=2, num_particles=128)
    posterior = quiet(behaviour, world, prior_predictive=True, **options)
    prior = posterior["prior"]["weights"].values
    assert prior.shape[:2] == (2, 400) and posterior["prior_predictive"]["action_taken"].shape == (2, 400, 4)
    above = (prior > 0).mean(1)
    assert (np.abs(above - 0.5) < 0.25).all() and "settled" in posterior["prior"].attrs
    assert "prior" not in quiet(behaviour, world, **options).children


# Populations


@pytest.fixture(scope="module")
def population():
    return quiet(pulls("xxxyxzzz", list("aaabbbcc")), ARMS, program="population", prior_predictive=False, **SHORT)


@pytest.mark.slow
def test_a_population_has_subjects(population):
    draws = population["posterior"].dataset
    assert draws["subject_policy"].dims == ("chain", "draw", "subject", "state", "action")
    assert list(draws["subject"].values) == ["a", "b", "c"]
    chances = np.exp(draws["subject_log_prob"])
    np.testing.assert_allclose(chances.sum("utility"), 1.0)
    np.testing.assert_allclose(np.exp(draws["utility_log_prob"]), chances.mean("subject"))
    # Each decision is judged by its own subject's policy.
    told = population["log_likelihood"]["action_taken"].values[..., 3]
    np.testing.assert_allclose(told, np.log(draws["subject_policy"].values[:, :, 1, 0, 1]))


@pytest.mark.slow
def test_the_report_names_every_operator(population):
    text = report_html(population)
    table = text[text.index("<h2>Operators</h2>") :].split("</table>")[0]
    for row in us.subject_table(population).itertuples():
        assert f"<td>{row.subject}</td><td>{row.probability:.3f}</td>" in table


@pytest.fixture(scope="module")
def achievers():
    return quiet(
        pulls("xxxyxzzz", [2, 2, 2, 3, 3, 3, 10, 10]),
        ARMS,
        program="population",
        reading="achieved",
        policy_prior=us.UniformDeterministic(),
        **SHORT,
    )


@pytest.mark.slow
def test_the_report_of_a_population_by_what_was_achieved(achievers):
    assert "posterior probability" in report_html(achievers)


def test_a_population_by_what_was_achieved(achievers):
    posterior = achievers
    draws = posterior["posterior"].dataset
    assert list(draws["subject"].values) == [2, 3, 10]
    chances = np.exp(draws["subject_log_prob"].sel(utility="x").mean(("chain", "draw"))).values
    assert chances[0] > chances[1] > chances[2]
    # For "x" one policy in three does as well as the first two, and any as the last: 2 log2 3 bits in sum.
    constant = posterior["constant_data"].dataset.sel(utility="x")
    error = len(draws["subject"]) * float(constant["intelligence_std_error"])
    together = -math.log2(gammaincc(3, 2 * math.log(3)))
    assert abs(float(constant["behaviour_intelligence"]) - together) < 5 * error
    told = {finding.what: finding.says for finding in check_posterior(posterior)}
    assert "by all operators together. Random operators would do as well" in told["intelligent"]


@pytest.mark.slow
def test_weights_of_likelihoods_are_those_of_laws():
    """The summed program is the sum: NUTS over a fixed grid would be too slow a test; its density is compared."""
    from utiliscope.models.achieved import achieved

    from utiliscope.summation import over_cells

    world = us.world_model(np.ones((1, 3, 1)), [1.0], 0.0)
    candidates = us.candidate_set(world, {"arm": np.array([[2.0, 1.0, 0.0]]), "none": np.zeros((1, 3))}, [1.0, 1.0])
    tails = us.value_tail(
        jax.random.key(0), world, candidates.payoffs, policy_prior=us.UniformDeterministic(), num_particles=512
    )
    with jax.enable_x64(True):
        value = np.where(np.array(candidates.names) == "arm", 1.0, 0.0)
        law = us.ExponentialLaw(1.2)
        inputs = dict(value=value, value_error=np.zeros(2), candidates=candidates, tails=tails)
        log_joint, _, _ = over_cells(achieved, inputs | dict(intelligence_law=law, simplicity=1.0))
        expected = log_intelligence_weight(law, tails, tails.bits(value)) - LN2 * candidates.code_length
        found = logsumexp(log_joint, axis=1)
        np.testing.assert_allclose(found - found[0], expected - expected[0], atol=1e-9)

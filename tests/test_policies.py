"""Random-policy priors: what they draw, their densities, and that their moves leave them as they are."""

import itertools
import math
from collections import Counter
from fractions import Fraction
from functools import partial

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from numpyro import distributions, sample
from numpyro.infer import MCMC, NUTS

import utiliscope as us
from utiliscope.policies import choice_states
from utiliscope.row_dirichlet import RowDirichlet
from utiliscope.sequences import comparison_world, path_value
from utiliscope.world.model import reachable_states

# Rows with 3, 2 (with a gap) and 1 available actions.
AVAILABLE = np.array([[True, True, True], [True, False, True], [False, True, False]])
WORLD = us.world_model(
    np.random.default_rng(0).dirichlet(np.ones(3), (3, 3)), [0.5, 0.3, 0.2], 0.9, available=AVAILABLE
)
NUMBER = AVAILABLE.sum(-1, keepdims=True)
PRIORS = {
    "deterministic": us.UniformDeterministic(),
    "uniform rows": us.Dirichlet(1.0),
    "sharp rows": us.Dirichlet(0.3),
    "uneven rows": us.Dirichlet(np.array([[0.4, 3.0, 1.5], [2.0, 1.0, 0.7], [1.0, 5.0, 1.0]])),
    "flat rows": us.Dirichlet(4.0),
    "sequences": us.ActionSequences(3),
}
ROWS = [name for name in PRIORS if name != "sequences"]


def moments(prior):
    """Exact E p and E p^2 of each entry."""
    mean = AVAILABLE / NUMBER
    if isinstance(prior, us.Dirichlet):
        shape = AVAILABLE * prior.concentration
        total = shape.sum(-1, keepdims=True)
        mean, square = shape / total, shape * (shape + 1) / (total * (total + 1))
    else:
        square = mean
    return mean, square


def samples(prior, number):
    return np.asarray(jax.vmap(lambda key: prior.sample(key, WORLD))(jax.random.split(jax.random.key(1), number)))


def assert_within_errors(draws, expected):
    """`draws` `[N, ...]` are independent with mean `expected`, within five standard errors."""
    error = draws.std(0, ddof=1) / np.sqrt(len(draws))
    assert (np.abs(draws.mean(0) - expected) <= 5 * error + 1e-12).all()


@pytest.mark.parametrize("name", PRIORS)
def test_samples_are_policies_over_available_actions(name):
    prior = PRIORS[name]
    draws = samples(prior, 4000)
    assert draws.shape == ((4000, 3, 3, 3) if name == "sequences" else (4000, 3, 3))
    np.testing.assert_allclose(draws.sum(-1), 1.0, rtol=1e-12)
    assert (draws >= 0).all() and not draws[..., ~AVAILABLE].any()
    if prior.atomic:
        assert set(np.unique(draws)) == {0.0, 1.0}
    mean, square = moments(prior)
    assert_within_errors(draws, np.broadcast_to(mean, draws.shape[1:]))
    assert_within_errors(draws**2, np.broadcast_to(square, draws.shape[1:]))
    np.testing.assert_array_equal(prior.sample(jax.random.key(3), WORLD), prior.sample(jax.random.key(3), WORLD))


@pytest.mark.parametrize("name", ROWS)
def test_rows_are_independent(name):
    draws = samples(PRIORS[name], 4000) - moments(PRIORS[name])[0]
    assert_within_errors(draws[:, 0, :, None] * draws[:, 1, None, :], 0.0)


def test_deterministic_policies_are_equally_likely():
    counts = Counter(map(bytes, samples(us.UniformDeterministic(), 6000).argmax(-1).astype(np.uint8)))
    assert len(counts) == 6
    assert scipy.stats.chisquare(list(counts.values())).pvalue > 1e-6


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] if name in ("uniform rows", "flat rows") else []) for name in ROWS],
)
def test_moves_leave_the_prior_invariant(name):
    """Chains from one point: after a long run the moments are the prior's. One batch mean for each chain."""
    prior, chains, warmup, steps = PRIORS[name], 200, 300, 1500
    state = 0
    available = jnp.asarray(AVAILABLE[state])

    def step(row, key):
        propose, accept = jax.random.split(key)
        uneven = np.ndim(getattr(prior, "concentration", 0.0)) > 0
        new, log_ratio = prior.perturb_row(propose, row, available, *([state] if uneven else []))
        row = jnp.where(jnp.log(jax.random.uniform(accept)) < log_ratio, new, row)
        return row, row

    def chain(key):
        start = jnp.array([1.0, 0.0, 0.0]) if prior.atomic else jnp.array([0.98, 0.01, 0.01])
        rows = jax.lax.scan(step, start, jax.random.split(key, warmup + steps))[1][warmup:]
        cross = rows[:, 0] * rows[:, 1]
        return jnp.concatenate([rows.mean(0), (rows**2).mean(0), cross.mean(keepdims=True)])

    means = np.asarray(jax.jit(jax.vmap(chain))(jax.random.split(jax.random.key(2), chains)))
    mean, square = (part[state] for part in moments(prior))
    if isinstance(prior, us.Dirichlet):
        first, second, _ = shape = np.broadcast_to(prior.concentration, (3, 3))[state]
        cross = first * second / (shape.sum() * (shape.sum() + 1))
    else:
        cross = 0.0
    assert_within_errors(means, np.concatenate([mean, square, [cross]]))


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_moves_keep_to_available_actions(name):
    prior, key = PRIORS[name], jax.random.key(4)
    policy = prior.sample(key, WORLD)
    for state, single in enumerate(jax.random.split(key, 3)):
        own = {"state": state} if np.ndim(getattr(prior, "concentration", 0.0)) else {}
        move = jax.vmap(partial(prior.perturb_row, **own), (0, None, None))
        rows, ratios = move(jax.random.split(single, 50), policy[state], jnp.asarray(AVAILABLE[state]))
        np.testing.assert_allclose(rows.sum(-1), 1.0)
        assert not np.asarray(rows)[:, ~AVAILABLE[state]].any() and np.isfinite(ratios).all()
        if NUMBER[state] == 1:
            np.testing.assert_array_equal(rows, np.broadcast_to(policy[state], rows.shape))


def test_moves_start_from_corners():
    """Rows that underflowed to a corner move on, and nothing turns into NaN."""
    row, available = jnp.array([1.0, 0.0, 0.0]), jnp.ones(3, bool)
    for prior in (us.Dirichlet(1.0), us.Dirichlet(0.01)):
        keys = jax.random.split(jax.random.key(0), 200)
        rows, ratios = jax.vmap(lambda k, prior=prior: prior.perturb_row(k, row, available))(keys)
        assert np.isfinite(rows).all() and np.isfinite(ratios).all()


def test_choice_states():
    np.testing.assert_array_equal(choice_states(WORLD, np.ones(3, bool)), [0, 1])
    np.testing.assert_array_equal(choice_states(WORLD, np.array([True, False, True])), [0])
    stuck = us.gridworld(["..#.."], initial=[1, 0, 0, 0])
    np.testing.assert_array_equal(choice_states(stuck, reachable_states(stuck)), [0, 1])


@pytest.mark.parametrize("concentration", [0.0, -1.0, float("nan"), np.array([[1.0, 0.0]])])
def test_bad_concentrations(concentration):
    with pytest.raises(us.InputError, match="above 0"):
        us.Dirichlet(concentration)


def test_concentrations_of_another_world():
    with pytest.raises(us.InputError, match=r"shape \(2, 3\); give one number, or \[states, actions\] = \(3, 3\)"):
        us.Dirichlet(np.ones((2, 3))).sample(jax.random.key(0), WORLD)


# The density


@pytest.mark.parametrize("name", ["sharp rows", "uniform rows", "flat rows", "uneven rows"])
def test_log_prob_is_scipys(name):
    prior = PRIORS[name]
    shape = np.broadcast_to(prior.concentration, AVAILABLE.shape)
    distribution = prior.distribution(WORLD)
    policies = samples(prior, 20)
    for policy, found in zip(policies, jax.vmap(distribution.log_prob)(policies), strict=True):
        expected = 0.0
        for row, available, own in zip(policy, AVAILABLE, shape, strict=True):
            if available.sum() > 1:
                shares = row[available] / row[available].sum()
                expected += scipy.stats.dirichlet(own[available]).logpdf(shares)
        assert found == pytest.approx(expected, rel=1e-9)


def test_sample_agrees_with_log_prob():
    """Importance weights from uniform rows to the sharper prior average to 1, and carry its moments."""
    draws = np.asarray(RowDirichlet(1.0, AVAILABLE).sample(jax.random.key(5), (20000,)))
    other = us.Dirichlet(2.0)
    log_weight = jax.vmap(other.distribution(WORLD).log_prob)(draws) - RowDirichlet(1.0, AVAILABLE).log_prob(draws[0])
    weight = np.exp(np.asarray(log_weight))
    assert_within_errors(weight, 1.0)
    for power, expected in zip((1, 2), moments(other), strict=True):
        assert_within_errors(weight[:, None, None] * draws**power, expected)


def test_distribution_and_prior_draw_alike():
    prior, key = us.Dirichlet(1.0), jax.random.key(6)
    draws = prior.distribution(WORLD).sample(key, (4000,))
    assert_within_errors(np.asarray(draws), AVAILABLE / NUMBER)
    support = prior.distribution(WORLD).support
    assert bool(support(draws).all())
    assert not bool(support(draws[0].at[2, 0].set(1e-3)))
    assert bool(support(support.feasible_like(jnp.zeros((3, 3)))))


RAGGED = np.array([[False, True, True, False, True], [True, False, False, False, False]])


@pytest.mark.slow
@pytest.mark.parametrize("available", [AVAILABLE, np.ones((2, 4), bool), RAGGED])
def test_transform_is_a_bijection_with_its_jacobian(available):
    transform = distributions.biject_to(RowDirichlet(1.0, available).support)
    number = available.sum(-1)
    size = int((number - 1).sum())
    assert transform.forward_shape((size,)) == available.shape and transform.inverse_shape(available.shape) == (size,)
    # The free shares: all but the last available action of each row.
    free = [(s, a) for s, row in enumerate(available) for a in np.flatnonzero(row)[:-1]]
    rows, columns = np.array(free).T
    for x in np.random.default_rng(1).normal(size=(5, size)) * 2:
        policy = transform(x)
        np.testing.assert_allclose(policy.sum(-1), 1.0)
        assert not np.asarray(policy)[~available].any()
        np.testing.assert_allclose(transform._inverse(policy), x, rtol=1e-9, atol=1e-9)
        jacobian = jax.jacfwd(lambda x: transform(x)[rows, columns])(x)
        expected = np.linalg.slogdet(jacobian)[1]
        np.testing.assert_allclose(transform.log_abs_det_jacobian(x, policy), expected, rtol=1e-9)
    even = available / available.sum(-1, keepdims=True)
    np.testing.assert_allclose(transform(np.zeros(size)), even, rtol=1e-12)


def test_transform_in_batches():
    transform = distributions.biject_to(RowDirichlet(1.0, AVAILABLE).support)
    x = np.random.default_rng(2).normal(size=(4, 3))
    policies = transform(x)
    np.testing.assert_allclose(policies, np.stack([transform(one) for one in x]))
    np.testing.assert_allclose(transform._inverse(policies), x, rtol=1e-9)
    alone = [transform.log_abs_det_jacobian(one, transform(one)) for one in x]
    np.testing.assert_allclose(transform.log_abs_det_jacobian(x, policies), alone)
    far = transform(np.full(3, 800.0))
    assert np.isfinite(far).all() and np.isfinite(transform._inverse(far)).all()


@pytest.mark.slow
def test_nuts_samples_the_prior():
    prior = us.Dirichlet(0.7)
    mcmc = MCMC(
        NUTS(lambda: sample("policy", prior.distribution(WORLD))),
        num_warmup=300,
        num_samples=1500,
        num_chains=2,
        chain_method="vectorized",
        progress_bar=False,
    )
    mcmc.run(jax.random.key(7))
    draws = np.asarray(mcmc.get_samples(group_by_chain=True)["policy"])
    varies = NUMBER[:, 0] > 1
    for power, expected in zip((1, 2), moments(prior), strict=True):
        for s, a in np.argwhere(AVAILABLE & varies[:, None]):
            chain = draws[:, :, s, a] ** power
            assert abs(chain.mean() - expected[s, a]) < 5 * az.mcse(chain)
    np.testing.assert_array_equal(draws[:, :, 2], np.broadcast_to([0.0, 1.0, 0.0], draws[:, :, 2].shape))


# Action sequences


def graph(links, initial, discount=0.9, **options):
    """A deterministic world; `links[s][a]` is the next state, -1 where the action is not available."""
    links = np.array(links)
    return us.world_model(np.eye(len(links))[links], initial, discount, available=links >= 0, **options)


UNEVEN = graph([[1, 2, 0], [-1, 0, 2], [-1, -1, 1]], [1, 0, 0])
TWO_STARTS = graph([[1, 2, 0], [-1, 0, 2], [-1, -1, 1]], [0.25, 0.75, 0])


def test_sequences_choose_evenly_where_they_are_led():
    """All choices, as digits: each step takes each available action equally often, given the ones before."""
    horizon, digits = 3, 6
    prior = us.ActionSequences(horizon)
    grid = np.array(list(itertools.product((np.arange(digits) + 0.5) / digits, repeat=horizon)))
    policies = np.asarray(jax.vmap(lambda choices: prior.policy(choices, UNEVEN))(grid))
    counts = Counter()
    for rows in policies:
        state, taken = 0, []
        for row in rows:
            action = int(row[state].argmax())
            taken.append(action)
            state = int(UNEVEN.transition[state, action].argmax())
        counts[tuple(taken)] += 1

    expected = {}

    def follow(state, taken, chance):
        if len(taken) == horizon:
            expected[taken] = chance
            return
        options = np.flatnonzero(UNEVEN.available[state])
        for action in options:
            following = int(UNEVEN.transition[state, action].argmax())
            follow(following, (*taken, int(action)), chance / len(options))

    follow(0, (), Fraction(1))
    assert {taken: Fraction(number, digits**horizon) for taken, number in counts.items()} == expected


@pytest.mark.parametrize("world", [UNEVEN, TWO_STARTS], ids=["one start", "two starts"])
def test_path_values_are_expected_utilities(world):
    rng = np.random.default_rng(3)
    prior = us.ActionSequences(5)
    world = comparison_world(world, prior)
    targets = np.array([[False, True, False], [False, True, True]])
    payoffs = us.Payoffs(rng.normal(size=(4, 3)), rng.normal(size=(4, 3, 3)), rng.normal(size=(4, 2)), targets)

    @jax.jit
    @jax.vmap
    def values(key):
        choices = prior.draw(key, world)
        expected = us.expected_utility(world, prior.policy(choices, world), payoffs)
        return expected, path_value(choices, world, payoffs), prior.value(choices, world, payoffs[0])

    expected, along_paths, single = values(jax.random.split(jax.random.key(8), 40))
    np.testing.assert_allclose(along_paths, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(single, expected[:, 0], rtol=1e-12, atol=1e-12)


def test_sequence_values_in_a_world_of_chance():
    prior = us.ActionSequences(4)
    world = comparison_world(WORLD, prior)
    payoffs = us.Payoffs(np.arange(3.0), None, np.ones(1), np.array([[False, True, False]]))
    choices = prior.draw(jax.random.key(9), world)
    expected = us.expected_utility(world, prior.policy(choices, world), payoffs)
    np.testing.assert_allclose(prior.value(choices, world, payoffs), expected, rtol=1e-12)


def test_sequence_moves_change_one_step():
    prior, key = us.ActionSequences(6), jax.random.key(10)
    choices = prior.draw(key, UNEVEN)
    moved, ratios = jax.vmap(lambda k: prior.perturb(k, choices, UNEVEN))(jax.random.split(key, 100))
    assert (np.sum(np.asarray(moved) != choices, -1) == 1).all() and not np.asarray(ratios).any()
    assert set(np.argmax(np.asarray(moved != choices), -1).tolist()) == set(range(6))


def test_horizons_of_sequences():
    assert comparison_world(UNEVEN, us.ActionSequences(4)).horizon == 4
    assert comparison_world(UNEVEN, us.Dirichlet(1.0)) is UNEVEN
    with pytest.raises(us.InputError, match="make them equal"):
        comparison_world(us.world_model(UNEVEN.transition, [1, 0, 0], 1, horizon=3), us.ActionSequences(4))
    for horizon in (0, -1, 2.5):
        with pytest.raises((us.InputError, TypeError), match="horizon"):
            us.ActionSequences(horizon)


def test_log_probabilities():
    """Of a uniform prior over 2 * 3 policies, and of a flat density; nothing outside their support."""
    available = np.array([[True, True, False], [True, True, True], [False, False, True]])
    world = us.world_model(np.repeat(np.eye(3)[:, None], 3, 1), np.ones(3) / 3, 0.5, available=available)
    policy = np.eye(3)[[1, 2, 2]]
    flat, rows = us.UniformDeterministic(), us.Dirichlet(1.0)
    assert float(flat.log_prob(policy, world)) == pytest.approx(-math.log(6))
    inside = np.array([[0.2, 0.8, 0.0], [0.1, 0.2, 0.7], [0.0, 0.0, 1.0]])
    assert float(flat.log_prob(inside, world)) == -math.inf
    assert float(rows.log_prob(inside, world)) == pytest.approx(math.log(2))
    for prior in (flat, rows):
        assert float(prior.log_prob(np.eye(3)[[2, 2, 2]], world)) == -math.inf
        assert np.isfinite(prior.log_prob(prior.sample(jax.random.key(0), world), world))

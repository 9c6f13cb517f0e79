"""Optimal values by sweeps along links: the dense solver as the oracle, and derivatives against its and differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import utiliscope as us
from utiliscope.action_values import optimal_action_values
from utiliscope.linked_values import links_of, nearly_optimal


def open_grid(size, discount, slip=0.1):
    return us.gridworld(["." * size] * size, slip=slip, discount=discount)


def random_world(seed, num_states=220, discount=0.9, hub=False):
    """Two successors for each of three actions, some of which are not available; with `hub` all lead to state 0 too."""
    random = np.random.default_rng(seed)
    transition = np.zeros((num_states, 3, num_states))
    for state in range(num_states):
        for action in range(3):
            where = random.choice(num_states, 2, replace=False)
            transition[state, action, where] = random.dirichlet([1.0, 1.0])
    if hub:
        transition = 0.9 * transition
        transition[:, :, 0] += 0.1
    available = random.random((num_states, 3)) < 0.8
    available[:, 0] = True
    return us.world_model(transition, np.full(num_states, 1 / num_states), discount, available=available)


def dense(world, payoff):
    """The same where the world is not known while tracing: one factorisation for each policy."""
    traced = us.world_model(world.transition, world.initial, world.discount, available=world.available)
    plain = jax.tree.map(jnp.asarray, traced)
    assert links_of(plain, payoff.dtype) is None
    return optimal_action_values(plain, payoff)


WORLDS = {
    "grid": lambda: open_grid(12, 0.9),
    "deterministic": lambda: open_grid(13, 0.9, slip=0.0),
    "random": lambda: random_world(0),
    "hub": lambda: random_world(1, hub=True),
    "patient": lambda: open_grid(22, 0.95),
    "no future": lambda: open_grid(12, 0.0),
}


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name == "patient" else name for name in WORLDS]
)
def test_values_and_derivatives_are_those_of_the_dense_solver(name):
    world = WORLDS[name]()
    known = links_of(world, np.float64)
    assert known.solve_slower != (name == "hub")  # all come from everywhere there
    random = np.random.default_rng(2)
    payoff = jnp.asarray(10 * random.normal(size=(world.num_states, world.num_actions)))
    towards = jnp.asarray(random.normal(size=payoff.shape))

    def score(solver, payoff):
        q = solver(world, payoff)
        return (jnp.where(world.available, q, 0.0) * towards).sum(), q

    (_, found), slope = jax.jit(jax.value_and_grad(lambda x: score(optimal_action_values, x), has_aux=True))(payoff)
    (_, expected), wanted = jax.value_and_grad(lambda x: score(dense, x), has_aux=True)(payoff)
    size = np.abs(expected[np.isfinite(expected)]).max()
    np.testing.assert_array_equal(np.isinf(found), ~np.asarray(world.available))
    np.testing.assert_allclose(found, expected, atol=1e-13 * size)
    np.testing.assert_allclose(slope, wanted, atol=1e-12 * np.abs(wanted).max())
    # Forward, too.
    change = jnp.asarray(random.normal(size=payoff.shape))
    forward = jax.jvp(lambda x: score(optimal_action_values, x)[0], (payoff,), (change,))[1]
    assert float(forward) == pytest.approx(float((wanted * change).sum()), rel=1e-11)


def test_derivatives_are_those_of_differences():
    world = open_grid(12, 0.9)
    random = np.random.default_rng(3)
    payoff, change = (jnp.asarray(random.normal(size=(144, 4))) for _ in range(2))

    def score(payoff):
        return jnp.sin(optimal_action_values(world, payoff)).sum()

    step = 1e-6
    by_differences = (score(payoff + step * change) - score(payoff - step * change)) / (2 * step)
    assert float((jax.grad(score)(payoff) * change).sum()) == pytest.approx(float(by_differences), rel=1e-6)


def test_lanes_are_the_same_as_one_by_one():
    world = open_grid(12, 0.9)
    # Values of very different size and nearness: each lane takes its own number of sweeps.
    payoffs = jnp.asarray(
        np.random.default_rng(4).normal(size=(4, 144, 4)) * np.array([1e-8, 1.0, 1e8, 0.0])[:, None, None]
    )
    together = jax.vmap(lambda payoff: optimal_action_values(world, payoff))(payoffs)
    for lane, payoff in zip(together, payoffs, strict=True):
        alone = optimal_action_values(world, payoff)
        np.testing.assert_allclose(lane, alone, rtol=1e-12, atol=1e-14 * float(jnp.abs(alone).max()))
    assert not jnp.any(together[3])


def test_where_all_is_worth_the_same_the_derivative_is_that_of_one_policy():
    world = open_grid(12, 0.9)
    slope = jax.grad(lambda payoff: optimal_action_values(world, payoff).sum())(jnp.zeros((144, 4)))
    # Every action of every state once, and all that follows it: 4 x 144 / (1 - 0.9).
    assert float(slope.sum()) == pytest.approx(5760, rel=1e-12)


def test_what_is_not_a_number_ends():
    for odd in (np.nan, np.inf):
        payoff = jnp.zeros((144, 4)).at[3, 1].set(odd)
        found = optimal_action_values(open_grid(12, 0.9), payoff)
        assert not jnp.isfinite(found).all()


def test_single_precision():
    with jax.enable_x64(False):
        world, payoff = open_grid(12, 0.9), np.random.default_rng(5).normal(size=(144, 4)).astype(np.float32)
        found = optimal_action_values(world, payoff)
        assert found.dtype == jnp.float32 and links_of(world, np.float32).num_sweeps < 160
    expected = dense(open_grid(12, 0.9), jnp.asarray(payoff, jnp.float64))
    np.testing.assert_allclose(found, expected, atol=1e-5 * float(jnp.abs(expected).max()))


def test_modified_policy_iteration_comes_near():
    world = open_grid(12, 0.9)
    payoff = jnp.asarray(np.random.default_rng(6).normal(size=(144, 4)))
    value = nearly_optimal(links_of(world, np.float64), payoff)
    best = dense(world, payoff).max(-1)
    assert float(jnp.abs(value - best).max()) < 1e-3 * float(jnp.abs(best).max())


def test_small_and_crowded_worlds_are_solved():
    assert links_of(us.gridworld(["...", "...", "..."]), np.float64) is None
    assert not links_of(open_grid(6, 0.9), np.float64).solve_slower
    assert not links_of(open_grid(12, 0.99), np.float64).solve_slower

"""Redraws of rows in JAX leave the law they are for as it is: exact draws in, exact draws out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import beta, ks_1samp, ks_2samp

import utiliscope as us
from utiliscope.row_redraws import row_move, shares_redraw

NUMBER, LEAST_P = 20_000, 1e-4


def redrawn(rows, concentration, above=lambda row: True, available=None):
    """Each of `rows` after one redraw."""
    available = jnp.ones(rows.shape[1], bool) if available is None else jnp.asarray(available)
    redraw = shares_redraw(jnp.asarray(concentration)[None])
    keys = jax.random.split(jax.random.key(1), len(rows))
    return np.asarray(jax.jit(jax.vmap(lambda key, row: redraw(key, row, above, available, 0)))(keys, rows))


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("concentration", [(1.0, 1.0), (0.05, 300.0), (300.0, 300.0), (3e4, 2e4), (3e6, 2e6)])
def test_pairs_stay_beta(concentration):
    """Narrow rows need the slice's height looked at: the interval is wider than the slice."""
    first = beta(*concentration).rvs(NUMBER, random_state=0)
    rows = redrawn(np.stack([first, 1 - first], -1), np.array(concentration))
    assert ks_1samp(rows[:, 0], beta(*concentration).cdf).pvalue > LEAST_P
    assert np.abs(rows.sum(-1) - 1).max() < 1e-12
    # It nearly forgets where it was.
    assert abs(np.corrcoef(np.argsort(np.argsort(first)), np.argsort(np.argsort(rows[:, 0])))[0, 1]) < 0.5


def test_uneven_rows_above_a_level_stay_so():
    concentration, payoff = np.array([0.3, 5.0, 2.0, 40.0]), np.array([3.0, 1.0, 0.0, 0.5])
    draws = np.random.default_rng(2).dirichlet(concentration, 20 * NUMBER)
    level = float(np.quantile(draws @ payoff, 0.85))
    before, others = np.split(draws[draws @ payoff > level][: 2 * NUMBER], 2)
    rows = redrawn(before, concentration, lambda row: row @ jnp.asarray(payoff) > level)
    assert len(rows) == NUMBER and (rows @ payoff > level).all()
    for action in range(4):
        assert ks_2samp(rows[:, action], others[:, action]).pvalue > LEAST_P


def test_actions_that_are_not_available_stay_out():
    first = beta(2.0, 3.0).rvs(NUMBER, random_state=3)
    rows = redrawn(
        np.stack([first, 0 * first, 1 - first], -1), np.array([2.0, 7.0, 3.0]), available=[True, False, True]
    )
    assert (rows[:, 1] == 0).all() and ks_1samp(rows[:, 0], beta(2.0, 3.0).cdf).pvalue > LEAST_P


def test_a_prior_of_ones_own_may_have_a_concentration():
    class Own:
        concentration = np.ones(3)

        def perturb_row(self, key, row, available):
            return row, 0.0

    row, log_ratio = row_move(Own())(jax.random.key(0), jnp.ones(3) / 3, jnp.ones(3, bool), 1)
    assert log_ratio == 0.0 and row.shape == (3,)
    assert row_move(us.Dirichlet(np.ones((2, 3)))).__name__ == "perturb_row"

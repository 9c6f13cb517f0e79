"""`benchmarks/exactness.py`: its exact side against closed form, and the rows that are exact sums on both sides."""

import pathlib
import sys

import numpy as np
import pytest
from scipy.special import betaln, softmax

sys.path.append(str(pathlib.Path(__file__).parent.parent / "benchmarks"))
import exact_bandit as bandit
import exactness


def test_sums_over_policies_against_beta_functions():
    """The arm's share x is Beta(1 + n, 2 + rest) given the counts, and h = (1 - x)^(-2 beta)."""
    beta, taken = 0.7, np.zeros(3)
    taken[[bandit.FIRST, bandit.SECOND]] = bandit.COUNTS[0, :2]
    rest = bandit.COUNTS.sum() - taken
    log_mean = np.log(1 - beta) + betaln(1 + taken, 2 + rest - 2 * beta) - betaln(1 + taken, 2 + rest)
    log_mean[bandit.NOTHING] = 0.0
    found = bandit.posterior(bandit.exponential(beta))
    np.testing.assert_allclose(found, softmax(bandit.LOG_PRIOR + log_mean), atol=5e-5)


def test_the_achieved_reading(monkeypatch, capsys):
    """Also that the table is printed, and that the exit status tells."""
    rows = exactness.achieved()
    assert len(rows) == 4 and max(row.apart for row in rows) < 1e-4
    assert max(row.apart for row in rows[:2]) < 1e-12  # finitely many policies
    monkeypatch.setitem(exactness.PROGRAMS, "achieved", lambda draws: rows)
    monkeypatch.setattr("sys.argv", ["exactness", "--only", "achieved"])
    for within, status, word in ((0.01, 0, "yes"), (0.0, 1, "no")):
        monkeypatch.setattr(exactness, "WITHIN", within)
        with pytest.raises(SystemExit) as ended:
            exactness.main()
        assert ended.value.code == status and f"| {word}" in capsys.readouterr().out


def test_planners_are_sampled_beside_their_sums():
    [row] = exactness.boltzmann(300)
    assert 0 < row.error < 0.02 and row.apart < 5 * row.error

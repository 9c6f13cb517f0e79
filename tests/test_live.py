"""What is said while a suite runs, and when it is interrupted."""

import signal

import pytest

from utiliscope.suite.live import LiveTable
from utiliscope.terminal import Run, reporting

JOB = {"world": "w", "agent": "a", "utility": "u", "num_episodes": 3, "seed": 0}


def shown(table):
    return [list(column.cells) for column in table._table().columns]


def test_a_row_of_several_claims_counts_for_each():
    table = LiveTable(Run())
    nan = float("nan")
    several = {"variant": ["one", "two"], "log_score": [-1.0, nan], "best_true": [1.0, 0.0], "regret": [0.5, nan]}
    table.update(0, 0, 4, None)
    table.update(1, 0, 4, {**JOB, "method": "m", **several, "grid_laws": ["x"]})
    table.update(2, 0, 4, {**JOB, "method": "m", **several, "log_score": [-2.0, -3.0]})
    table.update(3, 0, 4, {**JOB, "method": "prior", "log_score": -4.0})
    table.update(3, 1, 4, {**JOB, "method": "other", "reason": "it failed"})
    methods, recordings, scores, best, regret = shown(table)
    assert methods == ["one", "two", "prior"] and recordings == ["2", "2", "1"]
    assert (
        scores == ["-1.500", "-3.000", "-4.000"] and best == ["1.000", "0.000", "-"] and regret == ["0.500", "-", "-"]
    )
    assert table._table().title == "3 of 4 jobs, 1 failed"
    table.stop()


def test_an_interrupt_says_what_is_left(monkeypatch, capsys):
    def ended(code):
        raise SystemExit(code)

    monkeypatch.setattr("os._exit", ended)
    for said in (None, "interrupted; go on with --resume"):
        with pytest.raises(SystemExit), reporting() as run:
            run.interrupted = said or run.interrupted
            signal.getsignal(signal.SIGINT)(signal.SIGINT, None)
        assert capsys.readouterr().err.strip() == (said or "interrupted; nothing was written")

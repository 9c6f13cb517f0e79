"""What tuning reads of a suite's folder, and which folders it refuses."""

import dataclasses

import numpy as np
import pytest
from typer.testing import CliRunner

from utiliscope.cli import app
from utiliscope.errors import InputError
from utiliscope.suite.jobs import Job
from utiliscope.suite.results import write_json, write_result
from utiliscope.suite.resuming import agents_settings
from utiliscope.tuning.evidence import Laws, read_evidence
from utiliscope.tuning.outcome import tune_on


def test_evidence_is_read_from_results(tmp_path):
    (tmp_path / "jobs").mkdir()
    row = {
        "grid_evidence": np.arange(6.0).reshape(1, 2, 3).tolist(),
        "grid_error": [[0.1, 0.2]],
        "grid_concentrations": [1.0],
        "grid_laws": ["exponential:0", "exponential:0.8"],
    }
    job = Job("w", "optimal", "reach(G)", 3, 0, "intelligence")
    others = [dataclasses.replace(job, method="prior"), dataclasses.replace(job, agent="two-faced")]
    for one in (job, others[1]):
        write_result(tmp_path, one, row)
    write_result(tmp_path, others[0], {"log_score": -1.0})
    kinds = {"optimal": ("best", "agent"), "two-faced": ("degenerate", "degenerate")}

    def families(_, agent, __):
        return kinds[agent]

    laws, (found,), passed_over = read_evidence(tmp_path, families, lambda *_: (np.ones(3), 2))
    assert passed_over == ["two-faced"]
    assert laws == Laws((1.0,), ("exponential:0", "exponential:0.8"))
    assert found.job == job and found.family == "best" and found.truth == 2
    np.testing.assert_array_equal(found.log_evidence, np.arange(6.0).reshape(1, 2, 3))
    # What is no candidate cannot be scored.
    with pytest.raises(InputError, match="no evidence that can be scored, only of optimal, two-faced"):
        read_evidence(tmp_path, families, lambda *_: (np.ones(3), None))
    with pytest.raises(InputError, match="holds no evidence; run"):
        read_evidence(tmp_path / "elsewhere", families, lambda *_: (np.ones(3), 2))
    with pytest.raises(InputError, match="two-faced"):
        read_evidence(tmp_path, lambda _, agent, __: {"optimal": ("best", "agent")}[agent], lambda *_: (np.ones(3), 2))
    with pytest.raises(InputError, match="candidates"):
        read_evidence(tmp_path, families, lambda *_: (np.ones(4), 2))


def test_evidence_that_is_no_number_is_refused(tmp_path):
    (tmp_path / "jobs").mkdir()
    row = {"grid_evidence": [[[0.0, float("nan")]]], "grid_error": [[0.1]]}
    row |= {"grid_concentrations": [1.0], "grid_laws": ["exponential:0"]}
    write_result(tmp_path, Job("w", "optimal", "reach(G)", 3, 0, "intelligence"), row)
    with pytest.raises(InputError, match="is no number"):
        read_evidence(tmp_path, lambda *_: ("best", "agent"), lambda *_: (np.ones(2), 1))


def test_a_folder_without_a_suite_is_no_ground_for_tuning(tmp_path):
    with pytest.raises(InputError, match=r"nothere holds no suite; run `utiliscope suite --out .*nothere` first"):
        tune_on(tmp_path / "nothere")


def test_agents_that_have_changed_since_are_refused(tmp_path):
    file, out = tmp_path / "mine.py", tmp_path / "out"
    file.write_text("from utiliscope.agents import Optimal\nROSTER = {'mine': Optimal()}\n")
    out.mkdir()
    write_json(out / "suite.json", {"format": 1, "settings": agents_settings(str(file))})
    with pytest.raises(InputError, match="holds no evidence"):
        tune_on(out)
    text = file.read_text()
    file.write_text(text + "# another line\n")
    with pytest.raises(
        InputError, match=r"mine\.py is not what it was when the results in .*out were made; put it back"
    ):
        tune_on(out)
    file.unlink()
    with pytest.raises(InputError, match=r"mine\.py cannot be read"):
        tune_on(out)


def test_help_says_that_concentrations_are_chosen_among():
    of_tune, of_suite = (
        " ".join(CliRunner().invoke(app, [name, "--help"], terminal_width=200).output.split())
        for name in ("tune", "suite")
    )
    assert "tuning chooses among them" in of_tune and "1,0.5,2" in of_tune and "claims are made for each" in of_suite

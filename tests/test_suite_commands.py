"""`utiliscope suite` and `utiliscope tune`, from plan to report, small."""

import dataclasses
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from utiliscope.cli import app
from utiliscope.errors import InputError
from utiliscope.suite.frames import results_frame
from utiliscope.suite.report import write_suite_report
from utiliscope.suite.results import read_result, write_result, write_table
from utiliscope.suite_commands import _able
from utiliscope.tuning.weights_file import read_weights

SMALL = ["--worlds", "cliff", "--agents", "optimal,epsilon,random", "--goals", 1, "--episodes", "2"]
QUICK = [*SMALL, "--methods", "prior,boltzmann", "--executor", "serial"]


def call(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("suite") / "out"
    result = call("suite", "--out", out, *QUICK)
    assert result.exit_code == 0, result.output
    return out


def test_a_suite_from_plan_to_report(folder):
    table = pd.read_parquet(folder / "results.parquet")
    # Optimal, three of the family epsilon, and a null, each read by two methods.
    assert sorted(set(table.agent)) == ["epsilon-0.1", "epsilon-0.3", "epsilon-0.6", "optimal", "random"]
    assert len(table) == 10 and set(table.method) == {"prior", "boltzmann"}
    known = table[table.agent != "random"]
    assert known.log_score.notna().all() and table[table.agent == "random"].log_score.isna().all()
    means = known.groupby("method").log_score.mean()
    assert means["boltzmann"] > means["prior"]
    frame = results_frame(folder)
    assert set(frame[frame.family == "epsilon"].agent) == {"epsilon-0.1", "epsilon-0.3", "epsilon-0.6"}
    assert set(frame[frame.kind == "null"].agent) == {"random"}
    page = (folder / "report.html").read_text(encoding="utf-8")
    start = page.index("<h2>Methods side by side</h2>")
    assert "<th>none claimed</th>" in page[start : page.index("</table>", start)]
    assert "Agents by methods" in page and page.count("data:image/png") == 3 and "boltzmann" in page


def test_a_folder_with_results_is_gone_on_with_only_when_asked(folder):
    result = call("suite", "--out", folder, *QUICK)
    assert result.exit_code == 2 and "--resume" in result.output
    before = {path.name: path.read_bytes() for path in (folder / "jobs").iterdir()}
    lost = sorted(before)[3]
    (folder / "jobs" / lost).unlink()
    result = call("suite", "--out", folder, *QUICK, "--resume")
    assert result.exit_code == 0, result.output
    after = {path.name: path.read_bytes() for path in (folder / "jobs").iterdir()}
    assert after == before
    result = call("suite", "--out", folder, *QUICK, "--resume", "--num-particles", 64)
    assert result.exit_code == 2 and "num_particles is 128 there and 64 here" in result.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--worlds", "nowhere"], "no world nowhere"),
        (["--agents", "optimal,nobody"], "no agent nobody"),
        (["--methods", "guessing"], "no method guessing"),
        (["--episodes", "few"], "--episodes is 'few'"),
        (["--episodes", "1.5"], "whole numbers"),
        (["--episodes", "3,inf"], "whole numbers"),
        (["--concentrations", "nan"], "numbers above 0"),
        (["--seeds", "0"], "seeds is 0"),
        (["--goals", "0"], "goals is 0"),
        (["--batch", "0"], "batch is 0"),
        (["--executor", "magic"], "no executor 'magic'"),
        (["--executor", "serial", "--scheduler", "tcp://x"], "no scheduler"),
        (["--agents-file", "nothing.py"], "nothing.py does not exist"),
    ],
)
def test_what_a_suite_refuses(tmp_path, options, message):
    result = call("suite", "--out", tmp_path / "out", *QUICK[:-2], *options)
    assert result.exit_code == 2 and message in " ".join(result.output.split())
    assert "Traceback" not in result.output and not (tmp_path / "out").exists()


def test_agents_of_the_users_own(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("from utiliscope.agents import EpsilonRandom\nROSTER = {'sleepy': EpsilonRandom(0.5)}\n")
    options = ["--worlds", "cliff", "--agents", "sleepy", "--goals", 1, "--episodes", "2", "--methods", "prior"]
    result = call("suite", "--out", tmp_path / "out", *options, "--executor", "serial", "--agents-file", file)
    assert result.exit_code == 0, result.output
    frame = results_frame(tmp_path / "out")
    assert set(frame.agent) == {"sleepy"} and set(frame.family) == {"sleepy"}
    again = call("suite", "--out", tmp_path / "out", *options, "--agents-file", file, "--resume")
    assert again.exit_code == 0, again.output
    file.write_text(file.read_text() + "# another line\n")
    changed = call("suite", "--out", tmp_path / "out", *options, "--agents-file", file, "--resume")
    assert changed.exit_code == 2 and "agents_code" in changed.output
    file.write_text("ROSTER = {'sleepy': 3}\n")
    result = call("suite", "--out", tmp_path / "two", *options, "--executor", "serial", "--agents-file", file)
    assert result.exit_code == 2 and "cannot be recorded" in result.output


def test_agents_with_odd_names_and_without_a_goal(tmp_path):
    """Names are no formulae; what is indifferent has no regret, but its probabilities are told."""
    file = tmp_path / "mine.py"
    file.write_text("from utiliscope.agents.degenerate import Indifferent\nROSTER = {'$5_or_$6_^': Indifferent()}\n")
    options = ["--worlds", "cliff", "--agents", "$5_or_$6_^", "--goals", 1, "--episodes", "1,2", "--methods", "prior"]
    result = call("suite", "--out", tmp_path / "out", *options, "--executor", "serial", "--agents-file", file)
    assert result.exit_code == 0, result.output
    frame = results_frame(tmp_path / "out")
    assert frame.regret.isna().all() and frame.log_score.notna().all()
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Methods side by side" in page and "Lengths of recordings" in page


def test_a_suite_in_which_every_job_fails_says_why(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "class Broken:\n    def record(self, key, world, utility, *, num_episodes, num_steps):\n"
        "        raise ValueError('no such luck')\n\n\nROSTER = {'broken': Broken()}\n"
    )
    options = ["--worlds", "cliff", "--agents", "broken", "--goals", 1, "--episodes", "2", "--methods", "prior"]
    out = tmp_path / "out"
    result = call("suite", "--out", out, *options, "--executor", "serial", "--agents-file", file)
    said = " ".join(result.output.split())
    assert result.exit_code == 1 and "error: the run failed: 1 job failed, cliff.broken" in said
    assert "no such luck" in said and "--resume" in said and not (out / "report.html").exists()
    result = call(
        "suite", "--out", out, *options, "--seeds", 2, "--executor", "serial", "--agents-file", file, "--resume"
    )
    assert result.exit_code == 1 and "2 jobs failed, such as cliff.broken" in " ".join(result.output.split())


def test_a_suite_in_which_some_jobs_fail_ends_with_1(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "class Wrong:\n    def record(self, key, world, utility, *, num_episodes, num_steps):\n"
        "        return 5\n\n\nROSTER = {'wrong': Wrong()}\n"
    )
    options = ["--worlds", "cliff", "--agents", "optimal,wrong", "--goals", 1, "--episodes", "2", "--methods", "prior"]
    result = call("suite", "--out", tmp_path / "out", *options, "--executor", "serial", "--agents-file", file)
    said = " ".join(result.output.split())
    assert result.exit_code == 1 and "1 job failed, cliff.wrong" in said and "is of type int" in said
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "1 job failed" in page and set(results_frame(tmp_path / "out").agent) == {"optimal"}


def test_files_that_cannot_be_read_are_told_of_once(folder, tmp_path):
    there = tmp_path / "there"
    shutil.copytree(folder, there)
    next((there / "jobs").iterdir()).write_text("{")
    result = call("suite", "--out", there, *QUICK, "--resume")
    assert result.exit_code == 0 and result.output.count("cannot be read and are made anew") == 1, result.output


def test_a_report_of_several_concentrations(folder, tmp_path):
    """Claims by the same law at another concentration are ours, not a rival's, and stand beside each other."""
    there, names = tmp_path / "there", ["intelligence", "bump (dirichlet:0.5)", "mixture (dirichlet:0.25)"]
    (there / "jobs").mkdir(parents=True)
    for path in (folder / "jobs").glob("*"):
        job, row = read_result(path)
        write_result(there, job, row)
        if job.method == "boltzmann":
            shifted = {
                name: [value[0] + shift for shift in (0, 0.5, 0.1)] for name, value in row.items() if name != "variant"
            }
            shifted = {name: shifted[name] if name == "log_score" else [row[name][0]] * 3 for name in shifted}
            write_result(there, dataclasses.replace(job, method="intelligence"), shifted | {"variant": names})
    (there / "suite.json").write_text((folder / "suite.json").read_text())
    page = write_suite_report(there).read_text(encoding="utf-8")
    assert "<h2>bump (dirichlet:0.5) against boltzmann</h2>" in page
    assert all(f"<td>{name}</td>" in page for name in names)
    write_table(there)
    assert set(names) < set(pd.read_parquet(there / "results.parquet").method)


def test_agents_that_have_gone(folder, tmp_path):
    there = tmp_path / "there"
    (there / "jobs").mkdir(parents=True)
    for path in (folder / "jobs").glob("*optimal*"):
        job, row = read_result(path)
        write_result(there, dataclasses.replace(job, agent="gone"), row)
    (there / "suite.json").write_text((folder / "suite.json").read_text())
    with pytest.raises(InputError, match="recordings of gone"):
        results_frame(there)


@pytest.mark.parametrize("others", [True, False])
def test_a_report_of_rewards(folder, tmp_path, others):
    """A method without probabilities is in the table, and in nothing that is said of probabilities."""
    there = tmp_path / "there"
    (there / "jobs").mkdir(parents=True)
    for path in (folder / "jobs").glob("*"):
        job, row = read_result(path)
        if job.method != "prior":
            continue
        if others:
            write_result(there, job, row)
        nan = {name: [np.nan] for name in row if name != "variant" and "regret" not in name}
        write_result(there, dataclasses.replace(job, method="imitation"), row | nan | {"variant": ["imitation"]})
    (there / "suite.json").write_text((folder / "suite.json").read_text())
    page = write_suite_report(there).read_text()
    start = page.index("<h2>Methods side by side</h2>")
    table = page[start : page.index("</table>", start)]
    assert "<td>imitation</td>" in table and "<td>–</td>" in table and "nan" not in table and "nan %" not in page
    assert ("Stated probabilities" in page) == others


def test_methods_that_cannot_run(monkeypatch):
    monkeypatch.setattr("utiliscope.suite.memo_peer.why_not", lambda: "memo is not installed")
    with pytest.warns(UserWarning, match="memo is left out: memo is not installed"):
        assert _able(["prior", "memo"]) == ["prior"]
    with pytest.raises(InputError, match="memo cannot run: memo is not installed"):
        _able(["memo"])


@pytest.mark.parametrize(("option", "value"), [("--agents", "optimal"), ("--seeds", 2), ("--resume", None)])
def test_options_of_a_run_are_refused_where_results_are_there(folder, tmp_path, option, value):
    given = [option] if value is None else [option, value]
    result = call("tune", "--out", tmp_path / "tuned", "--results", folder, *given)
    assert result.exit_code == 2 and f"{option} is for a run" in " ".join(result.output.split()), result.output


@pytest.mark.parametrize(("agents", "named"), [("epsilon-0.1,epsilon-0.3", "epsilon"), ("degenerate-negated", "none")])
def test_tuning_needs_two_families_before_it_runs(tmp_path, agents, named):
    result = call("tune", "--out", tmp_path / "tuned", "--worlds", "cliff", "--agents", agents)
    assert result.exit_code == 2 and f"here is but {named}" in " ".join(result.output.split()), result.output
    assert not (tmp_path / "tuned").exists()


def test_tuning_on_a_folder_that_holds_nothing(tmp_path):
    result = call("tune", "--out", tmp_path / "tuned", "--results", tmp_path / "nothere")
    said = " ".join(result.output.split())
    assert result.exit_code == 2 and "nothere holds no suite; run" in said and "gone on with" not in said
    assert not (tmp_path / "tuned").exists()


def test_tuning_needs_evidence(folder, tmp_path):
    result = call("tune", "--out", tmp_path / "tuned", "--results", folder)
    assert result.exit_code == 2 and "no evidence" in result.output and not (tmp_path / "tuned").exists()


@pytest.mark.slow
def test_tune_from_agents_to_fit(tmp_path):
    """Small: the whole way, with two processes; the same from its own results, without any run."""
    out = tmp_path / "tuned"
    options = ["--worlds", "sparse", "--agents", "optimal,epsilon,boltzmann,random", "--goals", 1, "--episodes", "5"]
    sizes = ["--num-particles", 32, "--tail-particles", 64, "--workers", 2]
    result = call("tune", "--out", out, *options, *sizes)
    assert result.exit_code == 0, result.output
    weights = read_weights(out / "weights.toml")
    assert 0 <= weights.simplicity <= 2 and weights.random_policies in ("dirichlet:1", "dirichlet:0.5", "dirichlet:2")
    families = pd.read_csv(out / "families.csv").set_index("family")
    assert set(families.index) == {"optimal", "epsilon", "boltzmann", "random", "all families"}
    assert (families.oracle >= families.tuned - 1e-9).all() and np.isfinite(families.tuned).all()
    assert (out / "surface.png").read_bytes().startswith(b"\x89PNG")
    result = call("tune", "--out", tmp_path / "again", "--results", out / "suite")
    assert result.exit_code == 0, result.output
    for name in ("weights.toml", "families.csv"):
        assert (tmp_path / "again" / name).read_text() == (out / name).read_text()
    row = json.loads(next((out / "suite" / "jobs").iterdir()).read_text())["row"]
    laws = ["intelligence", "intelligence-0.5", "bump", "mixture"]
    assert row["variant"] == laws + [f"{law} (dirichlet:{c})" for c in (0.5, 2) for law in laws]
    assert np.array(row["grid_evidence"]).shape[:2] == (3, len(row["grid_laws"]))

"""The command line: what it writes, what it refuses and how, and what it does not import to say how it is used."""

import gzip
import json
import os
import shutil
import subprocess
import sys

import jax
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import utiliscope as us
from utiliscope.cli import app
from utiliscope.competence import behaviour_intelligence
from utiliscope.compilation import keep_compiled_code, machine_key
from utiliscope.posterior import load_posterior

TINY = ["--max-bits", "7", "--num-warmup", "30", "--num-samples", "30", "--num-chains", "2", "--num-particles", "32"]
TINY += ["--random-policies", "dirichlet:1"]
OUTPUTS = ["posterior.nc", "report.html", "utilities.csv"]


def call(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def grid():
    return us.gridworld(["..G", "...", "..."], discount=0.9)


@pytest.fixture(scope="module")
def files(grid, tmp_path_factory):
    """A 3x3 grid and three walks to G from the corner, in three steps too many."""
    folder = tmp_path_factory.mktemp("recording")
    us.write_world(grid, folder / "world.json")
    rows = []
    for episode, walk in enumerate(
        (["up", "up", "right", "right"], ["right", "up", "up", "right"], ["up", "right"] * 2)
    ):
        state = 6
        for t, action in enumerate([*walk, "up", "right", "up"]):
            rows.append((episode, t, state, action, "B1" if episode < 2 else "B2"))
            state = int(grid.transition[state, grid.action_names.index(action)].argmax())
    table = pd.DataFrame(rows, columns=["episode", "t", "state", "action", "subject"])
    table.to_csv(folder / "steps.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def fitted(files, tmp_path_factory):
    out = tmp_path_factory.mktemp("results") / "deep" / "out"
    result = call("fit", files / "steps.csv", "--world", files / "world.json", "--out", out, *TINY)
    return out, result


def test_fit_writes_its_three_files(fitted):
    out, result = fitted
    assert result.exit_code == 0, result.stderr
    assert sorted(path.name for path in out.iterdir()) == OUTPUTS
    table = pd.read_csv(out / "utilities.csv")
    assert list(table.columns[:5]) == ["utility", "probability", "code_length", "intelligence", "std_error"]
    assert table["probability"].sum() == pytest.approx(1)
    assert table["utility"][0] in ("reach(G)", "time(G)")
    assert table["utility"][0] in result.stdout and str(out / "report.html") in result.stdout
    assert load_posterior(out / "posterior.nc")["posterior"].attrs["reading"] == "policy"


def test_warnings_and_progress_are_single_lines_on_stderr(fitted):
    _, result = fitted
    lines = result.stderr.splitlines()
    assert sum(line.startswith("warning: the sampler has not converged") for line in lines) == 1
    assert all(line.startswith(("warning: ", "[")) for line in lines)
    assert len([line for line in lines if "value tails" in line]) <= 11
    assert "Warning" not in result.stdout


@pytest.mark.slow
def test_operators_have_a_file_of_their_own(files, tmp_path):
    arguments = ("fit", files / "steps.csv", "--world", files / "world.json", "--program", "population", *TINY)
    result = call(*arguments, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    table = pd.read_csv(tmp_path / "out" / "subjects.csv")
    assert list(table["subject"]) == ["B1", "B2"] and list(table.columns[1:3]) == ["utility", "probability"]


def test_the_longest_utility_of_weights(files, tmp_path):
    arguments = ("fit", files / "steps.csv", "--world", files / "world.json", "--program", "weights", *TINY)
    result = call(*arguments, "--out", tmp_path / "out")
    assert result.exit_code == 2 and "--max-bits is the longest utility" in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_program_without_utilities(fitted, files, tmp_path):
    """Its parameters are told and kept, and what another program left there goes away."""
    mine = tmp_path / "mine.py"
    mine.write_text(
        "import jax.numpy as jnp, numpyro\n"
        "from numpyro import distributions as dist\n"
        "def coin(counts):\n"
        "    p = numpyro.sample('p', dist.Beta(1, 1))\n"
        "    numpyro.factor('operator', counts[:, 0].sum() * jnp.log(p) + counts[:, 1:].sum() * jnp.log1p(-p))\n"
    )
    shutil.copytree(fitted[0], tmp_path / "out")
    call_of = ("fit", files / "steps.csv", "--world", files / "world.json", "--program", f"{mine}:coin")
    call_of += ("--out", tmp_path / "out", "--num-chains", "2")
    result = call(*call_of)
    assert result.exit_code == 0, result.stderr
    assert "enumerating utilities" not in result.stderr and "p " in result.stdout
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"parameters.csv", "posterior.nc", "report.html"}
    table = pd.read_csv(tmp_path / "out" / "parameters.csv")
    up = (pd.read_csv(files / "steps.csv")["action"] == "up").sum()
    # 21 decisions: a Beta(1 + up, 1 + others).
    assert table["parameter"].tolist() == ["p"]
    assert abs(table["mean"][0] - (1 + up) / 23) < 5 * table["std_error"][0]
    said = call("check", tmp_path / "out")
    assert "p = 0." in said.stdout
    # In a folder where no fit has been, files of these names are not its own.
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "utilities.csv").write_text("mine")
    assert call(*call_of, "--out", tmp_path / "own").exit_code == 0
    assert (tmp_path / "own" / "utilities.csv").read_text() == "mine"
    for option, what in (("--max-bits=9", "--max-bits is the longest utility"), ("--states", "--states adds goals")):
        refused = call(*call_of, option)
        assert refused.exit_code == 2 and what in refused.stderr and "compares no utilities" in refused.stderr


@pytest.mark.slow
def test_weights_from_recording_to_report(files, tmp_path):
    """Six steps to G and beyond: where G is weighs most, and the report and the check say so."""
    arguments = ("fit", files / "steps.csv", "--world", files / "world.json", "--program", "weights", "--states")
    sizes = ("--num-warmup", "200", "--num-samples", "300", "--num-chains", "2")
    result = call(*arguments, *sizes, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    table = pd.read_csv(tmp_path / "out" / "utilities.csv")
    assert table["feature"][0] in ("G", '@"0,2"') and table["weight"][0] > 0.3
    told = call("check", tmp_path / "out" / "posterior.nc")
    assert told.exit_code in (0, 1) and "k" in told.stdout
    assert "Weights" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.slow
def test_same_seed_gives_the_same_bytes(fitted, files, tmp_path):
    again = call("fit", files / "steps.csv", "--world", files / "world.json", "--out", tmp_path, *TINY)
    assert again.exit_code == 0
    assert (tmp_path / "utilities.csv").read_bytes() == (fitted[0] / "utilities.csv").read_bytes()


@pytest.mark.usefixtures("plain_pictures")
def test_report_is_rebuilt(fitted):
    out, _ = fitted
    (out / "report.html").write_text("old")
    result = call("report", out)
    assert result.exit_code == 0, result.stderr
    assert "What is this behaviour trying to achieve?" in (out / "report.html").read_text()


def test_check_tells(fitted):
    out, _ = fitted
    for path in (out, out / "posterior.nc"):
        told = call("check", path)
        assert told.exit_code == 0 and "intelligent" in told.stdout and len(told.stdout.splitlines()) < 25
    assert call("check", out / "none.nc").exit_code == 2


def test_report_without_a_posterior(tmp_path):
    refused(call("report", tmp_path), "there is no posterior at")
    (tmp_path / "posterior.nc").write_text("no")
    refused(call("report", tmp_path), "is not a posterior")
    refused(call("report", tmp_path / "posterior.nc"), "is a file")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["posterior.nc"]


@pytest.mark.slow
def test_achieved_reading_with_a_horizon_and_sequences(files, tmp_path):
    options = [
        "--max-bits",
        "1",
        "--reading",
        "achieved",
        "--horizon",
        "5",
        "--random-policies",
        "sequences:5",
        "--discount",
        "1",
    ]
    result = call("fit", files / "steps.csv", "--world", files / "world.json", "--out", tmp_path, *TINY[:-2], *options)
    assert result.exit_code == 0, result.stderr
    tree = load_posterior(tmp_path / "posterior.nc")
    assert tree["constant_data"].attrs == tree["constant_data"].attrs | {"horizon": 5, "discount": 1.0}
    report = (tmp_path / "report.html").read_text()
    assert "No sampler ran" in report and "Most probable: no goal" in report


def test_intelligence_policy_reading(files):
    result = call(
        "intelligence",
        files / "steps.csv",
        "--world",
        files / "world.json",
        "--utility",
        "reach(G)",
        "--num-particles",
        32,
    )
    assert result.exit_code == 0, result.stderr
    assert "reach(G): " in result.stdout and "bits" in result.stdout
    assert "Dirichlet(concentration=1.0)" in result.stdout and "sd " in result.stdout


def test_intelligence_achieved_reading(files):
    options = ["--reading", "achieved", "--horizon", "5", "--random-policies", "sequences:5", "--num-particles", 32]
    result = call(
        "intelligence", files / "steps.csv", "--world", files / "world.json", "--utility", '-time(@"2,0")', *options
    )
    assert result.exit_code == 0, result.stderr
    assert '-time(@"2,0"): ' in result.stdout and "ActionSequences(horizon=5)" in result.stdout


def test_behaviour_intelligence_agrees_with_enumeration(grid, files, key):
    """All sequences of five actions, counted by hand: the recorded walks take the shortest way."""
    world = us.read_world(files / "world.json")
    behaviour = us.read_behaviour(files / "steps.csv", world)
    program = us.Grammar(world, states=True).parse("reach(G)")
    prior = us.ActionSequences(5)
    estimate, spread = behaviour_intelligence(
        key, behaviour, world, program, policy_prior=prior, reading="achieved", num_particles=512
    )
    # In four steps the corner is reached by the 6 orders of two ups and two rights, whatever the fifth step.
    assert abs(estimate.value - -np.log2(6 / 4**4)) < 5 * estimate.std_error
    assert spread == 0 and not estimate.is_lower_bound


def test_no_preference_has_no_bits(grid, files, key):
    behaviour = us.read_behaviour(files / "steps.csv", grid)
    estimate, spread = behaviour_intelligence(key, behaviour, grid, np.ones(9), num_policies=4, num_particles=8)
    assert estimate == (0.0, 0.0, False) and spread == 0


@pytest.mark.slow
def test_behaviour_intelligence_agrees_with_plain_monte_carlo(files, key):
    """Operator policies and random policies drawn by NumPy, and counted."""
    world = us.read_world(files / "world.json")
    behaviour = us.read_behaviour(files / "steps.csv", world).where(subject="B2")
    program = us.Grammar(world).parse("-time(G)")
    estimate, spread = behaviour_intelligence(key, behaviour, world, program, num_policies=400, num_particles=512)

    rng = np.random.default_rng(0)
    value = jax.jit(jax.vmap(lambda policy: us.expected_utility(world, policy, program)))
    random = np.sort(value(rng.dirichlet(np.ones(4), (20_000, 9))))
    rows = [rng.dirichlet(1 + row, 4000) for row in behaviour.counts()]
    share = 1 - np.searchsorted(random, value(np.stack(rows, 1))) / len(random)
    bits = -np.log2(np.maximum(share, 1 / len(random)))
    assert not estimate.is_lower_bound
    assert abs(estimate.value - bits.mean()) < 5 * np.hypot(estimate.std_error, bits.std() / 4000**0.5)
    # The standard error of a standard deviation of 400 draws, from their fourth moment.
    kurtosis = np.mean((bits - bits.mean()) ** 4) / bits.var() ** 2
    assert abs(spread - bits.std()) < 5 * bits.std() * np.sqrt((kurtosis - 1) / (4 * 400))


@pytest.fixture
def no_bits(monkeypatch):
    """For tests of what is read before anything is computed."""
    found = us.Estimate(1.0, 0.1, False), 0.0
    monkeypatch.setattr("utiliscope.competence.behaviour_intelligence", lambda *_, **__: found)


@pytest.mark.usefixtures("no_bits")
def test_rows_are_filtered_before_they_are_checked(files, tmp_path):
    table = pd.read_csv(files / "steps.csv")
    table.loc[table["subject"] == "B2", "state"] = 99
    table.to_csv(tmp_path / "mixed.csv", index=False)
    options = ["--world", files / "world.json", "--utility", "reach(G)", "--num-particles", 32]
    refused(call("intelligence", tmp_path / "mixed.csv", *options), "state is missing or unknown")
    assert call("intelligence", tmp_path / "mixed.csv", *options, "--where", "subject=B1").exit_code == 0
    problem = call("intelligence", tmp_path / "mixed.csv", *options, "--where", "subject=B2")
    refused(problem, "mixed.csv, rows with subject=B2 (numbered among themselves): state is missing or unknown")


@pytest.mark.usefixtures("no_bits")
def test_stacked_worlds_need_a_layout(files, tmp_path):
    following = json.loads((files / "world.json").read_text())["next_state"]
    (tmp_path / "two.json").write_text(json.dumps({"next_state": [following, following]}))
    options = ["--world", tmp_path / "two.json", "--utility", "reach(@2)", "--num-particles", 32]
    numbered = pd.read_csv(files / "steps.csv").replace({"up": 0, "down": 1, "left": 2, "right": 3})
    numbered.to_csv(tmp_path / "steps.csv", index=False)
    refused(call("intelligence", tmp_path / "steps.csv", *options), "layout")
    result = call("intelligence", tmp_path / "steps.csv", *options, "--layout", 1)
    assert result.exit_code == 0, result.stderr


def refused(result, *parts):
    """Exit code 2 and one message, which says what is wrong."""
    assert result.exit_code == 2, (result.exit_code, result.stderr, result.exception)
    errors = [line for line in result.stderr.splitlines() if not line.startswith("[")]
    assert len(errors) == 1 and errors[0].startswith("error: "), result.stderr
    assert "Traceback" not in result.output
    for part in parts:
        assert part in errors[0]


def world_with(change):
    def write(folder, world, steps):
        entries = {"transition": np.asarray(us.read_world(world).transition)}
        change(entries["transition"])
        np.savez(folder / "bad.npz", **entries)
        return folder / "bad.npz", steps

    return write


def steps_with(change):
    def write(folder, world, steps):
        change(pd.read_csv(steps)).to_csv(folder / "bad.csv", index=False)
        return world, folder / "bad.csv"

    return write


def half_a_row(transition):
    transition[3, 1] *= 0.5


def not_a_number(transition):
    transition[3, 1, 0] = np.nan


def below_zero(transition):
    transition[3, 1, :2] = -0.25, 1.25


def barred_world(folder, world, steps):
    entries = json.loads(world.read_text())
    entries["next_state"][6][0] = -1
    (folder / "barred.json").write_text(json.dumps(entries))
    return folder / "barred.json", steps


def no_world(folder, world, steps):
    (folder / "other.json").write_text('{"goal": 3}')
    return folder / "other.json", steps


def broken_world(folder, world, steps):
    (folder / "broken.json.gz").write_bytes(gzip.compress(b"{")[:-4])
    return folder / "broken.json.gz", steps


BAD_FILES = {
    "rows that do not sum to 1": (world_with(half_a_row), "transition[3, 1] sums to 0.5"),
    "NaN": (world_with(not_a_number), "not a finite number"),
    "negative probabilities": (world_with(below_zero), "is negative"),
    "unknown state": (steps_with(lambda t: t.assign(state=t["state"] + 7)), "state is missing or unknown"),
    "unknown action": (steps_with(lambda t: t.assign(action="jump")), "action is missing or unknown"),
    "unavailable action": (barred_world, "actions that are not available"),
    "empty recording": (steps_with(lambda t: t.head(0)), "holds no decisions"),
    "gap in t": (steps_with(lambda t: t.drop(index=[2])), "t must rise by 1"),
    "missing column": (steps_with(lambda t: t.drop(columns="action")), "has no column action"),
    "not a world file": (no_world, "is not a world file"),
    "a broken world file": (broken_world, "cannot be read"),
    "no such recording": (lambda folder, world, steps: (world, folder / "none.csv"), "does not exist"),
    "no such world": (lambda folder, world, steps: (folder / "none.json", steps), "does not exist"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files_are_refused(name, files, tmp_path):
    write, message = BAD_FILES[name]
    world, steps = write(tmp_path, files / "world.json", files / "steps.csv")
    before = sorted(tmp_path.iterdir())
    result = call("fit", steps, "--world", world, "--out", tmp_path / "made" / "out", *TINY)
    refused(result, message)
    assert sorted(tmp_path.iterdir()) == before


BAD_OPTIONS = {
    "no column in where": (["--where", "subject"], "is not COLUMN=VALUE"),
    "unknown column in where": (["--where", "mouse=B1"], "has no column 'mouse'"),
    "unknown value in where": (["--where", "subject=B9"], "no decision has subject = 'B9'"),
    "the same column twice": (["--where", "subject=B1", "--where", "subject=B2"], "twice"),
    "improper law": (["--beta", "1"], "improper"),
    "no law at all": (["--beta", "nan"], "--beta"),
    "random policies": (["--random-policies", "gauss"], "--random-policies is 'gauss'"),
    "sequences without a horizon": (["--random-policies", "sequences"], "--random-policies"),
    "negative concentration": (["--random-policies", "dirichlet:-1"], "must be above 0"),
    "deterministic with the policy reading": (["--random-policies", "deterministic"], "achieved"),
    "episodes that do not end": (["--reading", "achieved"], "whole episodes"),
    "discount": (["--discount", "1.5"], "discount is 1.5"),
    "horizon": (["--horizon", "0"], "--horizon is 0"),
    "layout of one world": (["--layout", "2"], "layout is 2"),
    "seed": (["--seed", "-1"], "seed is -1"),
    "max bits": (["--max-bits", "0"], "max_bits is 0"),
    "no samples": (["--num-samples", "0"], "num_samples is 0"),
    "no particles": (["--num-particles", "1"], "num_particles is 1"),
    "unknown program": (["--program", "wishes"], "there is no program 'wishes'"),
    "no program file": (["--program", "none.py"], "does not exist"),
}


@pytest.mark.parametrize("name", BAD_OPTIONS)
def test_bad_options_are_refused(name, files, tmp_path):
    options, message = BAD_OPTIONS[name]
    result = call(
        "fit", files / "steps.csv", "--world", files / "world.json", "--out", tmp_path / "out", *TINY, *options
    )
    refused(result, message)
    assert not list(tmp_path.iterdir())


def test_a_program_file_without_a_program(files, tmp_path):
    program = tmp_path / "program.py"
    program.write_text("wish = 3\n")
    arguments = "fit", files / "steps.csv", "--world", files / "world.json", "--out", tmp_path / "out", *TINY
    refused(call(*arguments, "--program", program), "has no function")
    program.write_text("raise RuntimeError('no')\n")
    refused(call(*arguments, "--program", program), f"cannot be run: RuntimeError at {program}:1: no")
    program.write_text("def wrong(counts, candidates):\n    return counts + unknown\n")
    result = call(*arguments, "--program", program)
    assert result.exit_code == 1 and f"NameError at {program}:2: name 'unknown'" in " ".join(result.stderr.split())
    assert [path.name for path in tmp_path.iterdir() if path.suffix] == ["program.py"]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("inside", ["", "out"])
def test_a_folder_that_cannot_be_written(inside, files, tmp_path):
    (tmp_path / "file").write_text("kept")
    out = tmp_path / "file" / inside
    refused(call("fit", files / "steps.csv", "--world", files / "world.json", "--out", out, *TINY), "cannot be written")
    refused(call("demo", "--out", out), "cannot be written")
    assert [path.name for path in tmp_path.iterdir()] == ["file"] and (tmp_path / "file").read_text() == "kept"


def test_a_bad_utility_is_refused(files):
    options = ["--world", files / "world.json", "--utility"]
    for text, message in (("reach(gold)", "unknown feature 'gold'"), ("reach(", "reach(")):
        result = call("intelligence", files / "steps.csv", *options, text)
        # The message shows the expression and points at the place, below its one line.
        assert result.exit_code == 2 and result.stderr.count("error: ") == 1
        assert message in result.stderr and "Traceback" not in result.stderr


def test_calls_that_are_wrong_exit_with_2(files):
    for arguments in (["fit"], ["sing"], ["fit", "a.csv", "--world", "w.json", "--out", "o", "--reading", "mind"]):
        result = call(*arguments)
        assert result.exit_code == 2 and "Traceback" not in result.output


def test_a_failed_run_exits_with_1_and_keeps_what_was_there(fitted, files, tmp_path, monkeypatch):
    def fail(*arguments, **settings):
        raise MemoryError("no room\nleft")

    (tmp_path / "report.html").write_text("of yesterday")
    found = load_posterior(fitted[0] / "posterior.nc")
    monkeypatch.setattr("utiliscope.inference.fit", lambda *arguments, **settings: found)
    monkeypatch.setattr("utiliscope.report.write_report", fail)
    result = call("fit", files / "steps.csv", "--world", files / "world.json", "--out", tmp_path, *TINY)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == "error: the run failed: MemoryError: no room left"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert (tmp_path / "report.html").read_text() == "of yesterday"


def test_compiled_code_is_kept_where_the_user_says(monkeypatch, tmp_path):
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "9")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "own"))
    assert keep_compiled_code() == tmp_path / "own"
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    monkeypatch.setenv("UTILISCOPE_CACHE", "off")
    assert keep_compiled_code() is None and "JAX_COMPILATION_CACHE_DIR" not in os.environ
    monkeypatch.setenv("UTILISCOPE_CACHE", str(tmp_path))
    folder = keep_compiled_code()
    assert folder == tmp_path / "compiled" / machine_key() and os.environ["JAX_COMPILATION_CACHE_DIR"] == str(folder)
    assert os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] == "9"


@pytest.mark.parametrize("arguments", [["--help"], ["fit", "--help"]])
def test_help_imports_nothing_heavy(arguments):
    code = (
        "import sys; from utiliscope.cli import app\n"
        f"app({arguments!r}, standalone_mode=False)\n"
        "heavy = {'jax', 'numpyro', 'arviz', 'pandas', 'numpy', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


def test_the_demo_comes_to_its_fit(monkeypatch, capsys, tmp_path):
    """`make demo` runs all of it; here it is stopped where the work begins."""
    import utiliscope.inference
    from utiliscope.cli import main

    def stopped(behaviour, world, *, candidates, **settings):
        assert "reach(G)" in candidates.names and behaviour.num_decisions
        raise us.InputError("it has begun")

    monkeypatch.setattr(utiliscope.inference, "fit", stopped)
    monkeypatch.setattr("sys.argv", ["utiliscope", "demo", "--out", str(tmp_path / "demo")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2 and "it has begun" in capsys.readouterr().err

"""Executors against the serial one: whoever is killed, the results are those of an unbroken run."""

import errno
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from utiliscope.errors import InputError
from utiliscope.suite.execution import execute
from utiliscope.suite.executors import named_executor
from utiliscope.suite.executors.children import cores
from utiliscope.suite.executors.cluster import Cluster
from utiliscope.suite.executors.processes import Processes
from utiliscope.suite.executors.serial import Serial
from utiliscope.suite.jobs import plan
from utiliscope.suite.results import collect, failures

ROOT = pathlib.Path(__file__).parent.parent
UTILITIES = {"grid": ["reach(G)"], "cliff": ["time(b)"]}


def jobs_of(*agents, seeds=3, worlds=("grid", "cliff")):
    utilities = {world: UTILITIES[world] for world in worlds}
    return plan(agents=agents, utilities=utilities, methods=["prior"], seeds=range(seeds), num_episodes=[1])


def files(folder):
    return {path.name: path.read_bytes() for path in (folder / "jobs").glob("*.json")}


def run(folder, jobs, executor, *, function="run", batch=4, settings=None, resume=False, progress=None):
    return execute(
        jobs,
        f"tiny_run.{function}",
        folder,
        settings={"particles": 8} | (settings or {}),
        executor=executor,
        batch=batch,
        resume=resume,
        progress=progress,
    )


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """Files of a serial run of all the jobs with which nothing is wrong, by the agent's name."""

    def of(*agents, **knobs):
        folder = tmp_path_factory.mktemp("unbroken")
        assert run(folder, jobs_of(*agents, **knobs), Serial()).exit_code == 0
        return files(folder)

    return of


def test_processes_give_what_serial_gives(tmp_path, unbroken):
    said = []
    jobs = jobs_of("good", "fine")
    outcome = run(tmp_path, jobs, Processes(2), progress=lambda *heard: said.append(heard))
    assert (tuple(outcome), outcome.exit_code) == ((12, 0, 12), 0)
    assert files(tmp_path) == unbroken("good", "fine")
    assert [heard[:3] for heard in said] == [(done, 0, 12) for done in range(13)]
    assert said[0][3] is None and {heard[3]["label"] for heard in said[1:]} >= {"good in grid", "fine in cliff"}
    assert run(tmp_path, jobs, Serial(), resume=True) == outcome  # nothing is left to do


@pytest.mark.parametrize("function", ["run", "together"])
def test_a_job_that_raises_fails_alone(tmp_path, unbroken, function):
    outcome = run(tmp_path, jobs_of("good", "raises", "fine"), Serial(), function=function)
    assert (tuple(outcome), outcome.exit_code) == ((12, 6, 18), 1)
    assert files(tmp_path) == unbroken("good", "fine")
    found = failures(tmp_path)
    assert {job.agent for job in found} == {"raises"}
    assert {reason for reason in found.values()} == {f"ZeroDivisionError: seed {n} divides nothing" for n in range(3)}
    trace = next((tmp_path / "failed").iterdir()).read_text()
    assert "tiny_run.py" in trace and "_misbehave" in trace


def test_failures_that_the_run_function_gives(tmp_path):
    outcome = run(tmp_path, jobs_of("good", "wrong"), Serial(), function="one_by_one")
    assert tuple(outcome) == (6, 6, 12)
    assert set(failures(tmp_path).values()) == {"no such utility"}


def test_rows_that_cannot_be_kept_are_failures(tmp_path):
    jobs = jobs_of("object", "clash", "number", "silent", "fine", seeds=1, worlds=["grid"])
    assert tuple(run(tmp_path, jobs, Serial(), function="unusable_rows", batch=9)) == (1, 4, 5)
    assert {job.agent: reason for job, reason in failures(tmp_path).items()} == {
        "object": "TypeError: the row's entry is of type object; it must be a text, a number or an array",
        "clash": "TypeError: a row names seed, as the job does",
        "number": "TypeError: a row is named 3; names are texts",
        "silent": "the run function gave no row for it",
    }


def test_rows_of_other_jobs_are_refused(tmp_path):
    run(tmp_path, jobs_of("good", seeds=1, worlds=["grid"]), Serial(), function="foreign")
    assert "not a job, for which it was not asked" in next(iter(failures(tmp_path).values()))


@pytest.mark.parametrize("executor", [Serial(), Processes(1)])
@pytest.mark.parametrize("name", ["tiny_run.none", "no_such_module.run", "run"])
def test_run_functions_that_are_not_there(tmp_path, executor, name):
    with pytest.raises(InputError, match=f"{name} cannot be imported"):
        execute(jobs_of("good"), name, tmp_path, settings={}, executor=executor)


def test_workers_that_die_while_they_start(tmp_path):
    with pytest.raises(RuntimeError, match=r"workers die while they start \(exit code 9\)"):
        execute(jobs_of("good"), "tiny_deadly.run", tmp_path, settings={}, executor=Processes(2))


def test_a_worker_that_is_killed_loses_nothing(tmp_path, unbroken):
    marker = tmp_path / "marker"
    marker.mkdir()
    killed = []

    def kill(done, failed, total, last):
        if done >= 2 and not killed:
            killed.append(next(marker.glob("worker-*")))
            os.kill(int(killed[0].name.removeprefix("worker-")), signal.SIGKILL)

    settings = {"marker": str(marker), "seconds": 0.05}
    outcome = run(tmp_path / "out", jobs_of("tells its worker"), Processes(2), settings=settings, progress=kill)
    assert tuple(outcome) == (6, 0, 6) and killed
    assert len(list(marker.iterdir())) >= 2  # another one took over
    assert files(tmp_path / "out") == unbroken("tells its worker")


def test_jobs_that_kill_their_worker_once_are_run_again(tmp_path, unbroken):
    marker = tmp_path / "marker"
    marker.mkdir()
    jobs = jobs_of("good", "kills once", seeds=2)
    outcome = run(tmp_path / "out", jobs, Processes(2), settings={"marker": str(marker)})
    assert tuple(outcome) == (8, 0, 8) and len(list(marker.iterdir())) == 4
    assert files(tmp_path / "out") == unbroken("good", "kills once", seeds=2)


def test_a_job_that_always_kills_its_worker_fails_and_the_rest_goes_on(tmp_path, unbroken):
    jobs = jobs_of("good", "kills", "exits", seeds=2, worlds=["grid"])
    outcome = run(tmp_path, jobs, Processes(2), batch=6)
    assert (tuple(outcome), outcome.exit_code) == ((2, 4, 6), 1)
    assert files(tmp_path) == unbroken("good", seeds=2, worlds=["grid"])
    assert {job.agent: reason for job, reason in failures(tmp_path).items()} == {
        "kills": "its worker died twice, at last by signal 9 (SIGKILL)",
        "exits": "its worker died twice, at last by exit code 7",
    }


SCRIPT = """
import pathlib, sys
from test_executors import jobs_of, run
from utiliscope.suite.executors import named_executor

if __name__ == "__main__":
    executor = named_executor(sys.argv[2], workers=None if sys.argv[2] == "serial" else 2)
    try:
        run(pathlib.Path(sys.argv[1]), jobs_of("good", "fine", seeds=9), executor, settings={"seconds": 0.1})
    except KeyboardInterrupt as stop:
        print(stop, file=sys.stderr)
        sys.exit(130)
"""


@pytest.fixture
def started(tmp_path):
    """A run of 36 jobs in a process group of its own, of which at least three are done."""
    running = []

    def start(executor):
        script = tmp_path / "script.py"
        script.write_text(SCRIPT)
        command = [sys.executable, str(script), str(tmp_path / "out"), executor]
        paths = os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
        environment = os.environ | {"PYTHONPATH": paths, "PYTHONUNBUFFERED": "1"}
        running.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, start_new_session=True))
        for _ in range(1200):
            if len(list((tmp_path / "out" / "jobs").glob("*.json"))) >= 3:
                return running[0]
            assert running[0].poll() is None, running[0].stderr.read().decode()
            time.sleep(0.05)
        raise AssertionError("nothing was done in a minute")

    yield start
    for process in running:
        process.kill()
        process.wait()
        process.stderr.close()


def group_is_gone(group):
    """Whether its processes all end by themselves within five seconds."""
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def resumed(folder):
    """The files of a folder that is gone on with, and how many there were before."""
    before = files(folder)
    settings = {"seconds": 0.1}
    with pytest.raises(InputError, match="--resume"):
        run(folder, jobs_of("good", "fine", seeds=9), Serial(), settings=settings)
    outcome = run(folder, jobs_of("good", "fine", seeds=9), Processes(2), settings=settings, resume=True)
    assert tuple(outcome) == (36, 0, 36)
    assert before.items() <= files(folder).items()
    return files(folder), len(before)


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["serial", "process"])
def test_a_run_that_is_killed_goes_on_to_the_same_results(tmp_path, started, unbroken, executor):
    process = started(executor)
    process.kill()
    process.wait()
    assert group_is_gone(process.pid)
    found, before = resumed(tmp_path / "out")
    assert before < 36 and found == unbroken("good", "fine", seeds=9)


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["serial", "process", "dask"])
def test_ctrl_c_leaves_a_folder_that_can_be_gone_on_with(tmp_path, started, unbroken, executor):
    if executor == "dask":
        pytest.importorskip("distributed", reason="the extra dask is not installed")
    process = started(executor)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130 and group_is_gone(process.pid)
    lines = said.decode().splitlines()
    assert len(lines) == 1 and "of 36 results are in" in lines[0] and "--resume goes on" in lines[0]
    found, before = resumed(tmp_path / "out")
    assert lines[0].startswith(f"interrupted; {before} of 36")
    assert found == unbroken("good", "fine", seeds=9)


def test_a_disk_that_is_full_stops_the_run_and_keeps_what_is_written(tmp_path, monkeypatch, unbroken):
    sync, calls = os.fsync, []

    def full(number):
        calls.append(number)
        if len(calls) > 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(number)

    with monkeypatch.context() as patch, pytest.raises(InputError, match="No space left"):
        patch.setattr(os, "fsync", full)
        run(tmp_path, jobs_of("good", "fine"), Serial())
    assert len(files(tmp_path)) == 4  # and the settings
    assert tuple(run(tmp_path, jobs_of("good", "fine"), Serial(), resume=True)) == (12, 0, 12)
    assert files(tmp_path) == unbroken("good", "fine")


def test_workers_share_the_cores_and_import_nothing_heavy(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    run(tmp_path, jobs_of("good"), Processes(2), function="threads", batch=3)
    found = collect(tmp_path)
    assert set(found["omp"]) == {max(1, cores() // 2)}
    assert not found["jax"].any() and os.getpid() not in set(found["pid"])
    assert "OMP_NUM_THREADS" not in os.environ


def test_executors_are_named():
    assert named_executor("process", workers=3) == Processes(3)
    assert named_executor("dask", scheduler="tcp://node:8786") == Cluster(None, "tcp://node:8786")
    assert named_executor("serial") == Serial()
    for name, knobs, message in [
        ("ray", {}, "no executor 'ray'; choose one of serial, process, dask"),
        ("process", {"scheduler": "x"}, "process has no scheduler"),
        ("serial", {"workers": 2}, "one worker, not 2"),
        ("process", {"workers": 0}, "workers is 0"),
        ("dask", {"workers": 2, "scheduler": "x"}, "are its own"),
    ]:
        with pytest.raises(InputError, match=message):
            named_executor(name, **knobs)


def test_dask_that_is_not_installed_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'utiliscope\[dask\]'"):
        run(tmp_path, jobs_of("good"), Cluster(2))

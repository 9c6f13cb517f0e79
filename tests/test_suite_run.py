"""Batches of the suite: rows come one by one, and are those of each job by itself."""

import dataclasses
import json
import multiprocessing

import numpy as np
import pytest

from utiliscope import devices
from utiliscope.marginal import Evidence
from utiliscope.suite import intelligence
from utiliscope.suite.execution import execute
from utiliscope.suite.executors.processes import Processes
from utiliscope.suite.executors.serial import Serial
from utiliscope.suite.intelligence import Intelligence
from utiliscope.suite.jobs import plan
from utiliscope.suite.resuming import begin
from utiliscope.suite.run import RUN, run_batch
from utiliscope.suite_commands import _on_accelerators

SETTINGS = dict(num_particles=8, tail_particles=8, concentrations=[1.0])
JOBS = plan(
    agents=["optimal", "random"],
    utilities={"cliff": ["reach(G)"]},
    methods=["intelligence"],
    seeds=[0, 1],
    num_episodes=[1],
    nulls=["random"],
)


@pytest.fixture
def read(monkeypatch):
    """Splitting is left out: how many recordings were read, and how often gauges were made."""
    counted = {"recordings": 0, "gauges": 0, "stop": None}

    def gauges(self, world, candidates):
        counted["gauges"] += 1
        counted["number"] = len(candidates)
        return [None]

    def found(key, counts, measure, **options):
        if counted["recordings"] == counted["stop"]:
            raise KeyboardInterrupt
        counted["recordings"] += 1
        return counts.sum()

    def weighed(number, tables):
        zeros = np.zeros((tables.number, counted["number"]))
        return Evidence(zeros + np.linspace(0.0, number, counted["number"]), zeros, zeros, zeros[0] > 0)

    monkeypatch.setattr(Intelligence, "gauges", gauges)
    monkeypatch.setattr(intelligence, "posterior_bits", found)
    monkeypatch.setattr(intelligence, "evidence", weighed)
    monkeypatch.setattr(intelligence, "_mean_bits", lambda _: [0.0] * counted["number"])
    monkeypatch.setattr(
        intelligence, "posterior_bits_together", lambda keys, many, _, **__: [found(None, one, None) for one in many]
    )
    return counted


def test_a_row_is_there_before_the_next_recording_is_read(read):
    rows = run_batch(JOBS, SETTINGS)
    for number, job in enumerate(JOBS, 1):
        assert next(rows)[0] == job
        assert read["recordings"] == number and read["gauges"] == 1
    assert next(rows, None) is None


def test_on_accelerators_a_batch_is_read_in_one_go(read):
    together, one_by_one = (dict(run_batch(JOBS, SETTINGS | some)) for some in ({"under_vmap": True}, {}))
    assert together == one_by_one and list(together) == list(JOBS)
    rows = run_batch(JOBS, SETTINGS | {"under_vmap": True})
    read["recordings"] = 0
    assert next(rows)[0] == JOBS[0] and read["recordings"] == len(JOBS)


def test_an_interrupt_costs_the_job_in_progress(tmp_path, read):
    read["stop"] = 3
    with pytest.raises(KeyboardInterrupt, match="3 of 4 results are in"):
        execute(JOBS, RUN, tmp_path, settings=SETTINGS, executor=Serial())
    before = {path.name: path.read_bytes() for path in (tmp_path / "jobs").iterdir()}
    assert len(before) == 3
    read["stop"] = None
    assert tuple(execute(JOBS, RUN, tmp_path, settings=SETTINGS, executor=Serial(), resume=True)) == (4, 0, 4)
    whole = tmp_path / "whole"
    execute(JOBS, RUN, whole, settings=SETTINGS, executor=Serial())
    after, unbroken = ({p.name: p.read_bytes() for p in (at / "jobs").iterdir()} for at in (tmp_path, whole))
    assert before.items() <= after.items() and after == unbroken and read["recordings"] == 8


def test_a_recording_that_cannot_be_made_costs_itself_alone(read):
    wrong = dataclasses.replace(JOBS[0], utility="reach(")
    found = list(run_batch((JOBS[0], wrong, JOBS[1]), SETTINGS))
    assert [job for job, _ in found] == [JOBS[0], wrong, JOBS[1]] and isinstance(found[1][1], Exception)
    assert read["recordings"] == 2


@pytest.mark.parametrize("method", ["prior", "boltzmann"])
def test_methods_that_plan_once_give_the_same_rows_in_any_batch(method):
    jobs = tuple(dataclasses.replace(job, method=method) for job in JOBS)
    together = [json.dumps(row) for _, row in run_batch(jobs, SETTINGS)]
    assert together == [json.dumps(row) for job in jobs for _, row in run_batch((job,), SETTINGS)]


@pytest.mark.slow
def test_a_worker_killed_in_mid_batch_changes_no_row(tmp_path):
    killed = []

    def kill(done, failed, total, last):
        if done == 2 and not killed:
            killed.extend(multiprocessing.active_children())
            for worker in killed:
                worker.kill()

    knobs = dict(settings=SETTINGS, batch=16)
    assert tuple(execute(JOBS, RUN, tmp_path / "serial", executor=Serial(), **knobs)) == (4, 0, 4)
    found = execute(JOBS, RUN, tmp_path / "killed", executor=Processes(1), progress=kill, **knobs)
    assert tuple(found) == (4, 0, 4) and len(killed) == 1
    serial, others = (
        {p.name: p.read_bytes() for p in (tmp_path / at / "jobs").iterdir()} for at in ("serial", "killed")
    )
    assert serial == others


@pytest.mark.parametrize("now", [True, False])
def test_a_resumed_suite_goes_on_as_it_was_begun(now, tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "accelerated", lambda: now)
    assert _on_accelerators(tmp_path, resume=False) == ({"under_vmap": True} if now else {})
    assert _on_accelerators(tmp_path, resume=True) == ({"under_vmap": True} if now else {})  # nothing was begun
    for begun in ({"under_vmap": True}, {}):
        begin(tmp_path, JOBS, SETTINGS | begun, resume=False)
        assert _on_accelerators(tmp_path, resume=True) == begun
        for path in tmp_path.iterdir():
            path.unlink() if path.is_file() else path.rmdir()

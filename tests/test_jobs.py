"""Jobs, their files and folders: stable names, whole files, and what a folder may be gone on with."""

import dataclasses
import errno
import json
import math
import os

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from utiliscope.errors import InputError
from utiliscope.suite.jobs import Job, batches, in_turn, job_from, plan, read_jobs, write_jobs
from utiliscope.suite.results import (
    collect,
    failure_path,
    failures,
    plain_row,
    read_result,
    result_path,
    write_failure,
    write_result,
    write_table,
)
from utiliscope.suite.resuming import begin, read_plan, read_settings

JOB = Job("four-rooms", "epsilon-0.3", "reach(G) - 2*time(b)", 10, 3, "intelligence")
TEXTS = st.one_of(st.text("aA.-_/ ü(*", max_size=4), st.sampled_from(["", "b" * 300, "\0\n", "🦊"]))
JOBS = st.builds(Job, TEXTS, TEXTS, TEXTS, st.integers(1, 100), st.integers(0, 2**40), TEXTS)


def some_jobs(seeds=3):
    return plan(
        agents=["optimal", "random"],
        utilities={"grid": ["reach(G)", "time(b)"], "cliff": ["reach(G)"]},
        methods=["prior", "boltzmann"],
        seeds=range(seeds),
        num_episodes=[1, 10],
        nulls={"random"},
    )


def fill(folder, jobs):
    for job in jobs:
        write_result(folder, job, {"score": job.seed / 3})


def test_names_and_recording_hashes_never_change():
    assert JOB.name == "four-rooms.epsilon-0.3.reach-G---2-time-b.10x.s3.intelligence-bf823b5d7856"
    assert JOB.recording_hash == 946222498


@given(JOBS, JOBS)
def test_names_tell_jobs_apart_and_are_file_names(one, other):
    assert (one.name == other.name) == (one == other)
    assert one.name.isascii() and len(one.name) < 200 and not set(one.name) & set("/\\: \0")
    assert not one.name.startswith("-")


@given(JOBS)
def test_jobs_go_through_json(job):
    assert job_from(json.loads(json.dumps(dataclasses.asdict(job))), "here") == job


def test_a_recording_is_the_same_for_every_method():
    assert JOB.recording_hash == dataclasses.replace(JOB, method="prior", seed=9).recording_hash
    for change in ({"world": "cliff"}, {"agent": "optimal"}, {"utility": "0"}, {"num_episodes": 11}):
        assert JOB.recording_hash != dataclasses.replace(JOB, **change).recording_hash


def test_a_plan_has_every_combination_once_and_nulls_without_utility():
    jobs = some_jobs()
    assert len(jobs) == len(set(jobs)) == 2 * 2 * 3 * (3 + 2)
    assert {job.utility for job in jobs if job.agent == "random"} == {""}
    assert {job.utility for job in jobs if job.agent == "optimal" and job.world == "cliff"} == {"reach(G)"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"agents": []}, "no agents"),
        ({"utilities": {}}, "no worlds"),
        ({"seeds": []}, "no seeds"),
        ({"seeds": [-1]}, "seed is -1"),
        ({"num_episodes": [0]}, "num_episodes is 0"),
    ],
)
def test_a_plan_of_nothing_is_refused(change, message):
    given = {"agents": ["a"], "utilities": {"w": ["u"]}, "methods": ["m"], "seeds": [0], "num_episodes": [1]}
    with pytest.raises(InputError, match=message):
        plan(**given | change)


@given(st.lists(JOBS, max_size=20, unique=True), st.integers(1, 5))
def test_batches_hold_each_job_once_and_are_of_one_shape(jobs, size):
    parts = batches(jobs, size)
    assert sorted(job for part in parts for job in part) == sorted(jobs)
    assert all(1 <= len(part) <= size and len({job.shape for job in part}) == 1 for part in parts)
    shapes = len({job.shape for job in jobs})
    assert len(parts) <= len(jobs) / size + shapes


def test_files_of_jobs_say_which_line_is_none(tmp_path):
    path = tmp_path / "jobs.jsonl"
    write_jobs(path, some_jobs())
    assert read_jobs(path) == some_jobs()
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:4], lines[4].replace('"seed": ', '"seed": "1", "x": '), *lines[5:]]))
    with pytest.raises(InputError, match="line 5 is no job: it needs world"):
        read_jobs(path)
    path.write_text("\n".join([*lines[:2], lines[2][:20]]))
    with pytest.raises(InputError, match="line 3 is not JSON"):
        read_jobs(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_jobs(tmp_path / "none")


def test_rows_come_back_as_they_were(tmp_path):
    (tmp_path / "jobs").mkdir()
    row = plain_row(
        {
            "text": "über",
            "tenth": 0.1,
            "small": np.float32(0.1),
            "lost": -math.inf,
            "none": None,
            "yes": np.bool_(True),
            "count": np.int64(3),
            "array": np.array([[1.5, math.nan]]),
        }
    )
    write_result(tmp_path, JOB, row)
    job, read = read_result(result_path(tmp_path, JOB))
    assert job == JOB and list(read) == list(row)
    assert read["array"][0][0] == 1.5 and math.isnan(read["array"][0][1])
    assert {name: entry for name, entry in read.items() if name != "array"} == {
        "text": "über",
        "tenth": 0.1,
        "small": float(np.float32(0.1)),
        "lost": -math.inf,
        "none": None,
        "yes": True,
        "count": 3,
    }


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"seed": 1}, "names seed, as the job does"),
        ({3: 1}, "named 3"),
        ({"a": {}}, "row's a is of type dict"),
        ({"a": [object()]}, "row's a is of type object"),
    ],
)
def test_rows_of_anything_else_are_refused(row, message):
    with pytest.raises(TypeError, match=message):
        plain_row(row)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_fails_leaves_the_file_before_or_none(tmp_path, monkeypatch, call):
    (tmp_path / "jobs").mkdir()

    def fails(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = result_path(tmp_path, JOB)
    with monkeypatch.context() as patch, pytest.raises(InputError, match=r"cannot be written: No space left"):
        patch.setattr(os, call, fails)
        write_result(tmp_path, JOB, {"score": 1.0})
    assert list((tmp_path / "jobs").iterdir()) == []
    write_result(tmp_path, JOB, {"score": 1.0})
    before = path.read_bytes()
    with monkeypatch.context() as patch, pytest.raises(InputError):
        patch.setattr(os, call, fails)
        write_result(tmp_path, JOB, {"score": 2.0})
    assert path.read_bytes() == before and list((tmp_path / "jobs").iterdir()) == [path]


def test_a_result_takes_the_place_of_a_failure(tmp_path):
    begin(tmp_path, [JOB], {}, resume=False)
    write_failure(tmp_path, JOB, "no such utility", "line 1\nline 2")
    assert failures(tmp_path) == {JOB: "no such utility"}
    assert json.loads(failure_path(tmp_path, JOB).read_text())["trace"] == ["line 1", "line 2"]
    assert begin(tmp_path, [JOB], {}, resume=True).missing == (JOB,)
    write_result(tmp_path, JOB, {"score": 1.0})
    assert failures(tmp_path) == {}


def test_a_folder_with_results_is_gone_on_with_only_if_asked(tmp_path):
    jobs, folder = some_jobs(), tmp_path / "new" / "out"
    start = begin(folder, jobs, {"particles": 64, "laws": [0.5]}, resume=False)
    assert (start.missing, start.done) == (jobs, 0)
    assert begin(folder, jobs, {"particles": 1}, resume=False).missing == jobs  # nothing there but a plan
    begin(folder, jobs, {"particles": 64, "laws": (0.5,)}, resume=False)
    fill(folder, jobs[::2])
    with pytest.raises(InputError, match="go on with them with --resume"):
        begin(folder, jobs, {"particles": 64, "laws": (0.5,)}, resume=False)
    start = begin(folder, jobs, {"particles": 64, "laws": (0.5,)}, resume=True)
    assert (start.missing, start.done) == (jobs[1::2], len(jobs[::2]))
    assert read_plan(folder) == jobs and read_settings(folder) == {"particles": 64, "laws": [0.5]}


def test_other_settings_are_refused_and_nothing_is_changed(tmp_path):
    jobs = some_jobs()
    begin(tmp_path, jobs, {"particles": 64, "steps": 5}, resume=False)
    fill(tmp_path, jobs[:1])
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match="other settings: particles is 64 there and 128 here, tails is not set there"):
        begin(tmp_path, jobs, {"particles": 128, "steps": 5, "tails": 1}, resume=True)
    with pytest.raises(InputError, match="made for 20 jobs that are not asked for now"):
        begin(tmp_path, some_jobs(seeds=2), {"particles": 64, "steps": 5}, resume=True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_plan_may_grow(tmp_path):
    few, many = some_jobs(seeds=2), some_jobs(seeds=3)
    begin(tmp_path, few, {}, resume=False)
    fill(tmp_path, few)
    assert set(begin(tmp_path, many, {}, resume=True).missing) == set(many) - set(few)
    assert read_plan(tmp_path) == many


def test_files_that_cannot_be_read_count_as_missing(tmp_path):
    jobs = some_jobs()
    begin(tmp_path, jobs, {}, resume=False)
    fill(tmp_path, jobs)
    half, empty, other = (result_path(tmp_path, job) for job in jobs[:3])
    half.write_text(half.read_text()[:-10])
    empty.write_bytes(b"\xff")
    other.write_bytes(result_path(tmp_path, jobs[4]).read_bytes())
    left = tmp_path / "jobs" / ".x.json.0a.tmp"
    left.write_text("{")
    with pytest.warns(UserWarning, match="3 result files in .* cannot be read and are made anew"):
        start = begin(tmp_path, jobs, {}, resume=True)
    assert start.missing == jobs[:3] and not left.exists()
    with pytest.warns(UserWarning, match="3 result files in .* are left out"):
        assert len(collect(tmp_path)) == len(jobs) - 3


def test_settings_and_plans_that_cannot_be_read(tmp_path):
    jobs = some_jobs()
    begin(tmp_path, jobs, {}, resume=False)
    fill(tmp_path, jobs[:1])
    (tmp_path / "jobs.jsonl").write_text("{")
    with pytest.warns(UserWarning, match="is not JSON.*; the plan is made anew"):
        begin(tmp_path, jobs, {}, resume=True)
    assert read_plan(tmp_path) == jobs
    (tmp_path / "suite.json").write_text('{"format": 0, "settings": {}}')
    with pytest.raises(InputError, match="of format 0, not 1"):
        begin(tmp_path, jobs, {}, resume=True)
    (tmp_path / "suite.json").unlink()
    with pytest.raises(InputError, match=r"suite\.json cannot be read"):
        begin(tmp_path, jobs, {}, resume=True)
    with pytest.raises(InputError, match="is a file"):
        begin(tmp_path / "jobs.jsonl", jobs, {}, resume=True)
    with pytest.raises(InputError, match="cannot be written"):
        begin(tmp_path / "jobs.jsonl" / "below", jobs, {}, resume=True)


def test_the_table_is_sorted_and_goes_through_parquet(tmp_path):
    jobs = some_jobs()
    begin(tmp_path, jobs, {}, resume=False)
    with pytest.raises(InputError, match="holds no results"):
        collect(tmp_path)
    for job in reversed(jobs):
        write_result(tmp_path, job, {"score": job.seed / 3, "evidence": [[float(job.seed), 1.5]]})
    frame = collect(tmp_path)
    assert list(frame.columns) == ["world", "agent", "utility", "num_episodes", "seed", "method", "score", "evidence"]
    found = [Job(*entries) for entries in frame[["world", "agent", "utility", "num_episodes", "seed", "method"]].values]
    assert found == sorted(jobs)
    read = pd.read_parquet(write_table(tmp_path))
    pd.testing.assert_frame_equal(read.drop(columns="evidence"), frame.drop(columns="evidence"))
    assert [[list(part) for part in entry] for entry in read["evidence"]] == frame["evidence"].tolist()
    before = (tmp_path / "results.parquet").read_bytes()
    write_result(tmp_path, jobs[0], {"score": "high"})
    with pytest.raises(InputError, match="rows must agree on what is a number"):
        write_table(tmp_path)
    assert (tmp_path / "results.parquet").read_bytes() == before


def test_utilities_take_turns_by_pairs_of_seeds():
    """Every recording of a cell has its twin with another seed, and a growing plan keeps what it had."""
    truths = {"small": ["reach(A)", "reach(B)", "collect(A)"]}

    def chosen(seeds, agents=("optimal", "myopic")):
        options = dict(utilities=truths, methods=["prior"], num_episodes=[3], nulls=["still"])
        return in_turn(plan(agents=[*agents, "still"], seeds=range(seeds), **options), truths, 1)

    jobs = chosen(6)
    of = {(job.agent, job.seed): job.utility for job in jobs}
    assert len(of) == len(jobs) == 18
    for agent in ("optimal", "myopic"):
        assert all(of[agent, 2 * pair] == of[agent, 2 * pair + 1] for pair in range(3))
        assert {of[agent, 2 * pair] for pair in range(3)} == set(truths["small"])
    assert {of["still", seed] for seed in range(6)} == {""}
    assert set(chosen(2, ("optimal",))) <= set(jobs)
    with pytest.raises(InputError, match="goals"):
        in_turn(jobs, truths, 0)

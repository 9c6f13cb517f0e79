"""The evidence that recordings of a suite hold for every candidate under every law of a grid: all that tuning reads."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from utiliscope.errors import InputError, listed
from utiliscope.suite.jobs import Job
from utiliscope.suite.results import read_result

METHOD = "intelligence"  # the method of the suite whose results hold evidence


class Evidence(NamedTuple):
    """One recording of an agent, for `C` concentrations of the policy prior, `L` laws and `U` candidates.

    job: of the suite. family: of the agent; kind: "agent" or "null".
    log_evidence: `[C, L, U]` nats, policies summed out. std_error: `[C, L]` of it, nats, the mean over candidates.
    code_length: `[U]` bits. truth: place of the true utility's class; of a null that of "0", which prefers nothing.
    """

    job: Job
    family: str
    kind: str
    log_evidence: np.ndarray
    std_error: np.ndarray
    code_length: np.ndarray
    truth: int


class Laws(NamedTuple):
    """What the evidence of a suite was found under: `concentrations` `[C]`, and `laws` `[L]` as `--law` has them."""

    concentrations: tuple[float, ...]
    laws: tuple[str, ...]


def read_evidence(folder: Path, families: Callable, places: Callable) -> tuple[Laws, list[Evidence], list[str]]:
    """The evidence in a folder of suite results, sorted by job, and the agents of whom recordings were left out.

    families, places: see `Families` and `Places`. Agents of any other kind than "agent" and "null" are left out, since
    no behaviour tells what they are after, and so are those who pursue what is no candidate.

    Raises InputError for a folder without evidence, agents that are not known, and results of several grids.
    """
    found, grids, passed_over = [], set(), set()
    for path in sorted((folder / "jobs").glob("*.json")):
        result = read_result(path)
        if result is None or "grid_evidence" not in result[1]:
            continue
        job, row = result
        try:
            family, kind = families(job.world, job.agent, job.utility)
        except KeyError:
            raise InputError(
                f"{folder} holds recordings of {job.agent!r}, which is not among the agents; name its file"
            ) from None
        code_length, truth = places(job.world, job.agent, job.utility)
        if kind not in ("agent", "null") or truth is None:
            passed_over.add(job.agent)
            continue
        log_evidence = np.array(row["grid_evidence"], np.float64)
        if log_evidence.shape[-1] != len(code_length):
            raise InputError(f"{path} is of {log_evidence.shape[-1]} candidates, not {len(code_length)}; run it anew")
        if not np.isfinite(log_evidence).all():
            raise InputError(f"{path} holds evidence that is no number; delete it, and run the suite with --resume")
        found.append(Evidence(job, family, kind, log_evidence, np.array(row["grid_error"]), code_length, truth))
        grids.add((tuple(row["grid_concentrations"]), tuple(row["grid_laws"])))
    if not found and passed_over:
        others = listed(sorted(passed_over))
        raise InputError(f"{folder} holds no evidence that can be scored, only of {others}; record other agents, too")
    if not found:
        raise InputError(f"{folder} holds no evidence; run `utiliscope suite` with the method {METHOD} there first")
    if len(grids) > 1:
        raise InputError(f"{folder} holds evidence under different laws; run the suite anew in another folder")
    return Laws(*grids.pop()), sorted(found, key=lambda one: one.job), sorted(passed_over)


def check_families(evidence: Sequence[Evidence]) -> list[str]:
    """The families, sorted; raises InputError unless one can be left out and another remains."""
    names = sorted({one.family for one in evidence})
    if not names:
        raise InputError("no recording is left to tune on; record agents beside what is after nothing")
    if len(names) < 2:
        raise InputError(
            f"there is one family of agents only ({listed(names)}); leaving it out leaves nothing to tune on"
        )
    return names

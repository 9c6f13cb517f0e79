"""What a suite has to do, as plain data: one job is one method on one recording of one agent."""

import dataclasses
import hashlib
import itertools
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from utiliscope.errors import InputError, check_whole
from utiliscope.outputs import written_whole

_LONGEST_PREFIX = 100  # of a job's name; file systems take 255 bytes


@dataclasses.dataclass(frozen=True, order=True)
class Job:
    """One method on one recording.

    world, agent, method: names in `WORLDS`, `ROSTER` and `METHODS`.
    utility: what the agent is after, as an expression; empty for agents that are after nothing.
    num_episodes: of the recording.
    seed: of the recording; another one is another recording of the same agent.
    """

    world: str
    agent: str
    utility: str
    num_episodes: int
    seed: int
    method: str

    @property
    def name(self) -> str:
        """A readable file name that no other job has, the same on every machine."""
        fields = (self.world, self.agent, self.utility, f"{self.num_episodes}x", f"s{self.seed}", self.method)
        readable = ".".join(re.sub(r"[^A-Za-z0-9.+-]+", "-", field).strip(".-") for field in fields)
        return f"{readable[:_LONGEST_PREFIX]}-{_digest(dataclasses.astuple(self)).hex()[:12]}"

    @property
    def shape(self) -> tuple[str, str]:
        """Jobs of one shape, world and method, can be run together."""
        return self.world, self.method

    @property
    def recording_hash(self) -> int:
        """32 bits to fold into `jax.random.key(seed)`: recordings do not depend on the method or on other jobs."""
        fields = (self.world, self.agent, self.utility, self.num_episodes)
        return int.from_bytes(_digest(fields)[:4], "big")


FIELDS = {field.name: field.type for field in dataclasses.fields(Job)}


def _digest(fields) -> bytes:
    return hashlib.sha256(json.dumps(fields, ensure_ascii=False).encode()).digest()


def plan(
    *,
    agents: Sequence[str],
    utilities: Mapping[str, Sequence[str]],
    methods: Sequence[str],
    seeds: Iterable[int],
    num_episodes: Sequence[int],
    nulls: Collection[str] = (),
) -> tuple[Job, ...]:
    """Every method on every recording, each job once.

    utilities: the true utilities of each world; its names are the worlds.
    nulls: which of `agents` are after nothing: they are recorded once for all utilities, with an empty one.
    Raises InputError for an empty list, or numbers that are not whole.
    """
    seeds = tuple(seeds)
    given = {"agents": agents, "worlds": utilities, "methods": methods, "seeds": seeds, "num_episodes": num_episodes}
    for what, names in given.items():
        if not len(names):
            raise InputError(f"the suite has no {what}; name at least one")
    for number in num_episodes:
        check_whole("num_episodes", number, 1)
    for seed in seeds:
        check_whole("seed", seed, 0)
    jobs = [
        Job(world, agent, utility, int(episodes), int(seed), method)
        for world, method, agent in itertools.product(utilities, methods, agents)
        for utility in ([""] if agent in nulls else utilities[world])
        for episodes, seed in itertools.product(num_episodes, seeds)
    ]
    return tuple(dict.fromkeys(jobs))


def in_turn(jobs: Iterable[Job], utilities: Mapping[str, Sequence[str]], number: int) -> tuple[Job, ...]:
    """Those of `jobs` with `number` utilities for each agent, world and seed: all take turns.

    Seeds 0 and 1 share theirs, 2 and 3 the next, and so on: an error over seeds needs two recordings of the same.
    Raises InputError for a number below 1.
    """
    check_whole("goals", number, 1)

    def has_its_turn(job):
        if not job.utility:
            return True
        truths = list(utilities[job.world])
        # Whose turn it is does not depend on which other agents there are: a plan may grow.
        start = int.from_bytes(_digest([job.world, job.agent])[:4], "big") + job.seed // 2
        return (truths.index(job.utility) - start) % len(truths) < number

    return tuple(job for job in jobs if has_its_turn(job))


def batches(jobs: Iterable[Job], size: int) -> list[tuple[Job, ...]]:
    """Jobs of one shape together, at most `size` at a time, in the order in which shapes first appear."""
    check_whole("batch", size, 1)
    of_shape = {}
    for job in jobs:
        of_shape.setdefault(job.shape, []).append(job)
    return [part for together in of_shape.values() for part in itertools.batched(together, size)]


def job_from(entries, where: str) -> Job:
    """The job of a JSON object; raises InputError that says `where` if it is none."""
    right = isinstance(entries, dict) and entries.keys() == FIELDS.keys()
    if not (right and all(type(entries[name]) is kind for name, kind in FIELDS.items())):
        raise InputError(f"{where} is no job: it needs {', '.join(f'{n} ({k.__name__})' for n, k in FIELDS.items())}")
    return Job(**entries)


def write_jobs(path: Path, jobs: Iterable[Job]) -> None:
    """Write JSON lines, a job each, whole or not at all; raises InputError if that cannot be done."""
    lines = [json.dumps(dataclasses.asdict(job), ensure_ascii=False) + "\n" for job in jobs]
    with written_whole(path) as partial:
        partial.write_text("".join(lines), encoding="utf-8")


def read_jobs(path: Path) -> tuple[Job, ...]:
    """The jobs of a file of JSON lines; raises InputError that names the line that is none."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    jobs = []
    for number, line in enumerate(lines, 1):
        try:
            entries = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"{path}, line {number} is not JSON: {error.msg}") from None
        jobs.append(job_from(entries, f"{path}, line {number}"))
    return tuple(jobs)

"""One batch of the suite: its recordings, what the method says of them, and how good that is.

The parts are imported on first use, in the process that runs the batch.
"""

import functools
from collections.abc import Iterator, Mapping

from utiliscope.suite.jobs import Job
from utiliscope.suite.results import VARIANT

RUN = "utiliscope.suite.run.run_batch"  # what `execute` is told


def run_batch(jobs: tuple[Job, ...], settings: Mapping) -> Iterator[tuple[Job, dict | Exception]]:
    """The row of each job of one world and method, or why it has none.

    A row must not depend on what else is in the batch: resumed runs make other batches. So recordings have keys of
    their own, and the method is given the same key whatever the batch, which it must not split by position.

    Methods with a `reader` (see `methods.Method`) give each row before the next recording is made: who is stopped loses
    the job in progress. Others, and on accelerators intelligence weighting, read all recordings of the batch in one go,
    and give no row before all of them are there.
    """
    import jax

    from utiliscope.compilation import keep_compiled_code
    from utiliscope.suite.methods import reading
    from utiliscope.suite.recording import recorded

    keep_compiled_code()
    world, name = jobs[0].shape
    task, candidates, measures = _world(world)
    agents_file, chosen, key = settings.get("agents_file"), method(name, settings), jax.random.key(0)
    one_by_one = hasattr(chosen, "reader") and not getattr(chosen, "together", False)
    read, recordings = None, {}
    for job in jobs:
        try:
            behaviour = recorded(job, task, _roster(agents_file)[job.agent])
        except Exception as error:
            yield job, error
            continue
        if one_by_one:
            read = read or chosen.reader(key, task, candidates)
            yield job, _whole_row(reading(name, read(behaviour)), 0, _truth(world, agents_file, job), measures)
        else:
            recordings[job] = behaviour
    if recordings:
        found = reading(name, chosen(key, task, candidates, list(recordings.values())))
        for place, job in enumerate(recordings):
            yield job, _whole_row(found, place, _truth(world, agents_file, job), measures)


def method(name: str, settings: Mapping):
    """The method called `name`; settings: `num_particles`, `tail_particles`, `concentrations`, `simplicity`, and
    `under_vmap`, which who starts the suite decides: one process's device may not be another's.
    """
    import dataclasses

    from utiliscope.suite.methods import METHODS

    found = METHODS[name]
    if not dataclasses.is_dataclass(found):
        return found
    known = {field.name for field in dataclasses.fields(found)}
    settings = {"under_vmap": False, **settings}
    given = {entry: tuple(value) if isinstance(value, list) else value for entry, value in settings.items()}
    return dataclasses.replace(found, **{entry: value for entry, value in given.items() if entry in known})


def prepare(worlds, settings: Mapping, say) -> None:
    """The value tails of `worlds`, before workers need them: shared on disk, and using all cores by themselves."""
    from utiliscope.suite.places import task_of

    for number, world in enumerate(worlds):
        say(f"value tails of the worlds {number}/{len(worlds)}")
        task = task_of(world)
        method("intelligence", settings).gauges(task.world, task.candidates)


def _whole_row(found, place, truth, measures) -> dict:
    rows = [_row(claims, place, truth, measures) for claims in found.claims.values()]
    # Of several claims each entry is a list.
    entries = dict.fromkeys(entry for one in rows for entry in one)
    row = {entry: [one.get(entry, float("nan")) for one in rows] for entry in entries}
    return {VARIANT: list(found.claims), **row} | {entry: kept[place] for entry, kept in found.kept.items()}


def _row(claims, place, truth, measures) -> dict:
    from utiliscope.suite.scores import score, score_reward

    if claims.reward is None:
        row = score(claims.log_prob[place], truth, measures)
    else:
        row = score_reward(claims.reward[place], truth, measures)
    if claims.bits is not None and truth is not None:
        row["true_bits"] = float(claims.bits[place, truth])
    return row | {name: values[place] for name, values in claims.extra.items()}


@functools.cache
def _roster(agents_file):
    from utiliscope.agents.roster import read_roster

    return read_roster(agents_file)


@functools.cache
def _world(name):
    """A world of the suite, its candidates, and what scores in it are measured by: worked out once in each process."""
    from utiliscope.suite.places import task_of
    from utiliscope.suite.yardsticks import yardsticks

    task = task_of(name)
    return task, task.candidates, yardsticks(task, task.candidates)


@functools.cache
def _places(agents_file):
    from utiliscope.suite.places import Places

    return Places(agents_file)


def _truth(world, agents_file, job) -> int | None:
    """The place of what the agent pursues; nulls have none: there is nothing that a claim could have right."""
    null = _roster(agents_file)[job.agent].kind == "null"
    return None if null else _places(agents_file)(world, job.agent, job.utility)[1]

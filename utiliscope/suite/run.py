"""One batch of the suite: its recordings, what the method says of them, and how good that is.

The parts are imported on first use, in the process that runs the batch.
"""

import functools
from collections.abc import Iterator, Mapping

from utiliscope.suite.jobs import Job

RUN = "utiliscope.suite.run.run_batch"  # what `execute` is told


def run_batch(jobs: tuple[Job, ...], settings: Mapping) -> Iterator[tuple[Job, dict | Exception]]:
    """The row of each job of one world and method, or why it has none.

    A row must not depend on what else is in the batch: resumed runs make other batches. So recordings have keys of
    their own, and the method is given the same key whatever the batch, which it must not split by position.
    """
    import jax

    from utiliscope.agents.roster import ROSTER
    from utiliscope.compilation import keep_compiled_code
    from utiliscope.suite.methods import METHODS
    from utiliscope.suite.scores import score

    keep_compiled_code()
    world, _ = jobs[0].shape
    task, candidates, measures = _world(world)
    recorded = {}
    for job in jobs:
        try:
            recorded[job] = ROSTER[job.agent].agent.record(
                jax.random.fold_in(jax.random.key(job.seed), job.recording_hash),
                task.world,
                job.utility or "0",
                num_episodes=job.num_episodes,
                num_steps=task.num_steps,
            )
        except Exception as error:
            yield job, error
    if not recorded:
        return
    claims = METHODS[jobs[0].method](jax.random.key(0), task, candidates, list(recorded.values()))
    for place, job in enumerate(recorded):
        extra = {name: values[place] for name, values in claims.extra.items()}
        yield job, score(claims.log_prob[place], _truth(world, job.utility), measures) | extra


@functools.cache
def _world(name):
    """A world of the suite, its candidates, and what scores in it are measured by: worked out once in each process."""
    from utiliscope.suite.worlds import WORLDS
    from utiliscope.suite.yardsticks import yardsticks

    task = WORLDS[name]()
    return task, task.candidates, yardsticks(task, task.candidates)


@functools.cache
def _truth(name, utility):
    """The place of the true utility's class, None for behaviour that is after nothing."""
    from utiliscope.suite.worlds import truth_index

    task, candidates, _ = _world(name)
    return truth_index(candidates, task.grammar, utility) if utility else None

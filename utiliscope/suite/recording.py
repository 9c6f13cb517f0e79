"""The recording of a job: the agent in its world, each episode as long as there is something left to be after."""

import jax
import numpy as np
import pandas as pd

from utiliscope.agents.agent import pursued
from utiliscope.agents.roster import Entry
from utiliscope.behaviour import Behaviour, check_fits
from utiliscope.chains import joint_chain, step_payoffs
from utiliscope.errors import InputError
from utiliscope.payoffs import Payoffs
from utiliscope.world import WorldModel
from utiliscope.world.transition import links

from .jobs import Job
from .worlds import SuiteWorld

_MOST_NODES = 2**17


def recorded(job: Job, task: SuiteWorld, entry: Entry) -> Behaviour:
    """What the agent does; it depends on the job's world, agent, utility, number of episodes and seed alone.

    An episode ends with the decision after which what is pursued is settled: a goal that was to be reached once has
    been reached. What an agent would do from then on says nothing of what it was after, and methods could but guess at
    it. Behaviour that is after nothing goes on for all of the world's `num_steps`.

    Raises InputError for an agent whose `record` gives anything but a `Behaviour` of a world of this size.
    """
    utility = task.grammar.parse(job.utility or "0")
    behaviour = entry.agent.record(
        jax.random.fold_in(jax.random.key(job.seed), job.recording_hash),
        task.world,
        utility,
        num_episodes=job.num_episodes,
        num_steps=task.num_steps,
    )
    _check_recorded(behaviour, job, task.world)
    goal = pursued(entry.agent, task.world, utility) if job.utility and entry.kind != "null" else None
    return behaviour if goal is None or goal.state.ndim != 1 else until_settled(behaviour, task.world, goal)


def _check_recorded(behaviour, job, world) -> None:
    what = f"what the agent {job.agent!r} recorded in the world {job.world!r}"
    if not isinstance(behaviour, Behaviour):
        raise InputError(
            f"{what} is of type {type(behaviour).__name__}; its method `record` must return a Behaviour, such as "
            "read_behaviour(table, world)"
        )
    try:
        check_fits(behaviour, world)
    except InputError as error:
        raise InputError(f"{what} does not fit: {error}") from None
    if not behaviour.num_decisions:
        raise InputError(f"{what} holds no decisions; its method `record` must return one at least")


def until_settled(behaviour: Behaviour, world: WorldModel, payoffs: Payoffs) -> Behaviour:
    """`behaviour` without the decisions that come when nothing can be gained or lost any more.

    So every episode keeps its first decision, and behaviour for utilities that pay for steps is kept whole.
    """
    steps, _ = step_payoffs(world, payoffs)
    nodes = None if np.any(steps) else joint_chain(world, payoffs, _MOST_NODES)
    if nodes is None or not nodes.over.any():
        return behaviour
    # On coming to the state that settles it all that follows is over; it has yet to be read.
    leads = nodes.onward >= 0
    settled = nodes.over | (nodes.over[np.where(leads, nodes.onward, 0)] | ~leads).all(1)
    successors, _ = links(world.transition)
    kept = []
    for _, episode in behaviour.table.groupby("episode", sort=False):
        node, number = int(episode["state"].iloc[0]), len(episode)
        moves = zip(episode["state"], episode["next_state"], strict=True)
        for t, (state, following) in enumerate(moves, 1):
            node = int(nodes.onward[node, np.argmax(successors[state] == following)])
            if settled[node]:
                number = t
                break
        kept.append(episode.iloc[:number])
    return Behaviour(pd.concat(kept, ignore_index=True), behaviour.num_states, behaviour.num_actions)

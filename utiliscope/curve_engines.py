"""How the curves of value tails are computed: which moves serve a prior in a world, and where they run."""

import os
from typing import NamedTuple

import jax
import numpy as np

from .chains import memoryless_chains
from .curves import curve_of_ladder, curve_of_levels
from .devices import accelerated, over_devices
from .payoffs import Payoffs
from .policies import UniformDeterministic, choice_states
from .row_splitting import MOST_INVERTED, Patches, WholeInverses, can_split_rows, draw_rows, row_problem
from .sequences import ActionSequences
from .splitting import split
from .tempering import temper
from .traced_rows import row_mover, world_links
from .traced_splitting import levels_of, plain_mover, traced_split
from .world.model import WorldModel, bare, reachable_states

_PARTICLES_OF_A_CHAIN, _FEWEST_CHAINS = 64, 16
_MOST_TRACED_BITS = 1000
_MOST_TOGETHER = 2**28  # numbers in the inverses of the utilities that a device runs at a time


class Task(NamedTuple):
    """A utility whose curve is wanted, and the `name` that it will be kept under."""

    name: str
    key: jax.Array
    payoffs: Payoffs
    tolerance: float
    best: float


def curves(world, policy_prior, settings, tasks, pool):
    """The curve of each task (see `curves.py`), in their order, as they are ready."""
    if not tasks:
        return iter(())
    by_rows = hasattr(policy_prior, "perturb_row") and world.horizon is None and isinstance(world, WorldModel)
    by_rows = by_rows and world.num_states**2 <= MOST_INVERTED
    compiled = can_split_rows(world, policy_prior) and not (accelerated() and by_rows)
    if by_rows and not compiled:
        # The curve of a utility may not depend on what others it comes with.
        chains = [memoryless_chains(world, task.payoffs) for task in tasks]
        kinds = [None if parts is None else len(parts[0]) for parts in chains]
        if len(set(kinds)) > 1:
            groups = {kind: [task for task, own in zip(tasks, kinds, strict=True) if own == kind] for kind in kinds}
            parts = {kind: curves(world, policy_prior, settings, group, pool) for kind, group in groups.items()}
            return (next(parts[kind]) for kind in kinds)
        by_rows = kinds[0] is not None
        compiled = can_split_rows(world, policy_prior) and not by_rows
    if compiled:
        one = _by_compiled_moves(world, policy_prior, settings, max(1, os.cpu_count() // len(tasks)))
    elif by_rows and (accelerated() or len(jax.local_devices()) > 1):
        return _on_devices(world, policy_prior, settings, tasks)
    else:
        one = (_by_rows if by_rows else _by_evaluation)(world, policy_prior, settings)

    def task_of(task):
        with jax.enable_x64(True):
            return one(task)

    return pool.map(task_of, tasks)


def _by_compiled_moves(world, policy_prior, settings, threads):
    """For our priors of independent rows: by splitting with inverses, in big worlds by tempering."""
    num_particles, num_sweeps, reach, stop_at, max_bits = settings

    def curve(task):
        ends = dict(best=task.best, tolerance=task.tolerance, reach=reach, stop_at=stop_at, max_bits=max_bits)
        random = np.random.default_rng(np.asarray(jax.random.key_data(task.key)))
        problem = row_problem(world, task.payoffs, policy_prior)
        if len(problem.weight) * problem.num_nodes**2 <= MOST_INVERTED:
            policy = draw_rows(random, policy_prior, np.asarray(world.available), num_particles)
            run = split(WholeInverses(random, problem, policy, num_sweeps), random, **ends)
            return curve_of_levels(run, task.tolerance, task.best, policy_prior.atomic)
        number = max(num_particles // _PARTICLES_OF_A_CHAIN, _FEWEST_CHAINS)
        policy = draw_rows(random, policy_prior, np.asarray(world.available), number)
        ladder = temper(random, Patches(random, problem, policy, num_sweeps), threads=threads, **ends)
        return curve_of_ladder(ladder, task.tolerance, task.best, policy_prior.atomic)

    return curve


def _by_evaluation(world, policy_prior, settings):
    """For any prior with moves, in JAX: each proposal is evaluated afresh."""
    num_particles, num_sweeps, reach, stop_at, _ = settings
    ends = dict(
        reach=np.float64(reach), stop_at=np.float64(stop_at), max_levels=_most_levels(world, policy_prior, settings)
    )

    @jax.jit
    def run(key, payoffs, tolerance, best):
        mover = plain_mover(world, payoffs, policy_prior, num_particles=num_particles, num_sweeps=num_sweeps)
        return traced_split(key, mover, tolerance=tolerance, best=best, **ends)

    def curve(task):
        levels = levels_of(run(task.key, task.payoffs, np.float64(task.tolerance), np.float64(task.best)))
        return curve_of_levels(levels, task.tolerance, task.best, policy_prior.atomic)

    return curve


def _by_rows(world, policy_prior, settings):
    """For priors of independent rows, in JAX: rank-one updates, one utility at a time."""
    run = jax.jit(_row_run(world, policy_prior, settings))

    def curve(task):
        goes_on, paid = memoryless_chains(world, task.payoffs)
        ends = np.float64(task.tolerance), np.float64(task.best)
        levels = levels_of(run(task.key, goes_on.astype(float), paid, *ends))
        return curve_of_levels(levels, task.tolerance, task.best, policy_prior.atomic)

    return curve


def _on_devices(world, policy_prior, settings, tasks):
    """The same for many utilities at once: each device takes its share of them, side by side."""
    devices = len(jax.local_devices())
    parts = [memoryless_chains(world, task.payoffs) for task in tasks]  # all of one number of chains
    each = settings[0] * parts[0][0].size * world.num_states
    batch = devices * max(1, min(_MOST_TOGETHER // each, -(-len(tasks) // devices)))
    one = _row_run(world, policy_prior, settings)
    # Typed keys do not travel to a mesh as arrays do.
    kind = jax.random.key_impl(tasks[0].key)
    run = over_devices(lambda key, *rest: one(jax.random.wrap_key_data(key, impl=kind), *rest))
    for start in range(0, len(tasks), batch):
        # The last batch is filled up with copies of its last utility, so that all have one shape.
        some = [*range(start, min(start + batch, len(tasks)))]
        places = [*some, *[some[-1]] * (batch - len(some))]
        with jax.enable_x64(True):
            inputs = (
                np.stack([np.asarray(jax.random.key_data(tasks[i].key)) for i in places]),
                np.stack([parts[i][0] * 1.0 for i in places]),
                np.stack([parts[i][1] for i in places]),
                np.array([tasks[i].tolerance for i in places]),
                np.array([tasks[i].best for i in places]),
            )
            runs = jax.device_get(run(*inputs))
        for place, i in enumerate(some):
            levels = levels_of(jax.tree.map(lambda x, place=place: x[place], runs))
            yield curve_of_levels(levels, tasks[i].tolerance, tasks[i].best, policy_prior.atomic)


def _row_run(world, policy_prior, settings):
    num_particles, num_sweeps, reach, stop_at, _ = settings
    ends = dict(
        reach=np.float64(reach), stop_at=np.float64(stop_at), max_levels=_most_levels(world, policy_prior, settings)
    )
    links, world = world_links(world), bare(world)

    def run(key, goes_on, paid, tolerance, best):
        mover = row_mover(
            world, links, (goes_on, paid), policy_prior, num_particles=num_particles, num_sweeps=num_sweeps
        )
        populations = traced_split(key, mover, tolerance=tolerance, best=best, **ends)
        return populations._replace(particles=None)

    return run


def _most_levels(world, policy_prior, settings) -> int:
    """Levels of a bit or more, whose values take memory: no more than a flat prior has bits."""
    number, bits = np.asarray(world.available).sum(-1), min(settings[-1], _MOST_TRACED_BITS)
    if isinstance(policy_prior, ActionSequences):
        bits = min(bits, policy_prior.horizon * np.log2(number.max()) + 10)
    if isinstance(policy_prior, UniformDeterministic):
        bits = min(bits, np.log2(number[choice_states(world, reachable_states(world))]).sum() + 10)
    return int(np.ceil(bits)) + 2

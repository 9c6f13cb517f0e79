"""How an atlas is made: splitting runs in given directions, whose particles are kept, and one weight for each.

A particle that was drawn above level j of run k is one of n_kj from the prior cut off there, of mass p_kj; it stays
where it is until it is killed. All of them together are one sample, of density prior times
sum_kj n_kj [theta_k . mu >= L_kj] / p_kj, whose inverse is each one's weight (the balance heuristic: Veach and Guibas
1995). The masses are those that the weighted sample itself has above the levels (Shirts and Chodera 2008), from where
splitting has estimated them: for one run that changes nothing, for several it pools them.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import jax
import numpy as np
from threadpoolctl import threadpool_limits

from .atlas import Atlas
from .errors import InputError, check_whole
from .payoffs import as_payoffs
from .planning import value_range
from .policies import check_prior
from .row_splitting import WholeInverses, can_split_rows, draw_rows, row_problem
from .splitting import Record
from .world.possible import World

_MOST_BITS = 480.0  # squares of chances are float64
_MOST_INVERTED = 256**2
_REACH = 0.98  # of the way from the mean random value to the best
_TIE = 1e-10  # of the spread of random values
_MASS_TOLERANCE, _MOST_ROUNDS = 0.01, 30


class SplittingRun(NamedTuple):
    """What a run leaves behind: counts `[M, F]` of all its particles; levels, log_mass, created `[J]` as in `Atlas`."""

    counts: np.ndarray
    levels: np.ndarray
    log_mass: np.ndarray
    created: np.ndarray


def make_atlas(
    key,
    world: World,
    features,
    directions,
    *,
    policy_prior,
    targets=None,
    max_bits: float = 40.0,
    num_particles: int = 128,
    num_sweeps: int = 1,
) -> Atlas:
    """An atlas from one splitting run for each of `directions` `[K, F]`, over state `features` `[F, S]`.

    policy_prior: of independent rows, `Dirichlet` or `UniformDeterministic`.
    targets: `[K]` theta . mu at which each run may end, by default 98 % of the way from the mean random value to the
    best one (finite priors: all of it); max_bits: where it ends in any case.
    num_particles: N random policies in each run. num_sweeps: moves between two levels, as for `value_tail`.

    Costs for each run about bits x N x S x num_sweeps proposals, as a value tail, and N (1 + 0.6 bits) particles of the
    atlas; for all of them O(M K) a pass of the weights. Raises InputError for other priors, for worlds with a horizon
    or of more than 256 states, and for features and directions that do not fit. `key` is consumed.
    """
    features = _checked(world, features, policy_prior, max_bits)
    check_whole("num_particles", num_particles, 8)
    check_whole("num_sweeps", num_sweeps, 1)
    settings = (policy_prior, num_particles, num_sweeps, float(max_bits))
    return _combined(_runs(key, world, features, directions, targets, settings))


def add_runs(key, atlas: Atlas, world: World, features, directions, **settings) -> Atlas:
    """A new atlas with runs in further `directions` `[K, F]`; arguments as for `make_atlas`."""
    return joined(atlas, make_atlas(key, world, features, directions, **settings))


def joined(*atlases: Atlas) -> Atlas:
    """All particles and runs of several atlases of one world and prior, weighted together. Costs O(M K) a pass."""
    counts = np.concatenate([np.asarray(one.counts) for one in atlases])
    directions = np.concatenate([np.asarray(one.directions) for one in atlases])
    most = max(one.levels.shape[1] for one in atlases)

    def stacked(name, fill):
        parts = [np.asarray(getattr(one, name)) for one in atlases]
        return np.concatenate([_wider(part, most, fill) for part in parts])

    return _weighted(counts, directions, stacked("levels", np.inf), stacked("log_mass", 0.0), stacked("created", 0.0))


def thinned(key, atlas: Atlas, weights, values, number: int, *, plain: float = 0.25) -> Atlas:
    """About the same atlas in `number` particles, most of them where they matter for `weights` `[D, F]` and `values`
    `[D]`; its runs are left out.

    A particle is kept with a chance that grows with its share of the mass beyond the value (root mean square over `D`),
    a share `plain` of them regardless of these, evenly over the levels; its weight is divided by that chance, so that
    sums keep their expectation. Padded with weights of 0 to exactly `number`. Costs O(D M F). `key` is consumed.
    """
    counts, log_weight = np.asarray(atlas.counts), np.asarray(atlas.log_weight)
    weights, values = np.asarray(weights), np.asarray(values)
    spread = np.sqrt(np.einsum("df,fg,dg->d", weights, np.asarray(atlas.covariance), weights))
    total = np.zeros(len(counts))
    scaled = np.exp(log_weight - log_weight.max())
    for theta, value, one in zip(weights, values, spread, strict=True):
        # Those a little below count too: policies are weighed against their neighbours.
        beyond = scaled * _sigmoid((counts @ theta - value) / (0.1 * one))
        total += (beyond / max(beyond.sum(), np.finfo(float).tiny)) ** 2
    share = np.sqrt(total)
    chance = _chances((1 - plain) * share / max(share.sum(), 1e-300) + plain / len(counts), number)
    # Systematic sampling: the number is fixed but for rounding, and neighbours in the order are spread out.
    random = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    order = random.permutation(len(counts))
    steps = np.floor(np.cumsum(chance[order]) + random.random())
    kept = order[np.diff(steps, prepend=0.0) > 0][:number]
    missing = number - len(kept)
    return Atlas(
        np.pad(counts[kept], ((0, missing), (0, 0))).astype(np.float32),
        np.pad(log_weight[kept] - np.log(chance[kept]), (0, missing), constant_values=-np.inf),
        np.asarray(atlas.mean),
        np.asarray(atlas.covariance),
        np.zeros((0, counts.shape[1])),
        *np.zeros((3, 0, 0)),
    )


def _chances(share, number):
    """Inclusion chances that sum to at most `number`, proportional to `share` but for those that are certain."""
    certain = np.zeros(len(share), bool)
    if number >= len(share):
        return np.ones(len(share))
    while True:
        chance = np.where(certain, 1.0, share * (number - certain.sum()) / share[~certain].sum())
        more = (chance >= 1) & ~certain
        if not more.any():
            return chance
        certain |= more


def _sigmoid(x):
    return 0.5 * (1 + np.tanh(0.5 * x))


def _wider(table, most, fill):
    return np.pad(table, ((0, 0), (0, most - table.shape[1])), constant_values=fill)


def _checked(world, features, policy_prior, max_bits):
    check_prior(policy_prior)
    if not can_split_rows(world, policy_prior) or world.num_states**2 > _MOST_INVERTED:
        raise InputError(
            f"an atlas is made of Dirichlet or UniformDeterministic rows in a world without a horizon of up to 256 "
            f"states; here are {type(policy_prior).__name__} and {world.num_states} states. Compare a set of candidate "
            "utilities instead (Grammar, SparseWeights)"
        )
    features = np.asarray(features, np.float64)
    if features.ndim != 2 or features.shape[1] != world.num_states or not np.isfinite(features).all():
        raise InputError(f"features have shape {features.shape}, not [features, {world.num_states} states] of numbers")
    if not 0 < max_bits <= _MOST_BITS:
        raise InputError(f"the runs of an atlas are to end at {max_bits} bits; give a number above 0, up to 480")
    return features


def _runs(key, world, features, directions, targets, settings):
    directions = np.asarray(directions, np.float64)
    number = len(features)
    if directions.ndim != 2 or directions.shape[1] != number or not len(directions):
        raise InputError(
            f"directions have shape {directions.shape}, not [runs, {number} features], with a run at least"
        )
    size = np.abs(directions).max(1, keepdims=True)
    if not (np.isfinite(size).all() and (size > 0).all()):
        raise InputError("a direction is zero or not finite; every run needs weights to climb by")
    targets = np.full(len(directions), np.inf) if targets is None else np.asarray(targets, np.float64) / size[:, 0]
    directions = directions / size
    seeds = np.random.default_rng(np.asarray(jax.random.key_data(key))).spawn(len(directions))
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(os.cpu_count()) as pool:
        one = lambda random, theta, target: _run(random, world, features, theta, target, settings)  # noqa: E731
        return directions, list(pool.map(one, seeds, directions, targets))


def _run(random, world, features, theta, target, settings) -> SplittingRun:
    policy_prior, number, num_sweeps, max_bits = settings
    problem = row_problem(world, as_payoffs(world, theta @ features), policy_prior)
    policy = draw_rows(random, policy_prior, np.asarray(world.available), number)
    # A continuous prior never comes to the best value.
    with jax.enable_x64(True):
        _, best = value_range(world, as_payoffs(world, theta @ features))
    population = WholeInverses(random, problem, policy, num_sweeps)
    home = problem.home.reshape(-1)
    seen = np.where(home >= 0, features[:, np.maximum(home, 0)], 0.0).T  # [C n, F]

    def present():
        return population.visits.reshape(number, -1) @ seen

    counts, levels, log_mass, created = [], [-np.inf], [0.0], [number]
    now = present()
    tolerance = _TIE * np.ptp(now @ theta)
    mean = (now @ theta).mean()
    highest = mean + (1.0 if policy_prior.atomic else _REACH) * (float(best) - mean)
    ends = (float(min(target, highest)), float(tolerance), max_bits)
    record = Record(np.empty((1, number)), *np.zeros((2, 1), int), np.zeros(1))
    done = False
    while not done:
        _, done = population.climb(random, ends, record)
        dead = population.order[: record.dead[0]]
        killed, now = now[dead], present()
        counts.append(killed)
        if not done:
            # Those that moved lie above all that fell, but for rounding.
            levels.append(float((killed @ theta).max()) + 0.5 * tolerance)
            log_mass.append(-float(record.bits[0]) * np.log(2))
            created.append(len(dead))
    return SplittingRun(np.concatenate(counts), *map(np.array, (levels, log_mass, created)))


def _combined(found) -> Atlas:
    directions, runs = found
    most = max(len(run.levels) for run in runs)

    def table(name, fill):
        return np.concatenate([_wider(getattr(run, name)[None] * 1.0, most, fill) for run in runs])

    counts = np.concatenate([run.counts for run in runs])
    return _weighted(counts, directions, table("levels", np.inf), table("log_mass", 0.0), table("created", 0.0))


def _weighted(counts, directions, levels, log_mass, created) -> Atlas:
    """Weights and masses that agree: w = 1 / sum n [..] / p, and p = sum w [..]."""
    real = np.isfinite(levels) | (created > 0)
    # Where each particle stands among the levels of each run.
    place = np.stack(
        [
            np.searchsorted(level, counts @ theta, side="right") - 1
            for theta, level in zip(directions, levels, strict=True)
        ]
    )
    for _round in range(_MOST_ROUNDS):
        density = np.zeros(len(counts))
        rate = np.cumsum(np.where(real, created * np.exp(-np.where(real, log_mass, 0.0)), 0.0), axis=1)
        for row, index in zip(rate, place, strict=True):
            density += row[index]
        weight = 1 / density
        weight /= weight.sum()
        shells = np.stack([np.bincount(index, weight, minlength=levels.shape[1]) for index in place])
        above = np.cumsum(shells[:, ::-1], axis=1)[:, ::-1]
        new = np.where(real, np.log(np.maximum(above, 1e-320)), 0.0)
        change, log_mass = np.abs(new - log_mass).max(), new
        if change < _MASS_TOLERANCE:
            break
    mean = weight @ counts
    covariance = (counts - mean).T @ (weight[:, None] * (counts - mean))
    return Atlas(counts, np.log(weight), mean, covariance, directions, levels, log_mass, created)

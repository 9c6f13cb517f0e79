r"""How intelligent the policies are that a recording allows: their bits for each of many utilities, before any law.

After `counts` of actions, policies from Dirichlet(c) are Dirichlet(c + counts), rows independent. A utility sees only
one number of them, V, whose law under that posterior is had by splitting: particles are driven up in value, and each
that falls stands for its share. Their bits are read off the prior's value tail. Splitting goes on until nothing that is
left can matter for the laws in question: mass falls as 2^-q, a law rises at most as 2^(slope g).
"""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import jax
import numpy as np
from threadpoolctl import threadpool_limits

from .cache import fingerprint
from .errors import InputError, check_whole
from .payoffs import Payoffs
from .planning import is_plain, optimal_policy, value_range
from .policies import Dirichlet
from .row_splitting import MOST_INVERTED, RowProblem, WholeInverses, can_split_rows, draw_rows, row_problem
from .splitting import Record
from .tails import ValueTail, by_itself, value_tail
from .values import expected_utility
from .world.possible import PossibleWorlds, World

_LEVELS = 16  # between two looks at what is left: 6.6 bits
_NEGLIGIBLE = 2.0**-5  # of the evidence; counted in its error
_MOST_BITS = 600.0
_END = 0.2  # share of a curve's bits that tell how it goes on
_ROUNDING = 1e-12
_UNKNOWN = 0.15  # standard error of what is extrapolated, relative


class Gauge(NamedTuple):
    """What the intelligence for each of `U` utilities is measured by; of a world and a prior, whatever was recorded.

    tails: `[U]` value tails among policies of `policy_prior`. best: `[U]` value of the best policy known.
    slope: `[U]` bits for each halving of the distance to it, at the end of the tail: by it bits go on beyond.
    payoffs: the stack. problems: `U` arrays for splitting; None for constant utilities.
    """

    world: World
    policy_prior: Dirichlet
    tails: ValueTail
    best: np.ndarray
    slope: np.ndarray
    payoffs: Payoffs
    problems: tuple[RowProblem | None, ...]


class PosteriorBits(NamedTuple):
    """Bits of policies from the posterior of one recording, for one utility: `K` particles of `L` levels.

    bits: `[K]` rising. error: `[K]` standard error of the prior's tail there, bits; its parts up to a value are shared
    by all beyond. log_mass: `[K]` ln of the share that each stands for. starts: `[L]` first particle of each level, and
    alive `[L]` how many of `size` were above it. beyond: `[K]` whether the prior's tail ends before. cut: whether
    splitting ended before what is left was negligible.
    """

    bits: np.ndarray
    error: np.ndarray
    log_mass: np.ndarray
    starts: np.ndarray
    alive: np.ndarray
    size: int
    beyond: np.ndarray
    cut: bool


def gauge(
    key,
    world: World,
    payoffs: Payoffs,
    *,
    policy_prior=Dirichlet(1.0),
    num_particles: int = 512,
    reach: float = 0.995,
    max_bits: float = 600.0,
) -> Gauge:
    """The value tails of a stack of `U` payoffs (kept on disk, see `value_tail`), and what goes with them.

    Raises InputError for other priors, worlds with a horizon, and utilities that remember too much for the world's
    size: splitting keeps an inverse of all pairs of memory and state, at most 256 of them.
    """
    if not isinstance(policy_prior, Dirichlet) or not can_split_rows(world, policy_prior):
        raise InputError(
            f"policies are summed out for Dirichlet rows in worlds without a horizon; here are "
            f"{type(policy_prior).__name__} and horizon {world.horizon}"
        )
    settings = dict(policy_prior=policy_prior, num_particles=num_particles, reach=reach, max_bits=max_bits)
    tails = value_tail(key, world, payoffs, **settings)
    constant = np.asarray(tails.constant())
    problems, best, slope = [], [], []
    with jax.enable_x64(True), threadpool_limits(1, "blas"):
        for u in range(payoffs.num_utilities):
            one = payoffs[u]
            problems.append(None if constant[u] else row_problem(world, one, policy_prior))
            best.append(float(tails.values[u, -1]) if constant[u] else _best(world, one))
            slope.append(0.0 if constant[u] else _end_slope(tails.values[u], -tails.log2_prob[u], best[u]))
    _check_size(problems)
    return Gauge(world, policy_prior, tails, np.array(best), np.array(slope), payoffs, tuple(problems))


def posterior_bits(
    key, counts, measure: Gauge, *, tables, num_particles: int = 256, num_sweeps: int = 1
) -> list[PosteriorBits | None]:
    """The bits of policies that `counts` `[S, A]` allow, for each utility; None for constant ones.

    tables: `LawTables` of the laws that will be asked for: they say when to stop. num_particles, num_sweeps: of
    splitting, as in `value_tail`, whose errors these have. Nothing is kept on disk. `key` is consumed.

    Costs, for each utility, splitting from the posterior's bulk to where the evidence ends, utilities side by side.
    """
    check_whole("num_particles", num_particles, 8)
    world, prior = measure.world, measure.policy_prior
    counts = np.asarray(counts, np.float64)
    if counts.shape != (world.num_states, world.num_actions) or not (np.isfinite(counts) & (counts >= 0)).all():
        raise InputError(
            f"counts have shape {counts.shape}; give how often each action was taken, [states, actions] = "
            f"({world.num_states}, {world.num_actions}), none below 0"
        )
    posterior = Dirichlet(np.broadcast_to(prior.rows(world), counts.shape) + counts)
    seed = np.asarray(jax.random.key_data(key))

    def one(u):
        problem = measure.problems[u]
        if problem is None:
            return None
        # As in value tails: a utility's numbers do not depend on its place among others.
        own = int(fingerprint(*(np.asarray(part) for part in jax.tree.leaves(by_itself(measure.payoffs[u]))))[:16], 16)
        random = np.random.default_rng([*seed.ravel().tolist(), own])
        policy = draw_rows(random, posterior, np.asarray(world.available), num_particles)
        problem = problem._replace(concentration=np.ascontiguousarray(posterior.concentration))
        return _climbed(WholeInverses(random, problem, policy, num_sweeps), random, _Curve(measure, u), tables)

    with threadpool_limits(1, "blas"), ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(one, range(len(measure.problems))))


class _Curve:
    """The prior's tail of one utility, on the host."""

    def __init__(self, measure, u):
        tails = measure.tails
        values, heights, errors = (np.asarray(part)[u] for part in (tails.values, -tails.log2_prob, tails.log2_error))
        self.values, self.heights, self.errors = values, heights, errors
        self.tolerance, self.best, self.slope = float(tails.tolerance[u]), measure.best[u], measure.slope[u]
        self.scale = max(self.best - values[0], self.tolerance)

    def bits(self, value):
        """Bits, their standard errors, and whether the curve ends before: then they go on by its last slope."""
        gap = np.maximum(self.best - value, _ROUNDING * self.scale)
        last = max(self.best - self.values[-1], _ROUNDING * self.scale)
        onward = np.maximum(self.slope * np.log2(last / np.minimum(gap, last)), 0.0)
        bits = np.interp(value, self.values, self.heights, left=0.0) + onward
        error = np.hypot(np.interp(value, self.values, self.errors, left=0.0), _UNKNOWN * onward)
        return bits, error, value > self.values[-1]


def _climbed(population, random, curve, tables) -> PosteriorBits:
    size = len(population.values)
    ends = (curve.best - _ROUNDING * curve.scale, curve.tolerance, _MOST_BITS)
    record = Record(np.empty((_LEVELS, size)), *np.zeros((2, _LEVELS), int), np.zeros(1))
    values, log_mass, starts, alive = [], [], [], []
    log_left, total, found, done = 0.0, np.full(tables.number, -np.inf), 0, False

    def fallen(some, log_each, above):
        nonlocal total, found
        values.append(some.copy())
        log_mass.append(np.full(len(some), log_each))
        starts.append(found)
        alive.append(above)
        found += len(some)

    before = (0.0, float(curve.bits(population.values.min())[0]))
    while not done:
        levels, last = population.climb(random, ends, record)
        first = len(values)
        for index in range(levels):
            dead, above = int(record.dead[index]), int(record.alive[index])
            ended = last and index + 1 == levels
            fallen(record.killed[index, :dead], log_left - np.log(size), 0 if ended else above)
            if not ended:
                log_left += np.log(above / size)
        new = curve.bits(np.concatenate(values[first:]))[0]
        total = np.logaddexp(total, tables.log_sum(new, np.concatenate(log_mass[first:])))
        level = (-log_left / np.log(2), float(curve.bits(population.values.min())[0]))
        cut = last or record.bits[0] >= _MOST_BITS
        done = cut or tables.negligible(total, before, level, _NEGLIGIBLE)
        before = level
    if not last:
        fallen(np.sort(population.values), log_left - np.log(size), 0)
    values = np.concatenate(values)
    bits, error, beyond = curve.bits(values)
    return PosteriorBits(
        bits, error, np.concatenate(log_mass), np.array(starts), np.array(alive), size, beyond, bool(cut)
    )


def _best(world, payoffs):
    if isinstance(world, PossibleWorlds) or not is_plain(payoffs):
        return float(expected_utility(world, optimal_policy(world, payoffs), payoffs))
    return value_range(world, payoffs)[1]


def _end_slope(values, heights, best):
    """Bits for each halving of the distance to the best value, over a curve's last part; 0 where it comes no nearer."""
    start = np.searchsorted(heights, (1 - _END) * heights[-1])
    gaps = best - values[[min(start, len(values) - 1), -1]]
    if not gaps[0] > gaps[1] > 0:
        return 0.0
    return float((heights[-1] - heights[min(start, len(values) - 1)]) / np.log2(gaps[0] / gaps[1]))


def _check_size(problems):
    most = max((len(one.weight) * one.num_nodes**2 for one in problems if one is not None), default=0)
    if most > MOST_INVERTED:
        raise InputError(
            f"a utility has {most} numbers in the inverses of its pairs of memory and state, and at most "
            f"{MOST_INVERTED} are kept for each policy; take a smaller world, or utilities that remember less"
        )

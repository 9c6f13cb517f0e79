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
MOST_BITS = 600.0
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
    Many recordings at once are read on a device by `posterior_bits_together`.
    """
    check_whole("num_particles", num_particles, 8)
    check_whole("num_sweeps", num_sweeps, 1)
    posterior = updated(measure, counts)

    def one(u):
        if measure.problems[u] is None:
            return None
        return bits_of_one(key, posterior, measure, u, tables=tables, size=(num_particles, num_sweeps))

    with threadpool_limits(1, "blas"), ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(one, range(len(measure.problems))))


def updated(measure: Gauge, counts) -> Dirichlet:
    """The prior's rows after `counts` `[S, A]` of actions. Raises InputError where they are not that."""
    world, counts = measure.world, np.asarray(counts, np.float64)
    if counts.shape != (world.num_states, world.num_actions) or not (np.isfinite(counts) & (counts >= 0)).all():
        raise InputError(
            f"counts have shape {counts.shape}; give how often each action was taken, [states, actions] = "
            f"({world.num_states}, {world.num_actions}), none below 0"
        )
    return Dirichlet(np.broadcast_to(measure.policy_prior.rows(world), counts.shape) + counts)


def seed_of(measure: Gauge, u: int) -> int:
    """A whole number for one utility: as in value tails, what is drawn for it does not depend on its place."""
    parts = jax.tree.leaves(by_itself(measure.payoffs[u]))
    return int(fingerprint(*(np.asarray(part) for part in parts))[:16], 16)


def bits_of_one(key, posterior: Dirichlet, measure: Gauge, u: int, *, tables, size) -> PosteriorBits:
    """For one utility, by compiled moves. size: numbers of particles and of sweeps between levels."""
    random = np.random.default_rng([*np.asarray(jax.random.key_data(key)).ravel().tolist(), seed_of(measure, u)])
    policy = draw_rows(random, posterior, np.asarray(measure.world.available), size[0])
    problem = measure.problems[u]._replace(concentration=np.ascontiguousarray(posterior.concentration))
    population = WholeInverses(random, problem, policy, size[1])
    record = Record(np.empty((_LEVELS, size[0])), *np.zeros((2, _LEVELS), int), np.zeros(1))
    harvest, last, enough = Harvest(Curve(measure, u), tables, population.values), False, False
    while not (last or enough):
        levels, last = population.climb(random, (*harvest.curve.ends, MOST_BITS), record)
        killed = [record.killed[index, :dead].copy() for index, dead in enumerate(record.dead[:levels])]
        enough = harvest.take(killed, record.alive[:levels].tolist(), population.values, last)
    return harvest.gathered()


class Harvest:
    """What splitting of one utility has left behind so far, from the bulk upwards, and whether that is enough.

    curve: the utility's. values: `[N]` of the first population.
    """

    def __init__(self, curve, tables, values):
        self.curve, self.tables, self.size = curve, tables, len(values)
        self.values, self.log_mass, self.starts, self.alive = [], [], [], []
        self.log_left, self.total, self.found = 0.0, np.full(tables.number, -np.inf), 0
        self.before, self.cut = (0.0, float(curve.bits(values.min())[0])), False

    def take(self, killed, alive, values, last) -> bool:
        """Whether that was enough: what has fallen at some levels, and how many were above each.

        values: `[N]` of the population that is left. last: whether it cannot go on; then the whole of it is the last
        of `killed`.
        """
        first = len(self.values)
        for index, (some, above) in enumerate(zip(killed, alive, strict=True)):
            ended = last and index + 1 == len(killed)
            self._fallen(some, 0 if ended else above)
            if not ended:
                self.log_left += np.log(above / self.size)
        new = self.curve.bits(np.concatenate(self.values[first:]))[0]
        self.total = np.logaddexp(self.total, self.tables.log_sum(new, np.concatenate(self.log_mass[first:])))
        level = (-self.log_left / np.log(2), float(self.curve.bits(values.min())[0]))
        self.cut = last or level[0] >= MOST_BITS
        enough = self.cut or self.tables.negligible(self.total, self.before, level, _NEGLIGIBLE)
        self.before = level
        if enough and not last:
            self._fallen(np.sort(values), 0)
        return enough

    def gathered(self) -> PosteriorBits:
        """All of it."""
        values, log_mass = np.concatenate(self.values), np.concatenate(self.log_mass)
        bits, error, beyond = self.curve.bits(values)
        starts, alive = np.array(self.starts), np.array(self.alive)
        return PosteriorBits(bits, error, log_mass, starts, alive, self.size, beyond, bool(self.cut))

    def _fallen(self, some, above):
        self.values.append(some)
        self.log_mass.append(np.full(len(some), self.log_left - np.log(self.size)))
        self.starts.append(self.found)
        self.alive.append(above)
        self.found += len(some)


class Curve:
    """The prior's tail of one utility, on the host.

    ends: where splitting has to end, short of the best value known, and the tolerance of values.
    """

    def __init__(self, measure, u):
        tails = measure.tails
        values, heights, errors = (np.asarray(part)[u] for part in (tails.values, -tails.log2_prob, tails.log2_error))
        self.values, self.heights, self.errors = values, heights, errors
        self.tolerance, self.best, self.slope = float(tails.tolerance[u]), measure.best[u], measure.slope[u]
        self.scale = max(self.best - values[0], self.tolerance)
        self.ends = (self.best - _ROUNDING * self.scale, self.tolerance)

    def bits(self, value):
        """Bits, their standard errors, and whether the curve ends before: then they go on by its last slope."""
        gap = np.maximum(self.best - value, _ROUNDING * self.scale)
        last = max(self.best - self.values[-1], _ROUNDING * self.scale)
        onward = np.maximum(self.slope * np.log2(last / np.minimum(gap, last)), 0.0)
        bits = np.interp(value, self.values, self.heights, left=0.0) + onward
        error = np.hypot(np.interp(value, self.values, self.errors, left=0.0), _UNKNOWN * onward)
        return bits, error, value > self.values[-1]


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

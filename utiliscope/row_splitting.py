"""Populations of random policies with independent rows, for splitting: drawn, copied and moved by compiled code."""

from typing import NamedTuple

import numpy as np
import scipy.linalg
import scipy.sparse.linalg

from . import row_kernels
from .planning import chains
from .policies import Dirichlet, UniformDeterministic, choice_states
from .world.model import reachable_states
from .world.possible import weighted_worlds
from .world.transition import links

_PATCH = 128
_MOVES_OF_AN_INVERSE = 16  # before it is made afresh
_REFRESHED = 64  # particles at a time: memory for more would lie idle
_FEWEST_MOVES = 32
_PASSES = 5
_SPARSE_BELOW = 10  # times as many states as successors


class RowProblem(NamedTuple):
    """A utility in a world, as arrays: see `row_kernels.move_particles`.

    weight: `[C, S]` initial distribution of each chain, times the weight of its world.
    """

    kind: int
    concentration: float
    rows: np.ndarray
    rules: tuple
    chains: tuple
    weight: np.ndarray


def can_split_rows(world, policy_prior) -> bool:
    """Whether the compiled moves serve this prior in this world: our priors of independent rows, without a horizon."""
    return type(policy_prior) in (UniformDeterministic, Dirichlet) and world.horizon is None


def draw_rows(random, policy_prior, available, number):
    """`[N, S, A]` policies from the prior."""
    if isinstance(policy_prior, UniformDeterministic):
        scores = np.where(available, random.random((number, *available.shape)), -1.0)
        return np.eye(available.shape[1])[scores.argmax(-1)]
    # A gamma variate of small shape may be too small to write down; its logarithm is not.
    shape = (number, *available.shape)
    c = policy_prior.concentration
    log_gamma = np.log(random.standard_gamma(c + 1, shape)) + np.log1p(-random.random(shape)) / c
    log_gamma = np.where(available, log_gamma, -np.inf)
    weights = np.exp(log_gamma - log_gamma.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def row_problem(world, payoffs, policy_prior) -> RowProblem:
    """The problem of one utility in a world, or in a weighted set of them: each has chains of its own."""
    weights, worlds = zip(*weighted_worlds(world), strict=True)
    successors, chances = _joint_links(worlds)
    on, pay = chains(world, payoffs)
    number = len(on)
    chance = [own for own in chances for _ in range(number)]
    goes_on = [on * float(one.discount) for one in worlds]
    starts = [share * np.asarray(one.initial) for share, one in zip(weights, worlds, strict=True)]
    available = np.asarray(world.available)
    rules = (np.argsort(~available, axis=-1, kind="stable"), available.sum(-1), np.asarray(successors, np.int64))
    parts = (np.array(chance), np.concatenate(goes_on), np.tile(pay, (len(worlds), 1, 1)))
    kind = row_kernels.DETERMINISTIC if policy_prior.atomic else row_kernels.DIRICHLET
    concentration = float(getattr(policy_prior, "concentration", 1.0))
    rows = choice_states(world, reachable_states(world))
    parts = tuple(np.ascontiguousarray(part, np.float64) for part in parts)
    return RowProblem(kind, concentration, rows, rules, parts, np.repeat(starts, number, axis=0))


def _joint_links(worlds):
    """`[S, K]` successors in any of the worlds, and for each world `[S, A, K]` chances of them."""
    found = [links(world.transition) for world in worlds]
    if len(found) == 1:
        return found[0][0], [found[0][1]]
    num_states = found[0][0].shape[0]
    joint = [np.unique(np.concatenate([successors[s] for successors, _ in found])) for s in range(num_states)]
    width = max(map(len, joint))
    successors = np.array([np.pad(row, (0, width - len(row)), mode="edge") for row in joint])
    chances = []
    for own, chance in found:
        together = np.zeros((*chance.shape[:2], width))
        for s in range(num_states):
            np.add.at(together[s].T, np.searchsorted(joint[s], own[s]), chance[s].T)
        chances.append(together)
    return successors, chances


class WholeInverses:
    """Particles with the inverses that value them, `[N, C, S, S]`; made afresh from time to time against drift.

    O(K) a proposal, O(S^2) an accepted move, O(S^3) now and then. Memory: N C S^2 numbers.
    """

    def __init__(self, random, problem, policy, num_sweeps):
        number, num_states, _ = policy.shape
        num_chains = len(problem.weight)
        self.random, self.problem, self.policy = random, problem, policy
        self.moves = num_sweeps * max(len(problem.rows), _FEWEST_MOVES)
        self.inverse = np.empty((number, num_chains, num_states, num_states))
        self.ahead = np.empty((number, num_chains, num_states))
        self.visits = np.empty((number, num_chains, num_states))
        self.values = np.empty(number)
        self.age = np.zeros(number, int)
        self.proposed, self.accepted = 0, np.zeros(1, np.int64)
        for start in range(0, number, _REFRESHED):
            self._refresh(np.arange(start, min(start + _REFRESHED, number)))

    def copy(self, places, parents):
        for part in (self.policy, self.inverse, self.ahead, self.visits, self.values, self.age):
            part[places] = part[parents]

    def move(self, which, level):
        self._refresh(which[self.age[which] >= _MOVES_OF_AN_INVERSE])
        everywhere = np.arange(self.policy.shape[1])
        row_kernels.move_particles(
            self.random, which, level, 0.0, self.moves, self.problem.kind, self.problem.concentration,
            self.problem.rows, self.problem.rules, self.problem.chains, everywhere, everywhere,
            self.policy, self.inverse, self.ahead, self.visits, self.values, self.accepted,
        )  # fmt: skip
        self.age[which] += 1
        self.proposed += self.moves * len(which)

    def _refresh(self, which):
        chance, goes_on, paid = self.problem.chains
        _, _, successors = self.problem.rules
        num_states = self.policy.shape[1]
        policy = self.policy[which]
        step = np.einsum("nsa,csak,cs->ncsk", policy, chance, goes_on, optimize=True)
        system = np.zeros((len(which), len(paid), num_states, num_states))
        # A repeated successor has chance 0: the order of these sums does not matter.
        for k in range(successors.shape[1]):
            system[:, :, np.arange(num_states), successors[:, k]] -= step[..., k]
        system[:, :, np.arange(num_states), np.arange(num_states)] += 1
        self.inverse[which] = np.linalg.inv(system)
        payoff = np.einsum("nsa,csa->ncs", policy, paid)
        self.ahead[which] = (self.inverse[which] @ payoff[..., None])[..., 0]
        self.visits[which] = np.einsum("cs,ncst->nct", self.problem.weight, self.inverse[which])
        self.values[which] = np.einsum("cs,ncs->n", self.problem.weight, self.ahead[which])
        self.age[which] = 0


class Patches:
    """Policies in worlds of many states, with values to come and visits, `[N, C, S]`.

    The rows of a block of states change at a time: only the entries of the inverse between them and their successors
    are solved for, from a factorisation of I - discount P, sparse where P is. A block costs a factorisation and B + 2
    solves for each chain. Memory: N C S numbers, and for each thread the
    factorisations of one policy (S log S numbers in a grid, S^2 at worst).
    """

    def __init__(self, random, problem, policy, num_sweeps):
        number, num_states, _ = policy.shape
        num_chains = len(problem.weight)
        self.problem, self.policy = problem, policy
        # Each policy has random numbers of its own, so that threads do not change the result.
        self.random = random.spawn(number)
        self.ahead = np.zeros((number, num_chains, num_states))
        self.visits = np.zeros((number, num_chains, num_states))
        self.values = np.empty(number)
        self.passes, self.accepted = _PASSES * num_sweeps, np.zeros(1, np.int64)
        for n in range(number):
            self._solve(n)

    def copy(self, places, parents):
        for part in (self.policy, self.ahead, self.visits, self.values):
            part[places] = part[parents]

    def sweep(self, n, warmth):
        """Change every row of policy `n` several times, patch by patch, under the prior times exp(value / warmth)."""
        successors = self.problem.rules[2]
        order = self.random[n].permutation(len(successors))
        label = row_kernels.patches(order, successors, _PATCH)[self.problem.rows]
        rows = self.problem.rows[np.argsort(label, kind="stable")]
        # Small patches go together: a block starts where the rows so far have filled one.
        sizes = np.bincount(label)
        ends = np.cumsum(sizes)
        # SuperLU forgets memory that another thread than its own gives back: factors live in here.
        factors = self._solve(n)
        for block in np.split(rows, ends[:-1][np.diff(ends // _PATCH) > 0]):
            if len(block):
                self._move(n, block, warmth, factors)
                factors = self._solve(n)

    def _move(self, n, block, warmth, factors):
        num_states = self.policy.shape[1]
        seen = np.unique(self.problem.rules[2][block])
        row_place, column_place = np.zeros(num_states, int), np.zeros(num_states, int)
        row_place[seen], column_place[block] = np.arange(len(seen)), np.arange(len(block))
        units = np.zeros((num_states, len(block)), order="F")
        units[block, np.arange(len(block))] = 1.0
        inverse = np.stack([factor.solve(units)[seen] for factor in factors])[None]
        one = slice(n, n + 1)
        row_kernels.move_particles(
            self.random[n], np.zeros(1, int), -np.inf, warmth, self.passes * len(block), self.problem.kind,
            self.problem.concentration, block, self.problem.rules, self.problem.chains, row_place, column_place,
            self.policy[one], inverse, self.ahead[one][:, :, seen], self.visits[one][:, :, block], self.values[one],
            self.accepted,
        )  # fmt: skip

    def _solve(self, n):
        """Values and visits of a policy, afresh; returns the factorisation for each chain."""
        chance, goes_on, paid = self.problem.chains
        successors, factors = self.problem.rules[2], []
        for c in range(len(goes_on)):
            step = goes_on[c][:, None] * np.einsum("sa,sak->sk", self.policy[n], chance[c])
            factor = Factor(step, successors)
            factors.append(factor)
            self.ahead[n, c] = factor.solve((self.policy[n] * paid[c]).sum(-1))
            self.visits[n, c] = factor.solve(self.problem.weight[c], transposed=True)
        self.values[n] = np.sum(self.problem.weight * self.ahead[n])
        return factors


class Factor:
    """LU of I - step, for `step` `[S, K]` chances of `successors`, times discount."""

    def __init__(self, step, successors):
        num_states, width = step.shape
        self.sparse = width * _SPARSE_BELOW < num_states
        if self.sparse:
            some = step != 0
            rows = np.concatenate([np.repeat(np.arange(num_states), width)[some.ravel()], np.arange(num_states)])
            columns = np.concatenate([successors[some], np.arange(num_states)])
            entries = np.concatenate([-step[some], np.ones(num_states)])
            matrix = scipy.sparse.csc_array((entries, (rows, columns)), shape=(num_states, num_states))
            # Diagonally dominant: no pivoting is needed.
            options = dict(diag_pivot_thresh=0.0, options=dict(SymmetricMode=True))
            self.factor = scipy.sparse.linalg.splu(matrix, permc_spec="MMD_AT_PLUS_A", **options)
        else:
            matrix = np.eye(num_states)
            np.subtract.at(matrix, (np.arange(num_states)[:, None], successors), step)
            self.factor = scipy.linalg.lu_factor(matrix, check_finite=False)

    def solve(self, right, *, transposed=False):
        if self.sparse:
            return self.factor.solve(right, "T" if transposed else "N")
        return scipy.linalg.lu_solve(self.factor, right, trans=int(transposed), check_finite=False)

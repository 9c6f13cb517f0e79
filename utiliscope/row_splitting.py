"""Populations of random policies with independent rows, for splitting: drawn, copied and moved by compiled code."""

from typing import NamedTuple

import numpy as np
import scipy.linalg
import scipy.sparse.linalg

from . import row_kernels
from .chains import chains
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

    successors: `[S, K]` of each state.
    weight: `[C, n]` initial distribution of each chain, times the weight of its world.
    home: `[C, n]` state of each node, -1 where a chain has fewer of them.
    """

    kind: int
    concentration: float
    rows: np.ndarray
    rules: tuple
    chains: tuple
    successors: np.ndarray
    weight: np.ndarray
    home: np.ndarray

    @property
    def num_nodes(self) -> int:
        return self.weight.shape[1]


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


def row_problem(world, payoffs, policy_prior=None) -> RowProblem:
    """The problem of one utility in a world, or in a weighted set of them: each has chains of its own."""
    weights, worlds = zip(*weighted_worlds(world), strict=True)
    successors, chances = joint_links(worlds)
    found = [
        (share, one, ways, chain)
        for share, one, ways in zip(weights, worlds, chances, strict=True)
        for chain in chains(one, payoffs, (successors, ways))
    ]
    parts = [_padded(chain, world.num_states) for *_, chain in found]
    most = [max(part[i].shape[axis] for part in parts) for i, axis in ((1, 1), (5, 0))]
    tables = [
        np.stack([np.pad(part[i], _room(part[i], axes), constant_values=fill) for part in parts])
        for i, axes, fill in (
            (0, {}, 0), (1, {1: most[0]}, -1), (2, {1: most[0]}, -1), (3, {1: most[0]}, 0.0),
            (4, {0: most[1]}, 0.0), (5, {0: most[1]}, -1),
        )
    ]  # fmt: skip
    count, nodes, onward, paid, start, home = tables
    chance = np.array([float(one.discount) * ways for _, one, ways, _ in found])
    weight = np.array([share for share, *_ in found])[:, None] * start
    available = np.asarray(world.available)
    rules = (np.argsort(~available, axis=-1, kind="stable"), available.sum(-1))
    kind = row_kernels.DETERMINISTIC if policy_prior is None or policy_prior.atomic else row_kernels.DIRICHLET
    concentration = float(getattr(policy_prior, "concentration", 1.0))
    rows = choice_states(world, reachable_states(world))
    table = (nodes, count, onward, np.ascontiguousarray(chance, np.float64), paid)
    return RowProblem(kind, concentration, rows, rules, table, np.asarray(successors, np.int64), weight, home)


def _room(array, axes):
    return [(0, axes.get(axis, size) - size) for axis, size in enumerate(array.shape)]


def _padded(chain, num_states):
    """A chain by states: count `[S]`, nodes `[S, J]`, onward `[S, J, K]`, paid `[S, J, A]`; then by nodes."""
    count = np.bincount(chain.state, minlength=num_states)
    order = np.argsort(chain.state, kind="stable")
    rank = np.arange(len(order)) - np.repeat(np.cumsum(count) - count, count)
    state, most = chain.state[order], int(count.max())
    nodes = np.full((num_states, most), -1)
    onward = np.full((num_states, most, chain.onward.shape[1]), -1)
    paid = np.zeros((num_states, most, chain.paid.shape[1]))
    nodes[state, rank], onward[state, rank], paid[state, rank] = order, chain.onward[order], chain.paid[order]
    return count, nodes, onward, paid, chain.start, chain.state


def joint_links(worlds):
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
        number, (num_chains, num_nodes) = len(policy), problem.weight.shape
        self.random, self.problem, self.policy = random, problem, policy
        self.moves = num_sweeps * max(len(problem.rows), _FEWEST_MOVES)
        self.inverse = np.empty((number, num_chains, num_nodes, num_nodes))
        self.ahead = np.empty((number, num_chains, num_nodes))
        self.visits = np.empty((number, num_chains, num_nodes))
        self.place = np.tile(np.arange(num_nodes), (num_chains, 1))
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
        row_kernels.move_particles(
            self.random, which, level, 0.0, self.moves, self.problem.kind, self.problem.concentration,
            self.problem.rows, self.problem.rules, self.problem.chains, self.place, self.place,
            self.policy, self.inverse, self.ahead, self.visits, self.values, self.accepted,
        )  # fmt: skip
        self.age[which] += 1
        self.proposed += self.moves * len(which)

    def _refresh(self, which):
        weight, policy = self.problem.weight, self.policy[which]
        num_chains, num_nodes = weight.shape
        for c in range(num_chains):
            step, onward, payoff = node_steps(self.problem, c, policy)
            system = np.zeros((len(which), num_nodes, num_nodes))
            # A repeated successor has chance 0: the order of these sums does not matter.
            for k in range(step.shape[2]):
                goes = np.flatnonzero(onward[:, k] >= 0)
                system[:, goes, onward[goes, k]] -= step[:, goes, k]
            system[:, np.arange(num_nodes), np.arange(num_nodes)] += 1
            self.inverse[which, c] = np.linalg.inv(system)
            self.ahead[which, c] = (self.inverse[which, c] @ payoff[..., None])[..., 0]
            self.visits[which, c] = weight[c] @ self.inverse[which, c]
        self.values[which] = np.einsum("cs,ncs->n", weight, self.ahead[which])
        self.age[which] = 0


def node_steps(problem, c, policy):
    """Of chain `c`: `[N, n, K]` discounted chances of the nodes' successors, `[n, K]` their nodes, `[N, n]` payoffs."""
    nodes, _, onward, chance, paid = (table[c] for table in problem.chains)
    home = np.maximum(problem.home[c], 0)
    own = problem.home[c] >= 0
    place = np.zeros(len(home), int)
    there = nodes >= 0
    place[nodes[there]] = np.nonzero(there)[1]
    step = np.einsum("nsa,sak->nsk", policy, chance)[:, home]
    payoff = np.einsum("nva,va->nv", policy[:, home], np.where(own[:, None], paid[home, place], 0.0))
    return step, np.where(own[:, None], onward[home, place], -1), payoff


class Patches:
    """Policies in worlds of many states, with values to come and visits, `[N, C, S]`.

    The rows of a block of states change at a time: only the entries of the inverse between them and their successors
    are solved for, from a factorisation of I - discount P, sparse where P is. A block costs a factorisation and B + 2
    solves for each chain. Memory: N C S numbers, and for each thread the
    factorisations of one policy (S log S numbers in a grid, S^2 at worst).
    """

    def __init__(self, random, problem, policy, num_sweeps):
        number, (num_chains, num_nodes) = len(policy), problem.weight.shape
        self.problem, self.policy = problem, policy
        # Each policy has random numbers of its own, so that threads do not change the result.
        self.random = random.spawn(number)
        self.ahead = np.zeros((number, num_chains, num_nodes))
        self.visits = np.zeros((number, num_chains, num_nodes))
        self.values = np.empty(number)
        self.passes, self.accepted = _PASSES * num_sweeps, np.zeros(1, np.int64)
        self.size = max(1, _PATCH // problem.chains[0].shape[2])
        for n in range(number):
            self._solve(n)

    def copy(self, places, parents):
        for part in (self.policy, self.ahead, self.visits, self.values):
            part[places] = part[parents]

    def sweep(self, n, warmth):
        """Change every row of policy `n` several times, patch by patch, under the prior times exp(value / warmth)."""
        successors = self.problem.successors
        order = self.random[n].permutation(len(successors))
        label = row_kernels.patches(order, successors, self.size)[self.problem.rows]
        rows = self.problem.rows[np.argsort(label, kind="stable")]
        # Small patches go together: a block starts where the rows so far have filled one.
        sizes = np.bincount(label)
        ends = np.cumsum(sizes)
        # SuperLU forgets memory that another thread than its own gives back: factors live in here.
        factors = self._solve(n)
        for block in np.split(rows, ends[:-1][np.diff(ends // self.size) > 0]):
            if len(block):
                self._move(n, block, warmth, factors)
                factors = self._solve(n)

    def _move(self, n, block, warmth, factors):
        """Arrays are those of the nodes of the block's states, and of their successors."""
        tables, (num_chains, num_nodes) = self.problem.chains, self.problem.weight.shape
        columns = [np.sort(nodes[nodes >= 0]) for nodes in tables[0][:, block]]
        seen = [
            np.unique(np.append(onward[onward >= 0], own))
            for onward, own in zip(tables[2][:, block], columns, strict=True)
        ]
        width, height = max(map(len, columns)), max(map(len, seen))
        row_place, column_place = np.zeros((2, num_chains, num_nodes), int)
        inverse = np.zeros((1, num_chains, height, width))
        ahead, visits = np.zeros((1, num_chains, height)), np.zeros((1, num_chains, width))
        for c, factor in enumerate(factors):
            row_place[c, seen[c]], column_place[c, columns[c]] = np.arange(len(seen[c])), np.arange(len(columns[c]))
            units = np.zeros((num_nodes, len(columns[c])), order="F")
            units[columns[c], np.arange(len(columns[c]))] = 1.0
            inverse[0, c, : len(seen[c]), : len(columns[c])] = factor.solve(units)[seen[c]]
            ahead[0, c, : len(seen[c])] = self.ahead[n, c, seen[c]]
            visits[0, c, : len(columns[c])] = self.visits[n, c, columns[c]]
        one = slice(n, n + 1)
        row_kernels.move_particles(
            self.random[n], np.zeros(1, int), -np.inf, warmth, self.passes * len(block), self.problem.kind,
            self.problem.concentration, block, self.problem.rules, tables, row_place, column_place,
            self.policy[one], inverse, ahead, visits, self.values[one], self.accepted,
        )  # fmt: skip

    def _solve(self, n):
        """Values and visits of a policy, afresh; returns the factorisation for each chain."""
        weight, factors = self.problem.weight, []
        for c in range(len(weight)):
            step, onward, payoff = node_steps(self.problem, c, self.policy[n : n + 1])
            factor = Factor(np.where(onward < 0, 0.0, step[0]), np.maximum(onward, 0))
            factors.append(factor)
            self.ahead[n, c] = factor.solve(payoff[0])
            self.visits[n, c] = factor.solve(weight[c], transposed=True)
        self.values[n] = np.sum(weight * self.ahead[n])
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

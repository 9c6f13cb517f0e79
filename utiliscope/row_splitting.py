"""Populations of random policies with independent rows, for splitting: drawn, copied and moved by compiled code."""

from typing import NamedTuple

import numpy as np

from . import memoryless_kernels, row_kernels, tables
from .chains import chains
from .node_systems import NodeSystem, patches
from .policies import Dirichlet, UniformDeterministic, choice_states
from .world.model import reachable_states
from .world.possible import weighted_worlds
from .world.transition import links

# Numbers in the inverses that are kept for every particle.
MOST_INVERTED = 256**2
_PATCH = 128
_FEWEST_MOVES = 24
_MOST_AGED = 64  # rounds of moves of an inverse; looked at before each climb, which may add as many
_PASSES = 5


class RowProblem(NamedTuple):
    """A utility in a world, as arrays: a sum over `C` chains, whose nodes are pairs of a memory, of J, and a state.

    kind: of the prior. concentration: `[S, A]` of it. rows: states with a choice. rules: actions `[S, A]` (available
    ones first) and number `[S]` of them.
    chains: nodes `[C, S, J]` of each state and count `[C, S]` of them, onward `[C, S, J, K]` the node at each successor
        (-1: the chain ends), chance `[C, S, A, K]` times the discount, paid `[C, S, J, A]`.
    successors: `[S, K]` of each state.
    weight: `[C, n]` initial distribution of each chain, times the weight of its world.
    home: `[C, n]` state of each node, -1 where a chain has fewer of them.
    """

    kind: int
    concentration: np.ndarray
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
    c = np.broadcast_to(policy_prior.concentration, available.shape)
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
    concentration = policy_prior.rows(world) if kind == row_kernels.DIRICHLET else 1.0
    concentration = np.array(np.broadcast_to(concentration, available.shape), np.float64)
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
    """Particles with the inverses that value them, in tables `[N, C, n + 1, W]`; made afresh from time to time.

    O(K) a proposal, O(n^2) an accepted move, O(n^3) now and then. Memory: N C n^2 numbers.
    """

    def __init__(self, random, problem, policy, num_sweeps):
        number, (num_chains, num_nodes) = len(policy), problem.weight.shape
        self.random, self.problem = random, problem
        self.num_moves, self.proposed = num_sweeps * max(len(problem.rows), _FEWEST_MOVES), 0
        self.place = np.tile(np.arange(num_nodes), (num_chains, 1))
        self.moves = kernels(problem).moves(problem, problem.rows, self.place, self.place)
        table = np.empty((number, num_chains, num_nodes + 1, tables.table_width(num_nodes)))
        self.particles = tables.Particles(policy, table, np.empty(number), np.zeros(1, np.int64))
        self.policy, self.table, self.values, self.accepted = self.particles
        self.age, self.order = np.zeros(number, int), np.arange(number)
        tables.value_particles(self.order, *self._valued)

    @property
    def _valued(self):
        return self.problem.chains, self.problem.weight, self.particles

    @property
    def inverse(self):
        """`[N, C, n, n]` of I - discount P."""
        return self.table[:, :, :-1, : self.problem.num_nodes]

    @property
    def ahead(self):
        """`[N, C, n]` value to come."""
        return self.table[:, :, :-1, -1]

    @property
    def visits(self):
        """`[N, C, n]` discounted."""
        return self.table[:, :, -1, : self.problem.num_nodes]

    def climb(self, random, ends, record):
        """See `Population`."""
        self.refresh()
        levels, done = self.moves.climb(random, ends, record, self.num_moves, self.order, self.age, *self._valued)
        self.proposed += self.num_moves * int(record.dead[: levels - done].sum())
        return levels, done

    def refresh(self):
        """Make old tables afresh."""
        old = np.flatnonzero(self.age >= _MOST_AGED)
        tables.value_particles(old, *self._valued)
        self.age[old] = 0


def kernels(problem):
    """The compiled moves that serve a problem."""
    num_chains, _, memories = problem.chains[0].shape
    plain = memories == 1 and (problem.kind == row_kernels.DETERMINISTIC or num_chains == 1)
    return memoryless_kernels if plain else row_kernels


class Patches:
    """Policies in worlds of many states, with their values.

    The rows of a block of states change at a time, valued by the inverse between its nodes and their successors. That
    is the inverse of a Schur complement: the nodes of the rest are eliminated by a factorisation, sparse where the
    world is, with as many solves as nodes of the block are entered from the rest. Memory: N S A numbers, and for each
    thread the factorisation for one policy (S log S numbers in a grid, S^2 at worst).
    """

    def __init__(self, random, problem, policy, num_sweeps):
        self.problem, self.policy = problem, policy
        # Each policy has random numbers of its own, so that threads do not change the result.
        self.random = random.spawn(len(policy))
        self.passes = _PASSES * num_sweeps
        self.size = max(1, _PATCH // problem.chains[0].shape[2])
        self.systems = [NodeSystem(problem, c) for c in range(len(problem.weight))]
        self.values = np.array([self._value(n) for n in range(len(policy))])

    def _value(self, n):
        return sum(system.value(self.policy[n]) for system in self.systems)

    def copy(self, places, parents):
        self.policy[places], self.values[places] = self.policy[parents], self.values[parents]

    def sweep(self, n, warmth):
        """Change every row of policy `n` several times, patch by patch, under the prior times exp(value / warmth)."""
        successors = self.problem.successors
        order = self.random[n].permutation(len(successors))
        label = patches(order, successors, self.size)[self.problem.rows]
        rows = self.problem.rows[np.argsort(label, kind="stable")]
        # Small patches go together: a block starts where the rows so far have filled one.
        sizes = np.bincount(label)
        ends = np.cumsum(sizes)
        for block in np.split(rows, ends[:-1][np.diff(ends // self.size) > 0]):
            if len(block):
                self._move(n, block, warmth)
        self.values[n] = self._value(n)

    def _move(self, n, block, warmth):
        """Arrays are those of the nodes of the block's states, and of their successors."""
        num_chains, num_nodes = self.problem.weight.shape
        parts = [system.block(self.policy[n], block) for system in self.systems]
        width, height = max(len(part.own) for part in parts), max(len(part.seen) for part in parts)
        row_place, column_place = np.zeros((2, num_chains, num_nodes), int)
        table = np.zeros((1, num_chains, height + 1, tables.table_width(width)))
        for c, part in enumerate(parts):
            seen, own = len(part.seen), len(part.own)
            row_place[c, part.seen], column_place[c, part.own] = np.arange(seen), np.arange(own)
            table[0, c, :seen, :own], table[0, c, :seen, -1] = part.inverse, part.ahead
            table[0, c, -1, :own] = part.visits
        self.values[n] = sum(part.value for part in parts)
        one = tables.Particles(self.policy[n : n + 1], table, self.values[n : n + 1], np.zeros(1, np.int64))
        moves = kernels(self.problem).moves(self.problem, block, row_place, column_place)
        moves.move(self.random[n], [0], -np.inf, warmth, self.passes * len(block), one)

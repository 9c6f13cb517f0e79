"""Linear systems of one chain's nodes: I - discount P under a policy, and what is left of it for a block of nodes; and
patches of states, whose nodes make such blocks."""

from typing import NamedTuple

import numpy as np
import scipy.linalg
import scipy.sparse
import scipy.sparse.linalg

from .kernel_cache import njit

_SPARSE_BELOW = 10  # times as many places as entries


class Block(NamedTuple):
    """What a chain's system leaves for some of its nodes when the rest has been eliminated.

    seen: those that they lead to, and themselves. inverse `[seen, own]` and ahead `[seen]`: of these rows the inverse,
    and the value to come. visits: `[own]`. value: of the whole chain.
    """

    own: np.ndarray
    seen: np.ndarray
    inverse: np.ndarray
    ahead: np.ndarray
    visits: np.ndarray
    value: float


class NodeSystem:
    """I - discount P of chain `c` of a row problem, by nodes, with its entries by columns."""

    def __init__(self, problem, c):
        nodes, _, onward, self.chance, paid = (table[c] for table in problem.chains)
        state, memory = np.nonzero(nodes >= 0)
        order = np.argsort(nodes[state, memory])
        state, memory = state[order], memory[order]
        # Padded nodes are there, on the diagonal alone.
        number, width = problem.num_nodes, onward.shape[2]
        self.state = state
        self.paid, self.start = np.ascontiguousarray(paid[state, memory]), problem.weight[c]
        self.nodes, self.onward = nodes, onward
        goes = np.full((number, width), -1)
        goes[: len(state)] = onward[state, memory]
        rows, columns = np.nonzero(goes >= 0)[0], goes[goes >= 0]
        places = np.concatenate([columns * number + rows, np.arange(number) * (number + 1)])
        used, where = np.unique(places, return_inverse=True)
        self.pointer = np.searchsorted(used, np.arange(number + 1) * number)
        self.index = used % number
        # Where the chance of each successor, and of staying, is added.
        self.place = np.full((number, width), -1)
        self.place[goes >= 0] = where[: len(rows)]
        self.diagonal = where[len(rows) :]

    def of(self, policy):
        """Entries, and `[n]` payoffs, under a policy `[S, A]`."""
        return _filled(policy, self.state, self.chance, self.paid, self.place, self.diagonal, len(self.index))

    def value(self, policy) -> float:
        entries, payoff = self.of(policy)
        some = entries != 0
        pointer = np.concatenate([[0], np.cumsum(some)])[self.pointer]
        return float(self.start @ Factor(entries[some], self.index[some], pointer).solve(payoff))

    def block(self, policy, states) -> Block:
        """Of the nodes of some states, by a Schur complement: solves for as many nodes as are entered from the rest."""
        nodes, onward = self.nodes[states], self.onward[states]
        own = np.sort(nodes[nodes >= 0])
        seen = np.unique(np.append(onward[onward >= 0], own))
        inside = np.zeros(len(self.start), bool)
        inside[own] = True
        place = np.where(inside, np.cumsum(inside), np.cumsum(~inside)) - 1
        entries, payoff = self.of(policy)
        within, right, complement, entered, back = _divided(
            self.pointer, self.index, entries, payoff, inside, place, len(own)
        )
        solved = Factor(*within).solve(right.T)
        eliminated = _times(*back, np.asfortranarray(solved), len(own))
        complement[:, entered] -= eliminated[:, :-1]
        inverse = np.linalg.inv(complement)
        ahead = inverse @ (payoff[own] - eliminated[:, -1])
        rest = self.start[~inside]
        arriving = self.start[own].copy()
        arriving[entered] -= rest @ solved[:, :-1]
        value = rest @ solved[:, -1] + arriving @ ahead
        # The rows that are outside of the block lead into it.
        all_inverse, all_ahead = np.empty((len(seen), len(own))), np.empty(len(seen))
        among = inside[seen]
        all_inverse[among], all_ahead[among] = inverse[place[seen[among]]], ahead[place[seen[among]]]
        leading = solved[place[seen[~among]]]
        all_inverse[~among] = -leading[:, :-1] @ inverse[entered]
        all_ahead[~among] = leading[:, -1] - leading[:, :-1] @ ahead[entered]
        return Block(own, seen, all_inverse, all_ahead, arriving @ inverse, float(value))


class Factor:
    """LU of a diagonally dominant square matrix, from its entries, their rows and where each column starts."""

    def __init__(self, entries, rows, pointer):
        size = len(pointer) - 1
        self.sparse, self.empty = len(entries) * _SPARSE_BELOW < size**2, size == 0
        if self.empty:
            return
        matrix = scipy.sparse.csc_array((entries, rows, pointer), shape=(size, size))
        if self.sparse:
            # Diagonally dominant: no pivoting is needed.
            options = dict(diag_pivot_thresh=0.0, options=dict(SymmetricMode=True))
            self.factor = scipy.sparse.linalg.splu(matrix, permc_spec="MMD_AT_PLUS_A", **options)
        else:
            self.factor = scipy.linalg.lu_factor(matrix.toarray(), check_finite=False)

    def solve(self, right):
        if self.empty:
            return right
        if self.sparse:
            return self.factor.solve(right)
        return scipy.linalg.lu_solve(self.factor, right, check_finite=False)


@njit(nogil=True, cache=True)
def _filled(policy, state, chance, paid, place, diagonal, size):
    entries, payoff = np.zeros(size), np.zeros(len(place))
    for v in range(len(place)):
        entries[diagonal[v]] += 1.0
    for v in range(len(state)):
        s = state[v]
        for a in range(policy.shape[1]):
            share = policy[s, a]
            if share != 0.0:
                payoff[v] += share * paid[v, a]
                for k in range(place.shape[1]):
                    if place[v, k] >= 0:
                        entries[place[v, k]] -= share * chance[s, a, k]
    return entries, payoff


@njit(nogil=True, cache=True)
def _divided(pointer, index, entries, payoff, inside, place, size):
    """The system in four parts, from and to the nodes `inside` and the rest: the rest by columns; the right sides
    `[E + 1, rest]` for the nodes that the rest leads to, and for its payoffs; those inside, dense; which columns are
    entered; and the entries back to the rest."""
    number = len(inside)
    entering, within, behind = np.full(size, -1), 0, 0
    for t in range(number):
        for e in range(pointer[t], pointer[t + 1]):
            if entries[e] != 0.0:
                if inside[t]:
                    if not inside[index[e]]:
                        entering[place[t]] = 0
                elif inside[index[e]]:
                    behind += 1
                else:
                    within += 1
    entered = np.flatnonzero(entering == 0)
    entering[entered] = np.arange(len(entered))
    starts = np.zeros(number - size + 1, np.int32)
    rows, values = np.empty(within, np.int32), np.empty(within)
    right, complement = np.zeros((len(entered) + 1, number - size)), np.zeros((size, size))
    from_row, to_column, back = np.empty(behind, np.int64), np.empty(behind, np.int64), np.empty(behind)
    within, behind = 0, 0
    for t in range(number):
        if not inside[t]:
            right[len(entered), place[t]] = payoff[t]
        for e in range(pointer[t], pointer[t + 1]):
            v = index[e]
            if entries[e] == 0.0:
                continue
            if inside[t] and inside[v]:
                complement[place[v], place[t]] = entries[e]
            elif inside[t]:
                right[entering[place[t]], place[v]] = entries[e]
            elif inside[v]:
                from_row[behind], to_column[behind], back[behind] = place[v], place[t], entries[e]
                behind += 1
            else:
                rows[within], values[within] = place[v], entries[e]
                within += 1
        if not inside[t]:
            starts[place[t] + 1] = within
    return (values, rows, starts), right, complement, entered, (from_row, to_column, back)


@njit(nogil=True, cache=True)
def _times(rows, columns, entries, right, size):
    """A sparse matrix of `size` rows times `right`."""
    found = np.zeros((size, right.shape[1]))
    for e in range(len(rows)):
        for j in range(right.shape[1]):
            found[rows[e], j] += entries[e] * right[columns[e], j]
    return found


@njit(nogil=True, cache=True)
def patches(order, successors, size):
    """`[S]` labels of connected patches of up to `size` states, grown in turn from the states in `order`."""
    num_states, width = successors.shape
    label = np.full(num_states, -1)
    queue = np.empty(num_states, np.int64)
    count = 0
    for start in order:
        if label[start] >= 0:
            continue
        label[start], queue[0], end, i = count, start, 1, 0
        while i < end and end < size:
            for k in range(width):
                t = successors[queue[i], k]
                if label[t] < 0 and end < size:
                    label[t] = count
                    queue[end] = t
                    end += 1
            i += 1
        count += 1
    return label

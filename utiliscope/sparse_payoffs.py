"""`SparsePayoffs`: many utilities made of the same forms, in memory that grows with what each is made of."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_array

from .automata import Automaton
from .payoffs import Payoffs, shared_automata, shared_targets


@dataclass(frozen=True, eq=False)
class SparsePayoffs:
    """`U` stacked `Payoffs` whose tables are sparse: of thousands of automata, a utility weighs two or three.

    state: `[U, S]`. action: `[U, S * A]`, or None. reach: `[U, C]`. targets: `[C, S]`. weight: `[U, D]`. automata: `D`.
    num_actions: A.
    """

    state: csr_array
    action: csr_array | None
    reach: csr_array
    targets: np.ndarray
    weight: csr_array
    automata: tuple[Automaton, ...]
    num_actions: int = 0

    @property
    def num_utilities(self) -> int:
        return self.state.shape[0]

    def __getitem__(self, places) -> "SparsePayoffs":
        """Some of the utilities, with the sets and automata that they need."""
        return self._each(lambda table: table[places])

    def mixed(self, shares: csr_array) -> "SparsePayoffs":
        """`[N, U]` weighted sums of the utilities, with the sets and automata that they need."""
        return self._each(lambda table: shares @ table)

    def dense(self) -> Payoffs:
        """The same as `Payoffs`: of U x (S + C + D) numbers, and of U x S x A where actions are paid."""
        action = None
        if self.action is not None:
            action = self.action.toarray().reshape(*self.state.shape, self.num_actions)
        weight = self.weight.toarray() if self.automata else None
        return Payoffs(self.state.toarray(), action, self.reach.toarray(), self.targets, weight, self.automata)

    def _each(self, change) -> "SparsePayoffs":
        state, reach, weight = (_plain(change(table)) for table in (self.state, self.reach, self.weight))
        action = None if self.action is None else _plain(change(self.action))
        action = action if action is not None and action.nnz else None
        reached, used = np.unique(reach.indices), np.unique(weight.indices)
        automata = tuple(self.automata[i] for i in used)
        return replace(
            self,
            state=state,
            action=action,
            reach=_narrowed(reach, reached),
            targets=self.targets[reached],
            weight=_narrowed(weight, used),
            automata=automata,
        )


def _plain(table) -> csr_array:
    """Without entries that have come to 0."""
    table = csr_array(table)
    table.eliminate_zeros()
    return table


def _narrowed(table, columns) -> csr_array:
    """Only these columns, which hold all entries."""
    indices = np.searchsorted(columns, table.indices)
    return csr_array((table.data, indices, table.indptr), (table.shape[0], len(columns)))


def sparse_payoffs(payoffs: Payoffs) -> SparsePayoffs:
    """A stack in sparse tables."""
    number, num_states = payoffs.state.shape
    action, num_actions = None, 0
    if payoffs.action is not None:
        action, num_actions = csr_array(np.asarray(payoffs.action).reshape(number, -1)), payoffs.action.shape[-1]
    reach = csr_array(np.asarray(payoffs.reach).reshape(number, len(payoffs.targets)))
    weight = np.zeros((number, 0)) if payoffs.weight is None else np.asarray(payoffs.weight)
    state, targets = csr_array(np.asarray(payoffs.state)), np.asarray(payoffs.targets).reshape(-1, num_states)
    return SparsePayoffs(state, action, reach, targets, csr_array(weight), tuple(payoffs.automata), num_actions)


def sparse_stack(payoffs: list[Payoffs]) -> SparsePayoffs:
    """Single utilities as one stack: targets and automata merged."""
    number, (reach, targets), (weight, automata) = len(payoffs), shared_targets(payoffs), shared_automata(payoffs)
    acting = [i for i, one in enumerate(payoffs) if one.action is not None]
    action, num_actions = None, 0
    if acting:
        num_actions = payoffs[acting[0]].action.shape[-1]
        paid = csr_array(np.stack([np.asarray(payoffs[i].action).reshape(-1) for i in acting]))
        action = _sparse((acting, np.arange(len(acting)), np.ones(len(acting))), (number, len(acting))) @ paid
    state = csr_array(np.stack([np.asarray(one.state, np.float64) for one in payoffs]))
    reach, weight = _sparse(reach, (number, len(targets))), _sparse(weight, (number, len(automata)))
    return SparsePayoffs(state, action, reach, targets, weight, automata, num_actions)


def _sparse(entries, shape) -> csr_array:
    rows, columns, weights = entries
    return csr_array((weights, (rows, columns)), shape)

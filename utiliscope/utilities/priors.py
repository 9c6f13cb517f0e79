"""`UtilityPrior`: what every prior over utilities has; and what those share whose utilities are payoffs a step.

Which prior is best is a question that one can run: fit the same behaviour with the candidates of each.

    for prior in (Grammar(world), SparseWeights(world), StackMachine(world)):
        fit(behaviour, world, candidates=prior.enumerate(12))
"""

from typing import Any, Protocol, runtime_checkable

import numpy as np
import scipy.linalg
import scipy.sparse
from scipy.sparse.csgraph import connected_components

from utiliscope.errors import InputError
from utiliscope.payoffs import Payoffs
from utiliscope.world.model import check_world, reachable_states
from utiliscope.world.possible import World, weighted_worlds
from utiliscope.world.transition import moves

from .candidates import Candidates
from .grammar import Grammar
from .meaning import atom_values, state_names
from .syntax import Atom, Own

# Programs that are compared at most, and numbers that what they pay in each state can take.
_MOST_PROGRAMS, _MOST_NUMBERS = 4_000_000, 2**27
# Of payoffs, what is below this share of their size is rounding.
_RELATIVE = 1e-9


@runtime_checkable
class UtilityPrior(Protocol):
    """A description-length prior over the utilities of one world: what `fit` users choose among.

    Its programs have a `str` that `parse` reads back, and `payoffs(world)`. Their masses 2^-bits sum to at most 1
    (Kraft), and `code_length`, `log_prob` and `sample` are of programs, as they are written. `enumerate` is of
    utilities: programs that agree up to a positive affine map on every reachable state sequence are one hypothesis,
    and their masses are summed. So a prior is Solomonoff's as far as its programs go.
    """

    @property
    def world(self) -> World:
        """The world, or `PossibleWorlds`, whose features and states the programs speak of."""
        ...

    def parse(self, text: str) -> Any:
        """The program that `text` spells. Raises InputError that points at the place."""
        ...

    def code_length(self, program: Any) -> float:
        """Description length K of one program, given as such or as text, in bits."""
        ...

    def log_prob(self, program: Any) -> float:
        """Log prior probability of one program, in nats: -K ln 2."""
        ...

    def sample(self, key) -> Any:
        """A program drawn from the prior by the JAX key; its length is random and has no bound."""
        ...

    def enumerate(self, max_bits: float | int) -> Candidates:
        """The candidates of all programs that take at most `max_bits` bits, each with its summed mass.

        Raises InputError where there are too many.
        """
        ...


def payment_features(world, features, states) -> tuple[dict[Atom, np.ndarray], Own]:
    """Everything that can be paid for at a visit, `[S]` floats by name, and which of them the world does not know.

    They are the features of the world, `features` of one's own as in `Grammar`, and with `states` (by default only if
    there are no features) single states.
    """
    check_world(world)
    if states is not None and not states and not world.features and not features:
        raise InputError("this world has no features, so a utility has nothing to name; leave out states=False")
    grammar = Grammar(world, states=states, features=features)
    atoms = [Atom(name) for name in [*world.features, *grammar.own.features]]
    atoms += [Atom(name, True) for name in state_names(world)] if grammar.states else []
    return {atom: atom_values(world, atom, grammar.own).astype(np.float64) for atom in atoms}, grammar.own


def most_programs(world) -> int:
    """How many programs can be compared in this world."""
    return min(_MOST_PROGRAMS, _MOST_NUMBERS // world.num_states)


def differences(world, amounts: np.ndarray) -> np.ndarray:
    r"""`[V, R]` what `[V, S]` payoffs a step come to, less what is the same for every reachable sequence.

    Two rows agree up to a positive affine map on every reachable sequence iff their results are positive multiples
    of each other; constants give 0. In `PossibleWorlds` the constant can be another one in each world.

    Without a horizon, a payoff f is worth the same on all sequences iff some function h of states has

    .. math:: f(s) = h(s) - \gamma \, h(s') \quad \text{for every move } s \to s'

    and one value on all first states: h(s) is what every sequence from s is worth. So h has one value on all that can
    follow the same state; f is a sum of as many vectors as there are such classes of states, found by union, and is
    projected out. No random walk is needed, and states that are hardly ever reached are not lost. With a horizon,
    the same is solved backwards from its end.

    Cost: S^2 numbers and S^3 steps at worst, and with a horizon a decomposition for every few steps of it.
    """
    return np.concatenate([_told_apart(one, amounts) for _, one in weighted_worlds(world)], axis=1)


def _told_apart(world, amounts):
    starts = np.asarray(world.initial) > 0
    pairs = moves(world.transition, world.available)
    if world.horizon is not None:
        return amounts @ _timed_differences(world, starts, pairs).T
    discount = float(world.discount)
    seen = reachable_states(world) if discount else starts
    child, parent = _siblings(world.num_states, pairs[seen[pairs[:, 0]]] if discount else pairs[:0], starts)
    classes, child = np.unique(child[seen], return_inverse=True)
    same = np.zeros((len(classes), len(child)))
    same[child, np.arange(len(child))] = 1
    if discount:
        same[np.searchsorted(classes, parent[seen]), np.arange(len(child))] -= discount
    basis = np.linalg.qr(same.T)[0]
    kept = amounts[:, seen]
    return kept - (kept @ basis) @ basis.T


def _siblings(num_states, pairs, starts):
    """`[S]` the class of each state, and `[S]` that of its next ones: two are in one if they follow the same state.

    All first states (`starts`, `[S]` bool) are in one class too.
    """
    first = np.flatnonzero(starts)
    before = np.append(num_states + pairs[:, 0], np.full(len(first), 2 * num_states))
    after = np.append(pairs[:, 1], first)
    graph = scipy.sparse.coo_array((np.ones(len(after)), (before, after)), shape=(2 * num_states + 1,) * 2)
    labels = connected_components(graph, directed=False)[1]
    return labels[:num_states], labels[num_states : 2 * num_states]


def _timed_differences(world, starts, pairs) -> np.ndarray:
    """`[R, S]` sums of payoffs that are 0 iff payoffs are worth the same on all sequences up to the horizon."""
    size, discount = world.num_states, float(world.discount)
    there = [starts]
    for _ in range(world.horizon):
        there.append(np.isin(np.arange(size), pairs[there[-1][pairs[:, 0]], 1]))
    # Row s of `ahead`: what is paid from s on, as a sum of payoffs.
    ahead, rows = np.eye(size), np.zeros((0, size))
    for time in range(world.horizon, 0, -1):
        nobody = np.zeros(size, bool)
        child, parent = _siblings(size, pairs[there[time - 1][pairs[:, 0]]], nobody)
        members = np.flatnonzero(there[time])
        leader = np.zeros(2 * size + 1, int)
        leader[child[members]] = members
        rows = np.concatenate([rows, ahead[members] - ahead[leader[child[members]]]])
        if len(rows) > 4 * size:
            rows = _row_space(rows)
        ahead = np.eye(size) + discount * ahead[leader[parent]]
    first = np.flatnonzero(starts)
    return _row_space(np.concatenate([rows, ahead[first] - ahead[first[0]]]))


def _row_space(rows):
    """`[R, S]` an orthonormal basis of the rows."""
    _, sizes, directions = np.linalg.svd(rows, full_matrices=False)
    return directions[: len(sizes)][sizes > _RELATIVE * max(sizes.max(initial=0), 1)]


def independent(values: np.ndarray, amounts: np.ndarray) -> np.ndarray:
    """`[V, K]` every row of `values` `[V, R]` as a sum of `K` of them, in their units: a table for `hypotheses`.

    amounts: `[V, S]` what `values` are the `differences` of; beside them, rounding is 0.
    """
    table = np.zeros((len(values), 0))
    size = np.linalg.norm(values, axis=1)
    varies = np.flatnonzero(size > _RELATIVE * np.linalg.norm(amounts, axis=1))
    if not len(varies):
        return table
    unit = (values[varies] / size[varies, None]).T
    _, triangle, order = scipy.linalg.qr(unit, mode="economic", pivoting=True)
    chosen = order[: np.sum(np.abs(np.diag(triangle)) > _RELATIVE)]
    within = np.linalg.lstsq(unit[:, chosen], unit, rcond=None)[0]
    within[:, chosen] = np.eye(len(chosen))
    table = np.zeros((len(values), len(chosen)))
    table[varies] = (within * size[varies] / size[varies][chosen][:, None]).T
    return table


def summed(group, bits, mass, ties=()) -> tuple[np.ndarray, np.ndarray]:
    """`[H]` the place of the shortest program of each group, and `[H]` the bits of the group's summed mass.

    group, bits, mass: `[N]` of every program. ties: `[N]` keys of the order among equals, the first most important.
    """
    order = np.lexsort((*reversed(ties), np.round(bits, 6), group))
    first = order[np.concatenate([[True], np.diff(group[order]) > 0])]
    return first, 0.0 - np.log2(np.bincount(group, mass)[group[first]])


def payment_candidates(names, code_length, amounts) -> Candidates:
    """Candidates that are paid `[U, S]` amounts a step, by code length and then by name."""
    order = sorted(range(len(names)), key=lambda i: (round(float(code_length[i]), 9), names[i]))
    number, num_states = amounts.shape
    paid = Payoffs(amounts[order], None, np.zeros((number, 0)), np.zeros((0, num_states), bool))
    return Candidates([names[i] for i in order], np.asarray(code_length, np.float64)[order], paid)

"""Which programs are one hypothesis: those that agree up to a positive affine map on every reachable sequence.

Forms are functions of state sequences, and can depend on each other linearly: reach(p) is a multiple of time(p)
where p is never left, a feature and its complement sum to a constant, an unreachable state gives zero. All such
dependencies are found at once, by evaluating every form under random walks in the world: in residues, which show
whether two programs agree but for the sign of the factor between them. Else in floats, under more walks than there are
forms; these do not see what is rarer along the walks than `_SMALL`. Where residues are known, floats are for small sets
of forms without memory, in worlds where no state is rare.
"""

from functools import partial

import numpy as np

from utiliscope.automata import Automaton
from utiliscope.payoffs import Payoffs
from utiliscope.sparse_payoffs import SparsePayoffs, sparse_stack
from utiliscope.world.model import reachable_states
from utiliscope.world.possible import weighted_worlds
from utiliscope.world.transition import SparseTransition, links, moves

from .exact_equality import proportional
from .meaning import form_payoffs
from .meanings import refuse_forms
from .walks import dense_kernels, expectations, sparse_kernel

# More walks than forms: each walk in general position cuts what still looks dependent, until only the truth is left.
_SPARE_WALKS = 16
# Numbers held at once, in a batch of transition matrices.
_ENTRIES = 2**20
# A form is dependent if what the others do not explain is below _RELATIVE of its own variation, or below _ROUNDING
# of its size for every step that the world looks ahead (solves lose digits as the discount nears 1).
_RELATIVE = 1e-9
_ROUNDING = 1e-14
_SMALL = 1e-7
# Walks times moves that take less time in floats than residues take to be compiled.
_FEW_PRODUCTS = 2e7
# Floats tell apart what is there when no state is visited less than this share of another, no weight is larger, and
# there are no more sums to be told apart.
_SHARE, _LARGEST_WEIGHT, _FEW_SUMS = 1e-4, 64, 20_000
# Forms compared in floats at once, where groups can be compared apart: the cost grows with the square of the number.
_BATCH_FORMS = 64


def coefficients(world, parts: Payoffs) -> np.ndarray:
    """`[forms, R]` every form as a linear combination of `R` of them, up to a constant and exact dependencies.

    parts: the stack of what each form pays. Two programs agree up to a positive affine map on every reachable sequence
    iff their weighted sums of rows are positive multiples of each other; constants have the sum 0. In `PossibleWorlds`
    the constant can be another one in each world: which world it is, no policy decides.
    """
    number = parts.num_utilities
    worlds = [one for _, one in weighted_worlds(world)]
    walks = [_walk_values(one, parts) for one in worlds]
    steps = max(1 / (1 - float(one.discount)) if one.horizon is None else one.horizon + 1 for one in worlds)
    rounding = _ROUNDING * max(steps, 10)
    centred = np.concatenate([part - part.mean(0) for part, _ in walks])
    # What cancels within a form leaves its rounding behind.
    size = np.sqrt(sum((part**2).sum(0) for _, part in walks))
    variation = np.sqrt((centred**2).sum(0))
    varies = np.flatnonzero(variation > rounding * size)
    unit = centred[:, varies] / variation[varies]
    slack = _RELATIVE + rounding * size[varies] / variation[varies]

    chosen = _independent(unit, slack)
    within = np.linalg.lstsq(unit[:, chosen], unit, rcond=None)[0]
    within[np.abs(within) < _SMALL] = 0
    within[:, chosen] = np.eye(len(chosen))
    table = np.zeros((number, len(chosen)))
    # Back to the forms' own units, so that equal weights stay equal whatever a form varies by.
    table[varies] = (within * variation[varies] / variation[varies][chosen][:, None]).T
    return table


def grouped(world, programs) -> np.ndarray:
    """`[N]` a number for each of the programs, the same for those that are one hypothesis."""
    forms = {term.form: form_payoffs(world, term.form, p.own) for p in programs for term in p.terms}
    row = {form: i for i, form in enumerate(forms)}
    width = max(len(program.terms) for program in programs)
    rows, weights = np.zeros((len(programs), width), int), np.zeros((len(programs), width))
    for n, program in enumerate(programs):
        for m, term in enumerate(program.terms):
            rows[n, m], weights[n, m] = row[term.form], term.weight
    if not forms:
        return np.zeros(len(programs), int)
    return same_hypotheses(world, sparse_stack(list(forms.values())), rows, weights)


def same_hypotheses(world, parts: SparsePayoffs, rows, weights, most_forms=None, table=None) -> np.ndarray:
    """`[N]` a number for each sum of weighted forms, the same for those that are one hypothesis.

    parts: the stack of what each form pays. rows: `[N, m]` places in it. weights: `[N, m]`, 0 where nothing is added.
    table: `[forms, R]` as from `coefficients`, where it is known. Raises InputError where more than `most_forms` have
    to be compared in floats.
    """
    plain = len(rows) <= _FEW_SUMS and np.abs(weights).max(initial=0) <= _LARGEST_WEIGHT
    quick = plain and (table is not None or _is_quick(world, parts))
    found = None if quick else proportional(world, parts, rows, weights)
    if found is None:
        if most_forms and parts.num_utilities > most_forms:
            refuse_forms(most_forms)
        return hypotheses(coefficients(world, parts.dense()) if table is None else table, rows, weights)
    group, sign = found
    side = (sign > 0) * 1
    for some in _batches(group, sign, rows, weights, most_forms):
        forms, place = np.unique(rows[some][weights[some] != 0], return_inverse=True)
        local = np.zeros(rows[some].shape, int)
        local[weights[some] != 0] = place
        known = coefficients(world, parts[forms].dense()) if table is None else table[forms]
        side[some] = hypotheses(known, local, weights[some])
    return np.unique(np.stack([group, side]), axis=1, return_inverse=True)[1].reshape(-1)


def _is_quick(world, parts):
    """Whether it is in floats, and nothing is too rare for them."""
    if parts.automata or parts.action is not None:
        return False
    if (parts.num_utilities + _SPARE_WALKS) * (len(parts.targets) + 1) * world.num_states**2 > _FEW_PRODUCTS:
        return False
    return all(_least_share(one) > _SHARE for _, one in weighted_worlds(world))


def _least_share(world) -> float:
    """The visits of the rarest state that can be reached over those of the commonest, if every move is as likely."""
    states = np.flatnonzero(reachable_states(world))
    pairs = moves(world.transition, world.available)
    kernel = np.zeros((world.num_states, world.num_states))
    kernel[pairs[:, 0], pairs[:, 1]] = 1.0
    kernel = kernel[np.ix_(states, states)]
    step = float(world.discount) * kernel / kernel.sum(1, keepdims=True)
    present = np.asarray(world.initial)[states]
    if world.horizon is None:
        visits = np.linalg.solve(np.eye(len(states)) - step.T, present)
    else:
        visits = present
        for _ in range(world.horizon):
            present = present @ step
            visits = visits + present
    return visits.min() / visits.max()


def _batches(group, sign, rows, weights, most_forms):
    """Places of the sums whose signs are not plain and of all in their groups, some groups at a time."""
    unsure = np.unique(group[sign == 0])
    order = np.argsort(group, kind="stable")
    begin, end = np.searchsorted(group[order], unsure), np.searchsorted(group[order], unsure, side="right")
    batch, forms = [], set()
    for some in (order[b:e] for b, e in zip(begin, end, strict=True)):
        own = set(rows[some][weights[some] != 0].tolist())
        if most_forms and len(own) > most_forms:
            refuse_forms(most_forms)
        if batch and len(forms | own) > _BATCH_FORMS:
            yield np.concatenate(batch)
            batch, forms = [], set()
        batch.append(some)
        forms |= own
    if batch:
        yield np.concatenate(batch)


def hypotheses(table: np.ndarray, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """`[N]` a number for each sum of weighted rows of the table, the same for those that are one hypothesis.

    table: `[forms, R]` from `coefficients`. rows: `[N, m]` places in it. weights: `[N, m]`, 0 where nothing is added.
    """
    # Directions of the R-dimensional space; sums that agree in all of them agree.
    directions = np.random.default_rng(0).standard_normal((table.shape[1], 3))
    sizes = np.abs(table).max(-1, initial=0)
    keys = np.zeros((len(rows), 3))
    batch = max(1, _ENTRIES // max(1, table.shape[1]))
    for start in range(0, len(rows), batch):
        part, weight = rows[start : start + batch], weights[start : start + batch]
        vectors = np.einsum("nm,nmr->nr", weight, table[part])
        largest = np.abs(vectors).max(-1, initial=0)
        constant = largest <= _SMALL * np.einsum("nm,nm->n", np.abs(weight), sizes[part])
        scaled = vectors @ directions / np.where(constant, 1, largest)[:, None]
        keys[start : start + batch] = np.where(constant[:, None], 0, scaled)
    return _clusters(keys)


def _clusters(keys) -> np.ndarray:
    """`[N]` numbers of the groups of rows that agree; by gaps, as a rounded value can fall to either side."""
    group = np.zeros(len(keys), int)
    for column in keys.T:
        order = np.lexsort((column, group))
        breaks = (np.diff(group[order]) > 0) | (np.diff(column[order]) > 10 * _SMALL)
        group[order] = np.concatenate([[0], np.cumsum(breaks)])
    return group


def _independent(unit, slack) -> np.ndarray:
    """Columns that span all others: Gram-Schmidt with the largest remainder first, the earlier column on ties."""
    basis = np.zeros((len(unit), 0))
    remainder, chosen = unit.copy(), []
    while len(chosen) < unit.shape[1]:
        left = np.linalg.norm(remainder, axis=0)
        left[chosen] = 0
        left[left <= slack] = 0
        if not left.any():
            break
        best = int(np.argmax(left >= 0.999 * left.max()))
        direction = remainder[:, best] - basis @ (basis.T @ remainder[:, best])
        direction /= np.linalg.norm(direction)
        basis = np.column_stack([basis, direction])
        remainder -= np.outer(direction, direction @ remainder)
        chosen.append(best)
    return np.array(chosen, int)


def _walk_values(world, parts) -> tuple[np.ndarray, np.ndarray]:
    """`[walks, forms]` the exact expectation of every form under random walks, up to a constant for each form; and
    `[walks, forms]` the sum of the sizes of what it adds up.

    A walk goes from a random mixture of the possible first states along random mixtures of the possible next
    states, whichever action leads there: policies alone would not see differences that only chance decides.
    Every reachable sequence has a positive probability in every walk, and no other sequence has.
    """
    states = np.flatnonzero(reachable_states(world))
    pairs = moves(world.transition, world.available)
    pairs = np.searchsorted(states, pairs[np.isin(pairs[:, 0], states)])  # what is reached leads to what is reached
    starts = np.flatnonzero(np.asarray(world.initial)[states] > 0)
    targets = np.asarray(parts.targets)[:, states]
    automata = [Automaton(np.asarray(one.step)[:, states], np.asarray(one.pay)[:, states]) for one in parts.automata]
    rng = np.random.default_rng(0)
    found = []
    acting, sparse = parts.action is not None, isinstance(world.transition, SparseTransition)
    left = parts.num_utilities + _SPARE_WALKS
    while left:
        walks = 1 if sparse else min(left, max(1, _ENTRIES // len(states) ** 2))
        first = np.zeros((walks, len(states)))
        first[:, starts] = rng.dirichlet(np.ones(len(starts)), walks)
        if sparse:
            kernel, first = partial(sparse_kernel, rng, pairs, len(states)), first[0]
        else:
            kernel = partial(dense_kernels, rng, pairs, len(states), walks)
        some = expectations(
            first, kernel, targets, automata, pairs if acting else pairs[:0], float(world.discount), world.horizon
        )
        found.append([part.reshape(walks, -1) for part in some])
        left -= walks
    visits, reached, paid, used = (np.concatenate(part) for part in zip(*found, strict=True))
    amounts = np.asarray(parts.state)[:, states]
    amounts = amounts - _usual(visits, amounts)
    each = [(visits, amounts), (reached, np.asarray(parts.reach))]
    if parts.weight is not None:
        each.append((paid, np.asarray(parts.weight)))
    result, size = (sum(used @ change(table).T for used, table in each) for change in (np.asarray, np.abs))
    if acting:
        acted = _action_values(rng, world, np.asarray(parts.action), states[pairs], used)
        result, size = result + acted, size + np.abs(acted)
    return result, size


def _action_values(rng, world, paid, pairs, used):
    """`[walks, forms]` what actions are paid `[forms, S, A]`, a random mixture of those that lead where a walk goes.

    used: `[walks, M]` of the moves `pairs` `[M, 2]`.
    """
    successors, chance = links(world.transition)
    there = successors[pairs[:, 0]] == pairs[:, 1, None]
    leads = ((chance > 0) & np.asarray(world.available)[:, :, None])[pairs[:, 0]]
    possible = (leads & there[:, None]).any(-1)
    result = np.zeros((len(used), len(paid)))
    for walk, uses in enumerate(used):
        share = rng.standard_exponential(possible.shape) * possible
        uses = uses[:, None] * share / share.sum(-1, keepdims=True)
        result[walk] = np.einsum("ma,fma->f", uses, paid[:, pairs[:, 0]], optimize=True)
    return result


def _usual(visits, amounts) -> np.ndarray:
    """`[forms, 1]` the median of each amount over the visits.

    Amounts count from there, which adds a constant to a form. So the time in nearly all states is as exact as the
    time in the few others, and the time in all states exactly constant.
    """
    order = np.argsort(amounts, axis=1)
    share = np.cumsum(visits.sum(0)[order], axis=1) / visits.sum()
    middle = np.take_along_axis(order, np.argmax(share >= 0.5, axis=1)[:, None], axis=1)
    return np.take_along_axis(amounts, middle, axis=1)

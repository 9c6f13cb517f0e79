"""Random walks in a world, and what is expected along them: exactly, by matrices, dense or sparse."""

import numpy as np
import scipy.sparse
from scipy.sparse.linalg import splu

# Steps whose successors are drawn anew at each step. They tell apart sequences that make the same moves in another
# order, which walks of one kernel cannot. As many more as an automaton remembers, up to the most.
FRESH_STEPS, _MOST_FRESH = 6, 40
# A set of more states is cut out of a sparse matrix, which is then factorised anew.
_MOST_COLUMNS = 16


def dense_kernels(rng, pairs, num_states, walks) -> np.ndarray:
    """`[walks, S, S]` transition matrices, uniform over those that use the moves `pairs` `[M, 2]`."""
    weights = np.zeros((walks, num_states, num_states))
    weights[:, pairs[:, 0], pairs[:, 1]] = rng.standard_exponential((walks, len(pairs)))
    return weights / weights.sum(-1, keepdims=True)


def sparse_kernel(rng, pairs, num_states) -> scipy.sparse.csr_array:
    """One such matrix `[S, S]`, of M numbers."""
    weights = rng.standard_exponential(len(pairs))
    weights /= np.bincount(pairs[:, 0], weights, num_states)[pairs[:, 0]]
    return scipy.sparse.csr_array((weights, tuple(pairs.T)), shape=(num_states, num_states))


def fresh_steps(most_memories) -> int:
    """How many steps have a kernel of their own, by the memories of the largest automaton."""
    return min(max(FRESH_STEPS, most_memories + 2), _MOST_FRESH)


def expectations(first, new_kernel, targets, automata, pairs, discount, horizon):
    """`[*walks, S]` discounted visits, `[*walks, C]` discount to arrival in each of `targets` `[C, S]`, `[*walks, D]`
    what each automaton pays, and `[*walks, M]` discounted uses of the moves `pairs` `[M, 2]`.

    first: `[*walks, S]` where the walks begin. new_kernel: draws a kernel, one for each of the first steps; then the
    last is kept. Sparse kernels serve one walk, without the axis.
    """
    present, visits = first[..., None, :], np.zeros_like(first)
    absent = present * np.ones((len(targets), 1))
    reached = np.zeros((*first.shape[:-1], len(targets)))
    memories = [np.zeros((*first.shape[:-1], one.num_memories, first.shape[-1])) for one in automata]
    for memory in memories:
        memory[..., 0, :] = first
    paid, used = np.zeros((*first.shape[:-1], len(automata))), np.zeros((*first.shape[:-1], len(pairs)))
    kernel = new_kernel()
    fresh = fresh_steps(max([one.num_memories for one in automata], default=1))
    length = fresh if horizon is None else horizon
    for step in range(length):
        visits = visits + discount**step * present[..., 0, :]
        reached = reached + discount**step * (absent * targets).sum(-1)
        used += discount**step * _flow(present[..., 0, :], kernel, pairs)
        present = present @ kernel
        absent = np.where(targets, 0, absent) @ kernel
        for d, one in enumerate(automata):
            paid[..., d] += discount**step * (memories[d] * one.pay).sum((-1, -2))
            memories[d] = _read(one, memories[d]) @ kernel
        kernel = new_kernel() if step < fresh else kernel
    weight = discount**length
    if horizon is not None:
        for d, one in enumerate(automata):
            paid[..., d] += weight * (memories[d] * one.pay).sum((-1, -2))
        return visits + weight * present[..., 0, :], reached + weight * (absent * targets).sum(-1), paid, used
    if scipy.sparse.issparse(kernel):
        more_visits, more_reached = _sparse_rest(discount * kernel, present, absent, targets)
        more_paid = [_sparse_value(discount * kernel, one, memories[d]) for d, one in enumerate(automata)]
    else:
        more_visits, more_reached = _dense_rest(discount * kernel, present, absent, targets)
        known = {}
        more_paid = [_dense_value(discount * kernel, one, memories[d], known) for d, one in enumerate(automata)]
    for d, more in enumerate(more_paid):
        paid[..., d] += weight * more
    used += weight * _flow(more_visits, kernel, pairs)
    return visits + weight * more_visits, reached + weight * more_reached, paid, used


def _flow(present, kernel, pairs):
    """`[*walks, M]` how much of what is present makes each of the moves."""
    if not len(pairs):
        return np.zeros((*present.shape[:-1], 0))
    chance = kernel[..., pairs[:, 0], pairs[:, 1]] if not scipy.sparse.issparse(kernel) else kernel[*pairs.T]
    return present[..., pairs[:, 0]] * np.asarray(chance)


def _read(machine, memory):
    """`[*walks, M, S]` memories after the states are read, from those before; the weight of what has ended is gone."""
    step, left = np.asarray(machine.step), np.zeros_like(memory)
    for m, following in enumerate(step):
        for new in np.unique(following[following >= 0]):
            left[..., new, :] += np.where(following == new, memory[..., m, :], 0.0)
    return left


def _dense_rest(step, present, absent, targets):
    """What follows without end, in `[walks, S, S]` discounted steps."""
    stays = np.linalg.inv(np.eye(step.shape[-1]) - step)
    reached = np.zeros(absent.shape[:-1])
    for c, target in enumerate(targets):
        # Visits to a set all follow its first arrival: stays[:, set] = arrival[:, set] @ stays[set, set].
        inside = np.flatnonzero(target)
        once = np.linalg.solve(stays[:, inside[:, None], inside], np.ones((len(stays), len(inside), 1)))
        reached[:, c] = (absent[:, c, None] @ stays[:, :, inside] @ once)[:, 0, 0]
    return (present @ stays)[:, 0], reached


def _dense_value(step, machine, memory, known):
    """`[walks]` what an automaton goes on to pay: block elimination over its memories, each a block of `[S, S]`.

    known: inverses for memories that are kept while in a set of states, which many automata have in common.
    """
    size, num_states = machine.step.shape
    onward, pay = np.asarray(machine.step), np.asarray(machine.pay)
    blocks = {
        (m, new): np.where((onward[m] == new)[:, None], step, 0.0)
        for m in range(size)
        for new in np.unique(onward[m][onward[m] >= 0]).tolist()
    }
    ahead = {m: np.broadcast_to(pay[m], (len(step), num_states)) for m in range(size)}
    plain = set(blocks)
    left, value = set(range(size)), np.zeros(len(step))

    def around(m):
        return [p for p in left if p != m and (p, m) in blocks], [q for q in left if q != m and (m, q) in blocks]

    # The memories that are there now stand for a last row, which leads to each of them.
    weight = {m: memory[:, m] for m in range(size)}
    while left:
        m = min(left, key=lambda m: (len(around(m)[0]) * len(around(m)[1]), m))
        before, after = around(m)
        solve = _solver(blocks.get((m, m)), onward[m] == m if (m, m) in plain else None, known)
        left.remove(m)
        # x_m = solve(ahead_m + sum of blocks[m, q] x_q)
        right = solve(ahead[m][..., None])[..., 0]
        links = {q: solve(blocks[m, q]) for q in after} if before or weight[m].any() else {}
        value += (weight[m] * right).sum(-1)
        for q, link in links.items():
            weight[q] = weight[q] + (weight[m][:, None] @ link)[:, 0]
        for p in before:
            ahead[p] = ahead[p] + (blocks[p, m] @ right[..., None])[..., 0]
            for q, link in links.items():
                blocks[p, q] = blocks.get((p, q), 0.0) + blocks[p, m] @ link
                plain.discard((p, q))
    return value


def _solver(loop, kept, known):
    """Solves with I - loop; the inverse is kept for later if `loop` is the steps from the states `kept`."""
    if loop is None:
        return lambda right: right
    if kept is None:
        system = np.eye(loop.shape[-1]) - loop
        return lambda right: np.linalg.solve(system, np.broadcast_to(right, (len(system), *right.shape[1:])))
    if kept.tobytes() not in known:
        known[kept.tobytes()] = np.linalg.inv(np.eye(loop.shape[-1]) - loop)
    return lambda right: known[kept.tobytes()] @ right


def _sparse_rest(step, present, absent, targets):
    """The same in `[S, S]` discounted steps, by factorisations."""
    one = scipy.sparse.eye_array(step.shape[0], format="csr")
    system = splu((one - step).tocsc())
    reached = np.zeros(len(targets))
    for c, target in enumerate(targets):
        inside = np.flatnonzero(target)
        if not len(inside):
            continue
        if len(inside) <= _MOST_COLUMNS:
            stays = system.solve(one[:, inside].toarray())
            reached[c] = absent[c] @ stays @ np.linalg.solve(stays[inside], np.ones(len(inside)))
        else:
            # A walk that stops on arrival is in the set once.
            stopping = scipy.sparse.diags_array((~target).astype(float)) @ step
            reached[c] = splu((one - stopping).tocsc()).solve(absent[c], trans="T")[inside].sum()
    return system.solve(present[0], trans="T"), reached


def _sparse_value(step, machine, memory):
    """What an automaton goes on to pay, by the factorisation of all pairs of memory and state."""
    onward, pay = np.asarray(machine.step), np.asarray(machine.pay)
    size, num_states = onward.shape
    step = step.tocoo()
    start, end = step.coords
    parts = []
    for m in range(size):
        goes = onward[m, start] >= 0
        parts.append((m * num_states + start[goes], onward[m, start[goes]] * num_states + end[goes], step.data[goes]))
    rows, columns, entries = (np.concatenate(part) for part in zip(*parts, strict=True))
    number = size * num_states
    system = scipy.sparse.eye_array(number) - scipy.sparse.coo_array((entries, (rows, columns)), (number, number))
    return memory.reshape(-1) @ splu(system.tocsc()).solve(pay.reshape(-1))

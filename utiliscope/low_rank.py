"""Low-rank updates of one policy's tables, compiled: what a changed row of it is worth, and what it changes.

A chain's table `[M + 1, W]` is the inverse of I - discount P, bordered by what changes as it does: the value to come in
the last column, the visits in the last row, the value in the corner. Columns between are 0: see `tables.py`. A state
has a node for each of J memories; its changed row changes the system by rank J (Woodbury; Sherman and Morrison where J
is 1).
"""

import numpy as np

from .kernel_cache import njit


def working_room(chains, width):
    """Arrays to work in: what each action would be worth at a state's nodes, how often it would lead back to them, how
    often they are visited; a system of equations, its right side and what it is to do to the table; a row."""
    onward, chance = chains[2], chains[3]
    num_chains, _, most, _ = onward.shape
    num_actions = chance.shape[2]
    gains, loops = np.empty((num_chains, most, num_actions)), np.empty((num_chains, most, most, num_actions))
    here, system, answer = np.empty((num_chains, most)), np.empty((most, most)), np.empty(most)
    return gains, loops, here, system, answer, np.empty((most, width)), np.empty(most), np.empty(num_actions)


def placed(rows, chains, row_place, column_place):
    """Where the nodes of the states in `rows` stand among the columns, `[C, S, J]`, and those they lead to among
    the rows, `[C, S, J, K]` (-1: nowhere)."""
    nodes, _, onward, _, _ = chains
    chain = np.arange(len(nodes))[:, None, None]
    columns, ways = np.full_like(nodes, -1), np.full_like(onward, -1)
    own, then = nodes[:, rows], onward[:, rows]
    columns[:, rows] = np.where(own >= 0, column_place[chain, own], -1)
    ways[:, rows] = np.where(then >= 0, row_place[chain[..., None], then], -1)
    return columns, ways


@njit(nogil=True, cache=True)
def look(n, s, count, chance, paid, columns, ways, table, gains, loops, here):
    """Fill in the gains and loops of every action in state `s`, and the visits."""
    width, num_actions = chance.shape[3], chance.shape[2]
    for c in range(len(count)):
        number = count[c, s]
        for i in range(number):
            column = columns[c, s, i]
            here[c, i] = table[n, c, table.shape[2] - 1, column]
            for a in range(num_actions):
                gain, loop = 0.0, 0.0
                for k in range(width):
                    p = chance[c, s, a, k]
                    if p != 0.0:
                        t = ways[c, s, i, k]
                        if t >= 0:
                            gain += p * table[n, c, t, table.shape[3] - 1]
                            loop += p * table[n, c, t, column]
                gains[c, i, a] = paid[c, s, i, a] + gain
                loops[c, i, i, a] = loop
            for j in range(number):
                if j == i:
                    continue
                for a in range(num_actions):
                    loop = 0.0
                    for k in range(width):
                        t = ways[c, s, i, k]
                        if t >= 0:
                            loop += chance[c, s, a, k] * table[n, c, t, columns[c, s, j]]
                    loops[c, i, j, a] = loop


@njit(nogil=True, cache=True)
def change_table(
    n, s, old, new, count, chance, columns, ways, table, gains, loops, here, system, answer, across, heights
):  # fmt: skip
    """The table with a new row in the place of an old one, after `look`."""
    width = table.shape[3]
    for c in range(len(count)):
        number = count[c, s]
        if number == 0:
            continue
        _changes(old, new, c, number, gains, loops, system, answer)
        # What the changed rows add to the rows of the table at the state's nodes.
        for i in range(number):
            for j in range(width):
                across[i, j] = 0.0
        for k in range(chance.shape[3]):
            step = 0.0
            for a in range(len(old)):
                step += (new[a] - old[a]) * chance[c, s, a, k]
            if step == 0.0:
                continue
            for i in range(number):
                t = ways[c, s, i, k]
                if t >= 0:
                    for j in range(width - 1):
                        across[i, j] += step * table[n, c, t, j]
        for i in range(number):
            across[i, width - 1] = answer[i]
        _solve(system, across, number)
        # Every column is read before any is written: the changes of the nodes belong to the table as it was.
        for t in range(table.shape[2]):
            for i in range(number):
                heights[i] = table[n, c, t, columns[c, s, i]]
            for i in range(number):
                height = heights[i]
                if height != 0.0:
                    for j in range(width):
                        table[n, c, t, j] += height * across[i, j]


@njit(nogil=True, cache=True)
def _changes(old, new, c, some, gains, loops, system, answer):
    """The system I - L and the gains for a new row in the place of an old one, in one chain."""
    for i in range(some):
        answer[i] = 0.0
        for a in range(len(old)):
            answer[i] += (new[a] - old[a]) * gains[c, i, a]
        for j in range(some):
            loop = 0.0
            for a in range(len(old)):
                loop += (new[a] - old[a]) * loops[c, i, j, a]
            system[i, j] = (1.0 if i == j else 0.0) - loop


@njit(nogil=True, cache=True)
def _solve(system, across, some):
    """Solve in place for `across`. All leading minors are chances of coming back, of policies that change at some of
    the nodes, and above 0: no pivots are needed."""
    for i in range(some):
        scale = 1 / system[i, i]
        for t in range(across.shape[1]):
            across[i, t] *= scale
        for j in range(i + 1, some):
            system[i, j] *= scale
        for r in range(some):
            factor = system[r, i]
            if r == i or factor == 0.0:
                continue
            for j in range(i + 1, some):
                system[r, j] -= factor * system[i, j]
            for t in range(across.shape[1]):
                across[r, t] -= factor * across[i, t]


@njit(nogil=True, cache=True)
def gained(s, old, new, count, gains, loops, here, system, answer):
    """What a new row in the place of an old one adds to the value."""
    total = 0.0
    for c in range(len(count)):
        if count[c, s] == 1:
            gain, loop = 0.0, 0.0
            for a in range(len(old)):
                change = new[a] - old[a]
                gain += change * gains[c, 0, a]
                loop += change * loops[c, 0, 0, a]
            total += here[c, 0] * gain / (1 - loop)
        elif count[c, s] > 1:
            _changes(old, new, c, count[c, s], gains, loops, system, answer)
            total += _reduced(c, count[c, s], here, system, answer)
    return total


@njit(nogil=True, cache=True)
def gained_by(s, now, other, count, gains, loops, here, system, answer):
    """The same for another action in the place of the present one, where both are taken for certain."""
    total = 0.0
    for c in range(len(count)):
        if count[c, s] == 1:
            gain = gains[c, 0, other] - gains[c, 0, now]
            total += here[c, 0] * gain / (1 - loops[c, 0, 0, other] + loops[c, 0, 0, now])
        elif count[c, s] > 1:
            for i in range(count[c, s]):
                answer[i] = gains[c, i, other] - gains[c, i, now]
                for j in range(count[c, s]):
                    system[i, j] = (1.0 if i == j else 0.0) - loops[c, i, j, other] + loops[c, i, j, now]
            total += _reduced(c, count[c, s], here, system, answer)
    return total


@njit(nogil=True, cache=True)
def _reduced(c, some, here, system, answer):
    """Solve the system, without pivots as in `_solve`, and add up the answer by visits."""
    total = 0.0
    for i in range(some):
        for r in range(i + 1, some):
            factor = system[r, i] / system[i, i]
            if factor != 0.0:
                for j in range(i + 1, some):
                    system[r, j] -= factor * system[i, j]
                answer[r] -= factor * answer[i]
    for i in range(some - 1, -1, -1):
        for j in range(i + 1, some):
            answer[i] -= system[i, j] * answer[j]
        answer[i] /= system[i, i]
        total += here[c, i] * answer[i]
    return total

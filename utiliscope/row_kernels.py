"""The inner loop of splitting, compiled: one changed row of a policy at a time, valued by low-rank updates.

A utility is a sum over `C` Markov chains (see `chains.py`), in which a state has a node for each of J memories. A
changed row of the policy changes I - discount P by rank J, so that with the inverse G at hand a proposal costs O(J^2 K)
for K successors, and an accepted one O(J n^2) for n nodes (Woodbury; Sherman and Morrison where J is 1). All that a row
needs of G are its entries between the successors of the rows that may change and those rows: the whole of G in a small
world, a block of it in a big one.

A chain's table `[M + 1, W]` is the inverse, bordered by what changes as it does: the value to come in the last column,
the visits in the last row, the value in the corner. Columns between are 0: see `tables.py`.
"""

import math

import numpy as np
from numba import njit

from .splitting import Moves, bound, climb
from .tables import table_width

DETERMINISTIC, DIRICHLET = 0, 1

_TINY = 1e-300
_MOST_SHRINKS = 60


def moves(problem, rows, row_place, column_place) -> Moves:
    """What moves particles by changes of `rows`.

    row_place, column_place: `[C, n]` where a node stands in the rows and columns of the table `[N, C, M + 1, W]`.
    """
    places = _placed(rows, problem.chains, row_place, column_place)
    room = (*_room(problem.chains, table_width(column_place.max() + 1)), np.empty(problem.chains[3].shape[2]))
    parts = (problem.kind, problem.concentration, rows, *problem.rules, problem.chains[1], *problem.chains[3:], *places)
    return bound(_move, _climb, parts, room)


@njit(nogil=True, cache=True)
def _climb(random, ends, record, num_moves, order, age, chains, weight, particles, parts, room):
    return climb(_move, random, ends, record, num_moves, order, age, chains, weight, particles, parts, room)


@njit(nogil=True, cache=True)
def _move(random, n, level, warmth, num_moves, particles, parts, room):
    """Change row after row of particle `n`.

    parts: kind and concentration of the prior; rows; actions `[S, A]` (available ones first), number `[S]` of them; of
        the chains count `[C, S]` of a state's nodes, chance `[C, S, A, K]` times the discount, paid `[C, S, J, A]`;
        columns `[C, S, J]` of the nodes, and ways `[C, S, J, K]` rows of those they lead to (-1: nowhere).
    """
    policy, table, values, accepted = particles
    kind, concentration, rows, actions, number, count, chance, paid, columns, ways = parts
    gains, loops, here, system, answer, across, heights, new = room
    # In turn, from any of them: at random, a quarter of them would not have come up in as many moves.
    r = int(random.random() * len(rows))
    for _ in range(num_moves):
        r = r + 1 if r + 1 < len(rows) else 0
        s = rows[r]
        _look(n, s, count, chance, paid, columns, ways, table, gains, loops, here)
        old = policy[n, s]
        lowest = level
        if warmth > 0.0:
            lowest = max(level, values[n] + warmth * math.log(1 - random.random()))
        if kind == DETERMINISTIC:
            value = _another_action(
                random, s, old, new, lowest, values[n], count, actions, number, gains, loops, here, system, answer
            )
        else:
            value = _another_share(
                random, s, old, new, lowest, values[n], count, actions, number, gains, loops, here, system, answer,
                concentration,
            )  # fmt: skip
        if math.isnan(value):
            continue
        accepted[0] += 1
        _change(
            n, s, old, new, count, chance, columns, ways, table, gains, loops, here, system, answer, across, heights
        )
        for a in range(len(old)):
            old[a] = new[a]
        values[n] = value


@njit(nogil=True, cache=True)
def ascend(least, rows, rules, chains, place, policy, table):
    """A sweep over the rows of one policy, each taking its best action given all others if that gains over `least`.

    Arrays as in `move_particles`, of one particle, in place. Returns whether anything changed.
    """
    actions, number = rules
    _, count, _, chance, paid = chains
    columns, ways = _placed(rows, chains, place, place)
    gains, loops, here, system, answer, across, heights = _room(chains, table.shape[3])
    new, changed = np.empty(policy.shape[2]), False
    for s in rows:
        _look(0, s, count, chance, paid, columns, ways, table, gains, loops, here)
        best, chosen = least, -1
        for i in range(number[s]):
            new[:] = 0.0
            new[actions[s, i]] = 1.0
            gain = _gained(s, policy[0, s], new, count, gains, loops, here, system, answer)
            if gain > best:
                best, chosen = gain, actions[s, i]
        if chosen >= 0:
            new[:] = 0.0
            new[chosen] = 1.0
            _change(
                0, s, policy[0, s], new, count, chance, columns, ways, table, gains, loops, here, system, answer,
                across, heights,
            )  # fmt: skip
            policy[0, s] = new
            changed = True
    return changed


@njit(nogil=True, cache=True)
def _room(chains, width):
    """Arrays to work in: what each action would be worth at a state's nodes, how often it would lead back to them, how
    often they are visited; a system of equations, its right side and what it is to do to the table."""
    onward, chance = chains[2], chains[3]
    num_chains, _, most, _ = onward.shape
    num_actions = chance.shape[2]
    gains, loops = np.empty((num_chains, most, num_actions)), np.empty((num_chains, most, most, num_actions))
    here, system, answer = np.empty((num_chains, most)), np.empty((most, most)), np.empty(most)
    return gains, loops, here, system, answer, np.empty((most, width)), np.empty(most)


@njit(nogil=True, cache=True)
def _placed(rows, chains, row_place, column_place):
    """Where the nodes of the states in `rows` stand among the columns, `[C, S, J]`, and those they lead to among
    the rows, `[C, S, J, K]` (-1: nowhere)."""
    nodes, count, onward, _, _ = chains
    columns, ways = np.full_like(nodes, -1), np.full_like(onward, -1)
    for c in range(len(count)):
        for s in rows:
            for i in range(count[c, s]):
                columns[c, s, i] = column_place[c, nodes[c, s, i]]
                for k in range(onward.shape[3]):
                    if onward[c, s, i, k] >= 0:
                        ways[c, s, i, k] = row_place[c, onward[c, s, i, k]]
    return columns, ways


@njit(nogil=True, cache=True, inline="always")
def _look(n, s, count, chance, paid, columns, ways, table, gains, loops, here):
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


@njit(nogil=True, cache=True, inline="always")
def _change(
    n, s, old, new, count, chance, columns, ways, table, gains, loops, here, system, answer, across, heights
):  # fmt: skip
    """The table with a new row in the place of an old one, after `_look`."""
    width = table.shape[3]
    for c in range(len(count)):
        number = count[c, s]
        if number == 0:
            continue
        _changes(old, new, c, number, gains, loops, system, answer)
        # What the changed rows add to the rows of the table at the state's nodes.
        across[:number] = 0.0
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


@njit(nogil=True, cache=True, inline="always")
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


@njit(nogil=True, cache=True, inline="always")
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


@njit(nogil=True, cache=True, inline="always")
def _gained(s, old, new, count, gains, loops, here, system, answer):
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


@njit(nogil=True, cache=True, inline="always")
def _gained_by(s, now, other, count, gains, loops, here, system, answer):
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


@njit(nogil=True, cache=True, inline="always")
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


@njit(nogil=True, cache=True, inline="always")
def _another_action(random, s, old, new, level, value, count, actions, number, gains, loops, here, system, answer):
    """Another action at random among those above the level; nan where there is none."""
    now = 0
    for a in range(len(old)):
        if old[a] == 1.0:
            now = a
    # The one that stays counts as well, or the move would not be reversible.
    alternatives, chosen, worth = 1, now, value
    for i in range(number[s]):
        a = actions[s, i]
        if a != now:
            other = value + _gained_by(s, now, a, count, gains, loops, here, system, answer)
            if other > level:
                alternatives += 1
                if random.random() * alternatives < 1.0:
                    chosen, worth = a, other
    if chosen == now:
        return math.nan
    new[:] = 0.0
    new[chosen] = 1.0
    return worth


@njit(nogil=True, cache=True, inline="always")
def _another_share(
    random, s, old, new, level, value, count, actions, number, gains, loops, here, system, answer, concentration
):  # fmt: skip
    """Split the chances of pairs of actions anew, one pair less than actions, by slice sampling of their log odds; nan
    where nothing moved.

    Given its total, the split of a Dirichlet row between two actions is Beta(c, c), in log odds a density
    (x (1 - x))^c: its slices are symmetric intervals, which shrink towards the present point until above the level.
    """
    new[:] = old
    worth = math.nan
    for _ in range(number[s] - 1):
        first = int(random.random() * number[s])
        second = int(random.random() * (number[s] - 1))
        second += second >= first
        first, second = actions[s, first], actions[s, second]
        before, after = new[first], new[second]
        total = before + after
        now = math.log(max(before, _TINY)) - math.log(max(after, _TINY))
        spread = log_spread(now) + math.log(1 - random.random()) / concentration
        # x (1 - x) = exp(spread) at the ends, with x the smaller share.
        top = math.exp(spread)
        small = 2 * top / (1 + math.sqrt(max(1 - 4 * top, 0.0)))
        high = 2 * math.log1p(-small) - spread
        low = -high
        moved = False
        for _ in range(_MOST_SHRINKS):
            odds = low + (high - low) * random.random()
            new[first], new[second] = total / (1 + math.exp(-odds)), total / (1 + math.exp(odds))
            found = value + _gained(s, old, new, count, gains, loops, here, system, answer)
            if found > level:
                worth, moved = found, True
                break
            if odds < now:
                low = odds
            else:
                high = odds
        if not moved:
            new[first], new[second] = before, after
    return worth


@njit(nogil=True, cache=True, inline="always")
def log_spread(odds):
    """ln x (1 - x) at these log odds."""
    return -abs(odds) - 2 * math.log1p(math.exp(-abs(odds)))


@njit(nogil=True, cache=True)
def leaders(values, tolerance):
    """Which of rising values is more than `tolerance` above the last one so marked: a crowd is more than one tie."""
    marked = np.zeros(len(values), np.bool_)
    last = -np.inf
    for i in range(len(values)):
        if values[i] > last + tolerance:
            marked[i], last = True, values[i]
    return marked


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

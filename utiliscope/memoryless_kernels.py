"""The inner loop of splitting for utilities without memory, compiled: `row_kernels` where a state has one node.

A changed row is then of rank one, and the value a ratio of two functions linear in it. With one chain, what is above a
level is a half-space: the share of one action against another is drawn from its law there at once.
"""

import math

import numpy as np

from .climbing import Moves, bound, climb_tables
from .kernel_cache import njit
from .row_kernels import DETERMINISTIC, MOST_SHRINKS, TINY, log_share, odds_bracket, odds_slice
from .tables import table_width


def moves(problem, rows, row_place, column_place) -> Moves:
    """As `row_kernels.moves`, where J is 1; with stochastic rows, where C is 1 as well.

    O(C A K) a proposal, O(C M W) an accepted one.
    """
    nodes, count, onward, chance, paid = problem.chains
    actions, number = problem.rules
    num_chains, num_actions = len(nodes), chance.shape[2]
    chain = np.arange(num_chains)[:, None]
    there = count[:, rows] > 0
    goes = onward[:, rows, 0] >= 0
    # Without a sign: an index that may be below 0 costs a comparison at each use.
    column = np.where(there, column_place[chain, nodes[:, rows, 0]], 0).astype(np.uint64)
    ways = np.where(goes, row_place[chain[..., None], onward[:, rows, 0]], 0).astype(np.uint64)
    # What leads nowhere has no chance.
    chances = np.where(goes[:, :, None], chance[:, rows], 0.0)
    by_rows = [np.ascontiguousarray(np.moveaxis(one, 0, 1)) for one in (there, column, ways, chances, paid[:, rows, 0])]
    parts = (rows, *(np.ascontiguousarray(one[rows]) for one in (actions, number)), *by_rows)
    gains, loops = np.empty((2, num_chains, num_actions))
    worth, new = np.empty((2, num_actions))
    room = (gains, loops, worth, new, np.empty(table_width(column_place.max() + 1)))
    if problem.kind == DETERMINISTIC:
        return bound(_move_actions, _climb_by_actions, parts, room)
    concentration = np.ascontiguousarray(problem.concentration[rows])
    return bound(_move_shares, _climb_by_shares, (concentration, *parts), room)


@njit(nogil=True, cache=True, error_model="numpy")
def _climb_by_actions(random, ends, record, num_moves, order, age, chains, weight, particles, parts, room):
    return climb_tables(
        _move_actions, random, ends, record, num_moves, order, age, chains, weight, particles, parts, room
    )


@njit(nogil=True, cache=True, error_model="numpy")
def _climb_by_shares(random, ends, record, num_moves, order, age, chains, weight, particles, parts, room):
    return climb_tables(
        _move_shares, random, ends, record, num_moves, order, age, chains, weight, particles, parts, room
    )


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _look(n, r, c, column, ways, chance, paid, table, gains, loops):
    """Fill in what each action is worth in the state of a row, and how often it leads back there."""
    last = table.shape[3] - 1
    for a in range(chance.shape[2]):
        gain, loop = paid[r, c, a], 0.0
        for k in range(chance.shape[3]):
            p, t = chance[r, c, a, k], ways[r, c, k]
            gain += p * table[n, c, t, last]
            loop += p * table[n, c, t, column[r, c]]
        gains[c, a], loops[c, a] = gain, loop


@njit(nogil=True, cache=True, error_model="numpy")
def _move_actions(random, n, level, warmth, num_moves, particles, parts, room):
    """Of each row another action at random, among those above the level.

    parts: rows `[R]` and their actions `[R, A]` and number of them `[R]`; there, column `[R, C]`: whether the state of
    a row has a node, and its column; ways `[R, C, K]` rows of its successors; chance `[R, C, A, K]` of them, times the
    discount; paid `[R, C, A]`. room: arrays to work in.
    """
    policy, table, values, accepted = particles
    rows, actions, number, there, column, ways, chance, paid = parts
    gains, loops, worth, _, line = room
    num_rows, num_chains, num_actions, width = chance.shape
    height, last = table.shape[2] - 1, table.shape[3] - 1
    value, r = values[n], int(random.random() * num_rows)
    for _ in range(num_moves):
        r = r + 1 if r + 1 < num_rows else 0
        s = rows[r]
        now = 0
        for a in range(num_actions):
            worth[a] = value
            if policy[n, s, a] == 1.0:
                now = a
        for c in range(num_chains):
            if not there[r, c]:
                continue
            _look(n, r, c, column, ways, chance, paid, table, gains, loops)
            here, gained, once = table[n, c, height, column[r, c]], gains[c, now], 1 + loops[c, now]
            for a in range(num_actions):
                worth[a] += here * (gains[c, a] - gained) / (once - loops[c, a])
        lowest = level
        if warmth > 0.0:
            lowest = max(level, value + warmth * math.log(1 - random.random()))
        # The one that stays counts as well, or the move would not be reversible.
        alternatives, chosen = 1, now
        for i in range(number[r]):
            a = actions[r, i]
            if a != now and worth[a] > lowest:
                alternatives += 1
                if random.random() * alternatives < 1.0:
                    chosen = a
        if chosen == now:
            continue
        accepted[0] += 1
        value = worth[chosen]
        for c in range(num_chains):
            if not there[r, c]:
                continue
            own, once = column[r, c], 1 - loops[c, chosen] + loops[c, now]
            for j in range(last):
                line[j] = 0.0
            line[last] = (paid[r, c, chosen] - paid[r, c, now]) / once
            for k in range(width):
                step = (chance[r, c, chosen, k] - chance[r, c, now, k]) / once
                if step != 0.0:
                    t = ways[r, c, k]
                    for j in range(last + 1):
                        line[j] += step * table[n, c, t, j]
            for t in range(height + 1):
                scale = table[n, c, t, own]
                if scale != 0.0:
                    for j in range(last + 1):
                        table[n, c, t, j] += scale * line[j]
        policy[n, s, now] = 0.0
        policy[n, s, chosen] = 1.0
    values[n] = value


@njit(nogil=True, cache=True, error_model="numpy")
def _move_shares(random, n, level, warmth, num_moves, particles, parts, room):
    """The shares of each row anew, a pair of actions at a time, from their law above the level. Arrays as above.

    Given its total, the split of a Dirichlet row between two actions is Beta(b, c) of their concentrations `[R, A]`. At
    b = c = 1 it is even, and drawn at once; otherwise its log odds, of density x^b (1 - x)^c, are drawn by a slice: a
    symmetric interval where b = c, else what is left of a bracket after shrinking.
    """
    policy, table, values, accepted = particles
    concentration, rows, actions, number, there, column, ways, chance, paid = parts
    gains, loops, worth, new, line = room
    num_rows, _, num_actions, width = chance.shape
    height, last = table.shape[2] - 1, table.shape[3] - 1
    value, r = values[n], int(random.random() * num_rows)
    for _ in range(num_moves):
        r = r + 1 if r + 1 < num_rows else 0
        s, own, within = rows[r], column[r, 0], there[r, 0]
        lowest = level
        if warmth > 0.0:
            lowest = max(level, value + warmth * math.log(1 - random.random()))
        here = table[n, 0, height, own] if within else 0.0
        _look(n, r, 0, column, ways, chance, paid, table, gains, loops)
        for a in range(num_actions):
            new[a] = policy[n, s, a]
            # A row is above the level where the sum of its changes times this stays above -slack.
            worth[a] = here * gains[0, a] + (lowest - value) * loops[0, a] if within else 0.0
        slack = value - lowest
        for _ in range(number[r] - 1):
            i = int(random.random() * number[r])
            j = int(random.random() * (number[r] - 1))
            first, second = actions[r, i], actions[r, j + 1 if j >= i else j]
            before, after = new[first], new[second]
            total, slope = before + after, worth[first] - worth[second]
            # What the one and the other have at least.
            one, other = 0.0, 0.0
            if slope > 0.0:
                one = max(before - slack / slope, 0.0)
            elif slope < 0.0:
                other = max(after + slack / slope, 0.0)
            share = random.random()
            ours, theirs = concentration[r, first], concentration[r, second]
            if ours == 1.0 and theirs == 1.0:
                left = total - one - other
                new[first], new[second] = one + share * left, other + (1 - share) * left
            else:
                cut = 0.0
                if ours == theirs:
                    now, high = odds_slice(random, before, after, ours)
                    low = -high
                else:
                    now, cut, low, high = odds_bracket(random, before, after, ours, theirs)
                if one > 0.0:
                    low = max(low, math.log(one) - math.log(max(total - one, TINY)))
                if other > 0.0:
                    high = min(high, math.log(max(total - other, TINY)) - math.log(other))
                odds = low + (high - low) * share
                if ours != theirs:
                    for _ in range(MOST_SHRINKS):
                        if log_share(odds, ours, theirs) >= cut:
                            break
                        if odds < now:
                            low = odds
                        else:
                            high = odds
                        odds = low + (high - low) * random.random()
                new[first], new[second] = total / (1 + math.exp(-odds)), total / (1 + math.exp(odds))
            slack += (new[first] - before) * slope
        gain, loop, pays = 0.0, 0.0, 0.0
        for a in range(num_actions):
            change = new[a] - policy[n, s, a]
            gain += change * gains[0, a]
            loop += change * loops[0, a]
            pays += change * paid[r, 0, a]
        found = value + here * gain / (1 - loop) if within else value
        # The bounds of a share are rounded.
        if not found > lowest:
            continue
        accepted[0] += 1
        value = found
        if within:
            for j in range(last):
                line[j] = 0.0
            line[last] = pays / (1 - loop)
            for k in range(width):
                step = 0.0
                for a in range(num_actions):
                    step += (new[a] - policy[n, s, a]) * chance[r, 0, a, k]
                step /= 1 - loop
                t = ways[r, 0, k]
                for j in range(last + 1):
                    line[j] += step * table[n, 0, t, j]
            for t in range(height + 1):
                scale = table[n, 0, t, own]
                for j in range(last + 1):
                    table[n, 0, t, j] += scale * line[j]
        for a in range(num_actions):
            policy[n, s, a] = new[a]
    values[n] = value

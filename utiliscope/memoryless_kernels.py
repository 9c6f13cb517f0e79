"""The inner loop of splitting for utilities without memory, compiled: `row_kernels` where a state has one node.

A changed row is then of rank one, and the value a ratio of two functions linear in it. With one chain, what is above a
level is a half-space: the share of one action against another is drawn from its law there at once.
"""

import math

import numpy as np
from numba import njit

from .row_kernels import DETERMINISTIC, log_spread

_TINY = 1e-300


@njit(nogil=True, cache=True, error_model="numpy")
def move_particles(
    random, which, level, warmth, moves, kind, concentration, rows, rules, chains, row_place, column_place,
    policy, table, values, accepted,
):  # fmt: skip
    """As `row_kernels.move_particles`, where J is 1; with stochastic rows, where C is 1 as well.

    O(C A K) a proposal, O(C M W) an accepted one.
    """
    actions, number = rules
    there, column, ways, chance, paid = _by_rows(rows, chains, row_place, column_place)
    num_rows, num_chains, width, num_actions = chance.shape
    height, last = table.shape[2] - 1, table.shape[3] - 1
    gains, loops, worth = np.empty((num_chains, num_actions)), np.empty((num_chains, num_actions)), np.empty(num_actions)
    new, line = np.empty(num_actions), np.empty(last + 1)
    for n in which:
        value = values[n]
        for _ in range(moves):
            r = int(random.random() * num_rows)
            s = rows[r]
            now = 0
            for a in range(num_actions):
                worth[a] = value
                if policy[n, s, a] == 1.0:
                    now = a
            for c in range(num_chains):
                if not there[r, c]:
                    continue
                own = column[r, c]
                for a in range(num_actions):
                    gain, loop = paid[r, c, a], 0.0
                    for k in range(width):
                        p, t = chance[r, c, k, a], ways[r, c, k]
                        gain += p * table[n, c, t, last]
                        loop += p * table[n, c, t, own]
                    gains[c, a], loops[c, a] = gain, loop
                here, once = table[n, c, height, own], 1 + loops[c, now]
                for a in range(num_actions):
                    worth[a] += here * (gains[c, a] - gains[c, now]) / (once - loops[c, a])
            lowest = level
            if warmth > 0.0:
                lowest = max(level, value + warmth * math.log(1 - random.random()))
            for a in range(num_actions):
                new[a] = 0.0
            if kind == DETERMINISTIC:
                # The one that stays counts as well, or the move would not be reversible.
                alternatives, chosen = 1, now
                for i in range(number[s]):
                    a = actions[s, i]
                    if a != now and worth[a] > lowest:
                        alternatives += 1
                        if random.random() * alternatives < 1.0:
                            chosen = a
                if chosen == now:
                    continue
                new[chosen] = 1.0
                found = worth[chosen]
            else:
                own = column[r, 0]
                here = table[n, 0, height, own] if there[r, 0] else 0.0
                for a in range(num_actions):
                    new[a] = policy[n, s, a]
                    worth[a] = here * gains[0, a] + (lowest - value) * loops[0, a] if there[r, 0] else 0.0
                _share_anew(random, new, worth, value - lowest, actions[s, : number[s]], concentration)
                gain, loop = 0.0, 0.0
                for a in range(num_actions):
                    change = new[a] - policy[n, s, a]
                    gain += change * gains[0, a]
                    loop += change * loops[0, a]
                found = value + here * gain / (1 - loop) if there[r, 0] else value
                # The bounds of a share are rounded.
                if not found > lowest:
                    continue
            accepted[0] += 1
            value = found
            for c in range(num_chains):
                if not there[r, c]:
                    continue
                gain, loop = 0.0, 0.0
                for a in range(num_actions):
                    change = new[a] - policy[n, s, a]
                    gain += change * paid[r, c, a]
                    loop += change * loops[c, a]
                line[:] = 0.0
                line[last] = gain / (1 - loop)
                for k in range(width):
                    step = 0.0
                    for a in range(num_actions):
                        step += (new[a] - policy[n, s, a]) * chance[r, c, k, a]
                    if step != 0.0:
                        step /= 1 - loop
                        t = ways[r, c, k]
                        for j in range(last + 1):
                            line[j] += step * table[n, c, t, j]
                own = column[r, c]
                for t in range(height + 1):
                    scale = table[n, c, t, own]
                    if scale != 0.0:
                        for j in range(last + 1):
                            table[n, c, t, j] += scale * line[j]
            for a in range(num_actions):
                policy[n, s, a] = new[a]
        values[n] = value


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _by_rows(rows, chains, row_place, column_place):
    """For each of `R` rows and each chain: whether the state has a node, its column, rows `[R, C, K]` of the successors
    (0, at no chance, where the chain ends), `[R, C, K, A]` their chances and `[R, C, A]` payoffs."""
    nodes, count, onward, chance, paid = chains
    num_rows, num_chains, num_actions, width = len(rows), len(count), chance.shape[2], chance.shape[3]
    there = np.zeros((num_rows, num_chains), np.bool_)
    # Without a sign: an index that may be below 0 costs a comparison at each use.
    column = np.zeros((num_rows, num_chains), np.uint64)
    ways = np.zeros((num_rows, num_chains, width), np.uint64)
    chances = np.zeros((num_rows, num_chains, width, num_actions))
    payoffs = np.zeros((num_rows, num_chains, num_actions))
    for r in range(num_rows):
        s = rows[r]
        for c in range(num_chains):
            if count[c, s] == 0:
                continue
            there[r, c] = True
            column[r, c] = column_place[c, nodes[c, s, 0]]
            for a in range(num_actions):
                payoffs[r, c, a] = paid[c, s, 0, a]
            for k in range(width):
                t = onward[c, s, 0, k]
                if t >= 0:
                    ways[r, c, k] = row_place[c, t]
                    for a in range(num_actions):
                        chances[r, c, k, a] = chance[c, s, a, k]
    return there, column, ways, chances, payoffs


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _share_anew(random, row, worth, slack, actions, concentration):
    """Split the chances of pairs of actions anew, one pair less than actions, where the sum of changes times `worth`
    stays above -slack.

    Given its total, the split of a Dirichlet row between two actions is Beta(c, c). At c = 1 it is even, and drawn at
    once; otherwise its log odds, of density (x (1 - x))^c, are drawn by a slice, which is a symmetric interval.
    """
    for _ in range(len(actions) - 1):
        first = int(random.random() * len(actions))
        second = int(random.random() * (len(actions) - 1))
        second += second >= first
        first, second = actions[first], actions[second]
        before, after = row[first], row[second]
        total, slope = before + after, worth[first] - worth[second]
        # What the one and the other have at least.
        one, other = 0.0, 0.0
        if slope > 0.0:
            one = max(before - slack / slope, 0.0)
        elif slope < 0.0:
            other = max(after + slack / slope, 0.0)
        share = random.random()
        if concentration == 1.0:
            left = total - one - other
            row[first], row[second] = one + share * left, other + (1 - share) * left
        else:
            now = math.log(max(before, _TINY)) - math.log(max(after, _TINY))
            spread = log_spread(now) + math.log(1 - random.random()) / concentration
            # x (1 - x) = exp(spread) at the ends, with x the smaller share.
            top = math.exp(spread)
            small = 2 * top / (1 + math.sqrt(max(1 - 4 * top, 0.0)))
            high = 2 * math.log1p(-small) - spread
            low = -high
            if one > 0.0:
                low = max(low, math.log(one) - math.log(max(total - one, _TINY)))
            if other > 0.0:
                high = min(high, math.log(max(total - other, _TINY)) - math.log(other))
            odds = low + (high - low) * share
            row[first], row[second] = total / (1 + math.exp(-odds)), total / (1 + math.exp(odds))
        slack += (row[first] - before) * slope

"""The inner loop of splitting, compiled: one changed row of a policy at a time, valued by rank-one updates.

A changed row of P changes I - discount P by rank one, so that with the inverse G at hand a proposal costs O(K) for
K successors, and an accepted one O(S^2) (Sherman and Morrison). All that a row needs of G are its entries between
the successors of the rows that may change and those rows: the whole of G in a small world, a block of it in a big
one. A utility is a sum over `C` Markov chains (see `planning.chains`).
"""

import math

import numpy as np
from numba import njit

DETERMINISTIC, DIRICHLET = 0, 1

_TINY = 1e-300
_MOST_SHRINKS = 60


@njit(nogil=True, cache=True)
def move_particles(
    random, which, level, warmth, moves, kind, concentration, rows, rules, chains, row_place, column_place,
    policy, inverse, ahead, visits, values, accepted,
):  # fmt: skip
    """Move each particle in `which` by `moves` changes of rows drawn from `rows`, in place.

    What stays invariant is the prior cut off at `level`, weighted by exp(value / warmth) where `warmth` > 0: then each
    change has a level of its own, an exponential variate below the present value (a slice of that weight).

    rules: actions `[S, A]` (available ones first), number `[S]` of them, successors `[S, K]`.
    chains: chance `[C, S, A, K]`, goes_on `[C, S]` times the discount, paid `[C, S, A]`.
    row_place, column_place: `[S]` where a state stands in the rows and columns of `inverse` `[N, C, M, B]`.
    policy `[N, S, A]`, ahead `[N, C, M]` value to come, visits `[N, C, B]`, values `[N]`; accepted: `[1]` a counter.
    """
    actions, number, successors = rules
    chance, goes_on, paid = chains
    num_chains, _, num_actions, width = chance.shape
    gains, loops = np.empty((num_chains, num_actions)), np.empty((num_chains, num_actions))
    new = np.empty(num_actions)
    across = np.empty(inverse.shape[3])
    for n in which:
        for _ in range(moves):
            s = rows[int(random.random() * len(rows))]
            # What each action would be worth here, and how often it would lead back here.
            column = column_place[s]
            for c in range(num_chains):
                for a in range(num_actions):
                    gain, loop = 0.0, 0.0
                    for k in range(width):
                        p = chance[c, s, a, k]
                        if p != 0.0:
                            t = row_place[successors[s, k]]
                            gain += p * ahead[n, c, t]
                            loop += p * inverse[n, c, t, column]
                    gains[c, a] = paid[c, s, a] + goes_on[c, s] * gain
                    loops[c, a] = goes_on[c, s] * loop
            old = policy[n, s]
            lowest = level
            if warmth > 0.0:
                lowest = max(level, values[n] + warmth * math.log(1 - random.random()))
            if kind == DETERMINISTIC:
                value = _another_action(
                    random, old, new, lowest, values[n], visits[n], column, gains, loops, actions[s], number[s]
                )
            else:
                value = _another_share(
                    random, old, new, lowest, values[n], visits[n], column, gains, loops, actions[s], number[s],
                    concentration,
                )  # fmt: skip
            if math.isnan(value):
                continue
            accepted[0] += 1
            for c in range(num_chains):
                gain, loop = 0.0, 0.0
                for a in range(num_actions):
                    gain += (new[a] - old[a]) * gains[c, a]
                    loop += (new[a] - old[a]) * loops[c, a]
                scale = 1 / (1 - loop)
                across[:] = 0.0
                for k in range(width):
                    change = 0.0
                    for a in range(num_actions):
                        change += (new[a] - old[a]) * chance[c, s, a, k]
                    if change != 0.0 and goes_on[c, s] != 0.0:
                        change *= scale * goes_on[c, s]
                        t = row_place[successors[s, k]]
                        for j in range(len(across)):
                            across[j] += change * inverse[n, c, t, j]
                for i in range(inverse.shape[2]):
                    height = inverse[n, c, i, column]
                    if height != 0.0:
                        ahead[n, c, i] += height * gain * scale
                        for j in range(len(across)):
                            inverse[n, c, i, j] += height * across[j]
                here = visits[n, c, column]
                for j in range(len(across)):
                    visits[n, c, j] += here * across[j]
            old[:] = new
            values[n] = value


@njit(nogil=True, cache=True, inline="always")
def _value_with(first, share_first, second, share_second, old, value, visits, column, gains, loops):
    """The value with the chances of two actions changed."""
    for c in range(len(gains)):
        one, other = share_first - old[first], share_second - old[second]
        gain = one * gains[c, first] + other * gains[c, second]
        loop = one * loops[c, first] + other * loops[c, second]
        value += visits[c, column] * gain / (1 - loop)
    return value


@njit(nogil=True, cache=True)
def _another_action(random, old, new, level, value, visits, column, gains, loops, actions, number):
    """Another action at random among those above the level; nan where there is none."""
    now = 0
    for a in range(len(old)):
        if old[a] == 1.0:
            now = a
    # The one that stays counts as well, or the move would not be reversible.
    count, chosen, worth = 1, now, value
    for i in range(number):
        a = actions[i]
        if a != now:
            other = _value_with(now, 0.0, a, 1.0, old, value, visits, column, gains, loops)
            if other > level:
                count += 1
                if random.random() * count < 1.0:
                    chosen, worth = a, other
    if chosen == now:
        return math.nan
    new[:] = 0.0
    new[chosen] = 1.0
    return worth


@njit(nogil=True, cache=True)
def _another_share(
    random, old, new, level, value, visits, column, gains, loops, actions, number, concentration
):  # fmt: skip
    """Split the chances of pairs of actions anew, one pair less than actions, by slice sampling of their log odds; nan
    where nothing moved.

    Given its total, the split of a Dirichlet row between two actions is Beta(c, c), in log odds a density
    (x (1 - x))^c: its slices are symmetric intervals, which shrink towards the present point until above the level.
    """
    new[:] = old
    worth = math.nan
    num_chains = len(gains)
    for _ in range(number - 1):
        first = int(random.random() * number)
        second = int(random.random() * (number - 1))
        second += second >= first
        first, second = actions[first], actions[second]
        total = new[first] + new[second]
        now = math.log(max(new[first], _TINY)) - math.log(max(new[second], _TINY))
        spread = _log_spread(now) + math.log(1 - random.random()) / concentration
        # x (1 - x) = exp(spread) at the ends, with x the smaller share.
        top = math.exp(spread)
        small = 2 * top / (1 + math.sqrt(max(1 - 4 * top, 0.0)))
        high = 2 * math.log1p(-small) - spread
        low = -high
        for _ in range(_MOST_SHRINKS):
            odds = low + (high - low) * random.random()
            one, other = total / (1 + math.exp(-odds)), total / (1 + math.exp(odds))
            found = value
            for c in range(num_chains):
                gain, loop = 0.0, 0.0
                for i in range(number):
                    a = actions[i]
                    share = one if a == first else other if a == second else new[a]
                    gain += (share - old[a]) * gains[c, a]
                    loop += (share - old[a]) * loops[c, a]
                found += visits[c, column] * gain / (1 - loop)
            if found > level:
                new[first], new[second], worth = one, other, found
                break
            if odds < now:
                low = odds
            else:
                high = odds
    return worth


@njit(nogil=True, cache=True, inline="always")
def _log_spread(odds):
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

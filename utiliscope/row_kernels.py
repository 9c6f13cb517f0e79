"""The inner loop of splitting, compiled: one changed row of a policy at a time, valued by low-rank updates.

A utility is a sum over `C` Markov chains (see `chains.py`), in which a state has a node for each of J memories. A
changed row of the policy changes I - discount P by rank J, so that with the inverse G at hand a proposal costs O(J^2 K)
for K successors, and an accepted one O(J n^2) for n nodes (Woodbury; Sherman and Morrison where J is 1). All that a row
needs of G are its entries between the successors of the rows that may change and those rows: the whole of G in a small
world, a block of it in a big one.
"""

import math

from .climbing import Moves, bound, climb_tables
from .kernel_cache import njit
from .low_rank import change_table, gained, gained_by, look, placed, working_room
from .tables import table_width

DETERMINISTIC, DIRICHLET = 0, 1

TINY = 1e-300
MOST_SHRINKS = 60


def moves(problem, rows, row_place, column_place) -> Moves:
    """What moves particles by changes of `rows`.

    row_place, column_place: `[C, n]` where a node stands in the rows and columns of the table `[N, C, M + 1, W]`.
    """
    return bound(_move, _climb, *arranged(problem, rows, row_place, column_place))


def arranged(problem, rows, row_place, column_place):
    """The parts of a problem, and the room, that the compiled functions take."""
    places = placed(rows, problem.chains, row_place, column_place)
    parts = (problem.kind, problem.concentration, rows, *problem.rules, problem.chains[1], *problem.chains[3:], *places)
    return parts, working_room(problem.chains, table_width(column_place.max() + 1))


@njit(nogil=True, cache=True)
def _climb(random, ends, record, num_moves, order, age, chains, weight, particles, parts, room):
    return climb_tables(_move, random, ends, record, num_moves, order, age, chains, weight, particles, parts, room)


@njit(nogil=True, cache=True, inline="always")
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
        look(n, s, count, chance, paid, columns, ways, table, gains, loops, here)
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
        change_table(
            n, s, old, new, count, chance, columns, ways, table, gains, loops, here, system, answer, across, heights
        )
        for a in range(len(old)):
            old[a] = new[a]
        values[n] = value


@njit(nogil=True, cache=True)
def ascend(least, parts, room, policy, table):
    """A sweep over the rows of one policy, each taking its best action given all others if that gains over `least`.

    parts, room: see `arranged`. Returns whether anything changed.
    """
    _, _, rows, actions, number, count, chance, paid, columns, ways = parts
    gains, loops, here, system, answer, across, heights, new = room
    changed = False
    for s in rows:
        look(0, s, count, chance, paid, columns, ways, table, gains, loops, here)
        best, chosen = least, -1
        for i in range(number[s]):
            _certain(actions[s, i], new)
            gain = gained(s, policy[0, s], new, count, gains, loops, here, system, answer)
            if gain > best:
                best, chosen = gain, actions[s, i]
        if chosen >= 0:
            _certain(chosen, new)
            change_table(
                0, s, policy[0, s], new, count, chance, columns, ways, table, gains, loops, here, system, answer,
                across, heights,
            )  # fmt: skip
            for a in range(len(new)):
                policy[0, s, a] = new[a]
            changed = True
    return changed


@njit(nogil=True, cache=True)
def _certain(action, row):
    for a in range(len(row)):
        row[a] = 1.0 if a == action else 0.0


@njit(nogil=True, cache=True)
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
            other = value + gained_by(s, now, a, count, gains, loops, here, system, answer)
            if other > level:
                alternatives += 1
                if random.random() * alternatives < 1.0:
                    chosen, worth = a, other
    if chosen == now:
        return math.nan
    _certain(chosen, new)
    return worth


@njit(nogil=True, cache=True)
def _another_share(
    random, s, old, new, level, value, count, actions, number, gains, loops, here, system, answer, concentration
):  # fmt: skip
    """Split the chances of pairs of actions anew, one pair less than actions, by slice sampling of their log odds; nan
    where nothing moved.

    Given its total, the split of a Dirichlet row between two actions is Beta(b, c) of their concentrations, in log odds
    a density x^b (1 - x)^c. Its slices are intervals, symmetric where b = c, else within a bracket; they shrink towards
    the present point until above the level.
    """
    for a in range(len(old)):
        new[a] = old[a]
    worth = math.nan
    for _ in range(number[s] - 1):
        first = int(random.random() * number[s])
        second = int(random.random() * (number[s] - 1))
        second += second >= first
        first, second = actions[s, first], actions[s, second]
        before, after = new[first], new[second]
        total = before + after
        one, other = concentration[s, first], concentration[s, second]
        cut = 0.0
        if one == other:
            now, high = odds_slice(random, before, after, one)
            low = -high
        else:
            now, cut, low, high = odds_bracket(random, before, after, one, other)
        moved = False
        for _ in range(MOST_SHRINKS):
            odds = low + (high - low) * random.random()
            new[first], new[second] = total / (1 + math.exp(-odds)), total / (1 + math.exp(odds))
            within = one == other or log_share(odds, one, other) >= cut
            found = value + gained(s, old, new, count, gains, loops, here, system, answer) if within else level
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


@njit(nogil=True, cache=True)
def odds_slice(random, one, other, concentration):
    """The log odds of two shares, and where a slice of theirs ends: a symmetric interval, for density (x (1 - x))^c."""
    odds = math.log(max(one, TINY)) - math.log(max(other, TINY))
    # ln x (1 - x).
    spread = -abs(odds) - 2 * math.log1p(math.exp(-abs(odds))) + math.log(1 - random.random()) / concentration
    # x (1 - x) = exp(spread) at the ends, with x the smaller share.
    top = math.exp(spread)
    small = 2 * top / (1 + math.sqrt(max(1 - 4 * top, 0.0)))
    return odds, 2 * math.log1p(-small) - spread


@njit(nogil=True, cache=True, inline="always")
def log_share(odds, one, other):
    """ln x^one (1 - x)^other of the share x with these log odds."""
    return min(odds, 0.0) * one - max(odds, 0.0) * other - (one + other) * math.log1p(math.exp(-abs(odds)))


@njit(nogil=True, cache=True, inline="always")
def odds_bracket(random, before, after, one, other):
    """The log odds of two shares, the height of a slice of their density x^one (1 - x)^other, and an interval around
    it: the density lies below x^one as well as below (1 - x)^other, and these below exponentials of the odds.
    """
    odds = math.log(max(before, TINY)) - math.log(max(after, TINY))
    height = log_share(odds, one, other) + math.log(1 - random.random())
    return odds, height, height / one, -height / other

"""What forms are worth along random walks, exactly: as residues modulo a prime, so that what is rare is as plain as
what is common, and sums that are equal on paper are equal.

The expectation of a form is a quotient of polynomials in the weights of the moves. At random residues a polynomial that
is not zero is zero with a chance of its degree over the prime (Schwartz and Zippel), which is about 1e-15.
"""

import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import numpy as np
from scipy.sparse import coo_array

from utiliscope.residue_walks import automaton_values, visits
from utiliscope.residues import PRIME, WALKS, canonical, gathered, normalised, projected, quotients, shared
from utiliscope.world.model import reachable_states
from utiliscope.world.possible import weighted_worlds
from utiliscope.world.transition import links, moves

from .walks import fresh_steps

# Sums over the rest of a walk are solved by elimination; more states than these are left to sparse matrices in floats.
_MOST_STATES = 600
# Numbers held in factors of such systems, by all threads.
_MOST_ENTRIES, _THREADS = 2**26, min(4, os.cpu_count() or 1)
# Numbers are read as the simplest fraction that they stand for.
_MOST_BELOW, _ROUNDING = 10**6, 1e-15


def exact_values(world, parts) -> np.ndarray | None:
    """`[forms, 3]` residues: the same for sums of forms that agree up to a constant on every reachable sequence.

    parts: the sparse stack of what each form pays. None where that is not known exactly: for amounts that are no
    fractions, for large worlds, and for memories that lead to each other in several rounds.
    """
    worlds = [one for _, one in weighted_worlds(world)]
    numbers = _Numbers(worlds)
    rng = np.random.default_rng(0)
    found = []
    for one in worlds:
        walks = _walk_values(rng, one, parts, numbers)
        if walks is None:
            return None
        # Another constant in each world.
        minus = np.array([[PRIME - 1], *[[0]] * (WALKS - 1)], np.uint64)
        directions = np.concatenate([np.broadcast_to(minus[:1], (1, WALKS - 1)), np.eye(WALKS - 1, dtype=np.uint64)])
        found.append(projected(walks, np.ascontiguousarray(directions)))
    if len(found) > 1:
        together = np.concatenate(found, axis=1)
        found = [projected(together, _random(rng, (together.shape[1], WALKS - 1)))]
    return found[0]


def residue(fraction: Fraction) -> int:
    """The residue of a fraction."""
    return fraction.numerator * pow(fraction.denominator, -1, PRIME) % PRIME


def sign_of(value: int, most=2**22) -> int:
    """1 or -1, of the fraction of whole numbers up to `most` whose residue this is; 0 if there is none."""
    # The remainders of Euclid's algorithm: below = factor * value, modulo the prime.
    above, below, before, factor = PRIME, value, 0, 1
    while below > most:
        times = above // below
        above, below, before, factor = below, above - times * below, factor, before - times * factor
    return 0 if abs(factor) > most else (1 if factor > 0 else -1)


class _Numbers:
    """Residues of what is paid."""

    def __init__(self, worlds):
        self.known = {1 - float(one.discount): 1 - _fraction(float(one.discount)) for one in worlds}

    def __call__(self, amounts) -> np.ndarray | None:
        """Of an array; None where a number is no fraction."""
        amounts = np.asarray(amounts, np.float64)
        whole = (amounts == np.rint(amounts)) & (np.abs(amounts) < 2**53)
        found = np.where(whole, amounts, 0).astype(np.int64)
        found = np.where(found < 0, PRIME + found, found).astype(np.uint64)
        if whole.all():
            return found
        values, place = np.unique(amounts[~whole], return_inverse=True)
        fractions = [self.known.get(value) or _fraction(value, None) for value in values.tolist()]
        if None in fractions:
            return None
        found[~whole] = np.array([residue(one) for one in fractions], np.uint64)[place]
        return found


def _fraction(value: float, otherwise=Fraction) -> Fraction | None:
    """The simple fraction that a number stands for; else exactly that number, or `otherwise`."""
    simple = Fraction(value).limit_denominator(_MOST_BELOW)
    if abs(float(simple) - value) <= _ROUNDING * abs(value):
        return simple
    return otherwise and otherwise(value)


def _random(rng, shape) -> np.ndarray:
    return rng.integers(1, PRIME, shape, np.uint64)


def _walk_values(rng, world, parts, numbers) -> np.ndarray | None:
    """`[forms, K]` residues of what every form is worth under each walk; as `_walk_values` of `equality` in floats."""
    states = np.flatnonzero(reachable_states(world))
    endless = world.horizon is None
    if (endless and len(states) > _MOST_STATES) or not float(world.discount):
        return None
    pairs = moves(world.transition, world.available)
    pairs = np.searchsorted(states, pairs[np.isin(pairs[:, 0], states)])  # what is reached leads to what is reached
    machines = _Machines(parts, states)
    paid = numbers(machines.pays)
    entries = [_entries(part, numbers) for part in (parts.state, parts.action, parts.reach, parts.weight)]
    if paid is None or any(one is None for one in entries):
        return None

    fresh = fresh_steps(machines.most_memories)
    length = fresh if endless else world.horizon
    begin = np.searchsorted(pairs[:, 0], np.arange(len(states) + 1))
    end = np.ascontiguousarray(pairs[:, 1])
    first = np.zeros((len(states), WALKS), np.uint64)
    starts = np.flatnonzero(np.asarray(world.initial)[states] > 0)
    weights = _random(rng, (len(starts), WALKS))
    normalised(weights, np.array([0, len(starts)]))
    first[starts] = weights
    discount = np.array([[residue(_fraction(float(world.discount)))]], np.uint64)
    chance = np.empty((min(fresh, length) + 1, len(pairs), WALKS), np.uint64)
    for kernel in chance:
        kernel[:] = _random(rng, kernel.shape)
        normalised(kernel, begin)
    chance = projected(chance.reshape(-1, 1), discount).reshape(chance.shape)

    walk = first, begin, end, chance, length, endless
    visited, used = visits(*walk)
    # Actions are paid a step before what they lead to.
    used = projected(used.reshape(-1, 1), quotients(np.ones(1, np.uint64), discount[0])[:, None]).reshape(used.shape)
    square = _MOST_ENTRIES // (len(states) ** 2 * WALKS * _THREADS) if endless else 0
    slots, number = machines.slots(square)
    powers = min(square // 4, machines.most_memories) if machines.rounds else 0
    worth = _in_threads(machines, (paid, machines.opened, slots, number, powers, *walk))
    if worth is None:
        return None
    worth = worth[machines.row]
    found = np.zeros((parts.num_utilities, WALKS), np.uint64)
    everywhere = np.zeros((world.num_states, WALKS), np.uint64)
    everywhere[states] = visited
    targets = len(np.asarray(parts.targets))
    bases = everywhere, None, worth[:targets], worth[targets:]
    for entry, base in zip(entries, bases, strict=True):
        if entry is not None and len(entry[0]):
            base = _uses(rng, world, states[pairs], used) if base is None else base
            gathered(*entry, base, found)
    canonical(found.reshape(-1))
    return found


def _in_threads(machines, rest) -> np.ndarray | None:
    """`[rows, K]` what `automaton_values` finds, about as many rows in each thread."""
    starts = machines.starts
    cuts = np.searchsorted(starts, np.linspace(0, starts[-1], _THREADS + 1))
    pieces = [starts[a : b + 1] for a, b in itertools.pairwise(cuts) if b > a]
    with ThreadPoolExecutor(_THREADS) as pool:
        found = list(pool.map(lambda piece: automaton_values(piece, machines.steps, *rest), pieces))
    if not all(done for _, done in found):
        return None
    # Each thread leaves zeros in the others' rows.
    return sum((worth for worth, _ in found), np.zeros((len(machines.steps), WALKS), np.uint64))


class _Machines:
    """First arrivals and automata, one below the other.

    An automaton that is the end of a longer one, as visits(p, 2) is of visits(p, 9), is not put there a second time: it
    is the longer one, opened with a later memory.

    steps, pays: `[rows, S]` of all memories, in the reachable `S` states. starts: `[D + 1]` the first row of each.
    opened: `[rows]` whether something begins there. row: where each of the first arrivals and automata begins.
    rounds: whether memories lead to earlier ones.
    """

    def __init__(self, parts, states):
        arrived = np.asarray(parts.targets)[:, states]
        machines = [(np.where(target, -1, 0)[None], target[None] * 1.0) for target in arrived]
        machines += [(np.asarray(one.step)[:, states], np.asarray(one.pay)[:, states]) for one in parts.automata]
        sizes = np.array([len(step) for step, _ in machines], int)
        self.row, kept, total = np.zeros(len(machines), int), [], 0
        # Lists of last rows, each by the list behind its first row and that row: how far memories lead, and pay.
        ends: dict[tuple, int] = {}
        places: list[int] = []
        for i in np.argsort(-sizes, kind="stable").tolist():
            step, pay = machines[i]
            far = np.where(step < 0, np.iinfo(np.int64).min, step - np.arange(len(step))[:, None])
            known = -1
            for m in range(len(step) - 1, -1, -1):
                known = ends.setdefault((known, far[m].tobytes(), pay[m].tobytes()), len(ends))
                if known == len(places):
                    places.append(total + m)
            self.row[i] = places[known]
            if self.row[i] == total:
                kept.append(i)
                total += len(step)
        none = np.zeros((0, len(states)))
        self.steps = np.concatenate([none, *(machines[i][0] for i in kept)]).astype(np.int64)
        self.pays = np.concatenate([none, *(machines[i][1] for i in kept)])
        self.starts = np.append(0, np.cumsum(sizes[kept])).astype(np.int64)
        self.opened = np.zeros(total, bool)
        self.opened[self.row] = True
        self.most_memories = int(sizes.max(initial=1))
        memory = self._memories()[:, None]
        self.rounds = bool(((self.steps >= 0) & (self.steps < memory)).any())

    def _memories(self) -> np.ndarray:
        """`[rows]` which memory each row is."""
        return np.arange(len(self.steps)) - np.repeat(self.starts[:-1], np.diff(self.starts))

    def slots(self, most) -> tuple[np.ndarray, int]:
        """`[rows]` a place for the states in which a memory is kept, -1 if there are none; and how many places.

        The same for the same states; only sets of several memories have a place for good, `most` at most. The others
        share the one behind.
        """
        kept = self.steps == self._memories()[:, None]
        packed = np.packbits(kept, axis=1)
        _, which, times = np.unique(packed, axis=0, return_inverse=True, return_counts=True)
        which = which.reshape(-1)
        several = np.flatnonzero(times > 1)[:most]
        place = np.full(len(times), len(several))
        place[several] = np.arange(len(several))
        return np.where(kept.any(1), place[which], -1), len(several)


def _entries(part, numbers):
    """Row, column and residue of the entries of a sparse table; empty for None, None where unknown."""
    table = coo_array((0, 0)) if part is None else part.tocoo()
    amounts = numbers(table.data)
    return None if amounts is None else (table.row.astype(np.int64), table.col.astype(np.int64), amounts)


def _uses(rng, world, pairs, used) -> np.ndarray:
    """`[S * A, K]` discounted uses of actions: of each move, a random mixture of the actions that can lead there.

    used: `[M, K]` of the moves `pairs` `[M, 2]`.
    """
    successors, chance = links(world.transition)
    there = successors[pairs[:, 0]] == pairs[:, 1, None]
    leads = ((chance > 0) & np.asarray(world.available)[:, :, None])[pairs[:, 0]]
    move, action = np.nonzero((leads & there[:, None]).any(-1))
    share = _random(rng, (len(move), WALKS))
    normalised(share, np.searchsorted(move, np.arange(len(pairs) + 1)))
    found = np.zeros((world.num_states * world.num_actions, WALKS), np.uint64)
    shared(pairs[move, 0] * world.num_actions + action, move, share, used, found)
    return found

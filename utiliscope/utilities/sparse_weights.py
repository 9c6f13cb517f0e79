r"""`SparseWeights`: the prior over sums of a few weighted features, as a two-part code.

.. math:: U(s_0, s_1, \dots) = \sum_i w_i \sum_t \gamma^t f_i(s_t)

First which features have a weight: how many of the F, by Elias gamma (normalised over 0..F), then which. Then the
weight of each, which is not 0: whole ones by a sign bit and Elias gamma; those of a precision d as the share that the
cell of width d around w has of a Cauchy density, whose tails are heavy, without the cell around 0.
"""

import itertools
import math
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import cached_property
from numbers import Real

import jax
import numpy as np

from utiliscope.errors import InputError, check_bits, listed
from utiliscope.payoffs import Payoffs
from utiliscope.sparse_payoffs import sparse_stack
from utiliscope.world.possible import World

from .candidates import Candidates
from .code import gamma_bits, largest_gamma
from .drawing import drawn_weight
from .equality import same_hypotheses
from .meaning import atom_values
from .meanings import BIT_TOLERANCE
from .priors import differences, independent, most_programs, payment_candidates, payment_features, summed
from .reading import Reader, read_atom
from .syntax import Atom, Own

_LONGEST_NUMBER = 1000


@dataclass(frozen=True)
class WeightedSum:
    """A utility: features of the world, each with a weight.

    terms: features, and their weights in whole multiples of `unit`, not 0; in the order of the prior's features.
    unit: what weights are multiples of: 1, or the precision.
    own: features of the prior that it was read with, which the world does not know.
    """

    terms: tuple[tuple[Atom, int], ...] = ()
    unit: Decimal = Decimal(1)
    own: Own = field(default=Own(), compare=False, repr=False)

    def __str__(self) -> str:
        parts = [f"{'-' if number < 0 else '+'} {self._size(number)}time({atom})" for atom, number in self.terms]
        text = " ".join(parts) or "0"
        return text[2:] if text.startswith("+ ") else text.replace("- ", "-", 1) if text.startswith("- ") else text

    def _size(self, number) -> str:
        size = _decimal(abs(number), self.unit)
        return "" if size == "1" else f"{size}*"

    def payoffs(self, world) -> Payoffs:
        """The `Payoffs` of this utility in `world`: the weighted features, paid at each visit."""
        paid = np.zeros(world.num_states)
        for atom, number in self.terms:
            paid = paid + number * float(self.unit) * atom_values(world, atom, self.own)
        return Payoffs(paid, None, *_nothing(world))


def _nothing(world):
    """Nothing to reach."""
    return np.zeros(0), np.zeros((0, world.num_states), bool)


def _decimal(number, unit) -> str:
    """A multiple of the unit, exactly as it is written."""
    with localcontext(prec=2 * _LONGEST_NUMBER):
        return f"{(number * unit).normalize():f}"


@dataclass(frozen=True, eq=False)
class SparseWeights:
    """Utilities that pay for a few features at each visit, and what each costs in bits.

    world: whose features are weighed; one, or `PossibleWorlds`. Bools count as 0 and 1.
    states: whether single states are features too; by default only if there are no others.
    features: more features, by name: `[S]`, or a function of a state's name that gives a bool, or an amount.
    precision: d for weights that are multiples of d, drawn from a Cauchy density and rounded; None for whole weights.
    scale: of that density: half of all weights, before rounding, are larger. By default 1; only with a precision.

    The bits of n of F features with weights w are

        gamma(n + 1) + log2(sum_{k=0..F} 2^-gamma(k + 1)) + log2 binomial(F, n) + sum_i bits(w_i)
        bits(w) = 1 + gamma(|w|), or -log2 of the Cauchy mass of |x - w| < d/2, over that of |x| > d/2

    with gamma(n) = 2 floor(log2 n) + 1; the masses 2^-bits of all weight vectors sum to exactly 1.

    Raises InputError for worlds without anything to weigh, features that are not finite, names taken twice, and a
    precision or scale that is not above 0 or far from the other.
    """

    world: World
    _: KW_ONLY
    states: bool | None = None
    features: Mapping | None = None
    precision: float | int | None = None
    scale: float | int | None = None

    def __post_init__(self):
        values, own = payment_features(self.world, self.features, self.states)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "own", own)
        if self.precision is None and self.scale is not None:
            raise InputError("scale is of weights that are not whole; give a precision too, or leave scale out")
        for name, value in (("precision", self.precision), ("scale", self.scale)):
            if value is not None and not (isinstance(value, Real) and 0 < value < math.inf):
                raise InputError(f"{name} is {value!r}; it must be a finite number above 0")
        if self.precision is not None and not 1e-9 <= self._step <= 1e9:
            raise InputError(f"precision is {self._step:g} times the scale; take one between 1e-9 and 1e9 times it")

    @cached_property
    def unit(self) -> Decimal:
        """What weights are multiples of."""
        return Decimal(1) if self.precision is None else Decimal(repr(float(self.precision)))

    @property
    def _step(self) -> float:
        """The width of a cell where the density has scale 1."""
        return self.precision / (1.0 if self.scale is None else self.scale)

    def parse(self, text) -> WeightedSum:
        """The sum that `text` spells, such as "2*time(G) - 0.5*time(b)"; "0" is the sum of nothing.

        Raises InputError, with the place, for other forms than time, unknown features, features that come twice, and
        weights that are 0 or no multiple of the precision.
        """
        if not isinstance(text, str):
            raise InputError(f"a utility is written as text, not {type(text).__name__}; e.g. '2*time(G) - time(b)'")
        if not text.strip():
            raise InputError("the utility is empty; write one such as 2*time(G) - time(b), or 0 for no preference")
        if text.strip() == "0":
            return WeightedSum((), self.unit, self.own)
        reader = Reader(text, self)
        numbers: dict[Atom, int] = {}
        while reader.kind != "end":
            sign = -1 if reader.token == "-" else 1
            if reader.token in ("+", "-"):
                reader.advance()
            elif numbers:
                reader.fail(f"unexpected {reader.token!r}", "terms are joined by + or -")
            number, (place, atom) = self._number(reader), self._time(reader)
            if atom in numbers:
                reader.fail(f"{atom} has a weight already", "give it once", place)
            numbers[atom] = sign * number
        return WeightedSum(tuple((atom, numbers[atom]) for atom in self.values if atom in numbers), self.unit, self.own)

    def _number(self, reader) -> int:
        """The size of a weight, in units; 1 where none is written."""
        place, token = reader.start, "1"
        if reader.kind == "number":
            token = reader.token
            reader.advance()
            if reader.token != "*":
                reader.fail("a number without a feature", f"write {token}*time(...): a constant changes nothing", place)
            reader.advance()
        if len(token) > _LONGEST_NUMBER:
            reader.fail("this number is too long", f"numbers have up to {_LONGEST_NUMBER} digits", place)
        multiple = Fraction(token) / Fraction(self.unit)
        if multiple == 0:
            reader.fail("weight 0", "leave the term out", place)
        if multiple.denominator != 1:
            below = math.floor(multiple)
            near = " and ".join(_decimal(number, self.unit) for number in (below, below + 1) if number)
            if self.precision is None:
                reader.fail(f"{token} is not a whole number", "give a precision for others: precision=0.5", place)
            reader.fail(f"{token} is no multiple of the precision {self.unit}", f"near it: {near}", place)
        return int(multiple)

    def _time(self, reader) -> tuple[int, Atom]:
        """The feature in time(feature), and where it stands."""
        if reader.token != "time":
            problem = f"unknown form {reader.token!r}" if reader.kind == "word" else f"found {reader.described}"
            reader.fail(f"expected time(feature): {problem}", "a sum of weights has no other forms")
        reader.advance()
        opened = reader.start
        if reader.token != "(":
            reader.fail(f"expected '(' after 'time', found {reader.described}")
        reader.advance()
        place, atom = reader.start, read_atom(reader)
        if atom not in self.values:
            what = "state" if atom.is_state else "feature"
            reader.fail(f"unknown {what} {atom.name!r}", f"what can be weighed here: {listed(self.values)}", place)
        if reader.kind == "end":
            reader.fail("this '(' is not closed", "add ')'", opened)
        if reader.token != ")":
            reader.fail(f"expected ')', found {reader.described}", "a weight is of one feature: time(G)")
        reader.advance()
        return place, atom

    def code_length(self, program: WeightedSum | str) -> float:
        """Description length K in bits of one sum, given as such or as text."""
        # What is built by hand is read again, so that it has the features and the precision of this prior.
        program = self.parse(str(program) if isinstance(program, WeightedSum) else program)
        return self._which_bits[len(program.terms)] + sum(self._weight_bits(number) for _, number in program.terms)

    def log_prob(self, program: WeightedSum | str) -> float:
        """Log prior probability of one sum, in nats: -K LN2."""
        return -self.code_length(program) * math.log(2)

    def sample(self, key) -> WeightedSum:
        """A sum drawn from the prior."""
        rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
        chances = 2.0**-self._number_bits
        number = rng.choice(len(chances), p=chances / chances.sum())
        chosen = np.sort(rng.choice(len(self.values), number, replace=False)).tolist()
        atoms = list(self.values)
        return WeightedSum(tuple((atoms[i], self._drawn_number(rng)) for i in chosen), self.unit, self.own)

    def enumerate(self, max_bits: float | int = 14) -> Candidates:
        """The candidates of all sums that take at most `max_bits` bits.

        Sums that agree up to a positive affine map on every reachable state sequence are one candidate, named by the
        shortest of them; its mass is the sum of 2^-K over all of them that were found. Utilities that prefer nothing
        are the candidate "0".

        Cost: a number for each sum and reachable state, at most 2^27 of them and four million sums; raises InputError
        for more. And `differences`.
        """
        check_bits(max_bits)
        rows, weights, bits = self._sums(float(max_bits))
        amounts = np.array(list(self.values.values()))
        table = independent(differences(self.world, amounts), amounts)
        parts = sparse_stack([Payoffs(one, None, *_nothing(self.world)) for one in amounts])
        group = same_hypotheses(self.world, parts, rows, weights, table=table)
        negative = (weights < 0).sum(1)
        places, length = summed(group, bits, 2.0**-bits, (negative, np.arange(len(bits))))
        atoms = list(self.values)
        chosen = [
            WeightedSum(tuple((atoms[i], int(w)) for i, w in zip(rows[n], weights[n], strict=True) if w), self.unit)
            for n in places
        ]
        paid = np.einsum("hm,hms->hs", weights[places] * float(self.unit), amounts[rows[places]])
        return payment_candidates([str(one) for one in chosen], length, paid)

    @cached_property
    def _number_bits(self) -> np.ndarray:
        """`[F + 1]` bits of having 0, 1, ... weights."""
        bits = np.array([gamma_bits(number + 1) for number in range(len(self.values) + 1)], np.float64)
        return bits + np.log2((2.0**-bits).sum())

    @cached_property
    def _which_bits(self) -> np.ndarray:
        """`[F + 1]` bits of having 0, 1, ... weights, on features that are named."""
        size = len(self.values)
        return self._number_bits + np.array([math.log2(math.comb(size, number)) for number in range(size + 1)])

    def _weight_bits(self, number: int) -> float:
        """Bits of a weight in units."""
        size = abs(number)
        if self.precision is None:
            return 1.0 + gamma_bits(size)
        # Both masses are 1/pi of these angles: of the cell, by a difference of arctangents that keeps far tails exact,
        # and of everything outside the cell around 0.
        cell = math.atan2(self._step, 1 + (size * self._step) ** 2 - self._step**2 / 4)
        return -math.log2(cell / (2 * math.atan2(2, self._step)))

    def _drawn_number(self, rng) -> int:
        sign = 1 - 2 * int(rng.integers(2))
        if self.precision is None:
            return sign * drawn_weight(rng)
        # The angle that is left beyond a weight is uniform.
        angle = (1 - rng.random()) * math.atan2(2, self._step)
        return sign * max(1, math.floor(1 / (math.tan(angle) * self._step) + 0.5))

    def _sums(self, max_bits) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """`[N, m]` features and `[N, m]` weights in units, 0 where there are fewer, and `[N]` bits of all sums."""
        size, total, parts = len(self.values), 0, []
        for number in range(size + 1):
            left = max_bits - self._which_bits[number] + BIT_TOLERANCE
            if left < number * self._weight_bits(1):
                continue
            ways = math.comb(size, number)
            lists, bits = self._weight_lists(number, left, max_bits, (most_programs(self.world) - total) // ways)
            total += ways * len(bits)
            chosen = np.array(list(itertools.combinations(range(size), number)), np.int32).reshape(ways, number)
            rows, weights = np.repeat(chosen, len(bits), axis=0), np.tile(lists, (ways, 1))
            parts.append((rows, weights, np.tile(self._which_bits[number] + bits, ways)))
        width = max(rows.shape[1] for rows, *_ in parts)
        rows, weights = (
            np.concatenate([np.pad(part[i], ((0, 0), (0, width - part[i].shape[1]))) for part in parts]) for i in (0, 1)
        )
        return rows, weights, np.concatenate([bits for *_, bits in parts])

    def _weight_lists(self, number, left, max_bits, most) -> tuple[np.ndarray, np.ndarray]:
        """`[W, number]` all lists of weights in units within `left` bits, and `[W]` their bits; `most` at most."""
        least = self._weight_bits(1)
        largest = self._largest(left - (number - 1) * least) if number else 0
        if not most or largest > most:
            self._refuse(max_bits)
        sizes = np.arange(1, largest + 1)
        single = np.repeat([self._weight_bits(k) for k in sizes.tolist()], 2)
        weights = np.stack([sizes, -sizes], -1).reshape(-1).astype(np.float64)
        lists, bits = np.zeros((1, 0)), np.zeros(1)
        for place in range(number):
            room = left - bits - (number - place - 1) * least
            counts = np.searchsorted(single, room, side="right")
            if counts.sum() > most:
                self._refuse(max_bits)
            parent = np.repeat(np.arange(len(counts)), counts)
            new = np.arange(len(parent)) - np.repeat(np.cumsum(counts) - counts, counts)
            lists = np.column_stack([lists[parent], weights[new]])
            bits = bits[parent] + single[new]
        return lists, bits

    def _largest(self, bits) -> int:
        """The largest weight in units that takes at most `bits`."""
        if self.precision is None:
            return largest_gamma(bits - 1)
        # Where the angle of the cell is that of the bits, from `_weight_bits`.
        angle = 2.0**-bits * 2 * math.atan2(2, self._step)
        square = (self._step / math.tan(angle) - 1) / self._step**2 + 1 / 4
        return max(1, math.floor(math.sqrt(max(square, 1.0)) + BIT_TOLERANCE))

    def _refuse(self, max_bits):
        most = most_programs(self.world)
        raise InputError(f"max_bits = {max_bits:g} allows more than {most} sums in this world; lower max_bits")

"""`StackMachine`: the prior of all short programs of a small machine, run on the features of each state.

A program is a list of instructions, read from left to right. It is run in every state; what is on top of the stack
at its end is paid for each visit of the state.

    instruction        what it does                                    weight
    feature, @state    pushes its value in this state (bools: 0, 1)    1/4, shared by all names
    1                  pushes 1                                        1/16
    + - *              pop b, then a; push a + b, a - b, a * b         1/16 each
    min max            pop b, then a; push the smaller, the larger     1/32 each
    not                pops a; pushes 1 if a <= 0, else 0              1/16
    dup                pushes what is on top once more                 1/32
    swap               exchanges the two on top                        1/32
    do                 marks a place                                   1/32
    while              pops a; if a > 0, goes back to its `do`         1/32
    (halt)             the end; unwritten                              1/4

`do` and `while` match as brackets do; a `while` without a `do` goes back to the start. The first instruction is not
halt, and costs less in proportion. So programs are self-delimiting, and their masses 2^-bits sum to exactly 1.

A program computes nothing, and its mass is lost, if in some reachable state it pops from an empty stack, halts with
one, executes more than `max_steps` instructions, has more than 16 numbers on the stack, or a number beyond 65536.
"""

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from functools import cached_property
from typing import NamedTuple

import jax
import numpy as np

from utiliscope.errors import InputError, check_bits, check_whole, listed
from utiliscope.payoffs import Payoffs
from utiliscope.world.model import reachable_states
from utiliscope.world.possible import World

from .candidates import Candidates
from .code import checked_weights, shares
from .equality import hypotheses
from .meaning import atom_values, state_names
from .meanings import BIT_TOLERANCE
from .priors import differences, independent, most_programs, payment_candidates, payment_features, summed
from .reading import Reader, read_atom
from .stack_search import DEPTH, FAILURES, GROWS, LARGEST, NEEDS, Machine, search
from .syntax import Atom, Own

INSTRUCTION_WEIGHTS = {
    "push": 1 / 4, "halt": 1 / 4, "1": 1 / 16, "+": 1 / 16, "-": 1 / 16, "*": 1 / 16, "not": 1 / 16,
    "min": 1 / 32, "max": 1 / 32, "dup": 1 / 32, "swap": 1 / 32, "do": 1 / 32, "while": 1 / 32,
}  # fmt: skip

# Below this share of the largest amount, a difference between payoffs is rounding.
_SMALL = 1e-7


@dataclass(frozen=True)
class StackProgram:
    """A utility: a program that is run in each state.

    instructions: features and states as atoms, the others by name; without halt.
    max_steps: how many it may execute.
    own: features of the machine that it was read with, which the world does not know.
    """

    instructions: tuple[Atom | str, ...]
    max_steps: int
    own: Own = field(default=Own(), compare=False, repr=False)

    def __str__(self) -> str:
        return " ".join(map(_written, self.instructions))

    def payoffs(self, world) -> Payoffs:
        """The `Payoffs` of this utility in `world`; states that cannot be reached are paid 0.

        Raises InputError, with the reason, if it computes nothing in a state that can be reached.
        """
        atoms = list(dict.fromkeys(one for one in self.instructions if isinstance(one, Atom)))
        states = np.flatnonzero(reachable_states(world))
        values = np.array([atom_values(world, atom, self.own)[states] for atom in atoms], np.float64)
        machine = Machine([*atoms, *NEEDS], values.reshape(len(atoms), len(states)), self.max_steps)
        here, row = machine.empty(0.0), np.array([0])
        for instruction in self.instructions:
            here, failure = machine.extended(here, row, np.array([machine.names.index(instruction)]), 0.0)
            self._check(world, states, failure[0])
        self._check(world, states, np.where(here.height[0] > 0, 0, 5))
        paid = np.zeros(world.num_states)
        paid[states] = here.stack[0, 0]
        return Payoffs(paid, None, np.zeros(0), np.zeros((0, world.num_states), bool))

    def _check(self, world, states, failure):
        if failure.any():
            place = int(np.argmax(failure > 0))
            name, reason = state_names(world)[states[place]], FAILURES[failure[place]]
            raise InputError(f"'{self}' computes nothing in state {name!r}: it {reason}")


def _written(instruction) -> str:
    if isinstance(instruction, Atom) and not instruction.is_state and instruction.name in NEEDS:
        return json.dumps(instruction.name)
    return str(instruction)


class Runs(NamedTuple):
    """What running all programs up to a length gave.

    candidates: the utilities that were computed. num_programs: how many programs computed something.
    computed, lost, longer: the prior mass of those, of programs that are known to compute nothing (whatever follows a
        beginning that fails is lost with it), and of longer ones that were not run. The three sum to 1.
    """

    candidates: Candidates
    num_programs: int
    computed: float
    lost: float
    longer: float


@dataclass(frozen=True, eq=False)
class StackMachine:
    """Utilities as short programs of a small stack machine, run in every state of `world`, and what each costs in bits.

    The module's text has the table of instructions. A program of instructions i_1 ... i_n has the bits

        -sum_k log2 share(i_k) - log2 share(halt) + log2(1 - share(halt))

    world: whose features the programs read; one, or `PossibleWorlds`.
    states: whether single states are features too; by default only if there are no others.
    features: more features, by name: `[S]`, or a function of a state's name that gives a bool, or an amount.
    weights: relative weights of instructions, where not the usual ones (`INSTRUCTION_WEIGHTS`); "push" is shared by
        all features. Weight 0 leaves an instruction out.
    max_steps: how many instructions a program may execute.

    Raises InputError for worlds without anything to read, features that are not finite or beyond 65536, and names
    taken twice.
    """

    world: World
    _: KW_ONLY
    states: bool | None = None
    features: Mapping | None = None
    weights: Mapping | None = None
    max_steps: int = 64

    def __post_init__(self):
        values, own = payment_features(self.world, self.features, self.states)
        check_whole("max_steps", self.max_steps, 1)
        for atom, amounts in values.items():
            if np.abs(amounts).max() > LARGEST:
                raise InputError(f"{atom} goes up to {np.abs(amounts).max():g}; numbers of this machine end at 65536")
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "own", own)
        object.__setattr__(self, "bits", self._bits())

    def _bits(self) -> dict[Atom | str, float]:
        weights = INSTRUCTION_WEIGHTS | checked_weights(self.weights, INSTRUCTION_WEIGHTS)
        for name in ("push", "halt"):
            if not weights[name]:
                raise InputError(f"{name!r} has weight 0, and without it nothing can be computed; give it a weight")
        bits = shares(weights)
        push, halt = bits.pop("push") + math.log2(len(self.values)), bits.pop("halt")
        return dict.fromkeys(self.values, push) | bits | {"halt": halt}

    @cached_property
    def _not_empty(self) -> float:
        """Bits that the first instruction saves, which is not halt."""
        return -math.log2(1 - 2.0 ** -self.bits["halt"])

    def parse(self, text) -> StackProgram:
        """The program that `text` spells, such as "G 1 + cost -".

        Features called as an instruction is stand in double quotes. Raises InputError, with the place, for what is
        neither an instruction nor a feature.
        """
        if not isinstance(text, str):
            raise InputError(f"a utility is written as text, not {type(text).__name__}; e.g. 'G cost -'")
        if not text.strip():
            raise InputError("the utility is empty; write one such as 'G cost -', or '1' for no preference")
        reader, read = Reader(text, self), []
        while reader.kind != "end":
            place, token = reader.start, reader.token
            if token in NEEDS:
                if token not in self.bits:
                    reader.fail(f"{token!r} has weight 0 in this machine", "use other instructions")
                reader.advance()
                read.append(token)
                continue
            if reader.kind in ("symbol", "number"):
                reader.fail(f"unknown instruction {token!r}", f"the instructions are {listed(NEEDS, len(NEEDS))}")
            atom = read_atom(reader)
            if atom not in self.values:
                what = "state" if atom.is_state else "feature or instruction"
                reader.fail(f"unknown {what} {atom.name!r}", f"features here: {listed(self.values)}", place)
            read.append(atom)
        return StackProgram(tuple(read), self.max_steps, self.own)

    def code_length(self, program: StackProgram | str) -> float:
        """Description length K in bits of one program, given as such or as text; whether it computes or not."""
        # What is built by hand is read again, so that it has the instructions of this machine.
        program = self.parse(str(program) if isinstance(program, StackProgram) else program)
        return sum(self.bits[one] for one in program.instructions) + self.bits["halt"] - self._not_empty

    def log_prob(self, program: StackProgram | str) -> float:
        """Log prior probability of one program, in nats: -K LN2."""
        return -self.code_length(program) * math.log(2)

    def sample(self, key) -> StackProgram:
        """A program drawn from the prior. With the probability that `run` calls lost, it computes nothing."""
        rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
        options, drawn = list(self.bits), []
        chances = 2.0 ** -np.array(list(self.bits.values()))
        while True:
            one = options[rng.choice(len(options), p=chances / chances.sum())]
            if one != "halt":
                drawn.append(one)
            elif drawn:
                return StackProgram(tuple(drawn), self.max_steps, self.own)

    def enumerate(self, max_bits: float | int = 16) -> Candidates:
        """The candidates of all programs that take at most `max_bits` bits: those of `run`."""
        return self.run(max_bits).candidates

    def run(self, max_bits: float | int = 16) -> Runs:
        """Run all programs that take at most `max_bits` bits.

        Programs that agree up to a positive affine map on every reachable state sequence are one candidate, named by
        the shortest of them; its mass is the sum of 2^-K over all of them that were found. Utilities that prefer
        nothing are the candidate "1".

        Programs are run together, by what they begin with, once for all states that have the same features.
        Cost: some 10 µs for each program where 30 states differ, less where fewer do; at most 2^27 numbers, of each
        beginning and state, and four million beginnings. Raises InputError for more.
        """
        check_bits(max_bits)
        limit = max_bits - self.bits["halt"] + BIT_TOLERANCE
        most = most_programs(self.world)
        if self._beginnings(limit, most) > most:
            raise InputError(f"max_bits = {max_bits:g} allows more than {most} programs in this world; lower max_bits")
        amounts = np.array(list(self.values.values()))
        states = np.flatnonzero(reachable_states(self.world))
        kinds, kind = np.unique(amounts[:, states], axis=1, return_inverse=True)
        found = search(self.bits, kinds, self.max_steps, limit, -self._not_empty)
        if not len(found.bits):
            raise InputError(f"no program of {max_bits:g} bits computes anything; raise max_bits")
        inside = np.zeros((kinds.shape[1], self.world.num_states))
        inside[kind, states] = 1
        group = _same(independent(differences(self.world, inside), inside), found.payoffs)[found.payoff]
        mass, ties = 2.0**-found.bits, ((found.code >= 0).sum(1), *found.code.T)
        places, length = summed(group, found.bits, mass, ties)
        names, options = [], list(self.bits)
        for code in found.code[places]:
            names.append(str(StackProgram(tuple(options[i] for i in code[code >= 0]), self.max_steps)))
        candidates = payment_candidates(names, length, found.payoffs[found.payoff[places]] @ inside)
        return Runs(candidates, len(found.bits), float(mass.sum()), found.lost, found.longer)

    def _beginnings(self, limit, most) -> int:
        """How many lists of instructions within `limit` bits keep the stack in its bounds if they never go back.

        Not all are counted where there are more than `most`.
        """
        kinds = Counter(
            (NEEDS.get(one, 0), GROWS.get(one, 1), bits) for one, bits in self.bits.items() if one != "halt"
        )
        level, total = Counter({(0, -self._not_empty): 1}), 0
        while level and total <= most:
            longer = Counter()
            for (height, bits), number in level.items():
                for (need, grows, cost), times in kinds.items():
                    if need <= height <= DEPTH - grows and bits + cost <= limit:
                        longer[height + grows, round(bits + cost, 6)] += number * times
            level, total = longer, total + sum(longer.values())
        return total


def _same(table, payoffs) -> np.ndarray:
    """`[N]` a number for each row of payoffs, the same for those that are one hypothesis."""
    values = payoffs @ table
    rounding = _SMALL * np.abs(payoffs).max(1) * np.abs(table).max(initial=0)
    values[np.abs(values).max(1, initial=0) <= rounding] = 0
    return hypotheses(values, np.arange(len(values))[:, None], np.ones((len(values), 1)))

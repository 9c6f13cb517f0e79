"""The small stack machine of `StackMachine`, run in all states at once, and the search through all of its programs.

Programs with the same beginning share what it has left on the stacks.
"""

from typing import NamedTuple

import numpy as np

from .syntax import Atom

# What each instruction pops, and by how much the stack grows.
NEEDS = {"1": 0, "+": 2, "-": 2, "*": 2, "not": 1, "min": 2, "max": 2, "dup": 1, "swap": 2, "do": 0, "while": 1}
GROWS = {"1": 1, "+": -1, "-": -1, "*": -1, "not": 0, "min": -1, "max": -1, "dup": 1, "swap": 0, "do": 0, "while": -1}
_BINARY = {"+": np.add, "-": np.subtract, "*": np.multiply, "min": np.minimum, "max": np.maximum}
DEPTH = 16
FAILURES = (
    "",
    "pops from an empty stack",
    "runs on for too many steps",
    "has more than 16 numbers on the stack",
    "has a number beyond 65536",
    "leaves nothing on the stack",
)
# Small enough that sums which differ by 1 are told apart.
LARGEST = 2.0**16
# Numbers on the stacks that one batch can lead to.
_ENTRIES = 2**22


class Found(NamedTuple):
    """Programs that compute something.

    code: `[N, L]` places of their instructions, then -1. bits: `[N]`. payoff: `[N]` which of the payoffs it computes.
    payoffs: `[M, C]` all different, for each kind of state. lost, longer: mass of other programs.
    """

    code: np.ndarray
    bits: np.ndarray
    payoff: np.ndarray
    payoffs: np.ndarray
    lost: float
    longer: float


class Beginnings(NamedTuple):
    """`P` lists of `L` instructions, run to their end in each of `C` kinds of states.

    code: `[P, L]`. bits: `[P]`. stack: `[D, P, C]` from the top down; what is below the bottom means nothing.
    height: `[P, C]` of the stack. steps: `[P, C]` instructions executed.
    inner: `[P]` place of the innermost `do` that is open, or -1. outer: `[P, L]` that around each `do`.
    target: `[P, L]` where each `while` goes back to.
    """

    code: np.ndarray
    bits: np.ndarray
    stack: np.ndarray
    height: np.ndarray
    steps: np.ndarray
    inner: np.ndarray
    outer: np.ndarray
    target: np.ndarray

    def __getitem__(self, rows):
        code, bits, stack, *others = self
        return Beginnings(code[rows], bits[rows], stack[:, rows], *(one[rows] for one in others))


class Machine:
    """Runs lists of instructions in several kinds of states at once.

    names: the instructions, features first. values: `[F, C]` what each feature is in each kind.
    """

    def __init__(self, names, values, max_steps):
        self.names, self.values, self.max_steps = names, values, max_steps

    def empty(self, bits) -> Beginnings:
        """The list without instructions."""
        nothing, none = np.zeros((1, self.values.shape[1]), np.int32), np.zeros((1, 0), np.int32)
        stack = np.zeros((0, *nothing.shape))
        return Beginnings(none, np.array([bits]), stack, nothing, nothing, np.array([-1]), none, none)

    def extended(self, before: Beginnings, rows, numbers, cost) -> tuple[Beginnings, np.ndarray]:
        """The lists of `rows` `[N]` with one more instruction each, without those that fail.

        numbers: `[N]` of one instruction, or of features. Also returns `[N, C]` places in `FAILURES`.
        """
        name, place = self.names[numbers[0]], before.code.shape[1]
        failure = np.where(before.height[rows] < NEEDS.get(name, 0), 1, 0).astype(np.int8)
        failure[before.steps[rows] >= self.max_steps] = 2
        going = np.flatnonzero(~failure.any(1))
        rows, numbers = rows[going], numbers[going]
        old = before.stack[:, rows]
        stack = self._executed(name, old, self.values[numbers] if isinstance(name, Atom) else 1.0)
        height, steps = before.height[rows] + GROWS.get(name, 1), before.steps[rows] + 1
        code = np.column_stack([before.code[rows], numbers.astype(np.int32)])
        inner, outer = before.inner[rows], np.column_stack([before.outer[rows], before.inner[rows].astype(np.int32)])
        # Without a `do` that is open, `inner` is -1 and a `while` goes back to the start.
        target = np.column_stack([before.target[rows], inner.astype(np.int32) + 1])
        if name == "do":
            inner = np.full(len(rows), place)
        elif name == "while":
            inner = np.where(inner >= 0, outer[np.arange(len(rows)), np.maximum(inner, 0)], -1)
        some = self._beyond(stack, height)
        if name == "while" and len(rows):
            stack, some = self._looped(code, target, stack, height, steps, old[0] > 0)
        failure[going] = some
        after = Beginnings(
            code, before.bits[rows] + cost, stack[: max(height.max(initial=0), 0)], height, steps, inner, outer, target
        )
        return (after[~some.any(1)] if some.any() else after), failure

    def _executed(self, name, stack, pushed):
        """The stack `[D, ...]` after one instruction; pushed: `[...]` what it is that it pushes."""
        if isinstance(name, Atom) or name == "1":
            return np.concatenate([np.broadcast_to(pushed, (1, *stack.shape[1:])), stack])
        if name in _BINARY:
            return np.concatenate([_BINARY[name](stack[1:2], stack[:1]), stack[2:]])
        match name:
            case "not":
                return np.concatenate([stack[:1] <= 0, stack[1:]])
            case "dup":
                return np.concatenate([stack[:1], stack])
            case "swap":
                return np.concatenate([stack[1:2], stack[:1], stack[2:]])
            case "while":
                return stack[1:]
        return stack

    def _beyond(self, stack, height) -> np.ndarray:
        """Where a stack is too high, or the number on top too large, as a place in `FAILURES`."""
        failure = np.where(height > DEPTH, 3, 0).astype(np.int8)
        if len(stack):
            failure[(height > 0) & (np.abs(stack[0]) > LARGEST)] = 4
        return failure

    def _looped(self, code, target, stack, height, steps, again):
        """What `stack` `[D, P, C]` is, and failures `[P, C]`, when those that go `again` come to the end of the list.

        `height` and `steps` are brought up to date. A list that fails in one kind of states is left there in others.
        """
        row, kind = np.nonzero(again)
        place, tall, taken = target[row, -1].astype(np.int64), height[row, kind], steps[row, kind]
        own = np.zeros((DEPTH + 2, len(row)))
        own[: len(stack)] = stack[:, row, kind]
        wrong, failed = np.zeros(len(row), np.int8), np.zeros(len(code), bool)
        running = np.arange(len(row))
        while len(running):
            now = code[row[running], place[running]]
            # Features are pushed together, whichever they are.
            operation = np.maximum(now, len(self.values) - 1)
            for number in np.unique(operation):
                some, name = running[operation == number], self.names[number]
                short = tall[some] < NEEDS.get(name, 0)
                wrong[some[short]] = 1
                some = some[~short]
                top = own[0, some]
                pushed = self.values[code[row[some], place[some]], kind[some]] if isinstance(name, Atom) else 1.0
                new = self._executed(name, own[:, some], pushed)[: len(own)]
                own[: len(new), some] = new
                tall[some] += GROWS.get(name, 1)
                if name == "while":
                    place[some] = np.where(top > 0, target[row[some], place[some]], place[some] + 1)
                else:
                    place[some] += 1
            taken[running] += 1
            beyond = self._beyond(own[:, running], tall[running])
            beyond = np.where(taken[running] > self.max_steps, 2, beyond)
            wrong[running] = np.where(wrong[running] > 0, wrong[running], beyond)
            failed[row[running[wrong[running] > 0]]] = True
            running = running[(place[running] < code.shape[1]) & ~failed[row[running]]]
        failure = np.zeros(again.shape, np.int8)
        failure[row, kind] = wrong
        height[row, kind], steps[row, kind] = tall, taken
        deepest = max(height.max(initial=0), len(stack))
        result = np.zeros((deepest, *again.shape))
        result[: len(stack)] = stack
        result[:, row, kind] = own[:deepest]
        return result, failure


def search(prices, kinds, max_steps, limit, bits) -> Found:
    """All programs whose bits without halt are within the limit, depth first, in batches of beginnings."""
    names = [one for one in prices if one != "halt"]
    machine = Machine(names, kinds, max_steps)
    features = sum(isinstance(name, Atom) for name in names)
    kinds_of = [np.arange(features), *([number] for number in range(features, len(names)))]
    known: dict[bytes, int] = {}
    waiting, lost, longer = [machine.empty(bits)], 0.0, 0.0
    parts = [(np.zeros((0, 0), np.int32), np.zeros(0), np.zeros(0, int))]
    while waiting:
        here = waiting.pop()
        if here.code.shape[1]:
            full = (here.height > 0).all(1)
            lost += _mass(here.bits[~full] + prices["halt"])
            paid = (here.stack[0, full] + 0.0) if full.any() else np.zeros((0, kinds.shape[1]))
            payoff = [known.setdefault(row.tobytes(), len(known)) for row in paid]
            parts.append((here.code[full], here.bits[full] + prices["halt"], np.array(payoff, int)))
        children = []
        for numbers in kinds_of:
            cost = prices[names[numbers[0]]]
            fits = here.bits + cost <= limit
            longer += len(numbers) * _mass(here.bits[~fits] + cost)
            rows = np.repeat(np.flatnonzero(fits), len(numbers))
            if len(rows):
                child, failure = machine.extended(here, rows, np.resize(numbers, len(rows)), cost)
                lost += _mass(here.bits[rows[failure.any(1)]] + cost)
                children.append(child)
        waiting += _batches(children, len(names))
    width = max(code.shape[1] for code, *_ in parts)
    code = np.concatenate(
        [np.pad(code, ((0, 0), (0, width - code.shape[1])), constant_values=-1) for code, *_ in parts]
    )
    bits, payoff = (np.concatenate([part[i] for part in parts]) for i in (1, 2))
    payoffs = np.frombuffer(b"".join(known)).reshape(len(known), kinds.shape[1])
    return Found(code, bits, payoff, payoffs, lost, longer)


def _mass(bits) -> float:
    return float((2.0**-bits).sum())


def _batches(children, number) -> list[Beginnings]:
    """Lists of one length, put together and cut into batches that lead to `_ENTRIES` numbers by `number` ways on."""
    children = [child for child in children if len(child.bits)]
    if not children:
        return []
    depth = max(len(child.stack) for child in children)
    stacks = [np.pad(child.stack, ((0, depth - len(child.stack)), (0, 0), (0, 0))) for child in children]
    parts = [np.concatenate(part) for part in zip(*(child._replace(stack=child.height) for child in children))]
    joint = Beginnings(*parts)._replace(stack=np.concatenate(stacks, axis=1))
    size = max(1, _ENTRIES // (number * (depth + 1) * joint.height.shape[1]))
    return [joint[start : start + size] for start in range(0, len(joint.bits), size)]

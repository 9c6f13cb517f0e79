"""What `benchmarks/utilities.py` measures with: worlds of three states, what utilities are worth on all of their
sequences, every program that a prior draws, and posteriors over programs.
"""

import itertools
import types

import numpy as np

import utiliscope as us
from utiliscope.automata import arrivals
from utiliscope.utilities.drawing import drawn
from utiliscope.utilities.syntax import Program

LOOP = [[1, 2], [2, 0], [0, 1]]
PQ = {"p": [False, True, False], "q": [False, False, True]}


def without(text):
    return {"weights": dict.fromkeys(text.split(), 0)}


def linked(links, features=PQ, initial=(1, 0, 0), discount=0.9, horizon=None):
    """A world of three states, in which action a leads from s to `links[s][a]`."""
    features = {name: np.array(values) for name, values in features.items()}
    return us.world_model(np.eye(3)[links], initial, discount, horizon=horizon, features=features)


class Worth:
    """`[U, N]` what utilities are worth on sequences `[N, T]`, up to an affine map: centred, and at most 1 in size."""

    def __init__(self, world, states, actions):
        self.states, self.known = np.array(states), {}
        self.discounts = float(world.discount) ** np.arange(self.states.shape[1])
        self.visits = np.eye(world.num_states)[self.states] * self.discounts[:, None]
        # No action, -1, is the last one: cut off.
        self.uses = np.einsum("nts,nta->nsa", self.visits, np.eye(world.num_actions + 1)[np.array(actions)][..., :-1])

    def __call__(self, payoffs):
        worth = payoffs.state @ self.visits.sum(1).T
        if payoffs.action is not None:
            worth = worth + np.einsum("usa,nsa->un", payoffs.action, self.uses)
        weights = payoffs.reach if payoffs.weight is None else np.column_stack([payoffs.reach, payoffs.weight])
        for weight, machine in zip(weights.T, [*arrivals(payoffs.targets), *payoffs.automata], strict=True):
            worth = worth + weight[:, None] * self._paid(machine)
        worth = worth - worth.mean(1, keepdims=True)
        size = np.abs(worth).max(1, keepdims=True)
        return np.where(size > 1e-9, worth / np.maximum(size, 1e-9), 0.0)

    def _paid(self, machine):
        name = machine.step.tobytes() + machine.pay.tobytes()
        if name not in self.known:
            memory, self.known[name] = np.zeros(len(self.states), int), np.zeros(len(self.states))
            for discount, state in zip(self.discounts, self.states.T, strict=True):
                self.known[name] += discount * np.where(memory < 0, 0.0, machine.pay[memory, state])
                memory = np.where(memory < 0, -1, machine.step[memory, state])
        return self.known[name]


class Fork(Exception):
    """A choice that a script does not make, by its chances."""


def script(choices):
    """A random generator that makes these choices, and then raises `Fork`."""
    left = list(choices)

    def choice(number, p=None):
        if not left:
            raise Fork(*([1 / number] * number if p is None else p))
        return left.pop(0)

    return types.SimpleNamespace(choice=choice, integers=choice)


def drawn_programs(grammar, max_bits):
    """Every program that is drawn with a chance of at least 2^-max_bits, and its chance."""
    ways = [((), 1.0)]
    while ways:
        way, chance = ways.pop()
        try:
            yield Program(drawn(script(way), grammar.prices)), chance
        except Fork as fork:
            ways += [((*way, i), chance * p) for i, p in enumerate(fork.args) if chance * p > 2.0**-max_bits - 1e-12]


def sequences(world, links, longest=5, steps=300):
    """`[N, T]` states and actions of all that can happen: up to the horizon, after which no action, -1, is taken, or
    where the last few of `longest` actions are repeated for ever.
    """
    number, found = world.horizon or longest, []
    for start, *actions, back in itertools.product(np.flatnonzero(world.initial), *[(0, 1)] * number, range(number)):
        if world.horizon is None:
            actions += itertools.islice(itertools.cycle(actions[back:]), steps - number - 1)
        found.append((list(itertools.accumulate(actions, lambda s, a: links[s][a], initial=start)), [*actions, -1]))
    return zip(*found, strict=True)


def posteriors():
    """Name, grammar, likelihood, and the bits up to which everything is enumerated."""
    plain = us.Grammar(linked(LOOP), **without("avoid end visits every sequence within and or"))
    counts = us.Grammar(linked(LOOP), horizon=3, **without("reach avoid end sequence within not and or"))
    rich = linked(LOOP, PQ | {"c": [1.0, 0.0, 2.0]})
    words = us.Grammar(rich, actions=True, horizon=2, **without("avoid end every or"))
    modes = ["reach(q) - time(p)", "3*reach(p) + time(q)"]
    return [
        ("time, reach, not", plain, by_intelligence([1, 1, 1, 3]), 17),
        ("time, visits, every", counts, near(counts, ["every(p, 2) - time(q)"], 0.2), 16),
        ("nearly all words", words, by_intelligence([1, 1, 3]), 14),
        ("two modes", plain, near(plain, modes, 0.04), 18),
    ]


def of_policies():
    """What utilities are worth under each of the 8 deterministic policies."""
    choices = list(itertools.product((0, 1), repeat=3))
    step = lambda choice: lambda state, _: LOOP[state][choice[state]]  # noqa: E731
    states = [list(itertools.accumulate(range(299), step(choice), initial=0)) for choice in choices]
    actions = [[choice[s] for s in path] for path, choice in zip(states, choices, strict=True)]
    return Worth(linked(LOOP), states, actions)


def by_intelligence(operators, weight=1.5):
    """Nats of operators, each the number of its policy: ln of the product of 2^(weight g) / Z."""
    worth = of_policies()

    def log_likelihood(payoffs):
        value = worth(payoffs)
        nats = -weight * np.log((value[:, None] >= value[:, :, None] - 1e-9).mean(-1))
        return (nats - np.log(np.exp(nats).mean(1, keepdims=True)))[:, operators].sum(1)

    return log_likelihood


def near(grammar, texts, width):
    """Nats of a normal density about what the nearest of some utilities is worth."""
    worth = of_policies()
    centres = worth(grammar.select(texts).payoffs)
    return lambda payoffs: -((worth(payoffs)[:, None] - centres) ** 2).sum(-1).min(1) / (2 * width**2)

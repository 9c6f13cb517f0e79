"""The language of utilities: what its forms cost, its masses, how fast it is enumerated, and Markov moves over it.

    python benchmarks/utilities.py [--only NAME ...]

forms: every form in a small grid: what it wants, the memories of the smallest automaton that it compiles to (1: it pays
    once, on arrival; -: it pays at each step, without one), the nodes of its product with the grid, and its bits.
masses: all programs that `Grammar.sample` draws with a chance of 2^-10 or more, in tiny worlds; those that agree on all
    sequences up to a length are one hypothesis. Against `Grammar.enumerate(10)`: how many, the sum of masses, the
    largest difference of a mass, and of a chance from 2^-bits. Last, the mass of all programs, 1 by Kraft.
speed: in worlds of 30 states; each line a fresh process, timed from the making of the world on; nothing is compiled.
    Rows are what an enumeration holds one by one before it merges hypotheses: sums without regard to the order of their
    terms. Programs are the texts that these stand for: all orders of terms, and all ways of writing a set of states or
    a form that come to the same. For weights both are the sums; for the stack machine the programs that are run, also
    those that turn out to compute nothing. MB: at most, and before the world is made. To a million rows, half a minute,
    or the end of what the enumeration takes. Wanted: 20,000 programs a second, and a million within 4 GiB.
chains: draws of `sample_programs`, of programs up to so many bits, against the exact posterior of these: the total
    variation between hypotheses (wanted: below 0.05) beside the one of as many independent draws; with and without
    tempering. The last case has two modes. R-hat and ESS are the worst of those that the run reports.
"""

import argparse
import itertools
import json
import math
import os
import resource
import subprocess
import sys
import types
import warnings
from collections import defaultdict
from functools import partial

os.environ["UTILISCOPE_CACHE"] = "off"

import numpy as np
from intelligence_cases import KEY, load, timed

import utiliscope as us
from utiliscope.automata import arrivals
from utiliscope.chains import chains as chains_of
from utiliscope.chains import used_automata
from utiliscope.payoffs import stack_payoffs
from utiliscope.utilities import enumeration, stack_search
from utiliscope.utilities import forms as form_table
from utiliscope.utilities.code import total_mass
from utiliscope.utilities.drawing import drawn
from utiliscope.utilities.equality import grouped
from utiliscope.utilities.syntax import Program


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = {one.__name__: one for one in (forms, masses, speed, chains)}
    parser.add_argument("--only", nargs="+", choices=parts, default=list(parts), metavar="NAME")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(enumerated(*json.loads(options.child))))
        return
    for name in options.only:
        print(f"\n{name} ({load()})\n")
        parts[name]()


def header(text):
    row(*text.split(", "))
    row(*["---"] * len(text.split(", ")))


def row(*cells):
    print("|", " | ".join(map(str, cells)), "|", flush=True)


def without(text):
    return {"weights": dict.fromkeys(text.split(), 0)}


# The forms

EXAMPLES = """time(h); reach(h); avoid(m); end(h); visits(p, 1); visits(p, 4); every(p, 2); every(p, 10); sequence(p, h)
sequence(p, m, h); within(5, time(h)); within(20, time(h)); within(5, reach(h)); within(20, reach(h)); within(5, end(h))
within(20, every(p, 10)); within(20, sequence(p, h)); within(20, within(5, reach(h))); does(m, up); time(not m)
reach(p or h and not m); reach(h) - 2*every(p and not m, 10)"""


def forms():
    world = us.gridworld(["..h..", ".mm..", "p...p"])
    grammar = us.Grammar(world, actions=True)
    # The table in the text of `forms.py`: a form, its meaning, the formula.
    lines = [line for line in form_table.__doc__.splitlines() if line.startswith("    ")]
    meanings = {line[4:24].split("(")[0]: line[24:65].strip() for line in lines}
    print(f"{world.num_states} states: h home, m mud, p ports\n")
    header("program, wants, memories, nodes, bits")
    for text in EXAMPLES.replace("\n", "; ").split("; "):
        program = grammar.parse(text)
        payoffs, kinds = program.payoffs(world), dict.fromkeys(term.form.kind for term in program.terms)
        memories = " + ".join(str(machine.num_memories) for _, machine in used_automata(payoffs)) or "-"
        nodes = " + ".join(str(len(chain.state)) for chain in chains_of(world, payoffs))
        bits = f"{grammar.code_length(program):.2f}"
        row(f"`{program}`", "; ".join(meanings[kind] for kind in kinds), memories, nodes, bits)


# Tiny worlds, where every sequence can be tried

LOOP = [[1, 2], [2, 0], [0, 1]]
PQ = {"p": [False, True, False], "q": [False, False, True]}


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


# Masses by brute force

TINY = {
    "loop": (LOOP, {}),
    "one feature": (LOOP, {"features": {"p": PQ["p"]}}),
    "amounts": (LOOP, {"features": {"p": PQ["p"], "c": [1.0, 2.0, 4.0]}}),
    "one way": ([[0, 1], [1, 2], [2, 2]], {"discount": 0.8}),
    "unreached": ([[1, 1], [0, 1], [0, 2]], {"initial": [0.5, 0.5, 0]}),
    "three steps": ([[0, 1], [1, 2], [0, 2]], {"initial": [0.3, 0.7, 0], "discount": 1.0, "horizon": 3}),
    "no features": ([[1, 2], [2, 2], [2, 2]], {"features": {}}),
}
PLAIN = without("avoid end visits every sequence within not and or")
MEMORY = {"weights": without("time reach avoid end not and or")["weights"] | {"within": 0.5}, "horizon": 4}
WORDS = {"all": {"actions": True}, "time, reach": PLAIN, "visits, every, sequence, within": MEMORY}


def masses(max_bits=10):
    header("world, words, programs, hypotheses, enumerated, mass, enumerated, mass differs by, chances, all programs")
    for (name, (links, options)), (words, vocabulary) in itertools.product(TINY.items(), WORDS.items()):
        grammar = us.Grammar(linked(links, **options), **vocabulary)
        programs, chances = zip(*drawn_programs(grammar, max_bits), strict=True)
        candidates, worth = grammar.enumerate(max_bits), Worth(grammar.world, *sequences(grammar.world, links))
        rows = np.round(worth(stack_payoffs([p.payoffs(grammar.world) for p in programs])), 7) + 0.0
        hypothesis = dict(zip(programs, np.unique(rows, axis=0, return_inverse=True)[1].tolist(), strict=True))
        mass, found = defaultdict(float), defaultdict(list)
        for program, chance in zip(programs, chances, strict=True):
            mass[hypothesis[program]] += chance
        for text, bits in zip(candidates.names, candidates.code_length, strict=True):
            found[hypothesis.get(grammar.parse(text), text)].append(2.0**-bits)
        # What is not in both, or twice in one, differs by a mass.
        worst = max(abs(mass.get(key, 0) - max(found.get(key, [0]))) for key in mass | found)
        off = max(abs(chance - 2.0 ** -grammar.code_length(p)) for p, chance in zip(programs, chances, strict=True))
        sums = (f"{sum(chances):.10f}", f"{(2.0**-candidates.code_length).sum():.10f}", f"{worst:.1e}", f"{off:.1e}")
        whole = f"{total_mass(grammar.prices, 1.0):.10f}"
        row(name, words, len(programs), len(mass), len(candidates), *sums, whole)


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


# Speed of enumeration

GRIDS = {2: "..A... ...... ..B... ...... .....A", 4: "..A... C....D ..B... ...C.. .D...A"}
PRIORS = {
    "all forms, 2 features": (2, "Grammar", {}),
    "all forms, 4 features": (4, "Grammar", {}),
    "all forms, 2 features and states": (2, "Grammar", {"states": True}),
    "no memory but of arrival, 4 features": (4, "Grammar", without("visits every sequence within")),
    "counts to 8, 2 features": (2, "Grammar", without("sequence within not and or") | {"horizon": 8}),
    "time and reach, 2 features and states": (2, "Grammar", PLAIN | {"states": True}),
    "weights of 4 features": (4, "SparseWeights", {}),
    "weights of 2 features and states": (2, "SparseWeights", {"states": True}),
    "stack machine, 4 features": (4, "StackMachine", {}),
    "stack machine, 2 features and states": (2, "StackMachine", {"states": True}),
}


def speed(names=tuple(PRIORS), first=14, most_rows=10**6, most_seconds=30):
    header("prior, bits, rows, programs, hypotheses, seconds, rows / s, programs / s, MB, MB before")
    for name in names:
        for max_bits in range(first, 60, 2):
            command = [sys.executable, __file__, "--child", json.dumps([name, max_bits])]
            done = subprocess.run(command, capture_output=True, text=True)
            found = json.loads(done.stdout) if done.returncode == 0 else sys.exit(done.stderr)
            if isinstance(found, str):
                print(f"{name}, {max_bits} bits: {found}")
                break
            rows, programs, hypotheses, seconds, *memory = found
            rates = (f"{number / seconds:.0f}" for number in (rows, programs))
            row(name, max_bits, rows, f"{programs:.0f}", hypotheses, f"{seconds:.2f}", *rates, *map(round, memory))
            if rows >= most_rows or seconds > most_seconds:
                break


def enumerated(name, max_bits):
    """Rows, programs, hypotheses, seconds, megabytes at most and before; or the words by which it was refused."""
    features, prior, options = PRIORS[name]
    prior, before, counts = getattr(us, prior), megabytes(), []

    def watch(owner, function, rows_and_programs):
        plain = getattr(owner, function)

        def watched(*given):
            result = plain(*given)
            result = list(result) if function == "_sums" and owner is enumeration else result
            counts.append(rows_and_programs(given, result))
            return result

        setattr(owner, function, watched)

    watch(enumeration, "_sums", lambda _, sums: (sum(len(s.bits) for s in sums), sum(s.number.sum() for s in sums)))
    watch(us.SparseWeights, "_sums", lambda _, sums: (len(sums[-1]), len(sums[-1])))
    watch(stack_search.Machine, "extended", lambda given, _: (len(given[2]), len(given[2])))
    try:
        found, seconds = timed(lambda: prior(us.gridworld(GRIDS[features]), **options).enumerate(max_bits))
    except us.InputError as error:
        return str(error)
    return *map(float, np.sum(counts, axis=0)), len(found), seconds, megabytes(), before


def megabytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# Markov moves against enumeration


def chains(temperatures=(8, 1), cases=None, num_samples=4000, num_warmup=1000):
    warnings.simplefilter("ignore", us.ConvergenceWarning)
    header("posterior, bits, temperatures, hypotheses, variation, if independent, share of draws, seconds, R-hat, ESS")
    for (name, grammar, log_likelihood, max_bits), number in itertools.product(cases or posteriors(), temperatures):
        sizes = dict(num_temperatures=number, num_samples=num_samples, num_warmup=num_warmup)
        found, seconds = timed(partial(us.sample_programs, KEY, grammar, log_likelihood, **sizes))
        candidates = grammar.enumerate(max_bits)
        exact = 2.0**-candidates.code_length * np.exp(log_likelihood(candidates.payoffs))
        within = np.flatnonzero(found.code_length <= max_bits + 1e-9)
        programs = [*map(grammar.parse, candidates.names), *(found.programs[i] for i in within)]
        group, share = grouped(grammar.world, programs), found.share[within].sum()
        exact = np.bincount(group[: len(exact)], exact / exact.sum(), group.max() + 1)
        drawn_share = np.bincount(group[len(candidates) :], found.share[within] / share, group.max() + 1)
        variation = 0.5 * np.abs(drawn_share - exact).sum()
        # Half the mean deviations of binomial shares, as if they were normal.
        noise = np.sqrt(exact * (1 - exact) / (2 * math.pi * share * found.draws.size)).sum()
        rhat, ess = found.diagnostics["max_rhat"], found.diagnostics["min_ess"]
        shown = (f"{variation:.4f}", f"{noise:.4f}", f"{share:.3f}", f"{seconds:.1f}", f"{rhat:.3f}", f"{ess:.0f}")
        row(name, max_bits, number, len(candidates), *shown)


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


if __name__ == "__main__":
    main()

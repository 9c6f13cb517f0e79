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
import inspect
import itertools
import json
import math
import os
import re
import subprocess
import sys
import warnings
from collections import defaultdict
from functools import partial
from pathlib import Path

os.environ["UTILISCOPE_CACHE"] = "off"

import numpy as np
from intelligence_cases import KEY, load, timed
from utilities_cases import LOOP, PQ, Worth, drawn_programs, linked, posteriors, sequences, without

import utiliscope as us
from utiliscope.chains import chains as chains_of
from utiliscope.chains import used_automata
from utiliscope.payoffs import stack_payoffs
from utiliscope.utilities import enumeration, stack_search
from utiliscope.utilities import forms as form_table
from utiliscope.utilities.code import total_mass
from utiliscope.utilities.equality import grouped


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
    header("world, words, programs, hypotheses, enumerated, mass, enumerated, masses differ by, chances by, all")
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
                row(name, max_bits, found)
                break
            rows, programs, hypotheses, seconds, *memory = found
            shown = (f"{rows:.0f}", f"{programs:.0f}", hypotheses, f"{seconds:.2f}")
            row(name, max_bits, *shown, *map(round, (rows / seconds, programs / seconds, *memory)))
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
            result = list(result) if inspect.isgenerator(result) else result
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
    return *np.sum(counts, axis=0).tolist(), len(found), seconds, megabytes(), before


def megabytes():
    """At most so far, on Linux. `ru_maxrss` is not less than what the parent held when it started this process."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024


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


if __name__ == "__main__":
    main()

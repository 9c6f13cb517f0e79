"""Recordings of one shape read together under vmap, against one by one: `python benchmarks/vmapped.py [NUMBER]`.

NUMBER recordings (16) of 10 episodes in a 5x5 grid, of agents from optimal to random, and candidate utilities: reach a
corner, the middle, or stay on the diagonal. Their evidence for two laws, as the suite's method "intelligence" has it:
one by one by the compiled moves, in as many threads as there are processors (`posterior_bits`), and all together in
JAX on what it runs on (`posterior_bits_together`), which is what the suite does on accelerators. Work is seconds times
squared standard error: what equally precise answers cost. How far they are apart, in standard errors, is shown, too.
"""

import os
import sys
import time

os.environ["UTILISCOPE_CACHE"] = "off"

import jax
import numpy as np
import pandas as pd
from markdown_table import print_table

import utiliscope as us
from utiliscope.marginal import LawTables, evidence
from utiliscope.payoffs import as_payoffs, stack_payoffs
from utiliscope.posterior_bits import gauge, posterior_bits
from utiliscope.posteriors_together import posterior_bits_together

PARTICLES, GOAL, STEPS = 128, 24, 20
LAWS = [us.ExponentialLaw(0.5), us.ExponentialLaw(0.8)]


def recordings(world, number: int):
    """`[J, S, A]` counts of actions of agents that are optimal but for a share of random actions, 0 to 1."""
    random = np.random.default_rng(0)
    best, transition = np.asarray(us.optimal_policy(world, np.eye(25)[GOAL])), np.asarray(world.transition)
    counts = np.zeros((number, 25, 4))
    for j, share in enumerate(np.linspace(0, 1, number)):
        policy = (1 - share) * best + share / 4
        for state in random.integers(25, size=10):
            for _ in range(STEPS):
                action = random.choice(4, p=policy[state])
                counts[j, state, action] += 1
                state = random.choice(25, p=transition[state, action])
    return counts


def main(number: int) -> None:
    world = us.gridworld(["....."] * 5, slip=0.1, discount=0.9)
    payoffs = stack_payoffs([as_payoffs(world, one) for one in (np.eye(25)[GOAL], np.eye(25)[12], np.eye(5).ravel())])
    counts, tables = recordings(world, number), LawTables(LAWS)
    keys, options = jax.random.split(jax.random.key(0), number), dict(tables=tables, num_particles=PARTICLES)
    measure = gauge(jax.random.key(1), world, payoffs)
    ways = {
        "one by one": lambda some: [posterior_bits(keys[j], counts[j], measure, **options) for j in some],
        "vmap": lambda some: posterior_bits_together(keys[: len(some)], counts[: len(some)], measure, **options),
    }
    rows, ends = [], []
    for name, read in ways.items():
        started = time.perf_counter()
        read(range(1))
        first, started = time.perf_counter() - started, time.perf_counter()
        found = [evidence(bits, tables) for bits in read(range(number))]
        seconds = time.perf_counter() - started
        ends.append(np.array([(one.log_evidence, one.std_error) for one in found]))
        error = float(np.sqrt(np.mean(ends[-1][:, 1] ** 2)))
        rows.append({"recordings": name, "seconds": round(seconds, 2), "error, nats": round(error, 3)})
        rows[-1] |= {"work": round(seconds * error**2, 3), "first of all": round(first, 2)}
    print_table(pd.DataFrame(rows))
    apart = (ends[0][:, 0] - ends[1][:, 0]) / np.hypot(ends[0][:, 1], ends[1][:, 1])
    print(f"\nJAX on {jax.default_backend()}. Work under vmap: {rows[1]['work'] / rows[0]['work']:.2g} times.")
    print(f"Apart by {np.sqrt(np.mean(apart**2)):.2f} standard errors (r.m.s.), {abs(apart).max():.2f} at most.")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 16)

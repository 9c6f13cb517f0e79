"""Recordings of one shape read together under vmap, against one by one: `python benchmarks/vmapped.py [NUMBER]`.

NUMBER recordings (16) of 10 episodes in a 5x5 grid, of agents from optimal to random. The policies that each allows,
Dirichlet(1 + counts), are split from the bulk to 70 % of the best value for one goal, and bits are read at 60 %: what
the suite's method "intelligence" does for each recording and candidate. "one by one" are the compiled moves that it
uses, in two threads; "vmap" is splitting in JAX, one compiled call for all recordings. They kill other shares at a
level; work is seconds times squared error, which is what equally precise answers cost. How far they are apart is shown,
too: the moves in JAX walk on log odds, and do not mix as well where many decisions make rows narrow.
"""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

os.environ["UTILISCOPE_CACHE"] = "off"

import equinox as eqx
import jax
import numpy as np
import pandas as pd
from markdown_table import print_table
from threadpoolctl import threadpool_limits

import utiliscope as us
from utiliscope.chains import memoryless_chains
from utiliscope.curve_engines import _row_run
from utiliscope.curves import curve_of_levels
from utiliscope.payoffs import as_payoffs
from utiliscope.row_splitting import WholeInverses, draw_rows, row_problem
from utiliscope.splitting import split
from utiliscope.traced_splitting import levels_of

PARTICLES, REACH, MOST_BITS, GOAL, STEPS = 128, 0.7, 120.0, 24, 20
TOLERANCE = 1e-9
READ_AT = 0.6  # of the best value: bits are compared there


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


def one_by_one(world, payoffs, priors, best):
    """The ends of the curves, as the suite has them."""
    available = np.asarray(world.available)

    def one(j):
        random = np.random.default_rng(j)
        problem = row_problem(world, payoffs, priors[j])
        policy = draw_rows(random, priors[j], available, PARTICLES)
        ends = dict(tolerance=TOLERANCE, best=best, reach=REACH, stop_at=np.inf, max_bits=MOST_BITS)
        run = split(WholeInverses(random, problem, policy, 1), random, **ends)
        return curve_of_levels(run, TOLERANCE, best, False)

    with threadpool_limits(1, "blas"), ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(one, range(len(priors))))


def under_vmap(world, payoffs, priors, best):
    """All recordings in one call, compiled before: what runs it, and the seconds of compiling."""
    goes_on, paid = memoryless_chains(world, payoffs)
    ends = (goes_on.astype(float), paid, np.float64(TOLERANCE), np.float64(best))

    def one(key, concentration):
        prior = eqx.tree_at(lambda prior: prior.concentration, priors[0], concentration)
        return _row_run(world, prior, (PARTICLES, 1, REACH, np.inf, MOST_BITS))(key, *ends)

    keys = jax.random.split(jax.random.key(0), len(priors))
    rows = np.stack([prior.concentration for prior in priors])
    started = time.perf_counter()
    compiled = jax.jit(jax.vmap(one)).lower(keys, rows).compile()
    seconds = time.perf_counter() - started

    def run():
        found = jax.device_get(compiled(keys, rows))
        every = (levels_of(jax.tree.map(lambda x, j=j: x[j], found)) for j in range(len(priors)))
        return [curve_of_levels(levels, TOLERANCE, best, False) for levels in every]

    return run, seconds


def main(number: int) -> None:
    jax.config.update("jax_enable_x64", True)
    world = us.gridworld(["....."] * 5, slip=0.1, discount=0.9)
    payoffs = as_payoffs(world, np.eye(25)[GOAL])
    best = float(us.expected_utility(world, us.optimal_policy(world, np.eye(25)[GOAL]), np.eye(25)[GOAL]))
    priors = [us.Dirichlet(1.0 + counts) for counts in recordings(world, number)]
    together, compiling = under_vmap(world, payoffs, priors, best)
    rows, ends = [], []
    one_by_one(world, payoffs, priors[:1], best)  # compiled, or read from where it is kept
    for name, run in (("one by one", lambda: one_by_one(world, payoffs, priors, best)), ("vmap", together)):
        started = time.perf_counter()
        curves = run()
        seconds = time.perf_counter() - started
        entries = ("log2_prob", "log2_error")
        end = np.array([[np.interp(READ_AT * best, one["values"], one[entry]) for entry in entries] for one in curves])
        ends.append(end)
        error = float(np.sqrt(np.mean(end[:, 1] ** 2)))
        rows.append({"recordings": name, "seconds": round(seconds, 2), "error, bits": round(error, 3)})
        rows[-1] |= {"work": round(seconds * error**2, 3)}
    print_table(pd.DataFrame(rows))
    # In the bulk a single particle decides, and none states an error.
    rare = [end[:, 0] < -1 for end in ends]
    apart = (ends[0][:, 0] - ends[1][:, 0]) / np.hypot(ends[0][:, 1], ends[1][:, 1])
    apart = apart[rare[0] & rare[1]]
    print(f"\ncompiling under vmap: {compiling:.1f} s. Work under vmap: {rows[1]['work'] / rows[0]['work']:.1f} times.")
    spread, most = np.sqrt(np.mean(apart**2)), abs(apart).max()
    print(f"Apart, beyond a bit, by {spread:.2f} standard errors (r.m.s.), {most:.2f} at most.")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 16)

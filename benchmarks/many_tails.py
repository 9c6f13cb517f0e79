"""The tails of NUMBER utilities in a 5x5 grid among policies of PRIOR, with PARTICLES policies, stored in FILE.

    python benchmarks/many_tails.py NUMBER PRIOR PARTICLES FILE

A process of its own for `intelligence.py --only many`, which times it from start to end.
"""

import os
import sys

os.environ["UTILISCOPE_CACHE"] = "off"

import jax
import numpy as np

import utiliscope as us
from utiliscope.payoffs import as_payoffs, stack_payoffs


def grid_and_utilities(number):
    """A grid of 5x5, and payoffs of single goals, then of 1 at one state and 0.25, 0.5 or 0.75 at another, from a fixed
    list."""
    world = us.gridworld(["....."] * 4 + ["....G"], slip=0.1, discount=0.9)
    singles = list(np.eye(25))
    random = np.random.default_rng(0)
    while len(singles) < number:
        one, other = random.choice(25, 2, replace=False)
        singles.append(np.eye(25)[one] + random.choice([0.25, 0.5, 0.75]) * np.eye(25)[other])
    return world, stack_payoffs([as_payoffs(world, one) for one in singles[:number]])


def main(number, prior, particles, path):
    world, stack = grid_and_utilities(int(number))
    key, policy_prior = jax.random.key(0), getattr(us, prior)()
    tail = us.value_tail(key, world, stack, policy_prior=policy_prior, num_particles=int(particles))
    us.save_value_tail(tail, path)


if __name__ == "__main__":
    main(*sys.argv[1:])

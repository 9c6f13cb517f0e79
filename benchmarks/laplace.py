"""Bits by Laplace's method against splitting, on the 5x5 grid (slip 0.1, discount 0.9): `python benchmarks/laplace.py`.

Utilities pay Cauchy weights for states, some of them one state far more than the others. The error of splitting with
2048 policies is beside the difference; times are of one evaluation, compiled, and of one tail up to 60 bits.
"""

import os
import time

os.environ["UTILISCOPE_CACHE"] = "off"

import jax
import numpy as np
import pandas as pd
from markdown_table import print_table

import utiliscope as us

HEIGHTS = (2, 5, 10, 20, 40, 60)
XI = us.Dirichlet(1.0)


def seconds(function, *arguments, repeats: int = 50) -> float:
    jax.block_until_ready(function(*arguments))
    started = time.perf_counter()
    for _ in range(repeats):
        found = function(*arguments)
    jax.block_until_ready(found)
    return (time.perf_counter() - started) / repeats


def main() -> None:
    jax.config.update("jax_enable_x64", True)
    world = us.gridworld(["....."] * 5, slip=0.1, discount=0.9)
    random = np.random.default_rng(0)
    rewards = random.standard_cauchy((12, 25))
    rewards[::2, 24] = 30.0
    bits = jax.jit(lambda reward, value: us.laplace_bits(world, reward, value, policy_prior=XI))
    gradient = jax.jit(jax.grad(lambda reward, value: us.laplace_bits(world, reward, value, policy_prior=XI), (0, 1)))
    apart, errors, taken = [], [], []
    for index, reward in enumerate(rewards):
        started = time.perf_counter()
        settings = dict(policy_prior=XI, num_particles=2048, max_bits=float(max(HEIGHTS)) + 1)
        tail = us.value_tail(jax.random.key(index), world, reward, **settings)
        taken.append(time.perf_counter() - started)
        values = np.interp(HEIGHTS, -tail.log2_prob, tail.values)
        apart.append([float(bits(reward, value)) - height for value, height in zip(values, HEIGHTS, strict=True)])
        errors.append([float(tail.std_error(value)) for value in values])
    apart = np.array(apart)
    rows = {
        "bits": HEIGHTS,
        "mean difference": apart.mean(0).round(2),
        "least": apart.min(0).round(2),
        "most": apart.max(0).round(2),
        "error of splitting": np.mean(errors, 0).round(2),
    }
    print_table(pd.DataFrame(rows))
    one, with_gradient = seconds(bits, rewards[0], values[0]), seconds(gradient, rewards[0], values[0])
    print(f"\n{1e3 * one:.1f} ms a value, {1e3 * with_gradient:.1f} ms a gradient; {np.mean(taken):.1f} s a tail")


if __name__ == "__main__":
    main()

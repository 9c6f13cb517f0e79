"""Weights of 25 states on a 5x5 grid, from episodes of a near-optimal agent.

    python benchmarks/weights.py [EPISODES [ACCEPT]]

The agent goes to a corner, with 10 % random actions, in episodes of 20 steps (slip 0.1, discount 0.9). What is wanted:
R-hat below 1.01 and an effective sample size above 400 for all weights, the policy and the intelligence, within three
minutes on two cores, compiling and all rounds included. ACCEPT is the share of proposals that NUTS aims to accept, 0.65
if not given: 0.8, the default of `fit`, makes more and shorter steps.
"""

import os
import sys
import time

os.environ["UTILISCOPE_CACHE"] = "off"

import arviz as az
import jax
import numpy as np
import pandas as pd
from markdown_table import print_table
from utiliscope.models.weights import weights as weights_program

import utiliscope as us
from utiliscope.atlas_inference import sample_weights

GOAL = 24
SETTINGS = dict(num_warmup=200, num_samples=1400, target_accept=0.65)


def recorded(world, episodes: int, seed: int = 0):
    """`[S, A]` counts of actions."""
    random = np.random.default_rng(seed)
    with jax.enable_x64(True):
        best = np.asarray(us.optimal_policy(world, np.eye(25)[GOAL]))
    policy, transition, counts = 0.9 * best + 0.1 / 4, np.asarray(world.transition), np.zeros((25, 4))
    for _ in range(episodes):
        state = random.integers(25)
        for _ in range(20):
            action = random.choice(4, p=policy[state])
            counts[state, action] += 1
            state = random.choice(25, p=transition[state, action])
    return counts


def worst(values):
    """Highest R-hat and least effective sample size of `[chains, draws, ...]`; what is constant has neither."""
    flat = values.reshape(*values.shape[:2], -1)
    flat = flat[..., flat.std((0, 1)) > 1e-12]
    return float(np.max(az.rhat(flat))), float(np.min(az.ess(flat)))


def table(episodes: int, **settings):
    world = us.gridworld(["....."] * 5, slip=0.1, discount=0.9)
    weights = us.FeatureWeights(world, states=True)
    started = time.perf_counter()
    counts = recorded(world, episodes)
    samples, stats, told = sample_weights(
        jax.random.key(0), weights_program, counts, world, weights, policy_prior=us.Dirichlet(1.0), **settings
    )
    rows = {"seconds": time.perf_counter() - started}
    rows |= {f"seconds: {part}": value for part, value in told["seconds"].items()}
    rows |= {"rounds": told["rounds"], "settled": told["settled"], "splitting runs": told["runs"]}
    for name in ("weights", "intelligence", "policy"):
        rows[f"R-hat, {name}"], rows[f"ESS, {name}"] = worst(samples[name])
    bits = samples["intelligence"]
    rows |= {"bits": f"{bits.mean():.1f} ± {bits.std():.1f}", "steps of a draw": stats["n_steps"].mean()}
    rows |= {"divergences": int(stats["diverging"].sum()), "beyond the atlas": told["share_beyond"]}
    rows |= {"correction leaves, bits": told["left_over"]}
    rows |= {"k-hat": told["k_hat"]}
    rows |= {"discrepancy, bits": f"{told['discrepancy']:.2f} ± {told['discrepancy_error']:.2f}"}
    median = np.median(samples["weights"].reshape(-1, 25), axis=0)
    rows |= {"goal's weight (median)": median[GOAL], "next largest": np.delete(median, GOAL).max()}
    return rows


def _shown(value) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        SETTINGS["target_accept"] = float(sys.argv[2])
    rows = table(int(sys.argv[1]) if len(sys.argv) > 1 else 3, **SETTINGS)
    print_table(pd.DataFrame({"figure": list(rows), "value": [_shown(value) for value in rows.values()]}))

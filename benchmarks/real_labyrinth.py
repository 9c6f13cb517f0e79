"""Mice in a maze, held out: bits a decision on the test clips of Ashwood et al. (2022), over their four coded actions.

Left, right, back, and stay, which is how their clips say that nothing changes. What is scored is a table of P(a | s)
learned from the training clips: ours is the mean policy over posterior draws. A node's unavailable moves (left and
right at an end, back at the entrance) are known to our models; the published ones code them as moves that stay.

candidates: policies from Dirichlet rows, made likelier by their intelligence for what mice may be after (water, home,
    both, the ends of the maze); the same rows without that law are the smoothed table.
boltzmann, maxent: a reward for each of the 127 nodes, planned with a discount of 0.9; the most probable ones.

Reference: Ashwood, Jha, Pillow (2022), Dynamic inverse reinforcement learning for characterizing animal behavior.
"""

import json
import time
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pandas as pd
from markdown_table import print_table
from scipy.optimize import minimize

import utiliscope as us
from utiliscope.action_values import log_boltzmann, optimal_action_values, soft_action_values
from utiliscope.planned_actions import log_likelihood

GROUPS = ("restricted", "unrestricted")
NODES, WATER, HOME, ENDS = 127, 116, 0, 63
DISCOUNT = 0.9
CONCENTRATIONS = (0.1, 1.0)
PLANNED = ("boltzmann, 127 rewards", "maxent, 127 rewards")
SCALE = 3.0  # of the normal prior of a reward
SLOWLY = 10  # times the draws: a law that is shared by all nodes mixes slowly
# Bits a decision, of the data's README: read from saved arrays of the authors.
PUBLISHED = {
    "MaxEnt": (-1.767, -1.565),
    "DeepMaxEnt": (-1.708, -1.558),
    "DIRL, 1 map": (-0.876, -1.155),
    "DIRL, 2 maps": (-0.827, -1.141),
    "DIRL, 3 maps": (-0.821, -1.144),
    "DIRL, 4 maps": (-0.821, -1.145),
    "uniform over available moves": (-1.677, -1.705),
    "table P(a | s)": (-0.907, -0.871),
}


def tell(folder, options):
    rows = pd.read_csv(folder / "dirl_clips.csv.gz")
    world = maze(folder)
    table = {f"{name} (published)": list(figures) for name, figures in PUBLISHED.items()}
    seconds = []
    for group in GROUPS:
        chosen = rows[rows.group == group]
        train, test = (chosen[chosen.split == split] for split in ("train", "test"))
        counts = counted(train)
        table.setdefault("uniform over available moves", []).append(bits(smoothed(0 * counts, world, 1.0), test))
        for concentration in CONCENTRATIONS:
            name = f"Dirichlet({concentration}) rows, no law"
            table.setdefault(name, []).append(bits(smoothed(counts, world, concentration), test))
        work = {name: (fitted, train, world, one, SLOWLY * options.draws) for name, one in programs(world).items()}
        work |= {name: (planned, counts, world, name == "maxent, 127 rewards") for name in PLANNED}
        for name, (function, *inputs) in work.items():
            started = time.perf_counter()
            policy, told = function(*inputs)
            table.setdefault(name, []).append(bits(policy, test))
            seconds.append(f"{group}, {name}: {time.perf_counter() - started:.0f} s, {told}")
            print(seconds[-1], f"{table[name][-1]:.4f}", flush=True)
    found = pd.DataFrame([{"method": name} | dict(zip(GROUPS, row, strict=True)) for name, row in table.items()])
    print()
    print_table(found, digits=4)


def maze(folder):
    """The binary maze with a move that stays; state k is node k of the paper."""
    node = np.arange(NODES)
    moves = json.loads((folder / "environment.json").read_text())["next_state"]
    # Which child is on the left is up to the node. The cage, beyond the entrance, is left out as in the clips.
    following = np.column_stack([np.array(moves)[:NODES, :3], node])
    following[HOME, 2] = -1
    available = following >= 0
    transition = np.zeros((NODES, 4, NODES))
    state, action = np.nonzero(available)
    transition[state, action, following[state, action]] = 1
    features = {"water": node == WATER, "home": node == HOME, "ends": node >= ENDS}
    return us.world_model(transition, node == HOME, DISCOUNT, available=available, features=features)


def counted(rows):
    counts = np.zeros((NODES, 4))
    np.add.at(counts, (rows.node, rows.action_dirl), 1)
    return counts


def smoothed(counts, world, concentration):
    """`[S, A]` mean policy under Dirichlet rows over the available actions."""
    raised = np.where(world.available, counts + concentration, 0.0)
    return raised / raised.sum(-1, keepdims=True)


def bits(policy, rows):
    """Mean log2 probability of the actions taken."""
    return float(np.log2(policy[rows.node, rows.action_dirl]).mean())


def programs(world):
    grammar = us.Grammar(world)
    utilities = ("time(water)", "time(home)", "time(water) + time(home)", "time(ends)")
    candidates = us.candidate_set(world, {name: grammar.parse(name).payoffs(world) for name in utilities})
    return {
        "candidates, Dirichlet(0.1) rows": dict(
            program="candidates",
            candidates=candidates,
            policy_prior=us.Dirichlet(0.1),
            intelligence_law=us.ExponentialLaw(dist.Uniform(0.0, 1.0)),
            num_particles=64,
            tail_bits=100.0,
        )
    }


def planned(counts, world, soft):
    """`[S, A]` policy of an agent that plans for rewards of the nodes: `models/maxent.py` if soft, else `boltzmann.py`.

    The most probable rewards under a normal prior, in units of the temperature, by their gradient through planning.
    """
    with jax.enable_x64(True):
        counts = jnp.asarray(counts)

        def log_policy(reward):
            payoff = jnp.broadcast_to(reward[:, None], counts.shape)
            q = soft_action_values(world, payoff, 1.0) if soft else optimal_action_values(world, payoff)
            return log_boltzmann(q, 1.0)

        def cost(reward):
            return (reward**2).sum() / (2 * SCALE**2) - log_likelihood(counts, log_policy(reward))

        slope = jax.jit(jax.value_and_grad(cost))

        def both(reward):
            value, gradient = slope(jnp.asarray(reward))
            return float(value), np.asarray(gradient, float)

        found = minimize(both, np.zeros(NODES), jac=True, method="L-BFGS-B", options={"maxiter": 200})
        return np.exp(np.asarray(log_policy(jnp.asarray(found.x)))), f"{found.nfev} plans, {found.message}"


def fitted(rows, world, settings, num_draws):
    """`[S, A]` mean policy of a program's posterior given training clips, and how it went."""
    steps = pd.DataFrame({"episode": rows["clip"], "t": rows.t, "state": rows.node, "action": rows.action_dirl})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", us.ConvergenceWarning)
        posterior = us.fit(
            us.read_behaviour(steps, world),
            world,
            num_warmup=num_draws,
            num_samples=num_draws,
            num_chains=2,
            prior_predictive=False,
            **settings,
        )
    group = posterior["posterior"]
    told = f"R-hat {group.attrs['max_rhat']:.3f}, least ESS {group.attrs['min_ess']:.0f}"
    told += f", {group.attrs['num_divergences']} divergent"
    if "beta" in group:
        told += f", beta {float(group['beta'].mean()):.2f} ± {float(group['beta'].std()):.2f}"
        best = us.utility_table(posterior).iloc[0]
        told += f", {best.utility} {best.probability:.2f} at {best.intelligence:.1f} bits"
    return group["policy"].values.mean((0, 1)), told

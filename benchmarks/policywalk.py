"""PolicyWalk in plain NumPy, and its seconds per effective sample beside NUTS over the same posterior.

    python benchmarks/policywalk.py [--sizes 3 6 12] [--seconds 40 100 400] [--deltas 1 5]

World: N x N grid, slip 0.1, discount 0.9. The upper right corner pays 10, the upper half of the middle column -30, all
else -1. A Boltzmann agent of temperature 1 makes 50 decisions in episodes of 10 from random states. Both samplers know
the temperature, and have a prior Normal(0, 10) over the reward of each state. Effective samples are ArviZ's bulk ESS
of the worst reward. Both run their chains one after the other on one thread; seconds are those of the processor,
which a busy machine does not stretch.
"""

import argparse
import pathlib
import sys
import time

import arviz as az
import jax
import numpy as np
import pandas as pd
from numpyro import distributions as dist
from numpyro.infer import MCMC, NUTS
from threadpoolctl import threadpool_limits
from utiliscope.models.boltzmann_weights import boltzmann_weights

import utiliscope as us
from utiliscope.payoffs import as_payoffs
from utiliscope.world.transition import links

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from boltzmann import action_values
from markdown_table import print_table

TEMPERATURE, SCALE = 1.0, 10.0
DECISIONS, EPISODE = 50, 10


class PolicyWalk:
    """A random walk over rewards `[S]` on a grid of step `delta`, with the optimal policy carried along.

    The posterior is  prod_s Normal(r_s; 0, scale) prod_t softmax(Q*_r(s_t, .) / temperature)[a_t].  A neighbour
    differs by one step in one reward. Its action values are those of the present policy, by one column of the inverse,
    as long as that policy stays optimal; else they come from policy iteration that begins with it.

    Reference: Ramachandran and Amir (2007), Bayesian Inverse Reinforcement Learning, figure 3.
    """

    def __init__(self, random, world, counts, delta, *, temperature=TEMPERATURE, scale=SCALE):
        self.random, self.delta, self.temperature, self.scale = random, delta, temperature, scale
        self.successors, self.chance = links(world.transition)
        self.discount, self.rows = float(world.discount), np.arange(world.num_states)
        self.dense = np.zeros((world.num_states, world.num_actions, world.num_states))
        np.add.at(self.dense, (self.rows[:, None, None], np.arange(4)[:, None], self.successors[:, None]), self.chance)
        self.visited = np.flatnonzero(counts.sum(-1))
        self.counts = counts[self.visited]
        self.reward = delta * np.round(random.normal(0.0, scale, world.num_states) / delta)
        self.policy, self.inverse, self.value, q = self._optimal(np.zeros(world.num_states, int), self.reward)
        self.log_prob = self._log_prob(self.reward, q)
        self.steps = self.accepted = self.iterations = 0

    def step(self):
        self.steps += 1
        place = self.random.integers(len(self.reward))
        reward = self.reward.copy()
        reward[place] += self.delta if self.random.random() < 0.5 else -self.delta
        policy, inverse = self.policy, self.inverse
        value = self.value + inverse[:, place] * (reward[place] - self.reward[place])
        q = self._action_values(reward, value)
        if (q.max(-1) > q[self.rows, policy] + 1e-9).any():
            self.iterations += 1
            policy, inverse, value, q = self._optimal(policy, reward)
        log_prob = self._log_prob(reward, q)
        if np.log(self.random.random()) < log_prob - self.log_prob:
            self.accepted += 1
            self.reward, self.policy, self.inverse, self.value = reward, policy, inverse, value
            self.log_prob = log_prob

    def _action_values(self, reward, value):
        return reward[:, None] + self.discount * (self.chance @ value[self.successors][:, :, None])[:, :, 0]

    def _optimal(self, policy, reward):
        while True:
            inverse = np.linalg.inv(np.eye(len(reward)) - self.discount * self.dense[self.rows, policy])
            value = inverse @ reward
            q = self._action_values(reward, value)
            better = q.max(-1) > q[self.rows, policy] + 1e-9
            if not better.any():
                return policy, inverse, value, q
            policy = np.where(better, q.argmax(-1), policy)

    def _log_prob(self, reward, q):
        scores = q[self.visited] / self.temperature
        top = scores.max(-1)
        log_sum = top + np.log(np.exp(scores - top[:, None]).sum(-1))
        return (self.counts * (scores - log_sum[:, None])).sum() - (reward**2).sum() / (2 * self.scale**2)


def obstacle_world(size):
    """The grid, and the rewards `[S]` of the demonstrator."""
    rows = [["."] * size for _ in range(size)]
    for row in range(size // 2):
        rows[row][size // 2] = "o"
    rows[0][-1] = "G"
    world = us.gridworld(["".join(row) for row in rows], slip=0.1, discount=0.9)
    return world, np.where(world.features["G"], 10.0, np.where(world.features["o"], -30.0, -1.0))


def demonstrations(random, world, reward, decisions=DECISIONS):
    """`[S, A]` counts of the actions of a Boltzmann agent."""
    q = action_values(world, as_payoffs(world, reward)) / TEMPERATURE
    policy = np.exp(q - q.max(-1, keepdims=True))
    policy /= policy.sum(-1, keepdims=True)
    counts = np.zeros(policy.shape)
    state = 0
    for t in range(decisions):
        state = random.integers(world.num_states) if t % EPISODE == 0 else state
        action = random.choice(4, p=policy[state])
        counts[state, action] += 1
        state = random.choice(world.num_states, p=world.transition[state, action])
    return counts


def walked(seed, world, counts, delta, seconds, num_chains=2):
    """`[chains, draws, S]` rewards, one kept from each sweep of S steps, and the seconds they took."""
    chains, started = [], time.process_time()
    for chain in range(num_chains):
        walk = PolicyWalk(np.random.default_rng([seed, chain]), world, counts, delta)
        kept, begun = [], time.process_time()
        while time.process_time() - begun < seconds / num_chains:
            for _ in range(world.num_states):
                walk.step()
            kept.append(walk.reward)
        chains.append(np.array(kept))
    took = time.process_time() - started
    least = min(map(len, chains))
    # The first fifth is left out as what it takes to forget the start; its time counts.
    return np.stack([one[len(one) - least :][least // 5 :] for one in chains]), took, walk


def sampled(seed, world, counts, num_warmup, num_samples, target_accept, num_chains=2):
    """`[chains, draws, S]` rewards by NUTS, the seconds of warm-up and sampling, those of compiling, and the steps."""
    weights = us.FeatureWeights(
        us.world_model(world.transition, world.initial, world.discount), states=True, prior=dist.Normal(0.0, SCALE)
    )

    def chain(key):
        kernel = NUTS(boltzmann_weights, target_accept_prob=target_accept)
        mcmc = MCMC(kernel, num_warmup=num_warmup, num_samples=num_samples, progress_bar=False)
        mcmc.run(key, counts, world, weights, temperature=TEMPERATURE, extra_fields=("num_steps", "diverging"))
        return mcmc.get_samples()["weights"], mcmc.get_extra_fields()

    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.key(seed), num_chains)
        started = time.process_time()
        compiled = jax.jit(chain).lower(keys[0]).compile()
        compiling = time.process_time() - started
        started = time.process_time()
        found = [jax.block_until_ready(compiled(key)) for key in keys]
        took = time.process_time() - started
    extra = {name: np.stack([one[1][name] for one in found]) for name in found[0][1]}
    return np.stack([one[0] for one in found]), took, compiling, extra


def effective(draws):
    """The least bulk ESS and the greatest R-hat over rewards."""
    data = az.from_dict({"posterior": {"reward": draws}})
    ess = az.ess(data, method="bulk")["reward"].to_numpy()
    rhat = az.rhat(data)["reward"].to_numpy()
    return float(ess.min()), float(rhat.max())


def disagreement(one, other):
    """The greatest difference of posterior means, in standard errors of the difference."""
    errors = [az.mcse(az.from_dict({"posterior": {"x": x}}))["x"].to_numpy() for x in (one, other)]
    return float(np.max(np.abs(one.mean((0, 1)) - other.mean((0, 1))) / np.hypot(*errors)))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[3, 6, 12])
    parser.add_argument("--seconds", type=float, nargs="+", default=[40, 100, 400], help="of PolicyWalk, for each size")
    parser.add_argument("--deltas", type=float, nargs="+", default=[1.0, 5.0], help="steps of PolicyWalk")
    parser.add_argument("--warmup", type=int, default=300, help="of NUTS, for each of 2 chains")
    parser.add_argument("--samples", type=int, default=2000, help="of NUTS, for each of 2 chains")
    parser.add_argument("--accept", type=float, nargs="+", default=[0.8, 0.65, 0.65], help="target of NUTS, each size")
    parser.add_argument("--seed", type=int, default=0)
    settings = parser.parse_args()
    rows = []
    for size, seconds, accept in zip(settings.sizes, settings.seconds, settings.accept, strict=True):
        world, reward = obstacle_world(size)
        counts = demonstrations(np.random.default_rng(settings.seed), world, reward)
        given = settings.warmup, settings.samples, accept
        draws, took, compiling, extra = sampled(settings.seed, world, counts, *given)
        ess, rhat = effective(draws)
        ours = took / ess
        name, grid = f"NUTS to {accept:g}, {extra['num_steps'].mean():.0f} leapfrogs a draw", f"{size} x {size}"
        whole = f"{ours:.4f} ({(took + compiling) / ess:.4f})"
        rows.append([grid, name, f"{took:.1f} + {compiling:.1f}", f"{ess:.1f}", f"{rhat:.3f}", whole, "1", ""])
        print(rows[-1], "divergences", int(extra["diverging"].sum()), flush=True)
        for delta in settings.deltas:
            walk, took, state = walked(settings.seed, world, counts, delta, seconds)
            ess, rhat = effective(walk)
            apart = f"{disagreement(draws, walk):.1f}"
            name = f"PolicyWalk, step {delta:g}, {took / (2 * state.steps) * 1e6:.0f} us a step"
            cost = [f"{took / ess:.4f}", f"{took / ess / ours:.1f}", apart]
            rows.append([grid, name, f"{took:.1f}", f"{ess:.1f}", f"{rhat:.3f}", *cost])
            print(rows[-1], "accepted", state.accepted / state.steps, flush=True)
    header = ["grid", "sampler", "s (+ compiling)", "least bulk ESS", "greatest R-hat"]
    header += ["s per effective sample (with compiling)", "times NUTS", "means apart, standard errors"]
    print("PolicyWalk's effective samples below about 100 are a rough bound: too few to be told.")
    print_table(pd.DataFrame(rows, columns=header))


if __name__ == "__main__":
    with threadpool_limits(1, "blas"):
        main()

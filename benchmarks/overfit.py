"""The overfit goal "act exactly like this" against a simple one, under prices from too cheap to honest.

    python benchmarks/overfit.py [--size 5] [--particles 128]

Someone walks to the corner of a grid, by one of the many best policies: either by the simplest one (right, then down),
or with a coin for each tie. A utility that pays for each state where the same action is taken is maximised by that
policy alone, and earns all bits that there are. What does naming a state and its action cost? Shown are the probability
of "act exactly like this", of `reach(G)`, of no goal, and of a few others, with h(g) = 2^g, among policies that are
uniform and among short decision lists,

- at prices of 0, 1, 2, 4 bits for each pair of state and action (log2 A = 2 bits is what a pair earns at most),
- at the price of a `Grammar` that was given the sets of states where each action was seen, as features: cheap, as
  they were made by looking at the behaviour,
- at the price of `Grammar(world, actions=True, states=True)`: the default.

About five minutes, nearly all of it tails among decision lists.
"""

import argparse
import os

os.environ["UTILISCOPE_CACHE"] = "off"

import jax
import numpy as np

import utiliscope as us
from utiliscope.laws import LN2, log_intelligence_weight
from utiliscope.payoffs import as_payoffs, stack_payoffs

OTHERS = ["0", "reach(G)", "-reach(G)", "time(row)", "time(column)", "-time(row)"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=5)
    parser.add_argument("--particles", type=int, default=128)
    options = parser.parse_args()
    world = grid(options.size)
    priors = {"uniform": us.UniformDeterministic(), "decision lists": us.DecisionLists(continue_probability=0.7)}
    columns = (
        "behaviour, random policies, bits (like this; reach(G)), price, K, like this, reach(G), 0, best of the rest"
    )
    print("|", " | ".join(columns.split(", ")), "|")
    print("|---|---|---|---|---|---|---|---|---|")
    for behaviour, policy in (("right, then down", simple(world)), ("a coin for ties", tossed(world))):
        for name, prior in priors.items():
            tails, bits = earned(world, policy, prior, options.particles)
            shown = f"{behaviour} | {name} | {bits[-1]:.1f}, {bits[OTHERS.index('reach(G)')]:.1f}"
            for price, length in prices(world, policy).items():
                share = posterior(world, tails, bits, length)
                goal, none = share[OTHERS.index("reach(G)")], share[OTHERS.index("0")]
                others = {OTHERS[i]: share[i] for i in range(len(OTHERS)) if OTHERS[i] not in ("0", "reach(G)")}
                rest = max(others, key=others.get)
                last = f"`{rest}` {others[rest]:.3f}"
                print(f"| {shown} | {price} | {length:.1f} | {share[-1]:.3f} | {goal:.3f} | {none:.3f} | {last} |")


def grid(size):
    rows = ["." * size] * (size - 1) + ["." * (size - 1) + "G"]
    world = us.gridworld(rows, discount=0.9, sparse=True)
    row, column = np.divmod(np.arange(size**2), size)
    features = dict(world.features) | {"row": row * 1.0, "column": column * 1.0}
    return us.world_model(
        world.transition, world.initial, world.discount, features=features, state_names=world.state_names,
        action_names=world.action_names,
    )  # fmt: skip


def simple(world):
    """Right, and down in the last column."""
    last = world.features["column"] == world.features["column"].max()
    chosen = np.where(last, world.action_names.index("down"), world.action_names.index("right"))
    return np.eye(world.num_actions)[chosen]


def tossed(world):
    """Right or down by a coin where both are best."""
    column, row = world.features["column"], world.features["row"]
    right = np.random.default_rng(1).random(world.num_states) < 0.5
    right = np.where(column == column.max(), False, np.where(row == row.max(), True, right))
    chosen = np.where(right, world.action_names.index("right"), world.action_names.index("down"))
    return np.eye(world.num_actions)[chosen]


def earned(world, policy, prior, particles):
    """Tails and bits of the policy under the other utilities and, last, under "act exactly like this"."""
    grammar = us.Grammar(world)
    utilities = [grammar.parse(text).payoffs(world) for text in OTHERS] + [as_payoffs(world, policy)]
    stack = stack_payoffs(utilities)
    tails = us.value_tail(jax.random.key(0), world, stack, policy_prior=prior, num_particles=particles)
    with jax.enable_x64(True):
        values = np.array([float(us.expected_utility(world, policy, one)) for one in utilities])
        return tails, np.asarray(tails.bits(values))


def prices(world, policy):
    """Code length of "act exactly like this" at each price."""
    found = {f"{bits} bits a pair": 1.0 + bits * world.num_states for bits in (0, 1, 2, 4)}
    taken = [name for name, used in zip(world.action_names, policy.any(0), strict=True) if used]
    seen = {f"seen_{name}": policy[:, world.action_names.index(name)] == 1 for name in taken}
    told = us.Grammar(world, actions=True, features=seen)
    found["features of the behaviour"] = told.code_length(" + ".join(f"does(seen_{name}, {name})" for name in taken))
    pairs = zip(world.state_names, policy.argmax(-1), strict=True)
    spelt = " + ".join(f'does(@"{state}", {world.action_names[action]})' for state, action in pairs)
    return found | {"default": us.Grammar(world, actions=True, states=True).code_length(spelt)}


def posterior(world, tails, bits, length):
    """Probabilities of all of them, for a policy that is known."""
    grammar = us.Grammar(world, actions=True, states=True)
    code_length = np.array([*(grammar.code_length(text) for text in OTHERS), length])
    with jax.enable_x64(True):
        weight = np.asarray(log_intelligence_weight(us.ExponentialLaw(1.0), tails, bits)) - LN2 * code_length
    weight = np.exp(weight - weight.max())
    return weight / weight.sum()


if __name__ == "__main__":
    main()

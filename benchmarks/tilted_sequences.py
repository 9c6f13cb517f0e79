"""Value tails among uniform action sequences without Markov moves, for worlds without chance and with one start.

    python benchmarks/tilted_sequences.py

Sequences weighted by exp(preference V) are a random walk over pairs of memory and state: what each action is worth,
and ln E exp(preference V) itself, come from one backward recursion, exactly. So independent sequences are drawn at
every rung of a ladder of preferences, from random to best. All their values together, each weighed by the density of
the mixture that it came from (Ferrenberg and Swendsen 1989), are one weighted sample of the uniform sequences.

Some tenths of a second a utility on a slow core, where `us.value_tail` takes several: for hundreds of utilities. As a
program it sets its bits beside those of all 4^8 sequences in a small grid, over 20 seeds.
"""

import dataclasses
import os
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import jax
import numpy as np
from threadpoolctl import threadpool_limits

import utiliscope as us
from utiliscope.chains import joint_chain
from utiliscope.curves import curve_of_constant, curve_of_ladder
from utiliscope.payoffs import stack_payoffs
from utiliscope.planning import tie_tolerance, value_range
from utiliscope.tempering import Ladder
from utiliscope.world.transition import links

# Preferences looked at, in units of the range of values; between two that are drawn from, the symmetric relative
# entropy is the square of the spacing.
_GRID = np.concatenate([[0.0], np.geomspace(0.1, 1e6, 60)])
_SPACING = 0.8


class Walk(NamedTuple):
    """A utility as a walk over `n` nodes, each a memory and a state.

    onward: `[n, A]` the node that an action leads to. available: `[n, A]`. paid: `[n, A]` for a step, `last`: `[n]` for
    the last state. start: the first node. weight: `[H + 1]` discounts.
    """

    onward: np.ndarray
    available: np.ndarray
    paid: np.ndarray
    last: np.ndarray
    start: int
    weight: np.ndarray


def sequence_tails(random, world, payoffs, *, num_sequences=1000) -> us.ValueTail:
    """The value tails of a stack of `Payoffs` among sequences of `world.horizon` actions.

    num_sequences: drawn at each rung; about ten to twenty rungs lie between random and best. The stated errors are up
    to 1.7 times too small below a bit.
    """
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(os.cpu_count()) as pool:
        # Each has random numbers of its own, so that threads do not change the result.
        parts = zip(random.spawn(payoffs.num_utilities), range(payoffs.num_utilities), strict=True)
        curves = list(pool.map(lambda part: _curve(part[0], world, payoffs[part[1]], num_sequences), parts))
    longest = max(len(curve["values"]) for curve in curves)

    def stacked(name):
        return np.stack([np.pad(one[name], (0, longest - one[name].size), mode="edge") for one in curves])

    knots = [stacked(name) for name in ("values", "log2_prob", "log2_error")]
    ends = [np.array([one[name] for one in curves]) for name in ("tolerance", "complete")]
    return us.ValueTail(*knots, *ends, atomic=True)


def _curve(random, world, payoffs, num_sequences):
    worst, best = value_range(world, payoffs)
    tolerance = tie_tolerance(world, payoffs, worst, best)
    if best - worst <= tolerance:
        return curve_of_constant(best, tolerance)
    walk = _walk(world, payoffs)
    grid = _GRID / (best - worst)
    _, mean, _ = _tilted(walk, grid)
    length = np.cumsum(np.sqrt(np.maximum(np.diff(grid) * np.diff(mean), 0.0)), axis=0)
    rungs = np.linspace(0, length[-1], 2 + int(length[-1] / _SPACING))
    preferences = np.interp(rungs, np.append(0.0, length), grid)
    log_z, _, shares = _tilted(walk, preferences)
    values = _drawn(random, walk, shares, num_sequences)
    return curve_of_ladder(Ladder(preferences, values, log_z, np.zeros(len(log_z))), tolerance, best, atomic=True)


def _walk(world, payoffs) -> Walk:
    chain = joint_chain(world, payoffs)
    _, chance = links(world.transition)
    way = chance[chain.state].argmax(-1)
    start = np.flatnonzero(chain.start)
    if len(start) != 1 or (chance.max(-1) < 1)[np.asarray(world.available)].any():
        raise ValueError("exact tilting takes a world without chance, with one start")
    weight = float(world.discount) ** np.arange(world.horizon + 1)
    available = np.asarray(world.available)[chain.state]
    return Walk(np.take_along_axis(chain.onward, way, 1), available, chain.paid, chain.last, int(start[0]), weight)


def _tilted(walk, preferences):
    """ln E exp(preference V) `[R]`, the mean of V `[R]` so weighted, and `H` tables `[R, n, A]` of the cumulative
    shares of actions.
    """
    rise = preferences[:, None]
    log_z, mean = rise * walk.weight[-1] * walk.last, np.tile(walk.weight[-1] * walk.last, (len(rise), 1))
    barred, tables = np.where(walk.available, 0.0, -np.inf), []
    for weight in walk.weight[-2::-1]:
        paid = weight * walk.paid
        logit = rise[..., None] * paid + log_z[:, walk.onward] + barred
        highest = logit.max(-1)
        share = np.exp(logit - highest[..., None])
        total = share.sum(-1)
        log_z = highest + np.log(total / walk.available.sum(-1))
        share /= total[..., None]
        mean = (share * (paid + mean[:, walk.onward])).sum(-1)
        tables.append(np.cumsum(share, -1))
    return log_z[:, walk.start], mean[:, walk.start], tables[::-1]


def _drawn(random, walk, tables, number):
    """`[R, number]` values of sequences drawn at every rung."""
    rung = np.arange(len(tables[0]))[:, None]
    node = np.full((len(rung), number), walk.start)
    value = np.zeros(node.shape)
    for weight, table in zip(walk.weight, tables, strict=False):
        chosen = table[rung, node]
        action = (chosen <= random.random(node.shape)[..., None] * chosen[..., -1:]).sum(-1)
        value += weight * walk.paid[node, action]
        node = walk.onward[node, action]
    return value + walk.weight[-1] * walk.last[node]


def main():
    """Bits at some values of a small world: the mean over seeds and its error, beside what counting says."""
    world = us.gridworld(["..G", ".#.", "b.S"], discount=0.9)
    world = dataclasses.replace(world, horizon=8, initial=np.asarray(world.features["S"]) * 1.0)
    prior, grammar = us.ActionSequences(8), us.Grammar(world)
    choices = (np.indices((4,) * 8).reshape(8, -1).T + 0.5) / 4
    for name in ("reach(G)", "-time(b)", "visits(b, 2) - time(G)", "every(b, 3) + sequence(b, G)", "end(G)"):
        payoffs = grammar.parse(name).payoffs(world)
        stack = stack_payoffs([payoffs])
        with jax.enable_x64(True):
            values = np.sort(jax.jit(jax.vmap(lambda choice, p=payoffs: prior.value(choice, world, p)))(choices))
        tails = [sequence_tails(np.random.default_rng(seed), world, stack) for seed in range(20)]
        for place in (0.5, 0.9, 0.99, 0.999, 1.0):
            value = values[min(int(place * len(values)), len(values) - 1)]
            exact = -np.log2(np.mean(values >= value - 1e-12))
            bits = np.array([float(tail.bits(np.array([value]))[0]) for tail in tails])
            told = np.mean([float(tail.std_error(np.array([value]))[0]) for tail in tails])
            print(
                f"{name:30} exact {exact:7.3f}  found {bits.mean():7.3f} ± {bits.std(ddof=1) / np.sqrt(len(bits)):.3f}"
                f"  a seed's spread {bits.std(ddof=1):.3f}, error as stated {told:.3f}"
            )


if __name__ == "__main__":
    main()

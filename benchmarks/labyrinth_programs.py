"""Utilities with memory in the labyrinth, thirsty and sated: the part `programs` of `labyrinth.py`."""

import dataclasses
import os
import time
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
import pandas as pd
from markdown_table import print_table
from scipy.special import logsumexp
from tilted_sequences import sequence_tails

import utiliscope as us
from utiliscope.achievement import episode_utilities
from utiliscope.laws import LN2, log_intelligence_weight
from utiliscope.payoffs import stack_payoffs

# Left out, as in this tree they are others again: every(p, 2) is time(p) where nobody can stay, visits(p, 1) is
# reach(p), and within 60 moves visits(end_nodes, 32) is time(end_nodes).
PORT = [
    "reach(water_port)",
    "time(water_port)",
    *(f"every(water_port, {n})" for n in (5, 10, 20, 50)),
    *(f"visits(water_port, {n})" for n in (2, 5, 10)),
    "sequence(water_port, home)",
]
EXPLORING = [
    "reach(end_nodes)",
    "time(end_nodes)",
    *(f"every(end_nodes, {n})" for n in (4, 8, 16)),
    *(f"visits(end_nodes, {n})" for n in (2, 4, 8, 16)),
    "sequence(end_nodes, home)",
]
OTHERS = [
    "0",
    "avoid(water_port)",
    "-time(water_port)",
    "avoid(end_nodes)",
    "-time(end_nodes)",
    "time(t_junctions)",
    "-time(t_junctions)",
    "reach(home)",
    "avoid(home)",
    "time(home)",
    "-time(home)",
    "time(level)",
    "-time(level)",
]
PORT_KIND = "the water port"
SHOWN = 20
FEWEST_BOUTS = 10
LAW = us.ExponentialLaw()


def tell_of_programs(world, ending, moves, bouts, *, horizon, particles, tail_bits, policies, sequences, max_bits):
    """Print the tables of both readings.

    world: for the policy reading, and the `moves` of each group in it. ending: the maze whose bouts end at home, for
    the achieved reading, and the `bouts` of each group in it.
    """
    ending = dataclasses.replace(ending, horizon=horizon)
    grammar = us.Grammar(ending)
    started = time.perf_counter()
    chosen = grammar.select(PORT + EXPLORING + OTHERS)
    print(f"\n{len(chosen)} programs of choice: {time.perf_counter() - started:.0f} s for their comparison")
    title = f"achieved reading, {horizon} moves"
    achieved_tables(f"{title}, programs of choice", ending, bouts, chosen, sequences)
    policy_tables("policy reading, programs of choice", world, moves, chosen, particles, tail_bits, policies)
    started = time.perf_counter()
    candidates = grammar.enumerate(max_bits)
    print(f"\n{len(candidates)} hypotheses of up to {max_bits:g} bits: {time.perf_counter() - started:.0f} s")
    achieved_tables(f"{title}, all programs of up to {max_bits:g} bits", ending, bouts, candidates, sequences)


# The two readings


def achieved_tables(title, world, bouts, candidates, num_sequences):
    """What whole bouts achieved, against uniform sequences of moves: the mean of a group, and mouse by mouse."""
    started = time.perf_counter()
    tails = sequence_tails(np.random.default_rng(0), world, candidates.payoffs, num_sequences=num_sequences)
    print(f"\n{title}: {time.perf_counter() - started:.0f} s for the tails")
    for group, behaviour in bouts.items():
        utilities = episode_utilities(behaviour, world, candidates.payoffs)
        log_weight, bits, plain = evidence(tails, *mean_and_error(utilities))
        heading = f"{group}, {title}, one operator"
        print(f"\n{heading} ({len(utilities)} bouts):\n")
        tell(heading, table_of(candidates, log_weight, bits, tail_errors(tails, bits), plain=plain))

        subject = behaviour.table.groupby("episode").subject.first()[[label for label, *_ in behaviour.episodes()]]
        mice = [utilities[subject == mouse] for mouse in subject.unique()]
        mice = [own for own in mice if len(own) >= FEWEST_BOUTS]
        found = [evidence(tails, *mean_and_error(own)) for own in mice]
        log_weight, bits, plain = (np.array(part) for part in zip(*found, strict=True))
        error = bits.std(0, ddof=1) / np.sqrt(len(mice))
        heading = f"{group}, {title}, each mouse an operator, with one utility for all"
        print(f"\n{heading} ({len(mice)} mice; the mean of their bits, and its error):\n")
        tell(heading, table_of(candidates, log_weight.sum(0), bits.mean(0), error, plain=plain.mean(0)))


def mean_and_error(utilities):
    """Of bouts that all begin at home, `[U]` each."""
    return utilities.mean(0), utilities.std(0, ddof=1) / np.sqrt(len(utilities))


def evidence(tails, value, error):
    """`[U]` ln of what bouts say for each utility, its posterior mean intelligence, and g of their mean as it stands.

    The sums of `models/achieved.py`: where a mean over bouts lies between the values of single sequences, the nearest
    speak for it, and the two intelligences differ.
    """
    with jax.enable_x64(True):
        values, bits, log_mass = (np.asarray(part) for part in tails.cells(None, None))
        weigh = jax.vmap(lambda column: log_intelligence_weight(LAW, tails, column), 1, 1)
        weight, plain = np.asarray(weigh(bits)), np.asarray(tails.bits(np.minimum(value, tails.values[:, -1])))
    # What prefers nothing has one value, without an error.
    apart = (values - value[:, None]) / np.where(error > 0, error, 1.0)[:, None]
    log_share = log_mass - apart**2 / 2
    log_share -= logsumexp(log_share, axis=1, keepdims=True)
    log_weight = logsumexp(log_share + weight, axis=1)
    share = np.exp(log_share + weight - log_weight[:, None])
    return log_weight, (share * bits).sum(1), plain


def tail_errors(tails, bits):
    """`[U]` what the tails leave open where they have so many bits."""
    return [np.interp(b, -h, e) for b, h, e in zip(bits, tails.log2_prob, tails.log2_error, strict=True)]


def policy_tables(title, world, moves, candidates, num_particles, tail_bits, num_policies):
    """Policies over nodes against Dirichlet(1) rows.

    The posterior of `models/candidates.py`: 2^-K E[h(g) / Z], the mean over policies that the recording leaves open.
    Each node is left about a hundred times or more, so that draws from them serve; NUTS would solve for every memory
    at every step.
    """
    grammar, random = us.Grammar(world), np.random.default_rng(0)
    payoffs = stack_payoffs([grammar.parse(name).payoffs(world) for name in candidates.names])
    started = time.perf_counter()
    values = {group: operator_values(random, one, world, payoffs, num_policies) for group, one in moves.items()}
    highest = np.concatenate(list(values.values())).max(0)

    def tail(u):
        ends = dict(stop_at=float(highest[u]), reach=1.0, max_bits=tail_bits)
        prior = us.Dirichlet(1.0)
        return us.value_tail(
            jax.random.key(0), world, payoffs[u], policy_prior=prior, num_particles=num_particles, **ends
        )

    valued = time.perf_counter()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        tails = list(pool.map(tail, range(len(candidates))))
    print(f"\n{title}: {valued - started:.0f} s for values, {time.perf_counter() - valued:.0f} s for tails")
    for group, value in values.items():
        rows = [of_policies(one, value[:, u]) for u, one in enumerate(tails)]
        print(f"\n{group}, {title} ({moves[group].num_decisions} moves):\n")
        tell(f"{group}, {title}", table_of(candidates, *np.array(rows).T))


def operator_values(random, behaviour, world, payoffs, number):
    """`[number, U]` values of policies drawn from what the recording leaves open."""
    weight = random.standard_gamma(1.0 + behaviour.counts(), (number, *world.available.shape)) * world.available
    policies = weight / weight.sum(-1, keepdims=True)
    with jax.enable_x64(True):
        value = jax.jit(lambda policy: us.expected_utility(world, policy, payoffs))
        return np.array([value(policy) for policy in policies])


def of_policies(tail, value):
    """ln of the mean of h(g) / Z over policies; mean g, its error, and whether that is a lower bound."""
    with jax.enable_x64(True):
        bits = np.asarray(tail.bits(value))
        weight = np.asarray(log_intelligence_weight(LAW, tail, bits))
        error = np.hypot(np.asarray(tail.std_error(value)).mean(), bits.std(ddof=1) / np.sqrt(len(bits)))
        bound = np.asarray(tail.is_lower_bound(value)).any()
    return logsumexp(weight) - np.log(len(weight)), bits.mean(), error, bound


# What is printed


def table_of(candidates, log_weight, bits, error, beyond=False, plain=None):
    """Utilities by posterior probability; `plain` are the bits of the mean value, in a column of their own."""
    log_prob = log_weight - LN2 * candidates.code_length
    least = np.where(np.broadcast_to(beyond, bits.shape), "≥ ", "")
    columns = {
        "utility": candidates.names,
        "code length": candidates.code_length,
        "intelligence": [f"{a}{b:.2f} ± {e:.2f}" for a, b, e in zip(least, bits, error, strict=True)],
    }
    columns |= {} if plain is None else {"of the mean": plain}
    table = pd.DataFrame(columns | {"probability": np.exp(log_prob - logsumexp(log_prob))})
    return table.sort_values("probability", ascending=False, ignore_index=True)


def tell(title, table):
    """The table, and a sentence on the families of its utilities."""
    print_table(table.head(SHOWN), 3)
    if len(table) > SHOWN:
        print(f"\nand {len(table) - SHOWN} others, together {table.probability[SHOWN:].sum():.3f}")
    kinds = table.utility.map(family)
    masses, parts = table.probability.groupby(kinds).sum().sort_values(ascending=False), []
    for kind, mass in masses.items():
        best = int(np.argmax(kinds == kind))
        parts.append(f"{kind} {mass:.3f} (rank {best + 1}: {table.utility[best]})")
    wanting = table.probability[kinds != "no preference"].sum()
    if wanting > 0:
        parts[-1] += f". Of what prefers anything, the water port has {masses.get(PORT_KIND, 0.0) / wanting:.3f}"
    print(f"\n{title}: {'; '.join(parts)}.")


def family(name):
    """What a utility is about, if it wants it."""
    if name == "0":
        return "no preference"
    if name.startswith(("-", "avoid")) or "not" in name:
        return "anything else"
    return PORT_KIND if "water_port" in name else "exploring" if "end_nodes" in name else "anything else"

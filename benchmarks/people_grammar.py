"""The true reward among all short programs: the part `grammar` of `people.py`."""

import dataclasses
import math
import time
from typing import NamedTuple

import jax
import numpy as np
import pandas as pd
from markdown_table import print_table
from people_rewards import BETAS, CODES, COLOURS, DANGEROUS, HORIZON, normalised
from tilted_sequences import sequence_tails

import utiliscope as us
from utiliscope.achievement import episode_utilities
from utiliscope.laws import LN2, log_intelligence_weight
from utiliscope.utilities.equality import grouped

SHOWN_BETA = 1.0  # of the tables that tell more
KINDS = {"do": "doing", "show": "showing"}
MOST_WINNERS = 10


class Hypotheses(NamedTuple):
    """`U` utilities, and what each of `E` demonstrations says of them.

    names: `U`. code_length: `[U]` bits. value: `[E, U]` achieved. intelligence: `[E, U]` bits. log_weight: `[E, U]`
    ln h(g) / Z, for each law by name: here beta.
    """

    names: list[str]
    code_length: np.ndarray
    value: np.ndarray
    intelligence: np.ndarray
    log_weight: dict[float, np.ndarray]

    def log_prob(self, law, simplicity=1.0):
        """`[E, U]` log posterior, each demonstration for itself."""
        return normalised(self.log_weight[law] - simplicity * LN2 * self.code_length)


def whole_grammar(behaviour, world, first, *, max_bits, num_sequences):
    """Print what mass falls on the true reward among all programs of up to `max_bits` bits, and what beats it."""
    laws = {beta: us.ExponentialLaw(beta) for beta in BETAS}
    short, true, both, places = all_programs(behaviour, world, laws, max_bits=max_bits, num_sequences=num_sequences)
    which, condition = first.reward_code.map(CODES.index).to_numpy(), first.condition.to_numpy()
    print_scores(true, both, places, which, condition)
    print_rewards(both, places, which, condition, len(short.names))
    print_winners(both, places[which], condition)
    print_pooled(both, places, which, condition)


def all_programs(behaviour, world, laws, *, max_bits, num_sequences):
    """The programs of up to `max_bits` bits, the true rewards, both together, and `[8]` the place of each true one."""
    # "yellow" is the tile of the goal alone: a second name for it.
    features = {name: values for name, values in world.features.items() if name != "yellow"}
    world = dataclasses.replace(world, horizon=HORIZON, features=features)
    grammar = us.Grammar(world)
    started = time.perf_counter()
    candidates = grammar.enumerate(max_bits)
    enumerated = time.perf_counter()
    short = hypotheses(behaviour, world, candidates, num_sequences, laws)
    programs, bits = zip(*(written(grammar, dangerous) for dangerous in DANGEROUS), strict=True)
    rewards = grammar.select(programs).select(programs)
    rewards = us.Candidates(rewards.names, np.array(bits), rewards.payoffs)
    true = hypotheses(behaviour, world, rewards, num_sequences, laws)
    found = [place_of(grammar, short, true, u) for u in range(len(CODES))]
    print(
        f"{len(candidates)} hypotheses of up to {max_bits:g} bits, {found.count(None)} true rewards that are longer; "
        f"{enumerated - started:.0f} s for the list, {time.perf_counter() - enumerated:.0f} s for values and tails"
    )
    both = joined(short, true, [u for u, place in enumerate(found) if place is None])
    places = np.array([both.names.index(true.names[u]) if place is None else place for u, place in enumerate(found)])
    return short, true, both, places


def hypotheses(behaviour, world, candidates, num_sequences, laws) -> Hypotheses:
    tails = sequence_tails(np.random.default_rng(0), world, candidates.payoffs, num_sequences=num_sequences)
    value = np.minimum(episode_utilities(behaviour, world, candidates.payoffs), tails.values[:, -1])
    with jax.enable_x64(True):
        bits = jax.vmap(tails.bits)(value)
        weights = {
            name: jax.vmap(lambda g, law=law: log_intelligence_weight(law, tails, g))(bits)
            for name, law in laws.items()
        }
    weights = {name: np.asarray(weight) for name, weight in weights.items()}
    return Hypotheses(candidates.names, candidates.code_length, value, np.asarray(bits), weights)


def joined(short, true, some) -> Hypotheses:
    """All of the short ones, and some of the true ones."""
    return Hypotheses(
        [*short.names, *(true.names[u] for u in some)],
        np.append(short.code_length, true.code_length[some]),
        np.hstack([short.value, true.value[:, some]]),
        np.hstack([short.intelligence, true.intelligence[:, some]]),
        {name: np.hstack([short.log_weight[name], true.log_weight[name][:, some]]) for name in short.log_weight},
    )


# How a true reward is written


def written(grammar, dangerous) -> tuple[str, float]:
    """The shortest program of a reward, and -log2 of the mass of all its writings: the terms in any order, the colours
    in any terms, and joined by `or` in any order and grouping."""
    colours = [colour for colour, is_dangerous in zip(COLOURS, dangerous, strict=True) if is_dangerous]
    lengths, mass = {}, 0.0
    for groups in partitions(colours):
        program = "5*reach(goal)" + "".join(f" - time({' or '.join(group)})" for group in groups)
        lengths[program] = grammar.code_length(program)
        # Binary trees with k labelled leaves: k! times a Catalan number.
        trees = math.prod(math.factorial(2 * len(group) - 2) // math.factorial(len(group) - 1) for group in groups)
        mass += math.factorial(len(groups) + 1) * trees * 2.0 ** -lengths[program]
    return min(lengths, key=lengths.get), -math.log2(mass)


def partitions(items):
    """All ways to put items into groups."""
    if not items:
        yield []
        return
    for rest in partitions(items[1:]):
        yield [[items[0]], *rest]
        for i, group in enumerate(rest):
            yield [*rest[:i], [items[0], *group], *rest[i + 1 :]]


def place_of(grammar, short, true, u):
    """The place of a true reward among the short programs, or None: found by its values, and then compared exactly."""
    alike = np.abs(centred(short.value) - centred(true.value[:, [u]])).max(0) < 1e-6
    for place in np.flatnonzero(alike):
        programs = [grammar.parse(short.names[place]), grammar.parse(true.names[u])]
        if np.ptp(grouped(grammar.world, programs)) == 0:
            return int(place)
    return None


def centred(value):
    apart = value - value.mean(0)
    size = np.linalg.norm(apart, axis=0)
    return apart / np.where(size > 0, size, 1.0)


# What is printed


def print_scores(true, both, places, which, condition):
    rows = []
    for beta in BETAS:
        alone = figures(normalised(true.log_weight[beta]), which, condition)
        rows.append({"candidates": "the eight, equally likely", "beta": beta} | alone)
    for beta in BETAS:
        rows.append(
            {"candidates": "the grammar", "beta": beta} | figures(both.log_prob(beta), places[which], condition)
        )
    print("\nthe true reward, of one demonstration:\n")
    print_table(pd.DataFrame(rows), 3)


def figures(log_prob, truth, condition):
    """Mass, rank and log score of the truth, for doing and for showing."""
    log_true = log_prob[np.arange(len(truth)), truth]
    parts = {"mean P": np.exp(log_true), "most probable": log_prob.argmax(1) == truth, "mean ln P": log_true}
    return {
        f"{name}, {told}": float(values[condition == kind].mean())
        for name, values in parts.items()
        for kind, told in KINDS.items()
    }


def print_rewards(both, places, which, condition, number_short):
    """Each true reward by itself."""
    log_prob = both.log_prob(SHOWN_BETA)
    rows = []
    for u, code in enumerate(CODES):
        row = {
            "reward": code,
            "program": both.names[places[u]],
            "code length": both.code_length[places[u]],
            "enumerated": "yes" if places[u] < number_short else "no",
        }
        for kind, told in KINDS.items():
            chosen = (which == u) & (condition == kind)
            row[f"bits, {told}"] = float(both.intelligence[chosen, places[u]].mean())
            row[f"mean P, {told}"] = float(np.exp(log_prob[chosen, places[u]]).mean())
        rows.append(row)
    print(f"\nby reward, beta = {SHOWN_BETA} (orange, purple, blue; o safe, x dangerous):\n")
    print_table(pd.DataFrame(rows), 3)


def print_winners(both, truth, condition):
    """The programs that most often have more posterior mass than the truth."""
    log_prob, everyone = both.log_prob(SHOWN_BETA), np.arange(len(truth))
    beaten = log_prob > log_prob[everyone, truth][:, None]
    rows = []
    for u in np.argsort(-beaten.sum(0), kind="stable")[:MOST_WINNERS]:
        where = beaten[:, u]
        counts = {told: int((where & (condition == kind)).sum()) for kind, told in KINDS.items()}
        bits = {
            "bits": float(both.intelligence[where, u].mean()),
            "bits of the truth there": float(both.intelligence[everyone, truth][where].mean()),
        }
        rows.append({"program": both.names[u]} | counts | bits | {"code length": both.code_length[u]})
    unbeaten = {told: int((~beaten[condition == kind].any(1)).sum()) for kind, told in KINDS.items()}
    print(f"\nwhat has more mass than the truth, and how often; beta = {SHOWN_BETA}")
    print(f"(nothing has: {', '.join(f'{told} {number}' for told, number in unbeaten.items())}):\n")
    print_table(pd.DataFrame(rows))


def print_pooled(both, places, which, condition):
    """One utility for all demonstrations of a reward, each with an intelligence of its own."""
    rows = []
    for kind, told in KINDS.items():
        for u, code in enumerate(CODES):
            chosen = (which == u) & (condition == kind)
            if not chosen.any():
                continue
            log_prob = normalised(both.log_weight[SHOWN_BETA][chosen].sum(0) - LN2 * both.code_length)
            best = int(log_prob.argmax())
            row = {"people are": told, "reward": code, "demonstrations": int(chosen.sum())}
            row |= {"ln P(truth)": float(log_prob[places[u]]), "rank": int((log_prob > log_prob[places[u]]).sum()) + 1}
            rows.append(row | {"most probable": both.names[best], "its P": float(np.exp(log_prob[best]))})
    print(f"\nall demonstrations of a reward together, beta = {SHOWN_BETA}; as long as most true rewards are, only the")
    print("other true ones are there to beat them:\n")
    print_table(pd.DataFrame(rows))

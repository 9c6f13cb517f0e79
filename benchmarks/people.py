"""464 human demonstrations of eight known rewards: which reward was it?

    python benchmarks/people.py [--only PART ...] [--data FOLDER] [--particles N] [--max-bits B]

Data: Ho et al. (2016, 2018, 2021), `reward_demonstrations`; not part of this repository. Each demonstration is one
path over a 6 x 5 grid with three colours of tiles, any of which may cost 2 points a step; the goal is worth 10. "do":
the person just scored points; "show": they taught a partner. Two parts:

eight: the model sees one path and 8 candidate rewards. The intelligence-weighted posterior is `us.fit` with the
    achieved reading: random policies are uniform action sequences of 60 steps among available moves,
    h(g) = 2^(beta g) with its normaliser Z(U), every reward equally likely before. The Boltzmann model has optimal
    action values and a temperature marginalised over a wide grid; a fixed temperature, of an earlier study, stands
    beside it. People: 1,856 observers who judged one colour each.
grammar: the model sees one path and every program of up to `--max-bits` bits; at 17 bits sums of two forms come in. Of
    the true rewards only "all safe" is as short. The others join them with the mass of their own writings: 5 for the
    goal, -1 for a step on a dangerous tile, in any order. Bits are read from the tails of `tilted_sequences.py`.
    About a minute to list 529 hypotheses, and three for their tails, on two slow cores.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from boltzmann import TEMPERATURES, action_values, log_likelihood
from people_grammar import whole_grammar
from people_rewards import BETAS, CODES, DANGEROUS, DISCOUNT, HORIZON, candidates_of, demonstrated, normalised, tiles

import utiliscope as us


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = {one.__name__: one for one in (eight, grammar)}
    beside = Path(__file__).resolve().parents[2] / "shared" / "data" / "reward_demonstrations"
    parser.add_argument("--only", nargs="+", choices=parts, default=list(parts), metavar="PART")
    parser.add_argument("--data", type=Path, default=beside, help="folder of the data set")
    parser.add_argument("--particles", type=int, default=20_000, help="random sequences in a value tail's population")
    parser.add_argument("--max-bits", type=float, default=17.0, help="how long the programs of the grammar may be")
    parser.add_argument("--sequences", type=int, default=1000, help="sequences drawn at each rung, for the grammar")
    parser.add_argument("--demonstrations", type=int, help="only the first so many")
    options = parser.parse_args()
    if not options.data.is_dir():
        sys.exit(f"people.py: no data at {options.data}; name the folder with --data")

    world, behaviour, first = demonstrated(options.data, options.demonstrations)
    print(f"{behaviour.num_episodes} demonstrations, {behaviour.num_decisions} moves")
    for name in options.only:
        print(f"\n{name}")
        parts[name](behaviour, world, first, options)


def eight(behaviour, world, first, options):
    truth = first.reward_code.map(CODES.index).to_numpy()
    condition = first.condition.to_numpy()
    results = {}
    for beta in BETAS:
        started = time.perf_counter()
        results[f"intelligence-weighted, beta = {beta}"] = intelligence_weighted(
            behaviour, world, beta, options.particles
        )
        print(f"beta = {beta}: {time.perf_counter() - started:.0f} s")
    started = time.perf_counter()
    likelihoods = boltzmann_likelihoods(behaviour, world)
    print(f"Boltzmann: {time.perf_counter() - started:.1f} s\n")
    results["Boltzmann, temperature marginalised"] = normalised(log_mean(likelihoods, axis=-1))
    fixed = int(np.argmin(np.abs(TEMPERATURES - 0.25)))
    results[f"Boltzmann, temperature {TEMPERATURES[fixed]:.2f}"] = normalised(likelihoods[:, :, fixed])

    table = pd.DataFrame({name: scores(log_prob, truth, condition) for name, log_prob in results.items()}).T
    table.loc["human observers"] = observers(options.data, first)
    print(table.to_string(float_format=lambda x: f"{x:.3f}", na_rep="-"))
    print("\nwhole: the most probable reward is the true one. colours: share of colours whose more probable state is")
    print("the true one. ln P: mean log posterior probability of the true reward (uniform: -2.079), and its error.")


def grammar(behaviour, world, first, options):
    whole_grammar(behaviour, world, first, max_bits=options.max_bits, num_sequences=options.sequences)


def intelligence_weighted(behaviour, world, beta, num_particles):
    """`[E, 8]` log posterior of each demonstration."""
    candidates = candidates_of(world)
    log_prob = []
    for episode in behaviour.table.episode.unique():
        posterior = us.fit(
            behaviour.where(episode=episode),
            world,
            reading="achieved",
            candidates=candidates,
            policy_prior=us.ActionSequences(HORIZON),
            intelligence_law=us.ExponentialLaw(beta),
            num_particles=num_particles,
            num_chains=1,
            num_samples=4,
        )
        log_prob.append(posterior["posterior"]["utility_log_prob"].values[0, 0])
    return np.array(log_prob)


def boltzmann_likelihoods(behaviour, world):
    """`[E, 8, T]` log likelihood of each demonstration under each reward and temperature."""
    # The goal is absorbing: 10 once on arrival is 10 (1 - discount) at every step there.
    goal = 10 * (1 - DISCOUNT) * np.asarray(world.features["goal"], float)
    none = np.zeros(0), np.zeros((0, world.num_states), bool)
    costs = -2.0 * DANGEROUS @ tiles(world)
    q = [action_values(world, us.Payoffs(goal + cost, None, *none)) for cost in costs]
    return np.array(
        [
            [log_likelihood(values, states[: len(actions)], actions, TEMPERATURES) for values in q]
            for _, states, actions in behaviour.episodes()
        ]
    )


def scores(log_prob, truth, condition):
    """Figures of one method: whole rewards right, colours right and ln P(true), for doing and for showing."""
    probability = np.exp(log_prob)
    whole = probability.argmax(-1) == truth
    danger = probability @ DANGEROUS
    colours = ((danger > 0.5) == DANGEROUS[truth]).mean(-1)
    log_true = log_prob[np.arange(len(truth)), truth]
    figures = {}
    for name, value in (("whole", whole), ("colours", colours), ("ln P", log_true)):
        for kind in ("do", "show"):
            figures[f"{name}, {kind}"] = value[condition == kind].mean()
    figures["ln P, both"] = log_true.mean()
    figures["error"] = log_true.std(ddof=1) / np.sqrt(len(truth))
    return figures


def observers(folder, first):
    """People's judgements of single colours, by what the demonstrator was told."""
    judged = pd.read_csv(folder / "observer_judgments.csv.gz")
    kind = judged.demo_episode.map(first.condition)
    return {f"colours, {name}": judged.correct[kind == name].mean() for name in ("do", "show")}


def log_mean(values, axis):
    return np.logaddexp.reduce(values, axis=axis) - np.log(values.shape[axis])


if __name__ == "__main__":
    main()

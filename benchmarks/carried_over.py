"""Weights that were tuned on toy agents, used on people as they are: `python benchmarks/carried_over.py WEIGHTS.toml`.

    python benchmarks/carried_over.py WEIGHTS.toml [--data FOLDER] [--max-bits B] [--sequences N]

Data: `reward_demonstrations`, as in `people.py`: one path of one person, and which of eight rewards it was for. Nothing
is fitted to it. The weights are those that `utiliscope tune` chose: simplicity and the law of intelligence. Random
policies are action sequences of 60 steps here, as these are whole paths (the achieved reading), whatever they were in
tuning. Beside them stand 1:1, 2^(g - K), and simplicity alone; and Boltzmann agents with their temperature summed out.

eight: among the eight rewards, which are equally long, so that simplicity does not matter.
grammar: among all programs of up to `--max-bits` bits and the eight, where it does.
"""

import argparse
import sys
from pathlib import Path

import jax
import numpy as np
import pandas as pd
from markdown_table import print_table
from people import boltzmann_likelihoods, log_mean, scores
from people_grammar import all_programs, figures
from people_rewards import CODES, HORIZON, demonstrated, normalised
from real_people import eight

import utiliscope as us
from utiliscope.laws import log_intelligence_weight


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    beside = Path(__file__).resolve().parents[2] / "shared" / "data" / "reward_demonstrations"
    parser.add_argument("weights", type=Path)
    parser.add_argument("--data", type=Path, default=beside, help="folder of the data set")
    parser.add_argument("--max-bits", type=float, default=17.0, help="how long the programs of the grammar may be")
    parser.add_argument("--sequences", type=int, default=1000, help="sequences drawn at each rung of a tail")
    options = parser.parse_args()
    if not options.data.is_dir():
        sys.exit(f"carried_over.py: no data at {options.data}; name the folder with --data")
    weights = us.read_weights(options.weights)
    law = weights.intelligence_law(us.ActionSequences(HORIZON))
    print(f"simplicity {weights.simplicity:g}, law {weights.law}")
    world, behaviour, first = demonstrated(options.data)
    which, condition = first.reward_code.map(CODES.index).to_numpy(), first.condition.to_numpy()

    _, tails, bits = eight(behaviour, world, options.sequences)
    found = {}
    with jax.enable_x64(True):
        for name, one in {"tuned": law, "1:1": us.ExponentialLaw(1.0)}.items():
            weight = jax.jit(jax.vmap(lambda g, one=one: log_intelligence_weight(one, tails, g)))(bits)
            found[name] = normalised(np.asarray(weight))
    found["Boltzmann"] = normalised(log_mean(boltzmann_likelihoods(behaviour, world), axis=-1))
    print("\neight:\n")
    told = [{"weights": name} | scores(log_prob, which, condition) for name, log_prob in found.items()]
    print_table(pd.DataFrame(told), 3)

    print("\ngrammar:")
    laws = {"tuned": law, "1:1": us.ExponentialLaw(1.0), "simplicity alone": us.ExponentialLaw(0.0)}
    sizes = dict(max_bits=options.max_bits, num_sequences=options.sequences)
    _, _, both, places = all_programs(behaviour, world, laws, **sizes)
    rows = [
        {"weights": name, "simplicity": simplicity} | figures(both.log_prob(name, simplicity), places[which], condition)
        for name, simplicity in (("tuned", weights.simplicity), ("1:1", 1.0), ("simplicity alone", 1.0))
    ]
    print()
    print_table(pd.DataFrame(rows), 3)


if __name__ == "__main__":
    main()

"""What each method says of the bundled agents, recorded anew with 20 seeds: `python benchmarks/misled.py [SEEDS]`.

The same candidates and the same prior for all. Boltzmann: optimal action values ("soft Q": soft ones), one
temperature with a uniform prior over a logarithmic grid from 0.001 to 1000, values in the product of the world with
what has been reached. policy, achieved: the two readings of `utiliscope.fit`, each with its defaults and two chains.
"Sure of another": P(true) below 0.05, and another candidate above 0.5.
"""

import sys
import warnings

import numpy as np
import pandas as pd
from boltzmann import boltzmann_posterior
from utiliscope.data.make import RECORDINGS, agent_policy, make_world, record

import utiliscope as us
from utiliscope.diagnostics import ConvergenceWarning

COLUMNS = ["episode", "t", "state", "action", "next_state"]

# `time` and `reach` of a name, a bit for each of the two: these agents want nothing that needs more words.
WORDS = ("avoid", "end", "visits", "every", "sequence", "within", "not", "and", "or")
PLAIN = dict.fromkeys(WORDS, 0)


def probabilities(recording, seed: int) -> dict[str, pd.Series]:
    """Posterior probability of each candidate, for each method."""
    world = make_world(recording)
    steps = record(world, agent_policy(recording, world), episodes=recording.episodes, seed=seed)
    behaviour = us.read_behaviour(pd.DataFrame(steps, columns=COLUMNS), world)
    candidates = us.Grammar(world, weights=PLAIN).enumerate(max_bits=12)
    episodes = [(states, actions) for _, states, actions in behaviour.episodes()]
    found = {}
    for method, soft in (("Boltzmann", False), ("soft Q", True)):
        posterior = boltzmann_posterior(episodes, world, candidates.payoffs, candidates.code_length, soft=soft)
        found[method] = pd.Series(np.exp(posterior.log_prob), candidates.names)
    for reading in ("policy", "achieved"):
        posterior = us.fit(behaviour, world, candidates=candidates, reading=reading, num_chains=2, seed=seed)
        table = us.utility_table(posterior)
        found[reading] = pd.Series(table["probability"].to_numpy(), table["utility"])[candidates.names]
    return found


def tell(name: str, seeds: int) -> None:
    recording = RECORDINGS[name]
    runs = [probabilities(recording, seed) for seed in range(seeds)]
    print(f"{name}: {recording.agent}; true utility {recording.true_utility}; {seeds} seeds")
    for method in runs[0]:
        table = pd.DataFrame([run[method] for run in runs])
        true = table[recording.true_utility]
        first = (table.idxmax(axis=1) == recording.true_utility).sum()
        sure = ((true < 0.05) & (table.max(axis=1) > 0.5)).sum()
        log_score = np.log(true.clip(lower=1e-300))
        print(f"  {method:9}  true utility first {first}/{seeds}; sure of another {sure}/{seeds}; ", end="")
        print(f"P(true) mean {true.mean():.3f}, median {true.median():.3g}, least {true.min():.2g}; ", end="")
        print(f"mean ln P(true) {log_score.mean():.2f}")
        print("    mean:", ", ".join(f"{u} {p:.3f}" for u, p in table.mean().nlargest(5).items()), flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore", ConvergenceWarning)
    for name in sys.argv[2:] or RECORDINGS:
        tell(name, int(sys.argv[1]) if len(sys.argv) > 1 else 20)

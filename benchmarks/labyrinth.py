"""What `fit` says of mice in a labyrinth, thirsty (restricted, water at node 116) and sated (unrestricted).

    python benchmarks/labyrinth.py [--only PART ...] [--data FOLDER] [--particles N] [--tail-bits B] [--horizon H]

Data: Rosenberg et al. (2021), `mouse_labyrinth`; not part of this repository. Two readings:

policy: a policy over nodes, against Dirichlet(1) rows, from uniform starts. What a mouse does at a node on its way
    in and on its way out is averaged, for a policy over nodes has no memory.
achieved: what whole bouts achieved, from entering the maze to the return home, against uniform sequences of moves.
    The home that ends a bout is made a state of its own, absorbing; bouts are cut at the horizon.

Two parts:

grammar: `us.fit` with every program up to 12 bits over the named features of the maze, which remember nothing.
programs: water that refills, there and back, visits to the ends of the maze: both readings of the programs that
    `labyrinth_programs.py` lists, and the achieved reading of all programs of up to `--max-bits` bits. The achieved
    reading takes its tails from `tilted_sequences.py`, and tells of each group as one operator, and of its mice as
    ten; the policy reading draws policies from what the recording leaves open, in place of NUTS. Some seven minutes on
    two slow cores: two for the list of all programs and their tails, three for policies' tails with memory.
"""

import argparse
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from labyrinth_programs import tell_of_programs

import utiliscope as us

HOME = 127


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = {one.__name__: one for one in (grammar, programs)}
    beside = Path(__file__).resolve().parents[2] / "shared" / "data" / "mouse_labyrinth"
    parser.add_argument("--only", nargs="+", choices=parts, default=list(parts), metavar="PART")
    parser.add_argument("--data", type=Path, default=beside, help="folder of the data set")
    parser.add_argument("--particles", type=int, default=256, help="random policies in a value tail's population")
    parser.add_argument("--tail-bits", type=float, default=60.0, help="how far the value tails go")
    parser.add_argument("--horizon", type=int, default=60, help="moves of a bout that count, achieved reading")
    parser.add_argument(
        "--max-bits", type=float, default=15.0, help="programs: how long those of the whole grammar are"
    )
    parser.add_argument("--policies", type=int, default=16, help="programs: policies drawn for each group")
    parser.add_argument("--sequences", type=int, default=1000, help="programs: sequences drawn at each rung")
    options = parser.parse_args()
    if not options.data.is_dir():
        sys.exit(f"labyrinth.py: no data at {options.data}; name the folder with --data")
    world = us.read_world(options.data / "environment.json")
    rows = pd.read_csv(options.data / "trajectories.csv.gz")
    warnings.simplefilter("always", us.ConvergenceWarning)
    groups = {group: rows[rows.group == group] for group in ("restricted", "unrestricted")}
    for group, chosen in groups.items():
        print(f"{group}: {chosen.subject.nunique()} mice, {chosen.episode.nunique()} bouts, {len(chosen)} moves")
    for name in options.only:
        print(f"\n{name}")
        parts[name](world, groups, options)


def grammar(world, groups, options):
    for group, chosen in groups.items():
        print(f"\n{group}")
        behaviour = us.read_behaviour(chosen, world)
        show("policy reading", behaviour, world, tail_bits=options.tail_bits, num_particles=options.particles)

        ending = with_ending(world)
        # A mouse's last bout may have no way home: whole only if it is as long as the horizon.
        bouts = us.read_behaviour(ended(chosen, options.horizon), ending)
        prior = us.ActionSequences(options.horizon)
        candidates = us.Grammar(ending).enumerate(max_bits=12)
        title = f"achieved reading, {bouts.num_episodes} bouts, {options.horizon} moves"
        settings = dict(reading="achieved", policy_prior=prior, candidates=candidates)
        show(title, bouts, ending, num_particles=4 * options.particles, **settings)


def programs(world, groups, options):
    ending = with_ending(world)
    moves = {group: us.read_behaviour(chosen, world) for group, chosen in groups.items()}
    bouts = {group: us.read_behaviour(ended(chosen, options.horizon), ending) for group, chosen in groups.items()}
    tell_of_programs(
        world,
        ending,
        moves,
        bouts,
        horizon=options.horizon,
        particles=options.particles,
        tail_bits=options.tail_bits,
        policies=options.policies,
        sequences=options.sequences,
        max_bits=options.max_bits,
    )


def show(title, behaviour, world, **settings):
    started = time.perf_counter()
    posterior = us.fit(behaviour, world, **settings)
    attributes = posterior["posterior"].attrs
    mixing = f", R-hat up to {attributes['max_rhat']:.3f}" if "max_rhat" in attributes else ""
    print(f"\n{title}: {time.perf_counter() - started:.0f} s{mixing}")
    columns = ["utility", "probability", "code_length", "intelligence", "std_error"]
    print(us.utility_table(posterior)[columns].head(10).to_string(index=False, float_format=lambda x: f"{x:.3f}"))


def with_ending(world):
    """The maze with one more state: back home, for good."""
    size = world.num_states
    transition = np.zeros((size + 1, world.num_actions, size + 1))
    transition[:size, :, :size] = world.transition
    back = transition[:size, :, HOME].copy()
    transition[:size, :, HOME], transition[:size, :, size] = 0, back
    transition[size, 0, size] = 1
    available = np.vstack([world.available, np.zeros((1, world.num_actions), bool)])
    features = {
        name: np.append(values, False if values.dtype == bool else 0.0) for name, values in world.features.items()
    }
    features["home"] = np.arange(size + 1) == size
    return us.world_model(
        transition,
        np.arange(size + 1) == HOME,
        float(world.discount),
        available=available,
        features=features,
        state_names=[*world.state_names, "back home"],
        action_names=world.action_names,
    )


def ended(rows, horizon):
    """The recording in that maze, without bouts that stop before the horizon and before home."""
    rows = rows.copy()
    rows.loc[rows.next_state == HOME, "next_state"] = HOME + 1
    length = rows.groupby("episode").t.transform("size")
    last = rows.groupby("episode").next_state.transform("last")
    return rows[(last == HOME + 1) | (length >= horizon)]


if __name__ == "__main__":
    main()

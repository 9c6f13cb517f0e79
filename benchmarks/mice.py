"""Bits of intelligence of each mouse for "water port": thirsty (restricted) against sated (unrestricted) ones.

    python benchmarks/mice.py [--data FOLDER] [--particles N] [--out FOLDER]

Data: Rosenberg et al. (2021), `mouse_labyrinth`; not part of this repository. Two readings of `reach(water_port)`:

policy: the mouse's policy over nodes against Dirichlet(1) rows, averaged over what its recording leaves open.
achieved: the mean over whole bouts against uniform sequences of moves, from entering the maze to the return home.

Prints a table and draws mice.png. Bars are what the recording leaves open, one standard deviation; the Monte Carlo
error stands in the table. Mice with fewer than ten bouts are left out.
"""

import argparse
import sys
import time
from pathlib import Path

import jax
import matplotlib
import numpy as np
import pandas as pd
from labyrinth import ended, with_ending

import utiliscope as us

matplotlib.use("agg")
import matplotlib.pyplot as plt

FEWEST_BOUTS = 10
GROUPS = {"restricted": "thirsty (restricted)", "unrestricted": "sated (unrestricted)"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    beside = Path(__file__).resolve().parents[2] / "shared" / "data" / "mouse_labyrinth"
    parser.add_argument("--data", type=Path, default=beside, help="folder of the data set")
    parser.add_argument("--particles", type=int, default=512, help="random policies in a value tail's population")
    parser.add_argument("--horizon", type=int, default=60, help="moves of a bout that count, achieved reading")
    parser.add_argument("--out", type=Path, default=Path("results"), help="folder of the figure")
    options = parser.parse_args()
    if not options.data.is_dir():
        sys.exit(f"mice.py: no data at {options.data}; name the folder with --data")
    world = us.read_world(options.data / "environment.json")
    rows = pd.read_csv(options.data / "trajectories.csv.gz")

    started = time.perf_counter()
    table = pd.DataFrame([line for _, mouse in rows.groupby("subject") for line in of_mouse(mouse, world, options)])
    print(table.to_string(index=False, float_format=lambda x: f"{x:.2f}"))
    for reading, part in table.groupby("reading"):
        thirsty, sated = (part[part.group == group].bits.to_numpy() for group in GROUPS)
        error = np.sqrt(sum(x.var(ddof=1) / len(x) for x in (thirsty, sated)))
        above = np.mean(thirsty[:, None] > sated)
        print(
            f"{reading}: thirsty {thirsty.mean():.2f}, sated {sated.mean():.2f}, difference "
            f"{thirsty.mean() - sated.mean():.2f} ± {error:.2f} bits; a thirsty mouse is above a sated one in "
            f"{100 * above:.0f} % of pairs"
        )
    options.out.mkdir(parents=True, exist_ok=True)
    draw(table, options.out / "mice.png")
    print(f"{time.perf_counter() - started:.0f} s; figure: {options.out / 'mice.png'}")


def of_mouse(mouse, world, options):
    """Lines of the table: both readings of one mouse, or none if it hardly enters the maze."""
    if mouse.episode.nunique() < FEWEST_BOUTS:
        return
    key = jax.random.key(0)
    ending = with_ending(world)
    bouts = us.read_behaviour(ended(mouse, options.horizon), ending)
    sequences = us.ActionSequences(options.horizon)
    of_policy = us.behaviour_intelligence(
        key, us.read_behaviour(mouse, world), world, goal(world), num_particles=options.particles
    )
    of_bouts = us.behaviour_intelligence(
        key, bouts, ending, goal(ending), reading="achieved", policy_prior=sequences, num_particles=options.particles
    )
    for reading, found in (("policy", of_policy), ("achieved", of_bouts)):
        yield {
            "subject": mouse.subject.iloc[0],
            "group": mouse.group.iloc[0],
            "bouts": mouse.episode.nunique(),
            "reading": reading,
            "bits": found.estimate.value,
            "std_error": found.estimate.std_error,
            "spread": found.spread,
            "at least": found.estimate.is_lower_bound,
        }


def goal(world):
    return us.Grammar(world).parse("reach(water_port)")


def draw(table, path):
    figure, axes = plt.subplots(1, 2, figsize=(9, 4.2), sharey=False, layout="constrained")
    titles = {"policy": "policy over nodes, Dirichlet(1) rows", "achieved": "whole bouts, sequences of moves"}
    for ax, (reading, title) in zip(axes, titles.items(), strict=True):
        place = 0
        for (group, name), colour in zip(GROUPS.items(), ("C0", "C1"), strict=True):
            part = table[(table.reading == reading) & (table.group == group)].sort_values("bits", ascending=False)
            places = place + np.arange(len(part))
            ax.errorbar(places, part.bits, part.spread, fmt="o", color=colour, capsize=2, label=name)
            ax.hlines(part.bits.mean(), places[0] - 0.4, places[-1] + 0.4, color=colour, lw=1, ls="--")
            for x, subject in zip(places, part.subject, strict=True):
                ax.annotate(subject, (x, 0), (0, 2), textcoords="offset points", fontsize=7, ha="center", color="0.4")
            place += len(part) + 1
        ax.set(title=title, xticks=[], ylim=(0, None), ylabel="intelligence for reach(water_port), bits")
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False, loc="upper right")
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()

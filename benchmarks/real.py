"""Real behaviour, held out: people, mice, rats and taxi drivers, beside what others report on the same recordings.

    python benchmarks/real.py [--only PART ...] [--data FOLDER]

The recordings are no part of this repository. Each part prints one table, ours beside the others', winners or not:

people: 464 demonstrations of eight known rewards; ln P(true reward), the law of intelligence inferred.
labyrinth: mice in a binary maze; bits a decision on the test clips of Ashwood et al. (2022).
rats: nine rats in 25 layouts of a maze with one hidden goal; the rank of the goal, nats a step on the last five mazes.
taxis: routes with known destinations; nats a trip on the first test fold, weights of the network's features inferred.
"""

import argparse
import importlib
import sys
import time
from pathlib import Path

PARTS = {
    "people": "reward_demonstrations",
    "labyrinth": "mouse_labyrinth",
    "rats": "tartarus_maze_rats",
    "taxis": "shanghai_taxi_routes",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART")
    parser.add_argument("--data", type=Path, default=beside, help="folder of the data sets")
    parser.add_argument("--draws", type=int, default=200, help="draws of a posterior; labyrinth: ten times as many")
    parser.add_argument("--sequences", type=int, default=4000, help="people: sequences drawn at each rung of a tail")
    parser.add_argument("--trips", type=int, nargs="+", default=[100, 1000, 10000], help="taxis: training trips")
    options = parser.parse_args()
    missing = [PARTS[name] for name in options.only if not (options.data / PARTS[name]).is_dir()]
    if missing:
        sys.exit(f"real.py: no data at {options.data}/{missing[0]}; name the folder of the data sets with --data")
    for name in options.only:
        print(f"\n## {name}\n", flush=True)
        started = time.perf_counter()
        importlib.import_module(f"real_{name}").tell(options.data / PARTS[name], options)
        print(f"\n{name}: {time.perf_counter() - started:.0f} s in all", flush=True)


if __name__ == "__main__":
    main()

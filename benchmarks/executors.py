"""The same small suite in one process, in two, and on a dask cluster of two workers: `python benchmarks/executors.py`.

Eight agents in two worlds, recordings of 10 episodes, read by intelligence, Boltzmann agents and the prior. Value tails
are worked out before (they are kept on disk and serve all three); starting workers, and what each compiles, count. Rows
must be the same, byte for byte.
"""

import argparse
import tempfile
import time
from pathlib import Path

import pandas as pd
from markdown_table import print_table

from utiliscope.suite.execution import execute
from utiliscope.suite.executors import named_executor
from utiliscope.suite.jobs import in_turn, plan
from utiliscope.suite.run import RUN, prepare
from utiliscope.suite.worlds import WORLDS

AGENTS = ["optimal", "epsilon-0.3", "epsilon-0.6", "boltzmann-0.3", "lookahead-1", "habitual-0.3", "random", "drift"]
SETTINGS = dict(num_particles=64, tail_particles=512, concentrations=[1.0])
EXECUTORS = {"serial": {}, "process": {"workers": 2}, "dask": {"workers": 2}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=EXECUTORS, default=list(EXECUTORS))
    options = parser.parse_args()
    utilities = {world: WORLDS[world]().utilities for world in ("cliff", "sparse")}
    prepare(utilities, SETTINGS, print)
    jobs = plan(
        agents=AGENTS,
        utilities=utilities,
        methods=["intelligence", "boltzmann", "prior"],
        seeds=range(options.seeds),
        num_episodes=[10],
        nulls=["random", "drift"],
    )
    jobs = in_turn(jobs, utilities, 1)
    rows, first = [], None
    with tempfile.TemporaryDirectory() as folder:
        for name in options.only:
            out, started = Path(folder) / name, time.perf_counter()
            outcome = execute(jobs, RUN, out, settings=SETTINGS, executor=named_executor(name, **EXECUTORS[name]))
            seconds = time.perf_counter() - started
            found = {path.name: path.read_bytes() for path in (out / "jobs").iterdir()}
            first = found if first is None else first
            rows.append(
                {"executor": name, "jobs": outcome.done, "failed": outcome.failed, "seconds": seconds}
                | {"speed": rows[0]["seconds"] / seconds if rows else 1.0, "same rows": str(found == first)}
            )
    print_table(pd.DataFrame(rows))


if __name__ == "__main__":
    main()

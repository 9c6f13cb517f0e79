"""The demonstrations that `people.py` and `real.py` read, and their eight rewards."""

import numpy as np
import pandas as pd

import utiliscope as us

CODES = ["ooo", "oox", "oxo", "oxx", "xoo", "xox", "xxo", "xxx"]  # o safe, x dangerous: orange, purple, blue
COLOURS = ["orange", "purple", "blue"]
DANGEROUS = np.array([[letter == "x" for letter in code] for code in CODES])
HORIZON, DISCOUNT = 60, 0.99
BETAS = (0.8, 1.0, 1.5)


def demonstrated(folder, number=None):
    """The world, the behaviour of the first `number` demonstrations (all if None), and a row for each of these."""
    world = us.read_world(folder / "environment.json", discount=DISCOUNT)
    rows = pd.read_csv(folder / "trajectories.csv.gz")
    rows = rows[rows.phase == "demonstration"]
    behaviour = us.read_behaviour(rows[rows.episode.isin(rows.episode.unique()[:number])], world)
    return world, behaviour, behaviour.table.drop_duplicates("episode").set_index("episode")


def normalised(log_weight):
    return log_weight - np.logaddexp.reduce(log_weight, axis=-1, keepdims=True)


def candidates_of(world):
    """The eight, in the order of CODES: 10 for reaching the goal, -2 a step on a tile of a dangerous colour."""
    goal = np.asarray(world.features["goal"])
    rewards = {
        code: us.Payoffs(-2.0 * dangerous @ tiles(world), None, np.array([10.0]), goal[None])
        for code, dangerous in zip(CODES, DANGEROUS, strict=True)
    }
    return us.candidate_set(world, rewards).select(CODES)


def tiles(world):
    """`[3, S]` which tiles are of each colour."""
    return np.array([np.asarray(world.features[colour], float) for colour in COLOURS])

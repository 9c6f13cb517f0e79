"""The eight rewards of the demonstrations that `people.py` reads."""

import numpy as np

CODES = ["ooo", "oox", "oxo", "oxx", "xoo", "xox", "xxo", "xxx"]  # o safe, x dangerous: orange, purple, blue
COLOURS = ["orange", "purple", "blue"]
DANGEROUS = np.array([[letter == "x" for letter in code] for code in CODES])
HORIZON, DISCOUNT = 60, 0.99
BETAS = (0.8, 1.0, 1.5)


def normalised(log_weight):
    return log_weight - np.logaddexp.reduce(log_weight, axis=-1, keepdims=True)

"""What a posterior says of each feature, where weights are continuous, and of each operator of a population."""

import arviz as az
import numpy as np
import pandas as pd
import xarray as xr

from .errors import InputError


def told_of(posterior: xr.DataTree) -> str:
    """What a posterior is over: "weights" of features, "utilities", or else only "parameters" of its program."""
    draws = posterior["posterior"].dataset
    if "weights" in draws:
        return "weights"
    return "utilities" if "utility_log_prob" in draws else "parameters"


def weight_table(posterior: xr.DataTree) -> pd.DataFrame:
    """Features by weight.

    Columns: feature; weight (posterior mean of the weight over the largest one of its draw, for the scale of a utility
    is arbitrary: from -1 to 1); std_error (of that mean, Monte Carlo); weight_sd (over draws); positive (probability
    that the weight is above 0); largest (probability that it is the largest in size). Raises InputError for a posterior
    without the site `weights`.
    """
    draws = posterior["posterior"].dataset
    if "weights" not in draws:
        raise InputError("this posterior has no weights of features; see utility_table or parameter_table")
    weights = draws["weights"].values
    size = np.abs(weights)
    shares = weights / np.maximum(size.max(-1, keepdims=True), np.finfo(float).tiny)
    largest = size.argmax(-1)[..., None] == np.arange(weights.shape[-1])
    table = pd.DataFrame(
        {
            "feature": draws["weight"].values.astype(str),
            "weight": shares.mean((0, 1)),
            "std_error": np.nan_to_num(np.atleast_1d(az.mcse(shares))),
            "weight_sd": shares.std((0, 1)),
            "positive": (weights > 0).mean((0, 1)),
            "largest": largest.mean((0, 1)),
        }
    )
    return table.sort_values("weight", ascending=False, ignore_index=True)


def subject_table(posterior: xr.DataTree) -> pd.DataFrame:
    """Operators of a population, each with the utility that is likeliest for it.

    Columns: subject; utility; probability; intelligence (bits, posterior mean for that utility). Raises InputError for
    a posterior of one operator.
    """
    draws = posterior["posterior"].dataset
    if "subject_log_prob" not in draws:
        raise InputError("this posterior is of one operator; see utility_table or parameter_table")
    chances = np.exp(draws["subject_log_prob"]).mean(("chain", "draw")).values
    bits = draws["subject_intelligence"].mean(("chain", "draw")).values
    best, rows = chances.argmax(1), np.arange(len(chances))
    return pd.DataFrame(
        {
            "subject": draws["subject"].values,
            "utility": draws["utility"].values.astype(str)[best],
            "probability": chances[rows, best],
            "intelligence": bits[rows, best],
        }
    )

"""The posterior as an ArviZ DataTree with named dimensions, and the utility table read off it."""

from pathlib import Path

import arviz as az
import jax
import numpy as np
import pandas as pd
import xarray as xr

from .diagnostics import diagnose, warn_of
from .errors import InputError
from .world.transition import moves

# Log likelihoods of single decisions are kept up to this many numbers (160 MB); beyond, one for each episode.
_MOST_LOG_LIKELIHOODS = 20_000_000


def assemble(key, samples, stats, *, behaviour, world, candidates, tails, law, attributes) -> xr.DataTree:
    """ArviZ groups of a run: samples `[chains, draws, ...]` under their names, with what they were conditioned on.

    A draw of the utility's index (`utility_index`) is added from its posterior given the other sites.
    """
    samples = dict(samples)
    log_prob = samples["utility_log_prob"]
    draw_key = jax.random.fold_in(key, 1)
    samples["utility_index"] = np.asarray(jax.random.categorical(draw_key, log_prob, axis=-1))
    groups = {
        "posterior": samples,
        "observed_data": {
            "state_visited": behaviour.table["state"].to_numpy(),
            "action_taken": behaviour.table["action"].to_numpy(),
            "next_state": behaviour.table["next_state"].to_numpy(),
            "episode": behaviour.table["episode"].to_numpy(),
            "counts": np.asarray(behaviour.counts()),
        },
        "constant_data": _world_data(world)
        | {
            "code_length": np.asarray(candidates.code_length),
            "intelligence_std_error": _tail_error(tails, samples["intelligence"]),
            "probability_tail_error": _weight_error(tails, samples, law),
            "beyond_tail": _share_beyond(tails, samples["intelligence"]),
        },
    }
    if stats:
        groups["sample_stats"] = stats
    if "policy" in samples:
        groups["log_likelihood"] = _log_likelihood(samples["policy"], behaviour)
    tree = az.from_dict(
        groups,
        coords={
            "utility": list(candidates.names),
            "state": list(world.state_names),
            "action": list(world.action_names),
            "feature": list(world.features),
            "axis": ["x", "y"],
            "end": ["from", "to"],
        },
        dims=_DIMS,
    )
    diagnostics = diagnose(tree) if stats else {}
    tree["posterior"].attrs.update(attributes | diagnostics)
    tree["constant_data"].attrs.update(discount=float(world.discount), horizon=world.horizon or 0)
    warn_of(diagnostics, stacklevel=3)
    return tree


_DIMS = {
    "policy": ["state", "action"],
    "utility_log_prob": ["utility"],
    "intelligence": ["utility"],
    "counts": ["state", "action"],
    "code_length": ["utility"],
    "intelligence_std_error": ["utility"],
    "probability_tail_error": ["utility"],
    "beyond_tail": ["utility"],
    "initial": ["state"],
    "features": ["feature", "state"],
    "xy": ["state", "axis"],
    "moves": ["move", "end"],
    "episode": ["decision"],
    "state_visited": ["decision"],
    "action_taken": ["decision"],
    "next_state": ["decision"],
    "episode_actions": ["episode_number"],
}


def _world_data(world) -> dict:
    """What a report needs of the world: starts, features, moves and where states are drawn."""
    features = [np.asarray(values, float) for values in world.features.values()]
    data = {
        "initial": np.asarray(world.initial),
        "features": np.array(features).reshape(len(features), world.num_states),
        "moves": moves(world.transition, world.available),
    }
    return data if world.xy is None else data | {"xy": np.asarray(world.xy)}


def _log_likelihood(policy, behaviour):
    """ln pi(a | s): `action_taken` `[chains, draws, decisions]`, or, if that is too much to keep, its sum over each
    episode, `episode_actions` `[chains, draws, episodes]`."""
    state, action = (behaviour.table[name].to_numpy() for name in ("state", "action"))
    with np.errstate(divide="ignore"):
        log_policy = np.log(policy)
    if policy.shape[0] * policy.shape[1] * len(state) <= _MOST_LOG_LIKELIHOODS:
        return {"action_taken": log_policy[:, :, state, action]}
    episode = pd.factorize(behaviour.table["episode"])[0]
    number = policy.shape[-1] * policy.shape[-2]
    counts = np.zeros((episode.max() + 1, number))
    np.add.at(counts, (episode, state * policy.shape[-1] + action), 1.0)
    flat = log_policy.reshape(*policy.shape[:2], number)
    # Unavailable actions have ln 0 and no counts: 0 log 0 = 0.
    return {"episode_actions": np.where(np.isfinite(flat), flat, 0.0) @ counts.T}


def _tail_error(tails, bits):
    """`[U]` standard error that the value tail brings to the mean intelligence, in bits."""
    means = bits.mean((0, 1))
    rows = zip(-np.asarray(tails.log2_prob), np.asarray(tails.log2_error), means, strict=True)
    return np.array([np.interp(mean, heights, errors) for heights, errors, mean in rows])


def _weight_error(tails, samples, law):
    """`[U]` standard error that the value tails bring to the posterior probabilities, by the delta method.

    A tail's error e in bits moves ln of the utility's weight by h'(g) / h(g) e, independently for each utility.
    """
    bits, step = samples["intelligence"].mean((0, 1)), 0.01
    slope = (np.asarray(law.log_weight(bits + step)) - np.asarray(law.log_weight(bits))) / step
    variance = (np.nan_to_num(slope) * _tail_error(tails, samples["intelligence"])) ** 2
    share = np.exp(samples["utility_log_prob"]).mean((0, 1))
    return share * np.sqrt(np.maximum((1 - 2 * share) * variance + share**2 @ variance, 0.0))


def _share_beyond(tails, bits):
    """`[U]` share of draws at or beyond the end of a tail that is not complete: lower bounds."""
    end = -np.asarray(tails.log2_prob)[:, -1]
    open_end = ~np.asarray(tails.complete) & ~np.asarray(tails.constant())
    return np.where(open_end, (bits >= end).mean((0, 1)), 0.0)


def utility_table(posterior: xr.DataTree) -> pd.DataFrame:
    """Utilities by posterior probability.

    Columns: utility; probability; code_length (bits); intelligence (bits, its posterior mean); std_error (bits, of
    that mean: Monte Carlo error of the value tail and of the draws); intelligence_sd (bits, over draws);
    probability_error (Monte Carlo, of the value tails and of the draws); is_lower_bound (some draws lie beyond the end
    of the value tail).
    """
    draws, constant = posterior["posterior"].dataset, posterior["constant_data"].dataset
    probability = np.exp(draws["utility_log_prob"].values)
    bits = draws["intelligence"].values
    table = pd.DataFrame(
        {
            "utility": draws["utility"].values.astype(str),
            "probability": probability.mean((0, 1)),
            "code_length": constant["code_length"].values,
            "intelligence": bits.mean((0, 1)),
            "std_error": np.hypot(constant["intelligence_std_error"].values, _mean_error(bits)),
            "intelligence_sd": bits.std((0, 1)),
            "probability_error": np.hypot(_mean_error(probability), constant["probability_tail_error"].values),
            "is_lower_bound": constant["beyond_tail"].values > 0,
        }
    )
    return table.sort_values(["probability", "code_length"], ascending=[False, True], ignore_index=True)


def _mean_error(draws):
    """`[U]` Monte Carlo error of the mean over chains and draws; 0 where nothing varies."""
    spread = draws.std((0, 1))
    varies = spread > 1e-12
    error = np.zeros(draws.shape[-1])
    if varies.any():
        error[varies] = az.mcse(draws[:, :, varies])
    return np.nan_to_num(error)


def save_posterior(posterior: xr.DataTree, path) -> None:
    """Write a posterior as NetCDF (`posterior.nc`)."""
    posterior.to_netcdf(path, engine="h5netcdf")


def load_posterior(path) -> xr.DataTree:
    """Read a posterior that `save_posterior` wrote."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no posterior at {path}; `utiliscope fit` writes one")
    try:
        tree = xr.load_datatree(path, engine="h5netcdf")
    except Exception as error:
        raise InputError(f"{path} is not a posterior that utiliscope wrote: {error}") from None
    missing = {"posterior", "observed_data", "constant_data"} - set(tree.children)
    if missing:
        raise InputError(f"{path} lacks the groups {', '.join(sorted(missing))}; `utiliscope fit` writes them")
    return tree

"""The posterior as an ArviZ DataTree with named dimensions, and the utility table read off it."""

from pathlib import Path

import arviz as az
import jax
import numpy as np
import pandas as pd
import xarray as xr
from numpyro import handlers

from .diagnostics import diagnose, warn_of
from .errors import InputError
from .estimate import share_error
from .evidence import behaviour_bits
from .laws import sampled_law
from .separation import start_separation
from .world.transition import moves


def assemble(key, *, inputs, wanted, world, samples, stats, found, prior, predicted, attributes) -> xr.DataTree:
    """ArviZ groups of a run: samples `[chains, draws, ...]` under their names, with what they were conditioned on.

    inputs: of the program; wanted: the names that it asked for. found: diagnostics of the method. prior: samples,
    statistics and diagnostics without the recording, or None. predicted: what `decision_draws` tells of the draws of
    "posterior" and "prior". A draw of the utility's index (`utility_index`) is added from its posterior given the other
    sites.
    """
    samples = dict(samples)
    behaviour = inputs.behaviour
    constant = _world_data(world)
    coords = {
        "state": list(world.state_names),
        "action": list(world.action_names),
        "feature": list(world.features),
        "axis": ["x", "y"],
        "end": ["from", "to"],
    }
    if "utility_log_prob" in samples:
        candidates = inputs.candidates
        samples["utility_index"] = drawn_utilities(key, samples)
        coords["utility"] = list(candidates.names)
        constant["code_length"] = np.asarray(candidates.code_length)
        if "intelligence" in samples:
            constant |= _of_tails(inputs, wanted, samples)
            if (bits := behaviour_bits(key, inputs, wanted)) is not None:
                constant["behaviour_intelligence"] = bits
        if "policy" not in samples and (apart := _separation(inputs, samples)) is not None:
            constant["start_separation"] = apart
    if "weights" in samples:
        coords["weight"] = list(inputs.weights.names)
    if any(name.startswith("subject_") for name in wanted):
        coords["subject"] = inputs.subjects
    groups = {
        "posterior": samples,
        "observed_data": {
            "state_visited": behaviour.table["state"].to_numpy(),
            "action_taken": behaviour.table["action"].to_numpy(),
            "next_state": behaviour.table["next_state"].to_numpy(),
            "episode": behaviour.table["episode"].to_numpy(),
            "counts": np.asarray(behaviour.counts()),
        },
        "constant_data": constant,
    }
    if stats:
        groups["sample_stats"] = stats
    if prior is not None:
        groups["prior"] = prior[0]
    for name, told in predicted.items():
        if name == "posterior" and told and told["log_likelihood"]:
            groups["log_likelihood"] = told["log_likelihood"]
        if told and told["replicated"] is not None:
            groups[f"{name}_predictive"] = {"action_taken": told["replicated"]}
    tree = az.from_dict(groups, coords=coords, dims=_dims(samples, coords))
    if "action_taken" in groups.get("log_likelihood", {}):
        likelihood = tree["log_likelihood"].dataset
        tree["log_likelihood"] = xr.DataTree(likelihood.assign_coords(decision=predicted["posterior"]["choices"]))
    diagnostics = diagnose(tree) if stats else {}
    diagnostics |= {name: value for name, value in found.items() if name not in diagnostics}
    tree["posterior"].attrs.update(attributes | diagnostics)
    tree["constant_data"].attrs.update(discount=float(world.discount), horizon=world.horizon or 0)
    if prior is not None:
        tree["prior"].attrs.update(_of_prior(*prior))
    warn_of(diagnostics, stacklevel=3)
    return tree


def _of_prior(samples, stats, found) -> dict:
    """How well draws without the recording were sampled."""
    if not stats:
        return found
    return found | diagnose(az.from_dict({"posterior": samples, "sample_stats": stats}))


def _of_tails(inputs, wanted, samples) -> dict:
    """What the value tails bring to errors, `[U]` each; of many operators, the mean and the most over them."""
    if not {"tails", "subject_tails"} & set(wanted):
        return {}
    law = _mean_law(inputs.intelligence_law, samples)

    def of_one(tails, bits, log_prob):
        return (
            _tail_error(tails, bits),
            _weight_error(tails, {"intelligence": bits, "utility_log_prob": log_prob}, law),
            _share_beyond(tails, bits),
        )

    if "subject_log_prob" not in samples:
        found = of_one(inputs.tails, samples["intelligence"], samples["utility_log_prob"])
    else:
        each = [
            of_one(
                inputs.subject_tails[n] if "subject_tails" in wanted else inputs.tails,
                samples["subject_intelligence"][:, :, n],
                samples["subject_log_prob"][:, :, n],
            )
            for n in range(len(inputs.subjects))
        ]
        first, second, third = (np.stack(part) for part in zip(*each, strict=True))
        found = first.mean(0), second.mean(0), third.max(0)
    return dict(zip(_OF_TAILS, found, strict=True))


def _separation(inputs, samples):
    """`[S]` where episodes would have to start to tell the two likeliest utilities apart; None if not known."""
    order = np.argsort(-np.exp(samples["utility_log_prob"]).mean((0, 1)))[:2]
    if len(order) < 2:
        return None
    try:
        return start_separation(inputs.world, inputs.candidates.payoffs[order])
    except InputError:  # too much to remember to plan for
        return None


def drawn_utilities(key, samples) -> np.ndarray:
    """`[chains, draws]` a utility for each draw, from its posterior given the other sites."""
    draw_key = jax.random.fold_in(key, 1)
    return np.asarray(jax.random.categorical(draw_key, samples["utility_log_prob"], axis=-1))


def _mean_law(law, samples):
    """`law` with the posterior means of what was inferred."""
    means = {name: np.asarray(values).mean((0, 1)) for name, values in samples.items()}
    with handlers.block(), handlers.seed(rng_seed=0), handlers.substitute(data=means):
        return sampled_law(law)


def _dims(samples, coords) -> dict:
    """Names of dimensions, for arrays that have their sizes: a program may call others so."""
    sizes = {name: len(values) for name, values in coords.items()}

    def fit(name, dims):
        return name not in samples or tuple(map(sizes.get, dims)) == np.shape(samples[name])[2:]

    return {name: dims for name, dims in _DIMS.items() if fit(name, dims)}


_DIMS = {
    "policy": ["state", "action"],
    "subject_policy": ["subject", "state", "action"],
    "subject_log_prob": ["subject", "utility"],
    "subject_intelligence": ["subject", "utility"],
    "log_mixture": ["utility"],
    "pull": ["utility"],
    "weights": ["weight"],
    "score": ["weight"],
    "utility_log_prob": ["utility"],
    "intelligence": ["utility"],
    "counts": ["state", "action"],
    "code_length": ["utility"],
    "intelligence_std_error": ["utility"],
    "probability_tail_error": ["utility"],
    "beyond_tail": ["utility"],
    "initial": ["state"],
    "start_separation": ["state"],
    "behaviour_intelligence": ["utility"],
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
    share = np.exp(samples["utility_log_prob"]).mean((0, 1))
    return share_error(share, np.nan_to_num(slope) * _tail_error(tails, samples["intelligence"]))


def _share_beyond(tails, bits):
    """`[U]` share of draws at or beyond the end of a tail that is not complete: lower bounds."""
    end = -np.asarray(tails.log2_prob)[:, -1]
    open_end = ~np.asarray(tails.complete) & ~np.asarray(tails.constant())
    return np.where(open_end, (bits >= end).mean((0, 1)), 0.0)


_OF_TAILS = "intelligence_std_error", "probability_tail_error", "beyond_tail"


def utility_table(posterior: xr.DataTree) -> pd.DataFrame:
    """Utilities by posterior probability.

    Columns: utility; probability; code_length (bits); intelligence (bits, its posterior mean); std_error (bits, of
    that mean: Monte Carlo error of the value tail and of the draws); intelligence_sd (bits, over draws);
    probability_error (Monte Carlo, of the value tails and of the draws); is_lower_bound (some draws lie beyond the end
    of the value tail). Where programs do not speak of intelligence its columns are NaN. Raises InputError for a
    posterior without utilities.
    """
    draws, constant = posterior["posterior"].dataset, posterior["constant_data"].dataset
    if "utility_log_prob" not in draws:
        other = "weights of features" if "weights" in draws else "other parameters"
        table = "weight_table" if "weights" in draws else "parameter_table"
        raise InputError(f"this posterior has {other} instead of utilities: see {table}(posterior)")
    probability = np.exp(draws["utility_log_prob"].values)
    # Boltzmann-rational agents have no intelligence to speak of.
    told = "intelligence" in draws and "beyond_tail" in constant
    bits = draws["intelligence"].values if "intelligence" in draws else np.full(probability.shape, np.nan)
    nothing = np.zeros(probability.shape[-1])
    of = {name: constant[name].values if told else nothing for name in _OF_TAILS}
    table = pd.DataFrame(
        {
            "utility": draws["utility"].values.astype(str),
            "probability": probability.mean((0, 1)),
            "code_length": constant["code_length"].values,
            "intelligence": bits.mean((0, 1)),
            "std_error": np.hypot(of["intelligence_std_error"], mean_error(bits)) if told else np.nan,
            "intelligence_sd": bits.std((0, 1)),
            "probability_error": np.hypot(mean_error(probability), of["probability_tail_error"]),
            "is_lower_bound": of["beyond_tail"] > 0,
        }
    )
    return table.sort_values(["probability", "code_length"], ascending=[False, True], ignore_index=True)


def mean_error(draws):
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

"""Whether to believe a run of the sampler: R-hat, effective sample size, divergences, and what is wrong with them."""

import warnings

import arviz as az
import numpy as np
import xarray as xr

MOST_RHAT, LEAST_ESS = 1.01, 400  # Vehtari et al. (2021)
_MOST_PARETO_K = 0.7  # Vehtari et al. (2024)
_LEAST_DRAWS = 25  # for a Pareto k


class ConvergenceWarning(UserWarning):
    """The chains disagree, move too little or diverge: the posterior is not to be believed yet."""


def convergence(posterior: xr.DataTree) -> tuple[np.ndarray, np.ndarray]:
    """R-hat and effective sample size of every scalar of the posterior that varies; R-hat is NaN for one chain.

    A chain that stands still has no R-hat: it counts as infinite, and its effective sample size as 0.
    """
    rhat, ess = [np.zeros(0)], [np.zeros(0)]
    for name, values in posterior["posterior"].dataset.items():
        if name == "utility_index" or values.dtype.kind not in "fiub":
            continue
        flat = values.values.reshape(*values.shape[:2], -1).astype(float)
        with np.errstate(invalid="ignore"):
            flat = flat[:, :, (flat.std((0, 1)) > 1e-12) & np.isfinite(flat).all((0, 1))]
        if flat.shape[-1] == 0 or flat.shape[0] * flat.shape[1] < 8:
            continue
        with np.errstate(divide="ignore", invalid="ignore"):
            several = flat.shape[0] > 1
            between = np.nan_to_num(az.rhat(flat), nan=np.inf, posinf=np.inf) if several else np.nan
            rhat.append(np.broadcast_to(between, flat.shape[-1:]))
            ess.append(np.nan_to_num(az.ess(flat), nan=0.0))
    return np.concatenate([np.atleast_1d(x) for x in rhat]), np.concatenate([np.atleast_1d(x) for x in ess])


def diagnose(posterior: xr.DataTree) -> dict:
    """The worst R-hat (`max_rhat`), the least effective sample size (`min_ess`) and the number of divergences.

    Of variational guides R-hat alone, between those of several starts: their draws are independent of one another.
    Where there are any, the share of draws with numbers that are NaN, or of a log density that is not finite
    (`share_broken`). Empty if there are too few draws to tell.
    """
    draws = posterior["posterior"]
    if draws.sizes["chain"] * draws.sizes["draw"] < 8:
        return {}
    broken = _broken(posterior)
    rhat, ess = convergence(posterior)
    between = broken | {"max_rhat": float(rhat[~np.isnan(rhat)].max(initial=1.0))}
    if "diverging" not in posterior["sample_stats"].dataset:
        return between if draws.sizes["chain"] > 1 else {}
    diverging = int(posterior["sample_stats"]["diverging"].sum())
    return between | {"min_ess": float(ess.min(initial=np.inf)), "num_divergences": diverging}


def _broken(posterior) -> dict:
    stats, draws = posterior["sample_stats"].dataset, posterior["posterior"]
    broken = np.zeros((draws.sizes["chain"], draws.sizes["draw"]), bool)
    if "lp" in stats:
        broken = ~np.isfinite(stats["lp"].values)
    for values in posterior["posterior"].dataset.values():
        if values.dtype.kind == "f":
            broken = broken | np.isnan(values.values).reshape(*values.shape[:2], -1).any(-1)
    return {"share_broken": float(broken.mean())} if broken.any() else {}


def most_pareto_k(draws) -> float:
    """The largest k at which a mean over so many `draws` S is to be relied on, min(1 - 1 / log10 S, 0.7).

    By Vehtari et al. (2024); 0.7 where S is not known, as in posteriors saved before it was kept.
    """
    return _MOST_PARETO_K if draws is None else float(min(1 - 1 / np.log10(max(draws, 2)), _MOST_PARETO_K))


def pareto_k(log_ratio) -> float:
    """Shape k of the generalised Pareto density that fits the largest of the importance ratios exp(`log_ratio`).

    Below 0.5 their mean has a variance, above `most_pareto_k` it is not to be relied on (Vehtari et al. 2024, by
    ArviZ); infinite where ratios are not finite, -inf where they are all the same.
    """
    log_ratio = np.asarray(log_ratio, np.float64).ravel()
    if len(log_ratio) < _LEAST_DRAWS:
        return np.nan
    if not np.isfinite(log_ratio).all():
        return np.inf
    if np.ptp(log_ratio) < 1e-12:
        return -np.inf
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # It takes the log likelihoods whose inverses are the ratios.
        return float(xr.DataArray(-log_ratio, dims="draw").azstats.psislw(dim="draw")[1])


def problems(diagnostics: dict) -> list[str]:
    """What is wrong with the numbers of `diagnose`, in words; nothing if all is well."""
    found = []
    if diagnostics.get("share_broken", 0.0) > 0:
        share = f"{diagnostics['share_broken']:.0%} of the draws"
        found.append(f"{share} have numbers that are NaN, or a log density that is not finite")
    if diagnostics.get("max_rhat", 1.0) > MOST_RHAT:
        found.append(f"R-hat is up to {diagnostics['max_rhat']:.3f} (should be below {MOST_RHAT})")
    if diagnostics.get("min_ess", np.inf) < LEAST_ESS:
        found.append(f"the effective sample size is down to {diagnostics['min_ess']:.0f} (should be above {LEAST_ESS})")
    if diagnostics.get("num_divergences", 0):
        found.append(f"{diagnostics['num_divergences']} draws diverged")
    if np.isnan(diagnostics.get("pareto_k", 0.0)):
        found.append(f"fewer than {_LEAST_DRAWS} draws are too few for a Pareto k")
    if _uneven(diagnostics):
        draws = diagnostics.get("pareto_k_draws")
        most = f"{most_pareto_k(draws):.2g}" + ("" if draws is None else f" with {draws} draws")
        k = diagnostics["pareto_k"]
        found.append(f"the Pareto k of its importance ratios is {k:.2f} (should be at most {most})")
    if not diagnostics.get("settled", 1):
        found.append(f"after {diagnostics['rounds']} rounds what is found with the atlas has not settled")
    return found


def advice(diagnostics: dict) -> str:
    """What to do about them."""
    if diagnostics.get("share_broken", 0.0) > 0:
        return "see that the program's sites and factors are finite wherever its priors reach"
    if "rounds" in diagnostics and ("pareto_k" in diagnostics or not diagnostics.get("settled", 1)):
        return "run longer, with more particles: what the atlas says of bits comes from its splitting runs"
    if _uneven(diagnostics):
        return "this is not the posterior but a poor likeness of it: take another guide, or method='nuts'"
    if "elbo" in diagnostics and diagnostics.get("max_rhat", 1.0) > MOST_RHAT:
        return "guides from different starts ended apart: take more num_steps, another guide, or method='nuts'"
    if diagnostics.get("num_divergences", 0):
        return "run longer (num_warmup, num_samples); if divergences stay, raise target_accept towards 1"
    return "run longer: num_warmup, num_samples"


def _uneven(diagnostics):
    """Whether importance ratios have a k that is too large for their number."""
    return diagnostics.get("pareto_k", -np.inf) > most_pareto_k(diagnostics.get("pareto_k_draws"))


def warn_of(diagnostics: dict, *, stacklevel: int) -> None:
    """A ConvergenceWarning if there is anything wrong."""
    if found := problems(diagnostics):
        message = f"the sampler has not converged: {'; '.join(found)}; {advice(diagnostics)}"
        warnings.warn(message, ConvergenceWarning, stacklevel=stacklevel + 1)

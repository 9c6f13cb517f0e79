"""What a program infers beside utilities: laws, temperatures, noise, and whatever a program of a user's own samples."""

import arviz as az
import numpy as np
import pandas as pd
import xarray as xr

from .posterior import mean_error

# What other tables tell of.
_ELSEWHERE = {"policy", "utility_log_prob", "utility_index", "weights"}
_ELSEWHERE |= {"subject_policy", "subject_log_prob", "subject_intelligence"}
# Sites of our own programs that only carry others.
_CARRIERS = {
    "noisy": {"error"},
    "population": {"log_mixture", "pull"},
    "achieved_population": {"log_mixture", "pull"},
    "weights": {"score"},
    "boltzmann_weights": {"score"},
    "maxent_weights": {"score"},
}
_LEAST_DRAWS = 8
COLUMNS = ("parameter", "median", "mean", "std_error", "sd", "low", "high", "prior_low", "prior_high", "r_hat", "ess")


def parameter_table(posterior: xr.DataTree) -> pd.DataFrame:
    """Inferred parameters, a row for each number, in their own units: what `utility_table` and others do not tell.

    Columns: parameter (`temperature`, or `name[where]` for arrays, as ArviZ calls them); median; mean, which heavy
    tails may leave without a meaning; std_error (of the mean, Monte Carlo); sd; low and high (the middle 90 % of
    draws); prior_low and prior_high (the same without the recording, NaN where the posterior has no group `prior`);
    r_hat and ess (bulk), NaN where there are too few draws or nothing varies. Parameters that were given as numbers are
    among the settings, and not here. Empty where nothing is inferred but utilities.
    """
    parts = [_rows(*site) for site in _sites(posterior)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS)


def parameter_draws(posterior: xr.DataTree, most: int) -> list[tuple[str, np.ndarray, np.ndarray | None]]:
    """The first `most` numbers by their names in the table: draws `[n]`, and those without the recording or None."""
    found = []
    for name, site, before in _sites(posterior):
        draws, others = _flat(site), None if before is None else _flat(before)
        for place, label in enumerate(_labels(name, site)[: most - len(found)]):
            found.append((label, draws[..., place].ravel(), None if others is None else others[..., place].ravel()))
    return found


def _sites(posterior):
    """Names, draws and draws without the recording (or None) of these parameters."""
    draws = posterior["posterior"].dataset
    prior = posterior["prior"].dataset if "prior" in posterior.children else {}

    def before(name, site):
        # What is told of each decision is of no size where there are none.
        return prior[name] if name in prior and prior[name].shape[2:] == site.shape[2:] else None

    return [(name, site, before(name, site)) for name, site in draws.items() if _is_parameter(name, site, draws)]


def _is_parameter(name, site, draws):
    carriers = () if draws.attrs.get("own_program") else _CARRIERS.get(draws.attrs.get("program"), ())
    if name in _ELSEWHERE or name in carriers or site.dtype.kind not in "fiub" or not site.size:
        return False
    if name == "intelligence":
        return "utility" not in site.dims
    # A temperature that was given is kept as a site, which stands still.
    return name not in draws.attrs or float(site.max()) > float(site.min())


def _rows(name, site, before):
    flat = _flat(site)
    with np.errstate(invalid="ignore"):  # what is not finite has no spread
        mean, error, spread = flat.mean((0, 1)), mean_error(flat), flat.std((0, 1))
        low, median, high = np.quantile(flat, (0.05, 0.5, 0.95), axis=(0, 1))
    error = np.where(np.isfinite(mean), error, np.nan)
    varies = (spread > 1e-12) & np.isfinite(flat).all((0, 1))
    r_hat, ess = np.full((2, flat.shape[-1]), np.nan)
    if varies.any() and flat[..., 0].size >= _LEAST_DRAWS:
        with np.errstate(divide="ignore", invalid="ignore"):  # of a chain that stands still
            ess[varies] = az.ess(flat[:, :, varies])
            if len(flat) > 1:
                r_hat[varies] = az.rhat(flat[:, :, varies])
    least, most = np.full((2, flat.shape[-1]), np.nan)
    if before is not None:
        least, most = np.quantile(_flat(before), (0.05, 0.95), axis=(0, 1))
    values = _labels(name, site), median, mean, error, spread, low, high, least, most, r_hat, ess
    return pd.DataFrame(dict(zip(COLUMNS, values, strict=True)))


def _flat(site):
    return site.values.reshape(*site.shape[:2], -1).astype(float)


def _labels(name, site):
    places = [site[dim].values if dim in site.coords else range(site.sizes[dim]) for dim in site.dims[2:]]
    if not places:
        return [name]
    return [f"{name}[{', '.join(map(str, at))}]" for at in pd.MultiIndex.from_product(places)]

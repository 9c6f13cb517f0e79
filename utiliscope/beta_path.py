r"""How the posterior moves as intelligence counts for more: along beta, from the prior alone towards its limit.

Under `ExponentialLaw(beta)` an operator is 2^beta times likelier for each bit. At beta = 0 the posterior over utilities
is the prior, 2^(-simplicity K), whatever was recorded. At beta = 1 the law is improper on continuous policies,
E[2^(beta g)] = 1 / (1 - beta): towards it operators' mean intelligence 1 / (ln 2 (1 - beta)) goes to infinity, and of
the recording only how well it fits optimal policies counts. One run of splitting for each utility serves all betas.
"""

import jax
import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import softmax

from .behaviour import Behaviour, check_fits
from .cache import described
from .errors import InputError
from .estimate import share_error
from .laws import LN2, ExponentialLaw
from .marginal import marginal_evidence
from .policies import Dirichlet
from .utilities import Candidates
from .world.possible import World

# Steps are even in the logarithm of 1 - beta: from operators of 1.4 bits on average to ones of 46.
BETAS = tuple(1 - 2.0 ** -np.linspace(0, 5, 81))
_TIE = 1e-9  # nats


def law_path(
    behaviour,
    world: World,
    candidates: Candidates,
    *,
    betas=BETAS,
    simplicity: float = 1.0,
    policy_prior: Dirichlet = Dirichlet(1.0),
    num_particles: int = 256,
    tail_particles: int = 512,
    seed: int = 0,
) -> xr.Dataset:
    """The posterior over `U` candidates under ExponentialLaw(beta), for each of `B` betas; the policy is summed out.

    behaviour: recorded, or counts `[S, A]`, in the policy reading. betas: rising, in [0, 1); 0 to 1 - 2^-5 by default.
    num_particles, tail_particles: of splitting, as in `marginal_evidence`.

    Dimensions beta and utility. Variables: probability; probability_error (Monte Carlo, one standard error);
    log_evidence, nats, up to a constant the same for all, and log_evidence_error; beyond (share of the evidence from
    bits that the prior's value tail does not reach, and that are extrapolated); code_length (bits) and cut (whether
    splitting ended before what was left was negligible) of each utility; mean_bits of each beta, the operators'
    intelligence before anything is recorded. Errors at neighbouring betas come from the same particles: a whole curve
    is up or down together.

    beta = 1 is not reached, as no probability is left to be shared out there; how near to go is limited by the bits
    that weigh, about 1 / (1 - beta): where `beyond` or the errors grow, the path has left what the recording and the
    value tails tell. Raises InputError for betas out of [0, 1) and for what `marginal_evidence` refuses. Costs one call
    of `marginal_evidence`, however many betas.
    """
    betas = np.asarray(betas, float)
    if betas.ndim != 1 or not len(betas) or not (np.diff(betas) > 0).all() or not (0 <= betas[0] <= betas[-1] < 1):
        raise InputError(
            "betas must rise within [0, 1): at 1 the law is improper over continuous random policies; "
            "give for example np.linspace(0, 0.95, 20)"
        )
    if not np.isfinite(simplicity) or simplicity < 0:
        raise InputError(f"simplicity is {simplicity}; it is a number from 0")
    if not isinstance(candidates, Candidates):
        raise InputError(f"candidates are {type(candidates).__name__}; give Candidates, which have code lengths")
    if isinstance(behaviour, Behaviour):
        check_fits(behaviour, world)
        behaviour = behaviour.counts()
    found = marginal_evidence(
        jax.random.key(seed),
        behaviour,
        world,
        candidates,
        laws=[ExponentialLaw(float(beta)) for beta in betas],
        policy_prior=policy_prior,
        num_particles=num_particles,
        tail_particles=tail_particles,
    )
    code_length = np.asarray(candidates.code_length, float)
    probability = softmax(found.log_evidence - simplicity * LN2 * code_length, axis=1)
    both = ("beta", "utility")
    return xr.Dataset(
        {
            "probability": (both, probability),
            "probability_error": (both, share_error(probability, found.std_error)),
            "log_evidence": (both, found.log_evidence),
            "log_evidence_error": (both, found.std_error),
            "beyond": (both, found.beyond),
            "code_length": ("utility", code_length),
            "cut": ("utility", found.cut),
            "mean_bits": ("beta", 1 / (LN2 * (1 - betas))),
        },
        coords={"beta": betas, "utility": list(candidates.names)},
        attrs=dict(
            simplicity=float(simplicity),
            policy_prior=described(policy_prior),
            num_decisions=int(np.sum(behaviour)),
            num_particles=int(num_particles),
            seed=int(seed),
        ),
    )


def takeovers(path: xr.Dataset) -> pd.DataFrame:
    """At which beta which utility takes over as the likeliest, from which: of what `law_path` returns.

    Columns: beta; beta_error (one standard error: that of the two utilities' log odds over their slope); utility, that
    takes over; before, the one that it takes over from; probability, of both there. Between two betas of the path log
    odds are taken for linear, so a lead that begins and ends between them is not seen. Empty if one utility leads all
    along. Utilities that are equally likely at the first beta are told apart by what follows.
    """
    betas, names = path["beta"].values, path["utility"].values.astype(str)
    prior = path.attrs["simplicity"] * LN2 * path["code_length"].values
    height, error = path["log_evidence"].values - prior, path["log_evidence_error"].values
    rows = []
    for i in range(len(betas) - 1):
        low, rise = height[i], height[i + 1] - height[i]
        place, leader = 0.0, _first(low, rise)
        while (found := _next(low, rise, leader, place)) is not None:
            place, new = found
            share = softmax(low + place * rise)[new]
            spread = np.hypot(*(error[i, [leader, new]] + place * (error[i + 1] - error[i])[[leader, new]]))
            width = betas[i + 1] - betas[i]
            rows.append(
                dict(
                    beta=betas[i] + place * width,
                    beta_error=spread * width / (rise[new] - rise[leader]),
                    utility=names[new],
                    before=names[leader],
                    probability=share,
                )
            )
            leader = new
    return pd.DataFrame(rows, columns=["beta", "beta_error", "utility", "before", "probability"])


def _first(low, rise):
    """The line that leads from the left end on."""
    level = np.flatnonzero(low >= low.max() - _TIE)
    return level[np.argmax(rise[level])]


def _next(low, rise, leader, place):
    """Where, from `place` in [0, 1] on, which of the lines low + x rise is the first to cross the leader's; or None."""
    steeper = rise > rise[leader] + _TIE
    if not steeper.any():
        return None
    gain = np.where(steeper, rise - rise[leader], 1.0)
    at = np.where(steeper, np.maximum((low[leader] - low) / gain, place), np.inf)
    first = at.min()
    if not first < 1:
        return None
    together = np.flatnonzero(at <= first + 1e-12)
    return float(first), together[np.argmax(rise[together])]

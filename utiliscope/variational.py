"""Variational inference of a program, and how wrong it is, by importance ratios (Yao et al. 2018)."""

import jax
import jax.numpy as jnp
from numpyro import handlers
from numpyro.infer import SVI, Trace_ELBO, init_to_sample
from numpyro.infer.autoguide import AutoBNAFNormal, AutoDiagonalNormal, AutoLowRankMultivariateNormal
from numpyro.infer.util import log_density
from numpyro.optim import ClippedAdam

from .diagnostics import pareto_k
from .errors import InputError
from .sampling import Chains
from .summation import latent_sites

GUIDES = {"low-rank": AutoLowRankMultivariateNormal, "flow": AutoBNAFNormal, "diagonal": AutoDiagonalNormal}
_PARTICLES = 8  # of the bound's gradient
_FIRST_STEP, _LAST_STEP = 2e-2, 5e-4


class Guides:
    """Guides that are fitted to the posterior of one program, each chain from its own start.

    program: called with keyword inputs, `fixed` ones and those in `data`, as `Nuts` has it.
    guide: "low-rank" (a normal density of low-rank covariance), "flow" (a block neural autoregressive flow) or
    "diagonal", over the sites made real. num_steps: of stochastic gradient ascent, whose size falls geometrically.
    Raises InputError for guides that there are not; `run`, for one that is not for this program.
    """

    def __init__(self, program, fixed: dict, *, guide: str, num_steps: int, num_samples: int, num_chains: int):
        if guide not in GUIDES:
            raise InputError(f"guide is {guide!r}; choose {', '.join(GUIDES)}")
        self._program, self._fixed, self._guide = program, fixed, guide
        self._num_steps, self._num_samples = num_steps, num_samples
        self.chains = Chains(self._chain, num_chains)

    def run(self, key, data: dict, say=lambda phase: None):
        """Draws `[chains, draws, ...]`, statistics (`lp`: log joint; `log_ratio`: ln p / q, nats) and diagnostics:
        `pareto_k` of the ratios of a chain, the worst one's, and of how many draws it is, `pareto_k_draws` (above
        `most_pareto_k` of them the guide is not to be believed), and `elbo` in nats, the least chain's.

        Costs `8 num_steps` gradients of the program for each chain.
        """
        if self._guide == "flow":
            continuous, _ = latent_sites(self._program, self._fixed | data)
            if sum(site.size for site in continuous.values()) < 2:
                raise InputError("a flow bends two numbers or more, and this program has one; take guide='low-rank'")
        samples, log_joint, log_ratio, losses = self.chains.run(key, data, say, "ascending")
        found = {
            "pareto_k": max(pareto_k(ratios) for ratios in log_ratio),
            "pareto_k_draws": int(self._num_samples),
            "elbo": float(-losses[:, -max(1, self._num_steps // 20) :].mean(-1).max()),
        }
        return samples, {"lp": log_joint, "log_ratio": log_ratio}, found

    def _chain(self, key, data):
        program, inputs = self._program, self._fixed | data
        fit_key, draw_key = jax.random.split(key)
        approximation = GUIDES[self._guide](program, init_loc_fn=init_to_sample)
        svi = SVI(program, approximation, ClippedAdam(self._step), Trace_ELBO(num_particles=_PARTICLES))
        fitted = svi.run(fit_key, self._num_steps, **inputs, progress_bar=False)

        def draw(key):
            seeded = handlers.seed(handlers.substitute(approximation, data=fitted.params), key)
            drawn = handlers.trace(seeded).get_trace(**inputs)
            log_q = sum(_log_prob(site) for site in drawn.values() if site["type"] == "sample")
            values = {name: site["value"] for name, site in drawn.items() if site["type"] == "sample"}
            log_p, trace = log_density(handlers.seed(program, key), (), inputs, values)
            kept = {
                name: site["value"]
                for name, site in trace.items()
                if site["type"] == "deterministic" or (site["type"] == "sample" and not site["is_observed"])
            }
            return kept, log_p, log_p - log_q

        return *jax.lax.map(draw, jax.random.split(draw_key, self._num_samples)), fitted.losses

    def _step(self, step):
        return _FIRST_STEP * (_LAST_STEP / _FIRST_STEP) ** (step / self._num_steps)


def _log_prob(site):
    """ln density of a guide's site; what it only hands on has the Jacobian of its transform."""
    # A flow has no inverse: what it was drawn from is with the draw.
    steps = site["intermediates"]
    return jnp.sum(site["fn"].log_prob(site["value"], steps) if steps else site["fn"].log_prob(site["value"]))

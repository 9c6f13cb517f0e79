"""The sites of a program: what it says it finds, looked at in shapes before anything is sampled."""

import jax.numpy as jnp
import numpy as np
from numpyro import handlers

from .errors import InputError
from .summation import latent_sites, over_cells, shapes_of


def look_at(program, inputs) -> tuple[dict, dict, dict]:
    """The latent sites of a program, continuous and discrete, and the shapes of all that it tells, by name.

    With discrete sites among continuous ones it tells what their sum does. Raises InputError for a program that has
    nothing to be inferred or computed.
    """
    told = {}

    def noting(**given):
        with handlers.trace() as sites:
            returned = program(**given)
        told.update({name: np.shape(site["value"]) for name, site in sites.items() if _tells(site)})
        return returned

    continuous, discrete = latent_sites(noting, inputs)
    if not told:
        raise InputError(
            f"the program {_name(program)!r} has no sites to be inferred or computed: name what it finds by "
            "numpyro.sample or numpyro.deterministic, as models/candidates.py does"
        )
    if continuous and discrete:
        # Zeros have the right shapes, and nothing is computed.
        summed = shapes_of(
            lambda: over_cells(program, inputs, {name: jnp.zeros(site.shape) for name, site in continuous.items()})
        )
        told |= dict.fromkeys(("utility_log_prob", "intelligence"), summed[0].shape[:1])
    return continuous, discrete, told


def check_told(program, told, wanted, number) -> None:
    """Raise InputError unless a program that compares `number` candidates says what it finds.

    told: shapes by name. wanted: the names that the program asked for.
    """
    if "candidates" not in wanted:
        return
    tails = "tails" in wanted or "subject_tails" in wanted
    for site in ("utility_log_prob", "intelligence") if tails else ("utility_log_prob",):
        if told.get(site) != (number,):
            raise InputError(
                f"the program {_name(program)!r} has no deterministic site {site!r} with one entry for each of the "
                f"{number} candidates; see models/candidates.py"
            )


def _tells(site):
    return site["type"] == "deterministic" or (site["type"] == "sample" and not site["is_observed"])


def _name(program):
    return getattr(program, "__name__", program)

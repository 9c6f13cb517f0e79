"""The sites of a program: what it says it finds, looked at in shapes before anything is sampled."""

import jax.numpy as jnp
import numpy as np
from numpyro import handlers

from .errors import InputError, listed
from .inputs import compares_candidates
from .summation import latent_sites, over_cells, shapes_of

# What a posterior keeps under names of its own, beside what the program samples.
_KEPT = {"state_visited", "action_taken", "next_state", "episode", "counts", "initial", "features", "moves", "xy"}
_KEPT |= {"code_length", "intelligence_std_error", "probability_tail_error", "beyond_tail", "start_separation"}
_KEPT |= {"behaviour_intelligence", "utility_index"}
_DIMENSIONS = {"chain", "draw", "state", "action", "utility", "weight", "subject"}
_DIMENSIONS |= {"feature", "move", "axis", "end", "decision"}
# Sites that mean something: dimensions of their arrays.
_MEANINGS = {
    "policy": "SA",
    "subject_policy": "NSA",
    "subject_log_prob": "NU",
    "subject_intelligence": "NU",
    "utility_log_prob": "U",
    "weights": "F",
}


def look_at(program, inputs) -> tuple[dict, dict, dict, object]:
    """The latent sites of a program, continuous and discrete, the shapes of all that it tells, by name, and that of
    what it returns: None for nothing, the name of its type for what is no array.

    With discrete sites among continuous ones it tells what their sum does. Raises InputError for a program that has
    nothing to be inferred or computed.
    """
    told, answers = {}, []

    def noting(**given):
        with handlers.trace() as sites:
            returned = program(**given)
        told.update({name: np.shape(site["value"]) for name, site in sites.items() if _tells(site)})
        answers.append(None if returned is None else getattr(returned, "shape", type(returned).__name__))
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
    return continuous, discrete, told, answers[0]


def check_sites(program, told, returned, discrete, inputs, wanted) -> None:
    """Raise InputError for a site whose name is taken, or means an array of another shape, and for what is returned."""
    called = f"the program {_name(program)!r}"
    sizes = {"S": inputs.world.num_states, "A": inputs.world.num_actions, "D": inputs.behaviour.num_decisions}
    if compares_candidates(wanted):
        sizes["U"] = len(inputs.candidates)
    if "weights" in wanted:
        sizes["F"] = len(inputs.weights)
    if any(name.startswith("subject_") for name in wanted):
        sizes["N"] = len(inputs.subjects)
    if discrete and "U" not in sizes:
        raise InputError(
            f"{called} picks a candidate by its discrete site 'utility', and does not ask for them: give it an "
            "argument 'candidates', or let it sum out what it picks, by logsumexp"
        )
    for name, shape in told.items():
        if name in discrete:
            continue
        if name in _KEPT | _DIMENSIONS or "/" in name:
            reason = "names of sites have no '/'" if "/" in name else "that name is one of the posterior's own"
            raise InputError(f"{called} has a site called {name!r}, and {reason}; call it otherwise")
        meaning = _MEANINGS.get(name)
        if meaning is None:
            continue
        needs = {"U": "candidates", "F": "weights", "N": "subject_counts"}
        unknown = [needs[letter] for letter in meaning if letter not in sizes]
        if unknown:
            raise InputError(
                f"{called} has a site {name!r}, which is over {listed(unknown)}, and does not ask for them: give it an "
                f"argument {unknown[0]!r}, or call the site otherwise"
            )
        expected = tuple(sizes[letter] for letter in meaning)
        if tuple(shape) != expected:
            raise InputError(
                f"{called} has a site {name!r} of shape {tuple(shape)}; under that name it has to be "
                f"[{', '.join(meaning)}] = {expected}, see models/__init__.py, or be called otherwise"
            )
    if returned is None:
        return
    ways = ("SA", "USA") if "counts" in wanted else ("DA", "UDA")
    allowed = [tuple(sizes[letter] for letter in way) for way in ways if all(letter in sizes for letter in way)]
    if returned not in allowed:
        raise InputError(
            f"{called} returns {returned if isinstance(returned, str) else f'an array of shape {returned}'}; what is "
            f"returned are log probabilities of actions, {' or '.join(map(str, allowed))}, or nothing"
        )


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

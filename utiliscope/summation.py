"""Discrete sites of a program, summed out exactly: all of them, or inside NUTS over those that are continuous."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from jax.scipy.special import logsumexp
from numpyro import handlers
from numpyro.infer.util import log_density

from .errors import InputError

_MOST_CELLS = 50_000_000


class Sums:
    """A program without continuous sites: what it computes, or the sum over its discrete sites, exactly.

    program: called with keyword inputs, `fixed` ones and those in `data`, as `Nuts` has it.
    """

    def __init__(self, program, fixed: dict, discrete, *, num_samples: int, num_chains: int):
        self._program, self._fixed, self._discrete = program, fixed, bool(discrete)
        self._size = (num_chains, num_samples)

    def run(self, key, data: dict, say=lambda phase: None):
        """Samples `[chains, draws, ...]`: of the intelligence for each utility draws, all else alike in all of them.

        No statistics and no diagnostics: there is nothing to converge.
        """
        say("summing")
        inputs = self._fixed | data
        if self._discrete:
            log_prob, bits = read_off(key, *over_cells(self._program, inputs), self._size)
            samples = {"utility_log_prob": np.asarray(log_prob), "intelligence": np.asarray(bits)}
        else:
            trace = handlers.trace(handlers.seed(self._program, 0)).get_trace(**inputs)
            told = {name: np.asarray(site["value"]) for name, site in trace.items() if site["type"] == "deterministic"}
            samples = {name: np.broadcast_to(values, (*self._size, *values.shape)) for name, values in told.items()}
        return samples, {}, {}


def latent_sites(program, inputs) -> tuple[dict, dict]:
    """The latent sites of a program, continuous and discrete: names, and what has the shape of each."""

    def look():
        return tuple({name: site["value"] for name, site in some.items()} for some in _latent(_sites(program, inputs)))

    return shapes_of(look)


def shapes_of(function):
    """What `function()` returns, in shapes alone: step by step every operation would be compiled by itself.

    It is called where it leaves JAX, as a program may that computes and has nothing to be sampled.
    """
    try:
        return jax.eval_shape(function)
    except jax.errors.JAXTypeError:
        return function()


def _sites(program, inputs) -> dict:
    """All sites of a program, hidden from those who trace the caller: they would see them twice."""
    with handlers.block(), handlers.seed(rng_seed=0):
        return handlers.trace(program).get_trace(**inputs)


def _latent(sites) -> tuple[dict, dict]:
    latent = {name: site for name, site in sites.items() if site["type"] == "sample" and not site["is_observed"]}
    discrete = {name: site for name, site in latent.items() if site["fn"].support.is_discrete}
    return {name: site for name, site in latent.items() if name not in discrete}, discrete


def over_cells(program, inputs, values=None):
    """`[U, cells]` log joint, factor `operator` and intelligence, for every value of a program's discrete sites.

    The site `utility` comes first, all others together make the cells. values: of the continuous sites.
    """
    names, choices = _choices(program, inputs)
    if np.prod([float(len(some)) for some in choices]) > _MOST_CELLS:
        raise InputError(f"the program's discrete sites have too many values together to be summed: {', '.join(names)}")

    def joint(*chosen):
        given = {**(values or {}), **dict(zip(names, chosen, strict=True))}
        with handlers.block():
            log_joint, trace = log_density(program, (), inputs, given)
        return log_joint, trace["operator"]["fn"].log_factor, trace["intelligence"]["value"]

    # Not compiled: one pass over few cells, and many recordings may follow one another.
    for axis in range(len(names) - 1, -1, -1):
        joint = jax.vmap(joint, [0 if other == axis else None for other in range(len(names))])
    return jax.tree.map(lambda table: table.reshape(len(choices[0]), -1), joint(*choices))


def _choices(program, inputs) -> tuple[list[str], list]:
    """The discrete sites of a program, `utility` first, and the values of each; InputError if they cannot be summed."""
    found = []

    def look():
        sites = _sites(program, inputs)
        _, discrete = _latent(sites)
        _check_choices(sites, discrete, getattr(program, "__name__", program))
        names = ["utility", *(name for name in discrete if name != "utility")]
        with jax.ensure_compile_time_eval():
            values = [discrete[name]["fn"].enumerate_support(expand=False).reshape(-1) for name in names]
        found.append((names, values))

    try:
        shapes_of(look)
    except NotImplementedError:  # how many values there are is computed
        look()
    return found[-1]


def _check_choices(sites, discrete, program_name):
    if "utility" not in discrete:
        raise InputError(
            f"the program {program_name!r} has discrete sites ({', '.join(discrete)}) but none called 'utility'; "
            "name the one that picks the candidate so, as models/achieved.py does; one that picks something else is "
            "for the program to sum out, by logsumexp"
        )
    for name, site in discrete.items():
        if np.ndim(site["value"]):
            raise InputError(
                f"the discrete site {name!r} of the program {program_name!r} is an array; only single choices "
                "are summed out: write the sum into the program, as models/candidates.py does"
            )
    for name in ("operator", "intelligence"):
        if name not in sites:
            raise InputError(
                f"the program {program_name!r} has discrete sites but no {'factor' if name == 'operator' else 'site'} "
                f"{name!r}; see models/achieved.py"
            )


def summed_program(program):
    """`program` with its discrete sites summed out, so that NUTS sees the continuous ones alone."""

    def summed(**inputs):
        sites = _sites(program, inputs)
        continuous, discrete = _latent(sites)
        first, own = {name: jnp.zeros((), int) for name in discrete}, set(sites) - set(continuous)

        # Only what is the program's own is hidden: where NUTS makes a site real, it adds a factor, the Jacobian.
        def hidden(site):
            return site["name"] in own

        with handlers.trace() as seen, handlers.block(hide_fn=hidden), handlers.substitute(data=first):
            program(**inputs)
        values = {name: seen[name]["value"] for name in continuous}
        log_prior = sum(seen[name]["fn"].log_prob(values[name]).sum() for name in continuous)
        log_joint, _, _ = over_cells(program, inputs, values)
        numpyro.factor("summed", logsumexp(log_joint) - log_prior)

    return summed


def read_off(key, log_joint, factor, bits, shape=()):
    """`[*shape, U]` log posterior of the utility, exact, and draws of its intelligence.

    Draws of the intelligence for a utility are independent: with the utility's probability as re-weighted by the
    factor, else as random policies have it.
    """
    log_prob = jax.nn.log_softmax(logsumexp(log_joint, axis=1))
    probability = jnp.exp(log_prob)[:, None]
    chance = probability * jax.nn.softmax(log_joint, axis=1)
    chance = chance + (1 - probability) * jax.nn.softmax(log_joint - factor, axis=1)
    # By the inverse of the cumulative share: noise for every cell of every draw would take gigabytes.
    reached = jnp.cumsum(chance, axis=1)
    level = jax.random.uniform(key, (*shape, len(log_prob))) * reached[:, -1]
    find = jax.vmap(lambda cells, at: jnp.searchsorted(cells, at, side="right"), (0, -1), -1)
    drawn = jnp.minimum(find(reached, level), bits.shape[1] - 1)
    return jnp.broadcast_to(log_prob, drawn.shape), bits[jnp.arange(len(log_prob)), drawn]

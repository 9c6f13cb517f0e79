"""`fit`: run an operator program on recorded behaviour, by NUTS or by exact summation."""

import inspect
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp
from numpyro.infer import MCMC, NUTS
from threadpoolctl import threadpool_limits

from .achieved_likelihood import over_cells
from .achievement import achieved_values, started_world
from .behaviour import Behaviour, check_fits, read_behaviour
from .cache import described
from .errors import InputError, check_whole
from .laws import ExponentialLaw, IntelligenceLaw, check_law
from .policies import Dirichlet, check_prior
from .posterior import assemble
from .programs import load_program
from .sequences import comparison_world
from .tails import value_tail
from .utilities import Candidates, Grammar
from .world.model import check_world
from .world.possible import World, mean_world

# What NUTS records of each draw, by ArviZ's names.
_STATS = {
    "energy": "energy",
    "num_steps": "n_steps",
    "accept_prob": "acceptance_rate",
    "diverging": "diverging",
    "potential_energy": "lp",
}


def fit(
    behaviour,
    world: World,
    *,
    program: str | Callable = "candidates",
    candidates: Candidates | None = None,
    policy_prior=Dirichlet(1.0),
    reading: str = "policy",
    simplicity: float = 1.0,
    intelligence_law: IntelligenceLaw | None = None,
    num_warmup: int = 500,
    num_samples: int = 500,
    num_chains: int = 4,
    num_particles: int = 512,
    tail_bits: float = 200.0,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
):
    """Posterior over what recorded behaviour is trying to achieve, as an ArviZ DataTree.

    behaviour: what `read_behaviour` returns or takes. world: one, or `PossibleWorlds`, averaged before policies are
    compared ("policy" only; their mean is kept for pictures).
    candidates: utilities and their code lengths; by default all that `Grammar(world)` has up to 12 bits.
    program: "candidates", a NumPyro function with the same arguments, or "FILE.py:FUNCTION".
    policy_prior: random policies, both the measure of bits and the prior of the operator's policy.
    reading: "policy" infers a policy over states, by NUTS; "achieved" takes the mean utility of whole episodes
    from their own starts, by exact summation, and lets the operator remember.
    simplicity: weight on code length. intelligence_law: h(g); 2^(0.8 g) by default.
    num_particles: random policies in the value tails' populations. tail_bits: how far the tails go at most; beyond
    it intelligence is a lower bound, flagged.
    progress: called with what is being done ("value tails 3/40", "compiling", "sampling", ...).

    The groups are posterior (utility_log_prob and intelligence over a named utility dimension, policy), sample_stats,
    observed_data, log_likelihood (policy reading) and constant_data. R-hat, ESS and divergences are in the attributes
    of the posterior, with a ConvergenceWarning where they are poor. The same seed gives the same numbers; the value
    tails do not depend on it, their error is part of the utility table's. Raises InputError for bad input.

    The cost is the value tails, once for each world, prior and set of candidates (kept on disk), and NUTS over the
    policy: a solve of an `[S, S]` system, and one for each set to be reached, at each step.
    """
    say = progress or (lambda phase: None)
    law = ExponentialLaw() if intelligence_law is None else intelligence_law
    numbers = dict(num_warmup=num_warmup, num_samples=num_samples, num_chains=num_chains)
    _check_settings(world, policy_prior, law, candidates, simplicity, numbers, seed)
    function = load_program(program, reading)
    if not isinstance(behaviour, Behaviour):
        say("reading the recording")
        behaviour = read_behaviour(behaviour, world)
    check_fits(behaviour, world)
    if reading == "achieved":
        world = comparison_world(started_world(behaviour, world), policy_prior)
    elif not hasattr(policy_prior, "distribution"):
        raise InputError(
            f"{type(policy_prior).__name__} has no density, and gives any noisy recording likelihood 0: the policy "
            "reading needs Dirichlet(...); finite priors go with reading='achieved'"
        )
    if not policy_prior.atomic:
        law.log_mean()  # an improper law is refused before the work begins
    if candidates is None:
        say("enumerating utilities")
        # In the world where they are compared: over its horizon other programs agree than without end.
        candidates = Grammar(world).enumerate(max_bits=12)

    settings = dict(intelligence_law=law, simplicity=float(simplicity))
    if reading == "policy":
        settings["policy_prior"] = policy_prior
    _check_signature(function, 4, settings)

    started = time.perf_counter()
    tails = value_tail(
        jax.random.key(0),
        world,
        candidates.payoffs,
        policy_prior=policy_prior,
        num_particles=num_particles,
        max_bits=tail_bits,
        progress=lambda done, of: say(f"value tails {done}/{of}"),
    )
    seconds = {"tails": time.perf_counter() - started}
    with jax.enable_x64(True):
        key = jax.random.key(seed)
        if reading == "achieved":
            value, error = achieved_values(behaviour, world, candidates.payoffs)
            arguments = (value, error, candidates, tails)
            samples, stats = _sum_out(key, function, arguments, settings, num_samples, num_chains, say)
        else:
            arguments = (behaviour.counts(), world, candidates, tails)
            shape = num_warmup, num_samples, num_chains
            samples, stats = _sample(key, function, arguments, settings, shape, seconds, say)
        _check_sites(samples, len(candidates), function)
        say("checking")
        return assemble(
            key,
            samples,
            stats,
            behaviour=behaviour,
            world=mean_world(world),
            candidates=candidates,
            tails=tails,
            law=law,
            attributes=dict(
                program=getattr(function, "__name__", str(function)),
                reading=reading,
                policy_prior=described(policy_prior),
                intelligence_law=described(law),
                simplicity=float(simplicity),
                seed=int(seed),
                num_particles=int(num_particles),
                tail_bits=float(tail_bits),
                **{f"seconds_{name}": round(value, 2) for name, value in seconds.items()},
            ),
        )


def _sample(key, program, arguments, settings, shape, seconds, say):
    """NUTS: samples and statistics `[chains, draws, ...]`.

    One chain is compiled, and run once for each key in threads: no chain waits for another's longest trajectory.
    """
    num_warmup, num_samples, num_chains = shape

    def chain(key):
        mcmc = MCMC(NUTS(program), num_warmup=num_warmup, num_samples=num_samples, progress_bar=False)
        mcmc.run(key, *arguments, **settings, extra_fields=tuple(_STATS))
        return mcmc.get_samples(), mcmc.get_extra_fields()

    say("compiling")
    keys = jax.random.split(key, num_chains)
    started = time.perf_counter()
    compiled = jax.jit(chain).lower(keys[0]).compile()
    seconds["compiling"] = time.perf_counter() - started

    def run(one):
        with jax.enable_x64(True):
            return jax.tree.map(np.asarray, compiled(one))

    say("sampling")
    started = time.perf_counter()
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(os.cpu_count()) as pool:
        chains = list(pool.map(run, keys))
    seconds["sampling"] = time.perf_counter() - started
    samples, stats = jax.tree.map(lambda *x: np.stack(x), *chains)
    stats = {_STATS[name]: values for name, values in stats.items()}
    stats["lp"] = -stats["lp"]
    return samples, stats


def _sum_out(key, program, arguments, settings, num_samples, num_chains, say):
    """The posterior of the utility, exact. Draws of the intelligence for a utility are independent: with the utility's
    probability as re-weighted by the factor, else as random policies have it.
    """
    say("summing")
    log_joint, factor, bits = over_cells(program, arguments, settings)
    log_prob = jax.nn.log_softmax(logsumexp(log_joint, axis=1))
    probability = jnp.exp(log_prob)[:, None]
    chance = probability * jax.nn.softmax(log_joint, axis=1)
    chance = chance + (1 - probability) * jax.nn.softmax(log_joint - factor, axis=1)
    shape = (num_chains, num_samples, len(log_prob))
    drawn = np.asarray(jax.random.categorical(key, jnp.log(chance), shape=shape))
    samples = {
        "intelligence": np.asarray(bits)[np.arange(len(log_prob)), drawn],
        "utility_log_prob": np.broadcast_to(np.asarray(log_prob), shape),
    }
    return samples, {}


def _check_settings(world, policy_prior, law, candidates, simplicity, numbers, seed):
    check_world(world)
    check_prior(policy_prior)
    check_law(law)
    if candidates is not None and not (isinstance(candidates, Candidates) and len(candidates)):
        raise InputError(
            f"candidates is {candidates!r:.60}; give what Grammar(world).enumerate() or candidate_set(...) return"
        )
    if not (np.isfinite(simplicity) and simplicity >= 0):
        raise InputError(f"simplicity is {simplicity}; it must be a weight >= 0")
    for (name, value), least in zip(numbers.items(), (1, 4, 1), strict=True):
        check_whole(name, value, least)
    check_seed(seed)


def check_seed(seed) -> None:
    """Raise InputError unless `seed` is a whole number from 0 to 2^32 - 1."""
    if not hasattr(seed, "__index__") or not 0 <= seed < 2**32:
        raise InputError(f"seed is {seed}; it must be a whole number from 0 to 2^32 - 1")


def _check_signature(program, number, settings):
    """Raise InputError, before any work, for a program that cannot be called with what it will be given."""
    try:
        inspect.signature(program).bind(*[None] * number, **settings)
    except TypeError as error:
        expected = ", ".join(["..."] * number + sorted(settings))
        name = getattr(program, "__name__", program)
        raise InputError(
            f"the program {name!r} does not take the arguments ({expected}): {error}; see models/candidates.py"
        ) from None
    except ValueError:
        pass  # a built-in without a signature


def _check_sites(samples, number, program):
    for site in ("utility_log_prob", "intelligence"):
        if site not in samples or samples[site].shape[2:] != (number,):
            raise InputError(
                f"the program {getattr(program, '__name__', program)!r} has no deterministic site {site!r} with one "
                f"entry for each of the {number} candidates; see models/candidates.py"
            )

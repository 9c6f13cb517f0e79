"""How the curve of a value tail is computed: which moves serve a prior in a world."""

import equinox as eqx
import jax
import numpy as np

from .curves import curve_of_ladder, curve_of_levels
from .planning import chains
from .policies import UniformDeterministic, choice_states
from .row_splitting import Patches, WholeInverses, can_split_rows, draw_rows, row_problem
from .sequences import ActionSequences
from .splitting import split
from .tempering import temper
from .traced_splitting import levels_of, plain_mover, row_mover, traced_split, world_links
from .world.model import WorldModel, bare, reachable_states

_MOST_INVERTED = 256  # states of a world whose inverses are kept for every particle
_PARTICLES_OF_A_CHAIN, _FEWEST_CHAINS = 64, 16


def curves(world, policy_prior, settings, threads):
    """A function of key, payoffs, tolerance and best value that gives a curve (see `curves.py`)."""
    by_moves = _by_compiled_moves if can_split_rows(world, policy_prior) else _by_traced_moves
    return by_moves(world, policy_prior, settings, threads)


def _by_compiled_moves(world, policy_prior, settings, threads):
    """For our priors of independent rows: by splitting with inverses, in big worlds by tempering."""
    num_particles, num_sweeps, reach, stop_at, max_bits = settings
    knobs = dict(reach=reach, stop_at=stop_at, max_bits=max_bits)

    def curve(key, payoffs, tolerance, best):
        random = np.random.default_rng(np.asarray(jax.random.key_data(key)))
        problem = row_problem(world, payoffs, policy_prior)
        ends = dict(knobs, best=best, tolerance=tolerance)
        if world.num_states <= _MOST_INVERTED:
            policy = draw_rows(random, policy_prior, np.asarray(world.available), num_particles)
            population = WholeInverses(random, problem, policy, num_sweeps)
            return curve_of_levels(split(population, random, **ends), tolerance, best, policy_prior.atomic)
        number = max(num_particles // _PARTICLES_OF_A_CHAIN, _FEWEST_CHAINS)
        policy = draw_rows(random, policy_prior, np.asarray(world.available), number)
        ladder = temper(random, Patches(random, problem, policy, num_sweeps), threads=threads, **ends)
        return curve_of_ladder(ladder, tolerance, best, policy_prior.atomic)

    return curve


def _by_traced_moves(world, policy_prior, settings, _):
    """For any prior with moves, in JAX."""
    num_particles, num_sweeps, reach, stop_at, max_bits = settings
    links = world_links(world)
    size = dict(num_particles=num_particles, num_sweeps=num_sweeps)
    knobs = dict(num_particles=num_particles, max_levels=int(np.ceil(_most_bits(world, policy_prior, max_bits))) + 2)
    ends = dict(reach=np.float64(reach), stop_at=np.float64(stop_at))

    if hasattr(policy_prior, "perturb_row") and world.horizon is None and isinstance(world, WorldModel):

        def run(key, payoffs, tolerance, best):
            goes_on, paid = chains(world, payoffs)
            parts = bare(world), links, (goes_on.astype(float), paid)
            return _split_rows(key, policy_prior, *parts, tolerance, best, ends, size, knobs)
    else:

        @jax.jit
        def run(key, payoffs, tolerance, best):
            mover = plain_mover(world, payoffs, policy_prior, **size)
            return traced_split(key, mover, tolerance=tolerance, best=best, **ends, **knobs)

    def curve(key, payoffs, tolerance, best):
        levels = levels_of(run(key, payoffs, np.float64(tolerance), np.float64(best)))
        return curve_of_levels(levels, tolerance, best, policy_prior.atomic)

    return curve


@eqx.filter_jit
def _split_rows(key, prior, world, links, chains, tolerance, best, ends, size, knobs):
    mover = row_mover(world, links, chains, prior, **size)
    return traced_split(key, mover, tolerance=tolerance, best=best, **ends, **knobs)


def _most_bits(world, policy_prior, max_bits):
    """No more levels than a flat prior has bits."""
    number = np.asarray(world.available).sum(-1)
    if isinstance(policy_prior, ActionSequences):
        return min(max_bits, policy_prior.horizon * np.log2(number.max()) + 10)
    if isinstance(policy_prior, UniformDeterministic):
        return min(max_bits, np.log2(number[choice_states(world, reachable_states(world))]).sum() + 10)
    return max_bits

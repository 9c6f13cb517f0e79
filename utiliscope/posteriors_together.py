"""The bits that many recordings of one world allow, for many utilities, all together under vmap: for accelerators.

Each recording and utility is a lane: a population of policies that is driven up in value, a few levels in each call of
one compiled program. A lane that has gone far enough makes room for the next one that waits, so that the program has
one shape, however many there are. On a processor the compiled moves of `posterior_bits` are many times less work.
"""

import functools
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from threadpoolctl import threadpool_limits

from .chains import memoryless_chains
from .devices import accelerated, over_devices
from .errors import InputError, check_whole
from .policies import Dirichlet
from .posterior_bits import Curve, Gauge, Harvest, PosteriorBits, bits_of_one, seed_of, updated
from .traced_rows import Solved, row_mover, world_links
from .traced_splitting import climb
from .world.model import WorldModel, bare

_LEVELS = 6  # of a bit or more, between two looks at what is left
# On each device: who waits for the last ones costs a processor as much as who moves.
_LANES, _LANES_OF_A_PROCESSOR = 64, 8


class Lane(NamedTuple):
    """A recording's place and a utility's, and what the program is told of them.

    key: data of it. concentration: `[S, A]` of the rows. goes_on, paid: `[C, S]` and `[C, S, A]` of the chains. target,
    tolerance: where to end, and of values.
    """

    recording: int
    utility: int
    key: np.ndarray
    concentration: np.ndarray
    goes_on: np.ndarray
    paid: np.ndarray
    target: float
    tolerance: float

    @property
    def told(self):
        return self[3:]


def posterior_bits_together(
    keys,
    counts,
    measure: Gauge,
    *,
    tables,
    num_particles: int = 256,
    num_sweeps: int = 1,
    num_lanes: int | None = None,
) -> list[list[PosteriorBits | None]]:
    """`posterior_bits` of each of `J` recordings, with its own key: `[J][U]`.

    keys, counts: `J` keys, and `[S, A]` of each. num_lanes: populations that move at a time on each device, 64, or 8 on
    a processor, if not given. num_particles: best a power of two: they move in blocks of one that divides them, so that
    an odd number goes one by one. Memory: num_lanes times num_particles S A numbers, and C S^2 for each of a block, for
    utilities of C chains.

    A lane's numbers are its own, whatever runs beside it; they are not those of `posterior_bits`, whose populations
    fall by quarters instead of halves. Utilities that remember, and sets of possible worlds, have no lane and are read
    by that. Raises InputError as it does.
    """
    check_whole("num_particles", num_particles, 8)
    check_whole("num_sweeps", num_sweeps, 1)
    if len(keys) != len(counts):
        raise InputError(f"there are {len(keys)} keys for {len(counts)} recordings; give each its own")
    if num_lanes is None:
        num_lanes = _LANES if accelerated() else _LANES_OF_A_PROCESSOR
    check_whole("num_lanes", num_lanes, 1)
    posteriors = [updated(measure, some) for some in counts]
    chains = _chains(measure)
    seeds, curves = ({u: of(measure, u) for u in chains} for of in (seed_of, Curve))
    found = {}
    # Utilities of one number of chains at a time: what a lane draws may not depend on what others it comes with.
    for number in sorted({len(goes_on) for goes_on, _ in chains.values()}):
        lanes = deque(
            Lane(j, u, _own(key, seeds[u]), np.asarray(posterior.concentration), *parts, *curves[u].ends)
            for j, (key, posterior) in enumerate(zip(keys, posteriors, strict=True))
            for u, parts in chains.items()
            if len(parts[0]) == number
        )
        with jax.enable_x64(True):
            for lane, bits in _read(lanes, measure.world, curves, tables, (num_particles, num_sweeps), num_lanes):
                found[lane.recording, lane.utility] = bits
    rest = [
        (j, u)
        for j in range(len(posteriors))
        for u, problem in enumerate(measure.problems)
        if problem is not None and u not in chains
    ]

    def by_itself(place):
        j, u = place
        return bits_of_one(keys[j], posteriors[j], measure, u, tables=tables, size=(num_particles, num_sweeps))

    with threadpool_limits(1, "blas"), ThreadPoolExecutor() as pool:
        found |= dict(zip(rest, pool.map(by_itself, rest), strict=True))
    return [[found.get((j, u)) for u in range(len(measure.problems))] for j in range(len(posteriors))]


def _chains(measure):
    """Of each utility without memory that is not constant: goes_on `[C, S]` and paid `[C, S, A]`."""
    if not isinstance(measure.world, WorldModel):
        return {}
    found = {
        u: memoryless_chains(measure.world, measure.payoffs[u])
        for u, problem in enumerate(measure.problems)
        if problem is not None
    }
    return {u: tuple(part * 1.0 for part in parts) for u, parts in found.items() if parts is not None}


def _own(key, seed):
    """The data of a lane's own key, whatever kind of key its recording has."""
    entropy = [*np.asarray(jax.random.key_data(key)).ravel().tolist(), seed]
    return np.random.SeedSequence(entropy).generate_state(2, np.uint32)


def _read(waiting, world, curves, tables, size, num_lanes):
    """Lanes and their bits, as they are done."""
    if not waiting:
        return
    number = num_lanes * len(jax.local_devices())
    places, harvests, active = [waiting[0]] * number, [None] * number, np.zeros(number, bool)
    shape = (number, size[0], world.num_states, world.num_actions)
    keys, particles = np.stack([lane.key for lane in places]), Solved(np.ones(shape), np.zeros(shape[:2]))
    shared, program = (bare(world), *world_links(world)), _program(*size)
    while waiting or active.any():
        fresh = ~active & (np.cumsum(~active) <= len(waiting))
        for place in np.flatnonzero(fresh):
            places[place], harvests[place] = waiting.popleft(), None
        active |= fresh
        keys = np.where(fresh[:, None], np.stack([lane.key for lane in places]), keys)
        told = (np.stack(part) for part in zip(*(lane.told for lane in places), strict=True))
        keys, first, particles, *happened = program(keys, fresh, active, particles, *told, *shared)
        keys, first, values, *happened = jax.device_get((keys, first, particles.values, *happened))
        for place in np.flatnonzero(active):
            killed, alive, last = _fallen(*(part[place] for part in happened))
            lane = places[place]
            if fresh[place]:
                harvests[place] = Harvest(curves[lane.utility], tables, first[place])
            if harvests[place].take(killed, alive, values[place], last):
                yield lane, harvests[place].gathered()
                active[place] = False


@functools.cache
def _program(num_particles, num_sweeps):
    """A few levels of every lane: compiled once for worlds, numbers of chains and of lanes of one shape."""

    def one(key, fresh, active, particles, concentration, goes_on, paid, target, tolerance, world, *links):
        draw_key, climb_key = jax.random.split(jax.random.wrap_key_data(key, impl="threefry2x32"))
        prior = eqx.tree_at(lambda prior: prior.concentration, Dirichlet(1.0), concentration)
        mover = row_mover(world, links, (goes_on, paid), prior, num_particles=num_particles, num_sweeps=num_sweeps)
        drawn = mover.draw(draw_key)
        particles = jax.tree.map(lambda new, old: jnp.where(fresh, new, old), drawn, particles)
        # Who waits is asked for no level; what is left of it is drawn anew when its turn comes.
        target = jnp.where(active, target, -jnp.inf)
        end = climb(climb_key, particles, mover, tolerance=tolerance, target=target, max_levels=_LEVELS)
        happened = end.values, end.survivors, end.count, end.done
        return jax.random.key_data(end.key), particles.values, end.particles, *happened

    return over_devices(one, num_shared=4)


def _fallen(values, survivors, count, done):
    """Of up to `L` levels `[L, N]`: rising values that fell at each, how many were above, and whether that was all."""
    values, size = np.sort(values[:count], axis=1), values.shape[1]
    alive = survivors[:count].tolist()
    killed = [some[: size - above] for some, above in zip(values, alive, strict=True)]
    if done:
        killed[-1] = values[-1]
    return killed, alive, bool(done)

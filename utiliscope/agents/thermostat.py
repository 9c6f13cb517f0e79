"""A thermostat: it keeps an amount near a set point, and looks no further than the next step."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse
import scipy.sparse.csgraph

from utiliscope.behaviour import Behaviour
from utiliscope.world.possible import World
from utiliscope.world.transition import likeliest, moves

from .knobs import check_between
from .outlook import evenly
from .simulate import check_actual, simulate


@dataclass(frozen=True)
class Thermostat:
    """Goes where the signal is higher when it is below its set point, and lower above it; at it, anywhere.

    Goes: takes, at random, one of the available actions whose likeliest next state has such a signal; if there is none,
    any action. The signal is the first amount among the features, by name; without one the moves that it takes to come
    to the first feature; without features the first coordinate, else the number of the state.

    level: the set point, as the share of states with a lower signal. What it is given to pursue is ignored.

    References: Wiener (1948), Cybernetics; Ashby (1952), Design for a Brain.
    """

    level: float | int = 0.5

    def __post_init__(self):
        check_between("level", self.level, 0, 1)

    def pursued(self, world: World, utility) -> None:
        """Nothing."""
        return None

    def policy(self, world: World, utility=None) -> np.ndarray:
        """`[S, A]` what it does."""
        check_actual(world)
        signal, available = signal_of(world), np.asarray(world.available)
        point = np.quantile(signal, self.level, method="lower")
        ahead, _ = likeliest(world.transition)
        corrects = np.sign(signal[ahead] - signal[:, None]) == np.sign(point - signal)[:, None]
        corrects &= available & (signal != point)[:, None]
        return evenly(np.where(corrects.any(-1, keepdims=True), corrects, available))

    def record(self, key, world: World, utility, *, num_episodes: int, num_steps: int) -> Behaviour:
        """See `Agent.record`."""
        return simulate(key, world, self.policy(world), num_episodes=num_episodes, num_steps=num_steps)


def signal_of(world: World) -> np.ndarray:
    """`[S]` what a thermostat in `world` feels."""
    features = {name: np.asarray(world.features[name]) for name in sorted(world.features)}
    for values in features.values():
        if values.dtype != bool:
            return values.astype(np.float64)
    for values in features.values():
        if values.any():
            return _distance(world, values)
    return np.arange(world.num_states) * 1.0 if world.xy is None else np.asarray(world.xy, np.float64)[:, 0]


def _distance(world, goal):
    """`[S]` least number of moves to come into `goal` `[S]`, or the number of states where there is no way."""
    start, end = moves(world.transition, world.available).T
    size = world.num_states
    graph = scipy.sparse.csr_array((np.ones(len(start)), (end, start)), shape=(size, size))
    steps = scipy.sparse.csgraph.dijkstra(graph, indices=np.flatnonzero(goal), unweighted=True, min_only=True)
    return np.where(np.isfinite(steps), steps, size)

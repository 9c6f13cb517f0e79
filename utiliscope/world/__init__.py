"""Worlds: controlled Markov processes with named states, actions and state features."""

from .files import read_world, write_world
from .grid import gridworld
from .gymnasium import from_gymnasium
from .model import WorldModel, world_model
from .possible import PossibleWorlds, possible_worlds
from .transition import SparseTransition, sparse_transition

__all__ = [
    "PossibleWorlds",
    "SparseTransition",
    "WorldModel",
    "from_gymnasium",
    "gridworld",
    "possible_worlds",
    "read_world",
    "sparse_transition",
    "world_model",
    "write_world",
]

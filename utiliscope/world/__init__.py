"""Worlds: controlled Markov processes with named states, actions and state features."""

from .files import read_world, write_world
from .grid import gridworld
from .gymnasium import from_gymnasium
from .model import WorldModel, world_model

__all__ = ["WorldModel", "from_gymnasium", "gridworld", "read_world", "world_model", "write_world"]

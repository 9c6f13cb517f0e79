"""Runs of one shape side by side: under vmap, on every device that there is."""

from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, PartitionSpec


def accelerated() -> bool:
    """Whether JAX runs on something else than the processor."""
    return jax.default_backend() != "cpu"


def over_devices(run: Callable, *, num_shared: int = 0) -> Callable:
    """`run` for many at once, compiled: arguments and results get a leading axis, a multiple of the devices long.

    num_shared: how many of the last arguments are the same for all.
    """

    def together(*arguments):
        first = len(arguments) - num_shared
        mesh = Mesh(np.array(jax.local_devices()), ("lane",), axis_types=(AxisType.Auto,))
        lanes, same = PartitionSpec("lane"), PartitionSpec()
        specs = (lanes,) * first + (same,) * num_shared
        mapped = jax.vmap(run, in_axes=(0,) * first + (None,) * num_shared)
        return jax.shard_map(mapped, mesh=mesh, in_specs=specs, out_specs=lanes, check_vma=False)(*arguments)

    return jax.jit(together)

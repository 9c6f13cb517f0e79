"""What the programs of agents that plan have in common: their temperature, and what they do at it."""

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from .errors import InputError

# Utilities pay small whole amounts, and their values lie within a few orders of magnitude of 1.
DEFAULT_TEMPERATURE = dist.LogNormal(0.0, 3.0)


def sampled_temperature(temperature):
    """The site `temperature`: drawn from a distribution, or a number above 0."""
    if isinstance(temperature, dist.Distribution):
        return numpyro.sample("temperature", temperature)
    if not temperature > 0:
        raise InputError(f"temperature is {temperature}; give a number above 0 or a NumPyro distribution")
    return numpyro.deterministic("temperature", jnp.asarray(temperature, jnp.result_type(float)))


def log_likelihood(counts, log_policy):
    """`[...]` log probability, in nats, of `counts` `[S, A]` of actions under log policies `[..., S, A]`."""
    return jnp.where(counts > 0, counts * jnp.where(counts > 0, log_policy, 0.0), 0.0).sum((-2, -1))


def no_horizon(world):
    """Raise InputError for worlds with a horizon: there, what is best depends on the time, which counts leave out."""
    if world.horizon is not None:
        raise InputError(
            f"counts of actions say nothing about time, on which action values depend in a world with a horizon of "
            f"{world.horizon}; give the world without one and a discount below 1, or use boltzmann with decision_values"
        )

"""Recorded actions as a NumPyro distribution: how often a policy took each of them, in the order recorded."""

import jax
import jax.numpy as jnp
from numpyro import distributions as dist
from numpyro.distributions import constraints


class RecordedActions(dist.Distribution):
    """Counts `[S, A]` of actions that a policy `[S, A]` takes in `visits` `[S]` to each state.

    ln of their probability one after the other, prod pi(a | s)^counts: how many orders there are is left out, for the
    order is part of the recording.
    """

    arg_constraints = {"policy": constraints.independent(constraints.unit_interval, 2)}  # noqa: RUF012 (NumPyro's form)
    support = constraints.independent(constraints.nonnegative, 2)
    pytree_data_fields = ("policy", "visits")

    def __init__(self, policy, visits, *, validate_args=None):
        self.policy, self.visits = policy, visits
        super().__init__(jnp.shape(policy)[:-2], jnp.shape(policy)[-2:], validate_args=validate_args)

    def log_prob(self, counts):
        # What was not done weighs nothing, also where it cannot be done.
        done = counts > 0
        return jnp.where(done, counts * jnp.log(jnp.where(done, self.policy, 1.0)), 0.0).sum((-2, -1))

    def sample(self, key, sample_shape=()):
        shape = (*sample_shape, *jnp.shape(self.policy))
        return jax.random.multinomial(key, jnp.asarray(self.visits), self.policy, shape=shape)

"""The part of `benchmarks/intelligence.py` that needs `jaxns` 3: run by any Python that has it, in a process of its
own, because importing it switches all of JAX to 64 bits.

    python benchmarks/intelligence_jaxns.py NUMBER VALUE SLICES

`NUMBER` uniform shares, a policy's chances of being right; prints how rare a sum of `VALUE` is, in bits, its standard
error, how often the sum was computed, and the seconds of a first and of a second run, which has its compiled code.
"""

import json
import sys
import time

import jax
import jax.numpy as jnp
from jaxns.constrained_sampler import UniDimSliceSampler
from jaxns.core import NestedSampler
from jaxns.model import Model
from jaxns.priors import Prior
from tensorflow_probability.substrates import jax as tfp

# Of the likelihood below the value. What lies there adds about NUMBER / _STEEPNESS to the evidence.
_STEEPNESS = 1e4


def main():
    number, value, slices = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])

    def prior_model():
        uniform = tfp.distributions.Uniform(jnp.zeros(number), jnp.ones(number))
        shares = Prior(uniform, name="shares").realise()
        return _STEEPNESS * jnp.minimum(shares.sum() - value, 0.0)

    sampler = NestedSampler(model=Model(prior_model=prior_model), sampler=UniDimSliceSampler(num_slices=slices))
    seconds = []
    for seed in (0, 1):
        started = time.perf_counter()
        state = sampler.run(key=jax.random.PRNGKey(seed))
        results = state.to_result().trim()
        bits, error = -float(results.log_Z_mean) / jnp.log(2), float(results.log_Z_uncert) / jnp.log(2)
        seconds.append(time.perf_counter() - started)
    print(json.dumps([float(bits), float(error), int(results.total_num_likelihood_evaluations), *seconds]))


if __name__ == "__main__":
    main()

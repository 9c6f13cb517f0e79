"""Chains of NUTS on an atlas's density, compiled once for all rounds."""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from numpyro.infer import NUTS
from numpyro.infer.hmc_util import build_adaptation_schedule
from threadpoolctl import threadpool_limits

from .inputs import asked_for
from .sampling import STATS

_FEW = 50  # draws, for the scales of all places
_DEPTH = 6  # of trajectories: longer ones come back, and cost more than they bring


def warmed_up(compiled, keys, starts, atlas, num_warmup, num_samples):
    """States of chains whose last steps of warming up take the scales of all chains' draws together."""
    own = build_adaptation_schedule(num_warmup)[-1].start
    recent = min(own // 2, num_samples)
    states = compiled(keys, starts, None, atlas, own - recent)[0]
    states, *_, places = compiled(keys, None, states, atlas, recent)
    number = recent * len(keys)
    if number > _FEW:
        # Shrunk towards a small number, as NumPyro does with those of one chain (Stan's rule).
        variance = places[:, :recent].reshape(number, -1).var(0)
        variance = (number * variance + 5e-3) / (number + 5)
        states = [_scaled(state, jnp.asarray(variance)) for state in states]
    return compiled(keys, None, states, atlas, num_warmup - own)[0]


def _scaled(state, variance):
    """The state of a chain with other variances of its coordinates."""
    (names,) = state.adapt_state.inverse_mass_matrix
    scales = dict(inverse_mass_matrix=variance, mass_matrix_sqrt=variance**-0.5, mass_matrix_sqrt_inv=variance**0.5)
    scales = {name: {names: value} for name, value in scales.items()}
    return state._replace(adapt_state=state.adapt_state._replace(**scales))


def compiled_chains(program, given, num_warmup, num_samples, target_accept, atlas, start):
    """One chain, compiled once for all rounds: from a start, or from where it stopped, for any number of steps.

    given: what `program` may ask for, but for the atlas.
    """

    def advance(key, start, state, fresh, atlas, number):
        kernel = NUTS(program, max_tree_depth=_DEPTH, target_accept_prob=target_accept)
        everything = dict(given, atlas=atlas)
        inputs = {name: everything[name] for name in asked_for(program, "policy")}
        first = kernel.init(key, num_warmup, start, (), inputs)
        if state is not None:
            # Another atlas makes another density where a chain stands.
            state = state._replace(potential_energy=first.potential_energy, z_grad=first.z_grad)
            state = jax.tree.map(partial(jnp.where, fresh), first, state)
        else:
            state = first
        shown = kernel.postprocess_fn((), inputs)

        def one(state):
            return shown(state.z), {name: getattr(state, name) for name in STATS}, ravel_pytree(state.z)[0]

        kept = jax.tree.map(lambda x: jnp.zeros((num_samples, *x.shape), x.dtype), jax.eval_shape(one, state))

        def step(index, carry):
            state, kept = carry
            state = kernel.sample(state, (), inputs)
            place = jnp.minimum(index, num_samples - 1)
            return state, jax.tree.map(lambda all, new: all.at[place].set(new), kept, one(state))

        return jax.lax.fori_loop(0, number, step, (state, kept))

    key = jax.random.key(0)
    empty = jax.eval_shape(lambda: advance(key, start, None, True, atlas, 0))[0]
    empty = jax.tree.map(
        lambda x: (
            jax.random.key(0) if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) else jnp.zeros(x.shape, x.dtype)
        ),
        empty,
    )
    chain = jax.jit(advance).lower(key, start, empty, True, atlas, jnp.asarray(0)).compile()

    def run(keys, starts, states, atlas, number):
        def one(index):
            with jax.enable_x64(True):
                state = empty if states is None else states[index]
                begin = state.z if starts is None else starts[index]
                state, kept = chain(keys[index], begin, state, jnp.asarray(states is None), atlas, jnp.asarray(number))
                return state, jax.tree.map(np.asarray, kept)

        with threadpool_limits(1, "blas"), ThreadPoolExecutor(os.cpu_count()) as pool:
            states, kept = zip(*pool.map(one, range(len(keys))), strict=True)
        return states, *jax.tree.map(lambda *x: np.stack(x), *kept)

    return run

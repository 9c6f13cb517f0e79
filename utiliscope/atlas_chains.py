"""Chains of NUTS on an atlas's density, compiled once for all rounds, that warm up together."""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from numpyro.infer import NUTS
from numpyro.infer.hmc_util import build_adaptation_schedule, dual_averaging
from threadpoolctl import threadpool_limits

from .inputs import asked_for
from .sampling import STATS

_DEPTH = 6  # of trajectories: longer ones come back, and cost more than they bring
_FIRST_STEP = 0.1
_AT_ONCE = 5  # draws of each chain between two looks at the step size
_LEAST_DRAWS = 20  # of all chains, for scales


def warmed_up(compiled, keys, starts, atlas, num_warmup: int, target_accept: float):
    """States of chains with one step size, and one scale for each coordinate, found by all chains together.

    In NumPyro's windows. The step size is had by dual averaging of the mean acceptance of all chains; alone, a chain of
    fifty draws may end with several times too small a one where acceptance depends on the place more than on the step.
    The scales of a window are (var z / var grad)^(1/2), which minimises the Fisher divergence to a normal density
    (Seyboldt, Carlson and Carpenter, 2026, arXiv:2603.18845).
    """
    begin, update = dual_averaging()
    states = compiled(keys, starts, None, atlas, 0)[0]
    step = _FIRST_STEP
    windows = build_adaptation_schedule(num_warmup)
    for window in windows:
        length, seen, averaging = window.end - window.start + 1, [], begin(np.log(10 * step))
        for done in range(0, length, _AT_ONCE):
            number = min(_AT_ONCE, length - done)
            states = [_with(state, step_size=jnp.asarray(step)) for state in states]
            states, _, stats, *path = compiled(keys, None, states, atlas, number)
            averaging = update(target_accept - stats["accept_prob"][:, :number].mean(), averaging)
            step = float(np.exp(averaging[0]))
            seen.append([x[:, :number] for x in path])
        step = float(np.exp(averaging[1]))
        states = [_with(state, step_size=jnp.asarray(step)) for state in states]
        if window is not windows[-1] and length * len(keys) >= _LEAST_DRAWS:
            places, gradients = (np.concatenate(x, axis=1).reshape(length * len(keys), -1) for x in zip(*seen))
            states = [_with(state, **_scales(state, places, gradients)) for state in states]
    return states


def _with(state, **changes):
    return state._replace(adapt_state=state.adapt_state._replace(**changes))


def _scales(state, places, gradients):
    """What NUTS knows of the coordinates' scales, by draws and gradients `[D, n]` there."""
    ((names, before),) = state.adapt_state.inverse_mass_matrix.items()
    with np.errstate(all="ignore"):
        variance = np.sqrt(places.var(0) / gradients.var(0))
    variance = jnp.asarray(np.where(np.isfinite(variance) & (variance > 0), variance, before))
    scales = dict(inverse_mass_matrix=variance, mass_matrix_sqrt=variance**-0.5, mass_matrix_sqrt_inv=variance**0.5)
    return {name: {names: value} for name, value in scales.items()}


def compiled_chains(program, given, num_samples, atlas, start):
    """One chain, compiled once for all rounds: from a start, or from where it stopped, for any number of steps.

    given: what `program` may ask for, but for the atlas. num_samples: at most kept, of a call; later ones overwrite the
    last. What is compiled returns the states of all chains, and of each draw the sites, statistics, place and gradient.
    """

    def advance(key, start, state, fresh, atlas, number):
        kernel = NUTS(program, max_tree_depth=_DEPTH, adapt_step_size=False, adapt_mass_matrix=False)
        everything = dict(given, atlas=atlas)
        inputs = {name: everything[name] for name in asked_for(program, "policy")}
        first = kernel.init(key, 0, start, (), inputs)
        if state is not None:
            # Another atlas makes another density where a chain stands.
            state = state._replace(potential_energy=first.potential_energy, z_grad=first.z_grad)
            state = jax.tree.map(partial(jnp.where, fresh), first, state)
        else:
            state = first
        shown = kernel.postprocess_fn((), inputs)

        def one(state):
            flat = (ravel_pytree(x)[0] for x in (state.z, state.z_grad))
            return shown(state.z), {name: getattr(state, name) for name in STATS}, *flat

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

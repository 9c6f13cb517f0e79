"""Chains of NUTS over a program, or of anything else: one is compiled, and run once for each key in threads."""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import jax
import numpy as np
from numpyro.infer import MCMC, NUTS
from threadpoolctl import threadpool_limits

# What NUTS records of each draw, by ArviZ's names.
STATS = {
    "energy": "energy",
    "num_steps": "n_steps",
    "accept_prob": "acceptance_rate",
    "diverging": "diverging",
    "potential_energy": "lp",
}


class Shape(NamedTuple):
    """How long a run is, and which share of its proposals NUTS aims to accept."""

    num_warmup: int
    num_samples: int
    num_chains: int
    target_accept: float = 0.8


class Chains:
    """Independent chains of one kind: what was compiled is used again for other data of the same shapes.

    chain: of (key, data), to be compiled. number: of chains, in threads: none waits for another's longest trajectory,
    as it would in one vectorised run. seconds: spent so far.
    """

    def __init__(self, chain: Callable, number: int):
        self._chain, self._number, self._compiled = jax.jit(chain), number, {}
        self.seconds = {"compiling": 0.0, "sampling": 0.0}

    def run(self, key, data: dict, say, doing: str):
        """What the chains return, stacked `[chains, ...]`. say: called with what is being done."""
        keys = jax.random.split(key, self._number)
        shapes = str(jax.tree.map(lambda x: (np.shape(x), np.asarray(x).dtype), data))
        if shapes not in self._compiled:
            say("compiling")
            started = time.perf_counter()
            self._compiled[shapes] = self._chain.lower(keys[0], data).compile()
            self.seconds["compiling"] += time.perf_counter() - started

        def one(key):
            with jax.enable_x64(True):
                return jax.tree.map(np.asarray, self._compiled[shapes](key, data))

        say(doing)
        started = time.perf_counter()
        with threadpool_limits(1, "blas"), ThreadPoolExecutor(os.cpu_count()) as pool:
            chains = list(pool.map(one, keys))
        self.seconds["sampling"] += time.perf_counter() - started
        return jax.tree.map(lambda *x: np.stack(x), *chains)


class Nuts:
    """Chains of NUTS over one program.

    program: called with keyword inputs; those in `data` are arrays that may change from run to run, `fixed` may not.
    """

    def __init__(self, program, fixed: dict, shape: Shape):
        def chain(key, data):
            kernel = NUTS(program, target_accept_prob=shape.target_accept)
            mcmc = MCMC(kernel, num_warmup=shape.num_warmup, num_samples=shape.num_samples, progress_bar=False)
            mcmc.run(key, **fixed, **data, extra_fields=tuple(STATS))
            return mcmc.get_samples(), mcmc.get_extra_fields()

        self.chains = Chains(chain, shape.num_chains)

    def run(self, key, data: dict, say=lambda phase: None):
        """Samples and statistics `[chains, draws, ...]`, and diagnostics: none but those of the statistics."""
        samples, stats = self.chains.run(key, data, say, "sampling")
        stats = {STATS[name]: values for name, values in stats.items()}
        stats["lp"] = -stats["lp"]
        return samples, stats, {}

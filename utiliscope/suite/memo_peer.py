"""Inverse planning by memo (Chandra and others 2025), a peer: an agent plans and chooses, all cases enumerated.

It is an optional extra: `pip install memo-lang`. memo plans by recursion over the steps to go, over states alone:
candidates with a memory get no probability, and `extra` says how many of them there are; one that is after a set of
states counts in every decision as not yet there.
"""

import importlib.util
import math
from dataclasses import dataclass
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import log_softmax, logsumexp

from utiliscope.behaviour import Behaviour, check_fits
from utiliscope.errors import InputError
from utiliscope.plain_payoffs import plain_payoffs
from utiliscope.planning import is_plain
from utiliscope.world.transition import SparseTransition

from .claims import Claims, claimed

_PRECISION = 1e-5  # of values, which a horizon leaves out
_BARRED = -1e9


@dataclass(frozen=True)
class Memo:
    """Boltzmann-rational agents over a grid of temperatures, ln T = -12 .. 12 in steps of `step`; LogNormal(0, 3)."""

    step: float = 0.1
    simplicity: float = 1.0

    def __call__(self, key, suite_world, candidates, behaviours: list[Behaviour]) -> Claims:
        """`Claims` without bits; extra: `left_out`, how many candidates remember. Raises InputError without memo,
        and for worlds with a horizon. `key` is not used.
        """
        unavailable = why_not()
        if unavailable:
            raise InputError(unavailable)
        world = suite_world.world
        if world.horizon is not None:
            raise InputError("memo is given plans without an end; give a world without a horizon")
        for behaviour in behaviours:
            check_fits(behaviour, world)
        plain = [u for u in range(len(candidates)) if is_plain(candidates.payoffs[u])]
        grid = np.arange(-12.0, 12.0 + self.step / 2, self.step)
        log_policy = choice_table(world, candidates[plain], np.exp(grid))
        counts = np.stack([behaviour.counts() for behaviour in behaviours])
        found = np.einsum("jsa,saut->jut", counts, np.where(counts.any(0)[..., None, None], log_policy, 0.0))
        log_likelihood = np.full((len(behaviours), len(candidates)), -np.inf)
        log_likelihood[:, plain] = logsumexp(found + log_softmax(-0.5 * (grid / 3.0) ** 2), axis=-1)
        left_out = np.full(len(behaviours), float(len(candidates) - len(plain)))
        return claimed(log_likelihood, candidates, self.simplicity, extra=dict(left_out=left_out))


def why_not() -> str | None:
    """Why memo cannot be called, or None if it can."""
    return None if importlib.util.find_spec("memo") else "memo is not installed; run: pip install memo-lang"


def choice_table(world, candidates, temperatures) -> np.ndarray:
    """`[S, A, U, T]` ln probability of each action in each state, by memo; candidates without memory."""
    from memo import make_module, memo

    discount = float(world.discount)
    steps = math.ceil(math.log(_PRECISION) / math.log(max(discount, 1e-9))) if discount else 0
    with jax.enable_x64(True):
        paid, terminal = plain_payoffs(world, candidates)
        sparse = isinstance(world.transition, SparseTransition)
        moves = jnp.asarray(world.transition.dense() if sparse else world.transition)
        paid = jnp.where(jnp.asarray(world.available), paid, _BARRED)
        goes_on, warmth = discount * (1.0 - terminal), jnp.asarray(1 / temperatures)
        module = make_module("planner")
        module.S, module.A = jnp.arange(world.num_states), jnp.arange(world.num_actions)
        module.U, module.T = jnp.arange(len(candidates)), jnp.arange(len(temperatures))
        module.moves = jax.jit(lambda s, a, n: moves[s, a, n])
        module.paid = jax.jit(lambda s, a, u: paid[u, s, a])
        module.onward = jax.jit(lambda s, u: goes_on[u, s])
        module.warmth = jax.jit(lambda t: warmth[t])

        @memo(install_module=module.install)
        def plan[s: S, a: A, u: U](left):  # noqa: F821
            agent: knows(s, a, u)  # noqa: F821
            agent: given(n in S, wpp=moves(s, a, n))  # noqa: F821
            agent: chooses(b in A, to_maximize=0.0 if left <= 0 else plan[n, b, u](left - 1))  # noqa: F821
            return E[paid(s, a, u) + (0.0 if left <= 0 else onward(s, u) * plan[agent.n, agent.b, u](left - 1))]  # noqa: F821

        module.plan = cache(module.plan)
        # From the end on, as memo itself would come to each plan by recursion, deeper than Python goes.
        for left in range(steps + 1):
            module.plan(left)

        @memo(install_module=module.install)
        def best[s: S, u: U](left):  # noqa: F821
            agent: knows(s, u)  # noqa: F821
            agent: chooses(b in A, to_maximize=plan[s, b, u](left))  # noqa: F821
            return E[plan[s, agent.b, u](left)]  # noqa: F821

        @memo(install_module=module.install)
        def choice[s: S, a: A, u: U, t: T](left):  # noqa: F821
            agent: knows(s, u, t)  # noqa: F821
            agent: chooses(b in A, wpp=exp(warmth(t) * (plan[s, b, u](left) - best[s, u](left))))  # noqa: F821
            return Pr[agent.b == a]  # noqa: F821

        chance = np.asarray(module.choice(steps))
    with np.errstate(divide="ignore"):
        return np.maximum(np.log(chance), -1e6)

r"""How rare a value is among random policies, by Laplace's method: intelligence without sampling, differentiable.

A row of Dirichlet(c) is G / sum G with independent G ~ Gamma(c). For x = ln G,

.. math:: P(V \ge v) = \int_{V(x) \ge v} e^{-f(x)} dx, \qquad f = \textstyle\sum (e^x - c x) + \mathrm{const}.

The integral is that about its design point, the likeliest policies that are worth v: f is least there, and its gradient
t grad V. With r = sqrt(2 (f - f_0)), f_0 the least f of all, H the Hessian of f - t V and H_0 that of f at f_0,

.. math:: P \approx \Phi\Big(-r - \tfrac1r \ln \tfrac qr\Big), \qquad
    q^2 = t^2 \, \nabla V^T H^{-1} \nabla V \, \frac{\det H}{\det H_0},

in the bulk as well as far out (r and q have the sign of t).

References: Breitung (1984), Asymptotic approximations for multinormal integrals (the design point); DiCiccio and Martin
(1991), Approximations of marginal tail probabilities for a class of smooth functions (the form of the tail).
"""

import jax
import jax.numpy as jnp
from jax.scipy.special import log_ndtr

from .design_point import design_point
from .errors import InputError
from .laws import LN2
from .possible_curvature import POSSIBLE_WORLDS, Possible
from .values import full_precision, on_device
from .world.model import bare
from .world.possible import PossibleWorlds, World
from .world.transition import SparseTransition
from .world_curvature import ONE_WORLD, One

_LEAST = 0.02  # standard deviations from the mean policy's value; nearer to it r and q vanish


def laplace_bits(world: World, reward, value, *, policy_prior):
    """Bits of a policy worth `value`, for the payoffs `reward` `[S]` or `[S, A]` of a step, about.

    policy_prior: `Dirichlet(c)`. world: without a horizon; of `PossibleWorlds` the mean value counts.

    Differentiable in `reward` and `value`; works under `jit` and `vmap`, where it needs jax_enable_x64; a plain call
    returns float64 in any case. Within 3 % and a tenth of a bit of exact cases (bandits, independent contexts), mostly
    below them; nan where no policy is worth as much, or where the design point is not found.

    Costs about eight times three solves of `[S, S]` systems, or eight of an `[S A, S A]` one with `PossibleWorlds`, and
    half as much again for a gradient. Raises InputError for other priors and for worlds with a horizon.
    """
    check_laplace(world, policy_prior)
    with full_precision(world, reward, value):
        return _laplace_bits(on_device(bare(world)), jnp.asarray(reward), jnp.asarray(value), policy_prior)


def _laplace_bits(world, reward, value, policy_prior):
    concentration = jnp.asarray(policy_prior.rows(world))
    reward = jnp.broadcast_to(reward[:, None] if reward.ndim == 1 else reward, (world.num_states, world.num_actions))
    method, plain = (
        (POSSIBLE_WORLDS, _possible(world)) if isinstance(world, PossibleWorlds) else (ONE_WORLD, _one(world))
    )
    plain = jax.lax.stop_gradient(plain)
    shape = jnp.where(plain.available, concentration, 1.0)

    start = method.parts(plain, reward, jnp.log(shape))
    # The width of the values, about; they may all be the same.
    spread = jnp.sqrt(jnp.maximum((start.gradient**2 / shape).sum(), jnp.finfo(shape.dtype).tiny))
    apart = (value - start.value) / spread
    apart = jnp.where(jnp.abs(apart) < _LEAST, jnp.where(apart < 0, -_LEAST, _LEAST), apart)
    x, slope = design_point(method, plain, shape, reward, start.value + apart * spread)

    log_q = method.log_curvature(plain, shape, slope, method.parts(plain, reward, x), x) + jnp.log(jnp.abs(slope))
    # e^x - c x about its least value, without its cancellation.
    height = (shape * (jnp.expm1(x - jnp.log(shape)) - (x - jnp.log(shape)))).sum()
    r = jnp.sqrt(2 * height)
    away = r + (log_q - jnp.log(r)) / r
    return -log_ndtr(jnp.where(slope > 0, -away, away)) / LN2


def check_laplace(world: World, policy_prior) -> None:
    if not hasattr(policy_prior, "concentration") or world.horizon is not None:
        raise InputError(
            f"Laplace's method is for Dirichlet rows in a world without a horizon; here are "
            f"{type(policy_prior).__name__} and horizon {world.horizon}"
        )


def _one(world) -> One:
    return One(_dense(world), *map(jnp.asarray, (world.initial, world.discount, world.available)))


def _possible(world) -> Possible:
    transition, initial, discount = (
        jnp.stack([jnp.asarray(get(one)) for one in world.worlds])
        for get in (_dense, lambda one: one.initial, lambda one: one.discount)
    )
    return Possible(transition, initial, discount, jnp.asarray(world.weights), jnp.asarray(world.available))


def _dense(world):
    return jnp.asarray(world.transition.dense() if isinstance(world.transition, SparseTransition) else world.transition)

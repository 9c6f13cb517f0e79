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

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_factor, cho_solve
from jax.scipy.special import log_ndtr

from .errors import InputError
from .laws import LN2
from .values import full_precision, on_device
from .world.model import bare
from .world.possible import PossibleWorlds, World
from .world.transition import SparseTransition

_TRIED, _MOST_STEPS = 40, 160  # of Newton's method, each time and in all
_LONGEST, _PRECISION = 2.0, 1e-6  # of its steps, in each ln G; the last one leaves the square of its size
_STEEP = 100.0  # curvature across the surface V = v; along it, it is about 1
_LEAST = 0.02  # standard deviations from the mean policy's value; nearer to it r and q vanish


class _Parts(NamedTuple):
    """V, its gradient `[n]` and its Hessian `[n, n]` in the n = S A logarithms x."""

    value: jax.Array
    gradient: jax.Array
    hessian: jax.Array


def laplace_bits(world: World, reward, value, *, policy_prior):
    """Bits of a policy worth `value`, for the payoffs `reward` `[S]` or `[S, A]` of a step, about.

    policy_prior: `Dirichlet(c)`. world: without a horizon; of `PossibleWorlds` the mean value counts.

    Differentiable in `reward` and `value`; works under `jit` and `vmap`, where it needs jax_enable_x64; a plain call
    returns float64 in any case. Within 3 % and a tenth of a bit of exact cases (bandits, independent contexts), mostly
    below them; nan where no policy is worth as much, or where the design point is not found.

    Costs about six solves of an `[S A, S A]` system, and two more for a gradient. Raises InputError for other priors
    and for worlds with a horizon.
    """
    check_laplace(world, policy_prior)
    with full_precision(world, reward, value):
        return _laplace_bits(on_device(bare(world)), jnp.asarray(reward), jnp.asarray(value), policy_prior)


def _laplace_bits(world, reward, value, policy_prior):
    concentration = jnp.asarray(policy_prior.rows(world))
    reward = jnp.broadcast_to(reward[:, None] if reward.ndim == 1 else reward, (world.num_states, world.num_actions))
    plain = jax.lax.stop_gradient(_plain(world))
    shape = jnp.where(plain.available, concentration, 1.0).reshape(-1)

    start = _parts(plain, reward, jnp.log(shape))
    # The width of the values, about; they may all be the same.
    spread = jnp.sqrt(jnp.maximum((start.gradient**2 / shape).sum(), jnp.finfo(shape.dtype).tiny))
    apart = (value - start.value) / spread
    apart = jnp.where(jnp.abs(apart) < _LEAST, jnp.where(apart < 0, -_LEAST, _LEAST), apart)
    x, slope = _design_point(plain, shape, reward, start.value + apart * spread)

    at = _parts(plain, reward, x)
    factor = cho_factor(_steepened(x, slope, at)[0])
    log_q = 0.5 * jnp.log(slope**2 * at.gradient @ cho_solve(factor, at.gradient))
    log_q = log_q + jnp.log(jnp.diagonal(factor[0])).sum() - 0.5 * jnp.log(shape).sum()
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


class _Plain(NamedTuple):
    """Worlds `[C]` with dense transitions `[C, S, A, S]`, their weights `[C]` and what may be done, `[S, A]`."""

    transition: jax.Array
    initial: jax.Array
    discount: jax.Array
    weight: jax.Array
    available: jax.Array


def _plain(world) -> _Plain:
    worlds = world.worlds if isinstance(world, PossibleWorlds) else (world,)
    weight = world.weights if isinstance(world, PossibleWorlds) else (1.0,)

    def dense(one):
        return one.transition.dense() if isinstance(one.transition, SparseTransition) else one.transition

    transition, initial, discount = (
        jnp.stack([jnp.asarray(get(one)) for one in worlds])
        for get in (dense, lambda one: one.initial, lambda one: one.discount)
    )
    return _Plain(transition, initial, discount, jnp.asarray(weight), jnp.asarray(world.available))


def _parts(plain, reward, x) -> _Parts:
    """Means over worlds of the value, its gradient and its Hessian."""
    policy = jax.nn.softmax(jnp.where(plain.available, x.reshape(reward.shape), -jnp.inf), axis=-1)
    each = jax.vmap(lambda *one: _of_one(*one, policy, reward))(plain.transition, plain.initial, plain.discount)
    return jax.tree.map(lambda part: jnp.tensordot(plain.weight, part, 1), each)


def _of_one(transition, initial, discount, policy, reward) -> _Parts:
    states, actions = policy.shape
    visits_from = jnp.linalg.inv(jnp.eye(states) - discount * jnp.einsum("sa,sat->st", policy, transition))
    visits = initial @ visits_from
    state_value = visits_from @ (policy * reward).sum(-1)
    advantage = reward + discount * transition @ state_value - state_value[:, None]
    share = policy * advantage
    # What a change of one row does to visits, and what these are then worth by a change of another.
    arrivals = discount * transition @ visits_from
    arrivals = arrivals - jnp.einsum("sa,sat->st", policy, arrivals)[:, None]
    moved = (visits[:, None] * policy)[..., None] * arrivals
    between = (moved[..., None] * share).reshape(states * actions, states * actions)
    within = jnp.einsum("sa,ab->sab", share, jnp.eye(actions)) - share[:, :, None] * policy[:, None]
    within = visits[:, None, None] * (within - policy[:, :, None] * share[:, None])
    within = jnp.einsum("sab,st->satb", within, jnp.eye(states)).reshape(between.shape)
    return _Parts(initial @ state_value, (visits[:, None] * share).reshape(-1), between + between.T + within)


@jax.custom_jvp
def _design_point(plain, shape, reward, value):
    """x and t with e^x - c = t grad V and V = value, where f is least, by Newton's method; nan if it is not found.

    It starts from the mean policy. If it does not come to a minimum it begins anew, more carefully: at first as if V
    were linear in x, which leads down, and with shorter steps each time.
    """
    start = jnp.log(shape), jnp.zeros_like(value)

    def step(state):
        x, slope, longest, _, count = state
        at = _parts(plain, reward, x)
        careful = (longest < _LONGEST) & (count % _TRIED < _TRIED // 2)
        hessian, steep = _steepened(x, jnp.where(careful, 0.0, slope), at)
        short = jnp.exp(x) - shape - slope * at.gradient
        right = jnp.stack([short, at.gradient], axis=1)
        solved = cho_solve(cho_factor(hessian), right)
        minimal = jnp.isfinite(solved[0, 0])
        solved = jax.lax.cond(minimal, lambda *_: solved, jnp.linalg.solve, hessian, right)
        change = (value - at.value + at.gradient @ solved[:, 0]) / (at.gradient @ solved[:, 1])
        move = change * solved[:, 1] - solved[:, 0]
        change = change - steep * (value - at.value)
        size = jnp.abs(move).max()
        scale = jnp.minimum(1.0, longest / size)
        arrived = (size <= _PRECISION) & ~careful
        anew = ~jnp.isfinite(size) | (arrived & ~minimal) | ((count % _TRIED == _TRIED - 1) & ~arrived)
        x, slope = jax.tree.map(partial(jnp.where, anew), start, (x + scale * move, slope + scale * change))
        count = jnp.where(anew, (count // _TRIED + 1) * _TRIED, count + 1)
        return x, slope, jnp.where(anew, longest / 2, longest), arrived & ~anew, count

    def goes_on(state):
        return ~state[3] & (state[4] < _MOST_STEPS)

    first = (*start, jnp.full_like(value, _LONGEST), False, 0)
    x, slope, _, arrived, _ = jax.lax.while_loop(goes_on, step, first)
    return jax.tree.map(lambda found: jnp.where(arrived, found, jnp.nan), (x, slope))


def _steepened(x, slope, at):
    """H + s grad V grad V^T, and s: the same along the surface V = v, and positive where f has its least there.

    Neither the steps to the surface nor det H (grad V^T H^-1 grad V) depend on s; H itself may be singular.
    """
    steep = _STEEP / jnp.maximum((at.gradient**2).sum(), jnp.finfo(x.dtype).tiny)
    return jnp.diag(jnp.exp(x)) - slope * at.hessian + steep * jnp.outer(at.gradient, at.gradient), steep


@_design_point.defjvp
def _design_point_jvp(primals, tangents):
    """The same conditions, differentiated. Worlds and priors are constants."""
    plain, shape, reward, value = primals
    _, _, reward_change, value_change = tangents
    x, slope = _design_point(plain, shape, reward, value)
    at = _parts(plain, reward, x)
    # Linear in the reward.
    change = jax.jvp(lambda reward: _parts(plain, reward, x)[:2], (reward,), (reward_change,))[1]
    hessian, steep = _steepened(x, slope, at)
    factor = cho_factor(hessian)
    by_slope, by_reward = cho_solve(factor, at.gradient), cho_solve(factor, slope * change[1])
    rise = value_change - change[0]
    slope_change = (rise - at.gradient @ by_reward) / (at.gradient @ by_slope)
    return (x, slope), (by_reward + slope_change * by_slope, slope_change - steep * rise)

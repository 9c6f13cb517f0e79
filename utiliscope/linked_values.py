"""Optimal values in a known world where each state leads to few: by sweeps along links, without any matrix.

A sweep costs so little there that a few hundred of them, as many as it takes for what is missing to fade below
rounding, are cheaper than one factorisation.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .world.transition import links

_ROUNDS, _EVALUATIONS = 10, 10  # of modified policy iteration: improvements, and sweeps of the policy after each
_FEWER = 4  # so many times fewer successors than states are few
_SWEEPS_OF_SOLVE = 6  # a factorisation and its solves cost S^3 / 6 such steps, as was measured
_MOST_IMPROVEMENTS = 500  # about two are usual
_NO_GAIN = 8  # units of rounding of the largest value


class Links(NamedTuple):
    """Where states lead and come from, in NumPy: what is known before anything is traced.

    successors: `[S, K]`. chance: `[S, A, K]` discounted. sources, places: `[S, W]` from where and by which of its
    successors a state is reached; where fewer, `places` is K, for nothing. num_sweeps: until an error has faded.
    """

    successors: np.ndarray
    chance: np.ndarray
    sources: np.ndarray
    places: np.ndarray
    num_sweeps: int

    @property
    def solve_slower(self) -> bool:
        """Whether sweeps cost less than solving the values' linear system."""
        num_states, width = self.successors.shape
        steps = self.num_sweeps * (width + self.sources.shape[1]) * num_states
        return _SWEEPS_OF_SOLVE * steps <= num_states**3


def links_of(world, dtype) -> Links | None:
    """The links of a dense world that is known while tracing and has few of them; else None."""
    known = isinstance(world.transition, np.ndarray) and not isinstance(world.discount, jax.core.Tracer)
    if not known:
        return None
    successors, chance = links(world.transition)
    num_states, width = successors.shape
    if width * _FEWER > num_states:
        return None
    state, place = np.nonzero((chance > 0).any(1))
    order = np.argsort(successors[state, place], kind="stable")
    state, place = state[order], place[order]
    reached = successors[state, place]
    number = np.bincount(reached, minlength=num_states)
    rank = np.arange(len(reached)) - (np.cumsum(number) - number)[reached]
    sources = np.zeros((num_states, max(int(number.max()), 1)), int)
    places = np.full(sources.shape, width)
    sources[reached, rank], places[reached, rank] = state, place
    discount = float(world.discount)
    fading = math.log(jnp.finfo(dtype).eps) / math.log(discount) if discount > 0 else 1
    return Links(successors, (discount * chance).astype(dtype), sources, places, math.ceil(fading))


def nearly_optimal(known: Links, payoff):
    """`[S]` values, nearly the optimal ones, of `payoff` `[S, A]` (-inf where not available).

    References: Puterman and Shin (1978), Modified policy iteration algorithms for discounted Markov decision problems.
    """

    def improve(_, value):
        q = payoff + _expected(known, value)
        right, step = _of_choice(known, payoff, q.argmax(-1))
        return jax.lax.fori_loop(0, _EVALUATIONS, lambda _, v: right + _moved(known, step, v), q.max(-1))

    return jax.lax.fori_loop(0, _ROUNDS, improve, payoff.max(-1))


def linked_values(known: Links, payoff):
    """`[S]` optimal values of `payoff` `[S, A]` (-inf where not available), to rounding, differentiable in it.

    By policy iteration from `nearly_optimal`. Where two actions are worth the same the derivative is that of one of
    them; it is one solve, which is had by sweeps too.
    """

    @jax.custom_jvp
    def value_of(payoff):
        return _policy_iteration(known, payoff)[0]

    @value_of.defjvp
    def derivative(primals, tangents):
        value, choice = _policy_iteration(known, *primals)
        right, step = _of_choice(known, *tangents, choice)
        return value, _solution(known, step, right)

    return value_of(payoff)


def _expected(known, value):
    """`[S, A]` discounted value of what follows."""
    return jnp.einsum("sak,sk->sa", known.chance, value[known.successors])


def _moved(known, step, value):
    """`[S]` the same under a policy, with chances `step` `[S, K]`."""
    return (step * value[known.successors]).sum(-1)


def _of_choice(known, payoff, choice):
    """`[S]` payoffs and `[S, K]` discounted chances of the actions `choice` `[S]`."""
    right = jnp.take_along_axis(payoff, choice[:, None], axis=1)[:, 0]
    return right, jnp.take_along_axis(jnp.asarray(known.chance), choice[:, None, None], axis=1)[:, 0]


def _policy_iteration(known, payoff):
    """`[S]` optimal values and actions."""
    rounding, smallest = float(jnp.finfo(payoff.dtype).eps), float(jnp.finfo(payoff.dtype).tiny)
    fading = -math.log(rounding) / known.num_sweeps  # of an error at each sweep, in nats
    rows = np.arange(payoff.shape[0])

    def evaluated(choice, value):
        """As many sweeps as it takes for the residual to fade."""
        right, step = _of_choice(known, payoff, choice)
        residual = jnp.abs(right + _moved(known, step, value) - value).max()
        error = residual / -math.expm1(-fading) / jnp.maximum(rounding * jnp.abs(value).max(), smallest)
        left = jnp.clip(jnp.ceil(jnp.log(jnp.maximum(error, 1.0)) / fading), 1, 2 * known.num_sweeps)
        return jax.lax.fori_loop(0, left.astype(int), lambda _, v: right + _moved(known, step, v), value)

    def improve(carry):
        choice, value, _, number = carry
        q = payoff + _expected(known, value)
        # Within rounding equal actions would take turns for ever.
        better = q.max(-1) - q[rows, choice] > _NO_GAIN * rounding * jnp.abs(value).max()
        choice = jnp.where(better, q.argmax(-1), choice)
        value = jax.lax.cond(better.any(), evaluated, lambda _, v: v, choice, value)
        return choice, value, better.any(), number + 1

    value = nearly_optimal(known, payoff)
    choice = (payoff + _expected(known, value)).argmax(-1)
    start = choice, evaluated(choice, value), True, 0
    choice, value, *_ = jax.lax.while_loop(lambda x: x[2] & (x[3] < _MOST_IMPROVEMENTS), improve, start)
    return value, choice


def _solution(known, step, right):
    """`[S]` x with x = right + step x, linear in `right`; its transpose sweeps from states to those before."""

    def forward(_, right):
        return jax.lax.fori_loop(0, known.num_sweeps, lambda _, x: right + _moved(known, step, x), right)

    def backward(_, right):
        padded = jnp.pad(step, ((0, 0), (0, 1)))
        come = padded[known.sources, known.places]
        return jax.lax.fori_loop(0, known.num_sweeps, lambda _, x: right + (come * x[known.sources]).sum(-1), right)

    return jax.lax.custom_linear_solve(lambda x: x - _moved(known, step, x), right, forward, backward)

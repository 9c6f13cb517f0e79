"""The usual baseline: Bayesian inverse reinforcement learning with Boltzmann-rational actions, in plain NumPy.

An agent with utility U and temperature T takes each available action with probability softmax(Q_U(s, .) / T).
Action values come first and do not depend on the recording, so that many recordings can share them:

    Q = action_values(world, payoffs_k)                        [S, A]
    log_likelihood(Q, states, actions, temperatures)           [T]
    boltzmann_posterior(recording, world, payoffs, bits)       all candidates, temperature marginalised or fixed

References: Ramachandran and Amir (2007) for hard Q; Ziebart (2010) for soft Q.
"""

import itertools
from typing import NamedTuple

import numpy as np

from utiliscope.errors import InputError

LN2 = np.log(2.0)
TEMPERATURES = np.logspace(-3, 3, 61)


class BoltzmannPosterior(NamedTuple):
    """log_prob: `[U]` log posterior, nats. log_likelihood: `[U, T]` of the recording at each temperature.

    log_temperature: `[T]` log posterior of the temperature.
    """

    log_prob: np.ndarray
    log_likelihood: np.ndarray
    log_temperature: np.ndarray


def boltzmann_posterior(
    counts_or_steps, world, payoffs, code_length, *, temperatures=TEMPERATURES, soft=False
) -> BoltzmannPosterior:
    """Posterior over `U` stacked payoffs with prior 2^-code_length, under Boltzmann-rational actions.

    counts_or_steps: `[S, A]` counts of actions; or a list of (states, actions), one for each episode, `[n]` actions
        and at least `[n]` states. Utilities that depend on what has been reached need the steps.
    temperatures: a grid with a uniform prior over its points, or one number.
    soft: soft action values, which are solved anew for each temperature, instead of optimal ones.
    """
    temperatures = np.atleast_1d(np.asarray(temperatures, np.float64))
    levels = temperatures if soft else None
    by_steps = not isinstance(counts_or_steps, np.ndarray)
    rows = []
    for k in range(payoffs.num_utilities):
        one = payoffs[k]
        if by_steps:
            q = _flat(reached_action_values(world, one, temperatures=levels))
            places = [reached(one, states)[: len(actions)] for states, actions in counts_or_steps]
            states = np.concatenate(
                [
                    mode * world.num_states + np.asarray(states)[: len(actions)]
                    for mode, (states, actions) in zip(places, counts_or_steps, strict=True)
                ]
            )
            actions = np.concatenate([np.asarray(actions) for _, actions in counts_or_steps])
            rows.append(log_likelihood(q, states, actions, temperatures))
        else:
            q = action_values(world, one, temperatures=levels)
            states, actions = np.nonzero(counts_or_steps)
            weights = counts_or_steps[states, actions]
            rows.append(log_likelihood(q, states, actions, temperatures, weights=weights))
    log_likelihoods = np.array(rows)
    log_joint = -LN2 * np.asarray(code_length)[:, None] + log_likelihoods - np.log(len(temperatures))
    total = _log_sum(log_joint.ravel())
    return BoltzmannPosterior(_log_sum(log_joint) - total, log_likelihoods, _log_sum(log_joint.T) - total)


def action_values(world, payoffs, *, temperatures=None) -> np.ndarray:
    """`[S, A]` optimal action values of one utility, -inf for unavailable actions; its episode ends on arrival.

    For payoffs a step, or one set to be reached and nothing else. Mixtures depend on what has been reached already:
    InputError, see `reached_action_values`. temperatures: `[T]` gives soft values `[T, S, A]` instead.
    """
    if payoffs.weight is not None and np.any(payoffs.weight):
        raise InputError("action values here are for forms without memory: time and reach")
    used = np.flatnonzero(np.asarray(payoffs.reach))
    if len(used) + _pays_steps(payoffs) > 1:
        raise InputError(
            "the action values of a sum with `reach` depend on what has been reached: use reached_action_values, "
            "and give boltzmann_posterior the steps of each episode instead of counts"
        )
    values = reached_action_values(world, payoffs, temperatures=temperatures)
    return values[..., 0, :, :]


def reached_action_values(world, payoffs, *, temperatures=None) -> np.ndarray:
    """`[M, S, A]` action values in the product of the world with what has been reached, the sets numbered in binary.

    Each set pays once, on arrival. Where nothing is left to be paid the episode counts as over, and all actions are
    worth 0. In states that belong to a set the values are those of the mode that counts it as reached.
    temperatures: `[T]` gives soft values `[T, M, S, A]`: V = T log sum_a exp(Q / T).
    """
    if world.horizon is not None:
        raise InputError("this baseline has no horizon: give the world without one, and a discount below 1")
    used = np.flatnonzero(np.asarray(payoffs.reach))
    if len(used) > 8:
        raise InputError(f"a utility with {len(used)} sets to reach needs {2 ** len(used)} copies of the world")
    inside = np.asarray(payoffs.targets)[used]
    weights = np.asarray(payoffs.reach)[used]
    available = np.asarray(world.available)
    step = np.zeros(available.shape) if payoffs.action is None else np.asarray(payoffs.action, np.float64)
    step = step + np.asarray(payoffs.state, np.float64)[:, None]
    shape = () if temperatures is None else (len(temperatures),)
    num_modes = 2 ** len(used)
    q = np.zeros((*shape, num_modes, *available.shape))
    value = np.zeros((*shape, num_modes, world.num_states))
    bit = 2 ** np.arange(len(used))
    # What has been reached only grows: from "everything" back to "nothing".
    for mode in range(num_modes - 1, -1, -1):
        new = inside & ((mode & bit) == 0)[:, None]
        arriving = new.any(0)
        grown = mode | (new * bit[:, None]).sum(0)
        fixed = np.where(arriving, (new * weights[:, None]).sum(0) + value[..., grown, np.arange(len(grown))], 0.0)
        if mode == num_modes - 1 and not _pays_steps(payoffs):
            q[..., mode, :, :] = np.where(available, 0.0, -np.inf)
            continue
        if temperatures is None:
            q[mode], value[mode] = _policy_iteration(world, step, arriving, fixed)
        else:
            for i, temperature in enumerate(temperatures):
                q[i, mode], value[i, mode] = _soft_iteration(world, step, arriving, fixed[i], temperature)
        states = np.flatnonzero(arriving)
        q[..., mode, states, :] = q[..., grown[states], states, :]
    return q


def reached(payoffs, states) -> np.ndarray:
    """`[N]` which sets have been reached by each of the `[N]` states of an episode, as numbers in binary."""
    used = np.flatnonzero(np.asarray(payoffs.reach))
    inside = np.asarray(payoffs.targets)[used][:, np.asarray(states)]
    return (np.logical_or.accumulate(inside, axis=1) * 2 ** np.arange(len(used))[:, None]).sum(0)


def log_likelihood(action_values, states, actions, temperatures, *, weights=None) -> np.ndarray:
    """`[T]` log probability of the `[N]` actions at each temperature, in nats.

    action_values: `[S, A]`, or `[T, S, A]` soft ones; -inf where an action is not available.
    weights: `[N]` how often each pair counts.
    """
    temperatures = np.atleast_1d(np.asarray(temperatures, np.float64))
    scores = np.asarray(action_values) / temperatures[:, None, None]
    log_policy = scores - _log_sum(scores)[..., None]
    taken = log_policy[:, np.asarray(states, int), np.asarray(actions, int)]
    return taken.sum(-1) if weights is None else taken @ np.asarray(weights)


def _pays_steps(payoffs) -> bool:
    return bool(np.any(payoffs.state)) or (payoffs.action is not None and bool(np.any(payoffs.action)))


def _flat(q):
    """Modes and states as one axis."""
    return q.reshape(*q.shape[:-3], q.shape[-3] * q.shape[-2], q.shape[-1])


def _log_sum(x):
    """log sum exp over the last axis."""
    top = x.max(-1, keepdims=True)
    return (top + np.log(np.exp(x - top).sum(-1, keepdims=True)))[..., 0]


def _ahead(world, step, value):
    q = step + float(world.discount) * np.asarray(world.transition) @ value
    return np.where(world.available, q, -np.inf)


def _policy_iteration(world, step, arriving, fixed):
    """`[S, A]` action values and `[S]` values, with the values of `arriving` states given."""
    transition, rows = np.asarray(world.transition), np.arange(world.num_states)
    choice = np.argmax(world.available, -1)
    while True:
        move = float(world.discount) * transition[rows, choice] * ~arriving[:, None]
        value = np.linalg.solve(np.eye(world.num_states) - move, np.where(arriving, fixed, step[rows, choice]))
        q = _ahead(world, step, value)
        gain = q.max(-1) - q[rows, choice]
        # A gain within rounding is none, or equal actions would take turns for ever.
        better = ~arriving & (gain > 1e-11 * (1 + np.abs(value).max()))
        if not better.any():
            return q, value
        choice = np.where(better, q.argmax(-1), choice)


def _soft_iteration(world, step, arriving, fixed, temperature):
    """The same with V = T log sum_a exp(Q / T)."""
    value = np.zeros(world.num_states)
    for _ in itertools.count():
        q = _ahead(world, step, value)
        new = np.where(arriving, fixed, temperature * _log_sum(q / temperature))
        change = np.abs(new - value).max()
        value = new
        if change <= 1e-10 * (1 + np.abs(value).max()):
            return _ahead(world, step, value), value

"""The achieved reading: what recorded episodes were worth, to be set against random policies from their starts."""

import dataclasses
import warnings

import jax.numpy as jnp
import numpy as np

from .behaviour import Behaviour
from .errors import InputError, listed
from .payoffs import Payoffs
from .world.model import WorldModel, absorbing_states, is_deterministic
from .world.possible import PossibleWorlds, World


def episode_utilities(behaviour: Behaviour, world: WorldModel, payoffs: Payoffs) -> np.ndarray:
    """`[E, U]` utility of every recorded episode.

    An episode counts whole: one that ends in an absorbing state stays there, to the world's horizon or without
    end; others must be as long as the horizon. Raises InputError for an episode that is neither.
    """
    absorbing = absorbing_states(world)
    horizon = world.horizon
    rows, unfinished = [], []
    for label, states, actions in behaviour.episodes():
        reached_end = horizon is not None and len(states) > horizon
        if not (reached_end or absorbing[states[-1]]):
            unfinished.append(label)
            continue
        rows.append(_utility(np.asarray(states), np.asarray(actions), payoffs, world))
    if unfinished:
        short = "" if horizon is None else f" and are shorter than the horizon of {horizon}"
        raise InputError(
            f"the achieved reading needs whole episodes, but these do not end in an absorbing state{short}: "
            f"{listed(unfinished)}. Set a horizon that they all reach, or mark the states where they end as absorbing"
        )
    return np.array(rows)


def _utility(states, actions, payoffs, world):
    """`[U]` utility of one episode, with its last state held to the horizon."""
    discount, horizon = float(world.discount), world.horizon
    if horizon is not None:
        states = states[: horizon + 1]
    steps = len(states) - 1
    weight = discount ** np.arange(steps + 1)
    # The last state is paid from its arrival for as long as it is held; its one action, while steps remain.
    if horizon is None:
        held = held_action = weight[-1] / (1 - discount)
    else:
        held = (discount ** np.arange(steps, horizon + 1)).sum()
        held_action = held - discount**horizon
    total = np.asarray(payoffs.state)[:, states] @ np.append(weight[:-1], held)
    if payoffs.action is not None:
        paid = np.asarray(payoffs.action)
        staying = int(np.argmax(np.asarray(world.available)[states[-1]]))
        total = total + paid[:, states[:-1], actions[:steps]] @ weight[:-1] + paid[:, states[-1], staying] * held_action
    targets = np.asarray(payoffs.targets)
    if len(targets):
        inside = targets[:, states]
        first = np.where(inside.any(-1), discount ** inside.argmax(-1), 0.0)
        total = total + np.asarray(payoffs.reach) @ first
    if payoffs.automata:
        hold = None if horizon is None else horizon - steps
        paid = [_remembered(one, states, discount, hold) for one in payoffs.automata]
        total = total + np.asarray(payoffs.weight) @ np.array(paid)
    return total


def _remembered(machine, states, discount, hold):
    """What an automaton pays along `states`, whose last one is held for `hold` more steps, or for ever."""
    step, pay = np.asarray(machine.step), np.asarray(machine.pay)
    memory, total, weight = 0, 0.0, 1.0
    for state in states[:-1]:
        if memory < 0:
            return total
        total += weight * pay[memory, state]
        memory, weight = int(step[memory, state]), weight * discount
    # While one state is held, a memory leads to one other, until they come round.
    onward, paid = step[:, states[-1]], pay[:, states[-1]]
    if hold is None:
        system = np.eye(len(step))
        goes_on = np.flatnonzero(onward >= 0)
        system[goes_on, onward[goes_on]] -= discount
        return total + (weight * float(np.linalg.solve(system, paid)[memory]) if memory >= 0 else 0.0)
    for _ in range(hold + 1):
        if memory < 0:
            break
        total += weight * paid[memory]
        memory, weight = int(onward[memory]), weight * discount
    return total


def achieved_values(behaviour: Behaviour, world: WorldModel, payoffs: Payoffs) -> tuple[np.ndarray, np.ndarray]:
    """`[U]` mean utility of the episodes and its standard error.

    Random policies are compared from the same starts, so only the spread among episodes of one start is error. Where
    no start comes twice there is none to be seen: then the error is given as 0 in a deterministic world; in one of
    chance the spread of all episodes stands for it, and for a single episode there is a warning.
    """
    utilities = episode_utilities(behaviour, world, payoffs)
    starts = np.unique([states[0] for _, states, _ in behaviour.episodes()], return_inverse=True)[1]
    number, groups = len(utilities), starts.max() + 1
    if number > groups:
        sums = np.zeros((groups, utilities.shape[1]))
        np.add.at(sums, starts, utilities)
        centred = utilities - (sums / np.bincount(starts)[:, None])[starts]
        variance = (centred**2).sum(0) / (number - groups)
    elif is_deterministic(world):
        variance = np.zeros(utilities.shape[1])
    elif number > 1:
        variance = utilities.var(0, ddof=1)
    else:
        warnings.warn(
            "one episode in a world of chance: luck counts as intelligence, and no error can be given; "
            "record more episodes",
            stacklevel=3,
        )
        variance = np.zeros(utilities.shape[1])
    return utilities.mean(0), np.sqrt(variance / number)


def seen(tails, value, value_error):
    """`[U, J]` bits of random policies whose values look like `value` `[U]`, and ln of their shares.

    xi(V | episodes) in cells of the value tails: the mass of random policies times a normal density of standard error
    `value_error` `[U]`. Without error all cells are the achieved value itself; luck beyond the best policy counts as
    the best.
    """
    best = tails.values[:, -1]
    values, bits, log_mass = tails.cells(value - 8 * value_error, jnp.minimum(value + 8 * value_error, best))
    exact = (value_error == 0)[:, None]
    apart = (values - value[:, None]) / jnp.where(exact, 1.0, value_error[:, None])
    log_share = jnp.where(exact, 0.0, jnp.maximum(log_mass, -1e4) - apart**2 / 2)
    return jnp.where(exact, tails.bits(jnp.minimum(value, best))[:, None], bits), log_share


def started_world(behaviour: Behaviour, world: World) -> WorldModel:
    """`world` with the starts of the recorded episodes as its initial distribution.

    Raises InputError for `PossibleWorlds`: what was achieved was achieved in one world.
    """
    if isinstance(world, PossibleWorlds):
        raise InputError(
            "the achieved reading counts what episodes were worth in the one world where they happened; give that "
            "world, or take reading='policy' for what the agent's choices are worth in all possible worlds"
        )
    starts = np.bincount([states[0] for _, states, _ in behaviour.episodes()], minlength=world.num_states)
    return dataclasses.replace(world, initial=starts / starts.sum())

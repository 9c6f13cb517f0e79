"""Utilities as sums over Markov chains, whose nodes are pairs of memory and state."""

import math
from typing import NamedTuple

import numpy as np

from .automata import Automaton, arrivals
from .payoffs import Payoffs
from .world.transition import links

_NOWHERE = -1


class Chain(NamedTuple):
    """One part of a utility in a world: a Markov chain over `n` nodes, each a memory and the state that is read next.

    Its value is  start (I - discount P)^-1 r  with r the payoff of the nodes under the policy, and P what `onward` and
    the policy in each node's state make of the world's transition.

    state: `[n]` state of each node. onward: `[n, K]` the node at each of the state's successors, -1 where the chain
    has ended. paid: `[n, A]` for a step, and `last` `[n]` for the last state of an episode. start: `[n]` chances. over:
    `[n]` whether there was something to remember and nothing of it is left, before this state is read.
    """

    state: np.ndarray
    onward: np.ndarray
    paid: np.ndarray
    last: np.ndarray
    start: np.ndarray
    over: np.ndarray


def used_automata(payoffs: Payoffs) -> list[tuple[float, Automaton]]:
    """The first arrivals and automata that one utility speaks of, with their weights."""
    used = np.flatnonzero(np.asarray(payoffs.reach))
    some = list(
        zip(np.asarray(payoffs.reach, np.float64)[used], arrivals(np.asarray(payoffs.targets)[used]), strict=True)
    )
    if payoffs.weight is not None:
        weights = np.asarray(payoffs.weight, np.float64)
        some += [(weights[d], payoffs.automata[d]) for d in np.flatnonzero(weights)]
    return [(float(weight), machine) for weight, machine in some]


def step_payoffs(world, payoffs: Payoffs) -> tuple[np.ndarray, np.ndarray]:
    """`[S, A]` what each step pays, and `[S]` what the last state does, without regard to memory."""
    state = np.asarray(payoffs.state, np.float64)
    action = np.zeros((world.num_states, world.num_actions)) if payoffs.action is None else np.asarray(payoffs.action)
    return state[:, None] + action, state


def chains(world, payoffs: Payoffs, ways=None) -> list[Chain]:
    """One utility as a sum over chains: the payoffs a step, and each automaton.

    ways: successors `[S, K]` and chances `[S, A, K]`, if not those of `links(world.transition)`.
    """
    ways = links(world.transition) if ways is None else ways
    steps, last = step_payoffs(world, payoffs)
    some = used_automata(payoffs)
    found = []
    if np.any(steps) or not some:
        stays = Automaton(np.zeros((1, world.num_states), int), np.zeros((1, world.num_states)))
        found.append(_chain(world, ways, [stays], lambda state, _: (steps[state], last[state])))
    for weight, machine in some:
        paid = weight * np.asarray(machine.pay)

        def pays(state, memory, paid=paid):
            now = paid[memory[:, 0], state]
            return np.repeat(now[:, None], world.num_actions, axis=1), now

        found.append(_chain(world, ways, [machine], pays))
    return found


def joint_chain(world, payoffs: Payoffs, most=None) -> Chain | None:
    """The whole utility as one chain, which remembers what all its automata do; None if it has more than `most` nodes.

    Its first nodes are the states in their order, with nothing to remember.
    """
    steps, last = step_payoffs(world, payoffs)
    some = used_automata(payoffs)
    machines = [machine for _, machine in some]
    paid = [np.pad(weight * np.asarray(one.pay), ((0, 1), (0, 0))) for weight, one in some]

    def pays(state, memory):
        # A memory of -1 is the row of zeros behind the last.
        now = sum((pay[memory[:, d], state] for d, pay in enumerate(paid)), np.zeros(len(state)))
        return steps[state] + now[:, None], last[state] + now

    return _chain(world, links(world.transition), machines, pays, everywhere=True, most=most)


def stack_chain(world, payoffs: Payoffs, most: int | None = None) -> Chain | None:
    """`U` stacked utilities on the nodes of one chain, which remembers what any of their automata does.

    As `joint_chain`, but `paid` is `[U, n, A]` and `last` `[U, n]`.
    """
    reach = np.asarray(payoffs.reach, np.float64)
    weight = np.zeros((len(reach), 0)) if payoffs.weight is None else np.asarray(payoffs.weight, np.float64)
    machines = [*arrivals(np.asarray(payoffs.targets)), *payoffs.automata]
    shares = np.concatenate([reach, weight], axis=1)
    used = np.flatnonzero(shares.any(0))
    machines, shares = [machines[d] for d in used], shares[:, used]
    paid = [np.pad(np.asarray(one.pay), ((0, 1), (0, 0))) for one in machines]
    last = np.asarray(payoffs.state, np.float64)
    action = np.zeros((1, 1, world.num_actions)) if payoffs.action is None else np.asarray(payoffs.action)
    steps = last[:, :, None] + action

    def pays(state, memory):
        now = np.array([pay[memory[:, d], state] for d, pay in enumerate(paid)]).reshape(len(paid), len(state))
        now = shares @ now
        return steps[:, state] + now[:, :, None], last[:, state] + now

    return _chain(world, links(world.transition), machines, pays, everywhere=True, most=most)


def memoryless_chains(world, payoffs: Payoffs) -> tuple[np.ndarray, np.ndarray] | None:
    """The chains of a utility without memory, over states: `[C, S]` goes on, `[C, S, A]` payoff; None if it has one.

    Its value is  sum_c initial (I - discount diag(goes_on_c) P)^-1 r_c  with r_c the payoff under the policy.
    """
    some = used_automata(payoffs)
    if any(machine.num_memories > 1 for _, machine in some):
        return None
    steps, _ = step_payoffs(world, payoffs)
    goes_on, paid = [np.ones(world.num_states, bool)], [steps]
    for weight, machine in some:
        goes_on.append(np.asarray(machine.step)[0] >= 0)
        paid.append(np.repeat(weight * np.asarray(machine.pay)[0][:, None], world.num_actions, axis=1))
    first = 0 if np.any(steps) or not some else 1
    return np.array(goes_on[first:]), np.array(paid[first:])


def _chain(world, ways, machines, pays, everywhere=False, most=None):
    """The nodes that can be reached, with what `pays(state, memory)` gives for `[n]` and `[n, D]`.

    everywhere: whether the states that are never reached have nodes as well, and those where all `machines` have ended.
    """
    sizes = [one.num_memories + 1 for one in machines]
    if most is not None and math.prod(sizes) * world.num_states >= 2**62:
        return None
    weights = np.cumprod([1, *sizes])  # memory as one number: the last memory of each stands for its end
    steps = [np.asarray(one.step) for one in machines]
    num_states = world.num_states

    def memories(code):
        parts = [code // weight % size for weight, size in zip(weights, sizes, strict=False)]
        parts = [np.where(part == size - 1, -1, part) for part, size in zip(parts, sizes, strict=True)]
        return np.array(parts, int).reshape(len(parts), len(code)).T

    def after(code, state):
        left = np.zeros(len(code), int)
        memory, over = memories(code), np.ones(len(code), bool)
        for d, step in enumerate(steps):
            new = np.where(memory[:, d] < 0, -1, step[memory[:, d], state])
            over &= new < 0
            left += weights[d] * np.where(new < 0, sizes[d] - 1, new)
        return np.where(over & (not everywhere) & bool(steps), _NOWHERE, left)

    successors, chance = ways
    possible = ((chance > 0) & np.asarray(world.available)[:, :, None]).any(1)
    start = np.flatnonzero(np.asarray(world.initial) > 0)
    nodes, onward = np.zeros(0, int), []
    frontier = np.arange(num_states) if everywhere else start  # code * S + state, with code 0
    known = frontier
    while len(frontier):
        code, state = frontier // num_states, frontier % num_states
        new = after(code, state)
        goes = np.where((new[:, None] >= 0) & possible[state], new[:, None] * num_states + successors[state], _NOWHERE)
        nodes, onward = np.concatenate([nodes, frontier]), [*onward, goes]
        frontier = np.setdiff1d(goes[goes >= 0], known)
        known = np.union1d(known, frontier)
        if most is not None and len(known) > most:
            return None
    order = np.argsort(nodes)
    nodes, onward = nodes[order], np.concatenate(onward)[order]
    # What no action leads to has no node: its chance is 0, and it is read nowhere.
    places = np.where(onward >= 0, np.searchsorted(nodes, onward), _NOWHERE)
    state = nodes % num_states
    memory = memories(nodes // num_states)
    paid, last = pays(state, memory)
    first = np.zeros(len(nodes))
    first[np.searchsorted(nodes, start)] = np.asarray(world.initial, np.float64)[start]
    over = (memory < 0).all(-1) & bool(machines)
    return Chain(state, places, paid, last, first, over)

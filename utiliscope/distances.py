r"""How far apart two rewards are, whatever their scale and shaping: EPIC and STARC.

Both bring a reward to a canonical form that potential shaping, R'(s, a, s') = R(s, a, s') + g Phi(s') - Phi(s) with g
the discount, does not change; scale that to length 1 in a weighted L2 norm; and take half the distance of what comes
out. So equivalent rewards are at 0 and opposite ones at 1. A reward whose canonical form is 0, such as a constant,
stays 0: it is at 0 from others of its kind and at 1/2 from every other. (STARC has it so; EPIC's correlation is not
defined there. The triangle inequality holds throughout.)

Lengths are weighted by D(s, a), how often a policy takes an action in a state, discounted: the uniform random policy
from the world's first states unless another is given. Actions that are not available have no weight. A utility that
remembers is a reward on pairs of memory and state. With this D it does not matter how many memories tell apart what is
the same: the distance of two rewards without memory is the same there.

References: Gleave, Dennis, Legg, Russell and Leike 2021, "Quantifying differences in reward functions"; Skalse, Farnik,
Motwani, Jenner, Gleave and Abate 2024, "STARC: a general framework for quantifying differences between reward
functions".
"""

from typing import NamedTuple

import numpy as np

from .chains import stack_chain
from .errors import InputError
from .node_policies import node_values, node_visits, random_policy
from .payoffs import as_payoffs, stack_payoffs
from .planning import NodeWorld, on_nodes
from .world.model import WorldModel
from .world.transition import links, on_host

_MOST_NODES = 2**15
# A canonical form below this share of the largest value that the reward could have is rounding.
_ROUNDING = 1e-11


class Rewards(NamedTuple):
    """`U` rewards on the moves of one world, with the weights of moves; see `rewards_on`.

    paid: `[U, n, A, K]` for a move to each of the K successors (K = 1: the same for all). usual: `[U, n]` what a
    state pays on average: actions as they are weighed there, next states independent of them.
    """

    nodes: NodeWorld
    weight: np.ndarray
    paid: np.ndarray
    usual: np.ndarray


def epic_distance(world: WorldModel, first, second, *, policy=None) -> float:
    r"""EPIC distance of two rewards, in [0, 1].

    .. math:: D = \sqrt{(1 - \rho) / 2} = \tfrac12 \lVert \hat C_1 - \hat C_2 \rVert_D,\quad
        C(s, a, s') = R(s, a, s') + \gamma \bar R(s') - \bar R(s) - \gamma E[\bar R(S)]

    with \bar R(s) = E[R(s, A, S')], A drawn as D has it in s, S and S' from the states of D independently of all else,
    and rho the correlation of C_1 and C_2 when (s, a) is drawn from D and s' from the world.

    first, second: rewards `[S]`, `[S, A]` or `[S, A, S]` (of the next state), or utilities that `as_payoffs` takes.
    policy: `[S, A]` whose discounted visits are D; by default all available actions are equally likely.
    Raises InputError for a horizon, possible worlds and shapes that do not fit. Costs an `[S, S]` solve and a table of
    all moves.
    """
    return _half_distance(epic_forms(_both(world, first, second, policy)))


def starc_distance(world: WorldModel, first, second, *, policy=None) -> float:
    r"""STARC distance of two rewards, in [0, 1]: with value-adjusted levelling and a weighted L2 norm.

    .. math:: d = \tfrac12 \Big\lVert \frac{C_1}{\lVert C_1 \rVert_D} - \frac{C_2}{\lVert C_2 \rVert_D} \Big\rVert_D,
        \quad C(s, a) = E_{s'}[R(s, a, s') + \gamma V(s')] - V(s)

    with V the values of the uniform random policy: C are its advantages. They do not see what a move pays for its
    outcome beyond the mean, as no policy does. If `second` ranks policy 1 no lower than policy 2, then by `first` the
    loss is bounded, with d_i(s, a) the discounted visits of policy i (after Skalse et al. 2024, theorem 1):

    .. math:: J(2) - J(1) \le 2 d \lVert C_1 \rVert_D \Big( \sum_{s,a} (d_1 - d_2)^2 / D \Big)^{1/2}

    Arguments, errors and cost as of `epic_distance`.
    """
    return _half_distance(starc_forms(_both(world, first, second, policy)))


def rewards_on(nodes: NodeWorld, visits, policy, paid) -> Rewards:
    """`Rewards` of `paid` `[U, n, A]` on nodes with discounted `visits` `[n]` under `policy` `[n, A]`."""
    weight = visits[:, None] * policy
    usual = np.einsum("na,una->un", policy, paid)
    return Rewards(nodes, weight / weight.sum(), paid[..., None], usual)


def epic_forms(rewards: Rewards) -> np.ndarray:
    """`[U, M]` canonical rewards of EPIC for all moves that have weight, about their mean, times the root of it."""
    successors, chance = links(rewards.nodes.transition)
    weight = rewards.weight[:, :, None] * chance
    node, action, place = np.nonzero(weight)
    ahead = rewards.usual[:, successors[node, place]]
    now = np.broadcast_to(rewards.paid, (len(rewards.paid), *chance.shape))[:, node, action, place]
    form = now + float(rewards.nodes.discount) * ahead - rewards.usual[:, node]
    moves = weight[node, action, place]
    form = form - (form @ moves)[:, None]
    return _cleaned(rewards, form * np.sqrt(moves))


def starc_forms(rewards: Rewards) -> np.ndarray:
    """`[U, M]` canonical rewards of STARC for all pairs that have weight, times the root of it."""
    nodes = rewards.nodes
    successors, chance = links(nodes.transition)
    expected = (rewards.paid * chance).sum(-1)
    policy = random_policy(nodes.available)
    values = node_values(nodes, policy, np.einsum("na,una->un", policy, expected))
    node, action = np.nonzero(rewards.weight)
    ahead = np.einsum("mk,umk->um", chance[node, action], values[:, successors[node]])
    form = expected[:, node, action] + float(nodes.discount) * ahead - values[:, node]
    return _cleaned(rewards, form * np.sqrt(rewards.weight[node, action]))


def _cleaned(rewards, forms):
    """What is left of a canonical form by rounding alone is 0."""
    size = np.abs(rewards.paid).max((1, 2, 3)) / (1 - float(rewards.nodes.discount))
    small = np.linalg.norm(forms, axis=1) <= _ROUNDING * size
    return np.where(small[:, None], 0.0, forms)


def _half_distance(forms) -> float:
    lengths = np.linalg.norm(forms, axis=1, keepdims=True)
    first, second = forms / np.where(lengths > 0, lengths, 1.0)
    return min(float(np.linalg.norm(first - second)) / 2, 1.0)


def _both(world, first, second, policy) -> Rewards:
    """Two rewards on one set of nodes: the states, or pairs of memory and state."""
    if not isinstance(world, WorldModel) or world.horizon is not None:
        raise InputError("EPIC and STARC are for one world without a horizon; leave the horizon out")
    shape = (world.num_states, world.num_actions)
    policy = random_policy(world.available) if policy is None else np.asarray(policy, np.float64)
    if policy.shape != shape:
        raise InputError(f"policy has shape {policy.shape}, not [states, actions] = {shape}")
    of_moves = [np.shape(one) == (*shape, world.num_states) for one in (first, second)]
    if any(of_moves):
        return _of_moves(world, [_moves(world, one, itself) for one, itself in zip((first, second), of_moves)], policy)
    utilities = [as_payoffs(world, one) for one in (first, second)]
    if any(one.state.ndim != 1 for one in utilities):
        raise InputError("a distance is that of two single utilities; give one, such as candidates.payoffs[0]")
    chain = stack_chain(world, stack_payoffs(utilities), _MOST_NODES)
    if chain is None:
        raise InputError(f"these utilities remember too much: more than {_MOST_NODES} pairs of memory and state")
    nodes = on_nodes(world, chain)
    policy = policy[chain.state]
    return rewards_on(nodes, node_visits(nodes, chain.start, policy), policy, chain.paid)


def _moves(world, reward, itself) -> np.ndarray:
    """`[S, A, S]` of a reward without memory."""
    if itself:
        table = np.asarray(reward, np.float64)
    else:
        one = as_payoffs(world, reward)
        if one.state.ndim != 1 or np.any(one.reach) or (one.weight is not None and np.any(one.weight)):
            raise InputError("a reward [S, A, S] can be compared with payoffs a step only: [S], [S, A] or [S, A, S]")
        now = np.asarray(one.state)[:, None] + (0.0 if one.action is None else np.asarray(one.action))
        table = np.repeat(np.broadcast_to(now, world.available.shape)[:, :, None], world.num_states, axis=2)
    if not np.isfinite(table).all():
        raise InputError("a reward holds numbers that are not finite; check it for nan and inf")
    return table


def _of_moves(world, tables, policy) -> Rewards:
    nodes = NodeWorld(on_host(world.transition), np.asarray(world.available), float(world.discount), None)
    visits = node_visits(nodes, np.asarray(world.initial), policy)
    successors, _ = links(world.transition)
    # Where a move is paid for its end, an average over ends that are independent of it is one over all states.
    usual = np.array([np.einsum("sa,sat,t->s", policy, table, visits / visits.sum()) for table in tables])
    paid = np.array([np.take_along_axis(table, successors[:, None, :], axis=2) for table in tables])
    weight = visits[:, None] * policy
    return Rewards(nodes, weight / weight.sum(), paid, usual)

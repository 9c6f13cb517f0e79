"""What it costs to act on a belief about utilities: the regret of the policy that is best on average.

Utilities are known only up to positive affine maps, so they have no common unit. Here each is brought to one in which
the best policy has 1 and the worst 0 (relative utilitarianism, Dhillon and Mertens 1999), as in `aggregation.py`, and
regret is told in the true utility's unit: 0 for its best policy, 1 for its worst. Policies that act may remember
whatever any of the utilities asks about, so that best and worst are exact, and no search ends in a local optimum.
"""

from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from .chains import stack_chain
from .errors import InputError
from .node_policies import node_visits, random_policy
from .payoffs import Payoffs, as_payoffs
from .planning import NodeWorld, best_on_nodes, on_nodes
from .world.model import WorldModel
from .world.transition import next_values

_MOST_NODES = 2**15
_ROUNDING = 1e-11  # of the most that a utility's steps could be worth
# What a belief's best policy has to gain over a random one, in a unit in which every utility ranges over 1.
_NOTHING = 1e-9


class Stakes(NamedTuple):
    """What `U` utilities have at stake in one world, on the `n` nodes of the chain that remembers for all of them.

    nodes: the world whose states are the nodes. start: `[n]` chance of each at first. state: `[n]` the world's state.
    paid: `[U, n, A]` what each step pays. ahead: `[U, n, A]` its value if the best actions follow.
    worst, best: `[U]` least and greatest expected utility. constant: `[U]` whether all policies have the same.
    random: `[n]` discounted visits of the policy that takes each available action equally often.
    """

    nodes: NodeWorld
    start: np.ndarray
    state: np.ndarray
    paid: np.ndarray
    ahead: np.ndarray
    worst: np.ndarray
    best: np.ndarray
    constant: np.ndarray
    random: np.ndarray

    @property
    def units(self) -> np.ndarray:
        """`[U]` 1 / (best - worst), and 0 for constants: they have no say."""
        return np.where(self.constant, 0.0, 1 / np.where(self.constant, 1.0, self.best - self.worst))


# Solves here are small: threads that wait for each other take a hundred times as long where cores are shared.
_one_thread = threadpool_limits.wrap(limits=1)


@_one_thread
def stakes(world: WorldModel, utilities) -> Stakes:
    """The `Stakes` of a stack of `U` utilities (`Payoffs`, or Candidates) in a world without a horizon.

    Costs two plans for each utility. Raises InputError for a single utility, a horizon, and utilities that together
    have more to remember than 2^15 pairs of memory and state.
    """
    payoffs = as_payoffs(world, utilities)
    if not isinstance(payoffs, Payoffs) or payoffs.state.ndim != 2:
        raise InputError("stakes are those of a stack of utilities; give Candidates, or stack_payoffs([...])")
    if getattr(world, "horizon", None) is not None or not isinstance(world, WorldModel):
        raise InputError("stakes are for one world without a horizon; leave the horizon out")
    chain = stack_chain(world, payoffs, _MOST_NODES)
    if chain is None:
        raise InputError(
            f"these {payoffs.num_utilities} utilities have too much to remember together: more than {_MOST_NODES} "
            "pairs of memory and state; take fewer of them, or forms that remember less"
        )
    nodes = on_nodes(world, chain)
    ends, ahead = [], []
    for paid in chain.paid:
        lowest, _ = best_on_nodes(nodes, -paid)
        values, _ = best_on_nodes(nodes, paid)
        ends.append((-float(chain.start @ lowest), float(chain.start @ values)))
        ahead.append(paid + nodes.discount * next_values(nodes.transition, values))
    worst, best = np.array(ends).T
    random = node_visits(nodes, chain.start, random_policy(nodes.available))
    size = np.abs(chain.paid).max((1, 2)) / (1 - nodes.discount)
    constant = best - worst <= _ROUNDING * size
    return Stakes(nodes, chain.start, chain.state, chain.paid, np.array(ahead), worst, best, constant, random)


@_one_thread
def acting_regrets(stakes: Stakes, probability) -> np.ndarray:
    r"""`[U]` regret of acting on a belief, if each utility in turn were the true one; nan for constants.

    .. math:: \frac{\max_\pi V_u(\pi) - V_u(\pi^*)}{\max_\pi V_u(\pi) - \min_\pi V_u(\pi)},\quad
        \pi^* = \arg\max_\pi \sum_k p_k \frac{V_k(\pi)}{\max V_k - \min V_k}

    probability: `[U]` p_k. A belief that gives every policy the same value acts at random: one in constants alone, or
    as much for a utility as against it, as the prior of a grammar is (to within 1e-9 of a utility's range). Among
    equally good actions the policy takes the first. Costs a few sparse solves.
    """
    share = np.asarray(probability, np.float64)
    if share.shape != stakes.units.shape or not np.isfinite(share).all() or (share < 0).any():
        raise InputError(f"probability has shape {share.shape}; give {len(stakes.units)} numbers that are not negative")
    of_some_worth = share[~stakes.constant].sum()
    if not of_some_worth:
        return random_regrets(stakes)
    share = share / of_some_worth * stakes.units
    paid = np.tensordot(share, stakes.paid, 1)
    # Best if all doubt were settled after one step: close to the best of all, so that few improvements are left.
    first = np.tensordot(share, stakes.ahead, 1)
    first = np.argmax(np.where(stakes.nodes.available, first, -np.inf), -1)
    return _best_regrets(stakes, paid, first, _NOTHING)


@_one_thread
def reward_regrets(stakes: Stakes, reward) -> np.ndarray:
    """`[U]` regret of the best policy for `reward` `[S]`, paid at every step; at random if all policies are as good.

    Costs a few sparse solves. Raises InputError for another shape, and numbers that are not finite.
    """
    reward, number = np.asarray(reward, np.float64), int(stakes.state.max()) + 1
    if reward.shape != (number,) or not np.isfinite(reward).all():
        raise InputError(f"reward has shape {reward.shape}; give a finite number for each of {number} states")
    paid = np.repeat(reward[stakes.state][:, None], stakes.paid.shape[2], axis=1)
    return _best_regrets(stakes, paid, None, _ROUNDING * np.abs(reward).max() / (1 - stakes.nodes.discount))


def _best_regrets(stakes, paid, first, nothing):
    """`[U]` regret of the best policy for `paid` `[n, A]`, if it gains more than `nothing` over a random one."""
    values, choice = best_on_nodes(stakes.nodes, paid, first)
    randomly = stakes.random @ (random_policy(stakes.nodes.available) * paid).sum(-1)
    if stakes.start @ values - randomly <= nothing:
        return random_regrets(stakes)
    policy = np.eye(paid.shape[1])[choice]
    return _regrets(stakes, node_visits(stakes.nodes, stakes.start, policy), policy)


def random_regrets(stakes: Stakes) -> np.ndarray:
    """`[U]` regret of the policy that takes each available action equally often; nan for constants."""
    return _regrets(stakes, stakes.random, random_policy(stakes.nodes.available))


def _regrets(stakes, visits, policy):
    value = np.tensordot(stakes.paid, visits[:, None] * policy, 2)
    constant = stakes.constant
    # Rounding may put the best policy a hair beyond its bounds.
    lost = np.clip((stakes.best - value) / np.where(constant, 1.0, stakes.best - stakes.worst), 0.0, 1.0)
    return np.where(constant, np.nan, lost)

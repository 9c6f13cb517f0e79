r"""Action values of agents that plan: optimal ones, and the soft ones of maximum causal entropy.

Payoffs count from s_0 on: a state is paid at each visit, before the action that is taken in it, so that

.. math:: Q(s, a) = u(s, a) + \gamma \, E[V(s') | s, a]

with V = max_a Q for optimal values, and V = T log sum_a exp(Q / T) for soft ones. Only available actions count; the
values of others are -inf.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import lu_factor, lu_solve

from .behaviour import Behaviour, check_fits
from .chains import joint_chain
from .errors import InputError
from .fixed_points import backward_solution
from .linked_values import linked_values, links_of, nearly_optimal
from .payoffs import Payoffs
from .planning import chain_action_values
from .world.possible import PossibleWorlds, World
from .world.transition import SparseTransition, links, next_values, under

_MOST_NODES = 2**17
_MOST_SOLVED = 300  # states in a dense solve of a sparse world
_MOST_IMPROVEMENTS = 500  # of a policy; about ten are usual
_SWEEPS = 20  # of value iteration, as long as they save solves
_NO_GAIN = 8  # units of rounding of the largest value


class _Planning(NamedTuple):
    """What action values depend on, beside payoffs. goes_on: `[S]` whether the episode goes on after this state."""

    transition: object
    discount: object
    available: object
    goes_on: object


def optimal_action_values(world: World, payoff, *, last=None):
    """`[S, A]` optimal action values, or `[H, S, A]` by time in a world with a horizon; -inf where not available.

    payoff: `[S, A]` paid for a step, which may be traced. last: `[S]` paid by the last state of an episode, in a world
    with a horizon (by default nothing).

    Exact, by policy iteration from a few sweeps of value iteration. Differentiable in `payoff` under `jit` and
    `vmap`: the policy is found without gradients, and its values solve one linear system; where two actions are worth
    the same, the gradient is that of one of them. Costs about two factorisations of an `[S, S]` matrix; where they are
    cheaper, some hundred sweeps along the links of a world that is known while tracing (`linked_values`); iterative
    solves for sparse worlds of more than 300 states; or H products. Raises InputError for shapes that do not fit.
    """
    plan, payoff = _planning(world, payoff)
    if world.horizon is not None:
        return _by_induction(world, plan, payoff, last, _maximum)
    known = links_of(world, payoff.dtype)
    if known is not None and known.solve_slower:
        value = linked_values(known, jnp.where(plan.available, payoff, -jnp.inf))
        return _ahead(plan, payoff, value)
    choice, factors = _best_choice(*jax.lax.stop_gradient((plan, payoff)), known)
    value = _value_of(plan, payoff, choice, factors)
    return _ahead(plan, payoff, value)


def soft_action_values(world: World, payoff, temperature, *, last=None, terminal=None):
    """`[S, A]` soft action values at `temperature`, or `[H, S, A]` by time; -inf where not available.

    softmax(Q / T) is the policy of greatest expected payoff plus T times its causal entropy, in nats.

    payoff, last: as for `optimal_action_values`. temperature: a number above 0, which may be traced. terminal: `[S]`
    bool, states where the episode ends: worth their payoff alone, without entropy.

    Newton's method on the fixed point, to rounding; each step is the value of the softmax policy of the last. Implicit
    derivatives in payoff and temperature, of any order, by one linear solve each.

    References: Ziebart (2010), Modeling Purposeful Adaptive Behavior with the Principle of Maximum Causal Entropy.
    """
    plan, payoff = _planning(world, payoff, terminal)
    temperature = jnp.asarray(temperature, payoff.dtype)
    if world.horizon is not None:
        if terminal is not None:
            raise InputError("terminal states are for worlds without a horizon; leave out `terminal` or the horizon")
        return _by_induction(world, plan, payoff, last, lambda q: _soft_maximum(q, temperature))
    return _ahead(plan, payoff, _soft_values(plan, payoff, temperature))


def log_boltzmann(action_values, temperature):
    """Log probabilities `[..., A]` of actions, log softmax(Q / T), in nats; -inf where an action is not available.

    Its gradients in `temperature` have no NaN, which those of a plain log_softmax(-inf / T) have.
    """
    available = action_values > -jnp.inf
    top = jnp.max(action_values, -1, keepdims=True)
    scores = jnp.where(available, action_values - jax.lax.stop_gradient(top), 0.0) / temperature
    return jax.nn.log_softmax(jnp.where(available, scores, -jnp.inf), axis=-1)


def decision_values(behaviour: Behaviour, world: World, payoffs: Payoffs) -> np.ndarray:
    """`[U, N, A]` optimal action values of each of `U` stacked utilities at each of the `N` recorded decisions.

    In NumPy and float64. A utility that remembers is solved on the product of the world with its memory, and what is
    remembered at a decision is found by reading the episode's states up to it: s_t is read, then the action is taken.
    Where everything has been paid, all actions are worth the same. An episode counts as beginning with its first
    recorded decision, and so does each piece of one that `Behaviour.where` has cut; with a horizon, time counts from
    there, and decisions beyond it are worth nothing. Actions that are not available are worth -inf.

    Costs a few solves for each utility, sparse where the world is. Raises InputError for recordings of another world,
    for `PossibleWorlds`, and for utilities with more than 2^17 pairs of memory and state.
    """
    _one_world(world)
    check_fits(behaviour, world)
    successors, _ = links(world.transition)
    available = np.asarray(world.available)
    pieces = [np.asarray(states)[: len(actions)] for _, states, actions in behaviour.episodes()]
    # Where each state of a piece stands among the successors of the one before.
    steps = [np.argmax(successors[states[:-1]] == states[1:, None], axis=-1) for states in pieces]
    if payoffs.state.ndim != 2:
        raise InputError("decision_values takes a stack of utilities, such as candidates.payoffs")
    found = np.empty((payoffs.num_utilities, behaviour.num_decisions, world.num_actions))
    for row, out in enumerate(found):
        nodes = joint_chain(world, payoffs[row], _MOST_NODES)
        if nodes is None:
            raise InputError(
                f"utility {row} has too much to remember: more than {_MOST_NODES} pairs of memory and state; "
                "take fewer forms with memory, or forms that remember less"
            )
        q = chain_action_values(world, nodes)
        place = 0
        for states, taken in zip(pieces, steps, strict=True):
            node = _read(nodes.onward, states[0], taken)
            end = place + len(states)
            if world.horizon is None:
                out[place:end] = q[node]
            else:
                within = min(len(states), world.horizon)
                out[place : place + within] = q[np.arange(within), node[:within]]
                out[place + within : end] = np.where(available[states[within:]], 0.0, -np.inf)
            place = end
    return found


def _read(onward, first, taken):
    """`[n]` nodes of a piece that begins in the state `first` and goes to the successors `taken` `[n - 1]`."""
    nodes = [int(first)]  # the first nodes are the states, with nothing to remember
    for place in taken:
        nodes.append(int(onward[nodes[-1], place]))
    return np.array(nodes)


def _one_world(world):
    if isinstance(world, PossibleWorlds):
        raise InputError("an agent that plans knows its world: give one world in place of PossibleWorlds")


def _planning(world, payoff, terminal=None):
    _one_world(world)
    payoff = jnp.asarray(payoff, jnp.result_type(float))
    shape = (world.num_states, world.num_actions)
    if payoff.shape != shape:
        raise InputError(f"payoff has shape {payoff.shape}, not [states, actions] = {shape}")
    transition = world.transition
    if isinstance(transition, SparseTransition) and world.num_states <= _MOST_SOLVED:
        transition = transition.dense()
    goes_on = jnp.ones(shape[0], bool) if terminal is None else ~jnp.asarray(terminal, bool)
    parts = _Planning(transition, world.discount, world.available, goes_on)
    cast = jax.tree.map(jnp.asarray, parts)
    return jax.tree.map(lambda x: x.astype(payoff.dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x, cast), payoff


def _ahead(plan, payoff, value):
    """`[S, A]` payoff and the discounted value of what follows; -inf where not available."""
    onward = jnp.where(plan.goes_on[:, None], plan.discount * next_values(plan.transition, value), 0.0)
    return jnp.where(plan.available, payoff + onward, -jnp.inf)


def _by_induction(world, plan, payoff, last, best):
    """`[H, S, A]` by backward induction, with `best` `[S]` of action values."""
    last = jnp.zeros(world.num_states, payoff.dtype) if last is None else jnp.asarray(last, payoff.dtype)

    def back(value, _):
        q = _ahead(plan, payoff, value)
        return best(q), q

    return jax.lax.scan(back, last, length=world.horizon, reverse=True)[1]


def _chosen(plan, choice):
    """`[S, S]` discounted transition under `choice` `[S]`, or a function of values where that would be too large."""
    if isinstance(plan.transition, SparseTransition):
        policy = jax.nn.one_hot(choice, plan.available.shape[1], dtype=plan.discount.dtype)
        chain = under(plan.transition, policy)
        return lambda value: plan.discount * next_values(chain, value)[:, 0]
    return plan.discount * jnp.take_along_axis(plan.transition, choice[:, None, None], axis=1)[:, 0]


def _best_choice(plan, payoff, known):
    """`[S]` optimal actions, and the factors of the system that their values solve (None where it is not formed).

    known: the world's links, or None.
    """
    rows = jnp.arange(payoff.shape[0])
    sparse = isinstance(plan.transition, SparseTransition)

    def solved(choice):
        right, step = payoff[rows, choice], _chosen(plan, choice)
        if sparse:
            return backward_solution(step, right), None
        factors = lu_factor(jnp.eye(len(rows), dtype=payoff.dtype) - step)
        return lu_solve(factors, right), factors

    paid = jnp.where(plan.available, payoff, -jnp.inf)
    if known is None:
        value = jax.lax.fori_loop(0, _SWEEPS, lambda _, value: _ahead(plan, payoff, value).max(-1), paid.max(-1))
    else:
        value = nearly_optimal(known, paid)
    choice = _ahead(plan, payoff, value).argmax(-1)
    tolerance = _NO_GAIN * jnp.finfo(payoff.dtype).eps

    def improve(carry):
        choice, value, factors, _, number = carry
        q = _ahead(plan, payoff, value)
        # Within rounding equal actions would take turns for ever.
        better = q.max(-1) - q[rows, choice] > tolerance * jnp.abs(value).max()
        choice = jnp.where(better, q.argmax(-1), choice)
        value, factors = jax.lax.cond(better.any(), solved, lambda _: (value, factors), choice)
        return choice, value, factors, better.any(), number + 1

    carry = choice, *solved(choice), True, 0
    choice, _, factors, *_ = jax.lax.while_loop(lambda x: x[3] & (x[4] < _MOST_IMPROVEMENTS), improve, carry)
    return choice, factors


def _value_of(plan, payoff, choice, factors):
    """`[S]` value of `choice` `[S]`, differentiable, from `factors` that are known already."""
    right, step = jnp.take_along_axis(payoff, choice[:, None], axis=1)[:, 0], _chosen(plan, choice)
    if factors is None:
        return backward_solution(step, right)
    return jax.lax.custom_linear_solve(
        lambda value: value - step @ value,
        right,
        lambda _, b: lu_solve(factors, b),
        lambda _, b: lu_solve(factors, b, trans=1),
    )


def _maximum(q):
    """`[S]` the largest value, with the gradient of the first that is so.

    That of `max` divides by how many are equal to it: none, where q is rounded otherwise when it is computed again.
    """
    return jnp.take_along_axis(q, q.argmax(-1)[:, None], axis=-1)[:, 0]


def _soft_maximum(q, temperature):
    """`[S]` T log sum exp(Q / T) over available actions."""
    available = q > -jnp.inf
    top = jax.lax.stop_gradient(q.max(-1, keepdims=True))
    scores = jnp.where(available, q - top, 0.0) / temperature
    return top[:, 0] + temperature * jax.nn.logsumexp(jnp.where(available, scores, -jnp.inf), axis=-1)


def _soft_backup(plan, payoff, temperature, value):
    q = _ahead(plan, payoff, value)
    return jnp.where(plan.goes_on, _soft_maximum(q, temperature), _maximum(q))


def _newton_direction(plan, payoff, temperature, value, right):
    """`[S]` x with (I - discount P) x = right, P the chain of the softmax policy at `value`."""
    policy = jnp.exp(log_boltzmann(_ahead(plan, payoff, value), temperature))
    chain = under(plan.transition, policy * plan.goes_on[:, None])
    if isinstance(chain, SparseTransition):
        return backward_solution(lambda x: plan.discount * next_values(chain, x)[:, 0], right)
    return jnp.linalg.solve(jnp.eye(len(right), dtype=right.dtype) - plan.discount * chain[:, 0], right)


@jax.custom_jvp
def _soft_values(plan, payoff, temperature):
    """`[S]` the fixed point of the soft backup."""
    rounding = _NO_GAIN * jnp.finfo(payoff.dtype).eps

    def improve(carry):
        value, _, number = carry
        left = _soft_backup(plan, payoff, temperature, value) - value
        new = value + _newton_direction(plan, payoff, temperature, value, left)
        moved = jnp.abs(new - value).max() > rounding * (temperature + jnp.abs(new).max())
        return new, moved, number + 1

    start = jnp.where(plan.available, payoff, -jnp.inf).max(-1)
    start = jax.lax.fori_loop(0, _SWEEPS, lambda _, v: _soft_backup(plan, payoff, temperature, v), start)
    return jax.lax.while_loop(lambda x: x[1] & (x[2] < _MOST_IMPROVEMENTS), improve, (start, True, 0))[0]


@_soft_values.defjvp
def _soft_values_jvp(primals, tangents):
    value = _soft_values(*primals)
    # The implicit function theorem: V = B(V, x), so (I - dB/dV) dV = dB/dx dx.
    _, right = jax.jvp(lambda *changed: _soft_backup(*changed, value), primals, tangents)
    return value, _newton_direction(*primals, value, right)

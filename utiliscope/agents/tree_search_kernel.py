"""Tree search on the nodes of a chain, with mctx, for many decisions at once."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import mctx
import numpy as np

from .outlook import Outlook

_TIE = 1e-9
_LEAST_NODES = 64  # sizes below are compiled together
_EXPLORATION = 0.7  # of UCT, in units of the range of values among siblings


class Tables(NamedTuple):
    """An outlook as arrays, with nodes added so that their number is a power of 2.

    onward: `[N, K]`. chance: `[N, A, K]` of what follows an action. available: `[N, A]`. paid: `[N, A]`; last: `[N]`.
    discount: scalar.
    """

    onward: object
    chance: object
    available: object
    paid: object
    last: object
    discount: object


class _Place(NamedTuple):
    """`[E]` nodes and times; where an action has been taken, which, and `waits`: its outcome is what comes next."""

    node: object
    time: object
    action: object
    waits: object


def tables(view: Outlook) -> Tables:
    """What `search` needs of `view`."""
    available = view.available
    missing = power_of_two(len(available), _LEAST_NODES) - len(available)
    parts = Tables(
        onward=np.maximum(view.nodes.onward, 0),
        chance=view.chance,
        available=available,
        paid=view.nodes.paid,
        last=view.nodes.last,
        discount=np.asarray(float(view.believed.discount)),
    )
    grown = [np.pad(x, ((0, missing), *[(0, 0)] * (x.ndim - 1)), mode="edge") if x.ndim else x for x in parts]
    return Tables(*grown)


def power_of_two(number: int, least: int) -> int:
    """The least power of 2 that is no less than either."""
    return max(1 << (number - 1).bit_length(), least)


@partial(jax.jit, static_argnames=("room", "rollouts", "rollout_length", "horizon"))
def search(seed, node, time, known: Tables, num_simulations, *, room, rollouts, rollout_length, horizon):
    """`[E]` actions at `node` `[E]` and `time`. What follows the horizon, if any, is worth nothing.

    num_simulations: may be traced; no more than `room`, for which the code is compiled.
    seed: `[4]` uint32: the generator of the machine is compiled in a fraction of the time that JAX's own takes.
    """
    number, batch, dtype = known.available.shape[1], len(node), known.paid.dtype
    root_key, search_key, tie_key = jax.random.split(jax.random.wrap_key_data(seed, impl="unsafe_rbg"), 3)

    def over(time):
        return jnp.zeros(time.shape, bool) if horizon is None else time >= horizon

    def paid(node, time, action, following):
        """For a step; the last state is paid with the step that leads to it."""
        at_end = 0.0 if horizon is None else jnp.where(time + 1 == horizon, known.discount * known.last[following], 0.0)
        return jnp.where(over(time), 0.0, known.paid[node, action] + at_end)

    def onward(level, node, action):
        return known.onward[node, _drawn(known.chance[node, action], level)]

    def judged(key, node, time):
        """`[E]` mean worth of random courses."""

        def step(carry, levels):
            node, time, weight, total = carry
            action = _drawn(known.available[node] * 1.0, levels[0])
            following = onward(levels[1], node, action)
            total = total + weight * paid(node, time, action, following)
            return (following, time + 1, weight * known.discount, total), None

        levels = jax.random.uniform(key, (rollout_length, 2, rollouts, batch), dtype)
        shape = rollouts, batch
        start = (
            jnp.broadcast_to(node, shape),
            jnp.broadcast_to(time, shape),
            jnp.ones((), dtype),
            jnp.zeros(shape, dtype),
        )
        return jax.lax.scan(step, start, levels)[0][3].mean(0)

    def grown(_, key, branch, place):
        """A new node: an action, which then waits for its outcome, or the outcome that one waits for."""
        key, other = jax.random.split(key)
        node, time, waits = place.node, place.time, place.waits
        action = jnp.where(waits, place.action, branch)
        drawn = onward(jax.random.uniform(key, node.shape, dtype), node, action)
        following = jnp.where(waits, known.onward[node, jnp.maximum(branch - number, 0)], drawn)
        step, ahead = paid(node, time, action, following), judged(other, following, time + 1)
        found = mctx.RecurrentFnOutput(
            reward=jnp.where(waits, step, 0.0),
            discount=jnp.where(waits, jnp.where(over(time), 0.0, known.discount), 1.0),
            prior_logits=jnp.zeros((batch, number + known.onward.shape[1]), dtype),
            value=jnp.where(waits, ahead, step + known.discount * ahead),
        )
        later = _Place(following, time + 1, action, ~waits)
        return found, jax.tree.map(partial(jnp.where, waits), later, _Place(node, time, action, ~waits))

    def chosen(_, tree, index, depth):
        """A branch of one tree: an action by UCT, those untried first, or the outcome that has come too seldom."""
        place = jax.tree.map(lambda x: x[index], tree.embeddings)
        visits = tree.children_visits[index]
        value = mctx.qtransform_by_parent_and_siblings(tree, index)[:number]
        tried = visits[:number]
        bonus = _EXPLORATION * jnp.sqrt(jnp.log(tried.sum() + 1.0) / jnp.maximum(tried, 1))
        actions = jnp.where(tried > 0, value + bonus, 1e6 + tree.extra_data)
        actions = jnp.where(known.available[place.node] & ~place.waits, actions, -jnp.inf)
        chance = known.chance[place.node, place.action]
        outcomes = jnp.where((chance > 0) & place.waits, chance / (visits[number:] + 1), -jnp.inf)
        return jnp.argmax(jnp.concatenate([actions, outcomes])).astype(jnp.int32)

    time = jnp.full(node.shape, time)
    root = mctx.RootFnOutput(
        prior_logits=jnp.zeros((batch, number + known.onward.shape[1]), dtype),
        value=judged(root_key, node, time),
        embedding=_Place(node, time, jnp.zeros_like(node), jnp.zeros(batch, bool)),
    )
    order = jax.random.uniform(tie_key, (batch, number), dtype)
    tree = mctx.search(
        None,
        search_key,
        root=root,
        recurrent_fn=grown,
        root_action_selection_fn=partial(chosen, depth=0),
        interior_action_selection_fn=chosen,
        num_simulations=room,
        loop_fn=lambda start, _, step, carry: jax.lax.fori_loop(start, num_simulations, step, carry),
        extra_data=order,
    )
    # Few simulations try every action once, so that visits alone say nothing.
    seen = tree.summary()
    visits = jnp.where(known.available[node], seen.visit_counts[:, :number], -1)
    value = jnp.where(visits == visits.max(-1, keepdims=True), seen.qvalues[:, :number], -jnp.inf)
    best = value >= value.max(-1, keepdims=True) - _TIE
    return jnp.argmax(best * (1.0 + order), axis=-1)


def _drawn(weight, level):
    """`[...]` places drawn by `weight` `[..., n]`, from uniform numbers `level` `[...]`."""
    steps = jnp.cumsum(weight, axis=-1)
    return jnp.argmax(steps > level[..., None] * steps[..., -1:], axis=-1)

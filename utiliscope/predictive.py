"""What draws say of every recorded decision: the log likelihood of what was done, and what else might have been."""

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from numpyro import handlers

from .summation import shapes_of

# Numbers kept for single decisions (160 MB of log likelihoods); beyond, one for each episode, and no other actions.
MOST_NUMBERS = 20_000_000
_BATCH = 16  # draws at a time


def decision_draws(key, program, given, sites, samples, inputs) -> dict:
    """`log_likelihood` and `replicated` of the recorded decisions, at draws `[chains, draws]`; empty if not told.

    A program tells of decisions by its site `policy` `[S, A]` or `subject_policy` `[N, S, A]`, or by what it returns:
    log probabilities of actions at the recorded decisions, `[N, A]`, or `[U, N, A]` given each utility (in states,
    `[S, A]` or `[U, S, A]`, if it asks for `counts`); then the utility of a draw is `utility_index`. given: its inputs.
    sites: draws of its continuous sites.

    log_likelihood: `[chains, draws, C]` nats (`action_taken`) of the decisions `choices` `[C]` in which there was a
    choice, or sums over episodes (`episode_actions`). replicated: `[chains, draws, N]` actions drawn anew, None if
    there are too many.
    """
    table = inputs.behaviour.table
    states, actions = (table[name].to_numpy() for name in ("state", "action"))
    size = next(iter(samples.values())).shape[:2]
    episodes, labels = pd.factorize(table["episode"])
    few = size[0] * size[1] * len(states) <= MOST_NUMBERS

    first = jax.tree.map(lambda x: x[0, 0], sites)

    if "subject_policy" in samples:
        who = inputs.subject_of_decision
        draws, at = {"policy": samples["subject_policy"]}, lambda draw, u: jnp.log(draw["policy"])[who, states]
    elif program is not None and shapes_of(lambda: _returned(program, given, first)) is not None:
        draws = sites

        def at(draw, u):
            told = _returned(program, given, draw)
            told = told[u] if told.ndim == 3 else told
            return told[states] if "counts" in given else told
    elif "policy" in samples:
        draws, at = {"policy": samples["policy"]}, lambda draw, u: jnp.log(draw["policy"])[states]
    else:
        return {}

    def one(of_draw):
        key, draw, u = of_draw
        log_policy = at(draw, u)
        taken = log_policy[jnp.arange(len(actions)), actions]
        if few:
            return taken, jax.random.categorical(key, log_policy).astype(jnp.int32)
        return jnp.zeros(len(labels)).at[episodes].add(taken), ()

    number = size[0] * size[1]
    index = samples.get("utility_index", np.zeros(size, int)).reshape(number)
    flat = jax.tree.map(lambda x: jnp.asarray(x).reshape(number, *x.shape[2:]), draws)
    found, replicated = jax.lax.map(one, (jax.random.split(key, number), flat, jnp.asarray(index)), batch_size=_BATCH)
    found = np.asarray(found).reshape(*size, -1)
    if not few:
        return {"log_likelihood": {"episode_actions": found}, "replicated": None}
    # Where there is one action only nothing is said, and leaving it out would divide by a spread of 0.
    free = np.flatnonzero(np.asarray(inputs.world.available)[states].sum(-1) > 1)
    told = {"action_taken": found[..., free]} if len(free) else {}
    return {"log_likelihood": told, "choices": free, "replicated": np.asarray(replicated).reshape(*size, -1)}


def _returned(program, given, values):
    """What a program returns at values of its continuous sites."""
    with handlers.block(), handlers.seed(rng_seed=0), handlers.substitute(data=values):
        return program(**given)

"""Cases of `benchmarks/calibration.py` whose agents plan: Boltzmann-rational and of maximum causal entropy."""

import equinox as eqx
import jax
import jax.numpy as jnp
from calibration_cases import Case, counted, rolled_out
from numpyro import distributions as dist

import utiliscope as us
from utiliscope.action_values import log_boltzmann, optimal_action_values, soft_action_values
from utiliscope.laws import LN2
from utiliscope.planned_actions import log_likelihood
from utiliscope.programs import load_program

TEMPERATURE = dist.LogNormal(-1.0, 1.0)


def _paid(world, reward):
    return jnp.broadcast_to(reward[:, None], (world.num_states, world.num_actions))


def _log_policy(world, reward, temperature, soft):
    """`[S, A]` of an agent that is paid `reward` `[S]` at each step."""
    values = soft_action_values(world, _paid(world, reward), temperature) if soft else None
    values = optimal_action_values(world, _paid(world, reward)) if values is None else values
    return log_boltzmann(values, temperature)


def _with_candidates(setting, program, soft, record) -> Case:
    """record: what the program is told of states and actions `[N]`."""
    rewards = jnp.asarray(setting.candidates.payoffs.state)

    def draw(none, key):
        keys = jax.random.split(key, 3)
        temperature = TEMPERATURE.sample(keys[0])
        utility = jax.random.categorical(keys[1], -LN2 * setting.candidates.code_length)
        log_policy = _log_policy(setting.world, rewards[utility], temperature, soft)
        recorded = rolled_out(keys[2], setting.world, jnp.exp(log_policy), 25)
        return dict(utility=utility, temperature=temperature), record(*recorded, log_policy.shape)

    def read(sites, data):
        log_policy = _log_policy(setting.world, rewards[sites["utility"]], sites["temperature"], soft)
        if "counts" in data:
            likelihood = log_likelihood(data["counts"], log_policy)
        else:
            scores = log_boltzmann(data["action_values"][sites["utility"]], sites["temperature"])
            likelihood = jnp.take_along_axis(scores, data["actions"][:, None], -1).sum()
        return {name: sites[name] for name in ("utility", "temperature")} | {"log likelihood": likelihood}

    inputs = dict(candidates=setting.candidates, temperature=TEMPERATURE, simplicity=1.0)
    if program == "maxent":
        inputs["world"] = setting.world
    return Case(load_program(program), eqx.Partial(draw, None), inputs, read)


def boltzmann(setting) -> Case:
    values = jax.vmap(lambda reward: optimal_action_values(setting.world, _paid(setting.world, reward)))

    def record(states, actions, shape):
        each = values(jnp.asarray(setting.candidates.payoffs.state))
        return dict(actions=actions, action_values=each[:, states])

    return _with_candidates(setting, "boltzmann", False, record)


def maxent(setting) -> Case:
    return _with_candidates(setting, "maxent", True, lambda *recorded: dict(counts=counted(*recorded)))


def with_weights(setting, program, soft) -> Case:
    """program: a name, or a function and a wrong one."""
    weights = us.FeatureWeights(setting.world, states=True, prior=dist.Normal(0.0, 1.0))

    def draw(none, key):
        keys = jax.random.split(key, 3)
        temperature = TEMPERATURE.sample(keys[0])
        theta = weights.distribution.sample(keys[1])
        log_policy = _log_policy(setting.world, theta @ weights.values, temperature, soft)
        counts = counted(*rolled_out(keys[2], setting.world, jnp.exp(log_policy), 25), log_policy.shape)
        return dict(weights=theta, temperature=temperature), dict(counts=counts)

    def read(sites, data):
        log_policy = _log_policy(setting.world, sites["weights"] @ weights.values, sites["temperature"], soft)
        return {
            **{f"weights[{f}]": sites["weights"][f] for f in range(len(weights))},
            "temperature": sites["temperature"],
            "log likelihood": log_likelihood(data["counts"], log_policy),
        }

    inputs = dict(world=setting.world, weights=weights, temperature=TEMPERATURE)
    return Case(load_program(program), eqx.Partial(draw, None), inputs, read, not callable(program))

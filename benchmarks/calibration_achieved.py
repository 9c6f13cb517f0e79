"""Cases of `benchmarks/calibration.py` of the achieved reading: values of operators, seen with a known error.

What the program says is exact where the values for all candidates are one number seen with one error, as here with two
opposite ones. With more of them it leaves out what the value for one utility tells of that for another.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from calibration_cases import SUBJECTS, Case, drawn_bits, drawn_law, drawn_mixture, log_mass, of_population

from utiliscope.programs import load_program
from utiliscope.values import expected_utility


def _episodes(key, setting, sorted_policies, utility, bits, error):
    """Values of an operator seen with one standard error, and its true intelligence.

    Payoffs of two states are opposite up to a constant, and so are their errors: one number is seen.
    """
    value = expected_utility(setting.world, sorted_policies.of_bits(utility, bits), setting.candidates.payoffs)
    sign = 1.0 - 2.0 * jnp.arange(len(setting.candidates))
    return value + error * jax.random.normal(key) * sign, setting.tails.bits(value)[utility]


def _achieved_inputs(setting, law):
    return {name: value for name, value in setting.inputs(law).items() if name not in ("world", "policy_prior")}


def achieved(setting, law, error, quantities=(), drawn_by=None) -> Case:
    """setting: of two states. error: of the mean of episodes. drawn_by: as for `candidates`."""
    law_of_draws = law if drawn_by is None else drawn_by

    def draw(sorted_policies, key):
        keys = jax.random.split(key, 4)
        one_law, parameters = drawn_law(keys[0], law_of_draws)
        utility = jax.random.categorical(keys[1], log_mass(setting.candidates))
        bits = drawn_bits(keys[2], one_law)
        value, bits = _episodes(keys[3], setting, sorted_policies, utility, bits, error)
        sites = dict(utility=utility, intelligence=bits, **parameters)
        return sites, dict(value=value, value_error=jnp.full(len(setting.candidates), error))

    def read(sites, data):
        away = jnp.interp(sites["intelligence"], *_rising(setting, sites["utility"]))
        found = {name: sites[name] for name in ("utility", "intelligence", *quantities)}
        return found | {"error of the mean": data["value"][sites["utility"]] - away}

    return Case(
        load_program("achieved", "achieved"),
        eqx.Partial(draw, setting.sorted_policies),
        _achieved_inputs(setting, law),
        read,
        drawn_by is None,
    )


def _rising(setting, utility):
    return -jnp.asarray(setting.tails.log2_prob)[utility], jnp.asarray(setting.tails.values)[utility]


def achieved_population(setting, law, error, quantities=()) -> Case:
    tails = jax.tree.map(lambda x: np.stack([np.asarray(x)] * SUBJECTS), setting.tails)

    def draw(sorted_policies, key):
        keys = jax.random.split(key, 5)
        one_law, parameters = drawn_law(keys[0], law)
        sites, log_mixture = drawn_mixture(keys[1], setting.candidates)
        utility = jax.random.categorical(keys[2], log_mixture, shape=(SUBJECTS,))
        bits = jax.vmap(lambda key: drawn_bits(key, one_law))(jax.random.split(keys[3], SUBJECTS))
        each = jax.vmap(lambda *one: _episodes(one[0], setting, sorted_policies, *one[1:], error))
        value, bits = each(jax.random.split(keys[4], SUBJECTS), utility, bits)
        data = dict(subject_value=value, subject_value_error=jnp.full(value.shape, error))
        return sites | dict(utility=utility, log_mixture=log_mixture) | parameters, data

    def read(sites, data):
        found = of_population(sites | dict(intelligence=jnp.zeros(SUBJECTS)), quantities)
        return {name: value for name, value in found.items() if "intelligence" not in name}

    inputs = _achieved_inputs(setting, law) | dict(subject_tails=tails)
    del inputs["tails"]
    program = load_program("achieved_population", "achieved")
    return Case(program, eqx.Partial(draw, setting.sorted_policies), inputs, read)

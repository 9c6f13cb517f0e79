"""What `benchmarks/calibration.py` runs: for each program, exact draws of what it says of the world, and wrong ones.

An operator of g bits is found among many random policies: sorted by value for its utility, it is the one of rank
2^-g M. Intelligence follows its law's density f(g) = h(g) ln 2 2^-g / Z, so that these operators are drawn from
xi(pi) h(g(pi)) / Z, up to what M policies resolve (2^-g > 1 / M). Value tails are of the same sorted policies.
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpyro import distributions as dist
from numpyro import handlers

import utiliscope as us
from utiliscope.laws import LN2, sampled_law
from utiliscope.programs import load_program
from utiliscope.values import expected_utility

STEPS, SUBJECTS = 12, 3
LAW = us.ExponentialLaw(dist.Uniform(0.0, 0.6))
BUMP = us.BumpLaw(dist.Uniform(1.5, 4.0), dist.Uniform(1.5, 4.0))
MIXTURE = us.RandomMixture(us.BumpLaw(5.0, 4.0), dist.Uniform(0.0, 1.0))
_PAIRS = 20_000  # of intelligence and noise, of which one is taken


class Case(NamedTuple):
    """Arguments of `calibrate`; right: whether the program is that of the draws."""

    program: Callable
    prior_draw: Callable
    inputs: dict
    quantities: Callable
    right: bool = True


class SortedPolicies(eqx.Module):
    """Random policies `[M, S, A]`, and `[U, M]` their order for each utility, the best first."""

    policies: jax.Array
    order: jax.Array

    def of_bits(self, utility, bits):
        place = jnp.floor(jnp.exp2(-bits) * self.order.shape[1]).astype(int)
        return self.policies[self.order[utility, jnp.minimum(place, self.order.shape[1] - 1)]]


class Setting(NamedTuple):
    """A small world with candidates, many random policies of it, and their value tails."""

    world: us.WorldModel
    candidates: us.Candidates
    sorted_policies: SortedPolicies
    tails: us.ValueTail

    def inputs(self, law):
        return dict(
            world=self.world,
            candidates=self.candidates,
            tails=self.tails,
            policy_prior=us.Dirichlet(1.0),
            intelligence_law=law,
            simplicity=1.0,
        )


def setting(num_states: int = 3, log2_policies: int = 18) -> Setting:
    """A world of `num_states` states and two actions, each of whose states may be what is wanted."""
    random = np.random.default_rng(7)
    transition = random.dirichlet(np.full(num_states, 0.5), (num_states, 2))
    world = us.world_model(transition, np.full(num_states, 1 / num_states), 0.8)
    wanted = {f"be in {s}": np.eye(num_states)[s] for s in range(num_states)}
    candidates = us.candidate_set(world, wanted, [1.0, *(2.0,) * (num_states - 1)])
    with jax.enable_x64(True):
        number = 2**log2_policies
        policies = us.Dirichlet(1.0).distribution(world).sample(jax.random.key(3), (number,))

        def some(policies):
            return jax.vmap(lambda policy: expected_utility(world, policy, candidates.payoffs))(policies)

        values = jax.jit(lambda all: jax.lax.map(some, all))(policies.reshape(-1, 4096, num_states, 2))
        values = np.asarray(values).reshape(number, -1).T
        order = np.argsort(-values, axis=1)
        sorted_policies = SortedPolicies(policies, jnp.asarray(order))
    return Setting(world, candidates, sorted_policies, tails_of(np.take_along_axis(values, order, 1)))


def tails_of(falling) -> us.ValueTail:
    """Value tails of `[U, M]` values of random policies, the best first, at about 500 knots."""
    number = falling.shape[1]
    knots = np.concatenate([np.geomspace(1, number, 300), np.linspace(1, number, 300)])
    places = np.unique(np.round(knots).astype(int))[::-1]
    chance = np.broadcast_to(places / number, (len(falling), len(places)))
    error = np.sqrt((1 - chance) / (chance * number)) / LN2
    zero = np.zeros(len(falling))
    return us.ValueTail(falling[:, places - 1], np.log2(chance), error, zero, zero > 0, atomic=False)


def drawn_law(key, law):
    """`law` with its parameters drawn from their priors, and these by name."""
    with handlers.seed(rng_seed=key), handlers.trace() as seen:
        law = sampled_law(law)
    return law, {name: site["value"] for name, site in seen.items()}


def drawn_bits(key, law):
    """The intelligence of an operator of `law`, in bits, where random policies do not tie."""
    key, choice = jax.random.split(key)
    if isinstance(law, us.RandomMixture):
        at_random = jax.random.uniform(jax.random.fold_in(choice, 1)) < law.share
        return jnp.where(at_random, jax.random.exponential(choice) / LN2, drawn_bits(key, law.law))
    if isinstance(law, us.BumpLaw):
        return jax.random.gamma(key, law.shape) * law.mean / law.shape
    return jax.random.exponential(key) / (LN2 * (1 - law.beta))


def drawn_pair(key, law, sigma):
    """Intelligence and standardised noise of an operator whose noisy reading follows `law`."""
    ahead, noise, choice = jax.random.split(key, 3)
    if isinstance(law, us.ExponentialLaw):
        # h(g + n) is a product.
        return drawn_bits(ahead, law), jax.random.normal(noise) + law.beta * LN2 * sigma
    bits = jax.random.exponential(ahead, (_PAIRS,)) / LN2
    error = jax.random.normal(noise, (_PAIRS,))
    taken = jax.random.categorical(choice, law.log_weight(bits + sigma * error))
    return bits[taken], error[taken]


def rolled_out(key, world, policy, steps: int = STEPS):
    """States and actions `[steps]` of one episode."""
    first, rest = jax.random.split(key)

    def step(state, key):
        act, move = jax.random.split(key)
        action = jax.random.categorical(act, jnp.log(policy[state]))
        return jax.random.categorical(move, jnp.log(jnp.asarray(world.transition)[state, action])), (state, action)

    start = jax.random.categorical(first, jnp.log(jnp.asarray(world.initial)))
    return jax.lax.scan(step, start, jax.random.split(rest, steps))[1]


def counted(states, actions, shape):
    return jnp.zeros(shape).at[states, actions].add(1.0)


def log_mass(candidates):
    return jax.nn.log_softmax(-LN2 * candidates.code_length)


def log_likelihood(counts, policy):
    return jnp.where(counts > 0, counts * jnp.log(jnp.where(counts > 0, policy, 1.0)), 0.0).sum((-2, -1))


def _named(*names):
    """Quantities: sites called so, entries of the policy, and the likelihood of the recorded actions."""

    def quantities(sites, data):
        found = {name: sites[name] for name in names}
        if "policy" in sites:
            found |= {f"policy[{s}, 0]": sites["policy"][s, 0] for s in range(2)}
            found["log likelihood"] = log_likelihood(data["counts"], sites["policy"])
        return found

    return quantities


def _operator(key, setting, sorted_policies, utility, bits):
    """A policy of so many bits, its intelligence as the value tails have it, and counts of what it did."""
    policy = sorted_policies.of_bits(utility, bits)
    value = expected_utility(setting.world, policy, setting.candidates.payoffs)
    counts = counted(*rolled_out(key, setting.world, policy), policy.shape)
    return policy, setting.tails.bits(value)[utility], counts


def candidates(setting, law, program="candidates", quantities=(), right=True, drawn_by=None) -> Case:
    """drawn_by: the law of the operators, if it is another than the program's."""
    law_of_draws = law if drawn_by is None else drawn_by

    def draw(sorted_policies, key):
        keys = jax.random.split(key, 4)
        one_law, parameters = drawn_law(keys[0], law_of_draws)
        utility = jax.random.categorical(keys[1], log_mass(setting.candidates))
        bits = drawn_bits(keys[2], one_law)
        policy, bits, counts = _operator(keys[3], setting, sorted_policies, utility, bits)
        return dict(utility=utility, intelligence=bits, policy=policy, **parameters), dict(counts=counts)

    function = load_program(program)
    names = ("utility", "intelligence", *quantities)
    return Case(
        function,
        eqx.Partial(draw, setting.sorted_policies),
        setting.inputs(law),
        _named(*names),
        right,
    )


def noisy(setting, law, noise, quantities=()) -> Case:
    def draw(sorted_policies, key):
        keys = jax.random.split(key, 5)
        one_law, parameters = drawn_law(keys[0], law)
        sigma = noise.sample(keys[4])
        utility = jax.random.categorical(keys[1], log_mass(setting.candidates))
        bits, error = drawn_pair(keys[2], one_law, sigma)
        policy, bits, counts = _operator(keys[3], setting, sorted_policies, utility, bits)
        sites = dict(utility=utility, intelligence=bits, policy=policy, noise=sigma, error=error, **parameters)
        return sites, dict(counts=counts)

    names = ("utility", "intelligence", "noise", "error", *quantities)
    inputs = setting.inputs(law) | dict(noise=noise)
    return Case(load_program("noisy"), eqx.Partial(draw, setting.sorted_policies), inputs, _named(*names))


def drawn_mixture(key, candidates):
    spread_key, pull_key = jax.random.split(key)
    spread = dist.HalfNormal(2.0).sample(spread_key)
    pull = jax.random.normal(pull_key, (len(candidates),))
    return dict(spread=spread, pull=pull), jax.nn.log_softmax(-LN2 * candidates.code_length + spread * pull)


def population(setting, law, quantities=()) -> Case:
    def draw(sorted_policies, key):
        keys = jax.random.split(key, 5)
        one_law, parameters = drawn_law(keys[0], law)
        sites, log_mixture = drawn_mixture(keys[1], setting.candidates)
        utility = jax.random.categorical(keys[2], log_mixture, shape=(SUBJECTS,))
        bits = jax.vmap(lambda key: drawn_bits(key, one_law))(jax.random.split(keys[3], SUBJECTS))
        each = jax.vmap(lambda *one: _operator(one[0], setting, sorted_policies, *one[1:]))
        policy, bits, counts = each(jax.random.split(keys[4], SUBJECTS), utility, bits)
        sites |= dict(utility=utility, intelligence=bits, log_mixture=log_mixture, subject_policy=policy)
        return sites | parameters, dict(subject_counts=counts)

    def read(sites, data):
        return of_population(sites, quantities) | {
            "policy of 0 [0, 0]": sites["subject_policy"][0, 0, 0],
            "log likelihood": log_likelihood(data["subject_counts"], sites["subject_policy"]).sum(),
        }

    return Case(load_program("population"), eqx.Partial(draw, setting.sorted_policies), setting.inputs(law), read)


def of_population(sites, quantities):
    return {
        "utility of 0": sites["utility"][0],
        "intelligence of 0": sites["intelligence"][0],
        "mean intelligence": sites["intelligence"].mean(),
        "spread": sites["spread"],
        "pull[0]": sites["pull"][0],
        "log_mixture[0]": sites["log_mixture"][0],
        **{name: sites[name] for name in quantities},
    }

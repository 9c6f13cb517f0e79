"""The case of `benchmarks/calibration.py` of continuous weights: Laplace's bits with an atlas's correction."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from calibration_cases import Case, counted, drawn_bits, log_likelihood, rolled_out

import utiliscope as us
from utiliscope.atlas import make_atlas
from utiliscope.programs import load_program
from utiliscope.values import occupancy

_POLICIES, _RUNS, _PARTICLES, _DEPTH = 2**16, 24, 512, 16.0


class RandomPolicies(eqx.Module):
    """Policies `[M, S, A]` and their expected discounted feature counts `[M, F]`."""

    policies: jax.Array
    counts: jax.Array

    def of_bits(self, theta, bits):
        """The policy of rank 2^-bits M by its value for weights theta, and that rank's bits."""
        order = jnp.argsort(-(self.counts @ theta))
        place = jnp.minimum(jnp.floor(jnp.exp2(-bits) * len(order)).astype(int), len(order) - 1)
        return self.policies[order[place]], -jnp.log2((place + 0.5) / len(order))


def weights(setting, law) -> Case:
    """Operators are found among random policies, sorted anew for each utility, and their intelligence is their rank."""
    world = setting.world
    features = us.FeatureWeights(world, states=True)
    policies = setting.sorted_policies.policies[:_POLICIES]
    with jax.enable_x64(True):
        feature_counts = jax.jit(jax.vmap(lambda policy: features.values @ occupancy(world, policy).state))(policies)
        directions = np.random.default_rng(0).normal(size=(_RUNS, len(features)))
        runs = dict(policy_prior=us.Dirichlet(1.0), num_particles=_PARTICLES, max_bits=_DEPTH)
        atlas = jax.tree.map(
            jnp.asarray, make_atlas(jax.random.key(1), world, features.values, directions, **runs).without_runs()
        )

    def draw(random_policies, key):
        keys = jax.random.split(key, 3)
        theta = features.distribution.sample(keys[0])
        policy, bits = random_policies.of_bits(theta, drawn_bits(keys[1], law))
        counts = counted(*rolled_out(keys[2], world, policy), policy.shape)
        return dict(weights=theta, intelligence=bits, policy=policy), dict(counts=counts)

    def read(sites, data):
        theta = sites["weights"]
        apart = theta - theta.mean()
        return {
            "intelligence": sites["intelligence"],
            "weights[0]": theta[0],
            "weights[0] - weights[1]": theta[0] - theta[1],
            "direction[2]": apart[2] / jnp.linalg.norm(apart),
            "policy[0, 0]": sites["policy"][0, 0],
            "log likelihood": log_likelihood(data["counts"], sites["policy"]),
        }

    inputs = dict(
        world=world, weights=features, atlas=atlas, policy_prior=us.Dirichlet(1.0), intelligence_law=law, simplicity=1.0
    )
    return Case(load_program("weights"), eqx.Partial(draw, RandomPolicies(policies, feature_counts)), inputs, read)

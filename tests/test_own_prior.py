"""A random-policy prior of one's own, in a page: what one may write, and that its numbers are exact."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import utiliscope as us
from utiliscope.cache import cache_folder

KEY = jax.random.key(0)


class Tendencies(eqx.Module):
    """States choose independently, each action with its own weight: `sample`, and a move for one row."""

    weights: tuple[float, ...]

    @property
    def atomic(self):
        return True  # finitely many policies, so values tie

    def sample(self, key, world):
        keys = jax.random.split(key, world.num_states)
        return jax.vmap(self._row)(keys, jnp.asarray(world.available))

    def perturb_row(self, key, row, available):
        # Drawn afresh from the prior, so that the densities cancel: the log ratio is 0.
        return self._row(key, available), jnp.zeros((), row.dtype)

    def _row(self, key, available):
        logits = jnp.where(available, jnp.log(jnp.array(self.weights)), -jnp.inf)
        return jax.nn.one_hot(jax.random.categorical(key, logits), len(self.weights))


class Habit(eqx.Module):
    """One habitual action, left in each state with the chance `freedom`: states hang together, so whole particles move.

    A particle is a habit and what each state does; only available actions are taken.
    """

    freedom: float

    @property
    def atomic(self):
        return True

    def sample(self, key, world):
        return self.policy(self.draw(key, world), world)

    def policy(self, particle, world):
        return jax.nn.one_hot(particle["actions"], world.num_actions)

    def draw(self, key, world):
        habit_key, key = jax.random.split(key)
        habit = jax.random.randint(habit_key, (), 0, world.num_actions)
        return {"habit": habit, "actions": jax.random.categorical(key, self._logits(habit, world))}

    def perturb(self, key, particle, world):
        """Another habit or another action in one state. Log ratio = log [xi(new) q(back) / (xi(old) q(there))]."""
        which, where, habit, action = jax.random.uniform(key, (4,))
        habit = jnp.floor(habit * world.num_actions).astype(int)
        state = jnp.floor(where * world.num_states).astype(int)
        # Drawn blindly and uniformly, there as back, so that of the ratio only xi is left.
        ranked = jnp.argsort(~jnp.asarray(world.available)[state])
        action = ranked[jnp.floor(action * jnp.asarray(world.available)[state].sum()).astype(int)]
        changes_habit = which < 0.5
        habit = jnp.where(changes_habit, habit, particle["habit"])
        actions = jnp.where(changes_habit, particle["actions"], particle["actions"].at[state].set(action))
        new = {"habit": habit, "actions": actions}
        return new, self._log_prob(new, world) - self._log_prob(particle, world)

    def value(self, particle, world, payoffs):
        return us.expected_utility(world, self.policy(particle, world), payoffs)

    def _logits(self, habit, world):
        free = jnp.asarray(world.available / world.available.sum(-1, keepdims=True))
        kept = jnp.where(jnp.asarray(world.available)[:, habit, None], jnp.arange(world.num_actions) == habit, free)
        return jnp.log((1 - self.freedom) * kept + self.freedom * free)

    def _log_prob(self, particle, world):
        logits = self._logits(particle["habit"], world)
        return jnp.take_along_axis(logits, particle["actions"][:, None], 1).sum()


AVAILABLE = np.array([[1, 1, 1], [1, 1, 0], [1, 0, 1], [1, 1, 1]], bool)
WORLD = us.world_model(
    np.random.default_rng(0).dirichlet(np.ones(4), (4, 3)), np.full(4, 0.25), 0.8, available=AVAILABLE
)
UTILITY = np.random.default_rng(1).normal(size=(4, 3))
POLICIES = list(itertools.product(*[np.flatnonzero(row).tolist() for row in AVAILABLE]))


def chance_of(prior, actions):
    """xi of one policy, written out."""
    if isinstance(prior, Tendencies):
        weights = np.array(prior.weights)
        return np.prod([weights[a] / weights[AVAILABLE[s]].sum() for s, a in enumerate(actions)])
    total = 0
    for habit in range(3):
        chance = 1 / 3
        for state, action in enumerate(actions):
            free = 1 / AVAILABLE[state].sum()
            kept = float(action == habit) if AVAILABLE[state, habit] else free
            chance *= (1 - prior.freedom) * kept + prior.freedom * free
        total += chance
    return total


@pytest.mark.parametrize(
    "prior",
    [pytest.param(Tendencies((0.7, 0.2, 0.1)), marks=pytest.mark.slow), Habit(0.2)],
    ids=lambda prior: type(prior).__name__,
)
def test_a_prior_of_ones_own(prior):
    values = np.array([us.expected_utility(WORLD, np.eye(3)[list(actions)], UTILITY) for actions in POLICIES])
    chances = np.array([chance_of(prior, actions) for actions in POLICIES])
    assert chances.sum() == pytest.approx(1, rel=1e-12)
    bits = np.array([-np.log2(chances[values >= value].sum()) for value in values])
    before = set(cache_folder().rglob("*.npz"))
    tail = us.value_tail(KEY, WORLD, UTILITY, policy_prior=prior)
    assert (np.abs(tail.bits(values) - bits) <= 5 * tail.std_error(values) + 1e-9).all()
    assert tail.bits(values.max() + 1) == np.inf and bits.max() > 5
    # What a user's class does may change while its parameters stay, so its tails are not kept.
    assert set(cache_folder().rglob("*.npz")) == before
    middle = np.argsort(bits)[len(bits) // 2]
    policy = np.eye(3)[list(POLICIES[middle])]
    g = us.intelligence(KEY, WORLD, policy, UTILITY, policy_prior=prior)  # by Monte Carlo
    assert abs(g.value - bits[middle]) <= 5 * g.std_error
    with pytest.raises(us.InputError, match="enumeration"):
        us.intelligence(KEY, WORLD, policy, UTILITY, policy_prior=prior, method="enumerate")

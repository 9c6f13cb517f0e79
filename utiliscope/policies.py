"""Random-policy priors xi: what an operator's policy is compared with, and drawn from.

A prior is a small object. `sample` is all that Monte Carlo needs. Value tails by splitting also need a
Metropolis-Hastings move that leaves the prior invariant: `perturb_row` for priors of independent rows, or `draw`,
`perturb` and `value` for others (see `ActionSequences`). Only available actions count.
"""

from typing import Protocol

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri
from jaxtyping import Float

from .errors import InputError
from .row_dirichlet import RowDirichlet, dirichlet_rows
from .world.possible import World


class PolicyPrior(Protocol):
    """A distribution over policies.

    atomic: whether it has finitely many policies, so that values tie with positive probability.
    """

    atomic: bool

    def sample(self, key, world: World):
        """A policy, `[S, A]` or `[H, S, A]`."""


class UniformDeterministic(eqx.Module):
    """Every deterministic policy equally likely: one available action for each state."""

    @property
    def atomic(self) -> bool:
        return True

    def sample(self, key, world: World):
        """`[S, A]`, one-hot rows."""
        return jax.vmap(_random_choice)(jax.random.split(key, world.num_states), jnp.asarray(world.available))

    def log_prob(self, policy, world: World):
        """ln of the probability of a policy `[S, A]`, in nats; -inf for one that is not deterministic."""
        policy, available = jnp.asarray(policy), jnp.asarray(world.available)
        one_each = jnp.all((policy == 1).sum(-1) == 1) & jnp.all((policy == 0) | ((policy == 1) & available))
        return jnp.where(one_each, -jnp.log(available.sum(-1)).sum(), -jnp.inf)

    def perturb_row(self, key, row, available):
        """Another action for one state, uniformly: a new row and the log ratio of the move (0)."""
        return _random_choice(key, available), jnp.zeros((), row.dtype)


def _concentration(value):
    return float(value) if np.ndim(value) == 0 else np.array(value, np.float64)


class Dirichlet(eqx.Module):
    """Independent Dirichlet rows over the available actions; concentration 1 is uniform on the simplex.

    concentration: a number, or `[S, A]` one for each action of each state (those of actions that are not available do
        not matter): after `counts` of actions, policies from Dirichlet(c) are Dirichlet(c + counts).
    """

    concentration: float | Float[np.ndarray, "S A"] = eqx.field(converter=_concentration, default=1.0)

    def __check_init__(self):
        least = np.min(self.concentration)
        # A number that is too large is no distribution's, but does no harm.
        if not least > 0:
            raise InputError(f"Dirichlet(concentration={least}): the concentration must be above 0")

    @property
    def atomic(self) -> bool:
        return False

    def sample(self, key, world: World):
        """`[S, A]`, rows on the simplex of available actions."""
        return dirichlet_rows(key, self.rows(world), jnp.asarray(world.available))

    def rows(self, world: World) -> float | np.ndarray | jax.Array:
        """The concentration; InputError where it is that of another world's states and actions."""
        shape = (world.num_states, world.num_actions)
        if np.ndim(self.concentration) and np.shape(self.concentration) != shape:
            raise InputError(
                f"Dirichlet(concentration) has shape {np.shape(self.concentration)}; give one number, or "
                f"[states, actions] = {shape} of them"
            )
        return self.concentration

    def log_prob(self, policy, world: World):
        """ln of the density of a policy `[S, A]`, in nats (see `RowDirichlet`); -inf outside its support."""
        distribution = self.distribution(world)
        return jnp.where(distribution.support(policy), distribution.log_prob(policy), -jnp.inf)

    def distribution(self, world: World) -> RowDirichlet:
        """The prior as a NumPyro distribution over `[S, A]`, with a density that NUTS can use."""
        return RowDirichlet(self.rows(world), world.available)

    def perturb_row(self, key, row, available, state=None):
        """Move probability between two actions by a random walk on their log odds.

        The split of a Dirichlet row between two actions is a Beta of their concentrations. The walk's scale is drawn
        anew each time (log-uniform from 0.25 to 8, times the spread of those log odds as a multiple of that at
        concentration 1), so that near-deterministic rows and narrow ones move as freely as even ones.
        Returns the new row and the log ratio of densities, in log odds, for the Metropolis-Hastings test.

        state: whose row it is; only concentrations of states and actions ask for it.
        """
        # One draw of numbers for everything: this is the inner loop of splitting.
        draws = jax.random.uniform(key, (row.shape[0] + 2,), row.dtype, minval=jnp.finfo(row.dtype).tiny)
        scores = jnp.where(available, draws[2:], -1.0)
        first = jnp.argmax(scores)
        second = jnp.argmax(scores.at[first].set(-2.0))
        total = row[first] + row[second]
        tiny = jnp.finfo(row.dtype).tiny
        odds = jnp.log(jnp.maximum(row[first], tiny)) - jnp.log(jnp.maximum(row[second], tiny))
        own = self.concentration if np.ndim(self.concentration) == 0 else jnp.asarray(self.concentration)[state]
        one, other = jnp.broadcast_to(jnp.asarray(own, row.dtype), row.shape)[jnp.array([first, second])]
        # Within a tenth or so: any scale that does not hang on the row will do.
        spread = 0.5 * jnp.sqrt((1 + one) / one**2 + (1 + other) / other**2)
        moved = odds + 0.25 * 2.0 ** (5.0 * draws[0]) * spread * ndtri(draws[1])
        share = jax.nn.sigmoid(moved)
        new = row.at[first].set(total * share).at[second].set(total * jax.nn.sigmoid(-moved))
        log_ratio = one * (jax.nn.log_sigmoid(moved) - jax.nn.log_sigmoid(odds))
        log_ratio = log_ratio + other * (jax.nn.log_sigmoid(-moved) - jax.nn.log_sigmoid(-odds))
        movable = available.sum() > 1
        return jnp.where(movable, new, row), jnp.where(movable, log_ratio, 0.0)


def check_prior(policy_prior) -> None:
    """Raise InputError for anything but a random-policy prior."""
    if isinstance(policy_prior, type) or not hasattr(policy_prior, "sample") or not hasattr(policy_prior, "atomic"):
        raise InputError(
            f"policy_prior is {policy_prior!r}; give a prior such as Dirichlet(1.0), UniformDeterministic() or "
            "ActionSequences(horizon)"
        )


def has_moves(policy_prior) -> bool:
    """Whether a prior can be moved about, as value tails need it."""
    return hasattr(policy_prior, "perturb_row") or hasattr(policy_prior, "perturb")


def choice_states(world: World, reachable: np.ndarray) -> np.ndarray:
    """Indices of the reachable states with more than one available action: all that a policy's value depends on."""
    return np.flatnonzero((np.asarray(world.available).sum(-1) > 1) & reachable)


def _random_choice(key, available):
    scores = jnp.where(available, jax.random.uniform(key, available.shape), -1.0)
    return jax.nn.one_hot(jnp.argmax(scores), available.shape[0], dtype=scores.dtype)

"""How intelligent recorded behaviour is for a utility of your choice."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .achievement import achieved_values, started_world
from .behaviour import Behaviour, check_fits, read_behaviour
from .errors import InputError
from .estimate import Estimate
from .payoffs import as_payoffs, stack_payoffs
from .policies import Dirichlet
from .row_dirichlet import dirichlet_rows
from .sequences import comparison_world
from .tails import ValueTail, value_tail
from .values import expected_utility
from .world.possible import World

# Policies are evaluated in batches of this many, which bounds memory at this many [S, S] systems.
_BATCH = 50
_NODES = 16  # of Gauss-Hermite quadrature; the outermost lies 6.6 standard errors out
_FARTHEST = 7.0


class Competence(NamedTuple):
    """Intelligence of recorded behaviour for one utility.

    estimate: g in bits, with its Monte Carlo error.
    spread: bits, what the recording leaves open: the standard deviation of g over operator policies that the
        counts allow (policy reading), or over the error of a mean of so many episodes (achieved reading).
    """

    estimate: Estimate
    spread: float


def behaviour_intelligence(
    key,
    behaviour: Behaviour,
    world: World,
    utility,
    *,
    policy_prior=Dirichlet(1.0),
    reading: str = "policy",
    num_policies: int = 200,
    num_particles: int = 1024,
) -> Competence:
    r"""Intelligence g of recorded behaviour for `utility`, in bits.

    .. math:: g = -\log_2 \Pr_{\pi \sim \xi}[\,V(\pi) \ge V(\text{operator})\,]

    reading: "policy" draws `num_policies` operator policies from their posterior given the recorded actions,
    Dirichlet rows with concentration + counts (that of `policy_prior` if it has one, else 1), and averages g over
    them. "achieved" takes the mean utility of the episodes against random policies from the same starts: g of that
    mean, where `fit` weighs its error by how rare values are.
    world: one, or `PossibleWorlds` ("policy" only). policy_prior: the random policies. num_particles: of the value
    tail.

    `estimate.is_lower_bound` says that part of it lies beyond the end of the value tail. `key` is consumed.
    """
    if reading not in ("policy", "achieved"):
        raise InputError(f"reading is {reading!r}; choose policy or achieved")
    if num_policies < 2:
        raise InputError(f"num_policies is {num_policies}; the spread needs at least 2")
    if not isinstance(behaviour, Behaviour):
        behaviour = read_behaviour(behaviour, world)
    check_fits(behaviour, world)
    payoffs = as_payoffs(world, utility)
    if reading == "achieved":
        world = started_world(behaviour, world)
    world = comparison_world(world, policy_prior)
    tail_key, policy_key = jax.random.split(key)
    with jax.enable_x64(True):
        if reading == "achieved":
            mean, error = (float(x[0]) for x in achieved_values(behaviour, world, stack_payoffs([payoffs])))
            highest = mean + _FARTHEST * error
        else:
            concentration = getattr(policy_prior, "concentration", 1.0)
            values = _operator_values(policy_key, behaviour, world, payoffs, concentration, num_policies)
            highest = values.max()
        # The curve is wanted no further than the operator gets.
        settings = dict(num_particles=num_particles, stop_at=highest, reach=1.0)
        tail = value_tail(tail_key, world, payoffs, policy_prior=policy_prior, **settings)
        return _of_achievement(tail, mean, error) if reading == "achieved" else _of_policies(tail, values)


def _operator_values(key, behaviour, world, payoffs, concentration, num_policies):
    """`[N]` expected utilities of operator policies drawn from their posterior."""
    rows = jnp.asarray(concentration + behaviour.counts())
    available = jnp.asarray(world.available)

    @jax.jit
    def value(key):
        return expected_utility(world, dirichlet_rows(key, rows, available), payoffs)

    keys = jax.random.split(key, num_policies)
    return np.asarray(jax.lax.map(value, keys, batch_size=_BATCH))


def _of_policies(tail: ValueTail, values) -> Competence:
    bits = np.asarray(tail.bits(values))
    spread = float(bits.std(ddof=1)) if np.isfinite(bits).all() else np.inf
    # All policies share one tail, so its error does not average out.
    tail_error = float(np.mean(tail.std_error(values)))
    error = float(np.hypot(tail_error, spread / np.sqrt(len(bits))))
    return Competence(Estimate(float(bits.mean()), error, bool(np.any(tail.is_lower_bound(values)))), spread)


def _of_achievement(tail: ValueTail, mean: float, error: float) -> Competence:
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    around = np.asarray(tail.bits(mean + error * nodes))
    weights = weights / weights.sum()
    spread = 0.0
    if error > 0:
        # A mean above anything a policy can reach is luck; there g has no finite value to spread.
        finite = np.isfinite(around)
        share = weights[finite] / weights[finite].sum() if finite.any() else np.ones(0)
        spread = float(np.sqrt(share @ (around[finite] - share @ around[finite]) ** 2)) if finite.any() else np.inf
    estimate = Estimate(float(tail.bits(mean)), float(tail.std_error(mean)), bool(tail.is_lower_bound(mean)))
    return Competence(estimate, spread)

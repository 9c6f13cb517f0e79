"""Intelligence g: how rare it is that a random policy does at least as well, in bits."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .errors import InputError, check_whole
from .estimate import Estimate
from .payoffs import as_payoffs
from .planning import tie_tolerance, value_range
from .policies import UniformDeterministic, check_prior, choice_states, has_moves
from .sequences import ActionSequences, comparison_world
from .tails import value_tail
from .values import check_shape, expected_utility
from .world.model import bare, reachable_states
from .world.possible import World

_ENUMERATE_BY_DEFAULT = 2**16
_ENUMERATE_AT_MOST = 2**20
_ENOUGH_HITS = 32
_BATCH = 4096


def intelligence(
    key,
    world: World,
    policy,
    utility,
    *,
    policy_prior=UniformDeterministic(),
    method: str = "auto",
    num_particles: int = 1024,
) -> Estimate:
    r"""Intelligence g of `policy` for `utility`, in bits.

    .. math:: g = -\log_2 \Pr_{\pi \sim \xi}[\,V(\pi) \ge V(\text{policy})\,]

    Ties count as reaching; values within 1e-12 of the range of values tie
    (more where rounding is: `planning.tie_tolerance`). `key` is consumed.

    policy: `[S, A]`, or `[H, S, A]`. utility: `[S]` or `[S, A]` payoffs a step, or a utility program.
    policy_prior: the random policies; uniform over deterministic ones by default.
    method: "enumerate" all policies of a finite prior (exact; at most 2^20); "monte_carlo" from `num_particles`
    random policies, honest up to log2(num_particles) - 5 bits; "split" by the value tail with populations of
    `num_particles`, for hundreds of bits and more (see `value_tail`); "auto" enumerates up to 2^16 policies, else takes
    Monte Carlo, and where fewer than 32 of its policies do as well, the value tail. The estimate says which.

    Without a hit Monte Carlo returns a lower bound, flagged (95 %: log2(N / 3)). The value is +inf only where
    that is true: nothing in the prior does as well.

    Raises InputError for policies that are not distributions over available actions, or a method that does not fit.
    """
    if method not in ("auto", "enumerate", "monte_carlo", "split"):
        raise InputError(f"method is {method!r}; choose auto, enumerate, monte_carlo or split")
    check_prior(policy_prior)
    check_whole("num_particles", num_particles, 2)
    payoffs = as_payoffs(world, utility)
    if payoffs.state.ndim != 1:
        raise InputError(f"utility is a stack of {payoffs.num_utilities}; give one, such as candidates.payoffs[0]")
    world = comparison_world(world, policy_prior)
    if np.ndim(policy) == 3 and world.horizon is None:
        raise InputError(
            "the policy changes with time, but neither the world nor the policy prior has a horizon; "
            "give the world one, so that both are valued over the same steps"
        )
    with jax.enable_x64(True):
        policy = checked_policy(world, policy)
        value = float(expected_utility(world, policy, payoffs))
        worst, best = value_range(world, payoffs)
        tolerance = tie_tolerance(world, payoffs, worst, best)
        if best - worst <= tolerance:
            return Estimate(0.0, 0.0, False)
        number = _number_of_policies(world, policy_prior)
        if method == "enumerate" or (method == "auto" and number <= _ENUMERATE_BY_DEFAULT):
            if number > _ENUMERATE_AT_MOST:
                known = isinstance(policy_prior, UniformDeterministic | ActionSequences)
                count = "infinitely many" if not policy_prior.atomic else f"{number:.3g}" if known else "uncounted"
                raise InputError(f"the prior has {count} policies; enumeration takes at most 2^20: use another method")
            values = _enumerated_values(world, policy_prior, payoffs)
            hits = float(np.mean(values >= value - tolerance))
            return Estimate(math.inf if hits == 0 else abs(math.log2(hits)), 0.0, False, "enumerate")
        # With a density the best value itself, but nothing below it, has probability 0.
        if not policy_prior.atomic and value >= best - max(1e-3 * tolerance, 1e-14 * abs(best)):
            return Estimate(math.inf, 0.0, False)
        if method != "split":
            values = _sampled_values(key, world, policy_prior, payoffs, num_particles)
            enough = np.sum(values >= value - tolerance) >= _ENOUGH_HITS
            if method == "monte_carlo" or enough or not has_moves(policy_prior):
                return tail_estimate(values, value - tolerance)
        settings = dict(num_particles=num_particles, stop_at=value + tolerance, reach=1.0)
        tail = value_tail(key, world, payoffs, policy_prior=policy_prior, **settings)
        bits, error = float(tail.bits(value)), float(tail.std_error(value))
        bound = bool(tail.is_lower_bound(value))
        return Estimate(bits, math.inf if bound else error, bound, "split")


def tail_estimate(values, threshold) -> Estimate:
    """-log2 of the share of `values` that reach `threshold`: plain Monte Carlo from any sample.

    Without a hit a lower bound: at 95 % confidence the chance is below 3 / N.
    """
    values = np.asarray(values)
    size, hits = values.size, int(np.sum(values >= threshold))
    if hits == 0:
        return Estimate(max(math.log2(size / 3), 0.0), math.inf, True, "monte_carlo")
    share = hits / size
    error = math.sqrt((1 - share) / hits) / math.log(2)
    return Estimate(abs(math.log2(share)), error, False, "monte_carlo")


def checked_policy(world: World, policy):
    """`policy` in float64 with rows that sum to 1, checked against the world."""
    policy = np.asarray(policy, np.float64)
    check_shape(world, policy)
    sums = policy.sum(-1)
    off = ~np.isfinite(policy).all(-1) | (policy < 0).any(-1) | (np.abs(sums - 1) > 1e-5)
    if off.any():
        where = [int(i) for i in np.argwhere(off)[0]]
        raise InputError(f"policy{where} is {policy[tuple(where)]}; rows must be probabilities that sum to 1")
    barred = (policy > 0) & ~np.asarray(world.available)
    if barred.any():
        where = [int(i) for i in np.argwhere(barred)[0]]
        state, action = world.state_names[where[-2]], world.action_names[where[-1]]
        raise InputError(f"policy{where} takes action {action!r} in state {state!r}, which is not available there")
    return policy / sums[..., None]


def _number_of_policies(world, policy_prior) -> float:
    if isinstance(policy_prior, UniformDeterministic):
        return _power_of_two(np.log2(_choices(world)).sum())
    if isinstance(policy_prior, ActionSequences):
        return _power_of_two(policy_prior.horizon * math.log2(_digits(world)))
    return math.inf


def _power_of_two(bits) -> float:
    # Rounded where it is a count, so that 2^20 is no more than 2^20.
    return float(round(2.0**bits)) if bits < 50 else 2.0 ** min(bits, 1000.0)


def _choices(world):
    states = choice_states(world, reachable_states(world))
    return np.asarray(world.available).sum(-1)[states]


def _digits(world) -> int:
    """How many equally likely digits a step needs, so that each state's choices are equally likely."""
    return int(np.lcm.reduce(np.asarray(world.available).sum(-1)[reachable_states(world)]))


def _enumerated_values(world, policy_prior, payoffs):
    """Values of all policies of a finite prior, each equally likely."""
    if isinstance(policy_prior, ActionSequences):
        digits = _digits(world)
        shape = (digits,) * policy_prior.horizon
        evaluate = jax.jit(jax.vmap(lambda choices: policy_prior.value(choices, world, payoffs)))

        def values_of(numbers):
            return evaluate((np.stack(np.unravel_index(numbers, shape), -1) + 0.5) / digits)
    else:
        states = choice_states(world, reachable_states(world))
        available = np.asarray(world.available)
        ranked = np.argsort(~available, axis=-1, kind="stable")
        shape = tuple(available.sum(-1)[states])

        def values_of(numbers):
            actions = np.tile(ranked[:, 0], (len(numbers), 1))
            if shape:
                actions[:, states] = ranked[states, np.stack(np.unravel_index(numbers, shape), -1)]
            return _policy_values(np.eye(world.num_actions)[actions], bare(world), payoffs, world.horizon)

    count = int(np.prod(shape, dtype=np.int64))
    return np.concatenate([values_of(np.arange(i, min(i + _BATCH, count))) for i in range(0, count, _BATCH)])


def _sampled_values(key, world, policy_prior, payoffs, num_policies):
    if isinstance(policy_prior, ActionSequences):
        draw = jax.jit(jax.vmap(lambda key: policy_prior.value(policy_prior.draw(key, world), world, payoffs)))
    else:
        sample = jax.jit(jax.vmap(lambda key: policy_prior.sample(key, world)))

        def draw(keys):
            return _policy_values(sample(keys), bare(world), payoffs, world.horizon)

    keys = jax.random.split(key, num_policies)
    return np.concatenate([draw(keys[i : i + _BATCH]) for i in range(0, num_policies, _BATCH)])


@eqx.filter_jit
def _policy_values(policies, world, payoffs, horizon):
    return jax.vmap(lambda policy: expected_utility(world, jnp.asarray(policy), payoffs, horizon=horizon))(policies)

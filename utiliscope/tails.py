"""Value tails: how rare each value is among random policies.

The curve v -> log2 P(V >= v) depends on the world, the utility and the random-policy prior alone. It is computed
once by splitting, kept on disk, and reused for every operator, recording and weighting.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from threadpoolctl import threadpool_limits

from .cache import described, fingerprint, found, keep, write_arrays
from .curve_engines import Task, curves
from .curves import curve_of_constant
from .errors import InputError, check_whole
from .payoffs import Payoffs, as_payoffs, stack_payoffs
from .planning import is_plain, optimal_policy, tie_tolerance, value_range
from .policies import UniformDeterministic, check_prior, has_moves
from .sequences import comparison_world
from .values import expected_utility, full_precision
from .world.possible import PossibleWorlds, World, weighted_worlds

_VERSION = 7  # of what is kept on disk
_FIELDS = ("values", "log2_prob", "log2_error", "tolerance", "complete")


class ValueTail(eqx.Module):
    """The curve v -> P(V >= v) of one utility, or of `U` stacked ones.

    values: `[*U, K]` rising values; equal ones at the end are padding.
    log2_prob: `[*U, K]` log2 P(V >= values).
    log2_error: `[*U, K]` standard error of `log2_prob`, bits.
    tolerance: `[*U]` distance within which values tie.
    complete: `[*U]` whether no policy exceeds the last value; else the curve ends where it was stopped.
    atomic: whether random policies are finitely many: then the curve is a staircase, else it is interpolated.
    """

    values: Float[Array | np.ndarray, "*U K"]
    log2_prob: Float[Array | np.ndarray, "*U K"]
    log2_error: Float[Array | np.ndarray, "*U K"]
    tolerance: Float[Array | np.ndarray, "*U"]
    complete: Bool[Array | np.ndarray, "*U"]
    atomic: bool = eqx.field(static=True)

    def bits(self, value):
        """g = -log2 P(V >= value) in bits, one value for each utility; ties count as reaching.

        Differentiable where the curve is interpolated. Beyond its end: +inf if the curve is complete, else the
        last point, a lower bound (`is_lower_bound`).
        """
        return self._each(_bits, self.log2_prob, value)

    def std_error(self, value):
        """Standard error of `bits(value)`, in bits."""
        return self._each(_error, self.log2_error, value)

    def is_lower_bound(self, value):
        """Whether `value` lies beyond the end of a curve that is not complete."""
        with full_precision(self, value):
            return (jnp.asarray(value) > self.values[..., -1] + self.tolerance) & ~self.complete

    def cells(self, low, high, number: int = 256):
        """Random policies with values from `low` to `high`, `[U]` each, as cells `[U, J]`: value, bits, ln mass.

        Of a staircase all steps, wherever they lie; of an interpolated curve `number` cells, even in bits. What lies
        above the last cell counts in it.
        """
        if self.atomic:
            log_reach = jnp.asarray(self.log2_prob) * np.log(2)
            return self.values, -self.log2_prob, _log_steps(log_reach)
        share = jnp.linspace(0.0, 1.0, 2 * number + 1)
        lowest, highest = self.bits(low)[:, None], self.bits(high)[:, None]
        grid = lowest + (highest - lowest) * share
        edges, middles = grid[:, :-1:2], grid[:, 1::2]
        values = jax.vmap(jnp.interp)(middles, jnp.asarray(-self.log2_prob), jnp.asarray(self.values))
        return values, middles, _log_steps(-edges * np.log(2))

    def constant(self):
        """`[*U]` bool: every policy has the same value, so that g = 0 throughout."""
        return self.log2_prob[..., -1] == 0

    def __getitem__(self, index) -> "ValueTail":
        """The tails of the utilities at `index` of a stack."""
        return jax.tree.map(lambda x: x[index], self)

    def _each(self, function, heights, value):
        def one(values, heights, tolerance, complete, value):
            return function(values, heights, tolerance, complete, value, self.atomic)

        for _ in range(self.values.ndim - 1):
            one = jax.vmap(one)
        with full_precision(self, value):
            return one(*map(jnp.asarray, (self.values, heights, self.tolerance, self.complete, value)))


def _log_steps(log_reach):
    """ln of what each step of ln P(V >= v) `[..., K]` holds; equal neighbours are padding and hold nothing."""
    above = jnp.concatenate([log_reach[..., 1:], jnp.full_like(log_reach[..., :1], -jnp.inf)], axis=-1)
    gap = jnp.minimum(above - log_reach, 0.0)
    return jnp.where(gap < 0, log_reach + jnp.log(-jnp.expm1(jnp.where(gap < 0, gap, -1.0))), -jnp.inf)


def _bits(values, log2_prob, tolerance, complete, value, atomic):
    if atomic:
        # The first value that reaches, ties included; beyond the last one nothing does.
        index = jnp.searchsorted(values, value - tolerance)
        bits = 0.0 - log2_prob[jnp.minimum(index, values.shape[0] - 1)]
    else:
        bits = 0.0 - jnp.interp(value, values, log2_prob, left=0.0)
    return jnp.where((value > values[-1] + tolerance) & complete, jnp.inf, bits)


def _error(values, errors, tolerance, complete, value, atomic):
    if atomic:
        index = jnp.searchsorted(values, value - tolerance)
        return errors[jnp.minimum(index, values.shape[0] - 1)]
    return jnp.interp(value, values, errors, left=0.0)


def value_tail(
    key,
    world: World,
    utility,
    *,
    policy_prior=UniformDeterministic(),
    num_particles: int = 1024,
    num_sweeps: int = 1,
    reach: float | None = None,
    stop_at: float = np.inf,
    max_bits: float = 10_000.0,
    progress: Callable[[int, int], None] | None = None,
) -> ValueTail:
    """The value tail of `utility`, or of each of a stack of `Payoffs`, among policies from `policy_prior`.

    num_particles: policies in a population; the standard error at g bits is about 1.1 sqrt(g / (N ln 2)) bits,
    more where many policies tie.
    num_sweeps: moves between two levels: for each state (each step of an action sequence) so many, at least 24 in all.
    Too few leave copies alike, and the error is then larger than stated.
    reach: where to stop, as a share of the way from the mean random value to the best one; by default 1, to the
    top, for finitely many policies and 0.98 for a continuous prior, whose best value is never reached.
    stop_at: a value beyond which the curve is not wanted. max_bits: where to stop in any case (priors of your own and
    horizons: at 1000 at most).
    progress: called with (done, all) utilities.

    Uniform and Dirichlet rows without a horizon are moved by compiled code: splitting with low-rank updates up to 256
    states; beyond, tempering (see `tempering.py`) with N / 64 policies, at least 16, whose error grows more slowly
    than the bits. (Each possible world, and each `reach` of a utility, counts its states squared against 256^2.)
    Other priors are moved in JAX, those of rows on every device that it sees, each with its share of the utilities.

    Results are kept on disk by content, the key included: the same call gives the same numbers (UTILISCOPE_CACHE).
    Costs about bits x N x max(S, 24) x num_sweeps proposals: O(K) each with K successors a state, and O(S^2) if
    accepted; a full evaluation each for priors that are not made of rows, and with a horizon. Memory: N S^2 numbers
    for each thread up to 256 states; beyond, N S / 64 and two sparse factorisations.

    Raises InputError for a prior without moves and for numbers out of range. `key` is consumed.
    """
    check_prior(policy_prior)
    if not has_moves(policy_prior):
        raise InputError(
            f"{type(policy_prior).__name__} only samples; a value tail needs a move: `perturb_row`, "
            "or `draw`, `perturb` and `value`"
        )
    check_whole("num_particles", num_particles, 2)
    check_whole("num_sweeps", num_sweeps, 1)
    if not 0 < max_bits < np.inf:
        raise InputError(f"the value tails are to end at {max_bits} bits; it must be a finite number above 0")
    payoffs = as_payoffs(world, utility)
    single = payoffs.state.ndim == 1
    stack = stack_payoffs([payoffs]) if single else payoffs
    world = comparison_world(world, policy_prior)
    reach = (1.0 if policy_prior.atomic else 0.98) if reach is None else reach
    settings = (num_particles, num_sweeps, float(reach), float(stop_at), float(max_bits))
    done, tails, tasks = 0, {}, {}

    def finish(index, curve):
        nonlocal done
        tails[index] = curve
        done += 1
        if progress is not None:
            progress(done, stack.num_utilities)

    # Utilities run side by side; threads of the linear algebra inside each would only wait for one another.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(os.cpu_count()) as pool:
        prepared = pool.map(lambda one: _prepared(key, world, one, policy_prior, settings), _each(stack))
        for index, (curve, task) in enumerate(prepared):
            if curve is not None:
                finish(index, curve)
            else:
                tasks[index] = task
        engine = curves(world, policy_prior, settings, list(tasks.values()), pool)
        # The description of a user's own prior need not tell all that it does.
        ours = type(policy_prior).__module__.startswith("utiliscope.")
        for (index, task), curve in zip(tasks.items(), engine, strict=True):
            if ours:
                keep("tails", task.name, curve)
            finish(index, curve)
    tail = _stack([tails[index] for index in range(stack.num_utilities)], policy_prior.atomic)
    return tail[0] if single else tail


def save_value_tail(tail: ValueTail, path) -> None:
    """Write a curve, or a stack of them, to an `.npz` file: whole or not at all."""
    arrays = {name: np.asarray(getattr(tail, name)) for name in _FIELDS}
    write_arrays(Path(path), dict(arrays, atomic=np.array(tail.atomic)))


def load_value_tail(path) -> ValueTail:
    """The curve that `save_value_tail` wrote. Raises InputError for any other file."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return ValueTail(*(file[name] for name in _FIELDS), atomic=bool(file["atomic"]))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; write it with save_value_tail(tail, path)") from None
    except Exception as error:
        # A damaged file raises almost anything.
        raise InputError(f"{path} holds no value tail ({error}); write it with save_value_tail(tail, path)") from None


def _each(stack):
    return (by_itself(stack[index]) for index in range(stack.num_utilities))


def _what_matters(world, policy_prior):
    """Arrays of a world that its tails depend on."""
    yield from jax.tree.leaves((world.transition, world.initial, world.discount, world.available))
    # Priors that are not made of rows may look at features.
    if hasattr(policy_prior, "perturb"):
        for name, values in sorted(world.features.items()):
            yield np.array(name)
            yield values


def by_itself(payoffs):
    """One utility without what it was stacked with: its tail, and its file, are the same in every stack."""
    used = np.asarray(payoffs.reach) != 0
    action = None if payoffs.action is None or not np.any(payoffs.action) else np.asarray(payoffs.action, np.float64)
    state, reach = (np.asarray(part, np.float64) for part in (payoffs.state, payoffs.reach))
    remembered = () if payoffs.weight is None else np.flatnonzero(np.asarray(payoffs.weight))
    weight = np.asarray(payoffs.weight, np.float64)[remembered] if len(remembered) else None
    automata = tuple(payoffs.automata[d] for d in remembered)
    return Payoffs(state, action, reach[used], np.asarray(payoffs.targets)[used], weight, automata)


def _prepared(key, world, payoffs, policy_prior, settings):
    """The curve of one utility, from disk or of a constant, or None and the task of computing it."""
    content = [np.asarray(leaf) for _, one in weighted_worlds(world) for leaf in _what_matters(one, policy_prior)]
    weights = [weight for weight, _ in weighted_worlds(world)]
    parts = [np.asarray(part) for part in jax.tree.leaves(payoffs)]
    seed = np.asarray(jax.random.key_data(key))
    name = fingerprint(_VERSION, *content, weights, *parts, seed, *settings, world.horizon, described(policy_prior))
    curve = found("tails", name)
    if curve is not None:
        return curve, None
    # Contexts of precision belong to a thread.
    with jax.enable_x64(True):
        worst, best = value_range(world, payoffs)
        tolerance = tie_tolerance(world, payoffs, worst, best)
        if best - worst <= tolerance:
            return curve_of_constant(best, tolerance), None
        if not policy_prior.atomic and (isinstance(world, PossibleWorlds) or not is_plain(payoffs)):
            # What is best in each world, or with memory, may be far beyond any policy that knows neither.
            best = float(expected_utility(world, optimal_policy(world, payoffs), payoffs))
        # Each utility has a key of its own that does not depend on its place among others.
        own_key = jax.random.fold_in(key, int(fingerprint(*parts)[:8], 16) % 2**31)
    return None, Task(name, own_key, payoffs, tolerance, best)


def _stack(tails, atomic) -> ValueTail:
    longest = max(len(tail["values"]) for tail in tails)

    def padded(name):
        rows = [np.pad(tail[name], (0, longest - len(tail[name])), mode="edge") for tail in tails]
        return np.stack(rows)

    return ValueTail(
        padded("values"),
        padded("log2_prob"),
        padded("log2_error"),
        np.array([float(tail["tolerance"]) for tail in tails]),
        np.array([bool(tail["complete"]) for tail in tails]),
        atomic=atomic,
    )

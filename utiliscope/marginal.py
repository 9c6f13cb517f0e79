r"""The evidence of a utility with the operator's policy summed out, for many laws of intelligence at once.

The policy reading of a recording, with Dirichlet rows, is

.. math:: p(\mathrm{counts} \mid U) \propto
    L(U) = \mathrm{E}_{\pi \sim \mathrm{Dirichlet}(c + \mathrm{counts})} \big[ h(g(\pi \mid U)) \big] \big/ Z,

up to a factor that is the same for every utility and law. It depends on the policy through its value alone: one
integral over the posterior's value tail, of the prior's (see `posterior_bits.py`). What NUTS over policies would give,
without NUTS, and for all laws together.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import distributions as dist

from .behaviour import Behaviour, check_fits
from .errors import InputError
from .laws import LN2, ExponentialLaw, IntelligenceLaw, check_law
from .payoffs import as_payoffs
from .policies import Dirichlet
from .posterior_bits import PosteriorBits, gauge, posterior_bits
from .world.possible import World

# Geometric, so that powers of g are read off as well as exponentials: to about 1e-6 of ln h.
_GRID = np.concatenate([[0.0], np.geomspace(1e-4, 4000.0, 2**14 - 1)])


class Evidence(NamedTuple):
    """ln L(U) of `U` utilities under each of several laws.

    log_evidence: `[laws, U]` nats; 0 for a utility that ties all policies. std_error: `[laws, U]` nats, Monte Carlo.
    beyond: `[laws, U]` share of L from bits that were extrapolated, where the prior's value tail has ended.
    cut: `[U]` whether splitting ended before the rest was negligible.
    """

    log_evidence: np.ndarray
    std_error: np.ndarray
    beyond: np.ndarray
    cut: np.ndarray


class LawTables:
    """ln h(g) / Z of laws with known parameters, over bits: `table` `[laws, G]`, nats."""

    def __init__(self, laws):
        for law in laws:
            check_law(law)
            _check_known(law)
        with jax.enable_x64(True):
            rows = [np.asarray(law.log_weight(jnp.asarray(_GRID)) - law.log_mean()) for law in laws]
        self.table = np.array(np.broadcast_to(np.stack(rows), (len(rows), len(_GRID))))
        self.number = len(rows)

    def log_weight(self, bits):
        """`[laws, K]` at `bits` `[K]`, and what a bit more adds."""
        place = np.clip(np.searchsorted(_GRID, bits, side="right") - 1, 0, len(_GRID) - 2)
        low, high = self.table[:, place], self.table[:, place + 1]
        step = (high - low) / (_GRID[place + 1] - _GRID[place])
        return low + step * (bits - _GRID[place]), step

    def log_sum(self, bits, log_mass):
        """`[laws]` ln of the sum of mass times weight."""
        each = self.log_weight(bits)[0] + log_mass
        top = each.max(-1)
        return top + np.log(np.exp(each - top[:, None]).sum(-1))

    def negligible(self, total, before, level, share) -> bool:
        """Whether less than `share` of the `total` `[laws]` lies above a level, for every law.

        before, level: bits of posterior mass and of intelligence, at the last level looked at and at this one. What is
        left is taken to fall on as it did between them.
        """
        rare, bits = level
        weight, step = (part[:, 0] for part in self.log_weight(np.array([bits])))
        gained = max(bits - before[1], 0.0)
        falls = (rare - before[0]) / gained if gained > 0 else np.inf
        rises = step / LN2
        if (rises >= falls).any():
            return False
        more = 1.0 if np.isinf(falls) else falls / (falls - rises)
        return bool((weight - rare * LN2 + np.log(more) < total + np.log(share)).all())


def marginal_evidence(
    key,
    behaviour,
    world: World,
    utility,
    *,
    laws: list[IntelligenceLaw] | IntelligenceLaw = ExponentialLaw(0.8),
    policy_prior=Dirichlet(1.0),
    num_particles: int = 256,
    tail_particles: int = 512,
) -> Evidence:
    """ln L(U) of each of a stack of utilities (`Candidates`, `Payoffs`), under each law.

    behaviour: recorded, or counts `[S, A]`. laws: one or several, their parameters numbers. A posterior over candidates
    with simplicity alpha is softmax(log_evidence - alpha ln 2 K), one for each law.
    num_particles: policies in the populations from the posterior: a standard error is about sqrt(t / N) nats, t nats
    the rarity under the posterior of the policies that weigh most. tail_particles: in those of the value tails, kept on
    disk, whose key is that of `fit`'s own.

    For many recordings of one world make its `gauge` once, then `posterior_bits` and `evidence` for each. Raises
    InputError for priors other than Dirichlet rows, worlds with a horizon and laws with parameters to be inferred.
    """
    if isinstance(behaviour, Behaviour):
        check_fits(behaviour, world)
        behaviour = behaviour.counts()
    payoffs = as_payoffs(world, utility)
    if payoffs.state.ndim != 2:
        raise InputError("marginal_evidence compares utilities: give candidates, or a stack of payoffs")
    tables = LawTables([laws] if isinstance(laws, IntelligenceLaw) else list(laws))
    measure = gauge(jax.random.key(0), world, payoffs, policy_prior=policy_prior, num_particles=tail_particles)
    return evidence(posterior_bits(key, behaviour, measure, tables=tables, num_particles=num_particles), tables)


def evidence(found: list[PosteriorBits | None], tables: LawTables) -> Evidence:
    """The evidence of utilities from the bits that a recording allows for each.

    Errors add up those of both tails. Each level of splitting is a sample of what is above the last: of what falls, and
    of the rest at its mean. The prior's tail is a sum of independent steps, and one that is off by so much moves all
    that lies beyond. What the last population weighs, too little for splitting to go on, counts as an error as well.
    """
    columns = [_constant(tables) if one is None else _of_one(one, tables) for one in found]
    log_evidence, std_error, beyond = (np.stack(part, axis=1) for part in zip(*columns, strict=True))
    return Evidence(log_evidence, std_error, beyond, np.array([one is not None and one.cut for one in found]))


def _constant(tables):
    return np.zeros((3, tables.number))


def _of_one(one, tables):
    weight, step = tables.log_weight(one.bits)
    each = weight + one.log_mass
    top = each.max(-1, keepdims=True)
    part = np.exp(each - top)
    total = part.sum(-1)
    fell = np.add.reduceat(part, one.starts, axis=1)
    squares = np.add.reduceat(part**2, one.starts, axis=1)
    rest = total[:, None] - np.cumsum(fell, axis=1)
    rest[:, -1] = 0.0
    by_level = squares + rest**2 / np.maximum(one.alive, 1) - (fell + rest) ** 2 / one.size
    relative = np.maximum(by_level, 0.0).sum(-1) / total**2
    share = part / total[:, None]
    moved = np.add.reduceat(share * step, one.starts, axis=1)
    moved = np.cumsum(moved[:, ::-1], axis=1)[:, ::-1]
    ends = np.append(one.starts[1:], len(one.bits)) - 1
    steps = np.diff(np.maximum.accumulate(one.error[ends] ** 2), prepend=0.0)
    from_tail = (moved**2 * steps).sum(-1)
    # What lies above the last population is about as much as what is in it.
    left = (fell[:, -1] / total) ** 2
    # Of an unbiased estimate the logarithm is too low by half its relative variance.
    log_evidence = top[:, 0] + np.log(total) + relative / 2
    return log_evidence, np.sqrt(relative + from_tail + left), (share * one.beyond).sum(-1)


def _check_known(law) -> None:
    for name in getattr(law, "__dataclass_fields__", {}):
        value = getattr(law, name)
        if isinstance(value, IntelligenceLaw):
            _check_known(value)
        elif isinstance(value, dist.Distribution) and name != "density":
            raise InputError(
                f"the law's {name} would be inferred; give numbers, one law for each: [ExponentialLaw(0.5), ...]"
            )

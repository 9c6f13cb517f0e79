"""Intelligence weighting as a method of the suite: policies summed out, for several laws and for a grid of them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import numpy as np

from utiliscope.behaviour import Behaviour, check_fits
from utiliscope.cache import fingerprint
from utiliscope.devices import accelerated
from utiliscope.laws import BumpLaw, ExponentialLaw, IntelligenceLaw, RandomMixture
from utiliscope.marginal import Evidence, LawTables, evidence
from utiliscope.policies import Dirichlet
from utiliscope.posterior_bits import Gauge, gauge, posterior_bits
from utiliscope.posteriors_together import posterior_bits_together

from .claims import Claims, Reading, claimed, joined_readings

# Value tails are those of a world, whatever is recorded in it: all jobs share them, on disk.
_TAIL_KEY = 0
_DIGITS = 4  # of evidence that is kept, in nats: its errors are larger


class LawGrid(NamedTuple):
    """Laws whose evidence is kept, for tuning: exponential, and bumps at all pairs of mean (bits) and shape."""

    betas: tuple[float, ...] = (0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    means: tuple[float, ...] = (2.5, 5.0, 10.0, 20.0)
    shapes: tuple[float, ...] = (2.0, 4.0)

    def laws(self) -> dict[str, IntelligenceLaw]:
        """The laws, called as on the command line."""
        bumps = [(mean, shape) for mean in self.means for shape in self.shapes]
        return {f"exponential:{beta:g}": ExponentialLaw(beta) for beta in self.betas} | {
            f"bump:{mean:g}:{shape:g}": BumpLaw(mean, shape) for mean, shape in bumps
        }


LAWS: Mapping[str, IntelligenceLaw] = {
    "intelligence": ExponentialLaw(0.8),
    "intelligence-0.5": ExponentialLaw(0.5),
    "bump": BumpLaw(20.0, 2.0),
    "mixture": RandomMixture(ExponentialLaw(0.8), 0.1),
}


@dataclass(frozen=True)
class Intelligence:
    """The policy reading with Dirichlet rows: a claim for each of `laws`, whose parameters are numbers, at each of the
    `concentrations` of rows. Claims at the first one are called as their law is, others as `claim_name` has it.

    simplicity: weight on code length. grid: laws whose evidence is kept, at all concentrations. num_particles: of
    splitting from each posterior; tail_particles: of the value tails, once for each world, concentration and candidate.
    under_vmap: whether recordings are read all together in one compiled program; on accelerators if not given. On a
    processor that is many times as much work as one by one (`benchmarks/vmapped.py`).
    """

    laws: Mapping[str, IntelligenceLaw] = field(default_factory=lambda: LAWS)
    grid: LawGrid = field(default_factory=LawGrid)
    concentrations: tuple[float, ...] = (1.0,)
    simplicity: float = 1.0
    num_particles: int = 128
    tail_particles: int = 512
    under_vmap: bool | None = None

    @property
    def together(self) -> bool:
        """See `methods.Method`."""
        return accelerated() if self.under_vmap is None else self.under_vmap

    def __call__(self, key, suite_world, candidates, behaviours: list[Behaviour]) -> Reading:
        """Claims with `bits`; extra: the Monte Carlo error of the evidence in nats, and the share of evidence from
        beyond the value tails, both averaged over candidates by their probability.

        Kept: `grid_evidence` `[C, L, U]` ln evidence in nats for all concentrations and laws of the grid, to four
        digits, its standard error `grid_error` `[C, L]`, the mean over candidates, `grid_concentrations` and
        `grid_laws`. With simplicity alpha the posterior is softmax(evidence - alpha ln 2 K); that of a mixture with a
        share e of random operators is had from ln(e + (1 - e) exp(evidence)): no other run is needed.

        A recording's numbers do not depend on those that it comes with. One run of splitting for each candidate and
        concentration serves all laws, and goes as far as the most demanding one asks: seconds for each recording.
        """
        if not self.together:
            read = self.reader(key, suite_world, candidates)
            return joined_readings([read(behaviour) for behaviour in behaviours])
        tables, measures = self._shared(suite_world.world, candidates)
        counts, keys = zip(*(_counts_and_key(key, one, suite_world.world) for one in behaviours), strict=True)
        options = dict(tables=tables, num_particles=self.num_particles)
        found = [posterior_bits_together(keys, counts, measure, **options) for measure in measures]
        return joined_readings([self._reading(candidates, tables, one) for one in zip(*found, strict=True)])

    def reader(self, key, suite_world, candidates) -> Callable[[Behaviour], Reading]:
        """What makes the reading of one recording; value tails and tables of laws are made here, once."""
        tables, measures = self._shared(suite_world.world, candidates)
        options = dict(tables=tables, num_particles=self.num_particles)

        def read(behaviour) -> Reading:
            counts, own_key = _counts_and_key(key, behaviour, suite_world.world)
            found = [posterior_bits(own_key, counts, measure, **options) for measure in measures]
            return self._reading(candidates, tables, found)

        return read

    def _shared(self, world, candidates):
        return LawTables([*self.laws.values(), *self.grid.laws().values()]), self.gauges(world, candidates)

    def _reading(self, candidates, tables, found) -> Reading:
        """Of one recording; found: `[C][U]` its bits, for each concentration and utility."""
        some, number = [(evidence(bits, tables), _mean_bits(bits)) for bits in found], len(self.laws)
        claims = {
            claim_name(law, concentration if at else None): _claims(one, place, candidates, self.simplicity, bits)
            for at, (concentration, (one, bits)) in enumerate(zip(self.concentrations, some, strict=True))
            for place, law in enumerate(self.laws)
        }
        kept = {
            "grid_evidence": np.round([one.log_evidence[number:] for one, _ in some], _DIGITS).tolist(),
            "grid_error": np.round([one.std_error[number:].mean(-1) for one, _ in some], _DIGITS).tolist(),
            "grid_concentrations": list(self.concentrations),
            "grid_laws": list(self.grid.laws()),
        }
        return Reading(claims, {name: [entry] for name, entry in kept.items()})

    def gauges(self, world, candidates) -> list[Gauge]:
        """What evidence is measured by, one for each concentration: value tails, kept on disk."""
        settings = dict(num_particles=self.tail_particles)
        return [
            gauge(jax.random.key(_TAIL_KEY), world, candidates.payoffs, policy_prior=Dirichlet(one), **settings)
            for one in self.concentrations
        ]


def _counts_and_key(key, behaviour, world):
    """Of one recording: its own key, whatever it comes with."""
    check_fits(behaviour, world)
    counts = behaviour.counts()
    return counts, jax.random.fold_in(key, int(fingerprint(counts)[:8], 16) % 2**31)


def _mean_bits(found):
    """`[U]` of the policies that a recording allows."""
    return [0.0 if one is None else float(np.exp(one.log_mass) @ one.bits) for one in found]


def claim_name(law: str, concentration: float | int | None = None) -> str:
    """What a claim is called: `law`, or "LAW (dirichlet:C)" with another concentration than the first.

    No comma, as tables and sentences list names by commas, and nothing that a picture takes for a formula.
    """
    if concentration is None:
        return law
    short = f"{concentration:g}"
    return f"{law} (dirichlet:{short if float(short) == concentration else repr(float(concentration))})"


def of_intelligence(names: Iterable[str]) -> list[str]:
    """Those of `names` of methods that are claims of intelligence-weighting, by any law and concentration."""
    return [name for name in names if name.partition(" (dirichlet:")[0] in LAWS]


def _claims(found: Evidence, place, candidates, simplicity, bits) -> Claims:
    log_evidence, errors, beyond = (part[place][None] for part in (found.log_evidence, found.std_error, found.beyond))
    claims = claimed(log_evidence, candidates, simplicity, np.array([bits]))
    share = np.exp(claims.log_prob)
    extra = dict(evidence_error=np.sqrt((share * errors**2).sum(1)), beyond=(share * beyond).sum(1))
    return claims._replace(extra=extra)

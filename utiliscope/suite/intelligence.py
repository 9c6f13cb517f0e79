"""Intelligence weighting as a method of the suite: policies summed out, for one law or for a grid of them."""

from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import numpy as np

from utiliscope.behaviour import Behaviour, check_fits
from utiliscope.cache import fingerprint
from utiliscope.laws import BumpLaw, ExponentialLaw, IntelligenceLaw
from utiliscope.marginal import LawTables, evidence, log_chance_of_counts
from utiliscope.policies import Dirichlet
from utiliscope.posterior_bits import gauge, posterior_bits

from .claims import Claims, claimed

# Value tails are those of a world, whatever is recorded in it: all jobs share them, on disk.
_TAIL_KEY = 0


@dataclass(frozen=True)
class Intelligence:
    """The policy reading with Dirichlet rows under `law`, whose parameters are numbers.

    simplicity: weight on code length. num_particles: of splitting from each posterior; tail_particles: of the value
    tails, once for each world and candidate.
    """

    law: IntelligenceLaw
    policy_prior: Dirichlet = field(default_factory=Dirichlet)
    simplicity: float = 1.0
    num_particles: int = 128
    tail_particles: int = 512

    def __call__(self, key, suite_world, candidates, behaviours: list[Behaviour]) -> Claims:
        """`Claims`, with `bits`; extra: the Monte Carlo error of the evidence in nats, and the share of evidence from
        beyond the value tails, both averaged over candidates by their probability.

        A recording's numbers do not depend on those that it comes with. Seconds for each recording.
        """
        tables, world = LawTables([self.law]), suite_world.world
        measure = _gauge(world, candidates, self.policy_prior, self.tail_particles)
        log_evidence, errors, beyond, bits = [], [], [], []
        for behaviour in behaviours:
            check_fits(behaviour, world)
            found = _found(key, behaviour, measure, tables, self.num_particles)
            of_one = evidence(found, tables)
            log_evidence.append(of_one.log_evidence[0])
            errors.append(of_one.std_error[0])
            beyond.append(of_one.beyond[0])
            bits.append([0.0 if one is None else float(np.exp(one.log_mass) @ one.bits) for one in found])
        claims = claimed(np.array(log_evidence), candidates, self.simplicity, np.array(bits))
        share = np.exp(claims.log_prob)
        extra = dict(
            evidence_error=np.sqrt((share * np.square(errors)).sum(1)), beyond=(share * np.array(beyond)).sum(1)
        )
        return claims._replace(extra=extra)


class EvidenceGrid(NamedTuple):
    """ln evidence of `U` candidates from one recording, nats, and its standard errors: all that tuning needs of it.

    exponential, exponential_error: `[C, B, U]` over concentrations of the policy prior and beta. bump, bump_error:
    `[C, M, S, U]` over concentrations, means and shapes. log_counts: `[C]` ln chance of the recording under the prior
    alone, to be added where concentrations are compared.

    With simplicity alpha the posterior is softmax(evidence - alpha ln 2 K). That of a mixture with a share e of random
    operators is ln(e + (1 - e) exp(evidence)): no other run is needed.
    """

    exponential: np.ndarray
    exponential_error: np.ndarray
    bump: np.ndarray
    bump_error: np.ndarray
    log_counts: np.ndarray


def evidence_grid(
    key,
    world,
    candidates,
    behaviour: Behaviour,
    *,
    concentrations=(1.0,),
    betas=(0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
    means=(2.0, 5.0, 10.0, 20.0, 40.0, 80.0),
    shapes=(1.0, 2.0, 4.0),
    num_particles: int = 128,
    tail_particles: int = 512,
) -> EvidenceGrid:
    """The evidence of one recording under all laws of a grid.

    concentrations: of Dirichlet rows. betas: of `ExponentialLaw`. means, shapes: of `BumpLaw`, at all pairs. One run of
    splitting for each candidate and concentration serves all laws; it goes as far as the most demanding one asks.
    """
    check_fits(behaviour, world)
    betas, shape = list(betas), (len(means), len(shapes))
    laws = [*map(ExponentialLaw, betas), *(BumpLaw(mean, own) for mean in means for own in shapes)]
    tables, available = LawTables(laws), np.asarray(world.available)
    parts = []
    for concentration in concentrations:
        measure = _gauge(world, candidates, Dirichlet(concentration), tail_particles)
        found = evidence(_found(key, behaviour, measure, tables, num_particles), tables)
        values, errors = found.log_evidence, found.std_error
        bumps = [part[len(betas) :].reshape(*shape, -1) for part in (values, errors)]
        counted = log_chance_of_counts(behaviour.counts(), concentration, available)
        parts.append((values[: len(betas)], errors[: len(betas)], *bumps, counted))
    return EvidenceGrid(*map(np.array, zip(*parts, strict=True)))


def _gauge(world, candidates, policy_prior, tail_particles):
    key = jax.random.key(_TAIL_KEY)
    return gauge(key, world, candidates.payoffs, policy_prior=policy_prior, num_particles=tail_particles)


def _found(key, behaviour, measure, tables, num_particles):
    counts = behaviour.counts()
    own_key = jax.random.fold_in(key, int(fingerprint(counts)[:8], 16) % 2**31)
    return posterior_bits(own_key, counts, measure, tables=tables, num_particles=num_particles)

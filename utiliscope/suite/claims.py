"""`Claims`: what a method says about the utilities behind recordings of one world."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

from utiliscope.laws import LN2


class Claims(NamedTuple):
    """Of `J` recordings, over `U` candidates.

    log_prob: `[J, U]` nats, normalised over candidates, or None. bits: `[J, U]` intelligence of the policies that the
    recording allows, on average and before any law, or None. extra: name to `[J]`, whatever else a method found.
    reward: `[J, S]` a step's payoff in each state, of a method that knows of no candidates and has no posterior.
    """

    log_prob: np.ndarray | None
    bits: np.ndarray | None
    extra: dict[str, np.ndarray]
    reward: np.ndarray | None = None


class Reading(NamedTuple):
    """All that a method says of `J` recordings.

    claims: by name; a method may make several from the same work, such as one for each law. kept: name to `J` arrays
    that are written down with the results, for whoever reads them again (see `tuning`).
    """

    claims: dict[str, Claims]
    kept: dict[str, list]


def joined(parts: Sequence[Claims]) -> Claims:
    """The claims of one method about all the recordings that `parts`, at least one, are about, in their order."""
    first = parts[0]
    log_prob, bits, reward = (
        None if getattr(first, name) is None else np.concatenate([getattr(part, name) for part in parts])
        for name in ("log_prob", "bits", "reward")
    )
    extra = {name: np.concatenate([part.extra[name] for part in parts]) for name in first.extra}
    return Claims(log_prob, bits, extra, reward)


def joined_readings(parts: Sequence[Reading]) -> Reading:
    """The same of readings."""
    claims = {name: joined([part.claims[name] for part in parts]) for name in parts[0].claims}
    return Reading(claims, {name: [one for part in parts for one in part.kept[name]] for name in parts[0].kept})


def claimed(log_likelihood, candidates, simplicity, bits=None, extra=None) -> Claims:
    """Claims from `[J, U]` ln likelihoods, nats, and 2^-(simplicity K)."""
    log_joint = log_likelihood - simplicity * LN2 * np.asarray(candidates.code_length)
    log_prob = log_joint - logsumexp(log_joint, axis=1, keepdims=True)
    return Claims(log_prob, bits, {} if extra is None else extra)

"""`Yardsticks`: what the scores of one world need, worked out once for all jobs there."""

from typing import NamedTuple

import numpy as np

from utiliscope.distances import epic_forms, rewards_on, starc_forms
from utiliscope.node_policies import random_policy
from utiliscope.regret import Stakes, acting_regrets, random_regrets, stakes
from utiliscope.utilities import Candidates

from .worlds import SuiteWorld

# Of the squared length of what is added up: less is the rounding of parts that cancel.
_CANCELLED = 1e-14


class Yardsticks(NamedTuple):
    """Of `U` candidates in one world of the suite.

    constant: place of the candidate "0", which prefers nothing, or None if there is none.
    prior: `[U]` 2^-K, scaled to sum to 1.
    recorded, changed: what is at stake where behaviour was recorded, and in the changed world.
    random_regret, prior_regret: `[2, U]` in both worlds, of the uniform random policy and of acting on the prior.
    epic, starc: `[U, U]` inner products of the canonical rewards in the recorded world.
    """

    constant: int | None
    prior: np.ndarray
    recorded: Stakes
    changed: Stakes
    random_regret: np.ndarray
    prior_regret: np.ndarray
    epic: np.ndarray
    starc: np.ndarray


def yardsticks(suite_world: SuiteWorld, candidates: Candidates) -> Yardsticks:
    """The `Yardsticks` of a world. Costs four plans for each candidate: seconds, where memories are many.

    Rewards are compared on the chain of all candidates' memories, so that EPIC and STARC are defined for utilities
    that look back, too; those of payoffs a step are at the distances that they have in the world itself.
    """
    both = [stakes(world, candidates) for world in (suite_world.world, suite_world.changed)]
    prior = 2.0 ** (candidates.code_length.min() - candidates.code_length)
    prior = prior / prior.sum()
    return Yardsticks(
        candidates.names.index("0") if "0" in candidates.names else None,
        prior,
        *both,
        np.array([random_regrets(one) for one in both]),
        np.array([acting_regrets(one, prior) for one in both]),
        *_products(both[0], both[0].paid),
    )


def _products(recorded: Stakes, paid):
    """`[U, U]` inner products of the canonical forms of `paid` `[U, n, A]`, of EPIC and of STARC."""
    rewards = rewards_on(recorded.nodes, recorded.random, random_policy(recorded.nodes.available), paid)
    return [forms @ forms.T for forms in (epic_forms(rewards), starc_forms(rewards))]


def reward_distances(yardsticks: Yardsticks, truth: int, reward) -> dict[str, float]:
    """`epic` and `starc`: distances of candidate `truth` from `reward` `[S]`, paid at every step."""
    recorded = yardsticks.recorded
    true = recorded.paid[truth]
    paid = np.stack([true, np.broadcast_to(np.asarray(reward)[recorded.state][:, None], true.shape)])
    other = np.array([[0.0, 1.0]])
    return {
        name: float(distances_from(products, 0, other)[0])
        for name, products in zip(("epic", "starc"), _products(recorded, paid), strict=True)
    }


def distances_from(products, truth: int, mixtures) -> np.ndarray:
    """`[N]` distances of candidate `truth` from sums of all with weights `mixtures` `[N, U]`.

    products: `[U, U]` inner products of canonical rewards. As in `distances.py`: 1/2 from a reward that is constant.
    """
    own = products[truth, truth]
    squared = np.einsum("nu,uv,nv->n", mixtures, products, mixtures)
    parts = np.abs(mixtures) @ np.sqrt(np.diag(products))
    some = squared > _CANCELLED * parts**2
    both = some & (own > 0)
    cosine = mixtures @ products[truth] / np.sqrt(np.where(both, squared * own, 1.0))
    apart = np.sqrt(np.clip((1 - cosine) / 2, 0.0, 1.0))
    return np.where(both, apart, np.where(some | (own > 0), 0.5, 0.0))

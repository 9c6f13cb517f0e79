"""Methods side by side: each reads recordings of one world and says how probable it holds each candidate."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from utiliscope.behaviour import Behaviour
from utiliscope.laws import BumpLaw, ExponentialLaw, RandomMixture
from utiliscope.utilities import Candidates

from .claims import Claims, claimed
from .intelligence import Intelligence
from .planners import Planner


class Method(Protocol):
    def __call__(self, key, suite_world, candidates: Candidates, behaviours: list[Behaviour]) -> Claims:
        """What the method says of each of `J` recordings; `suite_world` has the `world` that they are of."""


def prior_alone(key, suite_world, candidates: Candidates, behaviours: list[Behaviour]) -> Claims:
    """2^-K, whatever was recorded: what every other method has to improve on."""
    return claimed(np.zeros((len(behaviours), len(candidates))), candidates, 1.0)


METHODS: Mapping[str, Method] = {
    "intelligence": Intelligence(ExponentialLaw(0.8)),
    "intelligence-0.5": Intelligence(ExponentialLaw(0.5)),
    "bump": Intelligence(BumpLaw(20.0, 2.0)),
    "mixture": Intelligence(RandomMixture(ExponentialLaw(0.8), 0.1)),
    "boltzmann": Planner(soft=False),
    "maxent": Planner(soft=True),
    "prior": prior_alone,
}

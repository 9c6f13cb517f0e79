"""Methods side by side: each reads recordings of one world and says how probable it holds each candidate."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from utiliscope.behaviour import Behaviour
from utiliscope.utilities import Candidates

from . import imitation_peer, memo_peer
from .claims import Claims, Reading, claimed
from .intelligence import Intelligence
from .planners import Planner


class Method(Protocol):
    def __call__(self, key, suite_world, candidates: Candidates, behaviours: list[Behaviour]) -> Claims | Reading:
        """What the method says of each of `J` recordings; `suite_world` has the `world` that they are of.

        A method that goes through the recordings one by one, with work for each that is worth keeping, has besides
        `reader(key, suite_world, candidates)`: what reads one behaviour, with all that recordings share made once. The
        method itself then is what its reader says of them, joined. Where it has `together`, and that is true, it is
        asked for all recordings at once even so.
        """


def prior_alone(key, suite_world, candidates: Candidates, behaviours: list[Behaviour]) -> Claims:
    """2^-K, whatever was recorded: what every other method has to improve on."""
    return claimed(np.zeros((len(behaviours), len(candidates))), candidates, 1.0)


METHODS: Mapping[str, Method] = {
    "intelligence": Intelligence(),
    "boltzmann": Planner(soft=False),
    "maxent": Planner(soft=True),
    "prior": prior_alone,
    "memo": memo_peer.Memo(),
    "imitation": imitation_peer.Imitation(),
}
_PEERS = {"memo": memo_peer, "imitation": imitation_peer}


def why_skipped(name: str) -> str | None:
    """Why a method cannot run here, such as an optional package that is missing; None if it can."""
    return _PEERS[name].why_not() if name in _PEERS else None


def reading(name: str, found: Claims | Reading) -> Reading:
    """What the method called `name` said, whichever of the two it gave."""
    return Reading({name: found}, {}) if isinstance(found, Claims) else found

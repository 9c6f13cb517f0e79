"""What else there is to be after in a world, and what of the given utility that brings."""

from typing import NamedTuple

import numpy as np

from utiliscope.errors import InputError
from utiliscope.payoffs import Payoffs, as_payoffs
from utiliscope.planning import value_range
from utiliscope.world.model import reachable_states
from utiliscope.world.possible import World

from .course_value import course_value
from .optimal import Optimal
from .outlook import evenly
from .simulate import check_actual

_SAME = 1e-9


class OtherGoal(NamedTuple):
    """To be in one feature of a world as long as possible.

    name: of the feature, or of a state. payoffs: the feature a step. share: what its optimal agent gets of the given
    utility: 1 as much as can be, 0 as little.
    """

    name: str
    payoffs: Payoffs
    share: float


def other_goals(world: World, utility) -> list[OtherGoal]:
    """The goals of being in a feature of `world`, or in one state if it has none, that differ from `utility`.

    Left out are goals whose optimal agent gets all of the utility, and those that prefer nothing. From the one that
    brings least of the utility to the one that brings most; equals by name. Costs a plan and a value for each.
    Raises InputError where nothing is left.
    """
    check_actual(world)
    payoffs = as_payoffs(world, utility)
    worst, best = value_range(world, payoffs)
    features = dict(world.features) or dict(zip(world.state_names, np.eye(world.num_states), strict=True))
    anything, reached = evenly(np.asarray(world.available)), reachable_states(world)
    found = []
    for name in sorted(features):
        goal = as_payoffs(world, np.asarray(features[name], np.float64))
        steps = Optimal().course(world, goal)
        if (steps.by_state == anything)[..., reached, :].all():
            continue
        value = course_value(world, payoffs, steps)
        share = float(np.clip((value - worst) / (best - worst), 0.0, 1.0)) if best > worst else 0.0
        if share < 1 - _SAME:
            found.append(OtherGoal(name, goal, share))
    if not found:
        raise InputError(
            "this world has nothing else to be after: every feature that can be sought brings all of the utility; "
            "give it another feature"
        )
    return sorted(found, key=lambda goal: (round(goal.share, 9), goal.name))

"""What an agent of the suite is: something that acts in a world, for a utility that is known."""

from typing import Protocol

import numpy as np

from utiliscope.behaviour import Behaviour
from utiliscope.payoffs import Payoffs, as_payoffs
from utiliscope.world.possible import World


class Agent(Protocol):
    """Anything that can be recorded.

    Optional beside `record`: `pursued(world, utility)`, where an agent is after something else than it is given, and
    where what it does follows from the two alone `course(world, utility)`, a `Course`, or, if it remembers nothing
    whatever the utility, `policy(world, utility)`. The functions of this file ask any agent for these.
    """

    def record(self, key, world: World, utility, *, num_episodes: int, num_steps: int) -> Behaviour:
        """Its decisions in `num_episodes` episodes of up to `num_steps`.

        utility: anything that `as_payoffs(world, utility)` takes, one and not a stack.
        """


def pursued(agent, world: World, utility) -> Payoffs | None:
    """What `agent` is in truth after when it is given `utility`: a stack if several, None if nothing at all.

    That is the utility itself, if the agent has no method `pursued` that says otherwise.
    """
    own = getattr(agent, "pursued", None)
    return as_payoffs(world, utility) if own is None else own(world, utility)


def policy(agent, world: World, utility) -> np.ndarray | None:
    """`[S, A]`, or `[H, S, A]` by time, what `agent` does; None if the two do not determine a policy.

    Raises InputError for utilities that need memory, where the behaviour of those who plan is no policy over states.
    """
    if callable(getattr(agent, "policy", None)):
        return agent.policy(world, utility)
    own = getattr(agent, "course", None)
    return None if own is None else own(world, utility).by_state

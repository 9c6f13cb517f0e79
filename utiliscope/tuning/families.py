"""What is left out together: the families of agents, by what they do rather than by what they are called."""

import numpy as np

from utiliscope.agents.agent import pursued
from utiliscope.agents.optimal import Optimal
from utiliscope.agents.roster import read_roster
from utiliscope.suite.places import task_of

_SAME = 1e-9


class Families:
    """Called with a world, an agent and a utility it gives the family and the kind of the agent there.

    Many an error shows only here or there: where nothing is at stake later, a myopic agent is an optimal one. Were it
    left out under its name, its behaviour would stay in. So whoever takes the actions of an optimal agent for what it
    pursues, with its probabilities, is of the family "optimal", whatever its name.
    """

    def __init__(self, agents_file: str | None = None):
        self._roster, self._known = read_roster(agents_file), {}

    def __contains__(self, agent: str) -> bool:
        return agent in self._roster

    def __call__(self, world: str, agent: str, utility: str) -> tuple[str, str]:
        key = world, agent, utility
        if key not in self._known:
            entry = self._roster[agent]
            same = entry.kind == "agent" and bool(utility) and acts_optimally(entry.agent, world, utility)
            self._known[key] = "optimal" if same else entry.family, entry.kind
        return self._known[key]


def acts_optimally(agent, world: str, utility: str) -> bool:
    """Whether an agent's behaviour in a world of the suite is that of `Optimal` for what it pursues.

    False for agents whose behaviour no world and utility determine: learners, searchers, those with habits.
    """
    if not hasattr(agent, "course"):
        return False
    task = task_of(world)
    payoffs = task.grammar.parse(utility)
    goal = pursued(agent, task.world, payoffs)
    if goal is None or goal.state.ndim != 1:
        return False
    own, best = agent.course(task.world, payoffs), Optimal().course(task.world, goal)
    alike = own.policy.shape == best.policy.shape and np.array_equal(own.state, best.state)
    return bool(alike and np.allclose(own.policy, best.policy, atol=_SAME))

"""The agent for which losses loom larger than gains."""

from dataclasses import dataclass

import numpy as np

from utiliscope.automata import Automaton
from utiliscope.behaviour import Behaviour
from utiliscope.payoffs import Payoffs
from utiliscope.world.possible import World

from .course import Course, follow
from .knobs import check_between
from .optimal import Optimal
from .outlook import checked_payoffs


@dataclass(frozen=True)
class LossAverse:
    """Optimal for the utility with every negative payment counted `weight` times; a payment of 0 is the neutral point.

    What it is after stays the utility itself: that losses loom larger is how it errs. A utility whose payments are all
    gains, or all losses, leaves nothing to weigh against them, and this is the optimal agent.

    References: Kahneman and Tversky (1979), Prospect Theory; the usual weight is from Tversky and Kahneman (1992),
    Advances in Prospect Theory.
    """

    weight: float | int = 2.25

    def __post_init__(self):
        check_between("weight", self.weight, 1)

    def course(self, world: World, utility) -> Course:
        """What it does on each pair of memory and state."""
        return Optimal().course(world, loomed(checked_payoffs(world, utility), self.weight))

    def record(self, key, world: World, utility, *, num_episodes: int, num_steps: int) -> Behaviour:
        """See `Agent.record`."""
        return follow(key, world, self.course(world, utility), num_episodes=num_episodes, num_steps=num_steps)


def loomed(payoffs: Payoffs, weight: float | int) -> Payoffs:
    """One utility with its negative payments, of states, actions, arrivals and automata, times `weight`."""

    def seen(amount):
        amount = np.asarray(amount, np.float64)
        return np.where(amount < 0, weight * amount, amount)

    action = None if payoffs.action is None else seen(payoffs.action)
    if payoffs.weight is None:
        return Payoffs(seen(payoffs.state), action, seen(payoffs.reach), payoffs.targets)
    automata = tuple(
        Automaton(one.step, seen(share * np.asarray(one.pay)))
        for share, one in zip(np.asarray(payoffs.weight), payoffs.automata, strict=True)
    )
    return Payoffs(seen(payoffs.state), action, seen(payoffs.reach), payoffs.targets, np.ones(len(automata)), automata)

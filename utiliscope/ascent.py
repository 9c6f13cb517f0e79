"""The best policy found where memory would help: one that does not know what has been seen, or in which world it is.

Coordinate ascent. A best deterministic policy for several possible worlds is NP-hard to find (Steimle, Kaufman and
Denton 2021, "Multi-model Markov decision processes"), and so is one without memory in a partially observed world
(Littman 1994, "Memoryless policies"). Ascent does well (Su and Petrik 2023, "Solving multi-model MDPs by coordinate
ascent and dynamic programming").
"""

import numpy as np

from . import row_kernels
from .chains import chains
from .errors import InputError
from .payoffs import Payoffs
from .row_splitting import WholeInverses, joint_links, row_problem
from .world.possible import World, weighted_worlds

# Ascent goes on from this many of the starts, the best ones.
_MOST_CLIMBS = 5
# Numbers that the inverses of all worlds and forms together may take.
_MOST_NUMBERS = 2**28
# Gains below this share of the values are rounding, and none.
_NO_GAIN = 1e-11


def ascended(world: World, payoffs: Payoffs, starts: list[np.ndarray]) -> np.ndarray:
    """The best deterministic policy found from `starts`, deterministic policies `[S, A]` or all `[H, S, A]`.

    No worse than any of them; a local optimum: no other action in one state (with a horizon, in all states at one
    step) is better. Costs for each of five starts a few sweeps: an inverse for every form in every world, of as many
    rows as it has pairs of memory and state, and as many low-rank updates as states; with a horizon, 2 H products.
    """
    distinct = list({start.tobytes(): start for start in starts}.values())
    climber = (_Climber if world.horizon is None else _ClimberInTime)(world, payoffs)
    best_first = np.argsort([-climber.value(start) for start in distinct], kind="stable")
    ends = [climber.climb(distinct[i].copy()) for i in best_first[:_MOST_CLIMBS]]
    return max(ends, key=climber.value)


class _Climber:
    """Without a horizon: sweeps over the states, each taking its best action given all others, until none changes."""

    def __init__(self, world, payoffs):
        self.problem = row_problem(world, payoffs)
        numbers = len(self.problem.weight) * self.problem.num_nodes**2
        if numbers > _MOST_NUMBERS:
            raise InputError(
                f"the best policy for this utility takes inverses of {numbers:.2g} numbers, more than "
                f"{_MOST_NUMBERS:.2g}: its parts depend on what has been seen, or on which world it is. Give one form, "
                "or fewer worlds or states"
            )

    def _solved(self, policy):
        return WholeInverses(None, self.problem, policy[None], 1)

    def value(self, policy) -> float:
        return float(self._solved(policy).values[0])

    def climb(self, policy):
        paid = np.abs(self.problem.chains[4]).max()
        changed = True
        while changed:
            now = self._solved(policy)
            least = _NO_GAIN * (paid + np.abs(now.ahead).max())
            parts = row_kernels.arranged(self.problem, self.problem.rows, now.place, now.place)
            changed = row_kernels.ascend(least, *parts, policy[None], now.table)
        return policy


class _ClimberInTime:
    """With a horizon: sweeps from the last step to the first, each taking its best actions given all others."""

    def __init__(self, world, payoffs):
        weights, worlds = zip(*weighted_worlds(world), strict=True)
        successors, chances = joint_links(worlds)
        self.parts = [
            (share, float(one.discount) * ways, chain)
            for share, one, ways in zip(weights, worlds, chances, strict=True)
            for chain in chains(one, payoffs, (successors, ways))
        ]
        self.available = np.asarray(world.available)

    def _presence(self, policy):
        """For each part `[H + 1, n]` discounted chance of being at each node at each step."""
        found = []
        for _, chance, chain in self.parts:
            goes_on = chain.onward >= 0
            present = [chain.start]
            for row in policy:
                flow = present[-1][:, None] * np.einsum("sa,sak->sk", row, chance)[chain.state]
                following = np.bincount(chain.onward[goes_on], flow[goes_on], len(chain.state))
                present.append(following)
            found.append(np.array(present))
        return found

    def value(self, policy) -> float:
        total = 0.0
        for (share, _, chain), present in zip(self.parts, self._presence(policy), strict=True):
            paid = np.einsum("tna,na->tn", policy[:, chain.state], chain.paid)
            total += share * float((present[:-1] * paid).sum() + present[-1] @ chain.last)
        return total

    def climb(self, policy):
        rows = np.arange(policy.shape[1])
        while True:
            presence = self._presence(policy)
            ahead = [chain.last for *_, chain in self.parts]
            size = max(np.abs(chain.paid).max() for *_, chain in self.parts)
            least = _NO_GAIN * (size + max(np.abs(one).max() for one in ahead))
            changed = False
            for t in range(len(policy) - 1, -1, -1):
                worth, total = [], np.zeros(policy.shape[1:])
                for (share, chance, chain), present, later in zip(self.parts, presence, ahead, strict=True):
                    following = np.where(chain.onward >= 0, later[chain.onward], 0.0)
                    q = chain.paid + np.einsum("nak,nk->na", chance[chain.state], following)
                    worth.append(q)
                    np.add.at(total, chain.state, share * present[t][:, None] * q)
                total = np.where(self.available, total, -np.inf)
                current, best = policy[t].argmax(-1), total.argmax(-1)
                better = total[rows, best] - total[rows, current] > least
                policy[t, better] = np.eye(policy.shape[2])[best[better]]
                changed = changed or bool(better.any())
                ahead = [(policy[t, chain.state] * q).sum(-1) for (*_, chain), q in zip(self.parts, worth, strict=True)]
            if not changed:
                return policy

"""What a course is worth: exact expected utility of agents that remember."""

import numpy as np
import scipy.sparse
import scipy.sparse.linalg

from utiliscope.chains import joint_chain
from utiliscope.world.possible import World
from utiliscope.world.transition import links

from .course import Course
from .outlook import checked_payoffs
from .simulate import check_actual


def course_value(world: World, utility, steps: Course) -> float:
    """Expected utility of an agent that follows the course `steps` in `world`, in float64 on the host.

    For payoffs without memory and an agent without it the same as `utiliscope.expected_utility`. Costs a walk through
    all triples of a state, what the agent remembers and what the utility does, and a sparse solve over them; H products
    in a world with a horizon. Raises InputError as `optimal_policy` does.
    """
    check_actual(world)
    chain = joint_chain(world, checked_payoffs(world, utility))
    successors, chance = links(world.transition)
    size = len(chain.state)

    # Pairs of a node of the course and one of the utility, in the same state; numbered as they are come to.
    start = np.flatnonzero(np.asarray(world.initial) > 0)
    known = start * size + start
    frontier, edges = known, []
    while len(frontier):
        own, seen = frontier // size, frontier % size
        state = chain.state[seen]
        pair, place = np.nonzero(chain.onward[seen] >= 0)
        following = chain.onward[seen[pair], place]
        ahead = steps.after(own[pair], successors[state[pair], place]) * size + following
        edges.append((frontier[pair], state[pair], place, ahead))
        frontier = np.setdiff1d(ahead, known)
        known = np.union1d(known, frontier)
    before, state, place, ahead = map(np.concatenate, zip(*edges, strict=True))
    before, ahead = np.searchsorted(known, before), np.searchsorted(known, ahead)
    own, seen = known // size, known % size
    first = np.zeros(len(known))
    first[np.searchsorted(known, start * size + start)] = np.asarray(world.initial, np.float64)[start]

    def under(rows):
        """Payoff `[n]` and transition `[n, n]` where actions have the chances `rows` `[n, A]`."""
        weight = (rows[before] * chance[state, :, place]).sum(-1)
        matrix = scipy.sparse.csr_array((weight, (before, ahead)), shape=(len(known), len(known)))
        return (rows * chain.paid[seen]).sum(-1), matrix

    discount = float(world.discount)
    if world.horizon is None:
        paid, matrix = under(steps.at(0, own))
        system = scipy.sparse.eye_array(len(known), format="csc") - discount * matrix.tocsc()
        return float(first @ scipy.sparse.linalg.splu(system).solve(paid))
    value = chain.last[seen]
    for t in reversed(range(world.horizon)):
        paid, matrix = under(steps.at(t, own))
        value = paid + discount * (matrix @ value)
    return float(first @ value)

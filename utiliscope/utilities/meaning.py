"""What programs pay: from the atoms of a world to `Payoffs`."""

import numpy as np

from utiliscope.errors import InputError, listed
from utiliscope.payoffs import Payoffs


def payoffs_of(program, world) -> Payoffs:
    r"""The `Payoffs` of one program in `world`.

    .. math:: U(s_0, s_1, \dots) = \sum_i w_i \, \mathrm{time}_i + \sum_j w_j \, \mathrm{reach}_j, \qquad
        \mathrm{time}(p) = \sum_t \gamma^t p(s_t), \quad \mathrm{reach}(p) = \gamma^{\min\{t : s_t \in p\}}

    The constant is left out: it is the same for every sequence, and g does not see it.
    """
    state = np.zeros(world.num_states)
    reach: dict[bytes, float] = {}
    for term in program.terms:
        values = atom_values(world, term.form.atom)
        if term.form.kind == "time":
            state = state + term.weight * values
        elif values.dtype == bool:
            reach[values.tobytes()] = reach.get(values.tobytes(), 0.0) + term.weight
        else:
            raise InputError(
                f"{term.form} is not defined: {term.form.atom} is an amount, not a set of states; use time"
            )
    targets = np.array([np.frombuffer(target, bool) for target in reach], bool).reshape(-1, world.num_states)
    return Payoffs(state, None, np.array(list(reach.values()), np.float64), targets)


def atom_values(world, atom) -> np.ndarray:
    """`[S]` the atom's states (bool) or amounts (float)."""
    if atom.is_state:
        names = state_names(world)
        if atom.name not in names:
            raise InputError(f"unknown state {atom.name!r}; states of this world: {listed(names)}")
        return np.arange(world.num_states) == names.index(atom.name)
    if atom.name not in world.features:
        raise InputError(f"unknown feature {atom.name!r}; features of this world: {listed(world.features) or 'none'}")
    return np.asarray(world.features[atom.name])


def state_names(world) -> tuple[str, ...]:
    """What states are called, by number if the world has no names."""
    return world.state_names or tuple(str(state) for state in range(world.num_states))

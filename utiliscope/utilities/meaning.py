"""What programs pay: from the predicates of a world to `Payoffs`."""

import numpy as np

from utiliscope.errors import InputError, listed
from utiliscope.payoffs import Payoffs, stack_payoffs
from utiliscope.world.possible import weighted_worlds

from .forms import compiled
from .syntax import And, Atom, Form, Not, Or, Own


def payoffs_of(program, world) -> Payoffs:
    r"""The `Payoffs` of one program in `world`: the weighted sum of what its forms pay (`forms.py`).

    The constant is left out: it is the same for every sequence, and g does not see it.
    """
    parts = [form_payoffs(world, term.form, program.own) for term in program.terms]
    return weighted_sum(world, [term.weight for term in program.terms], parts)


def weighted_sum(world, weights, payoffs) -> Payoffs:
    """One utility from several."""
    nothing = Payoffs(np.zeros(world.num_states), None, np.zeros(0), np.zeros((0, world.num_states), bool))
    stack, weights = stack_payoffs([nothing, *payoffs]), np.array([0, *weights], np.float64)
    action = None if stack.action is None else np.tensordot(weights, stack.action, 1)
    weight = None if stack.weight is None else weights @ stack.weight
    return Payoffs(weights @ stack.state, action, weights @ stack.reach, stack.targets, weight, stack.automata)


def form_payoffs(world, form: Form, own=Own()) -> Payoffs:
    """What one form pays.

    Forms that remember nothing are payoffs a step, first arrivals are sets to reach, others have automata.
    """
    num_states, none = world.num_states, np.zeros(0)
    no_targets = np.zeros((0, num_states), bool)

    def values(predicate, amount=False):
        return predicate_values(world, predicate, own, amount)

    if form.kind == "does":
        action = np.zeros((num_states, world.num_actions))
        action[:, action_index(world, form.action)] = values(form.predicates[0])
        return Payoffs(np.zeros(num_states), action, none, no_targets)
    if form.kind == "end":
        inside = values(form.predicates[0]) * 1.0
        if world.horizon is None:
            return Payoffs(_chance_of_end(world, form) * inside, None, none, no_targets)
        # What every state is paid, less what those are from which an action is taken: the last one is left.
        return Payoffs(inside, -np.repeat(inside[:, None], world.num_actions, axis=1), none, no_targets)
    if form.kind == "time" or (form.kind in own.forms and isinstance(own.forms[form.kind], np.ndarray)):
        amounts = values(form.predicates[0], amount=True) if form.kind == "time" else own.forms[form.kind]
        return Payoffs(np.asarray(amounts, np.float64), None, none, no_targets)
    if form.kind in ("reach", "avoid"):
        sign = 1.0 if form.kind == "reach" else -1.0
        return Payoffs(np.zeros(num_states), None, np.array([sign]), values(form.predicates[0])[None])
    machine = compiled(form, values, own.forms, world.horizon)
    if machine.num_memories == 1 and (np.asarray(machine.step) == 0).all():
        return Payoffs(np.asarray(machine.pay)[0], None, none, no_targets)
    if machine.num_memories == 1 and np.array_equal(np.asarray(machine.pay), (np.asarray(machine.step) < 0) * 1.0):
        return Payoffs(np.zeros(num_states), None, np.ones(1), np.asarray(machine.step) < 0)
    return Payoffs(np.zeros(num_states), None, none, no_targets, np.ones(1), (machine,))


def _chance_of_end(world, form) -> float:
    """Of every step, without a horizon."""
    chances = {1 - float(one.discount) for _, one in weighted_worlds(world)}
    if len(chances) > 1:
        raise InputError(f"{form} is not one utility in possible worlds of different discounts; use time")
    return chances.pop()


def predicate_values(world, predicate, own=Own(), amount=False) -> np.ndarray:
    """`[S]` the states of a predicate (bool); where `amount`, of a lone feature also its amounts (float)."""
    match predicate:
        case Not(part):
            return ~predicate_values(world, part, own)
        case And(left, right):
            return predicate_values(world, left, own) & predicate_values(world, right, own)
        case Or(left, right):
            return predicate_values(world, left, own) | predicate_values(world, right, own)
    values = atom_values(world, predicate, own)
    if values.dtype != bool and not amount:
        raise InputError(
            f"{predicate} is an amount, not a set of states; use time({predicate}), or give places as true and false"
        )
    return values


def atom_values(world, atom: Atom, own=Own()) -> np.ndarray:
    """`[S]` the atom's states (bool) or amounts (float)."""
    if atom.is_state:
        names = state_names(world)
        if atom.name not in names:
            raise InputError(f"unknown state {atom.name!r}; states of this world: {listed(names)}")
        return np.arange(world.num_states) == names.index(atom.name)
    if atom.name in own.features:
        return own.features[atom.name]
    if atom.name not in world.features:
        raise InputError(f"unknown feature {atom.name!r}; features of this world: {listed(world.features) or 'none'}")
    return np.asarray(world.features[atom.name])


def action_index(world, name) -> int:
    """The place of the action called `name`."""
    names = action_names(world)
    if name not in names:
        raise InputError(f"unknown action {name!r}; actions of this world: {listed(names)}")
    return names.index(name)


def state_names(world) -> tuple[str, ...]:
    """What states are called, by number if the world has no names."""
    return world.state_names or tuple(str(state) for state in range(world.num_states))


def action_names(world) -> tuple[str, ...]:
    """What actions are called, by number if the world has no names."""
    return world.action_names or tuple(str(action) for action in range(world.num_actions))

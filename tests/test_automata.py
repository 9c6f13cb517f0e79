"""Payoffs with memory: every computation with them against sums over sequences, dense products and enumeration."""

import itertools
import math
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from populations import LevelByLevel, watched
from threadpoolctl import threadpool_limits

import utiliscope as us
from utiliscope import curve_engines, row_splitting
from utiliscope.achievement import episode_utilities
from utiliscope.ascent import ascended
from utiliscope.automata import Automaton, arrivals, automaton, smallest
from utiliscope.payoffs import stack_payoffs
from utiliscope.planning import tie_tolerance, value_range
from utiliscope.row_splitting import Patches, draw_rows, row_problem
from utiliscope.sequences import comparison_world, path_value
from utiliscope.values import remembered
from utiliscope.world.possible import weighted_worlds
from utiliscope.world.transition import SparseTransition

KEY = jax.random.key(0)
A = 2
DETERMINISTIC = us.UniformDeterministic()


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """And no tail is read from disk."""
    monkeypatch.setenv("UTILISCOPE_CACHE", "off")
    with threadpool_limits(1, "blas"):
        yield


def random_world(seed, num_states=3, *, num_actions=A, sparse=False, some=False, discount=None, horizon=None):
    """some: whether some actions are not available."""
    rng = np.random.default_rng(seed)
    transition = rng.dirichlet(np.ones(num_states) * 0.5, (num_states, num_actions))
    if sparse:
        shape = (num_states, num_actions, 2)
        transition = us.sparse_transition(rng.integers(0, num_states, shape), np.full(shape, 0.5))
    available = rng.random((num_states, num_actions)) < (0.7 if some else 1.0)
    initial = rng.dirichlet(np.ones(num_states))
    discount = rng.uniform(0.3, 0.95) if discount is None else discount
    return us.world_model(transition, initial, discount, available=available, horizon=horizon)


def random_policy(seed, *shape, num_actions=A):
    return np.random.default_rng(seed + 1).dirichlet(np.ones(num_actions), shape)


def random_machine(rng, size, num_states, amounts=None):
    """Some steps lead to the end; amounts: how many different ones are paid."""
    step = rng.integers(0, size, (size, num_states))
    step[rng.random(step.shape) < 0.2] = -1
    pay = rng.normal(size=step.shape) if amounts is None else rng.integers(0, amounts, step.shape) * 1.0
    return Automaton(step, pay)


def random_payoffs(seed, num_states=3, sizes=(1, 2, 4, 4), *, num_actions=A, plain=True):
    """plain: whether states, actions and one arrival are paid as well."""
    rng = np.random.default_rng(seed + 2)
    machines = tuple(random_machine(rng, size, num_states) for size in sizes)
    state, action = plain * rng.normal(size=num_states), plain * rng.normal(size=(num_states, num_actions))
    targets = rng.random((1, num_states)) < 0.4
    return us.Payoffs(state, action, plain * rng.normal(size=1), targets, rng.normal(size=len(sizes)), machines)


def paid_by(machine, states, discount):
    """What an automaton pays along a sequence, step by step."""
    memory, total = 0, 0.0
    for t, s in enumerate(states):
        if memory == -1:
            break
        total += discount**t * machine.pay[memory, s]
        memory = machine.step[memory, s]
    return total


def worth(discount, payoffs, states, actions):
    """What one sequence is worth, from the definition."""
    total = sum(discount**t * payoffs.state[s] for t, s in enumerate(states))
    if payoffs.action is not None:
        total += sum(discount**t * payoffs.action[s, a] for t, (s, a) in enumerate(zip(states, actions, strict=False)))
    for weight, target in zip(payoffs.reach, payoffs.targets, strict=True):
        reached = [t for t, s in enumerate(states) if target[s]]
        total += weight * discount ** reached[0] if reached else 0.0
    for weight, machine in zip(payoffs.weight, payoffs.automata, strict=True):
        total += weight * paid_by(machine, states, discount)
    return total


def dense(world):
    return np.asarray(world.transition.dense() if isinstance(world.transition, SparseTransition) else world.transition)


def over_all_sequences(world, rows, payoffs):
    """The value, as a sum over every sequence of len(rows) actions."""
    total, table = 0.0, dense(world)
    places, choices = range(world.num_states), range(world.num_actions)
    for states in itertools.product(places, repeat=len(rows) + 1):
        for actions in itertools.product(choices, repeat=len(rows)):
            chance = world.initial[states[0]]
            for t, action in enumerate(actions):
                chance *= rows[t][states[t], action] * table[states[t], action, states[t + 1]]
            if chance > 0:
                total += chance * worth(float(world.discount), payoffs, states, actions)
    return total


def parts_of(world, payoffs):
    """Everything that is paid as machines, `[M, S, A]` pay: the payoffs a step, each arrival and each automaton."""
    shape = (world.num_states, world.num_actions)
    steps = payoffs.state[:, None] + (np.zeros(shape) if payoffs.action is None else payoffs.action)
    parts = [(np.zeros((1, shape[0]), int), steps[None])] if steps.any() else []
    pairs = list(zip(payoffs.reach, arrivals(payoffs.targets), strict=True))
    pairs += zip(payoffs.weight, payoffs.automata, strict=True)
    parts += [(one.step, np.repeat(w * one.pay[:, :, None], shape[1], -1)) for w, one in pairs if w != 0]
    return parts


def product_chain(step, table):
    """`[N, M S, M S]` chances over pairs of memory and state, for `[N, S, S]` chances of states."""
    (size, num_states), number = step.shape, len(table)
    chain = np.zeros((number, size, num_states, size, num_states))
    for memory, s in itertools.product(range(size), range(num_states)):
        if step[memory, s] >= 0:
            chain[:, memory, s, step[memory, s]] = table[:, s]
    return chain.reshape(number, size * num_states, -1)


def met(world, step):
    """Pairs of memory and state that some policy comes to, as numbers memory * S + state."""
    allowed = np.where(np.asarray(world.available)[:, :, None], dense(world), 0.0).max(1)
    chain = product_chain(step, allowed[None])[0] > 0
    seen = np.pad(np.asarray(world.initial) > 0, (0, len(chain) - world.num_states))
    for _ in seen:
        seen = seen | chain[seen].any(0)
    return np.flatnonzero(seen)


def solved(world, payoffs, policy):
    """For each world and part: its weight, the pairs that are met, `[N, n]` values to come and visits, `[N, n, n]`
    inverses."""
    found = []
    for weight, one in weighted_worlds(world):
        table, gamma = np.einsum("nsa,sat->nst", policy, dense(one)), float(one.discount)
        for step, pay in parts_of(one, payoffs):
            pairs = met(one, step)
            chain = gamma * product_chain(step, table)[:, pairs][..., pairs]
            inverse = np.linalg.inv(np.eye(len(pairs)) - chain)
            paid = np.einsum("nsa,msa->nms", policy, pay).reshape(len(policy), -1)[:, pairs]
            start = weight * np.pad(np.asarray(one.initial), (0, step.size - step.shape[1]))[pairs]
            found.append((start, pairs, np.einsum("nij,nj->ni", inverse, paid), start @ inverse, inverse))
    return found


def product_values(world, payoffs, policy):
    """`[N]` values of policies `[N, S, A]` without a horizon."""
    return sum(ahead @ start for start, _, ahead, _, _ in solved(world, payoffs, policy))


def all_policies(world):
    """All deterministic policies without memory."""
    options = [np.flatnonzero(row) for row in np.asarray(world.available)]
    return np.eye(world.num_actions)[np.array(list(itertools.product(*options)))]


def value(world, policy, payoffs, **options):
    return float(us.expected_utility(world, policy, payoffs, **options))


CLOSE = dict(rtol=1e-10, atol=1e-10)


# Values


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("seed", range(2))
def test_values_to_a_horizon_are_sums_over_sequences(seed, sparse):
    world, payoffs = random_world(seed, sparse=sparse, horizon=3), random_payoffs(seed)
    for policy in (random_policy(seed, 3), random_policy(seed, 3, 3)):
        rows = policy if policy.ndim == 3 else [policy] * 3
        assert value(world, policy, payoffs) == pytest.approx(over_all_sequences(world, rows, payoffs), rel=1e-11)
    assert value(world, random_policy(seed, 3), payoffs, horizon=0) == pytest.approx(
        over_all_sequences(world, [], payoffs)
    )


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_values_without_end_are_those_of_the_product(seed, sparse):
    world, payoffs, policy = random_world(seed, sparse=sparse), random_payoffs(seed), random_policy(seed, 3)
    expected = product_values(world, payoffs, policy[None])[0]
    np.testing.assert_allclose(us.expected_utility(world, policy, payoffs), expected, **CLOSE)
    np.testing.assert_allclose(us.expected_utility(world, policy, payoffs, horizon=700), expected, rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(("sparse", "discount"), [(False, 0.99), (True, 0.9)])
def test_many_pairs_of_memory_and_state(sparse, discount):
    """Too many for a dense solve: by iteration."""
    world = random_world(5, 60, sparse=sparse, discount=discount)
    payoffs, policy = random_payoffs(5, 60, (8, 8), plain=False), random_policy(5, 60)
    each = np.asarray(remembered(world, policy, payoffs.automata))
    expected = [
        product_values(world, us.Payoffs(np.zeros(60), None, np.zeros(0), np.zeros((0, 60), bool), np.ones(1), (one,)),
        policy[None])[0]
        for one in payoffs.automata
    ]  # fmt: skip
    np.testing.assert_allclose(each, expected, rtol=1e-9, atol=1e-10)
    assert value(world, policy, payoffs) == pytest.approx(payoffs.weight @ expected, rel=1e-9)
    # The slope towards another policy.
    other = random_policy(6, 60)
    slope = jax.grad(lambda x: us.expected_utility(world, policy + x * (other - policy), payoffs))(0.0)
    ahead, behind = (value(world, policy + x * (other - policy), payoffs) for x in (1e-4, -1e-4))
    assert float(slope) == pytest.approx((ahead - behind) / 2e-4, rel=1e-5)


@pytest.mark.parametrize("horizon", [None, 3])
def test_values_in_possible_worlds_are_means(horizon):
    worlds = [random_world(seed, sparse=seed == 2, horizon=horizon) for seed in range(3)]
    payoffs, policy = random_payoffs(7, sizes=(3, 3)), random_policy(7, 3)
    together = us.possible_worlds(worlds, [1, 2, 5])
    each = [value(one, policy, payoffs) for one in worlds]
    assert value(together, policy, payoffs) == pytest.approx(np.average(each, weights=[1, 2, 5]), rel=1e-12)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("horizon", [None, 2])
def test_differentiable_in_the_policy(horizon, sparse):
    world, payoffs = random_world(8, sparse=sparse, horizon=horizon), random_payoffs(8, sizes=(3, 3))
    policy = random_policy(8, 3) if horizon is None else random_policy(8, 2, 3)
    both = jax.jit(jax.value_and_grad(lambda p: us.expected_utility(world, p, payoffs)))
    gradient = both(policy)[1]
    for place in itertools.product(*map(range, policy.shape)):
        step = np.zeros(policy.shape)
        step[place] = 1e-5
        slope = (both(policy + step)[0] - both(policy - step)[0]) / 2e-5
        np.testing.assert_allclose(gradient[place], slope, rtol=1e-6, atol=1e-8)


def test_stacks_share_automata_and_are_singles():
    world, policies = random_world(9), random_policy(9, 5, 3)
    first, second = random_payoffs(9, sizes=(2, 3)), random_payoffs(10, sizes=(3,))
    none = us.Payoffs(np.ones(3), None, np.zeros(0), np.zeros((0, 3), bool))
    again = us.Payoffs(
        first.state, first.action, first.reach, first.targets, np.array([2.0, 1.0]), first.automata[1:] * 2
    )
    stack = stack_payoffs([first, second, none, again])
    assert len(stack.automata) == 3 and stack.weight.shape == (4, 3) and not stack.weight[2].any()
    assert stack.weight[3].tolist() == [0.0, 3.0, 0.0]
    batched = jax.jit(jax.vmap(lambda p: us.expected_utility(world, p, stack)))(policies)
    singles = [[value(world, p, one) for one in (first, second, none, again)] for p in policies]
    np.testing.assert_allclose(batched, singles, **CLOSE)
    np.testing.assert_allclose([value(world, policies[0], stack[i]) for i in range(4)], singles[0], **CLOSE)


def test_arrivals_are_automata():
    world, policy = random_world(11), random_policy(11, 3)
    targets = np.array([[True, False, False], [False, True, True], [False, False, False], [True, True, True]])
    for horizon in (None, 4):
        reached = us.arrival(world, policy, targets, horizon=horizon)
        np.testing.assert_allclose(
            remembered(world, policy, tuple(arrivals(targets)), horizon=horizon), reached, **CLOSE
        )


# The smallest automaton


def blown_up(rng, machine):
    """The same in three copies of each memory, entered at random, and in one that is never entered."""
    step = np.repeat(np.asarray(machine.step), 3, axis=0)
    step = np.where(step >= 0, 3 * step + rng.integers(0, 3, step.shape), -1)
    stray = rng.integers(0, len(step), (1, step.shape[1]))
    return Automaton(np.concatenate([step, stray]), np.concatenate([np.repeat(machine.pay, 3, axis=0), stray + 7.0]))


def number_of_futures(machine):
    """How many different, not empty, lists of payments along all further sequences the memories have that are met."""
    size, num_states = machine.step.shape

    def future(memory, length):
        if length == 0:
            return ()
        return tuple(
            (0.0 if memory < 0 else float(machine.pay[memory, s]))
            if length == 1
            else (
                0.0 if memory < 0 else float(machine.pay[memory, s]),
                future(-1 if memory < 0 else int(machine.step[memory, s]), length - 1),
            )
            for s in range(num_states)
        )

    entered = {0}
    for _ in range(size):
        entered |= {int(m) for memory in entered for m in machine.step[memory] if m >= 0}
    # Two machines of M memories that agree for 2 M steps agree for ever.
    length = 2 * size
    return max(len({future(memory, length) for memory in entered} - {future(-1, length)}), 1)


def plainly_minimised(machine):
    """Moore's refinement with dictionaries, and the classes in the order in which they are come upon."""
    step, pay, end = np.asarray(machine.step), np.asarray(machine.pay), machine.num_memories
    step = np.concatenate([np.where(step < 0, end, step), np.full((1, step.shape[1]), end)])
    pay = np.concatenate([pay, np.zeros((1, pay.shape[1]))])
    group, before = [row.tobytes() for row in pay], 0
    while len(set(group)) > before:
        before, seen = len(set(group)), {}
        rows = [(group[m], *(group[t] for t in step[m])) for m in range(end + 1)]
        group = [seen.setdefault(row, len(seen)) for row in rows]
    order, place, queue = [], {group[end]: -1}, [0]
    while queue:
        memory = queue.pop(0)
        if group[memory] not in place:
            place[group[memory]] = len(order)
            order.append(memory)
            queue.extend(np.unique(step[memory]).tolist())
    return np.array([[place[group[t]] for t in step[m]] for m in order], int).reshape(-1, step.shape[1]), pay[order]


@pytest.mark.parametrize("seed", range(40))
def test_minimised_is_what_dictionaries_find(seed):
    rng = np.random.default_rng(seed)
    size, num_states = int(rng.integers(1, 40)), int(rng.integers(1, 5))
    machine = random_machine(rng, size, num_states, amounts=2)
    if seed % 2:
        # Memories that are copies of one another, and a chain of them, whose classes take many rounds to tell apart.
        step = np.minimum(np.arange(size)[:, None] + rng.integers(0, 2, (size, num_states)), size - 1)
        machine = Automaton(step, (step == size - 1) * 1.0)
    step, pay = plainly_minimised(machine)
    found = smallest(machine.step, machine.pay)
    if not len(step):
        step, pay = np.full((1, num_states), -1), np.zeros((1, num_states))
    np.testing.assert_array_equal(found.step, step)
    np.testing.assert_array_equal(found.pay, pay)


@pytest.mark.parametrize("seed", range(8))
def test_minimised_pays_the_same_with_as_few_memories_as_there_are_futures(seed):
    rng = np.random.default_rng(seed)
    machine = random_machine(rng, int(rng.integers(1, 5)), 2, amounts=2)
    bigger = blown_up(rng, machine)
    small, same = automaton(machine.step, machine.pay), smallest(bigger.step, bigger.pay)
    assert small.num_memories == same.num_memories == number_of_futures(machine)
    # Named in the order in which they are come upon: equal ones are equal arrays.
    np.testing.assert_array_equal(small.step, same.step)
    np.testing.assert_array_equal(small.pay, same.pay)
    for states in rng.integers(0, 2, (50, 20)):
        paid = [paid_by(one, states, 0.9) for one in (machine, bigger, small)]
        assert paid[0] == paid[1] == paid[2]


THIRD = [[0, 0], [0, 0], [1, 1]]
HAND = {
    "nothing, in a roundabout way": ([[1, 2], [2, 1], [0, -1]], np.zeros((3, 2)), [[-1, -1]], [[0.0, 0.0]]),
    "the same always": ([[1, 1], [0, 0]], np.ones((2, 2)), [[0, 0]], [[1.0, 1.0]]),
    "the end by a trap": ([[0, 1], [1, 1]], [[0, 3], [0, 0]], [[0, -1]], [[0.0, 3.0]]),
    "the second visit": ([[0, 2], [1, 0], [2, -1]], [[0, 0], [5, 5], [0, 1]], [[0, 1], [1, -1]], [[0.0, 0], [0, 1]]),
    "each third step": ([[1, 1], [2, 2], [0, 0]], THIRD, [[1, 1], [2, 2], [0, 0]], THIRD),
}  # fmt: skip


@pytest.mark.parametrize("name", HAND)
def test_smallest_automata_by_hand(name):
    step, pay, smallest, paid = HAND[name]
    found = automaton(np.array(step), np.array(pay))
    np.testing.assert_array_equal(found.step, smallest)
    np.testing.assert_array_equal(found.pay, paid)
    assert found.num_memories == len(smallest) and found.step.dtype == np.int32 and found.pay.dtype == np.float64


WRONG = {
    r"\[memories, states\]; these are \(2, 2\) and \(1, 2\)": (np.zeros((2, 2), int), np.zeros((1, 2))),
    r"\[memories, states\]; these are \(2,\) and \(2,\)": (np.zeros(2, int), np.zeros(2)),
    r"these are \(0, 2\)": (np.zeros((0, 2), int), np.zeros((0, 2))),
    "from 0 to 1, or to -1": (np.full((2, 2), 2), np.zeros((2, 2))),
    "to -1 for the end": (np.full((2, 2), -2), np.zeros((2, 2))),
    "whole memories": (np.zeros((1, 2)), np.zeros((1, 2))),
    "pays nan for state 1 with memory 0": (np.zeros((1, 2), int), np.array([[0.0, np.nan]])),
    "pays inf for state 0 with memory 1": (np.zeros((2, 2), int), np.array([[0.0, 0.0], [np.inf, 0.0]])),
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_automata_are_refused(message):
    with pytest.raises(us.InputError, match=message):
        automaton(*WRONG[message])


# Planning


def joint_values(world, payoffs):
    """`[N]` values of all policies that know what each automaton remembers."""
    sizes = [machine.num_memories for machine in payoffs.automata]
    nodes = list(itertools.product(*([-1, *range(size)] for size in sizes), range(world.num_states)))
    index, table = {node: i for i, node in enumerate(nodes)}, dense(world)
    chain, paid = np.zeros((len(nodes), world.num_actions, len(nodes))), np.zeros((len(nodes), world.num_actions))
    for (*memories, s), i in index.items():
        paid[i] = payoffs.state[s] + (0.0 if payoffs.action is None else payoffs.action[s])
        after = []
        for weight, memory, machine in zip(payoffs.weight, memories, payoffs.automata, strict=True):
            paid[i] += weight * machine.pay[memory, s] if memory >= 0 else 0.0
            after.append(int(machine.step[memory, s]) if memory >= 0 else -1)
        for t in range(world.num_states):
            chain[i, :, index[(*after, t)]] += table[s, :, t]
    start = np.zeros(len(nodes))
    for s, chance in enumerate(world.initial):
        start[index[(*[0] * len(sizes), s)]] = chance
    # Only pairs that can be met have to be enumerated.
    available, seen = np.array([world.available[node[-1]] for node in nodes]), start > 0
    for _ in nodes:
        seen = seen | ((chain[seen] > 0) & available[seen][..., None]).any((0, 1))
    chain, paid, start, available = chain[seen][..., seen], paid[seen], start[seen], available[seen]
    choices = np.array(list(itertools.product(*map(np.flatnonzero, available))))
    rows = np.arange(len(start))
    system = np.eye(len(rows)) - float(world.discount) * chain[rows, choices]
    return np.linalg.solve(system, paid[rows, choices][..., None])[..., 0] @ start


def with_history(world, payoffs, better):
    """Best (or worst) value over all policies with memory, to a horizon: plain recursion over what has been seen."""
    gamma, table = float(world.discount), dense(world)

    def ahead(states, actions):
        if len(actions) == world.horizon:
            return worth(gamma, payoffs, states, actions)
        s = states[-1]
        return better(
            sum(p * ahead((*states, t), (*actions, a)) for t, p in enumerate(table[s, a]) if p > 0)
            for a in np.flatnonzero(world.available[s])
        )

    return sum(p * ahead((s,), ()) for s, p in enumerate(world.initial) if p > 0)


SMALL = [(0, 2, (3,)), (1, 2, (2, 1)), (2, 2, (3,)), (3, 3, (2,)), (4, 3, (2,)), (5, 2, (4,))]


def small_problem(seed, num_states, sizes, **options):
    world = random_world(seed, num_states, some=num_states > 2, **options)
    payoffs = random_payoffs(seed, num_states, sizes, plain=seed % 2 == 0)
    return world, us.Payoffs(
        payoffs.state, payoffs.action, np.zeros(0), np.zeros((0, num_states), bool), payoffs.weight, payoffs.automata
    )


@pytest.mark.parametrize("case", SMALL)
def test_the_range_is_that_of_policies_with_memory(case):
    world, payoffs = small_problem(*case)
    values = joint_values(world, payoffs)
    assert value_range(world, payoffs) == (pytest.approx(values.min()), pytest.approx(values.max()))
    unit = us.Payoffs(
        1e-7 * payoffs.state, None if payoffs.action is None else 1e-7 * payoffs.action, payoffs.reach,
        payoffs.targets, 1e-7 * payoffs.weight, payoffs.automata,
    )  # fmt: skip
    np.testing.assert_allclose(value_range(world, unit), 1e-7 * values[[values.argmin(), values.argmax()]], rtol=1e-9)


@pytest.mark.parametrize("seed", range(2))
def test_the_range_to_a_horizon(seed):
    world, payoffs = random_world(seed, some=True, horizon=3), random_payoffs(seed, sizes=(3, 2))
    ends = with_history(world, payoffs, min), with_history(world, payoffs, max)
    assert value_range(world, payoffs) == (pytest.approx(ends[0]), pytest.approx(ends[1]))
    policy = us.optimal_policy(world, payoffs)
    found = value(world, policy, payoffs)
    assert ends[0] <= found <= ends[1] + 1e-12 and not policy[:, ~world.available].any()
    # Another action in one state at one step.
    place, other = np.arange(9).reshape(3, 3), 1.0 - policy
    flips = [np.where((place == i)[..., None] & world.available.all(-1)[:, None], other, policy) for i in range(9)]
    values = jax.jit(jax.vmap(lambda p: us.expected_utility(world, p, payoffs)))(np.array(flips))
    assert values.max() <= found + 1e-12 and len(np.unique(flips, axis=0)) > 3


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_the_best_policy_without_memory(seed):
    """The best of all deterministic ones, in these worlds; in others a local optimum."""
    world, payoffs = random_world(seed, 4, num_actions=3, some=True), random_payoffs(seed, 4, (3, 2), num_actions=3)
    policy = us.optimal_policy(world, payoffs)
    assert policy.shape == (4, 3) and not policy[~world.available].any()
    values = product_values(world, payoffs, all_policies(world))
    found, (worst, best) = value(world, policy, payoffs), value_range(world, payoffs)
    assert found == pytest.approx(values.max(), rel=1e-10)
    assert worst - 1e-9 <= values.min() and found <= best + 1e-9


@pytest.mark.slow
def test_ascent_ends_where_no_change_of_one_state_is_better():
    ends = 0
    for seed in range(20, 26):
        world, payoffs = (
            random_world(seed, 6, num_actions=3),
            random_payoffs(seed, 6, (4, 3), num_actions=3, plain=False),
        )
        rng, policies = np.random.default_rng(seed), all_policies(world)
        start = policies[rng.integers(len(policies))]
        found = ascended(world, payoffs, [start])
        changed = np.array(
            [np.where(np.arange(6)[:, None] == s, np.eye(3)[a], found) for s in range(6) for a in range(3)]
        )
        values = product_values(world, payoffs, np.array([found, start, *changed]))
        assert values[0] >= values.max() - 1e-10
        ends += values[0] > values[1] + 1e-6
    assert ends > 3


def test_going_there_and_back_takes_memory():
    """Pays for the left end after the right end: without memory one cannot both come and go at the cell between."""
    world = us.gridworld(["..."], discount=0.9, initial=np.eye(3)[0])
    machine = automaton(np.array([[0, 0, 1], [-1, 1, 1]]), np.array([[0.0, 0, 0], [1.0, 0, 0]]))
    payoffs = us.Payoffs(np.zeros(3), None, np.zeros(0), np.zeros((0, 3), bool), np.ones(1), (machine,))
    assert value_range(world, payoffs) == (0, pytest.approx(0.9**4))
    assert value(world, us.optimal_policy(world, payoffs), payoffs) == 0
    # A policy that changes with time knows when it has been there.
    timed = us.world_model(world.transition, world.initial, 0.9, available=world.available, horizon=4)
    assert value(timed, us.optimal_policy(timed, payoffs), payoffs) == pytest.approx(0.9**4)


def test_possible_worlds_are_planned_for_with_memory():
    worlds = [random_world(seed, 4, num_actions=3) for seed in (30, 31, 32)]
    payoffs = random_payoffs(30, 4, (3, 2), num_actions=3)
    together = us.possible_worlds(worlds, [1, 2, 1])
    policy = us.optimal_policy(together, payoffs)
    values = product_values(together, payoffs, all_policies(together))
    assert value(together, policy, payoffs) == pytest.approx(values.max(), rel=1e-10)
    ends = np.average([value_range(one, payoffs) for one in worlds], axis=0, weights=[1, 2, 1])
    np.testing.assert_allclose(value_range(together, payoffs), ends)
    assert ends[0] - 1e-9 <= values.min() and values.max() <= ends[1] + 1e-9


# Compiled moves


PROBLEMS = {
    "dense": (random_world(40, 4, num_actions=3, some=True), random_payoffs(40, 4, (3, 4, 1), num_actions=3)),
    "memory alone": (
        random_world(41, 5, num_actions=3, discount=0.97),
        random_payoffs(41, 5, (4,), num_actions=3, plain=False),
    ),
    "sparse": (
        random_world(46, 5, num_actions=3, sparse=True, some=True),
        random_payoffs(46, 5, (2, 3), num_actions=3),
    ),
    "possible": (
        us.possible_worlds([random_world(seed, 4, num_actions=3, sparse=seed == 44) for seed in (43, 44)], [1, 3]),
        random_payoffs(43, 4, (3, 2), num_actions=3),
    ),
    "sparse grid": (
        us.gridworld(["....", "....", "...G"], discount=0.9, slip=0.2, sparse=True),
        random_payoffs(45, 12, (3,), num_actions=4, plain=False),
    ),
}  # fmt: skip


def assert_solved(world, payoffs, population, *, inverses):
    """All that a population keeps, against fresh solves of products; padded nodes hold nothing."""
    parts, problem = solved(world, payoffs, population.policy), population.problem
    assert len(parts) == len(problem.weight)
    np.testing.assert_allclose(population.values, sum(ahead @ start for start, _, ahead, _, _ in parts), **CLOSE)
    for c, (start, pairs, ahead, visits, inverse) in enumerate(parts):
        number = len(pairs)
        np.testing.assert_array_equal(problem.home[c], np.pad(pairs % world.num_states, (0, problem.num_nodes - number),
                                                              constant_values=-1))  # fmt: skip
        np.testing.assert_allclose(problem.weight[c, :number], start, **CLOSE)
        if inverses:
            np.testing.assert_allclose(population.ahead[:, c, :number], ahead, **CLOSE)
            np.testing.assert_allclose(population.visits[:, c, :number], visits, **CLOSE)
            assert not population.ahead[:, c, number:].any() and not population.visits[:, c, number:].any()
            np.testing.assert_allclose(population.inverse[:, c, :number, :number], inverse, **CLOSE)


@pytest.mark.parametrize("prior", [DETERMINISTIC, pytest.param(us.Dirichlet(0.3), marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", PROBLEMS)
def test_moves_with_whole_inverses_keep_them_exact(name, prior):
    world, payoffs = PROBLEMS[name]
    random = np.random.default_rng(0)
    drawn = draw_rows(random, prior, np.asarray(world.available), 24)
    population = LevelByLevel(random, row_problem(world, payoffs, prior), drawn.copy(), 1)
    assert_solved(world, payoffs, population, inverses=True)
    order = np.argsort(population.values)
    level = population.values[order[11]] + 1e-9
    population.copy(order[:12], order[12:])
    before = population.policy.copy()
    for _ in range(15):
        population.move(np.arange(24), level)
    assert (population.age == 15).all() and population.accepted[0] > 24
    assert_solved(world, payoffs, population, inverses=True)
    assert (population.values > level).all()
    moved = (population.policy != before).any((0, 2))
    assert (np.flatnonzero(moved) == population.problem.rows).all()


@pytest.mark.parametrize("prior", [DETERMINISTIC, pytest.param(us.Dirichlet(0.3), marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", PROBLEMS)
def test_moves_with_patches_keep_their_blocks_exact(name, prior, monkeypatch):
    world, payoffs = PROBLEMS[name]
    monkeypatch.setattr(row_splitting, "_PATCH", 8)
    seen = []

    def check(rows, row_place, column_place, particles):
        chains, (policy, table, values, _) = problem.chains, particles
        inverse, ahead, visits = table[:, :, :-1, :-1], table[:, :, :-1, -1], table[:, :, -1, :-1]
        parts = solved(world, payoffs, policy)
        np.testing.assert_allclose(values, sum(part[2] @ part[0] for part in parts), **CLOSE)
        for c, part in enumerate(parts):
            own, towards = chains[0][c, rows], chains[2][c, rows]
            own, towards = own[own >= 0], np.unique(towards[towards >= 0])
            assert (np.isin(part[1] % world.num_states, rows).nonzero()[0] == np.sort(own)).all()
            np.testing.assert_allclose(ahead[:, c, row_place[c, towards]], part[2][:, towards], **CLOSE)
            np.testing.assert_allclose(visits[:, c, column_place[c, own]], part[3][:, own], **CLOSE)
            block = inverse[:, c, row_place[c, towards]][..., column_place[c, own]]
            np.testing.assert_allclose(block, part[4][:, towards][..., own], **CLOSE)
        seen.append(rows)

    random = np.random.default_rng(1)
    problem = row_problem(world, payoffs, prior)
    population = Patches(random, problem, draw_rows(random, prior, np.asarray(world.available), 3), 2)
    assert_solved(world, payoffs, population, inverses=False)
    monkeypatch.setattr(row_splitting, "kernels", watched(row_splitting.kernels, problem, check))
    for warmth, n in itertools.product((1.0, 0.01), range(3)):
        seen.clear()
        population.sweep(n, warmth)
        # Every row that may change is in one block, and there are several.
        assert (np.sort(np.concatenate(seen)) == problem.rows).all() and len(seen) > 1
    assert_solved(world, payoffs, population, inverses=False)


# Value tails


def assert_follows(tail, values, num_particles):
    """The whole curve: at every value, within five reported standard errors."""
    checked = np.unique(np.round(values, 9))
    exact = np.array([-np.log2(np.mean(values >= value - 1e-8)) for value in checked])
    bits, errors, bound = (
        np.asarray(jax.vmap(f)(checked - 1e-8)) for f in (tail.bits, tail.std_error, tail.is_lower_bound)
    )
    # Where no particle falls below, the error is that of one in a population.
    errors = np.hypot(errors, np.log2(1 + 1 / num_particles))
    assert bits[0] == 0 and not bound.any()
    assert (np.abs(bits - exact) <= 5 * errors + 1e-9).all()


TAILS = {
    "memory alone": (random_world(50, 5, num_actions=3), random_payoffs(50, 5, (4,), num_actions=3, plain=False)),
    "everything": (random_world(51, 5, num_actions=3, some=True), random_payoffs(51, 5, (3, 2), num_actions=3)),
    "possible": (
        us.possible_worlds([random_world(seed, 5, num_actions=3, sparse=True) for seed in (52, 53)]),
        random_payoffs(52, 5, (3,), num_actions=3),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TAILS)
def test_tails_of_deterministic_policies_against_enumeration(name):
    world, payoffs = TAILS[name]
    values = product_values(world, payoffs, all_policies(world))
    assert_follows(us.value_tail(KEY, world, payoffs, num_particles=512), values, 512)


def test_tempered_tails_against_enumeration(monkeypatch):
    monkeypatch.setattr(curve_engines, "MOST_INVERTED", 0)
    world, payoffs = TAILS["memory alone"]
    values = product_values(world, payoffs, all_policies(world))
    tail = us.value_tail(KEY, world, payoffs, num_particles=64 * curve_engines._PARTICLES_OF_A_CHAIN)
    # No curve of a ladder begins at 0 bits exactly below all that it drew.
    assert_follows(tail, values, 64)


def test_tails_to_a_horizon_against_enumeration():
    """Each proposal is evaluated afresh."""
    world, payoffs = random_world(54, 4, num_actions=3, horizon=5), random_payoffs(54, 4, (3, 2), num_actions=3)
    values = np.asarray(jax.jit(jax.vmap(lambda p: us.expected_utility(world, p, payoffs)))(all_policies(world)))
    assert_follows(us.value_tail(KEY, world, payoffs, num_particles=256), values, 256)


@pytest.mark.slow
def test_tails_of_stochastic_policies_against_plain_draws():
    (world, payoffs), prior = TAILS["everything"], us.Dirichlet(0.5)
    drawn = draw_rows(np.random.default_rng(1), prior, np.asarray(world.available), 50_000)
    values = product_values(world, payoffs, drawn)
    tail = us.value_tail(KEY, world, payoffs, policy_prior=prior, num_particles=512)
    for share in (0.5, 0.1, 0.01, 0.001):
        at = np.quantile(values, 1 - share)
        error = math.hypot(float(tail.std_error(at)), math.sqrt((1 - share) / (share * len(values))) / math.log(2))
        assert abs(float(tail.bits(at)) + math.log2(share)) <= 5 * error
    # The curve ends short of the best policy without memory, which it is measured by.
    best = value(world, us.optimal_policy(world, payoffs), payoffs)
    assert values.max() < best + 1e-9 and values.mean() < tail.values[-1] < best + 1e-9


class OwnRows(us.Dirichlet):
    """A prior of rows that is moved in JAX."""


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_how_a_curve_is_computed_does_not_depend_on_what_it_is_stacked_with(backend, monkeypatch):
    """Each with memory by itself, each without in the engine that it has alone."""
    world = random_world(55, 4, num_actions=3)
    plain = us.Payoffs(np.arange(4.0), None, np.ones(1), np.eye(1, 4, dtype=bool))
    more = random_payoffs(55, 4, (2,), num_actions=3, plain=False)
    for name in ("_by_rows", "_by_evaluation", "_by_compiled_moves"):
        monkeypatch.setattr(curve_engines, name, lambda *_, name=name: lambda task: (name, task.name))
    monkeypatch.setattr(
        curve_engines, "_on_devices", lambda *arguments: (("_on_devices", task.name) for task in arguments[-1])
    )
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    tasks = [
        curve_engines.Task(str(i), KEY, payoffs, 1e-9, 1.0) for i, payoffs in enumerate([plain, more, more, plain])
    ]
    for prior in (OwnRows(1.0), us.Dirichlet(1.0)):
        with ThreadPoolExecutor(1) as pool:
            alone = [next(curve_engines.curves(world, prior, None, [task], pool)) for task in tasks]
            assert list(curve_engines.curves(world, prior, None, tasks, pool)) == alone
        assert [name for _, name in alone] == list("0123")
        assert alone[1][0] == ("_by_evaluation" if type(prior) is OwnRows else "_by_compiled_moves")


@pytest.mark.parametrize("name", [pytest.param("memory alone", marks=pytest.mark.slow), "everything"])
def test_intelligence_by_enumeration_and_by_splitting(name):
    world, payoffs = TAILS[name]
    policies = all_policies(world)
    values = product_values(world, payoffs, policies)
    order = np.argsort(values)
    for place in (len(order) // 2, -1):
        policy = policies[order[place]]
        exact = us.intelligence(KEY, world, policy, payoffs, method="enumerate")
        worst, best = value_range(world, payoffs)
        reach = values >= values[order[place]] - tie_tolerance(world, payoffs, worst, best)
        assert exact.value == pytest.approx(-math.log2(reach.mean())) and exact.std_error == 0
        found = us.intelligence(KEY, world, policy, payoffs, method="split", num_particles=512)
        assert abs(found.value - exact.value) <= 5 * math.hypot(found.std_error, math.log2(1 + 1 / 512))
        assert not found.is_lower_bound


def test_a_policy_that_memory_would_beat_is_the_rarest():
    """The best value with memory is out of reach: g is that of the best policy without."""
    world, payoffs = TAILS["memory alone"]
    policy, (_, best) = us.optimal_policy(world, payoffs), value_range(world, payoffs)
    assert value(world, policy, payoffs) < 0.95 * best
    assert us.intelligence(KEY, world, policy, payoffs).value == pytest.approx(5 * math.log2(3))


# Episodes


def corridor(horizon=None):
    """Four cells in a row, the last of which is absorbing; left and right."""
    links = np.array([[0, 1], [0, 2], [1, 3], [3, 3]])
    available = np.array([[True, True]] * 3 + [[True, False]])
    return us.world_model(np.eye(4)[links], np.full(4, 0.25), 0.8, available=available, horizon=horizon)


def recorded(world, *paths):
    """Decisions along paths of states in the corridor; a last state is recorded if it is held."""
    rows = []
    for episode, path in enumerate(paths):
        for t, (state, following) in enumerate(itertools.pairwise(path)):
            action = 0 if following == 3 == state else int(following > state)
            rows.append(dict(episode=episode, t=t, state=state, action=action, next_state=following))
    return us.read_behaviour(pd.DataFrame(rows), world)


PATHS = [(0, 1, 2, 3), (0, 0, 1, 0, 1, 2, 3), (2, 3, 3, 3), (1, 0, 1, 2, 1, 2, 3), (3, 3)]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("horizon", [None, 2, 9])
def test_episodes_are_worth_what_they_pay_step_by_step(horizon, seed):
    """The last state, which absorbs, is held to the horizon, or for ever."""
    world = corridor(horizon)
    stack = stack_payoffs([random_payoffs(seed, 4, (1, 3, 4)), random_payoffs(seed + 20, 4, (4, 4), plain=False)])
    found = episode_utilities(recorded(world, *PATHS), world, stack)
    for path, values in zip(PATHS, found, strict=True):
        length = 400 if horizon is None else horizon
        states = [*path, *[3] * length][: length + 1]
        actions = [0 if s == 3 else int(t > s) for s, t in itertools.pairwise(states)]
        expected = [worth(0.8, stack[u], states, actions) for u in range(2)]
        np.testing.assert_allclose(values, expected, **CLOSE)


def test_what_is_paid_for_holding_on():
    """Every other step in the last state, for ever: 1 + 0.8^2 + ... from the arrival at 0.8^3."""
    step, pay = np.array([[0, 0, 0, 1], [0, 0, 0, 0]]), np.array([[0.0, 0, 0, 1], [0, 0, 0, 0]])
    payoffs = us.Payoffs(np.zeros(4), None, np.zeros(0), np.zeros((0, 4), bool), np.ones(1), (automaton(step, pay),))
    for horizon, sum_of in ((None, 1 / (1 - 0.64)), (8, 1 + 0.64 + 0.64**2), (3, 1.0)):
        world = corridor(horizon)
        found = episode_utilities(recorded(world, PATHS[0]), world, stack_payoffs([payoffs]))
        assert found == pytest.approx(0.8**3 * sum_of)


# Action sequences


def random_graph(seed, num_states=4, **options):
    """A deterministic world in which some actions are not available."""
    rng = np.random.default_rng(seed)
    links = rng.integers(0, num_states, (num_states, 3))
    available = rng.random((num_states, 3)) < 0.7
    return us.world_model(
        np.eye(num_states)[links], rng.dirichlet(np.ones(num_states)), 0.8, available=available, **options
    )


def followed(world, choices, payoffs):
    """What `[H]` choices are worth in a deterministic world, from each start, step by step."""
    total = 0.0
    for start, chance in enumerate(world.initial):
        states, actions = [start], []
        for choice in choices:
            options = np.flatnonzero(world.available[states[-1]])
            actions.append(options[int(choice * len(options))])
            states.append(int(dense(world)[states[-1], actions[-1]].argmax()))
        total += chance * worth(float(world.discount), payoffs, states, actions)
    return total


@pytest.mark.parametrize("seed", range(2))
def test_action_sequences_are_worth_what_they_pay_step_by_step(seed):
    prior = us.ActionSequences(7)
    worlds = [comparison_world(random_graph(seed), prior), comparison_world(random_graph(seed + 1), prior)]
    worlds[1] = us.world_model(worlds[1].transition, worlds[1].initial, 0.8, available=worlds[0].available, horizon=7)
    together = us.possible_worlds(worlds, [3, 1])
    payoffs = [random_payoffs(seed, 4, (1, 3, 4), num_actions=3), random_payoffs(seed + 9, 4, (2, 3), num_actions=3)]
    stack, choices = stack_payoffs(payoffs), np.random.default_rng(seed).random((3, 7))
    batched = np.asarray(jax.jit(jax.vmap(lambda c: path_value(c, together, stack)))(jnp.asarray(choices)))
    for some, found in zip(choices, batched, strict=True):
        each = np.array([[followed(world, some, one) for one in payoffs] for world in worlds])
        np.testing.assert_allclose(found, np.average(each, axis=0, weights=[3, 1]), **CLOSE)
        np.testing.assert_allclose(path_value(jnp.asarray(some), worlds[0], payoffs[0]), each[0, 0], **CLOSE)
        policy = prior.policy(jnp.asarray(some), worlds[0])
        np.testing.assert_allclose(us.expected_utility(worlds[0], policy, payoffs[0]), each[0, 0], **CLOSE)


@pytest.mark.slow
def test_intelligence_among_action_sequences():
    """Exactly, and by splitting, against all sequences, each followed by hand."""
    world, horizon = us.gridworld(["...", "..G"], discount=0.9, initial=np.eye(6)[0]), 5
    # Paid for coming back to the start from the goal, and for each further step there.
    step, pay = np.array([[0, 0, 0, 0, 0, 1], [2, 1, 1, 1, 1, 1], [2, -1, -1, -1, -1, -1]]), np.zeros((3, 6))
    pay[0, 5], pay[1, 0], pay[2, 0], pay[0, 3] = 1.0, 3.0, 2.0, 0.1
    machine = automaton(step, pay)
    payoffs = us.Payoffs(np.zeros(6), None, np.zeros(0), np.zeros((0, 6), bool), np.ones(1), (machine,))
    prior = us.ActionSequences(horizon)
    numbers = (np.array(list(itertools.product(range(4), repeat=horizon))) + 0.5) / 4
    assert np.asarray(world.available).all()
    values = np.array([followed(world, choices, payoffs) for choices in numbers])
    policy = prior.policy(jnp.asarray(numbers[values.argmax()]), world)
    exact = us.intelligence(KEY, world, policy, payoffs, policy_prior=prior, method="enumerate")
    assert exact.value == pytest.approx(-math.log2(np.mean(values >= values.max() - 1e-9)))
    found = us.intelligence(KEY, world, policy, payoffs, policy_prior=prior, method="split", num_particles=512)
    assert abs(found.value - exact.value) <= 5 * math.hypot(found.std_error, math.log2(1 + 1 / 512))
    assert value_range(comparison_world(world, prior), payoffs)[1] == pytest.approx(values.max())

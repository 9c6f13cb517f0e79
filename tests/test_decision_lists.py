"""Decision lists: programs, their prior and their moves against enumeration, and what they change about g."""

import itertools
import math
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.csgraph

import utiliscope as us
from utiliscope import tails
from utiliscope.cache import described
from utiliscope.decision_lists import DecisionList

KEY = jax.random.key(0)


def tiny_world(num_states, features):
    transition = np.random.default_rng(0).dirichlet(np.ones(num_states), (num_states, 2))
    available = np.ones((num_states, 2), bool)
    available[1, 0] = False
    names = [f"s{i}" for i in range(num_states)]
    return us.world_model(
        transition,
        np.full(num_states, 1 / num_states),
        0.9,
        available=available,
        features=features,
        state_names=names,
        action_names=["stay", "go"],
    )


ONE = tiny_world(2, {"a": [True, False]})
TWO = tiny_world(4, {"a": [True, False, False, False], "same": [True] * 4, "x": [0.0, 1.0, 1.0, 0.0]})
PRIOR_ONE = us.DecisionLists(continue_probability=0.6, state_probability=0.3, max_rules=2)
PRIOR_TWO = us.DecisionLists(continue_probability=0.6, state_probability=0.3, and_probability=0.4, max_rules=2)
# Conditions by hand: text, probability, where it holds.
CONDITIONS_ONE = [("a", 0.35, [0]), ("not a", 0.35, [1]), ("@s0", 0.15, [0]), ("@s1", 0.15, [1])]
LITERALS_TWO = [("a", [0]), ("not a", [1, 2, 3]), ("x >= 1", [1, 2]), ("x < 1", [0, 3])]
CONDITIONS_TWO = [
    *[(name, 0.7 * 0.6 / 4, where) for name, where in LITERALS_TWO],
    *[
        (f"{a} and {b}", 0.7 * 0.4 / 16, sorted({*first} & {*second}))
        for (a, first), (b, second) in itertools.product(LITERALS_TWO, repeat=2)
    ],
    *[(f"@s{state}", 0.3 / 4, [state]) for state in range(4)],
]
CASES = {"one": (ONE, PRIOR_ONE, CONDITIONS_ONE), "two": (TWO, PRIOR_TWO, CONDITIONS_TWO)}


@cache
def programs(name):
    """Text to (probability, actions) of every program with at most two rules: prior and meaning written out plainly."""
    world, prior, conditions = CASES[name]
    more = prior.continue_probability
    lengths = {0: 1 - more, 1: more * (1 - more), 2: more**2}
    table = {}
    for number, chance in lengths.items():
        for rules in itertools.product(itertools.product(conditions, range(2)), repeat=number):
            for default in range(2):
                actions = []
                for state in range(world.num_states):
                    fits = [action for (_, _, where), action in rules if state in where]
                    tried = [action for action in [*fits, default, 0, 1] if world.available[state, action]]
                    actions.append(tried[0])
                mass = chance * math.prod(p / 2 for (_, p, _), _ in rules) / 2
                text = [f"if {condition}: {world.action_names[action]}" for (condition, _, _), action in rules]
                text.append(("else " if rules else "always ") + world.action_names[default])
                table["; ".join(text)] = mass, tuple(actions)
    return table


def drawn(name, number):
    """The distinct ones among `number` draws from the prior: text of each, and a stacked program."""
    world, prior, _ = CASES[name]
    batch = jax.jit(jax.vmap(lambda key: prior.draw(key, world)))(jax.random.split(KEY, number))
    flat = np.concatenate([np.asarray(x).reshape(number, -1) for x in batch], axis=1)
    _, first, counts = np.unique(flat, axis=0, return_index=True, return_counts=True)
    distinct = jax.tree.map(lambda x: x[first], batch)
    return [prior.describe(one, world) for one in each(distinct)], distinct, counts


def each(batch):
    """The programs of a stack."""
    return [DecisionList(*row) for row in zip(*map(np.asarray, batch), strict=True)]


@pytest.mark.slow
def test_draws_have_the_prior_and_do_what_they_say():
    world, prior, table = TWO, PRIOR_TWO, programs("two")
    texts, distinct, counts = drawn("two", 2**16)
    assert sum(mass for mass, _ in table.values()) == pytest.approx(1, rel=1e-12)
    assert len(set(texts)) == len(texts) and set(texts) <= set(table)
    mass = np.array([table[text][0] for text in texts])
    np.testing.assert_allclose(jax.vmap(lambda p: prior.log_prob(p, world))(distinct), np.log(mass), rtol=1e-12)
    np.testing.assert_allclose(jax.vmap(lambda p: prior.code_length(p, world))(distinct), -np.log2(mass), rtol=1e-12)
    # Each count is Binomial; those rarely seen are taken together.
    common = mass * counts.sum() > 30
    mass, counts = np.append(mass[common], 1 - mass[common].sum()), np.append(counts[common], counts[~common].sum())
    assert (np.abs(counts - 2**16 * mass) <= 5 * np.sqrt(2**16 * mass * (1 - mass))).all()
    actions = np.asarray(jax.vmap(lambda p: prior.policy(p, world))(distinct)).argmax(-1)
    assert [tuple(row) for row in actions] == [table[text][1] for text in texts]


@pytest.mark.parametrize(
    "name, number", [*(pytest.param("one", 2**power, marks=pytest.mark.slow) for power in (18, 22)), ("two", 2**17)]
)
def test_moves_leave_the_prior_invariant(name, number):
    """From the prior, as many go from one program to another as come back: detailed balance, five errors for each."""
    world, prior, _ = CASES[name]

    def codes(program):
        base = np.array([3, *[30] * 4, 2, 2, 2])
        digits = jnp.concatenate([jnp.asarray(x).reshape(-1) for x in program])
        return digits @ np.append(1, np.cumprod(base[:-1]))

    @jax.jit
    @jax.vmap
    def move(key):
        draw_key, move_key, accept_key = jax.random.split(key, 3)
        old = prior.draw(draw_key, world)
        new, log_ratio = prior.perturb(move_key, old, world)
        accept = jnp.log(jax.random.uniform(accept_key)) < log_ratio
        return codes(old), jnp.where(accept, codes(new), codes(old)), new.length - old.length, log_ratio

    old, new, growth, log_ratio = map(np.asarray, move(jax.random.split(KEY, number)))
    assert set(np.unique(growth)) == {-1, 0, 1} and (log_ratio[growth == 0] == 0).all()
    low, high = np.minimum(old, new), np.maximum(old, new)
    pairs, where = np.unique(np.stack([low, high])[:, old != new], axis=1, return_inverse=True)
    rises = np.where(old < new, 1, -1)[old != new]
    flow, total = np.bincount(where.ravel(), rises), np.bincount(where.ravel())
    enough = total >= 30
    assert enough.sum() > 60 and pairs.shape[1] > 500
    assert (np.abs(flow[enough]) <= 5 * np.sqrt(total[enough])).all()
    # Among those that are too rare one by one the flows must be as small as chance makes them, taken together.
    chi = (flow**2 / total).sum()
    assert abs(chi - len(flow)) <= 5 * np.sqrt(2 * len(flow))


def test_moves_reach_every_program():
    texts, distinct, _ = drawn("one", 2**16)
    assert set(texts) == set(programs("one"))
    move = jax.vmap(jax.vmap(lambda key, program: PRIOR_ONE.perturb(key, program, ONE)[0], (0, None)), (None, 0))
    moved = jax.jit(move)(jax.random.split(KEY, 2000), distinct)
    flat, ends = (
        np.concatenate([np.asarray(x).reshape(len(texts), n, -1) for x in batch], axis=2)
        for batch, n in ((distinct, 1), (moved, 2000))
    )
    number = {row.tobytes(): i for i, row in enumerate(flat[:, 0])}
    links = np.zeros((len(texts), len(texts)))
    for i, rows in enumerate(ends):
        links[i, [number[row.tobytes()] for row in np.unique(rows, axis=0)]] = 1
    assert scipy.sparse.csgraph.connected_components(links, directed=True, connection="strong")[0] == 1


@pytest.mark.slow
def test_value_tail_and_intelligence_against_all_programs():
    utility = np.random.default_rng(3).normal(size=(4, 2))
    table = programs("two").values()
    mass = np.array([chance for chance, _ in table])
    number, which = np.unique([actions for _, actions in table], axis=0, return_inverse=True)
    values = np.array([us.expected_utility(TWO, np.eye(2)[actions], utility) for actions in number])
    mass = np.bincount(which.ravel(), mass)
    bits = np.array([-np.log2(mass[values >= value - 1e-9].sum()) for value in values])
    assert bits.max() > 4 and len(values) == 8
    tail = us.value_tail(KEY, TWO, utility, policy_prior=PRIOR_TWO)
    assert (np.abs(tail.bits(values) - bits) <= 5 * tail.std_error(values) + 1e-9).all()
    assert tail.bits(values.max() + 1) == np.inf
    policy = np.eye(2)[number[np.argsort(bits)[-2]]]
    g = us.intelligence(KEY, TWO, policy, utility, policy_prior=PRIOR_TWO, num_particles=2048)  # by Monte Carlo
    assert abs(g.value - np.sort(bits)[-2]) <= 5 * g.std_error
    with pytest.raises(us.InputError, match="enumeration"):
        us.intelligence(KEY, TWO, policy, utility, policy_prior=PRIOR_TWO, method="enumerate")


def mass_within(prior, world, allowed):
    """xi of all policies that take an allowed `[S, A]` action everywhere, exactly, without enumerating programs.

    f_n of a set of states that no rule has reached yet is the chance that n more rules and the default do no wrong.
    """
    allowed, available = np.asarray(allowed), np.asarray(world.available)
    free = np.flatnonzero((~allowed & available).any(-1))
    sets, place = np.arange(2 ** len(free)), 1 << np.arange(len(free))
    literals = [row for values in world.features.values() for row in (values, ~values)]  # bool features only
    joins = prior.and_probability if len(literals) > 2 else 0
    names = prior.state_probability if literals else 1
    conditions = [(names / world.num_states, row) for row in np.eye(world.num_states, dtype=bool)]
    conditions += [((1 - names) * (1 - joins) / len(literals), row) for row in literals]
    conditions += [((1 - names) * joins / len(literals) ** 2, a & b) for a in literals for b in literals]
    rules = {}
    for chance, holds in conditions:
        for action in range(world.num_actions):
            covered = (holds & available[:, action])[free]
            wrong = covered & ~allowed[free, action]
            effect = int(place @ covered), int(place @ wrong)
            rules[effect] = rules.get(effect, 0) + chance / world.num_actions
    ahead = np.zeros(len(sets))
    for default in range(world.num_actions):
        action = np.where(available[free, default], default, available[free].argmax(-1))
        ahead += (sets & int(place @ ~allowed[free, action]) == 0) / world.num_actions
    more, total = prior.continue_probability, 0.0
    for number in range(prior.max_rules + 1):
        total += more**number * (1 - more if number < prior.max_rules else 1) * ahead[-1]
        ahead = sum(p * np.where(sets & wrong == 0, ahead[sets & ~covered], 0) for (covered, wrong), p in rules.items())
    return total


def test_every_policy_has_mass_if_there_are_rules_enough():
    """Exact masses by sets agree with those of all programs; one rule for each state but one reaches all policies."""
    table = programs("one")
    for actions in itertools.product(range(2), range(1, 2)):
        expected = sum(mass for mass, does in table.values() if does == actions)
        assert mass_within(PRIOR_ONE, ONE, np.eye(2, dtype=bool)[list(actions)]) == pytest.approx(expected, rel=1e-12)
    plain = us.world_model(np.full((4, 3, 4), 0.25), np.full(4, 0.25), 0.9)
    policies = [np.eye(3, dtype=bool)[list(actions)] for actions in itertools.product(range(3), repeat=4)]
    masses = [mass_within(us.DecisionLists(max_rules=3), plain, policy) for policy in policies]
    assert min(masses) > 0 and sum(masses) == pytest.approx(1, rel=1e-12)
    assert mass_within(us.DecisionLists(max_rules=1), plain, np.eye(3, dtype=bool)[[0, 1, 2, 1]]) == 0


SIMPLE_WAY = us.gridworld("....\n....\n....\nbbbG", discount=0.9)
MAZE = us.gridworld("..#G\n#.#.\n..#.\n.#..\n....", discount=0.9)


def best_actions(world):
    """`[S, A]` which actions lead to G fastest; all where it has been reached."""
    goal = np.asarray(world.features["G"])
    value = goal * 1.0
    for _ in range(50):
        ahead = np.where(goal[:, None], 1.0, 0.9 * np.asarray(world.transition) @ value)
        value = ahead.max(-1)
    return ahead >= value[:, None] - 1e-9


def bits_of(world, allowed):
    """g against flat and against simplicity-weighted policies, of a policy best for a utility met by `allowed`."""
    flat = np.log2(world.num_actions / np.asarray(allowed).sum(-1)).sum()
    return flat, -np.log2(mass_within(us.DecisionLists(), world, allowed))


def test_what_a_policy_takes_to_spell_out_bounds_what_it_earns_by_matching():
    """THEORY section 5, trap 1. A utility that spells out a policy in these rules costs K >= -log2 xi({policy})."""
    left, arbitrary = np.full(16, 2), np.random.default_rng(0).integers(4, size=16)
    flat, lists = bits_of(SIMPLE_WAY, np.eye(4, dtype=bool)[left])
    always_left = DecisionList(jnp.array(0), jnp.zeros((32, 2), int), jnp.zeros(32, int), jnp.array(2))
    shortest = us.DecisionLists().code_length(always_left, SIMPLE_WAY)
    # Simple: a flat prior credits the reflex with 29 bits more than it takes to say; this one with none.
    assert (flat, shortest, lists) == (32, pytest.approx(3), pytest.approx(2.687, abs=1e-3))
    # Incompressible: g is larger than under the flat prior, and K at least as large again.
    flat, lists = bits_of(SIMPLE_WAY, np.eye(4, dtype=bool)[arbitrary])
    assert (flat, lists) == (32, pytest.approx(75.188, abs=1e-3))


def test_goals_earn_bits_where_no_simple_policy_reaches_them():
    way, maze = bits_of(SIMPLE_WAY, best_actions(SIMPLE_WAY)), bits_of(MAZE, best_actions(MAZE))
    assert way == (21, pytest.approx(6.051, abs=1e-3)) and maze == (27, pytest.approx(68.035, abs=1e-3))
    # g - K: "if b: right; else down" shows no goal; the way through the maze shows one, by more than against flat.
    length = [us.Grammar(world).code_length("reach(G)") for world in (SIMPLE_WAY, MAZE)]
    assert length == pytest.approx([7 + math.log2(8 / 5), 6 + math.log2(8 / 5)])


@pytest.mark.slow
def test_splitting_is_unbiased_and_its_error_is_as_stated():
    """Repeated: 2^-g of the best way through the simple world has the exact mean."""
    exact = bits_of(SIMPLE_WAY, best_actions(SIMPLE_WAY))[1]
    utility = us.Grammar(SIMPLE_WAY).parse("reach(G)")
    policy = us.optimal_policy(SIMPLE_WAY, utility)
    settings = dict(policy_prior=us.DecisionLists(), method="split", num_particles=256)
    runs = [us.intelligence(key, SIMPLE_WAY, policy, utility, **settings) for key in jax.random.split(KEY, 24)]
    chance = 2.0 ** -np.array([run.value for run in runs])
    assert abs(chance.mean() - 2**-exact) <= 5 * chance.std(ddof=1) / np.sqrt(len(runs))
    spread = np.std([run.value for run in runs], ddof=1)
    stated = np.sqrt(np.mean([run.std_error**2 for run in runs]))
    assert 0.5 < spread / stated < 1.6


def test_without_features_states_are_named():
    plain = us.world_model(np.full((4, 3, 4), 0.25), np.full(4, 0.25), 0.9, features={"all": [True] * 4})
    prior = us.DecisionLists(max_rules=3)
    program = DecisionList(jnp.array(1), jnp.array([[2, 0], [0, 0], [0, 0]]), jnp.array([1, 0, 0]), jnp.array(0))
    assert prior.describe(program, plain) == "if @1: 1; else 0"
    assert prior.code_length(program, plain) == pytest.approx(2 + 2 + 2 * math.log2(3))
    with pytest.raises(us.InputError, match="nothing to speak of"):
        us.DecisionLists(state_probability=0).sample(KEY, plain)


def test_float_features_have_few_thresholds_and_float32_runs_keep_their_types():
    world = us.world_model(
        np.full((100, 1, 100), 0.01), np.full(100, 0.01), 0.9, features={"x": np.arange(100.0), "b": np.arange(100) < 9}
    )
    prior = us.DecisionLists(continue_probability=0.9, state_probability=0)
    texts = set()
    with jax.enable_x64(False):
        keys = jax.random.split(KEY, 200)
        batch = jax.jit(jax.vmap(lambda key: prior.draw(key, world)))(keys)
        moved, _ = jax.jit(jax.vmap(lambda key, program: prior.perturb(key, program, world)))(keys, batch)
        assert jax.tree.map(lambda x: x.dtype, moved) == jax.tree.map(lambda x: x.dtype, batch)
    for one in each(moved):
        text = prior.describe(one, world)
        texts |= {part for rule in text.split("; ") for part in rule.removeprefix("if ").split(":")[0].split(" and ")}
    literals = {text for text in texts if text.startswith(("x", "b", "not b"))}
    assert len(literals) == 2 * 16 + 2 and {"x >= 1", "x < 99", "b", "not b"} <= literals


@pytest.mark.parametrize(
    "options, message",
    [
        ({"continue_probability": 1}, "continue_probability=1.0"),
        ({"state_probability": -0.1}, "from 0 to 1"),
        ({"and_probability": 1}, "and_probability"),
        ({"max_rules": 0}, "max_rules"),
    ],
)
def test_bad_parameters_are_refused(options, message):
    with pytest.raises(us.InputError, match=message):
        us.DecisionLists(**options)


def test_all_parameters_enter_the_name_under_which_tails_are_kept():
    others = {"continue_probability": 0.4, "state_probability": 0.2, "and_probability": 0.1, "max_rules": 9}
    names = {described(us.DecisionLists(**{name: value})) for name, value in others.items()}
    assert len(names | {described(us.DecisionLists())}) == 5


def test_worlds_that_differ_in_features_do_not_share_a_tail(monkeypatch):
    names = set()

    def found(kind, name):
        names.add(name)
        return tails.curve_of_constant(0.0, 1e-9)

    monkeypatch.setattr(tails, "found", found)
    for features in ({"a": [True, False]}, {"b": [False, True], "x": [0.0, 1.0]}):
        us.value_tail(KEY, tiny_world(2, features), np.eye(2), policy_prior=us.DecisionLists())
    assert len(names) == 2

"""Compiled moves of rows: against fresh dense solves, and against exact draws of the law that they leave invariant."""

import itertools

import numpy as np
import pytest
from populations import LevelByLevel, watched
from threadpoolctl import threadpool_limits

import utiliscope as us
from utiliscope import memoryless_kernels, row_kernels, row_splitting, splitting
from utiliscope.chains import memoryless_chains as chains
from utiliscope.payoffs import as_payoffs
from utiliscope.planning import tie_tolerance, value_range
from utiliscope.row_splitting import Patches, WholeInverses, draw_rows, row_problem
from utiliscope.splitting import split
from utiliscope.world.possible import weighted_worlds
from utiliscope.world.transition import SparseTransition

AVAILABLE = np.array([[True, True, True], [True, True, False], [True, False, True], [False, True, False]])
DETERMINISTIC = us.UniformDeterministic()
UNEVEN = np.array([[0.4, 3.0, 1.0], [2.0, 0.7, 1.0], [1.0, 1.0, 1.0], [5.0, 1.0, 1.0]])


@pytest.fixture(autouse=True)
def one_thread():
    with threadpool_limits(1, "blas"):
        yield


def random_world(seed, discount=0.8, sparse=False):
    rng = np.random.default_rng(seed)
    transition = rng.dirichlet(np.ones(4) * 0.5, (4, 3))
    if sparse:
        transition = us.sparse_transition(rng.integers(0, 4, (4, 3, 2)), np.full((4, 3, 2), 0.5))
    return us.world_model(transition, rng.dirichlet(np.ones(4)), discount, available=AVAILABLE)


def random_payoffs(seed):
    """Payoffs a step, for actions, and for two sets to be reached: three chains."""
    rng = np.random.default_rng(seed)
    return us.Payoffs(rng.normal(size=4), rng.normal(size=(4, 3)), rng.normal(size=2), np.eye(4, dtype=bool)[:2])


def grid(size, discount=0.9, **options):
    world = us.gridworld(["." * size] * (size - 1) + ["." * (size - 1) + "G"], discount=discount, **options)
    return world, as_payoffs(world, world.features["G"])


def gate(seed):
    """States 2 and 3 lie behind state 1, one of the sets to be reached: its chain ends before it comes to them."""
    rng = np.random.default_rng(seed)
    next_state = np.array([[0, 1], [2, 3], [2, 3], [2, 3]])[:, None].repeat(3, 1)
    transition = us.sparse_transition(next_state, rng.dirichlet(np.ones(2), (4, 3)))
    return us.world_model(transition, [0.7, 0.3, 0, 0], 0.8, available=AVAILABLE), random_payoffs(seed)


PROBLEMS = {
    "three chains": (random_world(4), random_payoffs(4)),
    "steps": (random_world(5, 0.99), as_payoffs(random_world(5), np.array([1.0, -0.4, 0.1, 0.0]))),
    "sparse": (random_world(6, sparse=True), random_payoffs(6)),
    "gate": gate(2),
    "sparse grid": grid(4, slip=0.2, sparse=True),
    "possible": (us.possible_worlds([random_world(7), random_world(8, 0.9)], [1, 3]), random_payoffs(7)),
    "sparse and dense": (us.possible_worlds([random_world(9, sparse=True), random_world(1)]), random_payoffs(8)),
}


def dense(world):
    return np.asarray(world.transition.dense() if isinstance(world.transition, SparseTransition) else world.transition)


def fresh(world, payoffs, policy):
    """`[N]` values, `[N, C, S]` values to come and visits, `[N, C, S, S]` inverses, one dense matrix at a time."""
    ahead, visits, inverses = [], [], []
    for weight, one in weighted_worlds(world):
        table = dense(one)
        for goes_on, paid in zip(*chains(one, payoffs), strict=True):
            step = float(one.discount) * goes_on[:, None] * np.einsum("nsa,sat->nst", policy, table)
            inverses.append(np.linalg.inv(np.eye(world.num_states) - step))
            ahead.append((inverses[-1] @ (policy * paid).sum(-1)[..., None])[..., 0])
            visits.append(weight * np.asarray(one.initial) @ inverses[-1])
    ahead, visits, inverses = (np.stack(part, 1) for part in (ahead, visits, inverses))
    pay = np.concatenate([chains(one, payoffs)[1] for _, one in weighted_worlds(world)])
    return np.einsum("ncs,nsa,csa->n", visits, policy, pay), ahead, visits, inverses


def following(world, payoffs):
    """`[C, S, S]` which states may follow on which in each chain."""
    found = []
    for _, one in weighted_worlds(world):
        possible = ((dense(one) > 0) & np.asarray(one.available)[:, :, None]).any(1)
        found += [goes_on[:, None] & possible for goes_on in chains(one, payoffs)[0]]
    return np.array(found)


def assert_nodes(problem, mine, expected):
    """Values to come, visits and inverses of a population, by nodes, are those by states; no state is left out."""
    num_chains = len(problem.weight)
    assert {part.shape[1] for part in (*mine, *expected)} == {num_chains}
    for c in range(num_chains):
        nodes = np.flatnonzero(problem.home[c] >= 0)
        states = problem.home[c, nodes]
        assert len(set(states)) == len(states)
        for part, whole in zip(mine, expected, strict=False):
            block = whole[:, c, states]
            if whole.ndim == 4:
                np.testing.assert_allclose(part[:, c, nodes][..., nodes], block[..., states], **CLOSE)
            else:
                np.testing.assert_allclose(part[:, c, nodes], block, **CLOSE)
        # A state without a node is one that the chain never comes to.
        assert not np.delete(expected[1][:, c], states, -1).any()


def assert_policies(policy, world, prior):
    assert not policy[:, ~np.asarray(world.available)].any() and (policy >= 0).all()
    np.testing.assert_allclose(policy.sum(-1), 1.0, rtol=1e-12)
    if prior.atomic:
        assert set(np.unique(policy)) == {0.0, 1.0}


CLOSE = dict(rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("prior", [DETERMINISTIC, us.Dirichlet(0.3)])
@pytest.mark.parametrize("name", PROBLEMS)
def test_moves_with_whole_inverses_keep_them_exact(name, prior):
    world, payoffs = PROBLEMS[name]
    random = np.random.default_rng(0)
    drawn = draw_rows(random, prior, np.asarray(world.available), 32)
    population = LevelByLevel(random, row_problem(world, payoffs, prior), drawn.copy(), 1)
    order = np.argsort(population.values)
    level = population.values[order[15]] + 1e-9
    population.copy(order[:16], order[16:])
    before = population.policy.copy()
    for _ in range(15):
        population.move(np.arange(32), level)
    assert (population.age == 15).all()
    values, *parts = fresh(world, payoffs, population.policy)
    np.testing.assert_allclose(population.values, values, **CLOSE)
    assert_nodes(population.problem, (population.ahead, population.visits, population.inverse), parts)
    for n in (0, 20):
        assert population.values[n] == pytest.approx(float(us.expected_utility(world, population.policy[n], payoffs)))
    assert (population.values > level).all()
    assert_policies(population.policy, world, prior)
    moved = (population.policy != before).any((0, 2))
    assert (np.flatnonzero(moved) == row_problem(world, payoffs, prior).rows).all()


@pytest.mark.parametrize("prior", [DETERMINISTIC, us.Dirichlet(0.3)])
@pytest.mark.parametrize("name", PROBLEMS)
def test_moves_with_patches_keep_their_blocks_exact(name, prior, monkeypatch):
    world, payoffs = PROBLEMS[name]
    monkeypatch.setattr(row_splitting, "_PATCH", 3)
    seen = []

    def check(rows, row_place, column_place, particles):
        policy, table, values, _ = particles
        inverse, ahead, visits = table[:, :, :-1, :-1], table[:, :, :-1, -1], table[:, :, -1, :-1]
        value, *parts = fresh(world, payoffs, policy)
        np.testing.assert_allclose(values, value, **CLOSE)
        for c, home in enumerate(problem.home):
            own, onward = problem.chains[0][c, rows], problem.chains[2][c, rows]
            own, towards = own[own >= 0], np.unique(onward[onward >= 0])
            # All of the block's states that the chain comes to, and all that these lead to.
            states, ends = home[own], home[towards]
            assert set(states) == set(rows) & set(home)
            assert set(ends) == set(np.flatnonzero(follow[c, states].any(0)))
            np.testing.assert_allclose(ahead[:, c, row_place[c, towards]], parts[0][:, c, ends], **CLOSE)
            np.testing.assert_allclose(visits[:, c, column_place[c, own]], parts[1][:, c, states], **CLOSE)
            block = inverse[:, c, row_place[c, towards]][..., column_place[c, own]]
            np.testing.assert_allclose(block, parts[2][:, c, ends][..., states], **CLOSE)
        seen.append(rows)

    follow = following(world, payoffs)
    random = np.random.default_rng(1)
    problem = row_problem(world, payoffs, prior)
    population = Patches(random, problem, draw_rows(random, prior, np.asarray(world.available), 4), 2)
    monkeypatch.setattr(row_splitting, "kernels", watched(row_splitting.kernels, problem, check))
    for warmth in (1.0, 0.01):
        for n in range(4):
            seen.clear()
            population.sweep(n, warmth)
            # Every row that may change is in one block.
            assert (np.sort(np.concatenate(seen)) == problem.rows).all()
    np.testing.assert_allclose(population.values, fresh(world, payoffs, population.policy)[0], **CLOSE)
    assert_policies(population.policy, world, prior)


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 6))])
@pytest.mark.parametrize("prior", [DETERMINISTIC, us.Dirichlet(1.0)])
def test_values_do_not_drift_from_ties(prior, seed):
    """Two values that tie must stay within the tolerance of one another, up to the next fresh inverse."""
    world, payoffs = grid(10, 0.99)
    random = np.random.default_rng(seed)
    population = LevelByLevel(
        random, row_problem(world, payoffs, prior), draw_rows(random, prior, world.available, 12), 1
    )
    # A particle may move at every level before its age is looked at.
    most = row_splitting._MOST_AGED + splitting.LEVELS_AT_ONCE
    for _ in range(most):
        population.move(np.arange(12), -np.inf)
    assert (population.age == most).all()
    drift = np.abs(population.values - fresh(world, payoffs, population.policy)[0]).max()
    assert drift < 0.01 * tie_tolerance(world, payoffs, *value_range(world, payoffs))


@pytest.mark.parametrize("prior", [DETERMINISTIC, us.Dirichlet(0.3), us.Dirichlet(1.0)])
@pytest.mark.parametrize("name", ["one chain", pytest.param("three chains", marks=pytest.mark.slow)])
def test_climbing_in_one_go_is_that_level_by_level(name, prior):
    payoffs, runs = CHAINS[name], []
    best = value_range(WORLD, payoffs)[1]
    ends = dict(tolerance=1e-9, best=best, reach=0.99, stop_at=np.inf, max_bits=100)
    for kind in (WholeInverses, LevelByLevel):
        random = np.random.default_rng(3)
        problem = row_problem(WORLD, payoffs, prior)
        population = kind(random, problem, draw_rows(random, prior, np.asarray(WORLD.available), 64), 1)
        runs.append((population, split(population, random, **ends)))
    (one, run), (other, steps) = runs
    assert run.survivors == steps.survivors and len(run.survivors) > 3
    assert one.proposed == other.proposed and one.accepted == other.accepted
    for killed, dead in zip(run.killed, steps.killed, strict=True):
        np.testing.assert_array_equal(killed, dead)
    np.testing.assert_array_equal(one.policy, other.policy)


def test_old_inverses_are_made_afresh():
    world, payoffs = grid(5, 0.9)
    random = np.random.default_rng(3)
    drawn = draw_rows(random, DETERMINISTIC, np.asarray(world.available), 8)
    population = LevelByLevel(random, row_problem(world, payoffs, DETERMINISTIC), drawn, 1)
    ages = (row_splitting._MOST_AGED, row_splitting._MOST_AGED - 1)
    for n, age in enumerate(ages):
        population.age[n] = age
        population.table[n] *= 1.001
    population.refresh()
    assert population.age[:2].tolist() == [0, ages[1]]
    inverse = fresh(world, payoffs, population.policy)[3][:, 0]
    np.testing.assert_allclose(population.inverse[0, 0], inverse[0], **CLOSE)
    assert not np.allclose(population.inverse[1, 0], inverse[1])


# What moves leave invariant


WORLD, PAYOFFS = PROBLEMS["three chains"]
OPTIONS = itertools.product(*map(np.flatnonzero, AVAILABLE))
POLICIES = np.eye(3)[np.array(list(OPTIONS))]
LAWS = {"level": (0.4, 0.0), "warmth": (0.0, 0.25), "both": (0.4, 0.25)}


# Of one chain, what is above a level is a half-space of each row; of three, it is found by slices.
CHAINS = {"one chain": us.Payoffs(PAYOFFS.state, PAYOFFS.action, np.zeros(2), PAYOFFS.targets), "three chains": PAYOFFS}


@pytest.fixture(params=CHAINS)
def payoffs_of_chains(request, monkeypatch):
    monkeypatch.setitem(globals(), "PAYOFFS", CHAINS[request.param])


def limits(law):
    """The level and the warmth of a law: a share of random policies below, and a share of the range of values."""
    share, part = LAWS[law]
    values = fresh(WORLD, PAYOFFS, POLICIES)[0]
    # Between two values, so that none is at the level.
    level = np.sort(values)[[int(share * len(values)), int(share * len(values)) + 1]].mean() if share else -np.inf
    return level, part * np.ptp(values)


def moved(random, policy, prior, law, moves):
    """Policies after `moves` changes of rows each."""
    level, warmth = limits(law)
    problem = row_problem(WORLD, PAYOFFS, prior)
    all_of = WholeInverses(random, problem, policy.copy(), 1)
    which = np.arange(len(policy))
    all_of.moves.move(random, which, level, warmth, moves, all_of.particles)
    return all_of.policy


def swept(random, policy, prior, law, sweeps):
    """Policies after sweeps of patches."""
    population = Patches(random, row_problem(WORLD, PAYOFFS, prior), policy.copy(), 1)
    for _ in range(sweeps):
        for n in range(len(policy)):
            population.sweep(n, limits(law)[1])
    return population.policy


def exact(random, concentration, law, number):
    """Independent draws, by rejection; concentration None: deterministic ones."""
    level, warmth = limits(law)
    kept = []
    while sum(map(len, kept)) < number:
        policy = POLICIES[random.integers(0, len(POLICIES), 20_000)]
        if concentration is not None:
            gamma = np.where(AVAILABLE, random.standard_gamma(concentration, (20_000, 4, 3)), 0.0)
            policy = gamma / gamma.sum(-1, keepdims=True)
        values = fresh(WORLD, PAYOFFS, policy)[0]
        passes = values > level
        if warmth:
            best = value_range(WORLD, PAYOFFS)[1]
            passes &= random.random(20_000) < np.exp((values - best) / warmth)
        kept.append(policy[passes])
    return np.concatenate(kept)[:number]


def cells(policy):
    """`[N, 12]` which of the deterministic policies each one is."""
    return (policy[:, None] == POLICIES).all((2, 3)) * 1.0


def features(policy):
    """`[N, F]` whose means say whether two samples have one law: moments and quantiles of values and rows."""
    values = fresh(WORLD, PAYOFFS, policy)[0]
    steps = values[:, None] > np.quantile(fresh(WORLD, PAYOFFS, POLICIES)[0], [0.3, 0.5, 0.6, 0.7, 0.8, 0.9])
    rows = policy[:, AVAILABLE]
    parts = [values[:, None], values[:, None] ** 2, steps, rows, rows**2]
    return np.concatenate([*parts, *(rows < edge for edge in (1e-6, 0.01, 0.1, 0.5, 0.9))], -1)


def assert_same_law(found, reference):
    error = np.sqrt(found.var(0) / len(found) + reference.var(0) / len(reference))
    # Of a rare event that one sample has not seen.
    error = np.maximum(error, 1 / min(len(found), len(reference)))
    assert (np.abs(found.mean(0) - reference.mean(0)) <= 5 * error).all()


@pytest.mark.parametrize("name", ["steps", "gate", "possible", "sparse grid"])
def test_moves_without_memory_are_those_of_one_memory(name):
    """Both kernels take the same steps from the same random numbers."""
    world, payoffs = PROBLEMS[name]
    problem = row_problem(world, payoffs, DETERMINISTIC)
    assert row_splitting.kernels(problem) is memoryless_kernels
    ends = []
    for moves in (memoryless_kernels, row_kernels):
        random = np.random.default_rng(11)
        drawn = draw_rows(random, DETERMINISTIC, np.asarray(world.available), 32)
        population = LevelByLevel(random, problem, drawn, 1)
        move = moves.moves(problem, problem.rows, population.place, population.place).move
        level = np.median(population.values) + 1e-9
        move(random, np.arange(32), level, 0.1, 50, population.particles)
        ends.append(population)
    one, other = ends
    assert one.accepted[0] == other.accepted[0] > 20
    np.testing.assert_array_equal(one.policy, other.policy)
    np.testing.assert_allclose(one.table, other.table, **CLOSE)


# Each law and each kind of rows is run from afar in some fast case; all, with more policies, in the slow ones.
AFAR = {(0.3, "level"), (0.3, "warmth"), ("uneven", "both"), *((None, law) for law in LAWS)}
CASES = list(itertools.product([None, 0.3, "uneven", 1.0, 2.5], LAWS, ["exact", "one point"]))
FAST = [case for case in CASES if case[0] not in (1.0, 2.5) and (case[2] == "exact" or case[:2] in AFAR)]


@pytest.mark.parametrize(
    ("concentration", "law", "start", "number"),
    [*((*case, 3_000) for case in FAST), *(pytest.param(*case, 8_000, marks=pytest.mark.slow) for case in CASES)],
)
@pytest.mark.usefixtures("payoffs_of_chains")
def test_moves_leave_their_law_invariant_and_forget_their_start(concentration, law, start, number):
    random = np.random.default_rng(3)
    concentration = UNEVEN if concentration == "uneven" else concentration
    prior, of = (DETERMINISTIC, cells) if concentration is None else (us.Dirichlet(concentration), features)
    reference, before = (exact(random, concentration, law, number) for _ in range(2))
    before = before if start == "exact" else np.repeat(before[:1], number, 0)
    found = moved(random, before, prior, law, 3 if start == "exact" else 200)
    assert (found != before).any()
    assert_same_law(of(found), of(reference))


@pytest.mark.parametrize("concentration", [0.3, 1.0])
@pytest.mark.usefixtures("payoffs_of_chains")
def test_rows_without_some_actions_come_back(concentration):
    """Shares of 0 exactly, as numbers too small to write down leave them."""
    random, number = np.random.default_rng(5), 4_000
    corner = np.repeat(POLICIES[:1], number, 0)
    found = moved(random, corner, us.Dirichlet(concentration), "warmth", 200)
    assert_same_law(features(found), features(exact(random, concentration, "warmth", number)))


@pytest.mark.parametrize("concentration", [1e-3, 1e-2, 1e6])
@pytest.mark.usefixtures("payoffs_of_chains")
def test_extreme_rows_stay_rows(concentration):
    random, prior = np.random.default_rng(6), us.Dirichlet(concentration)
    drawn = draw_rows(random, prior, AVAILABLE, 500)
    assert ((drawn == 0).sum() > 500 * 5) == (concentration < 0.002)
    for law in LAWS:
        start = drawn[fresh(WORLD, PAYOFFS, drawn)[0] > limits(law)[0]]
        if len(start):
            found = moved(random, start, prior, law, 300)
            assert_policies(found, WORLD, prior)
            assert (fresh(WORLD, PAYOFFS, found)[0] > limits(law)[0]).all() and (found != start).any()


def test_the_only_policy_above_a_level_stays():
    values = fresh(WORLD, PAYOFFS, POLICIES)[0]
    best, random = POLICIES[[values.argmax()] * 3], np.random.default_rng(7)
    population = LevelByLevel(random, row_problem(WORLD, PAYOFFS, DETERMINISTIC), best.copy(), 1)
    population.move(np.arange(3), np.sort(values)[-2:].mean())
    np.testing.assert_array_equal(population.policy, best)
    assert population.accepted[0] == 0 and population.proposed == 3 * population.num_moves


@pytest.mark.slow
@pytest.mark.parametrize("concentration", [None, 0.3])
def test_sweeps_of_patches_forget_their_start(concentration, monkeypatch):
    monkeypatch.setattr(row_splitting, "_PATCH", 2)
    random, number = np.random.default_rng(4), 500
    prior, of = (DETERMINISTIC, cells) if concentration is None else (us.Dirichlet(concentration), features)
    before = np.repeat(exact(random, concentration, "warmth", 1), number, 0)
    assert_same_law(of(swept(random, before, prior, "warmth", 3)), of(exact(random, concentration, "warmth", 20_000)))

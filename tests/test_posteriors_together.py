"""Bits of many recordings under vmap: against closed forms, one by one, and alone."""

import jax
import numpy as np
import pytest
from test_marginal import LAWS, bandit, of_bandit, small_world

import utiliscope as us
from utiliscope.automata import Automaton
from utiliscope.marginal import LawTables, evidence
from utiliscope.payoffs import as_payoffs, stack_payoffs
from utiliscope.posterior_bits import gauge, posterior_bits
from utiliscope.posteriors_together import posterior_bits_together

KEY = jax.random.key(0)
TABLES = LawTables(LAWS)


def read(counts, measure, keys=None, **options):
    keys = jax.random.split(KEY, len(counts)) if keys is None else keys
    options = dict(num_particles=128, num_lanes=4) | options
    return posterior_bits_together(
        keys, [np.asarray(some, float) for some in counts], measure, tables=TABLES, **options
    )


@pytest.mark.parametrize(
    "recordings",
    [
        [(5, 1, 2), (20, 0, 0), (0, 20, 3)],
        pytest.param([(0, 0, 0), (100, 0, 0), (300, 0, 0), (1, 2, 200), (5, 5, 5)], marks=pytest.mark.slow),
    ],
)
def test_bandits(recordings):
    """More recordings than lanes: each takes the place of one that is done."""
    world, payoffs = bandit(3)
    found = read([[one] for one in recordings], gauge(KEY, world, payoffs), num_lanes=2)
    for counts, bits in zip(recordings, found, strict=True):
        found = evidence(bits, TABLES)
        assert (np.abs(found.log_evidence[:, 0] - of_bandit(counts)) <= 5 * found.std_error[:, 0] + 1e-9).all()
        assert (found.std_error < 1.0).all() and not found.cut.any()


@pytest.mark.slow
@pytest.mark.parametrize("counts", [(12, 1, 1), (100, 0, 0), (40, 20, 9, 5)])
def test_errors_are_those_of_repetitions(counts):
    """Sixty lanes of one recording; the value tail, which all share, is had further and with many more particles."""
    world, payoffs = bandit(len(counts))
    measure, number = gauge(KEY, world, payoffs, num_particles=8192, reach=0.9999), 60
    found = [evidence(bits, TABLES) for bits in read([[counts]] * number, measure, num_particles=64, num_lanes=16)]
    ratios = [(one.log_evidence[1:, 0] - of_bandit(counts)[1:]) / one.std_error[1:, 0] for one in found]
    print(counts, np.mean(ratios, 0).round(2), np.std(ratios, 0).round(2))
    # Of normal scores five standard errors; the logarithm's own bias adds what a fifth of an error comes to.
    assert (np.abs(np.mean(ratios, 0)) < 0.2 + 5 / np.sqrt(number)).all()
    square = np.mean(np.square(ratios), 0)
    assert (square < 1 + 5 * np.sqrt(2 / number)).all() and (square > 0.2).all()


def mixed_world():
    """Payoffs a step, first arrivals, a constant one, and one that remembers."""
    world, payoffs = small_world(0)
    visits = Automaton(np.array([[1, 0, 0], [1, 1, 0]]), np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]))
    remembers = us.Payoffs(np.zeros(3), None, np.zeros(1), np.eye(3, dtype=bool)[:1], np.array([1.0]), (visits,))
    return world, stack_payoffs([*(payoffs[u] for u in range(4)), as_payoffs(world, np.ones(3)), remembers])


@pytest.mark.slow
def test_as_one_by_one_and_whatever_it_comes_with():
    world, payoffs = mixed_world()
    counts = [np.array([[3.0, 0], [1, 2], [0, 0]]), np.array([[0.0, 9], [30, 2], [7, 0]]), np.zeros((3, 2))]
    measure, keys = gauge(KEY, world, payoffs, num_particles=256), jax.random.split(KEY, 3)
    together = read(counts, measure, keys)
    for key, some, bits in zip(keys, counts, together, strict=True):
        alone = posterior_bits(key, some, measure, tables=TABLES, num_particles=128)
        one, other = evidence(bits, TABLES), evidence(alone, TABLES)
        assert bits[4] is None and (bits[5].bits == alone[5].bits).all()
        error = np.hypot(one.std_error, other.std_error)
        assert (np.abs(one.log_evidence - other.log_evidence) <= 5 * error + 1e-9).all()
        assert (one.std_error < 2 * other.std_error + 0.01).all()
    (again,) = read(counts[1:2], measure, keys[1:2])
    for bits, other in zip(together[1], again, strict=True):
        assert other is bits is None or (other.bits == bits.bits).all()


@pytest.mark.slow
def test_whatever_else_is_in_the_stack():
    """In a world where particles move in blocks, and where states have one action; beside a utility of two chains."""
    world = us.gridworld([".....", ".#...", "..a..", ".....", "....G"], slip=0.1, discount=0.9)
    reach, time = as_payoffs(world, world.features["G"] * 1.0), np.asarray(world.features["a"]) * 1.0
    number = world.num_states
    mixed = us.Payoffs(time, None, np.array([2.0]), np.asarray(world.features["G"])[None])
    single = us.Payoffs(np.asarray(reach.state), None, np.zeros(1), np.asarray(world.features["G"])[None])
    key, counts = jax.random.key(3, impl="rbg"), np.ones((number, world.num_actions))
    alone, beside = (
        read([counts], gauge(KEY, world, stack_payoffs(some), num_particles=64), [key], num_particles=256)[0][0]
        for some in ([single], [single, mixed])
    )
    np.testing.assert_array_equal(alone.bits, beside.bits)


@pytest.mark.slow
def test_rows_with_few_actions():
    """Some actions are not available, some states have one, and counts of thousands make rows narrow."""
    available = np.array([[True, True, True], [True, False, True], [False, True, False]])
    transition = np.random.default_rng(4).dirichlet(np.ones(3), (3, 3))
    world = us.world_model(transition, [0.5, 0.3, 0.2], 0.8, available=available)
    payoffs = stack_payoffs([as_payoffs(world, np.array([1.0, 0.0, 0.4]))])
    measure = gauge(KEY, world, payoffs, num_particles=512)
    for counts in (np.zeros((3, 3)), np.array([[3000.0, 2000, 40], [900, 0, 4000], [0, 7, 0]])):
        (bits,) = read([counts], measure, num_particles=256)
        one, other = (evidence(some, TABLES) for some in (bits, posterior_bits(KEY, counts, measure, tables=TABLES)))
        assert (np.abs(one.log_evidence - other.log_evidence) <= 5 * np.hypot(one.std_error, other.std_error)).all()


def test_bad_input():
    world, payoffs = bandit(3)
    measure = gauge(KEY, world, payoffs, num_particles=32)
    with pytest.raises(us.InputError, match="counts have shape"):
        read([np.ones((2, 3))], measure)
    with pytest.raises(us.InputError, match="num_lanes"):
        read([np.ones((1, 3))], measure, num_lanes=0)
    with pytest.raises(us.InputError, match="num_sweeps"):
        read([np.ones((1, 3))], measure, num_sweeps=0)
    with pytest.raises(us.InputError, match="1 keys for 2 recordings"):
        read([np.ones((1, 3))] * 2, measure, [KEY])
    assert read([], measure) == []

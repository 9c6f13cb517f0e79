"""What several operators want together."""

import numpy as np
import pytest

import utiliscope as us

WORLD = us.world_model(np.ones((1, 3, 1)), [1.0], 0.0)


def candidates(scale=1.0):
    paid = {"x": scale * np.array([[1.0, 0.6, 0.0]]), "z": np.array([[0.0, 0.6, 1.0]]), "0": np.zeros((1, 3))}
    return us.candidate_set(WORLD, paid)


def chosen(some, shares):
    order = [some.index(name) for name in ("x", "z", "0")]
    by_place = np.zeros(3)
    by_place[order] = shares
    return int(us.optimal_policy(WORLD, us.aggregate_utility(WORLD, some, by_place)).argmax())


@pytest.mark.parametrize("scale", [1.0, 1000.0])
@pytest.mark.parametrize(("shares", "action"), [([1, 1, 0], 1), ([9, 1, 0], 0), ([1, 9, 5], 2), ([2, 2, 80], 1)])
def test_everybody_has_a_say_whatever_the_unit(scale, shares, action):
    assert chosen(candidates(scale), shares) == action


@pytest.mark.slow
def test_forms_with_memory_are_added_too():
    world = us.gridworld(["a.b"], discount=0.9)
    some = us.Grammar(world).select(["reach(a)", "visits(b, 2)"])
    both = us.aggregate_utility(world, some, [0.5, 0.5])
    policy = np.full((3, 4), 0.25)
    ranges = [np.subtract(*us.planning.value_range(world, some.payoffs[k])[::-1]) for k in range(2)]
    values = np.asarray(us.expected_utility(world, policy, some.payoffs))
    assert float(us.expected_utility(world, policy, both)) == pytest.approx(float((values / ranges).mean()))


@pytest.mark.parametrize("shares", [[1.0], [1, -1, 0], [0, 0, 0], [np.nan, 1, 1]])
def test_bad_shares(shares):
    with pytest.raises(us.InputError, match="share"):
        us.aggregate_utility(WORLD, candidates(), shares)

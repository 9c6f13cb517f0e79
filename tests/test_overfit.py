"""The overfit goal "act exactly like this" (THEORY 5): it wins where naming what was done is cheap, and only there.

On a grid of 3 x 3 with the goal in a corner, for a best policy that tosses a coin for ties; exact over all 4^9 uniform
policies, by value tails over decision lists.
"""

import itertools
import math

import jax
import numpy as np
import pytest

import utiliscope as us
from utiliscope.laws import log_normaliser
from utiliscope.payoffs import as_payoffs, stack_payoffs

OTHERS = ["0", "reach(G)", "time(row)"]
ROW, COLUMN = np.divmod(np.arange(9), 3)
GRID = us.gridworld(["...", "...", "..G"], discount=0.9)
WORLD = us.world_model(
    GRID.transition, GRID.initial, GRID.discount, state_names=GRID.state_names, action_names=GRID.action_names,
    features=dict(GRID.features) | {"row": ROW * 1.0, "column": COLUMN * 1.0},
)  # fmt: skip
DOWN, RIGHT = WORLD.action_names.index("down"), WORLD.action_names.index("right")
TOSSED = np.eye(4)[[DOWN, RIGHT, DOWN, RIGHT, DOWN, DOWN, RIGHT, RIGHT, DOWN]]
TOLD = us.Grammar(WORLD, actions=True, states=True)
UTILITIES = [TOLD.parse(text).payoffs(WORLD) for text in OTHERS] + [as_payoffs(WORLD, TOSSED)]


@pytest.fixture(scope="module")
def uniform():
    """Exact g of the policy and log2 Z(U) of h = 2^g, by valuing all policies."""
    choices = np.array(list(itertools.product(range(4), repeat=9)))
    step = 0.9 * np.asarray(WORLD.transition)[np.arange(9), choices]
    visits = np.linalg.solve(np.eye(9) - step.transpose(0, 2, 1), np.full((len(choices), 9, 1), 1 / 9))[..., 0]
    bits, log2_z = [], []
    for utility in UTILITIES:
        if np.any(utility.reach):
            targets = np.asarray(utility.targets)[0]
            # Of the first arrival: what leaves the targets comes back to them no more.
            going = np.linalg.solve(
                np.eye(9) - step * ~targets[:, None], np.broadcast_to(targets * 1.0, (len(step), 9))[..., None]
            )
            values = float(np.asarray(utility.reach)[0]) * going[..., 0].mean(1)
        else:
            paid = np.broadcast_to(np.asarray(utility.state)[:, None], (9, 4))
            paid = paid if utility.action is None else paid + np.asarray(utility.action)
            values = (visits * paid[np.arange(9), choices]).sum(1)
        values = np.round(values, 9)
        chance = 1 - np.searchsorted(np.sort(values), values) / len(values)
        own = (choices == TOSSED.argmax(-1)).all(1)
        bits.append(-math.log2(chance[own][0]))
        log2_z.append(math.log2((1 / chance).mean()) if np.ptp(values) else math.inf)
    return np.array(bits), np.array(log2_z)


@pytest.fixture(scope="module")
def by_lists():
    """g and log2 Z(U) among short decision lists, by splitting."""
    prior = us.DecisionLists(continue_probability=0.7)
    tails = us.value_tail(jax.random.key(0), WORLD, stack_payoffs(UTILITIES), policy_prior=prior, num_particles=256)
    values = np.array([float(us.expected_utility(WORLD, TOSSED, one)) for one in UTILITIES])
    log2_z = np.asarray(log_normaliser(us.ExponentialLaw(1.0), tails)) / math.log(2)
    return np.asarray(tails.bits(values)), np.where(tails.constant(), math.inf, log2_z)


def posterior(found, length):
    """Probabilities of the others and, last, of "act exactly like this" at a code length."""
    bits, log2_z = found
    code_length = np.array([*map(TOLD.code_length, OTHERS), length])
    weight = np.where(np.isinf(log2_z), 0.0, bits - np.where(np.isinf(log2_z), 0.0, log2_z)) - code_length
    weight = 2.0 ** (weight - weight.max())
    return weight / weight.sum()


def default_price():
    pairs = zip(WORLD.state_names, TOSSED.argmax(-1), strict=True)
    return TOLD.code_length(" + ".join(f'does(@"{state}", {WORLD.action_names[action]})' for state, action in pairs))


def test_the_utility_is_the_program_that_names_every_pair():
    pairs = zip(WORLD.state_names, TOSSED.argmax(-1), strict=True)
    spelt = TOLD.parse(" + ".join(f'does(@"{state}", {WORLD.action_names[action]})' for state, action in pairs))
    np.testing.assert_array_equal(spelt.payoffs(WORLD).action, TOSSED)


def test_bits_of_both_goals_among_uniform_policies(uniform):
    """Matched action for action: one policy of 4^9. Reaching: the best actions of each state."""
    bits, _ = uniform
    assert bits[-1] == 18
    # Two of four moves are best in 4 states, one of four in 4, and any at the goal.
    assert bits[OTHERS.index("reach(G)")] == 4 * 1 + 4 * 2


@pytest.mark.parametrize("prior", ["uniform", pytest.param("by_lists", marks=pytest.mark.slow)])
def test_it_wins_where_pairs_are_cheap_and_loses_at_the_default_price(prior, request):
    found = request.getfixturevalue(prior)
    share = {price: posterior(found, 1 + 9 * price) for price in (0, 0.5, 1, 2, 3, 4)}
    like_this = [one[-1] for one in share.values()]
    assert (np.diff(like_this) < 0).all()
    assert like_this[0] > 0.99 and like_this[-1] < 1e-3
    # The default has to pay more than a pair can earn.
    price = default_price()
    assert price > found[0][-1]
    default = posterior(found, price)
    assert default[-1] < 1e-20
    assert default.argmax() == (OTHERS.index("reach(G)") if prior == "uniform" else OTHERS.index("0"))


def test_features_made_from_the_behaviour_make_it_cheap():
    """What a grammar is given as features is free: sets of states by what was done there undercut the default."""
    seen = {f"seen_{name}": TOSSED[:, WORLD.action_names.index(name)] == 1 for name in ("down", "right")}
    told = us.Grammar(WORLD, actions=True, features=seen)
    short = told.code_length("does(seen_down, down) + does(seen_right, right)")
    np.testing.assert_array_equal(
        told.parse("does(seen_down, down) + does(seen_right, right)").payoffs(WORLD).action, TOSSED
    )
    assert short < 0.25 * default_price()

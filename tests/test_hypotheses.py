"""Programs that agree on every reachable sequence are one hypothesis: checked against all sequences of small worlds."""

import math
from collections import defaultdict

import numpy as np
import pytest

import utiliscope as us
from utiliscope.utilities.syntax import Program, Term
from utiliscope.world.model import reachable_states


def graph(links, initial, discount, features=None, **options):
    """A deterministic world; `links[s]` lists the next states of s."""
    actions = max(map(len, links))
    transition = np.array([np.eye(len(links))[[*to, *to[:1] * (actions - len(to))]] for to in links])
    return us.world_model(transition, initial, discount, features=features, **options)


def bools(**features):
    return {name: np.array([mark == "x" for mark in marks]) for name, marks in features.items()}


CHANCE = np.array([[[0, 0.5, 0.5]], [[0, 1, 0]], [[1, 0, 0]]])  # nobody decides anything
SMALL = {
    "loop": graph([[1, 2], [2, 0], [0]], [1, 0, 0], 0.9, bools(p=".x.", q="..x")),
    "one way": graph([[0, 1], [1, 2], [2]], [1, 0, 0], 0.8, bools(p="..x", q=".x.")),
    "no way back": graph([[1, 2], [1], [2, 1]], [0.5, 0, 0.5], 0.5, bools(p=".x.", q="x.x")),
    "tree": graph([[1, 2], [3], [3], [3]], [1, 0, 0, 0], 0.7, bools(p=".x..", q="...x", r=".xx.")),
    "unreachable": graph([[1], [0, 1], [0]], [0.5, 0.5, 0], 0.9, bools(p="..x", q="x..")),
    "chance": us.world_model(CHANCE, [1, 0, 0], 0.6, features=bools(p=".x.", q="..x")),
    "hub": graph([[1, 2], [0], [0]], [1, 0, 0], 0.5, bools(p=".x.", q="..x"), horizon=4),
    "long hub": graph([[1, 2], [0], [0]], [1, 0, 0], 0.9, bools(p=".x.", q="..x"), horizon=9),
    "short": graph([[0, 1], [1, 2], [0]], [0.3, 0.7, 0], 1.0, bools(p=".x.", q="..x"), horizon=3),
    "bandit": graph([[1, 2], [1], [2]], [1, 0, 0], 1.0, bools(p=".x.", q="..x"), horizon=1),
    "amounts": graph(
        [[1, 2], [2, 0], [0]], [1, 0, 0], 0.9, {"c": np.array([1.0, 2.0, 4.0]), "d": np.array([3.0, 2.0, 0.0])}
    ),
    "states": graph([[1, 2], [2], [2]], [1, 0, 0], 0.5),
}


def sequences(world):
    """Every reachable sequence: (states, place where the last part starts to repeat for ever, or None)."""
    links = ((world.transition > 0) & world.available[:, :, None]).any(1)
    paths = [(int(s),) for s in np.flatnonzero(world.initial)]
    for _ in range(world.horizon or 6):
        if world.horizon is None:
            yield from ((path, k) for path in paths for k, state in enumerate(path) if links[path[-1], state])
        paths = [(*path, int(s)) for path in paths for s in np.flatnonzero(links[path[-1]])]
    if world.horizon is not None:
        yield from ((path, None) for path in paths)


def worth(world, form, sequence):
    """What a form is worth on one sequence, straight from its definition."""
    path, back = sequence
    names = {name: i for i, name in enumerate(world.state_names)}
    atom = form.atom
    amount = np.arange(world.num_states) == names[atom.name] if atom.is_state else world.features[atom.name]
    weights = [world.discount**t for t in range(len(path))]
    if form.kind == "reach":
        return max([w for w, s in zip(weights, path, strict=True) if amount[s]], default=0.0)
    if back is not None:
        again = 1 / (1 - world.discount ** (len(path) - back))
        weights = [w * (again if t >= back else 1) for t, w in enumerate(weights)]
    return sum(w * amount[s] for w, s in zip(weights, path, strict=True))


def masses_by_brute_force(world, grammar, max_bits):
    """Mass of every hypothesis, and which one a program belongs to; all ordered lists of terms are tried."""
    all_sequences = list(sequences(world))
    values = {form: np.array([worth(world, form, s) for s in all_sequences]) for form in grammar.forms}

    def hypothesis(program):
        total = sum((t.weight * values[t.form] for t in program.terms), np.zeros(len(all_sequences)))
        total = total - total.mean()
        largest = np.abs(total).max()
        return () if largest < 1e-9 else tuple((np.round(total / largest, 7) + 0.0).tolist())

    terms = [Term(s * w, form) for form in grammar.forms for w in range(1, 16) for s in (1, -1)]
    terms = [term for term in terms if grammar.code_length(Program((term,))) <= max_bits]
    mass, shortest, level = defaultdict(float), defaultdict(lambda: math.inf), [()]
    while level:
        for some in level:
            bits, key = grammar.code_length(Program(some)), hypothesis(Program(some))
            mass[key] += 2.0**-bits
            shortest[key] = min(shortest[key], bits)
        level = [(*some, t) for some in level for t in terms if grammar.code_length(Program((*some, t))) <= max_bits]
    return mass, shortest, hypothesis


@pytest.mark.parametrize("name", SMALL)
def test_hypotheses_and_masses_agree_with_brute_force(name):
    world = SMALL[name]
    grammar = us.Grammar(world)
    max_bits = 11 if len(world.features) == 2 else 12
    mass, shortest, hypothesis = masses_by_brute_force(world, grammar, max_bits)
    found = grammar.enumerate(max_bits)
    keys = [hypothesis(grammar.parse(text)) for text in found.names]
    assert len(set(keys)) == len(keys) == len(mass)
    np.testing.assert_allclose(2.0**-found.code_length, [mass[key] for key in keys], rtol=1e-9)
    np.testing.assert_allclose([grammar.code_length(text) for text in found.names], [shortest[key] for key in keys])
    assert found.names[keys.index(())] == "0"
    assert sorted(found.code_length.round(9)) == found.code_length.round(9).tolist()


def merged(world, *texts):
    """Whether programs are one hypothesis."""
    try:
        us.Grammar(world, states=True).select(texts)
    except us.InputError as error:
        assert "one utility" in str(error)
        return True
    return False


GRID = us.gridworld([".G.", "b..", "..."], slip=0.1, discount=0.95)


def test_what_is_never_left():
    cliff = graph([[0, 1], [1]], [1, 0], 0.9, bools(end=".x"))
    assert merged(cliff, "reach(end)", "time(end)")
    assert not merged(cliff, "reach(end)", "-time(end)")
    assert merged(cliff, "reach(end)", "-3*time(@0) + 5")
    timed = graph([[0, 1], [1]], [1, 0], 0.9, bools(end=".x"), horizon=5)
    assert not merged(timed, "reach(end)", "time(end)")
    assert not merged(GRID, "reach(G)", "time(G)")


def test_features_that_say_the_same():
    there = np.arange(9) == 4
    world = us.world_model(
        GRID.transition, GRID.initial, 0.95, features={"a": there, "b": there, "not_a": ~there, "twice": 2.0 * there}
    )
    assert merged(world, "time(a)", "time(b)") and merged(world, "reach(a)", "reach(b)")
    assert merged(world, "time(a)", "-time(not_a)") and merged(world, "time(a)", "time(twice)")
    assert merged(world, "time(a) + 2*reach(b)", "4*reach(a) + 4*time(b) - time(twice)")
    assert not merged(world, "reach(a)", "-reach(not_a)")
    names = us.Grammar(world).enumerate(13).names
    assert "time(twice)" in names and not {"time(a)", "time(b)", "-time(not_a)"} & set(names)


@pytest.mark.parametrize("discount", [0.5, 0.999999])
def test_constants_are_one_hypothesis(discount):
    world = graph(
        [[1, 0], [0, 2], [0], [0]],
        [0.5, 0.5, 0, 0],
        discount,
        {**bools(all="xxx.", start="xx..", never="...x"), "same": np.array([3.0, 3.0, 3.0, 0.0])},
    )
    grammar = us.Grammar(world)
    for text in ("time(all)", "reach(all)", "reach(start)", "time(never)", "reach(never)", "time(same)", "7"):
        assert merged(world, "0", text), text
    assert merged(world, "0", "time(start) - time(start)") and merged(world, "0", "time(same) - 3*time(all)")
    assert not merged(world, "0", "time(start)")
    found = grammar.enumerate(14)
    assert set(found.names) == {"0", "time(start)", "-time(start)"}
    assert not us.candidate_set(world, {"0": "0"}).payoffs.state.any()


def test_rare_states_are_not_lost():
    length = 40
    moves = [[max(s - 1, 0), min(s + 1, length - 1)] for s in range(length)]
    far = np.arange(length) == length - 1
    chain = graph(moves, np.eye(length)[0], 0.5, {"far": far, "near": ~far})
    assert merged(chain, "time(far)", "-time(near)")
    assert not merged(chain, "0", "time(far)") and not merged(chain, "time(@1)", "time(@1) + reach(far)")


def test_chance_counts_although_no_policy_changes_it():
    assert not merged(SMALL["chance"], "0", "reach(p)")
    assert not merged(SMALL["chance"], "time(p)", "time(q)")


def test_ties_are_named_by_the_plain_form():
    names = us.Grammar(graph([[0, 1], [1]], [1, 0], 0.9, bools(a="x.", b=".x"))).enumerate(10).names
    assert set(names) == {"0", "time(a)", "reach(b)"}


def test_orderings_and_repeats_count():
    world = graph([[0, 1, 2], [0, 1, 2], [0, 1, 2]], [1, 0, 0], 0.9, bools(p=".x.", q="..x"))
    found = us.Grammar(world).enumerate(11)
    # reach(p) + reach(q) has 11 bits in two orders; 2 reach(p) and 3 reach(p) have 8, reach(p) + reach(p) has 11.
    assert found.code_length[found.index("reach(p) + reach(q)")] == pytest.approx(10)
    assert 2.0 ** -found.code_length[found.index("reach(p)")] == pytest.approx(2**-6 + 2 * 2**-8 + 4 * 2**-10 + 2**-11)
    np.testing.assert_array_equal(found.payoffs.targets.sum(1), [1, 1])


def test_states_are_atoms_only_where_asked_or_needed():
    assert us.Grammar(GRID).states is False and len(us.Grammar(GRID).forms) == 4
    assert len(us.Grammar(GRID, states=True).forms) == 4 + 18
    bare = us.Grammar(us.gridworld(["..", ".."]))
    assert bare.states is True and len(bare.forms) == 8
    assert bare.enumerate(8).names[1] == '-reach(@"0,0")'


def test_a_horizon_changes_what_is_the_same():
    moves = [[1, 2], [0], [0]]
    for horizon, same in ((1, True), (2, True), (3, False)):
        world = graph(moves, [1, 0, 0], 0.9, bools(p=".x.", q="..x"), horizon=horizon)
        assert merged(world, "reach(p)", "time(p)") == same


def test_select_keeps_the_code_length_as_written():
    chosen = us.Grammar(GRID).select(["2*time(b)", "reach(G)", "5"])
    assert chosen.names == ["5", "reach(G)", "2*time(b)"] and chosen.code_length.tolist() == [1, 6, 8]
    with pytest.raises(us.InputError, match="'time\\(b\\)' and '3\\*time\\(b\\) - 1' are one utility"):
        us.Grammar(GRID).select(["time(b)", "reach(G)", "3*time(b) - 1"])
    for bad in ([], "time(b)"):
        with pytest.raises(us.InputError, match="takes a list"):
            us.Grammar(GRID).select(bad)


def test_enumeration_has_limits():
    assert us.Grammar(GRID).enumerate(1).names == us.Grammar(GRID).enumerate(5.9).names == ["0"]
    for max_bits in (0, math.inf, math.nan):
        with pytest.raises(us.InputError, match="max_bits"):
            us.Grammar(GRID).enumerate(max_bits)
    for max_bits in (40, 500):
        with pytest.raises(us.InputError, match=r"more than 2000000 programs.*lower max_bits"):
            us.Grammar(GRID).enumerate(max_bits)
    with pytest.raises(us.InputError, match=r"450 different forms.*features"):
        us.Grammar(us.gridworld(["." * 15] * 15)).enumerate(14)


def test_unreachable_states_of_the_small_worlds():
    assert not reachable_states(SMALL["unreachable"]).all()
    assert merged(SMALL["unreachable"], "0", "reach(p) - 2*time(p)")

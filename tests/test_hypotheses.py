"""Programs that agree on every reachable sequence are one hypothesis: checked against all sequences of small worlds."""

import dataclasses
import itertools
import math
from collections import defaultdict

import numpy as np
import pytest

import utiliscope as us
from utiliscope.automata import automaton
from utiliscope.payoffs import stack_payoffs
from utiliscope.utilities import enumeration, equality, meanings
from utiliscope.utilities.equality import grouped
from utiliscope.utilities.syntax import And, Atom, Form, Not, Or, Program, Term
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


STEPS = 300  # the longest discount is 0.9: what comes after is worth less than 1e-13


def predicates(grammar, budget):
    """Every set of states that can be written within `budget` bits, with its bits."""
    prices = grammar.prices
    atoms = {Atom(name): bits for name, bits in prices.sets.items()}
    atoms |= {Atom(name, True): bits for name, bits in prices.states.items()}
    yield from ((atom, prices.predicates["atom"] + bits) for atom, bits in atoms.items())
    for kind, bits in prices.predicates.items():
        left = budget - bits
        if kind == "atom" or left < min(atoms.values(), default=math.inf):
            continue
        for one, cost in predicates(grammar, left):
            if kind == "not":
                yield Not(one), bits + cost
            else:
                for other, more in predicates(grammar, left - cost):
                    yield (And if kind == "and" else Or)(one, other), bits + cost + more


def forms(grammar, budget, within=False):
    """Every form that can be written within `budget` bits."""
    prices, world = grammar.prices, grammar.world
    sets = [one for one, cost in predicates(grammar, budget) if cost <= budget]
    amounts = [Atom(name) for name in prices.amounts]
    numbers = range(1, grammar.horizon + 1)
    for kind in prices.kinds:
        if kind in ("visits", "every"):
            yield from (Form(kind, (one,), n) for one in sets for n in numbers)
        elif kind == "sequence":
            for length in range(2, 4):
                yield from (Form(kind, some) for some in itertools.product(sets, repeat=length))
        elif kind == "within":
            inner = list(forms(grammar, budget - prices.kinds[kind], True)) if budget > prices.kinds[kind] else []
            yield from (Form(kind, (), n, form) for form in inner for n in numbers)
        elif kind == "does":
            names = range(world.num_actions)
            yield from (Form(kind, (one,), action=str(a)) for one in sets for a in names if not within)
        else:
            yield from (Form(kind, (one,)) for one in [*sets, *(amounts if kind == "time" else [])])


def affordable(grammar, max_bits):
    """Every form of a program of one term within `max_bits`."""
    found = {}
    for form in forms(grammar, max_bits - 4):
        program = Program((Term(1, form),))
        if grammar.code_length(program) <= max_bits:
            found[form] = None
    return list(found)


def holds(world, predicate, states):
    """Where along the states of a sequence a predicate holds, or its amounts."""
    match predicate:
        case Atom(name, True):
            return states == list(world.state_names).index(name)
        case Atom(name):
            return np.asarray(world.features[name])[states]
        case Not(part):
            return ~holds(world, part, states)
        case And(left, right):
            return holds(world, left, states) & holds(world, right, states)
        case Or(left, right):
            return holds(world, left, states) | holds(world, right, states)


def payments(world, form, states, ends):
    """`[T]` what a form pays at each time of a sequence, by its definition; `ends`: whether there the episode ends."""
    along = [holds(world, predicate, states) for predicate in form.predicates]
    paid, last = np.zeros(len(states)), len(states) - 1
    match form.kind:
        case "time":
            paid += along[0]
        case "end" if ends:
            paid[last] = along[0][last]
        case "end":
            paid += (1 - world.discount) * along[0]
        case "reach" | "avoid":
            paid[np.flatnonzero(along[0])[:1]] = 1 if form.kind == "reach" else -1
        case "visits":
            comes = along[0] & ~np.append(False, along[0][:-1])
            paid[np.flatnonzero(comes)[: form.number]] = 1
        case "every":
            ready = 0
            for t in np.flatnonzero(along[0]):
                if t >= ready:
                    paid[t], ready = 1, t + form.number
        case "sequence":
            t = -1
            for inside in along:
                later = np.flatnonzero(inside[t + 1 :]) if t is not None else []
                t = t + 1 + later[0] if len(later) else None
            if t is not None:
                paid[t] = 1
        case "within":
            short = states[: form.number + 1]
            cut = len(short) == form.number + 1
            if form.inner.kind != "end":
                paid[: len(short)] = payments(world, form.inner, short, False)
            elif cut:
                paid[form.number] = holds(world, form.inner.predicates[0], short)[-1]
    return paid


def steps_of(sequence):
    """The states of a sequence, as far as they count."""
    path, back = sequence
    states = np.array(path)
    return states if back is None else np.append(states[:back], np.resize(states[back:], STEPS - back))


def worth(world, form, sequence):
    """What a form is worth on one sequence, straight from its definition."""
    states = steps_of(sequence)
    paid = payments(world, form, states, sequence[1] is None)
    return float(paid @ world.discount ** np.arange(len(states)))


def masses_by_brute_force(world, grammar, max_bits):
    """Mass of every hypothesis, and which one a program belongs to; all ordered lists of terms are tried."""
    # Two that go round for ever and agree for 40 steps agree for ever.
    all_sequences = list({steps_of(one)[:40].tobytes(): one for one in sequences(world)}.values())
    known = {}

    def values(form):
        if form not in known:
            known[form] = np.array([worth(world, form, s) for s in all_sequences])
        return known[form]

    def hypothesis(program):
        total = sum((t.weight * values(t.form) for t in program.terms), np.zeros(len(all_sequences)))
        total = total - total.mean()
        largest = np.abs(total).max()
        return () if largest < 1e-9 else tuple((np.round(total / largest, 7) + 0.0).tolist())

    terms = [Term(s * w, form) for form in affordable(grammar, max_bits) for w in range(1, 16) for s in (1, -1)]
    terms = [term for term in terms if grammar.code_length(Program((term,))) <= max_bits]
    mass, shortest, level = defaultdict(float), defaultdict(lambda: math.inf), [()]
    while level:
        for some in level:
            bits, key = grammar.code_length(Program(some)), hypothesis(Program(some))
            mass[key] += 2.0**-bits
            shortest[key] = min(shortest[key], bits)
        level = [(*some, t) for some in level for t in terms if grammar.code_length(Program((*some, t))) <= max_bits]
    return mass, shortest, hypothesis


PLAIN = {"weights": dict(visits=0, every=0, sequence=0, within=0, avoid=0, end=0) | {"not": 0, "and": 0, "or": 0}}
# Sums of several terms need more bits than can be tried with all forms: so plain ones as well, and counts alone.
GRAMMARS = {
    "all forms": ({"horizon": 4}, 9.5),
    "plain forms": (PLAIN, 11),
    "counts": ({"weights": PLAIN["weights"] | {"reach": 0, "every": 1, "visits": 1}, "horizon": 4}, 10),
}
QUICK = {"loop", "chance", "states"}


@pytest.mark.parametrize("words", GRAMMARS)
@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in SMALL]
)
def test_hypotheses_and_masses_agree_with_brute_force(name, words):
    world = SMALL[name]
    options, max_bits = GRAMMARS[words]
    grammar = us.Grammar(world, **options)
    mass, shortest, hypothesis = masses_by_brute_force(world, grammar, max_bits)
    found = grammar.enumerate(max_bits)
    keys = [hypothesis(grammar.parse(text)) for text in found.names]
    assert len(set(keys)) == len(keys) == len(mass)
    np.testing.assert_allclose(2.0**-found.code_length, [mass[key] for key in keys], rtol=1e-9)
    np.testing.assert_allclose([grammar.code_length(text) for text in found.names], [shortest[key] for key in keys])
    assert found.names[keys.index(())] == "0"
    assert sorted(found.code_length.round(9)) == found.code_length.round(9).tolist()


def plain(world, **options):
    """Sums of `time` and `reach` of names, a bit for each of the two."""
    return us.Grammar(world, **PLAIN, **options)


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
    names = plain(world).enumerate(13).names
    assert "time(a)" in names and not {"time(twice)", "time(b)", "-time(not_a)"} & set(names)


@pytest.mark.parametrize("discount", [0.5, 0.999999])
def test_constants_are_one_hypothesis(discount):
    world = graph(
        [[1, 0], [0, 2], [0], [0]],
        [0.5, 0.5, 0, 0],
        discount,
        {**bools(all="xxx.", start="xx..", never="...x"), "same": np.array([3.0, 3.0, 3.0, 0.0])},
    )
    for text in ("time(all)", "reach(all)", "reach(start)", "time(never)", "reach(never)", "time(same)", "7"):
        assert merged(world, "0", text), text
    assert merged(world, "0", "time(start) - time(start)") and merged(world, "0", "time(same) - 3*time(all)")
    assert not merged(world, "0", "time(start)")
    found = plain(world).enumerate(14)
    assert set(found.names) == {"0", "time(start)", "-time(start)"}
    assert not us.candidate_set(world, {"0": "0"}).payoffs.state.any()


def test_rare_states_are_not_lost():
    length = 40
    moves = [[max(s - 1, 0), min(s + 1, length - 1)] for s in range(length)]
    far = np.arange(length) == length - 1
    chain = graph(moves, np.eye(length)[0], 0.5, {"far": far, "near": ~far})
    assert merged(chain, "time(far)", "-time(near)")
    assert not merged(chain, "0", "time(far)") and not merged(chain, "time(@1)", "time(@1) + reach(far)")


def groups(world, *texts, **options):
    """A number for each program, the same for those that are one hypothesis, as they are come upon."""
    grammar, seen = us.Grammar(world, **options), {}
    return [seen.setdefault(group, len(seen)) for group in grouped(world, [grammar.parse(text) for text in texts])]


@pytest.mark.parametrize(("number", "discount"), [(20, 0.5), (40, 0.95), (60, 0.95)])
def test_what_random_walks_hardly_ever_reach_counts(number, discount):
    """The far end of a corridor."""
    corridor = us.gridworld(["." * number], discount=discount)
    near, far = (np.arange(number) == place for place in (1, number - 1))
    features = {"near": near, "both": near | far, "far": far}
    world = us.world_model(
        np.asarray(corridor.transition), np.eye(number)[0], discount, features=features, available=corridor.available
    )
    texts = ["0", "time(near)", "time(both)", "time(far)", "time(near) + time(far)"]
    assert groups(world, *texts) == [0, 1, 2, 3, 2]
    assert {"time(near)", "time(both)", "time(far)"} <= set(us.Grammar(world).enumerate(11).names)


def test_what_cancels_is_nothing():
    """Nobody ends in `start`: what states are paid there and actions cost there cancel."""
    chance = np.zeros((4, 1, 4))
    chance[[0, 1, 1, 2, 3], 0, [1, 2, 3, 2, 3]] = 1, 0.5, 0.5, 1, 1
    world = us.world_model(chance, [1, 0, 0, 0], 0.9, features=bools(start="x...", x="..x."), horizon=4)
    texts = ["0", "end(start)", "end(x)", "end(x) + end(start)", "end(x) + 2*end(start)", "reach(x)"]
    assert groups(world, *texts) == [0, 0, 1, 1, 1, 1]
    assert us.Grammar(world).enumerate(14).names == ["0", "-reach(x)", "reach(x)"]
    # In floats too.
    table = equality.coefficients(
        world, stack_payoffs([us.Grammar(world).parse(text).payoffs(world) for text in texts])
    )
    assert table.shape == (6, 1) and not table[:2].any() and (table[2:] > 0).all()


def test_within_ends_where_the_world_ends():
    endless = us.gridworld(["..G"], discount=0.9)
    ends = [
        "0",
        "end(G)",
        "within(5, end(G))",
        "within(4, end(G))",
        "within(9, within(5, end(G)))",
        "within(2, end(G))",
    ]
    assert groups(dataclasses.replace(endless, horizon=4), *ends) == [0, 1, 1, 1, 1, 2]
    nested = ["within(2, within(3, end(G)))", "within(3, within(2, end(G)))", "within(2, end(G))"]
    for horizon in (4, None):
        assert groups(dataclasses.replace(endless, horizon=horizon), *nested, "0") == [0, 0, 0, 1]


@pytest.mark.slow
def test_many_sums_and_large_weights_stay_apart():
    """Of two features that have nothing to do with each other, all that are no multiples."""
    others = "reach visits every sequence within avoid end not and or"
    grammar = us.Grammar(us.gridworld(["a.b"]), weights=dict.fromkeys(others.split(), 0))
    candidates, directions = grammar.enumerate(26), set()
    for name in candidates.names:
        weights = defaultdict(int)
        for term in grammar.parse(name).terms:
            weights[str(term.form)] += term.weight
        size = math.gcd(*weights.values()) or 1
        directions.add(tuple(sorted((form, weight // size) for form, weight in weights.items())))
    assert len(directions) == len(candidates) > 10_000


def test_possible_worlds_of_several_discounts_leave_out_the_end():
    several = us.possible_worlds([us.gridworld(["..G"], discount=one) for one in (0.9, 0.8)], [1, 1])
    assert "end" not in us.Grammar(several).prices.kinds and len(us.Grammar(several).enumerate(13)) > 10
    with pytest.raises(us.InputError, match="different discounts"):
        us.Grammar(several, weights={"end": 1}).enumerate(13)


def test_chance_counts_although_no_policy_changes_it():
    assert not merged(SMALL["chance"], "0", "reach(p)")
    assert not merged(SMALL["chance"], "time(p)", "time(q)")


def test_ties_are_named_by_the_plain_form():
    names = us.Grammar(graph([[0, 1], [1]], [1, 0], 0.9, bools(a="x.", b=".x"))).enumerate(10).names
    assert set(names) == {"0", "time(a)", "reach(b)"}


def test_orderings_and_repeats_count():
    world = graph([[0, 1, 2], [0, 1, 2], [0, 1, 2]], [1, 0, 0], 0.9, bools(p=".x.", q="..x"))
    found = plain(world).enumerate(11)
    # reach(p) + reach(q) has 11 bits in two orders; 2 reach(p) and 3 reach(p) have 8, reach(p) + reach(p) has 11.
    assert found.code_length[found.index("reach(p) + reach(q)")] == pytest.approx(10)
    assert 2.0 ** -found.code_length[found.index("reach(p)")] == pytest.approx(2**-6 + 2 * 2**-8 + 4 * 2**-10 + 2**-11)
    np.testing.assert_array_equal(found.payoffs.targets.sum(1), [1, 1])


def test_states_are_atoms_only_where_asked_or_needed():
    assert us.Grammar(GRID).states is False and not us.Grammar(GRID).prices.states
    assert len(us.Grammar(GRID, states=True).prices.states) == 9
    bare = plain(us.gridworld(["..", ".."]))
    assert bare.states is True and len(bare.prices.states) == 4
    assert bare.enumerate(8).names[1] == '-reach(@"0,0")'


def test_a_horizon_changes_what_is_the_same():
    moves = [[1, 2], [0], [0]]
    for horizon, same in ((1, True), (2, True), (3, False)):
        world = graph(moves, [1, 0, 0], 0.9, bools(p=".x.", q="..x"), horizon=horizon)
        assert merged(world, "reach(p)", "time(p)") == same


def test_select_keeps_the_code_length_as_written():
    chosen = plain(GRID).select(["2*time(b)", "reach(G)", "5"])
    assert chosen.names == ["5", "reach(G)", "2*time(b)"] and chosen.code_length.tolist() == [1, 6, 8]
    with pytest.raises(us.InputError, match="'time\\(b\\)' and '3\\*time\\(b\\) - 1' are one utility"):
        us.Grammar(GRID).select(["time(b)", "reach(G)", "3*time(b) - 1"])
    for bad in ([], "time(b)"):
        with pytest.raises(us.InputError, match="takes a list"):
            us.Grammar(GRID).select(bad)


def test_enumeration_has_limits(monkeypatch):
    assert us.Grammar(GRID).enumerate(1).names == us.Grammar(GRID).enumerate(5.9).names == ["0"]
    for max_bits in (0, math.inf, math.nan):
        with pytest.raises(us.InputError, match="max_bits"):
            us.Grammar(GRID).enumerate(max_bits)
    monkeypatch.setattr(meanings, "MOST_FORMS", 30)
    with pytest.raises(us.InputError, match=r"more than 30 different forms.*features.*lower max_bits"):
        us.Grammar(GRID).enumerate(16)
    monkeypatch.setattr(meanings, "_MOST_TRIED", 10)
    with pytest.raises(us.InputError, match=r"more than 11 different forms.*lower max_bits"):
        us.Grammar(us.gridworld(["." * 15] * 15)).enumerate(16)
    monkeypatch.setattr(enumeration, "_MOST_SUMS", 1000)
    for max_bits in (20, 500):
        with pytest.raises(us.InputError, match=r"more than 1000 sums.*lower max_bits"):
            plain(GRID).enumerate(max_bits)


def test_unreachable_states_of_the_small_worlds():
    assert not reachable_states(SMALL["unreachable"]).all()
    assert merged(SMALL["unreachable"], "0", "reach(p) - 2*time(p)")


FORMS = """
time(p); reach(p); avoid(q); end(p); visits(p, 1); visits(p, 2); visits(not p, 2); every(p, 1); every(p, 2)
every(p or q, 3); sequence(p, q); sequence(p, p); sequence(q, p, q); within(1, reach(p)); within(2, time(q))
within(3, end(p)); within(2, avoid(q)); within(3, visits(p, 2)); within(3, every(q, 2)); within(3, sequence(p, q))
within(3, within(2, time(p))); within(9, end(p)); reach(not p and not q); reach(p and q)
"""


@pytest.mark.parametrize("text", [text.strip() for text in FORMS.replace("\n", ";").split(";") if text.strip()])
def test_forms_are_worth_what_they_say(text):
    for name, step in (("hub", 3), ("short", 3), ("long hub", 11)):
        world = SMALL[name]
        program = us.Grammar(world).parse(text)
        (term,) = program.terms
        paths = [path for path, _ in sequences(world)][::step]
        for path in paths:
            # A policy that makes the moves of this sequence, time by time.
            moves = np.argmax(world.transition[path[:-1], :, path[1:]] > 0, axis=1)
            policy = np.zeros((world.horizon, world.num_states, world.num_actions))
            policy[:, :, 0] = 1
            policy[np.arange(world.horizon), path[:-1]] = np.eye(world.num_actions)[moves]
            start = us.world_model(world.transition, np.eye(world.num_states)[path[0]], world.discount, **FIXED[name])
            found = float(us.expected_utility(start, policy, program))
            assert found == pytest.approx(worth(world, term.form, (path, None)), abs=1e-12)


FIXED = {
    name: dict(features=SMALL[name].features, horizon=SMALL[name].horizon) for name in ("hub", "short", "long hub")
}


def test_actions_are_worth_what_they_say():
    world, policy = SMALL["loop"], np.array([[0.3, 0.7], [0.5, 0.5], [1.0, 0.0]])
    visits = us.occupancy(world, policy)
    program = us.Grammar(world, actions=True).parse("does(not q, 1)")
    assert float(us.expected_utility(world, policy, program)) == pytest.approx(float(visits.action[:2, 1].sum()))
    assert us.Grammar(world, actions=True).enumerate(12).names


def test_what_an_action_leads_to():
    # Only `1` in state 0 leads to q: taking it is being there a step later.
    world = graph([[0, 1], [0, 0]], [1, 0], 0.9, bools(q=".x", p="x."))
    grammar = us.Grammar(world, actions=True)
    with pytest.raises(us.InputError, match="one utility"):
        grammar.select(["does(p, 1)", "time(q)"])
    with pytest.raises(us.InputError, match="one utility"):
        grammar.select(["does(p, 0) + does(p, 1)", "-time(q)"])
    assert len(grammar.select(["does(p, 1)", "reach(q)"])) == 2


# --- Exact residues against walks in floats, of which there are more than forms

WIDE = us.gridworld(["..A", "B..", "..."], discount=0.97)
ELSEWHERE = graph([[0, 1], [1, 2], [2]], [1, 0, 0], 0.9, bools(p=".x.", q="..x"))
# Memories that lead to each other: of two, and of three in more than one round, which only floats can value.
TURNS = automaton([[1, 0, 0], [1, 1, 0]], [[0, 0, 1], [1, 0, 0]])
ROUNDS = automaton([[1, 2, 0], [2, 0, 1], [0, 1, 2]], [[0, 0, 1], [1, 0, 0], [0, 1, 1]])
COMPARED = {
    # In the hub, where end(p) is 0, floats leave something of it.
    **{name: (world, {"horizon": 4}, 14) for name, world in SMALL.items() if name != "hub"},
    "grid": (WIDE, {}, 14),
    "grid with slips": (GRID, {"states": True}, 13),
    "actions": (us.gridworld(["A..", "..B"], slip=0.2), {"actions": True}, 11),
    "actions in time": (
        graph([[1, 2], [0, 2], [0]], [1, 0, 0], 0.9, bools(p=".x.", q="..x"), horizon=6),
        {"actions": True},
        11,
    ),
    "rounds": (us.gridworld(["A.B"]), {"weights": PLAIN["weights"] | {"every": 1}, "horizon": 9}, 14),
    "turns": (SMALL["loop"], {"forms": {"turns": TURNS}, "horizon": 4}, 13),
    "several rounds": (SMALL["loop"], {"forms": {"rounds": ROUNDS}, "horizon": 4}, 12),
    "possible worlds": (us.possible_worlds([SMALL["loop"], ELSEWHERE]), {"horizon": 4}, 12),
    "no fraction": (graph([[0, 1], [1, 2], [0]], [1, 0, 0], math.exp(-0.1), bools(p=".x.", q="..x")), {}, 14),
}
AT_ONCE = {"loop", "tree", "amounts", "turns", "several rounds", "no fraction"}


@pytest.fixture(autouse=True)
def exact(monkeypatch):
    """Residues in worlds that are as small as these, where floats would do."""
    monkeypatch.setattr(equality, "_FEW_PRODUCTS", 0)


@pytest.mark.parametrize(
    "name", [name if name in AT_ONCE else pytest.param(name, marks=pytest.mark.slow) for name in COMPARED]
)
def test_residues_find_the_hypotheses_that_walks_in_floats_find(name, monkeypatch):
    world, options, max_bits = COMPARED[name]
    exact = us.Grammar(world, **options).enumerate(max_bits)
    monkeypatch.setattr(equality, "proportional", lambda *_: None)
    rounded = us.Grammar(world, **options).enumerate(max_bits)
    assert exact.names == rounded.names
    np.testing.assert_allclose(exact.code_length, rounded.code_length, rtol=1e-12)

"""Random policies that are random short programs: lists of rules over the features of the world."""

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .errors import InputError, check_whole
from .payoffs import Payoffs
from .values import expected_utility
from .world.possible import World

_MOST_THRESHOLDS = 16  # of one float feature: beyond that a rule pays for precision that it hardly needs
_MOVES = _CONDITION, _SAME_KIND, _ACTION, _DEFAULT, _INSERT, _DELETE, _SWAP = range(7)


class DecisionList(NamedTuple):
    """One program; entries from `length` on are zeros, so that equal programs are equal arrays.

    length: how many rules it has. conditions: `[M, 2]` indices of two literals that must both hold, where 0 always
    holds. actions: `[M]` what each rule does. default: the action where no rule acts.
    """

    length: jax.Array
    conditions: jax.Array
    actions: jax.Array
    default: jax.Array


class Vocabulary(NamedTuple):
    """What rules over a world can speak of: 0 always holds, then come `L` literals, then "state is s" for `S` states.

    holds: `[1 + L, S]` bool, where they hold, without the states. names: 1 + L + S texts.
    log_prob: `[L]` nats of each literal among the literals.
    """

    holds: np.ndarray
    names: tuple[str, ...]
    log_prob: np.ndarray


class DecisionLists(eqx.Module):
    """Lists of rules "if <condition>: <action>", tried in order: short lists over the world's features are likely.

    The first rule whose condition holds, and whose action is available, acts; then a default action (if that is not
    available, the first available one). A further rule costs -log2(continue_probability) bits, an action log2 A. A
    condition is a literal (a bool feature, a float feature at or above one of its values, or the negation), two
    literals joined by "and", or, with `state_probability`, one state, which costs log2 S more bits.

    Matching a policy action for action earns at most -log2 xi({policy}) bits, and a utility that spells it out in
    these rules has to pay as many, so that g - K is at most 0: on a 4x4 grid "always left" takes 3 bits and earns 2.7,
    against flat policies 32. Reaching a goal earns much where no short list does it (68 bits in a maze of 15 states,
    27 against flat policies), and little where one does (6 bits by "if b: right; else down", 21 against flat ones).

    continue_probability: chance of one more rule, in (0, 1). state_probability: chance that a condition names a
    state, in [0, 1]; 1 where no feature varies. and_probability: chance of a second literal, in [0, 1).
    max_rules: most rules in a list. All deterministic policies have positive mass if it is at least S - 1.

    A policy costs O(max_rules * S). The world's features have to be known when `jit` traces: close over the world.
    Of a float feature 16 thresholds at most are spoken of, spread evenly over its values. Raises InputError for numbers
    out of range, and where states may not be named but no feature varies.
    """

    continue_probability: float = eqx.field(converter=float, default=0.5)
    state_probability: float = eqx.field(converter=float, default=0.125)
    and_probability: float = eqx.field(converter=float, default=0.25)
    max_rules: int = eqx.field(static=True, default=32)

    def __check_init__(self):
        check_whole("max_rules of DecisionLists", self.max_rules, 1)
        for name, fits, limits in (
            ("continue_probability", 0 < self.continue_probability < 1, "above 0 and below 1"),
            ("state_probability", 0 <= self.state_probability <= 1, "from 0 to 1"),
            ("and_probability", 0 <= self.and_probability < 1, "at least 0 and below 1"),
        ):
            if not fits:
                raise InputError(f"DecisionLists({name}={getattr(self, name)}): it must be {limits}")

    @property
    def atomic(self) -> bool:
        return True

    def sample(self, key, world: World):
        """`[S, A]`, one-hot rows."""
        return self.policy(self.draw(key, world), world)

    def policy(self, program: DecisionList, world: World):
        """`[S, A]` one-hot: what `program` does."""
        vocabulary = _vocabulary(world)
        available, holds = jnp.asarray(world.available), jnp.asarray(vocabulary.holds)
        states = jnp.arange(world.num_states) + len(vocabulary.holds)
        otherwise = jnp.where(available[:, program.default], program.default, available.argmax(-1))

        def overrule(actions, rule):
            slot, (first, second), action = rule
            named = first >= len(vocabulary.holds)
            acts = jnp.where(named, states == first, holds[jnp.where(named, 0, first)] & holds[second])
            acts = acts & available[:, action] & (slot < program.length)
            return jnp.where(acts, action, actions), None

        # From the last rule to the first, which has the last word; memory of one list of actions only.
        rules = jnp.arange(self.max_rules), program.conditions, program.actions
        actions, _ = jax.lax.scan(overrule, otherwise.astype(jnp.int32), rules, reverse=True)
        return jax.nn.one_hot(actions, world.num_actions)

    def draw(self, key, world: World) -> DecisionList:
        """A program from the prior."""
        draws = jax.random.uniform(key, (2 + 6 * self.max_rules,))
        # log(1 - u) / log(c) reaches n with probability c^n.
        length = jnp.floor(jnp.log1p(-draws[0]) / math.log(self.continue_probability)).astype(jnp.int32)
        conditions, actions = jax.vmap(lambda row: self._rule(row, world))(draws[2:].reshape(-1, 6))
        default = _pick(draws[1], world.num_actions)
        return _trimmed(DecisionList(jnp.minimum(length, self.max_rules), conditions, actions, default))

    def value(self, program: DecisionList, world: World, payoffs: Payoffs):
        """Expected utility of what `program` does."""
        return expected_utility(world, self.policy(program, world), payoffs)

    def log_prob(self, program: DecisionList, world: World):
        """Log prior probability of one program, in nats. A policy's is more: it sums over all its programs."""
        vocabulary = _vocabulary(world)
        number = len(vocabulary.log_prob)
        state_probability, and_probability = self._chances(vocabulary)
        literal = jnp.concatenate([jnp.zeros(1), vocabulary.log_prob, jnp.zeros(world.num_states)])
        first, second = program.conditions.T
        named = jnp.log(state_probability) - math.log(world.num_states)
        joined = jnp.where(second > 0, jnp.log(and_probability), jnp.log1p(-and_probability))
        feature = jnp.log1p(-state_probability) + literal[first] + joined + literal[second]
        rules = jnp.where(first > number, named, feature) - math.log(world.num_actions)
        in_use = jnp.arange(self.max_rules) < program.length
        return self._length_log_prob(program.length) + jnp.where(in_use, rules, 0).sum() - math.log(world.num_actions)

    def code_length(self, program: DecisionList, world: World):
        """Bits that `program` takes; 2^-bits sums to 1 over all programs."""
        return -self.log_prob(program, world) / math.log(2)

    def num_moves(self, world: World) -> int:
        """How many moves change a list well: most of them change nothing that matters, and are refused."""
        return 8 * world.num_states

    def perturb(self, key, program: DecisionList, world: World):
        """Change a condition, an action or the default, insert or delete a rule, or swap two neighbours.

        Returns the new program and the log ratio of the move. Whatever is drawn is drawn from the prior, so that of
        the ratio only the price of one more or one less rule is left: `max_rules` and the bit for going on.
        """
        # One draw of numbers for everything: this is the inner loop of splitting.
        draws = jax.random.uniform(key, (9,))
        move = _pick(draws[0], len(_MOVES))
        length = program.length
        grows = (move == _INSERT) & (length < self.max_rules)
        shrinks = (move == _DELETE) & (length > 0)
        places = jnp.where(move == _SWAP, length - 1, length + grows)
        place = _pick(draws[1], jnp.maximum(places, 1))
        # Where each rule of the new list stood in the old one.
        slots = jnp.arange(self.max_rules)
        source = slots - (grows & (slots > place)) + (shrinks & (slots >= place))
        neighbour = jnp.clip(place + 1, 0, jnp.maximum(length - 1, 0))
        swapped = jnp.where(slots == place, neighbour, jnp.where(slots == neighbour, place, slots))
        source = jnp.clip(jnp.where(move == _SWAP, swapped, source), 0, self.max_rules - 1)
        conditions, actions = program.conditions[source], program.actions[source]

        kind = conditions[place] > jnp.array([len(_vocabulary(world).log_prob), 0])
        condition, action = self._rule(draws[3:], world)
        same_kind = _condition(draws[3:], kind, _vocabulary(world))
        new_condition = jnp.where(move == _SAME_KIND, same_kind, condition)
        rewrites = grows | (move == _CONDITION) | (move == _SAME_KIND)
        conditions = conditions.at[place].set(jnp.where(rewrites, new_condition, conditions[place]))
        actions = actions.at[place].set(jnp.where(grows | (move == _ACTION), action, actions[place]))
        default = jnp.where(move == _DEFAULT, _pick(draws[2], world.num_actions), program.default)
        new = _trimmed(DecisionList(length + grows - shrinks, conditions, actions, default))
        return new, self._length_log_prob(new.length) - self._length_log_prob(length)

    def describe(self, program: DecisionList, world: World) -> str:
        """The program as text, such as "if wall: left; if not goal and ice: up; else right"."""
        names = _vocabulary(world).names
        rules = []
        for index in range(int(program.length)):
            condition = " and ".join(names[i] for i in np.asarray(program.conditions[index]) if i)
            rules.append(f"if {condition}: {world.action_names[int(program.actions[index])]}")
        default = world.action_names[int(program.default)]
        return "; ".join([*rules, f"else {default}" if rules else f"always {default}"])

    def _length_log_prob(self, length):
        """A full list has no further rule to refuse."""
        refusal = jnp.where(length < self.max_rules, math.log1p(-self.continue_probability), 0.0)
        return length * math.log(self.continue_probability) + refusal

    def _rule(self, draws, world):
        """A condition and an action from six numbers in [0, 1)."""
        vocabulary = _vocabulary(world)
        kind = draws[4:] < jnp.array(self._chances(vocabulary))
        return _condition(draws, kind, vocabulary), _pick(draws[3], world.num_actions)

    def _chances(self, vocabulary) -> tuple[float, float]:
        """That a condition names a state, and that a literal is joined by another, as far as there are any."""
        number = len(vocabulary.log_prob)
        if not number and not self.state_probability:
            raise InputError(
                "no feature of this world varies, and state_probability is 0, so rules have nothing to speak of; "
                "give DecisionLists a state_probability above 0"
            )
        # Of one bool feature "b and not b" says nothing new.
        return (self.state_probability, self.and_probability if number > 2 else 0.0) if number else (1.0, 0.0)


def _condition(draws, kind, vocabulary):
    """`[2]` indices: a state and nothing, a literal and nothing, or two literals.

    draws: three numbers in [0, 1). kind: whether it names a state; whether a literal is joined by another.
    """
    number = len(vocabulary.log_prob)
    state = 1 + number + _pick(draws[0], vocabulary.holds.shape[1])
    if not number:
        return jnp.stack([state, jnp.zeros_like(state)])
    edges = jnp.cumsum(jnp.exp(jnp.asarray(vocabulary.log_prob)))
    literals = 1 + jnp.minimum(jnp.searchsorted(edges, draws[1:3], side="right"), number - 1).astype(jnp.int32)
    names_state, joins = kind
    first = jnp.where(names_state, state, literals[0])
    return jnp.stack([first, jnp.where(joins & ~names_state, literals[1], 0)])


def _pick(draw, number):
    """A whole number below `number` from one in [0, 1)."""
    return jnp.minimum(jnp.floor(draw * number).astype(jnp.int32), number - 1)


def _trimmed(program: DecisionList) -> DecisionList:
    in_use = jnp.arange(program.actions.shape[0]) < program.length
    conditions = jnp.where(in_use[:, None], program.conditions, 0)
    return program._replace(conditions=conditions, actions=jnp.where(in_use, program.actions, 0))


def _vocabulary(world: World) -> Vocabulary:
    """Features uniformly, then the thresholds of one, then yes or no; a feature that never varies says nothing."""
    literals = [pairs for name, values in world.features.items() if (pairs := _literals(name, np.asarray(values)))]
    holds = [np.ones((1, world.num_states), bool)]
    names = [""]
    log_prob = []
    for pairs in literals:
        for yes, no, amount in pairs:
            holds.append(np.stack([amount, ~amount]))
            names += [yes, no]
            log_prob += [-math.log(2 * len(literals) * len(pairs))] * 2
    names += [f"@{name}" for name in world.state_names]
    return Vocabulary(np.concatenate(holds), tuple(names), np.array(log_prob))


def _literals(name, values):
    """(text, negation, `[S]` where it holds) for a bool feature, or for each threshold of a float one."""
    distinct = np.unique(values)
    if values.dtype == bool:
        return [(name, f"not {name}", values)] if len(distinct) > 1 else []
    cuts = distinct[1:]
    if len(cuts) > _MOST_THRESHOLDS:
        cuts = cuts[np.linspace(0, len(cuts) - 1, _MOST_THRESHOLDS).round().astype(int)]
    return [(f"{name} >= {cut:.6g}", f"{name} < {cut:.6g}", values >= cut) for cut in cuts]

"""What a program may ask for by the names of its arguments, and how it is made."""

import dataclasses
import inspect
import time
from collections.abc import Callable
from functools import cached_property

import jax
import numpy as np
import pandas as pd

from .achievement import achieved_values, started_world
from .behaviour import Behaviour
from .errors import InputError, listed
from .sequences import comparison_world
from .tails import ValueTail, value_tail
from .utilities import Candidates, FeatureWeights, Grammar
from .world.possible import World

# Arrays of the recording: a program is compiled for their shapes, and run on others, such as an empty recording.
RECORDED = ("counts", "actions", "action_values", "subject_counts")
_BOTH = ("world", "candidates", "tails", "intelligence_law", "simplicity")
_OF_READING = {
    "policy": (*RECORDED, "policy_prior", "weights", "atlas", "temperature", "noise", *_BOTH),
    "achieved": ("value", "value_error", "subject_value", "subject_value_error", "subject_tails", *_BOTH),
}
# What is made of candidates.
_OF_CANDIDATES = {"candidates", "tails", "subject_tails", "action_values"}
_OF_CANDIDATES |= {"value", "value_error", "subject_value", "subject_value_error"}
# What a program with **settings gets.
_SETTINGS = {
    "policy": ("policy_prior", "intelligence_law", "simplicity"),
    "achieved": ("intelligence_law", "simplicity"),
}


def asked_for(program: Callable, reading: str) -> tuple[str, ...]:
    """The names of the inputs that `program` takes. Raises InputError for a name that the reading does not have."""
    name = getattr(program, "__name__", program)
    known = _OF_READING[reading]
    try:
        parameters = inspect.signature(program).parameters.values()
    except ValueError:
        raise InputError(f"the program {name!r} does not tell its arguments; write it as a function") from None
    wanted = []
    for one in parameters:
        if one.kind is one.VAR_KEYWORD:
            wanted += [setting for setting in _SETTINGS[reading] if setting not in wanted]
        elif one.kind in (one.VAR_POSITIONAL, one.POSITIONAL_ONLY):
            raise InputError(f"the program {name!r} takes {one}; inputs are given by name, see models/candidates.py")
        elif one.name in known:
            wanted.append(one.name)
        elif one.default is one.empty:
            others = [other for other, names in _OF_READING.items() if one.name in names]
            hint = f"; with reading={others[0]!r} there is one" if others else ""
            raise InputError(
                f"the program {name!r} asks for {one.name!r}, which the {reading} reading does not have{hint}. It "
                f"has {listed(sorted(known), 30)}"
            )
    return tuple(wanted)


def compares_candidates(wanted) -> bool:
    """Whether any of these inputs is made of candidate utilities."""
    return not _OF_CANDIDATES.isdisjoint(wanted)


@dataclasses.dataclass(frozen=True, eq=False)
class Inputs:
    """Everything a program may ask for, each made when first needed."""

    behaviour: Behaviour
    given_world: World
    reading: str
    given_candidates: Candidates | None
    given_weights: FeatureWeights | None
    policy_prior: object
    intelligence_law: object
    simplicity: float
    temperature: object
    noise: object
    operators: str
    num_particles: int
    tail_bits: float
    say: Callable[[str], None]
    seconds: dict

    @cached_property
    def world(self) -> World:
        """The world in which policies are compared."""
        return self._compared(self.behaviour) if self.reading == "achieved" else self.given_world

    def _compared(self, behaviour):
        return comparison_world(started_world(behaviour, self.given_world), self.policy_prior)

    @cached_property
    def candidates(self) -> Candidates:
        if self.given_candidates is not None:
            return self.given_candidates
        self.say("enumerating utilities")
        # In the world where they are compared: over its horizon other programs agree than without end.
        return Grammar(self.world).enumerate(max_bits=12)

    @cached_property
    def weights(self) -> FeatureWeights:
        return FeatureWeights(self.world) if self.given_weights is None else self.given_weights

    @cached_property
    def tails(self) -> ValueTail:
        return self._tails(self.world)

    def _tails(self, world):
        started = time.perf_counter()
        found = value_tail(
            jax.random.key(0),
            world,
            self.candidates.payoffs,
            policy_prior=self.policy_prior,
            num_particles=self.num_particles,
            max_bits=self.tail_bits,
            progress=lambda done, of: self.say(f"value tails {done}/{of}"),
        )
        self.seconds["tails"] = self.seconds.get("tails", 0.0) + time.perf_counter() - started
        return found

    @cached_property
    def counts(self) -> np.ndarray:
        return self.behaviour.counts()

    @cached_property
    def actions(self) -> np.ndarray:
        return self.behaviour.table["action"].to_numpy()

    @cached_property
    def action_values(self) -> np.ndarray:
        from .action_values import decision_values

        self.say("action values")
        return decision_values(self.behaviour, self.world, self.candidates.payoffs)

    @cached_property
    def _achieved(self):
        return achieved_values(self.behaviour, self.world, self.candidates.payoffs)

    @property
    def value(self) -> np.ndarray:
        return self._achieved[0]

    @property
    def value_error(self) -> np.ndarray:
        return self._achieved[1]

    # Many operators: the recording has a column that names them.

    @cached_property
    def subjects(self) -> list:
        """Their labels, sorted."""
        if self.operators not in self.behaviour.table:
            raise InputError(
                f"the recording has no column {self.operators!r} that names its operators; its columns are "
                f"{listed(self.behaviour.table, 20)}. Name one with operators=..."
            )
        column = self.behaviour.table[self.operators]
        if column.isna().any():
            raise InputError(
                f"row {int(column.isna().argmax())} of the recording names no {self.operators}; fill it in"
            )
        try:
            return sorted(column.unique().tolist())
        except TypeError:
            raise InputError(f"the column {self.operators!r} mixes numbers and text; make it one of them") from None

    @cached_property
    def _by_subject(self) -> list[Behaviour]:
        labels, column = self.subjects, self.behaviour.table[self.operators]
        parts = [self.behaviour.table[(column == label).to_numpy()] for label in labels]
        return [dataclasses.replace(self.behaviour, table=part.reset_index(drop=True)) for part in parts]

    @cached_property
    def subject_of_decision(self) -> np.ndarray:
        return pd.Index(self.subjects).get_indexer(self.behaviour.table[self.operators])

    @cached_property
    def subject_counts(self) -> np.ndarray:
        return np.stack([one.counts() for one in self._by_subject])

    @cached_property
    def _subject_achieved(self):
        found = [achieved_values(one, self.world, self.candidates.payoffs) for one in self._by_subject]
        return np.stack([value for value, _ in found]), np.stack([error for _, error in found])

    @property
    def subject_value(self) -> np.ndarray:
        return self._subject_achieved[0]

    @property
    def subject_value_error(self) -> np.ndarray:
        return self._subject_achieved[1]

    @cached_property
    def subject_tails(self) -> ValueTail:
        """`[N, U]`: operators with the same starts have the same tails."""
        worlds = [self._compared(one) for one in self._by_subject]
        starts, which = np.unique([np.asarray(one.initial) for one in worlds], axis=0, return_inverse=True)
        which = which.reshape(-1)
        tails = [self._tails(worlds[int(np.argmax(which == group))]) for group in range(len(starts))]
        longest = max(tail.values.shape[-1] for tail in tails)
        tails = [_padded(tail, longest) for tail in tails]
        stacked = jax.tree.map(lambda *parts: np.stack([np.asarray(part) for part in parts]), *tails)
        return stacked[which]

    def data(self, names, *, empty: bool = False) -> dict:
        """The recorded arrays among `names`; `empty` as if nothing had been recorded."""
        found = {name: getattr(self, name) for name in names if name in RECORDED}
        if not empty:
            return found
        nothing = {"counts": lambda x: 0 * x, "subject_counts": lambda x: 0 * x}
        nothing |= {"actions": lambda x: x[:0], "action_values": lambda x: x[:, :0]}
        return {name: nothing[name](values) for name, values in found.items()}


def _padded(tail, longest):
    """`tail` with its last knot repeated, so that tails of other lengths can be stacked with it."""
    more = longest - tail.values.shape[-1]
    grown = [
        np.pad(np.asarray(part), ((0, 0), (0, more)), mode="edge")
        for part in (tail.values, tail.log2_prob, tail.log2_error)
    ]
    return ValueTail(*grown, tail.tolerance, tail.complete, atomic=tail.atomic)

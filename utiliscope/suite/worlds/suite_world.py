"""`SuiteWorld`: a small world with its true utilities, the language of its candidates, and a changed world."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from utiliscope.utilities import Candidates, Grammar
from utiliscope.world import WorldModel


@dataclass(frozen=True, eq=False)
class SuiteWorld:
    """A task of the suite.

    world: where behaviour is recorded. changed: the same states, actions, features and discount with other moves or
    starts; what was learned in `world` is put to use there.
    utilities: true ones, expressions of the grammar, each of another class of the candidates.
    grammar_bits: candidates are all programs of at most so many bits.
    grammar_weights, grammar_horizon: the dialect of the `Grammar`: which forms it has, and how long a form may look.
        The usual weights spread few bits over many forms, and sums of two terms then come after hundreds of others.
    num_steps: decisions in a recorded episode.
    partial: whether recordings begin in one place and are too short to get everywhere.
    """

    world: WorldModel
    changed: WorldModel
    utilities: tuple[str, ...]
    grammar_bits: float | int
    grammar_weights: Mapping[str, float] | None
    grammar_horizon: int
    num_steps: int
    partial: bool = False

    @cached_property
    def grammar(self) -> Grammar:
        """The prior over utilities of `world`."""
        return Grammar(self.world, weights=self.grammar_weights, horizon=self.grammar_horizon)

    @cached_property
    def candidates(self) -> Candidates:
        """The candidates of the grammar up to `grammar_bits`, 20 to 60 of them."""
        return self.grammar.enumerate(max_bits=self.grammar_bits)

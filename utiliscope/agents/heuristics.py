"""A bundle of heuristics: condition-action rules with weights, and nothing that they are for."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from utiliscope.behaviour import Behaviour
from utiliscope.errors import check_whole
from utiliscope.world.possible import World
from utiliscope.world.transition import likeliest

from .simulate import check_actual, simulate


class Rules(NamedTuple):
    """`n` rules: `met` `[n, S]` where each applies; `action` `[n]`; `weight` `[n]`, added to the log odds of it."""

    met: np.ndarray
    action: np.ndarray
    weight: np.ndarray


@dataclass(frozen=True)
class Heuristics:
    """Follows `num_rules` rules such as "with a wall to the left, go up": what it is given to pursue is ignored.

    A rule's condition is that a feature holds, or does not, where the agent is or where one of the actions would most
    likely take it; amounts count as holding above their median, and in a world without features half of the states are
    a feature each time. Its action and its weight, exponential with mean `strength`, are drawn as well. The weights of
    all rules that apply add up to the log odds of actions. The rules are drawn from `seed`, and are the same in all
    recordings of one world.

    References: Newell and Simon (1972), Human Problem Solving; Gigerenzer, Todd and the ABC Research Group (1999),
    Simple Heuristics That Make Us Smart.
    """

    num_rules: int = 6
    strength: float | int = 2.0
    seed: int = 0

    def __post_init__(self):
        check_whole("num_rules", self.num_rules, 1)
        check_whole("seed", self.seed, 0)

    def pursued(self, world: World, utility) -> None:
        """Nothing."""
        return None

    def rules(self, world: World) -> Rules:
        """The rules in this world."""
        random = np.random.default_rng(self.seed)
        ahead, _ = likeliest(world.transition)
        features = [np.asarray(world.features[name]) for name in sorted(world.features)]
        met = []
        for _ in range(self.num_rules):
            if features:
                values = features[random.integers(len(features))]
                holds = values if values.dtype == bool else values > np.median(values)
            else:
                holds = random.permutation(world.num_states) < world.num_states / 2
            where = random.integers(world.num_actions + 1)
            holds = holds if where == world.num_actions else holds[ahead[:, where]]
            met.append(holds ^ bool(random.integers(2)))
        action = random.integers(world.num_actions, size=self.num_rules)
        return Rules(np.array(met), action, random.exponential(self.strength, self.num_rules))

    def policy(self, world: World, utility=None) -> np.ndarray:
        """`[S, A]` what it does."""
        check_actual(world)
        rules = self.rules(world)
        chosen = np.eye(world.num_actions)[rules.action]
        scores = np.einsum("ns,na->sa", rules.met * rules.weight[:, None], chosen)
        odds = np.where(np.asarray(world.available), np.exp(scores - scores.max(-1, keepdims=True)), 0.0)
        return odds / odds.sum(-1, keepdims=True)

    def record(self, key, world: World, utility, *, num_episodes: int, num_steps: int) -> Behaviour:
        """See `Agent.record`."""
        return simulate(key, world, self.policy(world), num_episodes=num_episodes, num_steps=num_steps)

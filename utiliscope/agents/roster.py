"""The agents of the suite by name, each with what is left out together with it when settings are tuned."""

from pathlib import Path
from typing import NamedTuple

from utiliscope.errors import InputError, listed
from utiliscope.programs import run_file

from .anti_rational import AntiRational
from .boltzmann import Boltzmann
from .clockwork import Clockwork
from .degenerate import AntiRationalNegated, Indifferent
from .drift import Drift
from .epsilon_random import EpsilonRandom
from .fixed_route import FixedRoute
from .forgetful import Forgetful
from .habitual import Habitual
from .heuristics import Heuristics
from .hyperbolic import Hyperbolic
from .lookahead import Lookahead
from .loss_averse import LossAverse
from .myopic import Myopic
from .optimal import Optimal
from .overconfident import Overconfident
from .proxy import ProxySeeker
from .q_learning import QLearner
from .random_walk import RandomWalk
from .satisficing import Satisficing
from .thermostat import Thermostat
from .tree_search import TreeSearch
from .two_goals import TwoGoals
from .underconfident import Underconfident


class Entry(NamedTuple):
    """An agent of the suite (see `agent.Agent`).

    family: its kind of error; agents of one family are left out together. kind: "agent" for those that are after
    something; "degenerate" for those recorded as the optimal agent is that are after something else, which no
    behaviour can tell; "null" for what is after nothing.
    """

    agent: object
    family: str
    kind: str = "agent"


ROSTER: dict[str, Entry] = {
    "optimal": Entry(Optimal(), "optimal"),
    "epsilon-0.1": Entry(EpsilonRandom(0.1), "epsilon"),
    "epsilon-0.3": Entry(EpsilonRandom(0.3), "epsilon"),
    "epsilon-0.6": Entry(EpsilonRandom(0.6), "epsilon"),
    "boltzmann-0.1": Entry(Boltzmann(0.1), "boltzmann"),
    "boltzmann-0.3": Entry(Boltzmann(0.3), "boltzmann"),
    "boltzmann-1": Entry(Boltzmann(1.0), "boltzmann"),
    "myopic-0.3": Entry(Myopic(0.3), "myopic"),
    "myopic-0.8": Entry(Myopic(0.8), "myopic"),
    "hyperbolic-naive": Entry(Hyperbolic(1.0), "hyperbolic"),
    "hyperbolic-sophisticated": Entry(Hyperbolic(1.0, sophisticated=True), "hyperbolic"),
    "overconfident": Entry(Overconfident(4.0), "confidence"),
    "underconfident": Entry(Underconfident(0.4), "confidence"),
    "lookahead-1": Entry(Lookahead(1), "lookahead"),
    "lookahead-3": Entry(Lookahead(3), "lookahead"),
    "habitual-0.3": Entry(Habitual(0.3), "habitual"),
    "habitual-0.6": Entry(Habitual(0.6), "habitual"),
    "satisficing-0.5": Entry(Satisficing(0.5), "satisficing"),
    "satisficing-1": Entry(Satisficing(1.0), "satisficing"),
    "loss-averse": Entry(LossAverse(2.25), "loss-averse"),
    "forgetful-0.1": Entry(Forgetful(0.1), "forgetful"),
    "forgetful-0.3": Entry(Forgetful(0.3), "forgetful"),
    "mcts-4": Entry(TreeSearch(4), "mcts"),
    "mcts-16": Entry(TreeSearch(16), "mcts"),
    "mcts-64": Entry(TreeSearch(64), "mcts"),
    "q-learning-early": Entry(QLearner(300), "q-learning"),
    "q-learning-late": Entry(QLearner(200_000), "q-learning"),
    "two-goals": Entry(TwoGoals(5), "two-goals"),
    "proxy": Entry(ProxySeeker(), "proxy"),
    "anti-rational": Entry(AntiRational(), "anti-rational"),
    "degenerate-indifferent": Entry(Indifferent(), "degenerate", "degenerate"),
    "degenerate-negated": Entry(AntiRationalNegated(), "degenerate", "degenerate"),
    "heuristics": Entry(Heuristics(), "heuristics", "null"),
    "random": Entry(RandomWalk(), "random", "null"),
    "thermostat": Entry(Thermostat(), "thermostat", "null"),
    "drift": Entry(Drift(), "drift", "null"),
    "fixed-route": Entry(FixedRoute(), "fixed-route", "null"),
    "clockwork": Entry(Clockwork(), "clockwork", "null"),
}


def read_roster(path: str | None = None, name: str = "ROSTER") -> dict[str, Entry]:
    """The agents of the suite and, with a `path`, those that a Python file of the user's adds under `name`.

    path: "FILE.py" or "FILE.py:NAME". The file is run, only because it is named here; NAME is a dict from names to
    `Entry`, or to agents, each of which is then a family of its own. Raises InputError for a file that cannot be run,
    for anything else in it, for names of agents or families that `--agents` could not name, and for names that are
    taken.
    """
    if path is None:
        return ROSTER
    file, _, given = path.partition(":")
    own = getattr(run_file(Path(file), "agents"), given or name, None)
    if not isinstance(own, dict) or not own:
        raise InputError(f"{file} has no dict {given or name!r} of agents; write {given or name} = {{'name': agent}}")
    entries = {key: value if isinstance(value, Entry) else Entry(value, key) for key, value in own.items()}
    unfit = [name for key, entry in entries.items() for name in (key, entry.family) if not _can_be_named(name)]
    if unfit:
        raise InputError(
            f"{file}: {given or name} has {listed(dict.fromkeys(map(repr, unfit)))} for the name of an agent or a "
            "family; give texts without commas, and without blanks at the ends, such as 'sleepy'"
        )
    bad = [key for key, entry in entries.items() if not callable(getattr(entry.agent, "record", None))]
    if bad:
        raise InputError(f"{file}: {listed(bad)} cannot be recorded; an agent has a method `record` (see agents.Agent)")
    taken = sorted(entries.keys() & ROSTER.keys())
    if taken:
        raise InputError(f"{file}: {listed(taken)} is the name of an agent of the suite; call it otherwise")
    return ROSTER | entries


def _can_be_named(name) -> bool:
    """Whether `name` can stand in a list by commas."""
    return isinstance(name, str) and bool(name) and "," not in name and name == name.strip()

"""Agents whose utility is known, for the suite: those that err in one way each, and things that are after nothing.

One idea a file. `ROSTER` has them by name with the settings of the suite. Files load on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "agent": ["Agent", "policy", "pursued"],
        "simulate": ["play", "simulate"],
        "course": ["Course", "follow"],
        "course_value": ["course_value"],
        "optimal": ["Optimal"],
        "epsilon_random": ["EpsilonRandom"],
        "boltzmann": ["Boltzmann"],
        "myopic": ["Myopic"],
        "hyperbolic": ["Hyperbolic"],
        "overconfident": ["Overconfident"],
        "underconfident": ["Underconfident"],
        "lookahead": ["Lookahead"],
        "habitual": ["Habitual"],
        "satisficing": ["Satisficing"],
        "loss_averse": ["LossAverse"],
        "forgetful": ["Forgetful"],
        "tree_search": ["TreeSearch"],
        "q_learning": ["QLearner"],
        "two_goals": ["TwoGoals"],
        "proxy": ["ProxySeeker"],
        "anti_rational": ["AntiRational"],
        "degenerate": ["AntiRationalNegated", "Indifferent"],
        "heuristics": ["Heuristics"],
        "random_walk": ["RandomWalk"],
        "thermostat": ["Thermostat"],
        "drift": ["Drift"],
        "fixed_route": ["FixedRoute"],
        "clockwork": ["Clockwork"],
        "roster": ["ROSTER", "Entry"],
    },
)

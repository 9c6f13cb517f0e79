"""Intelligence-weighted inverse reinforcement learning: from recorded behaviour to a posterior over utilities.

The public names, in the order of the pipeline. Modules load on first use, so that `utiliscope --help` does
not wait for JAX.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "errors": ["InputError"],
        "world": [
            "PossibleWorlds",
            "SparseTransition",
            "WorldModel",
            "from_gymnasium",
            "gridworld",
            "possible_worlds",
            "read_world",
            "sparse_transition",
            "world_model",
            "write_world",
        ],
        "behaviour": ["Behaviour", "read_behaviour"],
        "automata": ["Automaton"],
        "payoffs": ["Payoffs"],
        "policies": ["Dirichlet", "UniformDeterministic"],
        "values": ["arrival", "expected_utility", "occupancy"],
        "sequences": ["ActionSequences"],
        "decision_lists": ["DecisionLists"],
        "planning": ["optimal_policy"],
        "estimate": ["Estimate"],
        "rarity": ["intelligence"],
        "tails": ["ValueTail", "load_value_tail", "save_value_tail", "value_tail"],
        "laplace": ["laplace_bits"],
        "laws": [
            "BumpLaw",
            "DensityLaw",
            "ExponentialLaw",
            "RandomMixture",
            "intelligence_survival",
            "log_normaliser",
        ],
        "utilities": [
            "Candidates",
            "FeatureWeights",
            "Grammar",
            "SparseWeights",
            "StackMachine",
            "UtilityPrior",
            "candidate_set",
        ],
        "achieved_likelihood": ["achieved_log_likelihood"],
        "program_posterior": ["ProgramPosterior", "sample_programs"],
        "marginal": ["Evidence", "marginal_evidence"],
        "beta_path": ["law_path", "takeovers"],
        "inference": ["fit"],
        "diagnostics": ["ConvergenceWarning"],
        "checks": ["check_posterior"],
        "summaries": ["subject_table", "weight_table"],
        "parameters": ["parameter_table"],
        "posterior": ["load_posterior", "save_posterior", "utility_table"],
        "power_scaling": ["PowerScaled", "power_scaled", "trade_off_sensitivity"],
        "aggregation": ["aggregate_utility"],
        "distances": ["epic_distance", "starc_distance"],
        "regret": ["acting_regrets", "random_regrets", "stakes"],
        "competence": ["Competence", "behaviour_intelligence"],
        "plots": ["plot_diagnostics", "plot_recording", "plot_tradeoff", "plot_utilities"],
        "tradeoff_plot": ["tradeoff_front"],
        "beta_path_plot": ["plot_law_path"],
        "sensitivity_plot": ["plot_sensitivity"],
        "weight_plot": ["plot_weights"],
        "parameter_plot": ["plot_parameters"],
        "report": ["write_report"],
        "tuning.weights_file": ["Weights", "read_weights", "write_weights"],
    },
)

__version__ = "0.1.0"

"""Utilities: programs over state sequences, their description lengths, and the candidates that are compared."""

from .candidates import Candidates
from .chosen import candidate_set
from .feature_weights import FeatureWeights
from .grammar import Grammar
from .priors import UtilityPrior
from .sparse_weights import SparseWeights
from .stack_machine import StackMachine

__all__ = ["Candidates", "FeatureWeights", "Grammar", "SparseWeights", "StackMachine", "UtilityPrior", "candidate_set"]

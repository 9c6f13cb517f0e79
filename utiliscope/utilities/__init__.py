"""Utilities: programs over state sequences, their description lengths, and the candidates that are compared."""

from .candidates import Candidates
from .chosen import candidate_set
from .grammar import Grammar

__all__ = ["Candidates", "Grammar", "candidate_set"]

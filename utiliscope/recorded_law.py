"""The intelligence law that a posterior was made with, read from what the posterior says of itself."""

import ast

import xarray as xr

from .laws import BumpLaw, ExponentialLaw, IntelligenceLaw, RandomMixture

_LAWS = {law.__name__: law for law in (BumpLaw, ExponentialLaw, RandomMixture)}


def recorded_law(posterior: xr.DataTree) -> IntelligenceLaw | None:
    """The law, if it is one of the package's and its parameters are numbers; None for all others.

    What is read is the attribute `intelligence_law`, text such as "ExponentialLaw(beta=0.8)".
    """
    try:
        return _law(ast.parse(str(posterior["posterior"].attrs.get("intelligence_law", "")), mode="eval").body)
    except (SyntaxError, ValueError):
        return None


def _law(node) -> IntelligenceLaw:
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _LAWS):
        raise ValueError
    return _LAWS[node.func.id](**{keyword.arg: _parameter(keyword.value) for keyword in node.keywords})


def _parameter(node):
    return _law(node) if isinstance(node, ast.Call) else float(ast.literal_eval(node))

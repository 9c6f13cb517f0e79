"""Shapes and types of the package are checked at every call, from here on."""

import functools
import inspect
import types
import typing

# Imported before the hook, which would have Python compile anew whatever else is imported inside the package.
import arviz  # noqa: F401
import beartype
import equinox  # noqa: F401
import jaxtyping
import matplotlib.pyplot  # noqa: F401
import mctx  # noqa: F401
import numpyro.infer.reparam  # noqa: F401
import pandas  # noqa: F401
import scipy.signal
import scipy.stats  # noqa: F401
from jaxtyping import install_import_hook

import utiliscope.agents.q_learning_kernel
import utiliscope.climbing
import utiliscope.kernel_cache
import utiliscope.low_rank
import utiliscope.memory_classes
import utiliscope.memoryless_kernels
import utiliscope.node_systems
import utiliscope.residue_walks
import utiliscope.residues
import utiliscope.row_kernels
import utiliscope.splitting
import utiliscope.tables  # noqa: F401 - compiled code takes no wrappers


@beartype.beartype
def _(number: int | None, names: list[str]) -> tuple[int, ...]:
    """Imports what beartype imports on its first use."""


def of_shapes(annotation):
    """Whether an annotation may speak of shapes, for which jaxtyping keeps books at every call."""
    if isinstance(annotation, str | typing.ForwardRef | typing.TypeVar):
        return True
    inner = (*typing.get_args(annotation), typing.get_origin(annotation))
    return "jaxtyping" in f"{type(annotation).__module__} {getattr(annotation, '__module__', '')}" or any(
        of_shapes(part) for part in inner if part is not None
    )


def checked(whole, typechecker):
    """`jaxtyping.jaxtyped`, but of functions without shapes types alone are checked, in a tenth of the time."""

    def decorate(function):
        plain = isinstance(function, types.FunctionType) and not inspect.isgeneratorfunction(function)
        if not plain or any(map(of_shapes, function.__annotations__.values())):
            return whole(function, typechecker=typechecker)
        return typechecker(function) if function.__annotations__ else function

    return decorate


jaxtyping.jaxtyped = functools.partial(checked, jaxtyping.jaxtyped)
hook = install_import_hook("utiliscope", "beartype.beartype")
hook.__enter__()

"""Every test runs in float64, with shapes and types of the package checked."""

import functools
import inspect
import os
import tempfile
import types
import typing

# Before the package is imported: its own cache stays out of the user's.
os.environ["UTILISCOPE_CACHE"] = tempfile.mkdtemp(prefix="utiliscope-tests-")
os.environ.setdefault("MPLBACKEND", "agg")
# Programs that are compiled again and again are compiled once, by any worker, command line or notebook.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", tempfile.mkdtemp(prefix="utiliscope-compiled-"))
# Most tests compile more than they compute; the long ones run what is shipped (see the Makefile).
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "true")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.05")

# Imported before the hook, which would have Python compile anew whatever else is imported inside the package.
import arviz  # noqa: F401
import beartype
import equinox  # noqa: F401
import jaxtyping
import matplotlib.pyplot
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

import jax  # noqa: E402
import pytest  # noqa: E402

jax.config.update("jax_enable_x64", True)


@pytest.fixture
def key():
    return jax.random.key(0)


@pytest.fixture
def plain_pictures(monkeypatch):
    """Pictures take most of a report's time: for tests that look at its words alone."""
    for name in ("plot_utilities", "plot_tradeoff", "plot_recording", "plot_diagnostics", "plot_sensitivity"):
        monkeypatch.setattr(f"utiliscope.report.{name}", lambda *_: matplotlib.figure.Figure(figsize=(1, 1)))

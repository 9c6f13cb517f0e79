"""Every test runs in float64, with shapes and types of the package checked."""

import os
import tempfile

import pytest

# Before the package is imported: its own cache stays out of the user's.
os.environ["UTILISCOPE_CACHE"] = tempfile.mkdtemp(prefix="utiliscope-tests-")
os.environ.setdefault("MPLBACKEND", "agg")
# Programs that are compiled again and again are compiled once, by any worker, command line or notebook.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", tempfile.mkdtemp(prefix="utiliscope-compiled-"))
# Most tests compile more than they compute; the long ones run what is shipped (see the Makefile).
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "true")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.05")


def pytest_sessionstart(session):
    # What hands tests out to others runs none.
    if session.config.getoption("dist", "no") == "no":
        import checked_calls  # noqa: F401
        import jax

        jax.config.update("jax_enable_x64", True)


@pytest.fixture
def key():
    import jax

    return jax.random.key(0)


@pytest.fixture
def plain_pictures(monkeypatch):
    """Pictures take most of a report's time: for tests that look at its words alone."""
    from matplotlib.figure import Figure

    for name in ("plot_utilities", "plot_tradeoff", "plot_recording", "plot_diagnostics", "plot_sensitivity"):
        monkeypatch.setattr(f"utiliscope.report.{name}", lambda *_: Figure(figsize=(1, 1)))

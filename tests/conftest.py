"""Every test runs in float64, with shapes and types of the package checked."""

import os
import tempfile

# Before the package is imported: its own cache stays out of the user's.
os.environ["UTILISCOPE_CACHE"] = tempfile.mkdtemp(prefix="utiliscope-tests-")
os.environ.setdefault("MPLBACKEND", "agg")

from jaxtyping import install_import_hook

import utiliscope.memoryless_kernels
import utiliscope.node_systems
import utiliscope.residues
import utiliscope.row_kernels
import utiliscope.splitting
import utiliscope.tables  # noqa: F401 - compiled code takes no wrappers

hook = install_import_hook("utiliscope", "beartype.beartype")
hook.__enter__()

import jax  # noqa: E402
import pytest  # noqa: E402

jax.config.update("jax_enable_x64", True)
# Programs that are compiled again and again, by `fit` above all, are compiled once.
jax.config.update("jax_compilation_cache_dir", os.path.join(os.environ["UTILISCOPE_CACHE"], "compiled"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


@pytest.fixture
def key():
    return jax.random.key(0)

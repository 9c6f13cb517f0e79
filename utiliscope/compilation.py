"""Compiled code kept on disk, so that a second run does not wait for the compiler.

To be called before JAX is imported: it is set up through environment variables.
"""

import hashlib
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .cache import cache_folder

# JAX's own threshold of a second would leave out most of what a small run compiles.
_WORTH_KEEPING = 0.3  # seconds


def keep_compiled_code() -> Path | None:
    """Have JAX keep compiled code beside the other results; the folder, or None if the user turned it off.

    UTILISCOPE_CACHE=off turns it off; a JAX_COMPILATION_CACHE_DIR that is set already is left as it is.
    """
    chosen = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    if chosen is not None:
        return Path(chosen) if chosen else None
    kept_in = cache_folder()
    if kept_in is None:
        return None
    folder = kept_in / "compiled" / machine_key()
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", str(_WORTH_KEEPING))
    return folder


def machine_key() -> str:
    """jaxlib's version and a hash of what the processor can do: code compiled for one is no good for another."""
    try:
        jaxlib = version("jaxlib")
    except PackageNotFoundError:
        jaxlib = "unknown"
    abilities = hashlib.sha256(f"{platform.machine()} {_processor_flags()}".encode()).hexdigest()[:12]
    return f"jaxlib-{jaxlib}-{abilities}"


def _processor_flags() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            return next(line for line in lines if line.lower().startswith(("flags", "features")))
    except (OSError, StopIteration):
        return platform.processor()

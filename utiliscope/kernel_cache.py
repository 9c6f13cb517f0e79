"""Numba's compiler, for code that stays compiled on disk: what older sources were compiled to is dropped first.

Numba looks at the file of a function alone, and not at those of the functions that were compiled into it.
"""

from pathlib import Path

from numba import njit  # noqa: F401 - for the modules that are compiled


def drop_stale(folder: Path) -> None:
    """Delete indices of compiled code in and below `folder` that are older than a source that imports this module."""
    sources = [path for path in folder.rglob("*.py") if b"kernel_cache import njit" in path.read_bytes()]
    newest = max((path.stat().st_mtime for path in sources), default=0.0)
    for index in folder.rglob("__pycache__/*.nbi"):
        # Another process may have deleted it; where nothing can be written, nothing was.
        try:
            if index.stat().st_mtime < newest:
                index.unlink()
        except OSError:
            continue


drop_stale(Path(__file__).parent)

"""Arrays kept on disk under the hash of what they were computed from.

The folder is the platform's cache folder, or the one named by UTILISCOPE_CACHE; UTILISCOPE_CACHE=off keeps nothing.
"""

import contextlib
import dataclasses
import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import platformdirs


def cache_folder() -> Path | None:
    """Where results are kept, or None if the user turned it off."""
    chosen = os.environ.get("UTILISCOPE_CACHE", "")
    if chosen.lower() in ("off", "0", "none"):
        return None
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("utiliscope"))


def fingerprint(*parts) -> str:
    """Hash of arrays (type, shape, content) and of everything else by its repr."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            text = f"{part.dtype.str}{part.shape}"
            digest.update(text.encode() + np.ascontiguousarray(part).tobytes())
        else:
            digest.update(f"|{part!r}|".encode())
    return digest.hexdigest()


def described(noun) -> str:
    """A prior or law with all its parameters, the same text for equal ones: `Dirichlet(concentration=1.0)`."""
    if dataclasses.is_dataclass(noun):
        parameters = {field.name: getattr(noun, field.name) for field in dataclasses.fields(noun)}
    else:  # a NumPyro distribution
        parameters = {name: getattr(noun, name) for name in getattr(noun, "arg_constraints", ())}
    return f"{type(noun).__name__}({', '.join(f'{name}={_shown(value)}' for name, value in parameters.items())})"


def _shown(value) -> str:
    if np.ndim(value):
        # The text of a large array leaves numbers out.
        array = np.asarray(value)
        return f"{'x'.join(map(str, array.shape))} numbers, {fingerprint(array)[:16]}"
    return described(value) if hasattr(value, "log_prob") else str(value)


def kept(kind: str, name: str, compute: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The arrays kept as `name`, or those of `compute()`, kept for the next time.

    A file is written whole or not at all; one that cannot be read is computed anew, and a folder that cannot be
    written costs only the keeping.
    """
    arrays = found(kind, name)
    if arrays is None:
        arrays = compute()
        keep(kind, name, arrays)
    return arrays


def found(kind: str, name: str) -> dict[str, np.ndarray] | None:
    """The arrays kept as `name`, or None."""
    folder = cache_folder()
    if folder is None:
        return None
    path = folder / kind / f"{name}.npz"
    # A damaged file raises almost anything: BadZipFile, NotImplementedError, SyntaxError, MemoryError, ...
    with contextlib.suppress(Exception), open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
        if str(arrays.pop("fingerprint")) == _of_all(arrays):
            return arrays
    return None


def keep(kind: str, name: str, arrays: dict[str, np.ndarray]) -> None:
    """Keep arrays as `name`, if they can be kept."""
    folder = cache_folder()
    if folder is None:
        return
    path = folder / kind / f"{name}.npz"
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_arrays(path, dict(arrays, fingerprint=np.array(_of_all(arrays))))


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write an npz file, whole or not at all."""
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
        np.savez(file, **arrays)
    os.replace(file.name, path)


def _of_all(arrays) -> str:
    """What a file must still hold: a damaged index can hide an array without any error."""
    return fingerprint(*(part for name in sorted(arrays) for part in (name, np.asarray(arrays[name]))))

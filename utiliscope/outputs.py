"""Results on disk: written whole or not at all."""

import contextlib
import os
import secrets
import shutil
import tempfile
from pathlib import Path

from .errors import InputError


@contextlib.contextmanager
def written_whole(path: Path):
    """A file beside `path` that takes its place once all of it is there.

    Raises InputError if it cannot be written.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        try:
            yield partial
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(
            f"{path} cannot be written: {error.strerror or error}; name a file in a folder that exists and is yours"
        ) from None


@contextlib.contextmanager
def output_folder(out: Path):
    """`out`, made and tried before the work begins; what was made goes away again if the run fails.

    Yields what takes it back.
    """
    made = []
    try:
        for folder in [*reversed(out.parents), out]:
            if not folder.exists():
                folder.mkdir()
                made.append(folder)
        if not out.is_dir():
            raise NotADirectoryError(0, "it is a file")
        tempfile.TemporaryFile(dir=out).close()
    except OSError as error:
        _remove(made)
        raise InputError(
            f"{out} cannot be written: {error.strerror or error}; choose another folder with --out"
        ) from None
    try:
        yield lambda: _remove(made)
    except BaseException:
        _remove(made)
        raise


def _remove(made):
    """Empty folders of `made`, the last first."""
    for folder in reversed(made):
        with contextlib.suppress(OSError):
            folder.rmdir()


@contextlib.contextmanager
def together(out: Path, names, run, *, instead_of=()):
    """A folder whose files `names` move into `out` once all of them are there; `run.clean_up` takes it back.

    instead_of: names of what an earlier run may have left in `out` and this one does not write; taken away then.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix=".utiliscope-", dir=out))
        made, run.clean_up = run.clean_up, lambda: (shutil.rmtree(folder, ignore_errors=True), made())
        try:
            yield folder
            for name in names:
                os.replace(folder / name, out / name)
            for name in instead_of:
                (out / name).unlink(missing_ok=True)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror or error}; see that it has room") from None

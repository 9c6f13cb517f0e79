"""What compiled code on disk outlives: nothing that it was compiled from."""

import os
from pathlib import Path

import utiliscope
from utiliscope.kernel_cache import drop_stale


def test_what_is_older_than_a_source_goes(tmp_path):
    def write(name, text, when):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        os.utime(path, (when, when))
        return path

    write("kernels.py", "from .kernel_cache import njit\n", 100)
    changed = write("parts.py", "from .kernel_cache import njit\n", 200)
    write("plain.py", "import numpy\n", 900)
    old, new = (write(f"__pycache__/kernels.{when}.nbi", "", when) for when in (150, 250))
    bytecode = write("__pycache__/kernels.pyc", "", 50)
    (tmp_path / "part").mkdir()
    write("part/kernels.py", "from utiliscope.kernel_cache import njit\n", 100)
    below = write("part/__pycache__/kernels.150.nbi", "", 150)
    drop_stale(tmp_path)
    assert not old.exists() and not below.exists() and new.exists() and bytecode.exists()
    os.utime(changed, (300, 300))
    drop_stale(tmp_path)
    assert not new.exists() and bytecode.exists()
    drop_stale(tmp_path / "nowhere")


def test_every_compiled_module_is_watched():
    for path in Path(utiliscope.__file__).parent.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if "@njit" in text:
            assert "kernel_cache import njit" in text, path

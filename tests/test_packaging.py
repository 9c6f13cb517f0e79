"""What is installed is what is in the checkout: packages, data, templates and public names."""

import importlib
import os
import pathlib
import pkgutil
import re
import shutil
import subprocess
import sys
import tomllib

import pytest

import utiliscope
from utiliscope.programs import SHIPPED, load_program

ROOT = pathlib.Path(__file__).parent.parent
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
EXPORTS = [name for name in utiliscope.__all__ if not name.startswith("_")]


def test_every_folder_of_the_package_is_listed():
    folders = {"utiliscope": "utiliscope"}
    for top, package in (("utiliscope", "utiliscope"), ("models", "utiliscope.models"), ("data", "utiliscope.data")):
        for init in (ROOT / top).rglob("__init__.py"):
            inside = init.parent.relative_to(ROOT / top).parts
            folders[".".join((package, *inside))] = str(init.parent.relative_to(ROOT))
    assert set(SETTINGS["packages"]) == set(folders)
    moved = {name: folder for name, folder in folders.items() if folder != name.replace(".", "/")}
    assert {name: SETTINGS["package-dir"].get(name) for name in moved} == moved


@pytest.mark.parametrize(
    ("module", "file"), [("models.candidates", "models/candidates.py"), ("data", "data/__init__.py")]
)
def test_folders_at_the_root_are_imported_from_the_checkout(module, file):
    found = importlib.import_module(f"utiliscope.{module}").__file__
    assert pathlib.Path(found).resolve() == (ROOT / file).resolve()


def test_a_program_a_file():
    """Each as long as a page, called like its file, and found by its name."""
    files = [file for file in (ROOT / "models").glob("*.py") if file.stem != "__init__"]
    assert {file.stem for file in files} == set(SHIPPED)
    for file in files:
        text = file.read_text()
        assert 20 <= len(text.splitlines()) <= 60, file.name
        assert re.findall(r"^def (\w+)", text, re.MULTILINE) == [file.stem]
        assert load_program(file.stem).__name__ == file.stem


def test_public_names_resolve():
    for name in EXPORTS:
        assert getattr(utiliscope, name) is not None


def test_no_module_is_called_like_an_export():
    # Importing such a module would put it in the place of the export.
    modules = {module.name for module in pkgutil.iter_modules(utiliscope.__path__)}
    packages = {"world", "utilities", "models", "data"}
    functions = {name for name in EXPORTS if name not in modules or not hasattr(getattr(utiliscope, name), "__path__")}
    assert modules & functions == set()
    assert packages & functions == set()


def test_constraints_name_versions_only():
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9A-Za-z.+!]+( *;.*)?", line), line
        assert "://" not in line and "@" not in line


def test_the_wheel_holds_programs_data_and_templates(tmp_path):
    """Built from a copy, installed into an empty folder, imported from outside the checkout."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("utiliscope", "models", "data"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "uv", "pip", "install", "--python", sys.executable, "--no-deps", "--target"]
    done = subprocess.run([*command, str(target), str(source)], capture_output=True, text=True)
    if "No module named uv" in done.stderr:
        pytest.skip("uv, which `make setup` installs, is not there to build with")
    assert done.returncode == 0, done.stderr

    package = target / "utiliscope"
    for file in ("models/candidates.py", "data/courier.csv", "data/courier.json"):
        assert (package / file).is_file(), file
    assert list((package / "templates").glob("*.html"))
    look = (
        "import utiliscope, utiliscope.models, utiliscope.data as data; "
        "assert data.path('courier.csv').is_file(); print(utiliscope.__file__, utiliscope.models.__file__, sep='\\n')"
    )
    environment = {**os.environ, "PYTHONPATH": str(target)}
    found = subprocess.run([sys.executable, "-c", look], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert all(file.startswith(str(package)) for file in found.stdout.split("\n") if file)

"""Find the program that a user named: one that ships, or a function in a Python file."""

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path

from .errors import USERS, InputError, users_line

# Each in a file of its own, utiliscope.models.NAME.
SHIPPED = (
    "candidates",
    "achieved",
    "noisy",
    "population",
    "achieved_population",
    "weights",
    "boltzmann",
    "boltzmann_weights",
    "maxent",
    "maxent_weights",
)
# Names that stand for another program under the achieved reading.
_ACHIEVED = {"candidates": "achieved", "population": "achieved_population"}
_READINGS = ("policy", "achieved")


def load_program(program: str | Callable, reading: str = "policy") -> Callable:
    """The NumPyro program called `program`.

    program: a shipped name, a function, or "FILE.py" or "FILE.py:FUNCTION" (by default the function called like
    the file, else the only one in it). Under the achieved reading "candidates" stands for `achieved` and "population"
    for `achieved_population`. A file is run only because it is named here.
    """
    if reading not in _READINGS:
        raise InputError(f"reading is {reading!r}; choose policy or achieved")
    if callable(program):
        return program
    file, _, function = program.partition(":")
    if not file.endswith(".py"):
        if program not in SHIPPED:
            raise InputError(
                f"there is no program {program!r}; choose {', '.join(SHIPPED)}, or name a file: my.py:function"
            )
        name = _ACHIEVED.get(program, program) if reading == "achieved" else program
        return getattr(importlib.import_module(f"utiliscope.models.{name}"), name)
    return _from_file(Path(file), function)


def _from_file(path: Path, function: str) -> Callable:
    module = run_file(path, "program")
    own = {
        name: value
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
    }
    wanted = function or (path.stem if path.stem in own or len(own) != 1 else next(iter(own)))
    if wanted not in own:
        there = f"it defines {', '.join(own)}" if own else "it defines no function"
        raise InputError(f"the program file {path} has no function {wanted!r}; {there}. Name one: {path.name}:FUNCTION")
    return own[wanted]


def run_file(path: Path, what: str):
    """The module of a Python file that the user named; raises InputError if there is none, or if it cannot be run."""
    if not path.is_file():
        raise InputError(f"the {what} file {path} does not exist")
    # Dataclasses look up the module that they are written in: it has to be known, and not under a name of others.
    name = f"{USERS}{what}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]}"
    spec = importlib.util.spec_from_file_location(name, path)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        line = users_line(error)
        raise InputError(f"the {what} file {path} cannot be run: {type(error).__name__}{line}: {error}") from error
    return module

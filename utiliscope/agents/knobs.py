"""The numbers that agents are made with, checked."""

import math
from numbers import Real

from utiliscope.errors import InputError


def check_between(name: str, value, least: float | int, most: float | int = math.inf) -> None:
    """Raise InputError unless `value` is a number from `least` to `most`, and finite."""
    if isinstance(value, bool) or not (isinstance(value, Real) and least <= value <= most and math.isfinite(value)):
        upper = "" if most == math.inf else f" and at most {most}"
        raise InputError(f"{name} is {value!r}; it must be a number of at least {least}{upper}")


def check_above_zero(name: str, value) -> None:
    """Raise InputError unless `value` is a finite number above 0."""
    if isinstance(value, bool) or not (isinstance(value, Real) and 0 < value < math.inf):
        raise InputError(f"{name} is {value!r}; it must be a number above 0")

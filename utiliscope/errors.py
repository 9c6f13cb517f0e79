"""The one exception for bad input: what is wrong, where, and what to do next."""

import math
from numbers import Real

USERS = "utiliscope_of_user_"  # what modules of users' files are called


class InputError(ValueError):
    """A file, array or argument from outside that cannot be used.

    The message stands alone: the command line prints it and exits with 2.
    """


def check_whole(name: str, value, least: int) -> None:
    """Raise InputError unless `value` is a whole number of at least `least`."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < least:
        raise InputError(f"{name} is {value!r}; it must be a whole number of at least {least}")


def check_bits(max_bits) -> None:
    """Raise InputError unless `max_bits` is a number of bits that some program takes."""
    if isinstance(max_bits, bool) or not (isinstance(max_bits, Real) and 1 <= max_bits < math.inf):
        raise InputError(f"max_bits is {max_bits!r}; the shortest program takes about 1 bit, and 14 is a good start")


def listed(items, limit: int = 5) -> str:
    """`items` joined by commas, the first `limit` of them, with how many more there are."""
    items = [str(item) for item in items]
    more = f" and {len(items) - limit} more" if len(items) > limit else ""
    return ", ".join(items[:limit]) + more


def users_line(error: BaseException) -> str:
    """Where an error came from in a user's own file (see `run_file`): " at FILE.py:LINE", or nothing."""
    found, trace = "", error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__", "").startswith(USERS):
            found = f" at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found

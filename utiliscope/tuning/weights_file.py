"""`weights.toml`: how much simplicity and intelligence weigh, for `fit --weights` and for people to read."""

import json
import tomllib
from pathlib import Path
from typing import NamedTuple

from utiliscope.choices import named_law, named_policies
from utiliscope.errors import InputError
from utiliscope.outputs import written_whole

_KEYS = {"simplicity": float, "law": str, "random_policies": str}


class Weights(NamedTuple):
    """simplicity: weight on code length. law, random_policies: as the command line has them (see `fit --help`)."""

    simplicity: float
    law: str
    random_policies: str

    @property
    def policy_prior(self):
        """The random policies that bits are counted against."""
        return named_policies(self.random_policies)

    def intelligence_law(self, policy_prior=None):
        """The law. policy_prior: other random policies than these, for which beta may be 1 or more or may not."""
        return named_law(self.law, atomic=(policy_prior or self.policy_prior).atomic)


def read_weights(path) -> Weights:
    """The weights of a file that `write_weights` wrote, or that was written by hand with the same three keys.

    Raises InputError for anything else, and says which key is wrong.
    """
    path = Path(path)
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; `utiliscope tune` writes one") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}; `utiliscope tune` writes one") from None
    unknown = entries.keys() - _KEYS.keys() - {"tuned"}
    if unknown:
        raise InputError(f"{path} has the key {min(unknown)!r}; it may have {', '.join(_KEYS)} and a table [tuned]")
    for key, kind in _KEYS.items():
        value = entries.get(key)
        if not isinstance(value, int | float if kind is float else kind) or isinstance(value, bool):
            raise InputError(f"{path}: {key} is {value!r}; give {'a number' if kind is float else 'a text'}")
    weights = Weights(float(entries["simplicity"]), entries["law"], entries["random_policies"])
    if not 0 <= weights.simplicity < float("inf"):
        raise InputError(f"{path}: simplicity is {weights.simplicity}; it must be at least 0")
    for key, check in (("random_policies", lambda: weights.policy_prior), ("law", lambda: _check_law(weights))):
        try:
            check()
        except InputError as error:
            # What is said of an option names the value already.
            option, said = f"--{key.replace('_', '-')} is ", str(error)
            reason = said.removeprefix(option) if said.startswith(option) else f"{entries[key]!r}: {said}"
            raise InputError(f"{path}: {key} is {reason}") from None
    return weights


def _check_law(weights) -> None:
    law = weights.intelligence_law()
    if not weights.policy_prior.atomic:
        law.log_mean()  # which must be finite


def write_weights(path, weights: Weights, tuned: dict | None = None) -> None:
    """Write `weights`, and under [tuned] what they were tuned on: texts, numbers, lists; whole or not at all."""
    lines = ["# Weights of simplicity and intelligence, for `utiliscope fit --weights`.", *_lines(weights._asdict())]
    if tuned:
        lines += ["", "[tuned]", *_lines(tuned)]
    path = Path(path)
    with written_whole(path) as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _lines(entries):
    # Texts, numbers and lists of them are the same in TOML as in JSON.
    return [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in entries.items()]

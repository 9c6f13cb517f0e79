"""Small recordings with their worlds, made by agents whose utility is stated; README.md tells about each."""

import importlib.resources
from pathlib import Path


def path(name: str) -> Path:
    """Where the bundled file `name` is, such as "courier.csv"."""
    return Path(str(importlib.resources.files(__name__) / name))

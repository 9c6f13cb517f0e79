"""A repair: NumPyro's modules are attributes of their packages, also where ArviZ was imported before."""

import sys


def bind_numpyro_modules() -> None:
    """Make each loaded `numpyro.x.y` the attribute `y` of `numpyro.x`, which imports through a lazy module leave out.

    ArviZ puts a lazy `numpyro` in place when it is imported. What is imported below it then is loaded, but not bound,
    and `numpyro.factor` finds no `numpyro.distributions.distribution`.
    """
    for name, module in list(sys.modules.items()):
        parent, _, own = name.rpartition(".")
        if name.startswith("numpyro.") and parent in sys.modules and own not in vars(sys.modules[parent]):
            setattr(sys.modules[parent], own, module)

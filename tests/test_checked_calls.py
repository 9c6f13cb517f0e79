"""That the tests check shapes and types of the package's calls, with and without shapes among them."""

import beartype.roar
import jaxtyping
import numpy as np
import pytest

import utiliscope as us
from utiliscope.picture_style import percent, shortened

WRONG = (jaxtyping.TypeCheckError, beartype.roar.BeartypeCallHintViolation)


def test_types_are_checked():
    assert shortened("reach(G)") == "reach(G)" and percent(0.5) == "50 %"
    with pytest.raises(WRONG):
        shortened(3)


def test_shapes_are_checked():
    world = us.world_model(np.full((2, 1, 2), 0.5), [1.0, 0.0], 0.9)
    with pytest.raises(WRONG):
        us.WorldModel(**{**vars(world), "initial": world.initial[None, :, None]})

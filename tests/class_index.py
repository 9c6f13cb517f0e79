"""Where a utility stands among candidates, by comparing programs: `suite/truths.py` compares values instead."""

import numpy as np

from utiliscope.utilities.equality import grouped


def class_index(suite_world, expression):
    """The place of the candidate that agrees with `expression` up to a positive affine map on every sequence."""
    grammar = suite_world.grammar
    group = grouped(grammar.world, [grammar.parse(text) for text in [expression, *suite_world.candidates.names]])
    places = np.flatnonzero(group[1:] == group[0])
    return int(places[0]) if len(places) else None

"""A graph with a hub: spokes that meet in one state, and a ring of their tips."""

import numpy as np

from utiliscope.world import WorldModel, world_model


def hub(
    spokes: int = 5, length: int = 3, *, slip: float = 0.1, discount: float = 0.9, ring: bool = True, start=None
) -> WorldModel:
    """`spokes` paths of `length` states from the hub outward; from each tip one can go to the next tip.

    Actions are the numbers of the ways that leave a state: at the hub one to each spoke; on a spoke 0 is inward and 1
    outward; at a tip 1 is along the ring, which is not there with `ring=False`. Others are not available. slip: chance
    of another available way, each equally likely. start: name of the state where episodes begin, or None for anywhere.

    Features: `hub`, and `a` and `b`, two tips. States are named "hub" and "spoke.place".
    """
    names = ["hub", *(f"{spoke}.{place}" for spoke in range(spokes) for place in range(length))]
    index = {name: i for i, name in enumerate(names)}
    ways = [[index[f"{spoke}.0"] for spoke in range(spokes)]]
    for spoke in range(spokes):
        for place in range(length):
            inward = index[f"{spoke}.{place - 1}"] if place else 0
            tip = place == length - 1
            outward = index[f"{(spoke + 1) % spokes}.{place}"] if tip else index[f"{spoke}.{place + 1}"]
            ways.append([inward, outward] if ring or not tip else [inward])
    size, most = len(names), max(map(len, ways))
    available = np.array([[way < len(some) for way in range(most)] for some in ways])
    transition = np.zeros((size, most, size))
    for state, some in enumerate(ways):
        for way, there in enumerate(some):
            others = [one for other, one in enumerate(some) if other != way]
            transition[state, way, there] += 1 - slip if others else 1.0
            for one in others:
                transition[state, way, one] += slip / len(others)
    marks = np.array(names)
    last = length - 1
    angle = 2 * np.pi * np.arange(spokes) / spokes
    around = [
        ((place + 1) * np.cos(turn).round(6), (place + 1) * np.sin(turn).round(6))
        for turn in angle
        for place in range(length)
    ]
    return world_model(
        transition,
        np.full(size, 1 / size) if start is None else marks == start,
        discount,
        available=available,
        state_names=names,
        action_names=[f"way {way}" for way in range(most)],
        features={"hub": marks == "hub", "a": marks == f"0.{last}", "b": marks == f"2.{last}"},
        xy=[(0.0, 0.0), *around],
    )

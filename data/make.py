"""Make the bundled recordings anew: `python data/make.py [FOLDER]`. The same bytes come out each time.

Every agent here is a policy over states, so that what it is after, and where it fails, can be stated in full.
"""

import csv
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

import utiliscope as us


class Recording(NamedTuple):
    """What one pair of files is made of.

    rows: the grid. slip, discount: of the world. agent: in words. true_utility: what its policy is made from.
    policy: from the world and the `[S, A]` best policy to the agent's. episodes, seed: of the recording.
    """

    rows: tuple[str, ...]
    slip: float
    discount: float
    agent: str
    true_utility: str
    policy: Callable
    episodes: int
    seed: int


def trembling(share: float) -> Callable:
    """The best action, but a random one with probability `share`."""
    return lambda world, best: (1 - share) * best + share / world.num_actions


def balking(share: float, feature: str, action: str, balks: float) -> Callable:
    """The same, but in the states of `feature` it takes `action` with probability `balks`, whatever that costs."""

    def policy(world, best):
        usual = trembling(share)(world, best)
        back = np.eye(world.num_actions)[world.action_names.index(action)]
        inside = np.asarray(world.features[feature])[:, None]
        return np.where(inside, balks * back + (1 - balks) * usual, usual)

    return policy


RECORDINGS = {
    "courier": Recording(
        rows=("c..m", ".##.", "..m.", ".#.G"),
        slip=0.1,
        discount=0.95,
        agent="takes the best action for its utility in 90 % of its decisions, and a random one in the others",
        true_utility="reach(G)",
        policy=trembling(0.1),
        episodes=12,
        seed=1,
    ),
    "balker": Recording(
        rows=("c.b.", "#.#.", "...G"),
        slip=0.05,
        discount=0.9,
        agent="as the courier, but at b it steps back, to the left, in 96 % of its decisions",
        true_utility="reach(G)",
        policy=balking(0.1, "b", "left", 0.96),
        episodes=24,
        seed=1,
    ),
    "wanderer": Recording(
        rows=("c..m", ".##.", "..m.", ".#.G"),
        slip=0.1,
        discount=0.95,
        agent="takes each action with probability 1/4, everywhere",
        true_utility="0",
        policy=trembling(1.0),
        episodes=4,
        seed=1,
    ),
}


def make_world(recording: Recording) -> us.WorldModel:
    """The grid, with G ending an episode, which starts anywhere else."""
    grid = us.gridworld(recording.rows, slip=recording.slip, discount=recording.discount)
    goal = np.asarray(grid.features["G"])
    return us.world_model(
        # Rounded, so that the files are short and hold no last digits of somebody's arithmetic.
        np.round(np.asarray(grid.transition), 9),
        np.round(~goal / (~goal).sum(), 9),
        recording.discount,
        available=np.repeat(~goal[:, None], grid.num_actions, axis=1),
        state_names=grid.state_names,
        action_names=grid.action_names,
        features=grid.features,
        xy=grid.xy,
    )


def agent_policy(recording: Recording, world: us.WorldModel) -> np.ndarray:
    """`[S, A]` what the agent does."""
    best = us.optimal_policy(world, us.Grammar(world).parse(recording.true_utility))
    return recording.policy(world, best)


def record(world: us.WorldModel, policy, *, episodes: int, seed: int) -> list[tuple]:
    """(episode, t, state, action, next_state) of whole episodes, each until G is reached."""
    rng = np.random.default_rng(seed)
    goal = np.asarray(world.features["G"])
    rows = []
    for episode in range(episodes):
        state, t = _draw(rng, world.initial), 0
        while not goal[state]:
            action = _draw(rng, policy[state])
            following = _draw(rng, world.transition[state, action])
            rows.append((episode, t, state, action, following))
            state, t = following, t + 1
    return rows


def _draw(rng, probabilities) -> int:
    # One uniform number a draw, by inversion: nothing here depends on how a library samples.
    steps = np.cumsum(np.asarray(probabilities, np.float64))
    return int(np.searchsorted(steps, rng.random() * steps[-1], side="right"))


def files(name: str) -> dict[str, str]:
    """File name to text, for one recording."""
    recording = RECORDINGS[name]
    world = make_world(recording)
    rows = record(world, agent_policy(recording, world), episodes=recording.episodes, seed=recording.seed)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("episode", "t", "state", "action", "next_state"))
    writer.writerows((e, t, s, world.action_names[a], n) for e, t, s, a, n in rows)
    return {f"{name}.csv": table.getvalue(), f"{name}.json": _world_text(recording, world)}


def _world_text(recording, world) -> str:
    """The world file, one line for each key and each state's transitions."""
    entries = {
        "true_utility": recording.true_utility,
        "agent": recording.agent,
        "grid": " / ".join(recording.rows),
        "discount": float(world.discount),
        "states": list(world.state_names),
        "actions": list(world.action_names),
        "features": {name: np.asarray(values).tolist() for name, values in world.features.items()},
        "absorbing": np.flatnonzero(np.asarray(world.features["G"])).tolist(),
        "initial": np.asarray(world.initial).tolist(),
        "xy": np.asarray(world.xy, int).tolist(),
    }
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}," for key, value in entries.items()]
    moves = [f"    {json.dumps(row)}" for row in np.asarray(world.transition).tolist()]
    return "\n".join(["{", *lines, '  "transition": [', ",\n".join(moves), "  ]", "}", ""])


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    for name in RECORDINGS:
        for file, text in files(name).items():
            (folder / file).write_text(text, encoding="utf-8", newline="\n")

"""Rats in 25 layouts of a maze with one hidden goal: which place were they after, and where do they turn next?

Each trial starts in a known place and, for the candidate goal c, achieves discount^T at its first arrival T at c.
Random sequences of 100 moves arrive within t moves with a chance that a walk absorbed at c tells exactly, and

    g = -log2 P(T' <= T) for random T',  0 where c was not reached,      weight of a trial = h(g) / Z,  Z = E[h(g)]

Trials are independent operators with one goal and one law. The same weighting is a model of moves: a sequence has
probability (uniform) x h(g) / Z, so that every trial has an exact likelihood in nats, also one that was cut short.

The rival, softmax over the shortest-path distance that a move leaves to c, has one strength, fitted for each candidate.
It plans with the layout known, as g does; the published models learn it as they go.
"""

import numpy as np
import pandas as pd
from markdown_table import print_table
from scipy.sparse.csgraph import shortest_path
from scipy.special import logsumexp
from scipy.stats import gamma

BETA = np.linspace(0.0, 2.4, 25)
STRENGTH = np.linspace(0.0, 3.0, 31)
MEAN, SHAPE = np.geomspace(2.0, 64.0, 6), np.geomspace(0.5, 8.0, 5)
DISCOUNTS = (0.8, 0.9, 0.95, 0.99)
TRAIN = 20  # mazes; the rest are for testing
HORIZON = 100  # no trial is longer
_LN2 = np.log(2.0)


def tell(folder, options):
    data = np.load(folder / "environment.npz")
    following, goal = data["next_state"].astype(int), int(data["goal_state"])
    rows = pd.read_csv(folder / "trajectories.csv.gz")
    first = rows.drop_duplicates("episode")
    test = first.maze.to_numpy() >= TRAIN
    laws = {"2^(beta g)": [_exponential(beta) for beta in BETA]}
    laws["bump"] = [_bump(mean, shape) for mean in MEAN for shape in SHAPE]
    everything = [*laws["2^(beta g)"], *laws["bump"]]
    # Places that no layout walls off are the candidates.
    free = (following >= 0).any(-1)
    ours = {name: np.zeros((len(first), 100, len(law))) for name, law in laws.items()}
    softmax = np.zeros((len(first), 100, len(STRENGTH)))
    legal = np.zeros(len(first))
    place = dict(zip(first.episode, range(len(first)), strict=True))
    for maze in range(len(following)):
        arrive = arrival(following[maze], HORIZON)
        policies, weighers = softmax_policies(following[maze]), {}
        trials = [(place[episode], part) for episode, part in rows[rows.maze == maze].groupby("episode")]
        for k, part in trials:
            states, actions = np.append(part.state, part.next_state.iloc[-1]), part.action.to_numpy()
            legal[k] = -np.log((following[maze][states[:-1]] >= 0).sum(-1)).sum()
            softmax[k] = policies[states[:-1], actions].sum(0)
            if states[0] not in weighers:
                weighers[states[0]] = Weigher(arrive, states[0], everything)
            found = weighers[states[0]](states)
            ours["2^(beta g)"][k], ours["bump"][k] = found[:, : len(BETA)], found[:, len(BETA) :]
    tell_of_goals(ours, softmax, legal, first, free, goal)
    tell_of_moves(ours, softmax, legal, rows, first, test, following, goal)


def arrival(following, horizon):
    """`[H + 1, S, S]` P(T <= t) for uniform available moves: by time, start and target."""
    available = following >= 0
    size = len(following)
    walk = np.zeros((size, size))
    state, action = np.nonzero(available)
    np.add.at(walk, (state, following[state, action]), 1.0 / available.sum(-1)[state])
    within = np.eye(size)
    found = [within]
    for _ in range(horizon):
        within = walk @ within
        np.fill_diagonal(within, 1.0)
        found.append(within)
    return np.array(found)


def first_arrivals(states, number):
    """`[number]` the first time at each place, -1 for never."""
    reached = np.full(number, -1)
    for t in range(len(states) - 1, -1, -1):
        reached[states[t]] = t
    return reached


class Weigher:
    """What trials from one start weigh under every law, for each candidate goal.

    height: `[H + 1, S, L]` h(g) for an arrival at each time. log_mean: `[S, L]` ln E[h(g)]. zero: `[L]` h(0).
    """

    def __init__(self, arrive, start, laws):
        within = arrive[:, start]
        possible = within > 0
        bits = -np.log2(np.where(possible, within, 1.0))
        # Where there is no arrival yet there is no weight either.
        self.height = np.stack([np.where(possible, np.exp(law(bits)), 0.0) for law in laws], -1)
        self.zero = np.array([np.exp(law(np.zeros(1))[0]) for law in laws])
        self.arrive = arrive
        self.log_mean = np.log(self._ahead(start, 0))

    def _ahead(self, state, number):
        """`[S, L]` mean of h(g) over random moves that go on from `state` after `number` moves without arrival."""
        within = self.arrive[: len(self.arrive) - number, state]
        mass = np.diff(within, axis=0, prepend=0.0)
        return np.einsum("ts,tsl->sl", mass, self.height[number:]) + (1 - within[-1])[:, None] * self.zero

    def __call__(self, states):
        """`[S, L]` ln of how much likelier a trial is for each candidate goal and law than for random moves.

        A trial that has reached the goal weighs h(g(T)) / Z. One that ends before, by the clock or at the true goal,
        may yet have come there: the mean of h(g) over random moves from where it ended.
        """
        reached = first_arrivals(states, len(self.log_mean))
        arrived = self.height[reached, np.arange(len(reached))]
        weight = np.where((reached >= 0)[:, None], arrived, self._ahead(states[-1], len(states) - 1))
        return np.log(weight) - self.log_mean


def distances(following):
    size = len(following)
    link = np.zeros((size, size))
    state, action = np.nonzero(following >= 0)
    link[state, following[state, action]] = 1
    return shortest_path(link, unweighted=True)


def softmax_policies(following):
    """`[S, A, 100, B]` log probability of moves for each candidate goal and strength; uniform if c is walled off."""
    steps, open_ = distances(following), following >= 0
    far = np.where(open_[..., None], steps[following], np.inf)
    lost = ~np.isfinite(far).any(1, keepdims=True)
    far = np.where(lost & open_[..., None], 0.0, far)
    far = far - np.where(np.isfinite(far.min(1, keepdims=True)), far.min(1, keepdims=True), 0.0)
    score = np.where(np.isfinite(far)[..., None], -STRENGTH * np.where(np.isfinite(far), far, 0.0)[..., None], -np.inf)
    total = logsumexp(score, axis=1, keepdims=True)
    return score - np.where(np.isfinite(total), total, 0.0)


def tell_of_goals(ours, softmax, legal, first, free, goal):
    rat, maze = first.subject.to_numpy(), first.maze.to_numpy()
    tables = {f"reach, {name}": table for name, table in ours.items()} | {
        "softmax over distance": softmax - legal[:, None, None]
    }
    rows = []
    for name, table in tables.items():
        per_rat, per_both = [], []
        everyone = _rank(table.sum(0), free.any(0), goal)
        for one in np.unique(rat):
            per_rat.append(_rank(table[rat == one].sum(0), free.any(0), goal))
            for which in np.unique(maze[rat == one]):
                chosen = (rat == one) & (maze == which)
                per_both.append(_rank(table[chosen].sum(0), free[which], goal))
        for kind in (0, 1):
            found = np.array([r[kind] for r in per_both])
            rows.append(
                {
                    "method": name + (", best strength of each goal" if kind == 0 else ", strength averaged out"),
                    "pooled rank": everyone[kind],
                    "rats first": f"{sum(r[kind] == 1 for r in per_rat)}/{len(per_rat)}",
                    "rat x maze first": (found == 1).mean(),
                    "in first 3": (found <= 3).mean(),
                    "median rank": float(np.median(found)),
                    "ln P(goal)": np.mean([r[2] for r in per_both]) if kind else np.nan,
                }
            )
    rows.append(
        {
            "method": "published reference: softmax, one strength",
            "pooled rank": 1,
            "rats first": "9/9",
            "rat x maze first": 0.67,
        }
    )
    print_table(pd.DataFrame(rows), digits=3)
    print(f"\n{len(per_both)} pairs of rat and maze; candidates: reach(s) for every free place, equally likely.\n")


def _rank(table, free, goal):
    """Rank of the goal by its best parameter and with it averaged out, and ln P(goal) by the latter; `[100, L]`."""
    best = np.where(free, table.max(-1), -np.inf)
    mean = np.where(free, logsumexp(table, axis=-1), -np.inf)
    ranks = [1 + int((score > score[goal] + 1e-9).sum()) for score in (best, mean)]
    return *ranks, mean[goal] - logsumexp(mean)


def tell_of_moves(ours, softmax, legal, rows, first, test, following, goal):
    """Nats a step on the last mazes, parameters fitted on the others, the goal known."""
    number = rows.groupby("episode").size().reindex(first.episode).to_numpy()
    result = [
        {
            "model": "uniform over available moves",
            "train": legal[~test].sum() / number[~test].sum(),
            "test": legal[test].sum() / number[test].sum(),
        }
    ]
    in_test = rows.maze >= TRAIN
    for name in ("MF", "MB", "SR"):
        column = rows[f"ll_{name}"]
        result.append({"model": f"published {name}", "train": column[~in_test].mean(), "test": column[in_test].mean()})

    def add(model, table, values, more=0.0):
        total = table[~test].sum(0)
        k = int(total.argmax())
        result.append(
            {
                "model": f"{model}, {values[k]}",
                "train": (total[k] + np.sum(more * ~test)) / number[~test].sum(),
                "test": (table[test, k].sum() + np.sum(more * test)) / number[test].sum(),
            }
        )

    add("softmax over distance, strength", softmax[:, goal], [f"{x:.2f}" for x in STRENGTH])
    for discount in DISCOUNTS:
        table, temperatures = boltzmann_moves(rows, first, following, goal, discount)
        add(f"Boltzmann for reach(goal), discount {discount}, temperature", table, [f"{x:.3f}" for x in temperatures])
    add("reach(goal), sequences by 2^(beta g), beta", ours["2^(beta g)"][:, goal], [f"{x:.2f}" for x in BETA], legal)
    names = [f"mean {mean:.1f} bits, shape {shape:.2f}" for mean in MEAN for shape in SHAPE]
    add("reach(goal), sequences by a bump of g", ours["bump"][:, goal], names, legal)
    print_table(pd.DataFrame(result), digits=4)
    print(
        f"\nNats a step: parameters fitted on mazes 0-{TRAIN - 1}, tested on the rest; the goal is known to all but the"
    )
    print("published models. Sequences weighted by g remember the time since the start; the others do not.")


def boltzmann_moves(rows, first, following, goal, discount):
    """`[E, T]` log likelihood of each trial under softmax(Q / T), Q = discount^(moves to the goal)."""
    temperatures = np.geomspace(0.003, 3.0, 61)
    far = np.stack([distances(one)[:, goal] for one in following])
    onward = following[rows.maze, rows.state]
    q = discount ** far[rows.maze.to_numpy()[:, None], onward]
    score = np.where((onward >= 0)[..., None], q[..., None] / temperatures, -np.inf)
    taken = score[np.arange(len(rows)), rows.action]
    each = taken - logsumexp(score, axis=1)
    table = np.zeros((len(first), len(temperatures)))
    np.add.at(table, np.searchsorted(first.episode.to_numpy(), rows.episode), each)
    return table, temperatures


def _exponential(beta):
    return lambda bits: beta * _LN2 * bits


def _bump(mean, shape):
    def log_weight(bits):
        bits = np.maximum(bits, 1e-4)
        return gamma.logpdf(bits, shape, scale=mean / shape) + _LN2 * bits

    return log_weight

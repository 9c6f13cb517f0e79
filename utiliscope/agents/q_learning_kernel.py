"""Q-learning on the nodes of a chain, compiled."""

import numpy as np

from utiliscope.kernel_cache import njit

_SLOWNESS = 0.6  # of the learning rates: above 1/2, so that noise averages out


@njit(cache=True)
def train(random, starts, onward, chances, available, paid, last, discount, horizon, num_steps, exploration):
    """`[H or 1, N, A]` action values after `num_steps` steps.

    starts: `[S]` cumulative chances of the first state. onward: `[N, K]`; chances: `[N, A, K]`, cumulative;
    available: `[N, A]`; paid: `[N, A]`; last: `[N]`. horizon: 0 for none.
    """
    size, number = paid.shape
    values = np.zeros((max(horizon, 1), size, number))
    visits = np.zeros((max(horizon, 1), size, number), np.int64)
    node, time = -1, 0
    for _ in range(num_steps):
        if node < 0:
            node = _place(random.random(), starts)
            time = 0
        row = values[time, node]
        action = _choice(random, row, available[node], random.random() < exploration)
        following = onward[node, _place(random.random(), chances[node, action])]
        if horizon > 0 and time + 1 == horizon:
            ahead = last[following]
        else:
            ahead = -np.inf
            next_time = time + 1 if horizon > 0 else 0
            for other in range(number):
                if available[following, other]:
                    ahead = max(ahead, values[next_time, following, other])
        visits[time, node, action] += 1
        rate = visits[time, node, action] ** -_SLOWNESS
        row[action] += rate * (paid[node, action] + discount * ahead - row[action])
        node = following
        if horizon > 0:
            time += 1
            if time == horizon:
                node = -1
        elif random.random() >= discount:
            node = -1
    return values


@njit(cache=True)
def _place(level, steps):
    """The first place whose cumulative chance exceeds `level` times the last."""
    level = level * steps[-1]
    for place in range(len(steps)):
        if steps[place] > level:
            return place
    return np.argmax(steps)


@njit(cache=True)
def _choice(random, row, available, anything):
    """One of the available actions, of those with the greatest value unless `anything` goes."""
    best = -np.inf
    for action in range(len(row)):
        if available[action]:
            best = max(best, row[action])
    chosen, number = -1, 0
    for action in range(len(row)):
        if available[action] and (anything or row[action] == best):
            number += 1
            if random.random() * number < 1.0:
                chosen = action
    return chosen

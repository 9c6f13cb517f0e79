"""A small grid in which programs of agents that plan are exact, by sums over their temperature."""

import numpy as np
import pandas as pd
from boltzmann import boltzmann_posterior
from scipy.special import logsumexp, softmax

import utiliscope as us

WORLD = us.gridworld(["S.b", ".#.", "..G"], slip=0.15, discount=0.85)
TEXTS = ["time(G)", "reach(G)", "time(G) - time(b)", "-reach(b)", "reach(S)"]
CANDIDATES = us.candidate_set(WORLD, {text: text for text in TEXTS}, [1.0, 2.5, 3.0, 4.0, 4.0])


def recording(world, seed, length=8, episodes=3):
    """Behaviour of an agent that acts at random."""
    random = np.random.default_rng(seed)
    rows = []
    for episode in range(episodes):
        state = int(random.integers(world.num_states))
        for t in range(length):
            action = int(random.integers(world.num_actions))
            following = int(random.choice(world.num_states, p=world.transition[state, action]))
            rows.append((episode, t, state, action, following))
            state = following
    return us.read_behaviour(pd.DataFrame(rows, columns=["episode", "t", "state", "action", "next_state"]), world)


def by_temperatures(counts_or_steps, candidates, *, soft=False, number=121):
    """`[U]` posterior of Boltzmann-rational agents whose temperature is LogNormal(0, 1), by the plain baseline.

    counts_or_steps, soft: as for `boltzmann_posterior`. number: of temperatures.
    """
    grid = np.linspace(-6, 6, number)
    found = boltzmann_posterior(
        counts_or_steps, WORLD, candidates.payoffs, candidates.code_length, temperatures=np.exp(grid), soft=soft
    )
    each = logsumexp(found.log_likelihood - grid**2 / 2, axis=-1)
    return softmax(each - np.log(2.0) * candidates.code_length)

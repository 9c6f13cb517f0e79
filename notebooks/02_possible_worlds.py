# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # In which world is it intelligent?
#
# Somebody stands in front of a shut door and pushes, and pushes. Stupid, or did they expect it to be open? Intelligence
# is counted in a world, and there are three to choose from: the world as it is, the worlds that the agent believes in,
# and a broad prior over environments. Here are all three, side by side.
#
# It takes well under a minute; the settings are small.

# %%
import warnings

import jax
import numpy as np
import pandas as pd
from IPython.display import display
from matplotlib.figure import Figure

import utiliscope as us
from utiliscope.diagnostics import ConvergenceWarning

# %matplotlib inline
warnings.filterwarnings("ignore", message="IProgress not found")
warnings.simplefilter("ignore", ConvergenceWarning)  # short chains, for a quick read
quick = dict(num_warmup=300, num_samples=500, num_chains=4, num_particles=256)

# %% [markdown]
# ## The house
#
# A corridor runs round the house. The agent starts at the top left, its goal `G` is at the top right. The short way
# leads over a doormat (`m`) and through a door, the long way round by the well (`w`). A shut door is not passed:
# whoever tries stays where they are.

# %%
DRAWING = ["...m.G", ".####.", "...w.."]
free = [(r, c) for r, row in enumerate(DRAWING) for c, mark in enumerate(row) if mark != "#"]
passages = [(s, t) for s in free for t in free if s < t and abs(s[0] - t[0]) + abs(s[1] - t[1]) == 1]
DOOR = ((0, 3), (0, 4))


def house(shut):
    """The house with these passages shut."""
    open_house = us.gridworld(DRAWING)
    moves = np.array(open_house.transition)
    available = np.einsum("sas->sa", moves) < 1  # into the walls nobody goes
    for here, there in shut:
        s, t = free.index(here), free.index(there)
        for one, other in ((s, t), (t, s)):
            moves[one, moves[one, :, other] > 0] = np.eye(len(free))[one]
    goal = free.index((0, 5))
    moves[goal] = np.eye(len(free))[goal]  # where an episode ends
    return us.world_model(
        moves,
        np.eye(len(free))[0],
        0.9,
        available=available,
        state_names=open_house.state_names,
        action_names=open_house.action_names,
        features=open_house.features,
        xy=open_house.xy,
    )


# %% [markdown]
# `possible_worlds` holds several worlds with their probabilities. A policy has one value there: the mean of its values
# in each. It does not see which world it is in.
#
# - **As it is**: the door is shut.
# - **Believed**: the agent takes the door to be open, nine to one.
# - **Broad prior**: an observer who knows the plan of the house only. Nothing is shut, or any one passage is, all
#   equally likely.

# %%
readings = {
    "as it is": house([DOOR]),
    "believed": us.possible_worlds([house([]), house([DOOR])], [9, 1]),
    "broad prior": us.possible_worlds([house([]), *(house([passage]) for passage in passages)]),
}
{name: len(getattr(world, "worlds", [world])) for name, world in readings.items()}

# %% [markdown]
# ## What the agent does
#
# It goes to the door and pushes: six times, ten decisions each. From the recording we take the policy that does this,
# and that goes on to `G` by the short way wherever it has not been seen.

# %%
names = readings["as it is"].state_names
mat = names.index("0,3")
table = pd.DataFrame(
    [(episode, t, min(t, mat), "right") for episode in range(6) for t in range(10)],
    columns=["episode", "t", "state", "action"],
)
behaviour = us.read_behaviour(table, readings["as it is"])
utility = us.Grammar(readings["as it is"]).parse("reach(G)")
policy = us.optimal_policy(house([]), utility)
print([readings["as it is"].action_names[a] for a in policy[: mat + 1].argmax(-1)])

# %% [markdown]
# ## Its intelligence, three times
#
# `g` is how rare it is, in bits, that a random policy does as well at `reach(G)`. The house is small, so all
# deterministic policies are counted: these numbers are exact. The last columns start from the recording alone; random
# policies are then stochastic ones, and there is a Monte Carlo error.

# %%
rows = []
for name, world in readings.items():
    value = float(us.expected_utility(world, policy, utility))
    best = float(us.expected_utility(world, us.optimal_policy(world, utility), utility))
    g = us.intelligence(jax.random.key(0), world, policy, utility, method="enumerate")
    recorded = us.behaviour_intelligence(
        jax.random.key(1), behaviour, world, utility, num_policies=50, num_particles=256
    ).estimate
    rows.append((name, value, best, g.value, recorded.value, recorded.std_error))
columns = ["world", "value", "best found", "g, bits", "g of the recording", "error"]
summary = pd.DataFrame(rows, columns=columns).set_index("world")
summary.round(2)

# %% [markdown]
# As the house is, the agent never arrives, and every policy does at least as well: 0 bits. In the worlds that it
# believes in, no policy does better, and one in 32 does as well. The broad prior agrees, for a reason of its own: with
# any one passage shut, the short way has fewer that can be.
#
# The mean is over worlds, before policies are compared. It is not a mean of intelligences.

# %%
believed = readings["believed"]
alone = [us.intelligence(jax.random.key(0), one, policy, utility, method="enumerate").value for one in believed.worlds]
print(
    f"mean of g over the believed worlds: {believed.weights @ alone:.2f}; g: {summary['g, bits']['believed']:.2f} bits"
)

# %% [markdown]
# ## What is it after?
#
# The same recording, the same candidates, two posteriors: in the house as it is, and in the believed ones. `time(m)`
# is to stand on the mat, `reach(w)` to get to the well.

# %%
chosen = ["reach(G)", "time(m)", "reach(w)", "0"]
probability, errors = {}, {}
for name in ("as it is", "believed"):
    world = readings[name]
    candidates = us.Grammar(world).select(chosen)
    posterior = us.fit(behaviour, world, candidates=candidates, **quick)
    found = us.utility_table(posterior).set_index("utility").loc[chosen]
    probability[name], errors[name] = found["probability"], found["probability_error"]
pd.DataFrame(probability).round(3)

# %%
figure = Figure(figsize=(8, 3.2), layout="constrained")
left, right = figure.subplots(1, 2, width_ratios=[1, 2])
bars = left.bar(list(readings), summary["g, bits"], color=["0.6", "C0", "C1"])
left.bar_label(bars, fmt="%.1f")
left.set_ylim(0, 5.8)
left.set_ylabel("g for reach(G): bits")
left.tick_params(axis="x", labelrotation=20)
for shift, (name, colour) in enumerate(zip(probability, ["0.6", "C0"], strict=True)):
    place = np.arange(len(chosen)) + 0.27 * (shift - 0.5)
    right.bar(place, probability[name], 0.25, yerr=errors[name], color=colour, label=name, ecolor="0.3")
right.set_xticks(range(len(chosen)), chosen)
right.set_ylabel("posterior probability")
right.legend(frameon=False, title="world")
display(figure)

# %% [markdown]
# In the house as it is, the one thing that the agent does well is to stand on the mat. If it took the door to be open,
# going to `G` explains at least as much, and most of the posterior goes there. The recording, the candidates and
# their code lengths are the same: only the worlds differ.
#
# ## What this does not say
#
# - It does not say which reading is right. The current beliefs need to be known. Whoever fits them to the behaviour
#   that they are to explain can make nearly anything look intelligent.
# - The broad prior needs no beliefs, but its weights are a choice too: here every passage counts the same. A prior that
#   puts most of its weight on very simple worlds rewards what is good there.
# - A world in which the agent can change nothing adds the same to every policy, and does not change `g`, however likely
#   it is. If there are only such worlds, `g` is 0.
# - Policies here neither see which world they are in nor remember. Pushing sixty times is learning nothing, and this
#   is not held against the agent.
# - The chains pass slowly from one explanation to the other, and these runs are short: the errors are large, and
#   themselves uncertain. Longer runs make them smaller, and not the choice of worlds easier.

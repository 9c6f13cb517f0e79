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
# # Toy agents, and how much intelligence should weigh
#
# A posterior over goals rests on two weights: one on simplicity, one on intelligence. Nobody can say from an armchair
# what they should be. But there are agents whose goal we know, because we made them: some are nearly optimal, some
# tremble, some see two steps ahead, some want nothing at all. Weights that find *their* goals are a better bet for
# behaviour whose goal we do not know.
#
# Here a small suite is run, looked at, and tuned on. It takes about a minute. The same at full size is two commands:
# `utiliscope suite --out results` and `utiliscope tune --out tuned --results results`.

# %%
import tempfile
from pathlib import Path

import jax

import utiliscope as us
from utiliscope.agents.roster import ROSTER
from utiliscope.suite.execution import execute
from utiliscope.suite.executors import Serial
from utiliscope.suite.frames import results_frame
from utiliscope.suite.jobs import in_turn, plan
from utiliscope.suite.pictures import plot_agents_by_methods
from utiliscope.suite.run import RUN
from utiliscope.suite.summaries import summary
from utiliscope.suite.worlds import WORLDS
from utiliscope.tuning.outcome import tune_on, write_outcome
from utiliscope.tuning.surface import plot_surface

# %matplotlib inline

# %% [markdown]
# ## One agent, one recording
#
# A world of the suite has its true utilities, in the words of a small grammar, and everything else that the grammar
# can say in as few bits: the candidates. An agent is recorded; a method sees the recording and the candidates, and
# says how probable it holds each.

# %%
task = WORLDS["sparse"]()
print(f"{task.world.num_states} states, {len(task.candidates)} candidates, {', '.join(task.utilities)} among them")
ROSTER["lookahead-3"]

# %% [markdown]
# ## A small suite
#
# Jobs are plain data: a world, an agent, what it is after, how many episodes, a seed and a method. Each job writes one
# file, so that a run can be interrupted and gone on with. `Serial()` runs them here; `Processes()` and `Cluster()` run
# them elsewhere, with the same results.

# %%
agents = ["optimal", "epsilon-0.3", "epsilon-0.6", "boltzmann-0.3", "lookahead-1", "satisficing-0.5", "random", "drift"]
utilities = {"sparse": task.utilities}
jobs = plan(
    agents=agents,
    utilities=utilities,
    methods=["intelligence", "boltzmann", "prior"],
    seeds=range(2),
    num_episodes=[5],
    nulls=["random", "drift"],
)
jobs = in_turn(jobs, utilities, 1)  # one goal for each recording, all in turn
folder = Path(tempfile.mkdtemp()) / "suite"
settings = dict(num_particles=32, tail_particles=64, concentrations=[1.0])  # few, for a quick look
outcome = execute(jobs, RUN, folder, settings=settings, executor=Serial())
print(f"{outcome.done} of {outcome.total} jobs")

# %% [markdown]
# ## Where each method is good, and where it is not
#
# Each number is the mean of ln P(true): 0 is certainty of the truth, and a method that gives the truth one chance in
# a hundred scores -4.6. "intelligence" weighs a utility by how rare its achievement is among random policies;
# "boltzmann" assumes noise around optimal play, with the temperature inferred. Agents that play nearly optimally are
# easy for both. They part where noise is not of Boltzmann's kind, and on things that are after nothing.

# %%
frame = results_frame(folder)
plot_agents_by_methods(frame[frame.kind == "agent"])

# %%
nulls = summary(frame[frame.kind == "null"], "method", scores=["claimed_95", "best_mass"])
nulls[["method", "recordings", "claimed_95", "claimed_95_low", "claimed_95_high", "best_mass"]].round(2)

# %% [markdown]
# ## Tuning
#
# The evidence of a recording for each candidate was kept for a whole grid of laws. Neither it nor the value tails
# depend on how much simplicity weighs, so every combination can be scored without another simulation. Whole families
# of agents are left out in turn: weights chosen on the others are scored on the one left out, and that score is the
# honest one.

# %%
tuned = tune_on(folder)
columns = ["family", "recordings", "simplicity", "law", "tuned", "one_to_one", "oracle", "prior"]
tuned.families[columns].round(2)

# %% [markdown]
# `tuned` is the score under weights that were chosen without the family, `oracle` under the family's own best, which
# nobody can know; `one_to_one` is the formula of the proposal that this package comes from, as near to it as is proper.
# With so few recordings the differences are within their errors; `families.csv` of a full run has them.

# %%
plot_surface(tuned.scores)

# %% [markdown]
# The surface says how sure the choice is: inside the white line any setting is as good as the best, within a standard
# error over families. Towards the right intelligence weighs so much that lucky values of unlikely goals count as skill;
# at beta = 0 nothing is learned at all.
#
# ## Using the weights
#
# `weights.toml` is three lines that a person can read, and `utiliscope fit --weights weights.toml` takes it.

# %%
write_outcome(folder, tuned, ("weights.toml", "families.csv", "surface.png"))
print((folder / "weights.toml").read_text())
weights = us.read_weights(folder / "weights.toml")

# %% [markdown]
# How the answer for one recording depends on the weight of intelligence can be looked at directly: which utility takes
# over, and where.

# %%
behaviour = ROSTER["epsilon-0.3"].agent.record(
    jax.random.key(7), task.world, task.grammar.parse("time(a) - time(b)"), num_episodes=3, num_steps=20
)
path = us.law_path(
    behaviour, task.world, task.candidates, simplicity=weights.simplicity, num_particles=32, tail_particles=64
)
us.plot_law_path(path)

# %%
us.takeovers(path)

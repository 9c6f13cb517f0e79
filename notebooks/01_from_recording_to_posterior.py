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
# # From a recording to a posterior
#
# Somebody moved about in a small world, and every decision was written down. What were they after? Here we look at
# one recording, fit it, and ask where the answer comes from. Then we do the same to an agent with a strange habit,
# which the usual model of noisy choice reads quite differently.
#
# Run it from this folder. It takes under a minute; the settings are small.

# %%
import sys
import warnings

import jax
import numpy as np
import pandas as pd
from IPython.display import display
from matplotlib.figure import Figure
from utiliscope.data import path

import utiliscope as us
from utiliscope import plots
from utiliscope.diagnostics import ConvergenceWarning

# %matplotlib inline
warnings.filterwarnings("ignore", message="IProgress not found")
warnings.simplefilter("ignore", ConvergenceWarning)  # short chains, for a quick read
quick = dict(num_warmup=200, num_samples=200, num_chains=2, num_particles=128)

# %% [markdown]
# ## The recording
#
# A courier in a 4 x 4 grid: some cells are walls, `m` is mud, `c` a café, and an episode ends at `G`. A move goes
# astray in one case of ten. Each row is one decision.

# %%
world = us.read_world(path("courier.json"))
behaviour = us.read_behaviour(path("courier.csv"), world)
print(f"{behaviour.num_decisions} decisions in {behaviour.num_episodes} episodes, {world.num_states} states")
behaviour.table.head(8)

# %% [markdown]
# ## The candidates
#
# A utility is a short program over what happens: `time(m)` counts the discounted time spent in mud, `reach(G)` pays
# once, the more the sooner. Shorter programs are likelier beforehand: each bit of code length halves the prior.
# Programs that prefer the same things are one candidate.

# %%
candidates = us.Grammar(world).enumerate(max_bits=12)
candidates.to_frame()

# %% [markdown]
# ## The fit

# %%
posterior = us.fit(behaviour, world, candidates=candidates, **quick)
us.utility_table(posterior).head(5).round(3)

# %%
plots.plot_recording(posterior)

# %%
plots.plot_utilities(posterior)

# %% [markdown]
# ## Short against intelligent
#
# A candidate gains when the behaviour would be rare luck for a policy drawn at random, and loses by its length. The
# intelligence `g` says how rare: `g` bits mean that one random policy in 2^g does as well.

# %%
plots.plot_tradeoff(posterior)

# %% [markdown]
# ## What random policies achieve
#
# This curve is all that `g` depends on, beside the value of the policy itself. It depends on the world and the utility,
# not on the courier, and is computed by splitting: populations of random policies are driven up in value, half of
# them lost at each step, far beyond what could be found by drawing policies one by one.

# %%
utility = us.Grammar(world).parse("reach(G)")
tail = us.value_tail(jax.random.key(0), world, utility, policy_prior=us.Dirichlet(1.0), num_particles=128)
with jax.enable_x64(True):
    best = float(us.expected_utility(world, us.optimal_policy(world, utility), utility))
    even = float(us.expected_utility(world, np.asarray(world.available) / world.available.sum(-1)[:, None], utility))

figure = Figure(figsize=(6, 3.2), layout="constrained")
axes = figure.subplots()
axes.plot(tail.values, -tail.log2_prob)
for value, name in ((even, "all actions alike"), (best, "the best policy")):
    axes.axvline(value, color="0.7", linewidth=0.8)
    axes.annotate(f"{name} ", (value, 6), ha="right", va="bottom", fontsize=8)
axes.set_xlabel("expected reach(G)")
axes.set_ylabel("g: bits")
display(figure)

# %% [markdown]
# ## Should we believe the chains?

# %%
plots.plot_diagnostics(posterior)

# %% [markdown]
# ## An agent with a habit
#
# The balker wants to reach `G` too, and is as good at it as the courier. But at `b` it steps back, to the left, in
# 96 of 100 decisions. So it comes to `b` again and again, and a large part of the recording is this one quirk.
#
# The usual model takes each decision as the best one plus noise of one temperature. It hears every step back as
# fresh evidence against `reach(G)`, although all of them are one fact about the agent. The temperature is not to
# blame here: it is marginalised over six orders of magnitude, and candidates and prior are the same. (Its variant with
# soft action values is not misled here: among them, an agent that dallies has its reasons.)

# %%
sys.path.insert(0, "../benchmarks")
from boltzmann import boltzmann_posterior  # noqa: E402

world = us.read_world(path("balker.json"))
behaviour = us.read_behaviour(path("balker.csv"), world)
candidates = us.Grammar(world).enumerate(max_bits=12)
episodes = [(states, actions) for _, states, actions in behaviour.episodes()]
boltzmann = boltzmann_posterior(episodes, world, candidates.payoffs, candidates.code_length)
posterior = us.fit(behaviour, world, candidates=candidates, **quick)

ours = us.utility_table(posterior).set_index("utility")["probability"]
both = pd.DataFrame(
    {"intelligence-weighted": ours, "Boltzmann": pd.Series(np.exp(boltzmann.log_prob), candidates.names)}
)
both.sort_values("intelligence-weighted", ascending=False).head(5).round(3)

# %%
plots.plot_recording(posterior)

# %% [markdown]
# The Boltzmann model finds that the agent is getting away from the café, `-time(c)`: that explains the way up to `b`,
# and beyond it next to nothing is at stake, so that any step will do. The intelligence-weighted posterior asks instead
# how hard it is to do that well: keeping away from `c` is something that many random policies manage, while arriving
# at `G` as often as this agent does is rare even with the habit.
#
# One recording proves little. `benchmarks/misled.py` repeats this with 20 seeds, and `data/README.md` has the counts,
# with designs in which our posterior went wrong as well.

# %% [markdown]
# ## What this does not say
#
# - It says which of *these* candidates fits best, not what anybody values. The true utility need not be among them.
# - Utilities that the recording does not tell apart stay close to their prior odds.
# - Bits count against the random policies chosen here (each row uniform over the simplex); others give other bits.
# - The policy reading takes the operator for memoryless.
# - The posterior depends on the law that turns intelligence into likelihood, here 2^(0.8 g).

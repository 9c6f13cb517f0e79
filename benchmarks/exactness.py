"""Posteriors over utilities beside exact ones, for every program whose utilities can be counted:

    python benchmarks/exactness.py [--only PROGRAM ...] [--draws 20000]

In worlds so small that policies, values, mixtures or temperatures can be summed, in plain NumPy (`exact_bandit.py`,
`exact_planners.py`). Programs are run as `fit` runs them: by NUTS, two chains of so many draws each, or by exact
summation where nothing is continuous. Shown is the largest |P(U) - exact| over utilities (and operators), with its
Monte Carlo error; the exact sides are right to 0.0001. Value tails are given exactly here: `fit` estimates them and
states their error. `weights`, `boltzmann_weights` and `maxent_weights` have no utilities to be counted.

Exit status 1 unless all differences are within 0.01. Two to three minutes of processor time.
"""

import argparse
import sys
import time
from typing import NamedTuple

import exact_bandit as bandit
import exact_planners as planners
import jax
import numpy as np
import pandas as pd
from markdown_table import print_table
from numpyro import distributions as dist
from scipy.special import softmax

import utiliscope as us
from utiliscope.action_values import decision_values
from utiliscope.programs import load_program
from utiliscope.sampling import Nuts, Shape
from utiliscope.summation import over_cells, read_off

WITHIN = 0.01
CHAINS, BATCHES = 2, 40  # of draws, for their error
# Each law as the programs have it, and by the formula of its density.
SEED, BUMP = "2^(0.7 g)", "Gamma, mean 6, shape 3"
LAWS = {
    SEED: (us.ExponentialLaw(0.7), bandit.exponential(0.7)),
    BUMP: (us.BumpLaw(6.0, 3.0), bandit.bump(6.0, 3.0)),
    f"{BUMP}, 0.3 random": (us.RandomMixture(us.BumpLaw(6.0, 3.0), 0.3), bandit.mixed(bandit.bump(6.0, 3.0), 0.3)),
}


class Row(NamedTuple):
    """apart: largest difference. error: its Monte Carlo error."""

    program: str
    setting: str
    exact_by: str
    apart: float
    error: float


def beside(program, setting, exact_by, found, exact) -> Row:
    """found: means of probabilities and their errors. exact: of the same shape."""
    mean, error = found
    apart = np.abs(mean - exact)
    worst = np.unravel_index(apart.argmax(), apart.shape)
    return Row(program, setting, exact_by, float(apart[worst]), float(error[worst]))


def means(draws):
    """Of log probabilities `[chains, draws, ...]`: the mean probabilities and their errors."""
    return bandit.mean_and_error(np.exp(draws), CHAINS * draws.shape[1] // BATCHES)


def sampled(program, draws, data, **settings):
    return bandit.sampled(load_program(program), data=data, shape=Shape(500, draws, CHAINS), **settings)


def of_policy(program, draws, law, **settings):
    """`[U]` probabilities of an operator of the bandit whose policy is inferred."""
    data = dict(counts=bandit.COUNTS)
    sites = sampled(program, draws, data, intelligence_law=law, **bandit.POLICY, **settings)
    return means(sites["utility_log_prob"])


def candidates(draws) -> list[Row]:
    by, prior = "sums over policies", dist.Beta(2.0, 2.0)
    rows = []
    for name, (law, plain) in LAWS.items():
        rows.append(beside("candidates", name, by, of_policy("candidates", draws, law), bandit.posterior(plain)))
    found = of_policy("candidates", draws, us.ExponentialLaw(prior))
    beta = "2^(beta g), beta ~ Beta(2, 2)"
    return [*rows, beside("candidates", beta, f"{by} and beta", found, bandit.by_betas(prior)[1])]


def noisy(draws) -> list[Row]:
    law, plain = LAWS[BUMP]
    found = of_policy("noisy", draws, law, noise=1.5)
    exact = bandit.posterior(bandit.noisy(plain, 1.5))
    return [beside("noisy", f"{BUMP}, sigma 1.5", "sums over policies and noise", found, exact)]


def of_many(program, sites, likelihood) -> list[Row]:
    """likelihood: `[N, U]` exact logs, each operator's up to a constant."""
    by = "sums over mixtures"
    chances, mixture = bandit.by_mixtures(likelihood)
    return [
        beside(program, f"{SEED}, each of three", by, means(sites["subject_log_prob"]), chances),
        beside(program, f"{SEED}, their mixture", by, means(sites["log_mixture"]), mixture),
    ]


def population(draws) -> list[Row]:
    law, plain = LAWS[SEED]
    counts = np.array([bandit.COUNTS, bandit.COUNTS, [[1.0, 3.0, 2.0]]])
    sites = sampled("population", draws, dict(subject_counts=counts), intelligence_law=law, **bandit.POLICY)
    return of_many("population", sites, [bandit.log_likelihood(plain, one) for one in counts])


def summed(**inputs):
    """A function of values `[U]`: probabilities by the achieved reading, and no error, as nothing is sampled."""

    @jax.jit  # else hundreds of operations are compiled one by one
    def log_prob(value):
        joint = over_cells(load_program("achieved"), dict(value=value, simplicity=1.0, **inputs))
        return read_off(jax.random.key(0), *joint)[0]

    def found(value):
        with jax.enable_x64(True):
            return np.exp(np.asarray(log_prob(value))), np.zeros(len(value))

    return found


def achieved(draws=None) -> list[Row]:
    rows = []
    given = dict(candidates=bandit.CHOSEN, tails=bandit.choice_tails(), intelligence_law=us.ExponentialLaw(1.0))
    found = summed(value_error=np.zeros(4), **given)
    for choice, taken in (("111", 7), ("110", 6)):  # THEORY 7
        counted = bandit.choice_posterior(taken)
        of_choice = found(bandit.CHOICE_VALUES[:, taken])
        rows.append(beside("achieved", f"2^g, three binary choices: {choice}", "counting policies", of_choice, counted))
    value, error = bandit.of_arms(0.8, 0.15), bandit.of_arms(0.1, 0.1)
    for name in (SEED, BUMP):
        law, plain = LAWS[name]
        found = summed(candidates=bandit.CANDIDATES, tails=bandit.TAILS, value_error=error, intelligence_law=law)
        exact = softmax(bandit.LOG_PRIOR + bandit.achieved_log_likelihood(plain, value, error))
        rows.append(beside("achieved", f"{name}, values +- 0.1", "sums over values", found(value), exact))
    return rows


def achieved_population(draws) -> list[Row]:
    law, plain = LAWS[SEED]
    value = bandit.of_arms(np.array([0.97, 0.9, 0.1]), np.array([0.02, 0.1, 0.8]))
    error = np.tile(bandit.of_arms(0.05, 0.05), (3, 1))
    tails = jax.tree.map(lambda x: np.stack([np.asarray(x)] * 3), bandit.TAILS)
    data = dict(subject_value=value, subject_value_error=error)
    sites = sampled("achieved_population", draws, data, intelligence_law=law, subject_tails=tails, simplicity=1.0)
    each = [bandit.achieved_log_likelihood(plain, *one) for one in zip(value, error, strict=True)]
    return of_many("achieved_population", sites, each)


def of_planner(program, draws, data, exact, **settings) -> list[Row]:
    settings |= dict(candidates=planners.CANDIDATES, temperature=dist.LogNormal(0.0, 1.0), simplicity=1.0)
    with jax.enable_x64(True):
        chains = Nuts(load_program(program), settings, Shape(500, draws, CHAINS))
        sites, *_ = chains.run(jax.random.key(0), data)
    found = means(sites["utility_log_prob"])
    return [beside(program, "T ~ LogNormal(0, 1)", "sums over ln T", found, exact)]


def boltzmann(draws) -> list[Row]:
    seen = planners.recording(planners.WORLD, 5)
    q = decision_values(seen, planners.WORLD, planners.CANDIDATES.payoffs)
    data = dict(actions=seen.table["action"].to_numpy(), action_values=q)
    steps = [(states, actions) for _, states, actions in seen.episodes()]
    return of_planner("boltzmann", draws, data, planners.by_temperatures(steps, planners.CANDIDATES))


def maxent(draws) -> list[Row]:
    counts = planners.recording(planners.WORLD, 5).counts()
    exact = planners.by_temperatures(counts, planners.CANDIDATES, soft=True)
    return of_planner("maxent", draws, dict(counts=counts), exact, world=planners.WORLD)


PROGRAMS = dict(
    candidates=candidates, noisy=noisy, population=population, achieved=achieved,
    achieved_population=achieved_population, boltzmann=boltzmann, maxent=maxent,
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PROGRAMS, default=list(PROGRAMS))
    parser.add_argument("--draws", type=int, default=20_000, help="of each chain of NUTS; a multiple of 20")
    chosen = parser.parse_args()
    rows = [row for name in chosen.only for row in PROGRAMS[name](chosen.draws)]
    table = pd.DataFrame(rows)
    right = table["apart"] <= WITHIN
    table["within"] = np.where(right, "yes", "no")
    columns = ["program", "law or setting", "exact by", "largest difference", "Monte Carlo error", f"within {WITHIN}"]
    print_table(table.set_axis(columns, axis=1), digits=5)
    print(f"\n{time.process_time():.0f} s of processor time")
    sys.exit(0 if right.all() else 1)


if __name__ == "__main__":
    main()

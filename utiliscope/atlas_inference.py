"""Weights of features from recorded behaviour: NUTS on an atlas that grows where the posterior is.

Rounds of NUTS, each on an atlas with more splitting runs in directions that the round before drew, until two rounds
agree; the last is then run for as long as was asked. The first is never reported.
"""

import time
from functools import partial

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
from numpyro import distributions as dist

from .atlas import joined, make_atlas
from .atlas_chains import compiled_chains, warmed_up
from .diagnostics import pareto_k
from .errors import check_whole
from .laws import ExponentialLaw
from .payoffs import Payoffs
from .sampling import STATS
from .settings import check_weighing
from .tails import value_tail
from .utilities import FeatureWeights
from .values import occupancy

_FIRST_BITS, _FURTHER, _MOST_BITS = 30.0, 10.0, 300.0  # how far the runs go: further than the draws before
_AGREE_ERRORS, _AGREE_SPREAD = 4.0, 0.1
_MOST_BEYOND = 0.05
_RIDGE = 1e-3
_MOST_FIRST = 150  # draws of each chain in the first round


def sample_weights(
    key,
    program,
    counts,
    world,
    weights: FeatureWeights,
    *,
    policy_prior,
    intelligence_law=None,
    simplicity: float = 1.0,
    num_warmup: int = 300,
    num_samples: int = 500,
    num_chains: int = 4,
    target_accept: float = 0.8,
    num_particles: int = 256,
    num_runs: int = 16,
    num_rounds: int = 6,
    num_fresh: int = 128,
    progress=None,
):
    """The posterior of `models/weights.py`: samples and statistics `[chains, draws, ...]`, and what to make of them.

    program: `models/weights.py`, or one with the same arguments and sites.
    counts: `[S, A]` how often each action was taken in each state.
    target_accept: share of proposals that NUTS aims to accept. With many weights what is accepted depends on the place
    more than on the step: there 0.65 makes longer and fewer steps (see `benchmarks/weights.py`). With few weights it
    makes divergences.
    num_particles: random policies in a splitting run.
    num_runs: of these in each round, in directions that the round before drew. num_rounds: at most, at least 2.
    num_fresh: draws whose intelligence is found again by splitting of its own, with 512 policies; of few the Pareto
    k is mostly noise.
    progress: called with what is being done.

    Two rounds agree (`settled`) where the means of intelligence and of the weights' direction, theta / |theta|, differ
    by less than 4 of their standard errors and a tenth of a standard deviation, and less than 5 % of the draws lie
    beyond the runs of the atlas.

    The diagnostics: `rounds`; `settled`; `bits` mean intelligence of each round; `share_beyond` the runs, of the draws;
    `left_over` root mean square of what the atlas's correction leaves at its runs, in bits; `discrepancy` mean bits by
    fresh splitting less those of the draws, with `discrepancy_error`; `k_hat` of the importance ratios
    h(g_fresh) / h(g) (Vehtari et al. 2024; above `most_pareto_k` the draws are not those of the posterior); `runs` of
    the whole atlas; `seconds` of each part.

    Runs in float64. Costs about eight solves of `[S, S]` systems a gradient (see `benchmarks/laplace.py`) and
    `num_runs` splitting runs a round; one compilation. Raises InputError for priors that have no density or no
    quantiles, and where the posterior would be improper. `key` is consumed.
    """
    say, law = progress or (lambda phase: None), ExponentialLaw() if intelligence_law is None else intelligence_law
    counts = np.asarray(counts, np.float64)
    check_weighing(counts, world, weights, policy_prior, law, simplicity)
    numbers = dict(num_warmup=num_warmup, num_samples=num_samples, num_chains=num_chains, num_rounds=num_rounds)
    for (name, value), least in zip(
        {**numbers, "num_runs": num_runs, "num_fresh": num_fresh}.items(), (1, 8, 1, 2, 1, 8), strict=True
    ):
        check_whole(name, value, least)
    seconds = dict.fromkeys(("runs", "compiling", "sampling", "checking"), 0.0)
    with jax.enable_x64(True):
        start_key, key = jax.random.split(key)
        settings = dict(policy_prior=policy_prior, intelligence_law=law, simplicity=float(simplicity))
        mean_counts = jax.jit(jax.vmap(lambda policy: weights.values @ occupancy(world, policy).state))
        starts, directions = _first(start_key, counts, world, weights, policy_prior, mean_counts, num_chains, num_runs)
        atlas, compiled, states, before, history, deepest = None, None, None, None, [], _FIRST_BITS
        half = max(num_samples // 2, 8)
        for index in range(num_rounds):
            say(f"random policies, round {index + 1}")
            run_key, chain_key, key = jax.random.split(key, 3)
            with _timed(seconds, "runs"):
                runs = dict(policy_prior=policy_prior, num_particles=num_particles)
                runs["max_bits"] = min(deepest + _FURTHER, _MOST_BITS)
                more = make_atlas(run_key, world, weights.values, directions, **runs)
                atlas = more if atlas is None else joined(atlas, more)
                correction = jax.tree.map(jnp.asarray, atlas.without_runs())
            if compiled is None:
                say("compiling")
                with _timed(seconds, "compiling"):
                    given = dict(counts=counts, world=world, weights=weights, **settings)
                    compiled = compiled_chains(program, given, max(num_samples, 8), correction, starts[0])
            say(f"sampling, round {index + 1}")
            with _timed(seconds, "sampling"):
                if states is None:
                    keys = jax.random.split(chain_key, num_chains)
                    states = warmed_up(compiled, keys, starts, correction, num_warmup, target_accept)
                # The first round is never kept: it finds directions, and what the second has to agree with.
                number = half if index else max(min(num_samples // 4, _MOST_FIRST), 8)
                states, samples, stats, *_ = compiled(keys, None, states, correction, number)
            drawn = jax.tree.map(lambda x, number=number: x[:, :number], samples)
            bits = drawn["intelligence"]
            beyond = float((~(bits <= atlas.deepest)).mean())
            history.append(float(bits.mean()))
            now = np.concatenate([bits[..., None], _directions(drawn["weights"])], axis=-1)
            settled = before is not None and _agree(before, now) and beyond <= _MOST_BEYOND
            if settled or index + 1 == num_rounds:
                break
            before, deepest = now, float(bits.max())
            directions = _spread_out(drawn, mean_counts, num_runs)[0]
        say("sampling, last round")
        with _timed(seconds, "sampling"):
            rest = compiled(keys, None, states, correction, num_samples - half)[1:3]
            samples, stats = jax.tree.map(partial(_continued, half), (samples, stats), rest)
        say("checking")
        with _timed(seconds, "checking"):
            found = _fresh(key, world, weights, policy_prior, law, samples, mean_counts, num_fresh)
    stats = {STATS[name]: values for name, values in stats.items()}
    stats["lp"] = -stats["lp"]
    seconds = {name: round(value, 2) for name, value in seconds.items()}
    told = dict(rounds=index + 1, settled=bool(settled), bits=history, left_over=atlas.left_over)
    beyond = float((~(samples["intelligence"] <= atlas.deepest)).mean())
    return samples, stats, {**told, **found, "share_beyond": beyond, "runs": len(atlas), "seconds": seconds}


def _continued(half, first, rest):
    """`half` draws and those that come after them, `[chains, draws, ...]`."""
    return np.concatenate([first[:, :half], rest[:, : rest.shape[1] - half]], axis=1)


def _first(key, counts, world, weights, policy_prior, mean_counts, num_chains, num_runs):
    """Where chains start, and the first directions: those in which policies that fit the record stand out most among
    random ones, were their feature counts normal: the inverse covariance times the distance from the mean.
    """
    policy_key, score_key, prior_key = jax.random.split(key, 3)
    random = np.random.default_rng(np.asarray(jax.random.key_data(policy_key)))
    shape = np.where(np.asarray(world.available), counts + policy_prior.concentration, 0.0)
    gammas = random.standard_gamma(shape, (max(num_runs, num_chains), *counts.shape))
    gammas = np.where(np.asarray(world.available), np.maximum(gammas, 1e-12), 0.0)
    policies = gammas / gammas.sum(-1, keepdims=True)
    among = np.asarray(mean_counts(policy_prior.distribution(world).sample(prior_key, (2000,))))
    mu, covariance = np.asarray(mean_counts(policies)), np.cov(among.T).reshape(len(weights), len(weights))
    covariance += _RIDGE * np.trace(covariance) / len(weights) * np.eye(len(weights))
    theta = np.linalg.solve(covariance, (mu - among.mean(0)).T).T
    scores = jax.random.normal(score_key, (num_chains, len(weights)))
    unconstrained = dist.biject_to(policy_prior.distribution(world).support).inv
    starts = [dict(policy=unconstrained(jnp.asarray(policies[c])), score=scores[c]) for c in range(num_chains)]
    return starts, theta[:num_runs]


def _flat(samples):
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), samples)


def _spread_out(samples, mean_counts, number: int):
    """Weights `[D, F]` of draws spread evenly over all chains, and what their policies are worth, `[D]`."""
    flat = _flat(samples)
    index = np.linspace(0, len(flat["weights"]) - 1, min(number, len(flat["weights"]))).astype(int)
    theta = flat["weights"][index]
    theta = theta / np.linalg.norm(theta, axis=-1, keepdims=True)
    return theta, np.einsum("df,df->d", theta, np.asarray(mean_counts(flat["policy"][index])))


def _directions(theta):
    return theta / np.linalg.norm(theta, axis=-1, keepdims=True)


def _agree(before, now) -> bool:
    """Whether two rounds `[chains, draws, n]` have the same means."""
    apart = np.abs(before.mean((0, 1)) - now.mean((0, 1)))
    error = np.hypot(*(np.array([az.mcse(one[..., i]) for i in range(one.shape[-1])]) for one in (before, now)))
    return bool((apart <= _AGREE_ERRORS * error + _AGREE_SPREAD * now.std((0, 1))).all())


def _fresh(key, world, weights, policy_prior, law, samples, mean_counts, number):
    """What splitting by itself says of some draws, against what they were given."""
    flat = _flat(samples)
    number = min(number, len(flat["weights"]))
    index = np.linspace(0, len(flat["weights"]) - 1, number).astype(int)
    theta, worth = _spread_out(samples, mean_counts, number)
    given = flat["intelligence"][index]
    payoffs = Payoffs(theta @ weights.values, None, np.zeros((number, 0)), np.zeros((0, world.num_states), bool))
    ends = dict(num_particles=512, max_bits=float(given.max()) + 10)
    tails = value_tail(key, world, payoffs, policy_prior=policy_prior, **ends)
    apart = np.asarray(tails.bits(worth)) - given
    ratio = np.asarray(law.log_weight(given + apart) - law.log_weight(given))
    return dict(
        discrepancy=float(apart.mean()),
        discrepancy_error=float(apart.std(ddof=1) / np.sqrt(number)),
        discrepancy_spread=float(apart.std(ddof=1)),
        k_hat=pareto_k(ratio),
    )


class _timed:
    """Adds the seconds that a block took to a part of `seconds`."""

    def __init__(self, seconds, part):
        self.seconds, self.part = seconds, part

    def __enter__(self):
        self.started = time.perf_counter()

    def __exit__(self, *_):
        self.seconds[self.part] += time.perf_counter() - self.started

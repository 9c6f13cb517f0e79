"""Taxi routes, held out: maximum entropy over routes (recursive logit), its weights inferred by NUTS.

A trip from link o to its known destination d is a path of links, with probability proportional to exp(theta . what its
moves are like), over all paths that end at d and do not pass it before. With M = exp(theta . features) on the moves
that the network has, and N = (I - M)^-1 the sum over all paths, those that first come to d weigh N[o, d] / N[d, d]: one
inverse tells of every destination. The sum converges where the spectral radius of M is below 1, which is where N has no
negative entry; elsewhere the likelihood is 0.

Reference: Fosgerau, Frejinger, Karlstrom (2013), A link based network route choice model with unrestricted choice set.
"""

import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
from markdown_table import print_table
from numpyro.infer import MCMC, NUTS, init_to_value
from scipy.optimize import minimize

FEATURES = ("100 m", "link", "left", "right", "u-turn", "primary", "tertiary", "secondary")
# Of the data's README, fitted on 10,000 trips by maximum likelihood.
REFERENCE = np.array([-0.276, -0.258, -0.859, -0.870, -1.775, 0.262, -0.108, 0.124])
SCALE = 2.0  # of the normal prior of a weight
_TURN, _AROUND = 45.0, 135.0  # degrees between two links
_ROUNDING = 1e-9


class Network(NamedTuple):
    """The `m` moves from link to link: features `[m, F]`, origin and end `[m]`; number `[L, L]` of a move, or -1."""

    features: np.ndarray
    start: np.ndarray
    end: np.ndarray
    number: np.ndarray


class Trips(NamedTuple):
    """`n` trips: features summed along each `[n, F]`, first link, destination `[n]`, number of moves `[n]`."""

    features: np.ndarray
    start: np.ndarray
    destination: np.ndarray
    length: np.ndarray


def tell(folder, options):
    network, rows = read(folder)
    test = trips(network, rows[rows.fold == 0])
    successors = np.bincount(network.start, minlength=len(network.number))
    random = -np.log(successors[rows.state[rows.fold == 0]]).sum()
    result = [row("uniform over successors", test, random / len(test.start)), *published()]
    each, right = trip_log_likelihood(REFERENCE, network, test), hits(REFERENCE, network, rows[rows.fold == 0])
    result.append(row("recursive logit at the README's theta, our code", test, each.mean(), right))
    lines = []
    subsets = np.load(folder / "environment.npz")
    for size in options.trips:
        chosen = rows[rows.episode.isin(subsets[f"train_cv0_size{size}"])]
        started = time.perf_counter()
        draws, divergent, ess = posterior(network, trips(network, chosen), options.draws)
        seconds = time.perf_counter() - started
        each = np.array([trip_log_likelihood(theta, network, test) for theta in draws[:: max(1, len(draws) // 50)]])
        predictive = np.logaddexp.reduce(each, axis=0) - np.log(len(each))
        mean = draws.mean(0)
        right = hits(mean, network, rows[rows.fold == 0])
        result.append(row(f"Bayesian MaxEnt, {size} trips, predictive", test, predictive.mean(), right))
        result.append(
            row(f"Bayesian MaxEnt, {size} trips, at the mean", test, trip_log_likelihood(mean, network, test).mean())
        )
        found = ", ".join(f"{a:.3f} ± {b:.3f}" for a, b in zip(mean, draws.std(0), strict=True))
        lines.append(
            f"{size} trips: {seconds:.0f} s for {len(draws)} draws, {divergent} divergent, least ESS {ess:.0f}; {found}"
        )
    print_table(pd.DataFrame(result), digits=4)
    print(f"\nWeights ({', '.join(FEATURES)}), mean ± sd, under Normal(0, {SCALE:g}):")
    print("\n".join(lines))
    best = min(REFERENCE_TRIP, key=lambda size: abs(size - max(options.trips)))
    ours = result[-2]["nats per trip"]
    print(f"Predictive against the published fit on as many trips: {ours - REFERENCE_TRIP[best]:+.4f} nats per trip.")


REFERENCE_TRIP = {100: -4.309, 1000: -4.305, 10000: -4.298}


def published():
    """What the data's README gives, as printed there."""
    yield {"method": "behavioural cloning (published weights re-run)", "nats per trip": -7.33, "per step": -0.394}
    for size, value in REFERENCE_TRIP.items():
        yield {"method": f"recursive logit, maximum likelihood, {size} trips", "nats per trip": value}


def row(method, test, nats, right=None):
    per_step = nats * len(test.start) / test.length.sum()
    return {"method": method, "nats per trip": nats, "per step": per_step, "top-1": np.nan if right is None else right}


def read(folder):
    """The network and the rows of all trips."""
    data = np.load(folder / "environment.npz")
    following = data["next_state"]
    start, action = np.nonzero(following >= 0)
    end = following[start, action].astype(int)
    number = np.full((len(following), len(following)), -1)
    number[start, end] = np.arange(len(start))
    kind = data["highway_names"][data["highway_class"]][end]
    turn = turns(data["start_lonlat"], data["end_lonlat"], start, end)
    around = np.abs(turn) > _AROUND
    columns = [
        data["length_m"][end] / 100,
        np.ones(len(start)),
        (turn > _TURN) & ~around,
        (turn < -_TURN) & ~around,
        around,
        *(kind == one for one in ("primary", "tertiary", "secondary")),
    ]
    rows = pd.read_csv(folder / "trajectories.csv.gz")
    return Network(np.stack(columns, 1).astype(float), start, end, number), rows


def turns(begin, finish, start, end):
    """Degrees to the left from each link `start` to its successor `end`, between the chords of the links."""
    chord = finish - begin
    heading = np.degrees(np.arctan2(chord[:, 1], chord[:, 0] * np.cos(np.radians(begin[:, 1].mean()))))
    return (heading[end] - heading[start] + 180) % 360 - 180


def trips(network, rows) -> Trips:
    episode, first, length = np.unique(rows.episode, return_index=True, return_counts=True)
    features = np.zeros((len(episode), network.features.shape[1]))
    moves = network.number[rows.state, rows.next_state]
    np.add.at(features, np.searchsorted(episode, rows.episode), network.features[moves])
    return Trips(features, rows.state.to_numpy()[first], rows.destination.to_numpy()[first], length)


def paths(theta, network):
    """`[L, L]` weight of all paths from one link to another, and whether the sum converges."""
    size = len(network.number)
    move = jnp.zeros((size, size)).at[network.start, network.end].set(jnp.exp(network.features @ theta))
    total = jnp.linalg.inv(jnp.eye(size) - move)
    return total, total.min() > -_ROUNDING * jnp.abs(total).max()


def log_worth(theta, network, start, destination):
    """ln weight of all paths that first come to each destination from each start, -inf where the sum diverges."""
    total, proper = paths(theta, network)
    there, back = jnp.where(proper, total[start, destination], 1.0), jnp.where(proper, total[destination, destination], 1.0)
    return jnp.log(there) - jnp.log(back), proper


def trip_log_likelihood(theta, network, trips) -> np.ndarray:
    """`[n]` nats of each trip given its start and destination."""
    with jax.enable_x64(True):
        worth, proper = jax.jit(log_worth, static_argnums=())(jnp.asarray(theta), network, trips.start, trips.destination)
        return np.asarray(jnp.where(proper, trips.features @ theta - worth, -jnp.inf))


def hits(theta, network, rows):
    """Share of moves whose link was the likeliest one."""
    with jax.enable_x64(True):
        total = np.asarray(paths(jnp.asarray(theta), network)[0])
    with np.errstate(divide="ignore"):
        ahead = np.log(total)[network.end][:, rows.destination.to_numpy()] + (network.features @ theta)[:, None]
    # Coming to the destination ends the trip: what follows it does not count.
    at_end = network.end[:, None] == rows.destination.to_numpy()[None]
    ahead = np.where(at_end, (network.features @ theta)[:, None] + np.log(np.diag(total))[network.end][:, None], ahead)
    best = np.full((len(network.number), len(rows)), -np.inf)
    np.maximum.at(best, network.start, ahead)
    taken = ahead[network.number[rows.state, rows.next_state], np.arange(len(rows))]
    return float((taken >= best[rows.state.to_numpy(), np.arange(len(rows))] - 1e-12).mean())


def posterior(network, trips, num_draws):
    """`[D, F]` draws of the weights, divergences, least effective sample size."""
    pairs, count = np.unique(np.stack([trips.start, trips.destination]), axis=1, return_counts=True)
    total = trips.features.sum(0)

    def log_likelihood(theta):
        worth, proper = log_worth(theta, network, *pairs)
        return jnp.where(proper, total @ theta - count @ worth, -jnp.inf)

    def routes():
        weights = numpyro.sample("weights", dist.Normal(0.0, SCALE).expand([len(total)]).to_event(1))
        numpyro.factor("trips", log_likelihood(weights))

    with jax.enable_x64(True):
        slope = jax.jit(jax.value_and_grad(lambda theta: -log_likelihood(theta) + (theta**2).sum() / (2 * SCALE**2)))
        # From near the published weights: close to a spectral radius of 1 there are false optima.
        best = minimize(lambda theta: [np.asarray(x, float) for x in slope(theta)], REFERENCE, jac=True, method="BFGS")
        width = 1e-4
        curvature = np.array([(slope(best.x + e)[1] - slope(best.x - e)[1]) / (2 * width) for e in width * np.eye(len(total))])
        kernel = NUTS(
            routes,
            init_strategy=init_to_value(values={"weights": jnp.asarray(best.x)}),
            inverse_mass_matrix=jnp.asarray(np.linalg.inv((curvature + curvature.T) / 2)),
            dense_mass=True,
            adapt_mass_matrix=False,
        )
        chain = MCMC(kernel, num_warmup=max(50, num_draws // 4), num_samples=num_draws, progress_bar=False)
        chain.run(jax.random.key(0))
        draws = np.asarray(chain.get_samples()["weights"])
        ess = numpyro.diagnostics.effective_sample_size(draws[None])
        return draws, int(chain.get_extra_fields()["diverging"].sum()), float(np.min(ess))

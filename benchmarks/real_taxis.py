"""Taxi routes, held out: maximum entropy over routes (recursive logit), the posterior of its weights.

A trip from link o to its known destination d is a path of links, with probability proportional to exp(theta . what its
moves are like), over all paths that end at d and do not pass it before. With M = exp(theta . features) on the moves
that the network has, and N = (I - M)^-1 the sum over all paths, those that first come to d weigh N[o, d] / N[d, d]: one
inverse tells of every destination. The sum converges where the spectral radius of M is below 1, which is where N has no
negative entry; elsewhere the likelihood is 0.

Reference: Fosgerau, Frejinger, Karlstrom (2013), A link based network route choice model with unrestricted choice set.
"""

import time
from typing import NamedTuple

import numpy as np
import pandas as pd
from markdown_table import print_table
from scipy.optimize import minimize
from scipy.sparse import csc_array, eye_array
from scipy.sparse.linalg import splu
from scipy.stats import multivariate_t

from utiliscope.diagnostics import pareto_k

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
        draws, log_weight, k = posterior(network, trips(network, chosen), options.draws)
        seconds = time.perf_counter() - started
        share = np.exp(log_weight)
        each = np.array([trip_log_likelihood(theta, network, test) for theta in draws])
        predictive = np.logaddexp.reduce(log_weight[:, None] + each, axis=0)
        mean = share @ draws
        spread = np.sqrt(share @ (draws - mean) ** 2)
        at_mean = trip_log_likelihood(mean, network, test).mean()
        right = hits(mean, network, rows[rows.fold == 0])
        result.append(row(f"Bayesian MaxEnt, {size} trips, at the mean", test, at_mean, right))
        result.append(row(f"Bayesian MaxEnt, {size} trips, predictive", test, predictive.mean()))
        lines.append(
            f"{size} trips: {seconds:.0f} s for {len(draws)} draws worth {1 / (share**2).sum():.0f}, Pareto k {k:.2f}; "
            + ", ".join(f"{a:.3f} ± {b:.3f}" for a, b in zip(mean, spread, strict=True))
            + (f"; against the published fit {predictive.mean() - PUBLISHED[size]:+.4f}" if size in PUBLISHED else "")
        )
    print_table(pd.DataFrame(result), digits=4)
    print(f"\nWeights ({', '.join(FEATURES)}), mean ± sd, under Normal(0, {SCALE:g}); nats per trip of the predictive:")
    print("\n".join(lines))


PUBLISHED = {100: -4.309, 1000: -4.305, 10000: -4.298}


def published():
    """What the data's README gives, as printed there."""
    yield {"method": "behavioural cloning (published weights re-run)", "nats per trip": -7.33, "per step": -0.394}
    for size, value in PUBLISHED.items():
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


def log_worth(theta, network, start, destination):
    """`[n]` ln weight of all paths that first come to each destination from each start; -inf where the sum diverges.

    Only the columns of N that belong to a destination are solved for: one without negative entries has a convergent
    sum behind it (Perron and Frobenius, for the links that lead there).
    """
    _, columns, place = _columns(theta, network, destination)
    if columns.min() < -_ROUNDING * np.abs(columns).max():
        return np.full(len(start), -np.inf)
    return np.log(columns[start, place]) - np.log(columns[destination, place])


def slope(theta, network, start, destination, count):
    """`count` @ log_worth and its gradient by the weights `[F]`."""
    factors, columns, place = _columns(theta, network, destination)
    if columns.min() < -_ROUNDING * np.abs(columns).max():
        return -np.inf, np.zeros(len(theta))
    there, back = columns[start, place], columns[destination, place]
    pull = np.zeros(columns.shape)
    np.add.at(pull, (start, place), count / there)
    np.add.at(pull, (destination, place), -count / back)
    through = (_solved(factors, pull, "T")[network.start] * columns[network.end]).sum(1)
    through *= np.exp(network.features @ theta)
    return float(count @ (np.log(there) - np.log(back))), through @ network.features


def _columns(theta, network, destination):
    """Factors of I - M, a road network being nearly flat, and columns of its inverse."""
    size = len(network.number)
    weight = np.exp(network.features @ np.asarray(theta))
    factors = splu(csc_array(eye_array(size) - csc_array((weight, (network.start, network.end)), shape=(size, size))))
    ends, place = np.unique(destination, return_inverse=True)
    return factors, _solved(factors, np.eye(size)[:, ends]), place


def _solved(factors, right, trans="N"):
    """SuperLU is quick with few columns at a time: 50 times quicker than with hundreds."""
    parts = [factors.solve(np.ascontiguousarray(right[:, k : k + 32]), trans) for k in range(0, right.shape[1], 32)]
    return np.concatenate(parts, axis=1)


def trip_log_likelihood(theta, network, trips) -> np.ndarray:
    """`[n]` nats of each trip given its start and destination."""
    return trips.features @ theta - log_worth(theta, network, trips.start, trips.destination)


def hits(theta, network, rows):
    """Share of moves whose link was the likeliest one."""
    destination, here = rows.destination.to_numpy(), rows.state.to_numpy()
    _, columns, place = _columns(theta, network, destination)
    with np.errstate(divide="ignore"):
        ahead = np.log(np.maximum(columns, 0.0))[network.end] + (network.features @ theta)[:, None]
    best = np.full(columns.shape, -np.inf)
    np.maximum.at(best, network.start, ahead)
    return float((ahead[network.number[here, rows.next_state], place] >= best[here, place] - 1e-12).mean())


def posterior(network, trips, num_draws, seed=0):
    """`[D, F]` draws of the weights, their normalised log weights `[D]`, and the Pareto k of these.

    Drawn from a multivariate t of 8 degrees of freedom around the mode, with the curvature there, and weighted by the
    true posterior: with thousands of trips the two hardly differ, and k says how much.
    """
    pairs, count = np.unique(np.stack([trips.start, trips.destination]), axis=1, return_counts=True)
    total = trips.features.sum(0)

    def cost(theta):
        worth, gradient = slope(theta, network, *pairs, count)
        value = total @ theta - worth if np.isfinite(worth) else -np.inf
        return (theta**2).sum() / (2 * SCALE**2) - value, theta / SCALE**2 - total + gradient

    # From near the published weights: close to a spectral radius of 1 there are false optima.
    mode = minimize(cost, REFERENCE, jac=True, method="BFGS").x
    step = 1e-4 * np.eye(len(mode))
    curvature = np.array([(cost(mode + e)[1] - cost(mode - e)[1]) / 2e-4 for e in step])
    around = multivariate_t(mode, np.linalg.inv((curvature + curvature.T) / 2), df=8, seed=seed)
    draws = around.rvs(num_draws)
    log_weight = np.array([-cost(theta)[0] for theta in draws]) - around.logpdf(draws)
    return draws, log_weight - np.logaddexp.reduce(log_weight), pareto_k(log_weight)

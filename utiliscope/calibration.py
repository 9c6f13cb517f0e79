"""Simulation-based calibration: what a program infers from what it generates must be right as often as it says.

Values of all sites are drawn from the program's prior, behaviour from these, and the program is run on the behaviour.
Then the true value of any quantity is one more draw from its posterior: its rank among L independent draws is uniform
on 0..L, and a utility that is given a probability of p is the true one with a frequency of p. Quantities that depend on
the behaviour, such as its likelihood, also reveal a program that does not look at it.

References: Talts et al. (2018), Validating Bayesian inference algorithms with simulation-based calibration; Modrak et
al. (2023), Simulation-based calibration checking for Bayesian computation: the choice of test quantities.
"""

import math
import time
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpyro.infer import NUTS

from .errors import InputError, check_whole
from .picture_style import BLUE, FAINT, INK, MUTED, RED
from .rank_uniformity import cumulative, envelope, is_outside, p_value, rank
from .stated_probabilities import probability_score
from .summation import latent_sites, over_cells, summed_program

_COLUMNS = 4


class Calibration(eqx.Module):
    """What `N` simulations say of a program.

    ranks: `[N]` for each quantity, of its true value among `num_draws` posterior draws.
    probability: `[N, ..., U]` stated of each utility, or None for programs without. utility: `[N, ...]` the true one.
    autocorrelation: of neighbouring draws of each quantity, mean over simulations: near 0 where thinning sufficed.
    divergent: share of NUTS draws that diverged. seconds: of the whole loop, with compiling.
    """

    ranks: dict[str, np.ndarray]
    num_draws: int
    probability: np.ndarray | None
    utility: np.ndarray | None
    autocorrelation: dict[str, float]
    divergent: float
    seconds: float

    @property
    def num_simulations(self) -> int:
        return len(next(iter(self.ranks.values())))

    def table(self) -> pd.DataFrame:
        """Columns: site; simulations; outside (whether the ECDF of ranks leaves its 95 % envelope); p_value (of
        uniform ranks); autocorrelation. The last row, where there are utilities, is that of the stated probabilities,
        with the p-value of `probability_score`, outside at 5 %.
        """
        rows = [
            dict(
                site=name,
                simulations=self.num_simulations,
                outside=is_outside(ranks, self.num_draws),
                p_value=p_value(ranks, self.num_draws),
                autocorrelation=self.autocorrelation[name],
            )
            for name, ranks in self.ranks.items()
        ]
        if self.probability is not None:
            chance = probability_score(self.probability, self.utility)[2]
            name, number = "stated probabilities", self.num_simulations
            rows.append(
                dict(site=name, simulations=number, outside=chance < 0.05, p_value=chance, autocorrelation=math.nan)
            )
        return pd.DataFrame(rows)


def calibrate(
    key,
    program: Callable,
    prior_draw: Callable,
    inputs: dict,
    *,
    quantities: Callable | None = None,
    num_simulations: int = 500,
    num_warmup: int = 300,
    num_samples: int = 99,
    thinning: int = 3,
    target_accept: float = 0.8,
    batch_size: int = 50,
) -> Calibration:
    """Simulate from the prior, infer by NUTS (or by summation where all sites are discrete), and rank: one kernel.

    program: a NumPyro program. inputs: what it takes that is not recorded, by name.
    prior_draw: from a key to (sites, data), both by name: a draw of the program's joint distribution. It is traced;
    big arrays go into it as leaves of an `eqx.Module`. Site `utility` is the index of the true utility (`[N]` for many
    operators) and `intelligence` its bits alone.
    quantities: from (sites, data) to scalars by name, which are ranked; applied to the truth and to each draw, where
    `utility` is a drawn index and `intelligence` its bits, as for the truth. By default all entries of the true sites.
    num_samples: L, the draws that are ranked; each is the last of `thinning` NUTS draws.
    batch_size: simulations side by side; they take the steps of the longest trajectory among them.

    Costs num_simulations runs of one chain. `key` is consumed. Raises InputError for numbers out of range and for
    quantities that have no draws.
    """
    for name, value in dict(
        num_simulations=num_simulations,
        num_warmup=num_warmup,
        num_samples=num_samples,
        thinning=thinning,
        batch_size=batch_size,
    ).items():
        check_whole(name, value, 1)
    read = _all_entries if quantities is None else quantities

    def one(prior_draw, key):
        draw_key, run_key, choice_key = jax.random.split(key, 3)
        truth, data = prior_draw(draw_key)
        posterior = _summed_nuts(run_key, program, inputs | data, num_warmup, num_samples, thinning, target_accept)
        samples, stated, diverging = _with_utilities(choice_key, program, inputs | data, num_samples, *posterior)
        if quantities is None:
            missing = [name for name in truth if name not in samples]
            if missing:
                raise InputError(f"the program draws no {', '.join(missing)}; leave them out, or give quantities")
            samples = {name: samples[name] for name in truth}
        draws = jax.vmap(lambda sites: read(sites, data))(samples)
        return read(truth, data), draws, stated, truth.get("utility"), diverging

    @eqx.filter_jit
    def every(prior_draw, keys):
        return jax.lax.map(lambda key: one(prior_draw, key), keys, batch_size=min(batch_size, num_simulations))

    started = time.perf_counter()
    with jax.enable_x64(True):
        run_key, tie_key = jax.random.split(key)
        found = every(prior_draw, jax.random.split(run_key, num_simulations))
        truth, draws, stated, utility, diverging = jax.tree.map(np.asarray, found)
    random = np.random.default_rng(np.asarray(jax.random.key_data(tie_key)))
    return Calibration(
        {name: rank(random, values, draws[name]) for name, values in truth.items()},
        num_samples,
        stated,
        None if stated is None else utility,
        {name: _autocorrelation(values) for name, values in draws.items()},
        float(diverging.mean()),
        time.perf_counter() - started,
    )


def _summed_nuts(key, program, inputs, num_warmup, num_samples, thinning, target_accept):
    """Samples `[L, ...]` of the continuous sites, discrete ones summed out, and whether each diverged."""
    continuous, discrete = latent_sites(program, inputs)
    if not continuous:
        return {}, jnp.zeros(num_samples, bool)
    kernel = NUTS(summed_program(program) if discrete else program, target_accept_prob=target_accept)
    state = kernel.init(key, num_warmup, None, (), inputs)

    # One loop for both phases, where `MCMC` has one each: half as much to compile.
    def step(state, _):
        state = kernel.sample(state, (), inputs)
        return state, (state.z, state.diverging)

    _, (places, diverging) = jax.lax.scan(step, state, length=num_warmup + num_samples * thinning)
    last = jax.tree.map(lambda x: x[num_warmup + thinning - 1 :: thinning], places)
    return jax.vmap(kernel.postprocess_fn((), inputs))(last), diverging[num_warmup:]


def _with_utilities(key, program, inputs, number, samples, diverging):
    """Samples with a utility drawn in each, and its intelligence; and the stated probabilities `[..., U]`."""
    continuous, discrete = latent_sites(program, inputs)
    if discrete:
        # Cells go with their utility: drawn together.
        def cell(key, values):
            log_joint, _, bits = over_cells(program, inputs, values)
            index = jax.random.categorical(key, log_joint.reshape(-1))
            row = index // log_joint.shape[1]
            return row, bits.reshape(-1)[index], jax.nn.softmax(jax.nn.logsumexp(log_joint, axis=1))

        values = {name: samples[name] for name in continuous}
        row, bits, probability = jax.vmap(cell)(jax.random.split(key, number), values)
        return samples | {"utility": row, "intelligence": bits}, probability.mean(0), diverging
    for log_prob, bits in (("subject_log_prob", "subject_intelligence"), ("utility_log_prob", "intelligence")):
        if log_prob in samples:
            utility = jax.random.categorical(key, samples[log_prob], axis=-1)
            drawn = {"utility": utility}
            if bits in samples:
                drawn["intelligence"] = jnp.take_along_axis(samples[bits], utility[..., None], axis=-1)[..., 0]
            return samples | drawn, jnp.exp(samples[log_prob]).mean(0), diverging
    return samples, None, diverging


def _all_entries(sites, data):
    found = {}
    for name, values in sites.items():
        values = jnp.asarray(values)
        for index in np.ndindex(values.shape):
            found[f"{name}[{', '.join(map(str, index))}]" if index else name] = values[index]
    return found


def _autocorrelation(draws):
    """Mean over simulations of the correlation of neighbouring draws, `[N, L]`; 0 where nothing varies."""
    apart = draws - draws.mean(1, keepdims=True)
    variance = (apart**2).sum(1)
    varies = variance > 0
    with np.errstate(invalid="ignore"):
        each = (apart[:, 1:] * apart[:, :-1]).sum(1)[varies] / variance[varies]
    return float(each.mean()) if varies.any() else 0.0


def plot_calibration(result: Calibration, title: str = "") -> Figure:
    """The ECDF of each quantity's ranks less that of uniform ranks, within its simultaneous 95 % envelope."""
    number, length = result.num_simulations, result.num_draws
    columns = min(_COLUMNS, len(result.ranks))
    rows = -(-len(result.ranks) // columns)
    figure = Figure(figsize=(0.4 + 2.3 * columns, 0.7 + 1.75 * rows), layout="constrained")
    panels = np.atleast_1d(figure.subplots(rows, columns, sharex=True, sharey=True)).reshape(-1)
    share = np.arange(length + 2) / (length + 1)
    inside = envelope(number, length)
    low, high = (np.concatenate([[0], side, [number]]) / number - share for side in (inside.lowest, inside.highest))
    for axes, (name, ranks) in zip(panels, result.ranks.items(), strict=False):
        outside = is_outside(ranks, length)
        ecdf = np.concatenate([[0], cumulative(ranks, length), [number]]) / number
        axes.fill_between(share, low, high, color=FAINT, linewidth=0, step="post")
        axes.axhline(0.0, color=MUTED, linewidth=0.7)
        axes.step(share, ecdf - share, where="post", color=RED if outside else BLUE, linewidth=1.2)
        axes.set_title(name, fontsize=9, color=INK, loc="left")
        chance = p_value(ranks, length)
        told = f"p = {chance:.2g}" if chance >= 1e-4 else "p < 0.0001"
        axes.set_title(told, fontsize=8, color=RED if outside else MUTED, loc="right")
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8, colors=MUTED)
    for axes in panels[max(0, len(result.ranks) - columns) : len(result.ranks)]:
        axes.tick_params(labelbottom=True)
    for axes in panels[len(result.ranks) :]:
        axes.set_visible(False)
    figure.supxlabel(f"rank among {length} posterior draws, scaled to 1", fontsize=9, color=INK)
    figure.supylabel("ECDF less uniform", fontsize=9, color=INK)
    figure.suptitle(f"{title}{': ' if title else ''}{number} simulations", fontsize=10, color=INK)
    return figure

"""People's demonstrations of eight known rewards: which was it, with the law of intelligence inferred?

Each demonstration is an operator of its own; those of one condition ("do" or "show") share a law. All demonstrations
start in one state, so that a law gives a table of log weights ln h(g) / Z(U), and a Boltzmann temperature one of log
likelihoods: the same five ways of learning the parameter serve both, so that the comparison is even.

own: nothing is shared; each demonstration averages over the parameter's grid, its prior.
pooled: the posterior of the parameter given all demonstrations of the condition, their rewards unknown.
others: the same given only the other half of the people (two folds).
taught: given the other half of the people with their true rewards, as likelihood.
tuned: the one parameter that gave the true rewards of the other half the best log score.

Every reward is equally likely before. Where the mixture of rewards is inferred as well it could find that rewards are
balanced by design; so it is a row of its own. Random action sequences of 60 steps, tails from `tilted_sequences.py`.
"""

import time

import jax
import numpy as np
import numpyro.distributions as dist
import pandas as pd
from boltzmann import TEMPERATURES
from people import boltzmann_likelihoods, log_mean, observers, scores
from people_rewards import CODES, HORIZON, candidates_of, demonstrated, normalised
from scipy.special import logsumexp
from tilted_sequences import sequence_tails

import utiliscope as us
from utiliscope.achievement import episode_utilities, started_world
from utiliscope.laws import log_intelligence_weight, sampled_law
from utiliscope.operator_mixture import sampled_mixture, sum_out_utilities
from utiliscope.sequences import comparison_world

FAMILIES, WAYS = ("2^(beta g)", "random or 2^(beta g)", "bump"), ("own", "pooled", "others", "taught", "tuned")
USUAL = "Boltzmann, own, T 0.03 to 10"
# Mean log scores and shares of whole rewards, as design notes of an earlier prototype give them.
EARLIER = {"whole, do": 0.47, "whole, show": 0.77, "ln P, do": -1.42, "ln P, show": -0.77}
BETA = np.linspace(0.05, 4.0, 80)
SHARE = np.array([0.01, 0.02, 0.05, 0.1, 0.2, 0.4])
MEAN, SHAPE = np.geomspace(2.0, 40.0, 25), np.geomspace(1.0, 64.0, 13)


def tell(folder, options):
    world, behaviour, first = demonstrated(folder)
    truth = first.reward_code.map(CODES.index).to_numpy()
    condition, person = first.condition.to_numpy(), first.subject.to_numpy()
    started = time.perf_counter()
    candidates, tails, bits = eight(behaviour, world, options.sequences)
    print(f"{len(first)} demonstrations; tails and bits: {time.perf_counter() - started:.0f} s\n")

    tables = families(tails, bits)
    tables["Boltzmann"] = np.moveaxis(boltzmann_likelihoods(behaviour, world), -1, 0)
    found = {}
    for name, table in tables.items():
        for way in WAYS:
            found[f"{name}, {way}"] = learned(table, truth, condition, person, way)
    started = time.perf_counter()
    law = us.ExponentialLaw(dist.HalfNormal(2.0))
    mixed, told = by_fit(behaviour, world, candidates, tails, law, options.draws)
    found["2^(beta g), pooled by us.fit, mixture inferred"] = mixed
    print(f"us.fit: {time.perf_counter() - started:.0f} s; " + "; ".join(told) + "\n")
    usual = tables["Boltzmann"][(TEMPERATURES > 0.03) & (TEMPERATURES < 11)]
    found[USUAL] = learned(usual, truth, condition, person, "own")
    table = pd.DataFrame({name: scores(log_prob, truth, condition) for name, log_prob in found.items()}).T
    table.loc["human observers"] = observers(folder, first)
    table.loc["an earlier study's Boltzmann, marginalised"] = EARLIER
    print(table.to_string(float_format=lambda x: f"{x:.3f}", na_rep="-"))
    print("\nwhole: the most probable reward is the true one; ln P: of the true reward (uniform: -2.079).")
    for name, values in (("2^(beta g)", BETA), ("Boltzmann", TEMPERATURES)):
        likeliest = [
            f"{kind} {values[_log_evidence(tables[name], condition == kind, known).argmax()]:.2f}"
            for known in (None, truth)
            for kind in ("do", "show")
        ]
        print(
            f"{name}: likeliest parameter, rewards unknown: {', '.join(likeliest[:2])}; "
            f"known: {', '.join(likeliest[2:])}"
        )
    verdict(found, truth, condition)
    where(found, truth, condition, bits, behaviour)


def eight(behaviour, world, num_sequences):
    """The candidates, their tails, and the bits `[E, 8]` of every demonstration."""
    candidates = candidates_of(world)
    compared = comparison_world(started_world(behaviour, world), us.ActionSequences(HORIZON))
    tails = sequence_tails(np.random.default_rng(0), compared, candidates.payoffs, num_sequences=num_sequences)
    values = episode_utilities(behaviour, compared, candidates.payoffs)
    with jax.enable_x64(True):
        return candidates, tails, np.asarray(jax.vmap(tails.bits)(values))


def families(tails, bits):
    """`[G, E, 8]` log weights of demonstrations, for every law of each family."""

    @jax.jit
    def weights(law):
        return jax.vmap(lambda g: log_intelligence_weight(law, tails, g))(bits)

    with jax.enable_x64(True):
        plain = np.array([weights(us.ExponentialLaw(beta)) for beta in BETA])
        bumps = np.array([weights(us.BumpLaw(mean, shape)) for mean in MEAN for shape in SHAPE])
    mixed = np.logaddexp(np.log(SHARE)[:, None, None, None], np.log1p(-SHARE)[:, None, None, None] + plain)
    return dict(zip(FAMILIES, (plain, mixed.reshape(-1, *plain.shape[1:]), bumps), strict=True))


def learned(table, truth, condition, person, way):
    """`[E, 8]` log posterior of the rewards; table: `[G, E, 8]` log likelihoods, every parameter equally likely."""
    log_prob = np.zeros(table.shape[1:])
    people = np.unique(person)
    half = np.isin(person, people[::2])
    for kind in np.unique(condition):
        for fold in (False, True):
            chosen = (condition == kind) & (half == fold)
            source = (condition == kind) & ((half != fold) | (way == "pooled"))
            if way == "own":
                log_parameter = np.zeros(len(table))
            elif way == "tuned":
                score = normalised(table[:, source])[:, np.arange(source.sum()), truth[source]].sum(-1)
                log_parameter = np.where(np.arange(len(table)) == score.argmax(), 0.0, -np.inf)
            else:
                log_parameter = _log_evidence(table, source, truth if way == "taught" else None)
            # A demonstration that is in the pool itself has had its say: its posterior is averaged, not its likelihood.
            each = normalised(table[:, chosen]) if way == "pooled" else table[:, chosen]
            log_prob[chosen] = normalised(logsumexp(normalised(log_parameter)[:, None, None] + each, axis=0))
    return log_prob


def _log_evidence(table, chosen, truth):
    """`[G]` log probability of the chosen demonstrations under each parameter; truth: their rewards, or None."""
    if truth is None:
        return log_mean(table[:, chosen], axis=-1).sum(-1)
    return table[:, chosen, truth[chosen]].sum(-1)


def by_fit(behaviour, world, candidates, tails, law, num_draws):
    """`[E, 8]` log posterior by `us.fit`, one fit for each condition; what it says of the law."""
    episodes = behaviour.table.episode.unique()
    log_prob, told = np.zeros((len(episodes), len(candidates))), []
    for kind in ("do", "show"):
        part = behaviour.where(condition=kind)
        posterior = us.fit(
            part,
            world,
            program=demonstrations(tails),
            reading="achieved",
            operators="episode",
            candidates=candidates,
            policy_prior=us.ActionSequences(HORIZON),
            intelligence_law=law,
            num_warmup=num_draws,
            num_samples=2 * num_draws,
            num_chains=1,
        )["posterior"]
        each = posterior["subject_log_prob"].values.reshape(-1, part.num_episodes, len(candidates))
        places = np.searchsorted(episodes, np.sort(part.table.episode.unique()))
        log_prob[places] = log_mean(each, axis=0)
        beta, spread = posterior["beta"].values, posterior["spread"].values
        ess = posterior.attrs["min_ess"]
        told.append(f"{kind}: beta {beta.mean():.2f} ± {beta.std():.2f}, spread {spread.mean():.2f}, ESS {ess:.0f}")
    return log_prob, told


def demonstrations(tails):
    """`models/population.py` for operators who all start alike, so that they share their tails."""

    def program(subject_value, candidates, *, intelligence_law, simplicity):
        law, log_mixture = sampled_law(intelligence_law), sampled_mixture(candidates, simplicity)
        bits = jax.vmap(tails.bits)(subject_value)
        sum_out_utilities(log_mixture + jax.vmap(lambda one: log_intelligence_weight(law, tails, one))(bits), bits)

    return program


def verdict(found, truth, condition):
    """Says who wins in log score, demonstration by demonstration."""
    log_true = {name: log_prob[np.arange(len(truth)), truth] for name, log_prob in found.items()}
    print("\nln P(true) less that of Boltzmann, mean over demonstrations and its error:")
    for family in FAMILIES:
        for way in WAYS:
            said = []
            for other in (f"Boltzmann, {way}", USUAL):
                gain = log_true[f"{family}, {way}"] - log_true[other]
                for kind in ("do", "show"):
                    some = gain[condition == kind]
                    said.append(f"{kind} {some.mean():+.3f} ± {some.std(ddof=1) / np.sqrt(len(some)):.3f}")
            print(f"  {family}, {way}: like against like {', '.join(said[:2])}; against {USUAL} {', '.join(said[2:])}")


def where(found, truth, condition, bits, behaviour):
    """Which rewards a method loses on."""
    length = behaviour.table.groupby("episode").size().to_numpy()
    rows = []
    for kind in ("do", "show"):
        for k, code in enumerate(CODES):
            chosen = (condition == kind) & (truth == k)
            row = {"condition": kind, "true reward": code, "moves": length[chosen].mean()}
            row |= {"bits of it": bits[chosen, k].mean(), "most bits": bits[chosen].max(-1).mean()}
            for name in ("2^(beta g), tuned", "2^(beta g), taught", USUAL):
                row[f"ln P, {name}"] = found[name][chosen, k].mean()
            rows.append(row)
    print("\n" + pd.DataFrame(rows).to_string(index=False, float_format=lambda x: f"{x:.2f}"))

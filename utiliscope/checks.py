"""Whether to believe a posterior, and what would tell more: one screen."""

import warnings
from typing import NamedTuple

import arviz as az
import numpy as np
import xarray as xr

from .answers import parameter_text
from .diagnostics import advice, most_pareto_k, problems
from .errors import listed
from .parameters import parameter_table
from .posterior import utility_table
from .separation import information
from .summaries import weight_table

# Bits of evidence against "no more intelligent than random": once in twenty random policies.
_LEAST_EVIDENCE = float(np.log2(20))
_CLEAR = 0.9
_LEAST_DRAWS, _SHUFFLES = 25, 20
_LEAST_TOLD = 5e-4  # bits, as they are printed


class Finding(NamedTuple):
    """One line of the screen. good: whether it speaks for the posterior; None: it only tells."""

    what: str
    says: str
    good: bool | None


def check_posterior(posterior: xr.DataTree) -> list[Finding]:
    """Did the sampler converge, do its importance ratios hold, is the utility identified, is there any intelligence to
    speak of, and what should be recorded next.

    The evidence of intelligence is max_U g(U) - K(U) in bits, with g that of the recorded behaviour by itself, before
    any law favours intelligence: a random policy has as much with a chance of at most 2^-evidence, by Kraft's
    inequality over all candidates together. Of a population g is that of all its operators together: a random
    population has as much as seldom (`evidence.joint_bits`). Where weights are continuous, g is that of the draws, and
    so leans on the law.
    """
    found = [_converged(posterior), *_predicts(posterior)]
    draws = posterior["posterior"].dataset
    if "utility_log_prob" in draws:
        found += [_identified(posterior), *_intelligent(posterior)]
    if "weights" in draws:
        found += _weights(posterior)
    found += _parameters(posterior)
    if "intelligence" not in draws and all(one.what != "intelligent" for one in found):
        program = draws.attrs.get("program", "of this posterior")
        says = f"not known: the program {program} does not compare with random policies; fit candidates beside it"
        found.append(Finding("intelligent", says, None))
    if "utility_log_prob" in draws:
        found += _next_recording(posterior)
    elif "weights" in draws and "policy" in draws:
        found += _next_of_weights(posterior)
    return found


def _converged(posterior):
    attributes = posterior["posterior"].attrs
    if "sample_stats" not in posterior.children:
        return Finding("converged", "yes: summed exactly, no sampler ran", True)
    if "min_ess" not in attributes and "pareto_k" not in attributes:
        return Finding("converged", "not known: too few draws to tell; run longer", False)
    wrong = problems(attributes)
    numbers = []
    for name, label, form in (
        ("max_rhat", "R-hat at most", ".3f"),
        ("min_ess", "effective draws at least", ".0f"),
        ("num_divergences", "divergences", "d"),
        ("pareto_k", "Pareto k of the draws", ".2f"),
    ):
        if name == "max_rhat" and posterior["posterior"].sizes["chain"] == 1:
            continue
        if name in attributes and np.isfinite(float(attributes[name])):
            value = attributes[name]
            numbers.append(f"{label} {format(int(value) if form == 'd' else float(value), form)}")
    if wrong:
        return Finding("converged", f"no: {'; '.join(wrong)}; {advice(attributes)}", False)
    return Finding("converged", f"yes: {', '.join(numbers)}", True)


def _predicts(posterior):
    """Leave-one-out log score of single decisions, and its Pareto k."""
    if "log_likelihood" not in posterior.children or "action_taken" not in posterior["log_likelihood"].dataset:
        return []
    told = posterior["log_likelihood"].dataset["action_taken"].values
    if told.shape[0] * told.shape[1] < _LEAST_DRAWS or (told.std((0, 1)) < 1e-12).any():
        return _seen(told)  # where nothing varies over draws there is nothing to leave out
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            loo = az.loo(posterior, var_name="action_taken", pointwise=True)
        except ValueError:  # few different values, as where only the utility varies, have no tail
            return _seen(told)
    k = np.asarray(loo.pareto_k).ravel()
    most = most_pareto_k(told.shape[0] * told.shape[1])
    bad, number = int((~(k <= most)).sum()), len(k)
    score = f"{float(loo.elpd) / number / np.log(2):.3f} bits a decision, left out one at a time"
    if bad:
        says = f"{score}; not to be relied on: Pareto k above {most:.2g} for {bad} of {number} decisions"
        return [Finding("predicts", says, False)]
    return [Finding("predicts", f"{score} (Pareto k at most {k.max():.2f})", True)]


def _seen(told):
    score = np.log(np.exp(told).mean((0, 1))).mean() / np.log(2)
    return [Finding("predicts", f"{score:.3f} bits a decision, by draws that have seen it", None)]


def _identified(posterior):
    table = utility_table(posterior)
    if "subject_log_prob" in posterior["posterior"].dataset:
        best = np.exp(posterior["posterior"].dataset["subject_log_prob"]).mean(("chain", "draw")).max("utility").values
        says = f"{int((best >= _CLEAR).sum())} of {len(best)} operators have a utility with {_CLEAR:.0%}"
        return Finding("identified", says, bool((best >= _CLEAR).all()))
    chances = table["probability"].to_numpy()
    if len(chances) == 1:
        says = f"not asked: {table['utility'][0]} is the only candidate; give others to compare it with"
        return Finding("identified", says, False)
    entropy = abs(float((chances[chances > 0] * np.log2(chances[chances > 0])).sum()))
    number = int(np.searchsorted(np.cumsum(chances), _CLEAR)) + 1
    best = f"{table['utility'][0]} has {chances[0]:.3f}; entropy {entropy:.2f} of {np.log2(len(chances)):.2f} bits"
    if chances[0] >= _CLEAR:
        return Finding("identified", f"yes: {best}", True)
    return Finding("identified", f"no: {best}; {min(number, len(chances))} utilities hold {_CLEAR:.0%}", False)


def _intelligent(posterior):
    constant = posterior["constant_data"].dataset
    if "behaviour_intelligence" not in constant:
        return []
    bits, length = constant["behaviour_intelligence"].values, constant["code_length"].values
    evidence = np.where(np.isfinite(bits), bits, np.inf) - length
    best = int(evidence.argmax())
    name = str(posterior["posterior"].dataset["utility"].values[best])
    figures, who = f"{bits[best]:.1f} bits for {name}, {length[best]:.1f} long", "A random policy"
    if "subject" in posterior["posterior"].sizes:
        figures, who = f"{figures}, by all operators together", "Random operators"
    if evidence[best] < _LEAST_EVIDENCE:
        chance = min(1.0, 2.0 ** -evidence[best])
        little = "no more than random, for every candidate"
        if evidence[best] > 0:
            little = "not clearly more than random, for any candidate"
        says = (
            f"{little}: at best {figures}. {who} would do as well for some candidate with a chance of up to "
            f"{chance:.2f}: do not read a goal into it"
        )
        return [Finding("intelligent", says, False)]
    return [Finding("intelligent", f"yes: {figures}; evidence {evidence[best]:.1f} bits", True)]


def _next_recording(posterior):
    """Where one more decision, or an episode that starts there, would tell the two likeliest utilities apart."""
    draws, constant = posterior["posterior"].dataset, posterior["constant_data"].dataset
    table = utility_table(posterior)
    if len(table) < 2:
        return []
    names = [str(name) for name in table["utility"][:2]]
    between = f"{names[0]} from {names[1]}"
    if "policy" in draws:
        place = {str(name): i for i, name in enumerate(draws["utility"].values)}
        bits = information(draws["policy"].values, draws["utility_log_prob"].values, *(place[name] for name in names))
        return [_telling_decisions(draws, bits, between)]
    if "start_separation" in constant:
        apart = constant["start_separation"].values
        if apart.max() < 1e-3:
            says = (
                f"from no start is there anything to gain for {names[0]} or {names[1]} that the best policy for the "
                "other would lose"
            )
            return [Finding("next recording", says, None)]
        best = np.argsort(-apart, kind="stable")[:3]
        shown = ", ".join(f"{constant['state'].values[s]} ({apart[s]:.2f})" for s in best if apart[s] > 0)
        return [Finding("next recording", f"to tell {between}, episodes that start in {shown}", None)]
    return []


def _next_of_weights(posterior):
    """The same for the two features that are likeliest to have the largest weight."""
    draws = posterior["posterior"].dataset
    largest = np.abs(draws["weights"].values).argmax(-1)
    names, chances = draws["weight"].values, np.bincount(largest.ravel(), minlength=draws.sizes["weight"])
    first, second = map(int, np.argsort(-chances, kind="stable")[:2]) if len(chances) > 1 else (0, 0)
    if first == second or chances[second] < _LEAST_DRAWS:
        return []

    def told(largest):
        with np.errstate(divide="ignore"):
            log_prob = np.log((largest[..., None] == np.arange(len(chances))).astype(float))
        return information(draws["policy"].values, log_prob, first, second)

    # What as many draws would tell if the weights had nothing to do with what was done.
    random = np.random.default_rng(0)
    by_chance = [told(random.permutation(largest.ravel()).reshape(largest.shape)).max() for _ in range(_SHUFFLES)]
    bits = told(largest)
    bits = np.where(bits > max(by_chance), bits, 0.0)
    return [_telling_decisions(draws, bits, f"whether {names[first]} or {names[second]} weighs most")]


def _telling_decisions(draws, bits, what):
    best = [s for s in np.argsort(-bits, kind="stable")[:3] if bits[s] >= _LEAST_TOLD]
    if not best:
        return Finding("next recording", f"no single decision would tell {what}", None)
    shown = ", ".join(f"{draws['state'].values[s]} ({bits[s]:.3f})" for s in best)
    return Finding("next recording", f"to tell {what}, decisions in states {shown} bits each", None)


def _parameters(posterior):
    """What is inferred beside utilities and bits."""
    table = parameter_table(posterior)
    rows = [parameter_text(row) for row in table[table["parameter"] != "intelligence"].itertuples()]
    return [Finding("parameters", f"{listed(rows, 4)}: medians, and the middle 90 % of draws", None)] if rows else []


def _weights(posterior):
    table = weight_table(posterior).sort_values("largest", ascending=False)
    first = table.iloc[0]
    says = f"{first['feature']} has the largest weight with probability {first['largest']:.2f}"
    found = [Finding("identified", says, bool(first["largest"] >= _CLEAR))]
    draws = posterior["posterior"].dataset
    if "intelligence" in draws:
        bits = draws["intelligence"].values
        little = float((bits < _LEAST_EVIDENCE).mean())
        says = f"{bits.mean():.1f} ± {bits.std():.1f} bits over draws, for the weights of each"
        if little > 1 / 20:
            says = f"perhaps no more than random: {says}, and less than {_LEAST_EVIDENCE:.1f} in {little:.0%} of them"
        else:
            says = f"yes: {says}"
        found += [Finding("intelligent", says, little <= 1 / 20)]
    return found

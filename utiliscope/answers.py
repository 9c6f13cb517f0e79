"""What a posterior says, in plain sentences."""

import math

import numpy as np
import xarray as xr

from .diagnostics import advice, problems
from .errors import listed
from .parameters import parameter_table
from .posterior import utility_table
from .summaries import weight_table


def answer(posterior: xr.DataTree) -> tuple[list[str], bool]:
    """The finding in plain sentences, and whether it is to be taken with care: open between utilities, or no goal."""
    table = utility_table(posterior)
    if "subject_log_prob" in posterior["posterior"].dataset:
        return _population_answer(posterior, table)
    best, chance = table.iloc[0], float(table["probability"].iloc[0])
    probability = probability_text(chance, best["probability_error"])
    careful = False
    if best["utility"] == "0":
        careful = True
        sentences = [
            f"Most probable: no goal (the constant utility 0), probability {probability}. The recorded behaviour does "
            "not stand out from that of random policies for any of the candidate utilities."
        ]
    else:
        exponent = f"2^{best['intelligence']:.1f}" if np.isfinite(best["intelligence"]) else ""
        if not exponent:
            rarity = "no random policy does as well"
        elif best["is_lower_bound"]:
            rarity = f"a random policy does as well at most about once in {exponent}, where the value tail ends"
        else:
            rarity = f"a random policy does as well once in {exponent}"
        at = "at least" if best["is_lower_bound"] else "at"
        sentences = [f"Most probable: {best['utility']}, probability {probability}."]
        if "intelligence" in posterior["posterior"].dataset:
            sentences = [
                f"Most probable: {best['utility']}, probability {probability}, {at} "
                f"{with_error(best['intelligence'], best['std_error'])} bits of intelligence: {rarity}."
            ]
    if chance < 0.9 and len(table) > 1:
        cumulative = table["probability"].cumsum().to_numpy()
        number = min(int(np.searchsorted(cumulative, 0.9)) + 1, len(table))
        others = listed([f"{name} ({p:.2f})" for name, p in table[["utility", "probability"]].to_numpy()[1:number]], 3)
        if chance < 0.5:
            careful = True
            sentences.append(
                f"The posterior is spread: it takes {number} utilities to hold 90 % of it. Next: {others}. "
                "More behaviour, from other starts, may tell them apart."
            )
        else:
            sentences.append(f"Also possible: {others}; together the first {number} hold 90 %.")
    verdict, converged = diagnosis(posterior)
    if not converged:
        sentences.append(f"Not to be relied on yet. {verdict}")
    return sentences, careful


def _population_answer(posterior, table) -> tuple[list[str], bool]:
    """The same of many operators: how many are after what."""
    chances = np.exp(posterior["posterior"].dataset["subject_log_prob"]).mean(("chain", "draw"))
    best, number = chances.max("utility").values, chances.sizes["subject"]
    shares = listed([f"{row.utility} ({row.probability:.2f})" for row in table.head(3).itertuples()], 3)
    sentences = [f"Shares of {number} operators, in the mean of their posteriors: {shares}."]
    clear = int((best >= 0.9).sum())
    sentences.append(f"{clear} of them have a utility with a probability of 0.9 or more; see subject_table.")
    verdict, converged = diagnosis(posterior)
    if not converged:
        sentences.append(f"Not to be relied on yet. {verdict}")
    return sentences, clear < number


def weight_answer(posterior: xr.DataTree) -> tuple[list[str], bool]:
    """The same for weights of features."""
    table = weight_table(posterior).sort_values("largest", ascending=False, ignore_index=True)
    first = table.iloc[0]
    sought = "sought" if first["positive"] >= 0.5 else "avoided"
    sentences = [
        f"What matters most: {first['feature']} ({sought}), the largest weight with probability {first['largest']:.2f}."
    ]
    draws = posterior["posterior"].dataset
    if "intelligence" in draws:
        bits = draws["intelligence"].values
        sentences.append(f"The behaviour has {bits.mean():.1f} bits of intelligence (sd {bits.std():.1f} over draws).")
    clear = first["largest"] >= 0.9
    others = table[(table["largest"] >= 0.05) & (table.index > 0)]
    if not clear and len(others):
        named = listed([f"{row.feature} ({row.largest:.2f})" for row in others.itertuples()], 3)
        sentences.append(f"Others might have the largest: {named}.")
    verdict, converged = diagnosis(posterior)
    if not converged:
        sentences.append(f"Not to be relied on yet. {verdict}")
    return sentences, not clear


def parameter_answer(posterior: xr.DataTree) -> tuple[list[str], bool]:
    """The same for a program that has neither utilities nor weights: what it infers of its parameters."""
    program, table = posterior["posterior"].attrs.get("program", "of this posterior"), parameter_table(posterior)
    named = listed([parameter_text(row) for row in table.itertuples()], 3)
    told = f"What it infers, with the middle 90 % of draws: {named}." if named else "It infers nothing else either."
    sentences = [f"The program {program} has no utilities to tell apart. {told}"]
    verdict, converged = diagnosis(posterior)
    if not converged:
        sentences.append(f"Not to be relied on yet. {verdict}")
    return sentences, not len(table)


def parameter_text(row) -> str:
    """A row of the parameter table in words, median and middle 90 %: "temperature = 0.34 (0.27 to 0.44)"."""
    return f"{row.parameter} = {row.median:.3g} ({row.low:.3g} to {row.high:.3g})"


def diagnosis(posterior: xr.DataTree) -> tuple[str, bool]:
    """Whether the sampler converged, in words and as a flag."""
    attributes = posterior["posterior"].attrs
    if "sample_stats" not in posterior.children:
        return "No sampler ran: the posterior was summed exactly.", True
    if "min_ess" not in attributes and "pareto_k" not in attributes:
        return "Too few draws to tell whether the sampler converged; run longer.", False
    if "pareto_k" in attributes and "min_ess" not in attributes:
        return _likeness(attributes)
    rhat, ess = float(attributes["max_rhat"]), float(attributes["min_ess"])
    chains = posterior["posterior"].sizes["chain"]
    if found := problems(attributes):
        return f"Not converged: {'; '.join(found)}; {advice(attributes)}.", False
    least = f", effective sample size at least {ess:.0f}" if math.isfinite(ess) else ""
    between = f"R-hat at most {rhat:.3f}" if chains > 1 else "one chain, so R-hat is not known"
    return f"Converged: {between}{least}, no divergences.", True


def _likeness(attributes):
    """The same of a variational guide."""
    if found := problems(attributes):
        return f"Not the posterior: {'; '.join(found)}; {advice(attributes)}.", False
    return f"A good likeness: Pareto k of the guide's draws {float(attributes['pareto_k']):.2f}.", True


def probability_text(chance: float, error: float) -> str:
    """A probability with its Monte Carlo error."""
    if chance < 5e-4:
        return f"{chance:.4f}" if chance >= 5e-5 else "< 0.0001"
    decimals = 2 if error >= 0.005 or error == 0 else 3
    return f"{chance:.{decimals}f} ± {error:.{decimals}f}" if error > 0 else f"{chance:.3f}"


def with_error(value: float, error: float) -> str:
    """Bits with their error."""
    if not np.isfinite(value):
        return "∞"
    return f"{value:.1f} ± {error:.1f}" if np.isfinite(error) else f"{value:.1f}"

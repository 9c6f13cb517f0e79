"""The report: one HTML file that says what was found, how sure it is, and how it came about."""

import base64
import io
import math
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import xarray as xr
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from PIL import Image

from .diagnostics import advice, problems
from .errors import listed
from .outputs import written_whole
from .plots import plot_diagnostics, plot_recording, plot_tradeoff, plot_utilities
from .posterior import utility_table

_MOST_ROWS = 20
_DPI = 150
_PACKAGES = ("utiliscope", "jax", "numpyro", "arviz")


def write_report(posterior: xr.DataTree, path) -> None:
    """Write what `fit` found as one self-contained HTML file; it appears whole or not at all."""
    path = Path(path)
    text = report_html(posterior)
    with written_whole(path) as partial:
        partial.write_text(text, encoding="utf-8")


def report_html(posterior: xr.DataTree) -> str:
    """The report as text: answer, table, pictures as inlined PNG, diagnostics, settings."""
    environment = Environment(
        loader=PackageLoader("utiliscope"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["powers"] = lambda text: Markup(re.sub(r"2\^([\d.]*\d)", r"2<sup>\1</sup>", str(escape(text))))
    table = utility_table(posterior)
    sentences, spread_out = answer(posterior)
    verdict, converged = diagnosis(posterior)
    sampled = "sample_stats" in posterior.children
    figures = [
        _figure(plot_utilities(posterior), "Posterior probability with Monte Carlo error, beside code length."),
        _figure(
            plot_tradeoff(posterior),
            "Code length against intelligence. A utility is well supported if the behaviour is more intelligent for it "
            "(up) than its length costs (right).",
        ),
        _figure(
            plot_recording(posterior),
            "Where the recording went: states coloured by visits, arrows by how often their move was made.",
            heading="The recording",
        ),
        dict(
            _figure(
                plot_diagnostics(posterior),
                "Chains that look alike, energies that overlap, R-hat left of its line and effective sample sizes "
                "right of theirs are what a converged sampler shows. Numbers are single probabilities of the policy, "
                "and the bits and log probability of single utilities.",
            )
            if sampled
            else dict(heading="", image="", width=0, caption=""),
            heading="Diagnostics",
            verdict=verdict,
            tone="good" if converged else "bad",
        ),
    ]
    rest = table.iloc[_MOST_ROWS:]
    return environment.get_template("report.html").render(
        title="What is this behaviour trying to achieve?",
        recording=_recording(posterior),
        answer=sentences,
        open=spread_out or not converged,
        rows=[_row(row) for row in table.head(_MOST_ROWS).itertuples()],
        rest=dict(number=len(rest), probability=_probability(rest["probability"].sum(), 0.0)) if len(rest) else None,
        figures=figures,
        settings=_settings(posterior),
        versions=dict(_versions()),
    )


def answer(posterior: xr.DataTree) -> tuple[list[str], bool]:
    """The finding in plain sentences, and whether it is to be taken with care: open between utilities, or no goal."""
    table = utility_table(posterior)
    best, chance = table.iloc[0], float(table["probability"].iloc[0])
    probability = _probability(chance, best["probability_error"])
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
        sentences = [
            f"Most probable: {best['utility']}, probability {probability}, {at} "
            f"{_with_error(best['intelligence'], best['std_error'])} bits of intelligence: {rarity}."
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


def diagnosis(posterior: xr.DataTree) -> tuple[str, bool]:
    """Whether the sampler converged, in words and as a flag."""
    attributes = posterior["posterior"].attrs
    if "sample_stats" not in posterior.children:
        return "No sampler ran: the posterior was summed exactly.", True
    if "min_ess" not in attributes:
        return "Too few draws to tell whether the sampler converged; run longer.", False
    rhat, ess = float(attributes["max_rhat"]), float(attributes["min_ess"])
    chains = posterior["posterior"].sizes["chain"]
    if found := problems(attributes):
        return f"Not converged: {'; '.join(found)}; {advice(attributes)}.", False
    least = f", effective sample size at least {ess:.0f}" if math.isfinite(ess) else ""
    between = f"R-hat at most {rhat:.3f}" if chains > 1 else "one chain, so R-hat is not known"
    return f"Converged: {between}{least}, no divergences.", True


def _recording(posterior) -> str:
    observed, constant = posterior["observed_data"].dataset, posterior["constant_data"].dataset
    decisions = observed.sizes["decision"]
    episodes = len(np.unique(observed["episode"].values))
    visited = len(np.unique(observed["state_visited"].values))
    counted = f"{decisions:,} decisions in {episodes:,} episode{'s' if episodes != 1 else ''}"
    states, utilities = constant.sizes["state"], constant.sizes["utility"]
    return f"{counted}; {visited} of {states} states visited; {utilities} utilities compared"


def _row(row) -> dict:
    bits = _with_error(row.intelligence, row.std_error)
    return dict(
        utility=row.utility,
        probability=_probability(row.probability, row.probability_error),
        code_length=f"{row.code_length:.2f}",
        intelligence=f"≥ {bits}" if row.is_lower_bound else bits,
        spread=f"{row.intelligence_sd:.1f}" if np.isfinite(row.intelligence_sd) else "",
    )


def _probability(chance: float, error: float) -> str:
    if chance < 5e-4:
        return f"{chance:.4f}" if chance >= 5e-5 else "< 0.0001"
    decimals = 2 if error >= 0.005 or error == 0 else 3
    return f"{chance:.{decimals}f} ± {error:.{decimals}f}" if error > 0 else f"{chance:.3f}"


def _with_error(value: float, error: float) -> str:
    if not np.isfinite(value):
        return "∞"
    return f"{value:.1f} ± {error:.1f}" if np.isfinite(error) else f"{value:.1f}"


def _settings(posterior) -> list[tuple[str, str]]:
    attributes, constant = posterior["posterior"].attrs, posterior["constant_data"].attrs
    sizes = posterior["posterior"].sizes
    readings = {
        "policy": "policy (a policy over states, inferred from the recorded actions)",
        "achieved": "achieved (the mean utility of whole episodes)",
    }
    reading = str(attributes.get("reading", ""))
    settings = [
        ("reading", readings.get(reading, reading)),
        ("program", attributes.get("program", "")),
        ("random policies", attributes.get("policy_prior", "")),
        ("intelligence law", attributes.get("intelligence_law", "")),
        ("simplicity", f"{float(attributes.get('simplicity', 1.0)):g}"),
        ("discount", f"{float(constant.get('discount', float('nan'))):g} per step"),
        ("horizon", f"{int(constant['horizon'])} actions" if constant.get("horizon") else "none"),
        ("draws", f"{sizes['chain']} chains of {sizes['draw']}"),
        ("value tails", f"{attributes.get('num_particles', '?')} random policies in a population"),
        ("seed", attributes.get("seed", "")),
        ("made", str(attributes.get("created_at", ""))[:16].replace("T", " ") + " UTC"),
    ]
    seconds = [f"{name.removeprefix('seconds_')} {value:g}" for name, value in attributes.items() if "seconds_" in name]
    settings.append(("seconds", ", ".join(seconds)))
    settings.append(("versions", ", ".join(f"{name} {number}" for name, number in _versions())))
    return [(name, str(value)) for name, value in settings if str(value)]


def _versions() -> list[tuple[str, str]]:
    return [(name, _version(name)) for name in _PACKAGES]


def _version(name) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"


def _figure(figure, caption, heading="") -> dict:
    drawn, buffer = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=_DPI)
    # 256 colours are plenty for lines and bars, and take a third of the room.
    Image.open(drawn).convert("RGB").quantize(256).save(buffer, format="png", optimize=True)
    image = base64.b64encode(buffer.getvalue()).decode("ascii")
    width = round(figure.get_size_inches()[0] * 96)
    return dict(heading=heading, image=image, width=width, caption=caption, verdict="", tone="")

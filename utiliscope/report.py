"""The report: one HTML file that says what was found, how sure it is, and how it came about."""

import re
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from .answers import answer, diagnosis, parameter_answer, probability_text, weight_answer, with_error
from .inlined import inlined
from .outputs import written_whole
from .parameter_plot import plot_parameters
from .parameters import parameter_table
from .plots import plot_diagnostics, plot_recording, plot_tradeoff, plot_utilities
from .posterior import utility_table
from .sensitivity_plot import plot_sensitivity
from .summaries import subject_table, told_of, weight_table
from .weight_plot import plot_weights

_MOST_ROWS = 20
# Programs of one operator, whose utilities have prior 2^(-simplicity K).
_WEIGHED = ("candidates", "noisy", "achieved", "boltzmann", "maxent")
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
    kind = told_of(posterior)
    show = _KINDS[kind]
    sentences, spread_out = show.answer(posterior)
    verdict, converged = diagnosis(posterior)
    sampled = "sample_stats" in posterior.children
    figures = [
        _figure(
            plot_recording(posterior),
            "Where the recording went: states coloured by visits, arrows by how often their move was made.",
            heading="The recording",
        ),
        dict(
            _figure(
                plot_diagnostics(posterior),
                "Chains that look alike, energies that overlap, R-hat left of its line and effective sample sizes "
                "right of theirs are what a converged sampler shows. Numbers are all that varies over draws, such as "
                "single probabilities of the policy, and the bits and log probability of single utilities.",
            )
            if sampled
            else dict(heading="", image="", width=0, caption=""),
            heading="Diagnostics",
            verdict=verdict,
            tone="good" if converged else "bad",
        ),
    ]
    tables = [show.table(posterior), _parameter_table(posterior)]
    return environment.get_template("report.html").render(
        title="What is this behaviour trying to achieve?",
        recording=_recording(posterior),
        answer=sentences,
        open=spread_out or not converged,
        tables=[table for table in tables if table],
        subjects=_subject_rows(posterior),
        kind=kind,
        parameters=tables[-1] is not None,
        files=_files(kind, tables[-1] is not None, posterior),
        figures=figures,
        told="intelligence" in posterior["posterior"].dataset,
        settings=_settings(posterior),
        versions=dict(_versions()),
    )


def _files(kind, parameters, posterior) -> list[str]:
    """Where the numbers are, as the command line writes them."""
    told = {
        "utilities.csv": kind != "parameters",
        "parameters.csv": parameters,
        "subjects.csv": "subject_log_prob" in posterior["posterior"].dataset,
    }
    return [name for name, there in told.items() if there]


def _utility_figures(posterior):
    figures = [_figure(plot_utilities(posterior), "Posterior probability with Monte Carlo error, beside code length.")]
    if "intelligence" in posterior["posterior"].dataset:
        figures.append(
            _figure(
                plot_tradeoff(posterior),
                "Code length against intelligence. A utility is well supported if the behaviour is more intelligent "
                "for it (up) than its length costs (right). The stair joins those that no other beats in both.",
            )
        )
    attributes = posterior["posterior"].attrs
    if attributes.get("program") in _WEIGHED and float(attributes.get("simplicity", 1.0)) > 0:
        figures.append(
            _figure(
                plot_sensitivity(posterior),
                "What other weights would have found, by power-scaling. Where lines cross, the answer hangs on the "
                "weights.",
            )
        )
    return figures


def _weight_figures(posterior):
    caption = (
        "Weights of features over the largest one of each draw: posterior mean, and the middle 90 % of draws. What is "
        "right of 0 is wanted, what is left of it avoided."
    )
    return [_figure(plot_weights(posterior), caption)]


def _recording(posterior) -> str:
    observed, constant = posterior["observed_data"].dataset, posterior["constant_data"].dataset
    decisions = observed.sizes["decision"]
    episodes = len(np.unique(observed["episode"].values))
    visited = len(np.unique(observed["state_visited"].values))
    counted = f"{decisions:,} decisions in {episodes:,} episode{'s' if episodes != 1 else ''}"
    states, draws = constant.sizes["state"], posterior["posterior"].sizes
    dimension, compared = _KINDS[told_of(posterior)].counted
    told = f"; {draws[dimension]} {compared}" if dimension else ""
    return f"{counted}; {visited} of {states} states visited{told}"


def _utility_table(posterior):
    """The table of utilities: heading, columns, rows, the row of the rest, and the pictures below."""
    table = utility_table(posterior)
    columns = ["utility", "posterior probability", "code length (bits)"]
    told = "intelligence" in posterior["posterior"].dataset
    if told:
        columns += ["intelligence (bits)", "spread over draws (bits)"]
    rows = []
    for row in table.head(_MOST_ROWS).itertuples():
        cells = [row.utility, probability_text(row.probability, row.probability_error), f"{row.code_length:.2f}"]
        if told:
            bits = with_error(row.intelligence, row.std_error)
            cells.append(f"≥ {bits}" if row.is_lower_bound else bits)
            cells.append(f"{row.intelligence_sd:.1f}" if np.isfinite(row.intelligence_sd) else "")
        rows.append(cells)
    rest = table.iloc[_MOST_ROWS:]
    last = [f"{len(rest)} others together", probability_text(rest["probability"].sum(), 0.0)]
    rest = [*last, *[""] * (len(columns) - 2)] if len(rest) else None
    return _table("Utilities", columns, rows, rest, _utility_figures(posterior))


def _weight_table(posterior):
    """The same of weights."""
    columns = ["feature", "weight", "spread over draws", "above 0 with probability", "largest with probability"]
    table = weight_table(posterior)
    shown = table.reindex(table["weight"].abs().sort_values(ascending=False).index)
    rows = [
        [
            row.feature,
            f"{row.weight:.3f} ± {row.std_error:.3f}",
            f"{row.weight_sd:.3f}",
            f"{row.positive:.3f}",
            f"{row.largest:.3f}",
        ]
        for row in shown.head(_MOST_ROWS).itertuples()
    ]
    number = len(table) - len(rows)
    rest = [f"{number} others with smaller weights", "", "", "", ""] if number else None
    return _table("Weights", columns, rows, rest, _weight_figures(posterior))


def _parameter_table(posterior):
    """The same of parameters; None where there are none."""
    table = parameter_table(posterior)
    if table.empty:
        return None
    columns, caption = ["parameter", "median", "middle 90 %", "mean"], "Draws with the recording."
    before = bool(table["prior_low"].notna().any())
    if before:
        columns.append("without the recording")
        caption = "Draws with the recording (filled), and as many of those without it as lie there (line)."
    rows = []
    for row in table.head(_MOST_ROWS).itertuples():
        cells = [row.parameter, f"{row.median:.3g}", f"{row.low:.3g} to {row.high:.3g}"]
        cells.append(f"{row.mean:.3g} ± {row.std_error:.2g}")
        if before:
            cells.append(f"{row.prior_low:.3g} to {row.prior_high:.3g}" if np.isfinite(row.prior_low) else "")
        rows.append(cells)
    number = len(table) - len(rows)
    rest = [f"{number} others", *[""] * (len(columns) - 1)] if number else None
    return _table("Parameters", columns, rows, rest, [_figure(plot_parameters(posterior), caption)], ranked=False)


def _table(heading, columns, rows, rest, figures, ranked=True) -> dict:
    """For the template. ranked: whether the first row is the best."""
    return dict(heading=heading, columns=columns, rows=rows, rest=rest, figures=figures, ranked=ranked)


def _subject_rows(posterior):
    """Rows of the table of operators, where there are several: the utility of each, its probability and bits."""
    if "subject_log_prob" not in posterior["posterior"].dataset:
        return []
    table = subject_table(posterior)
    return [
        (row.utility, str(row.subject), f"{row.probability:.3f}", f"{row.intelligence:.2f}")
        for row in table.itertuples()
    ]


def _settings(posterior) -> list[tuple[str, str]]:
    attributes, constant = posterior["posterior"].attrs, posterior["constant_data"].attrs
    sizes = posterior["posterior"].sizes
    told = "num_particles" in attributes
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
        ("temperature", attributes.get("temperature", "")),
        ("noise", attributes.get("noise", "")),
        ("simplicity", "" if told_of(posterior) == "parameters" else f"{float(attributes.get('simplicity', 1.0)):g}"),
        ("discount", f"{float(constant.get('discount', float('nan'))):g} per step"),
        ("horizon", f"{int(constant['horizon'])} actions" if constant.get("horizon") else "none"),
        ("draws", f"{sizes['chain']} chains of {sizes['draw']}"),
        ("value tails", f"{attributes['num_particles']} random policies in a population" if told else ""),
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
    image, width = inlined(figure)
    return dict(heading=heading, image=image, width=width, caption=caption, verdict="", tone="")


class _Kind(NamedTuple):
    """What a report shows of a kind of posterior. counted: the dimension of what is compared, and what it is called."""

    answer: Callable
    table: Callable
    counted: tuple[str, str]


_KINDS = {
    "utilities": _Kind(answer, _utility_table, ("utility", "utilities compared")),
    "weights": _Kind(weight_answer, _weight_table, ("weight", "features weighed")),
    "parameters": _Kind(parameter_answer, lambda _: None, ("", "")),
}

"""The report: what it says, and that it stands alone."""

import base64
import importlib.util
import re
from pathlib import Path

import pytest
import xarray as xr

from utiliscope.errors import InputError
from utiliscope.posterior import utility_table
from utiliscope.report import answer, diagnosis, report_html, write_report

# Test files are no modules of one another under --import-mode=importlib.
_spec = importlib.util.spec_from_file_location("made_posteriors", Path(__file__).with_name("test_plots.py"))
_plots = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_plots)
posterior_of = _plots.posterior_of


@pytest.fixture(scope="module")
def page():
    return report_html(posterior_of(number=30))


def test_the_answer_comes_first(page):
    tree = posterior_of(number=30)
    best = utility_table(tree).iloc[0]
    first = answer(tree)[0][0]
    assert first.startswith(f"Most probable: reach(G), probability {best['probability']:.2f} ± ")
    assert f"at {best['intelligence']:.1f} ± {best['std_error']:.1f} bits of intelligence" in first
    assert f"once in 2^{best['intelligence']:.1f}." in first
    body = re.sub(r"<[^>]*>", " ", page)
    assert body.index("Most probable: reach(G)") < body.index("code length")
    assert f"2<sup>{best['intelligence']:.1f}</sup>" in page


def test_the_table_shows_twenty_and_sums_the_rest(page):
    tree = posterior_of(number=30)
    rows = re.findall(r"<tr[^>]*><td><code>(.*?)</code>", page)
    assert len(rows) == 20 and rows[0] == "reach(G)"
    rest = utility_table(tree)["probability"].iloc[20:].sum()
    assert re.search(rf"10 others together</td><td>{rest:.3f}", page)


def test_it_stands_alone(page):
    assert not re.search(r"(?:src|href)=\"(?!data:image/png;base64,)", page)
    assert "http" not in page and "<script" not in page and "url(" not in page
    images = re.findall(r"data:image/png;base64,([^\"]+)", page)
    assert len(images) == 5
    assert all(base64.b64decode(image).startswith(b"\x89PNG") for image in images)
    assert len(page) < 0.6 * 2**20


@pytest.mark.usefixtures("plain_pictures")
def test_names_are_escaped():
    tree = posterior_of()
    names = tree["posterior"]["utility"].values.astype(object)
    names[1] = 'reach("<b>&")'
    tree = _plots.renamed(tree, names)
    assert "reach(&#34;&lt;b&gt;&amp;&#34;)" in report_html(tree)


def test_settings_are_told(page):
    for part in (
        "Dirichlet(concentration=1.0)",
        "ExponentialLaw(beta=0.8)",
        "0.9 per step",
        "2 chains of 40",
        "numpyro ",
    ):
        assert part in page
    for heading in ("How to read this", "What this does not say", "Diagnostics", "The recording"):
        assert f"<h2>{heading}</h2>" in page


@pytest.mark.usefixtures("plain_pictures")
def test_planners_are_not_spoken_of_as_intelligent():
    tree = posterior_of()
    draws = tree["posterior"].dataset.drop_vars("intelligence")
    for name in ("policy_prior", "num_particles", "tail_bits", "intelligence_law"):
        draws.attrs.pop(name, None)
    tree["posterior"] = xr.DataTree(draws)
    page = re.sub(r"<[^>]*>", " ", report_html(tree))
    assert "random polic" not in page and "value tail" not in page and "does not speak of intelligence" in page


def test_no_goal_is_said():
    sentences, careful = answer(posterior_of(best=0))
    assert "no goal (the constant utility 0)" in sentences[0] and "random policies" in sentences[0]
    assert careful


def test_a_spread_posterior_is_said():
    sentences, careful = answer(posterior_of(number=200))
    assert careful and "The posterior is spread" in sentences[1]
    sentences, careful = answer(posterior_of(number=30))
    assert not careful and "Also possible" in sentences[1]
    assert len(answer(posterior_of(number=4))[0]) == 1


@pytest.mark.usefixtures("plain_pictures")
def test_lower_bounds_are_said():
    sentence = answer(posterior_of(beyond=0.5))[0][0]
    assert "at at least" not in sentence and "at least" in sentence and "at most about once in" in sentence
    assert "≥ " in report_html(posterior_of(beyond=0.5))


def test_convergence_is_a_verdict():
    tree = posterior_of()
    assert diagnosis(tree) == (
        "Converged: R-hat at most 1.004, effective sample size at least 812, no divergences.",
        True,
    )
    tree["posterior"].attrs.update(max_rhat=1.2, min_ess=30.0, num_divergences=4)
    verdict, converged = diagnosis(tree)
    assert not converged
    for part in ("Not converged", "1.200", "30", "4 draws diverged", "run longer"):
        assert part in verdict
    assert any("Not to be relied on yet" in sentence for sentence in answer(tree)[0])
    assert diagnosis(posterior_of(sampled=False)) == ("No sampler ran: the posterior was summed exactly.", True)


@pytest.mark.usefixtures("plain_pictures")
def test_it_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    tree = posterior_of(sampled=False)
    write_report(tree, tmp_path / "report.html")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>") and "summed exactly" in text
    with pytest.raises(InputError, match=r"report\.html cannot be written"):
        write_report(tree, tmp_path / "report.html" / "report.html")
    with pytest.raises(InputError, match="cannot be written"):
        write_report(tree, tmp_path / "none" / "report.html")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]

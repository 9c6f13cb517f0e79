"""The README's first Python block prints what stands below it."""

import pathlib
import re
import subprocess
import sys

import pytest

import utiliscope as us

README = pathlib.Path(__file__).parent.parent / "README.md"
_NUMBER = re.compile(r"-?\d+\.\d+")


def example():
    """The code, and what it prints."""
    found = re.search(r"```python\n(.*?)```.*?```text\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    return found.groups()


@pytest.mark.usefixtures("plain_pictures")
@pytest.mark.filterwarnings("ignore::utiliscope.ConvergenceWarning")
def test_the_example_in_short(tmp_path, monkeypatch, capsys):
    """With the printed candidates alone, and fewer draws: the same code, columns and names, and bits of the policy."""
    code, expected = example()
    told = expected.splitlines()
    names = [line[: line.index("  ", len(line) - len(line.lstrip()))].strip() for line in told[1:-1]]
    short, fit = dict(num_warmup=20, num_samples=20, num_chains=2, num_particles=32), us.fit
    monkeypatch.setattr(us, "fit", lambda *given: fit(*given, candidates=us.Grammar(given[1]).select(names), **short))
    monkeypatch.chdir(tmp_path)
    exec(compile(code, str(README), "exec"), {})
    assert (tmp_path / "report.html").is_file()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == told[0].split() and len(lines) == len(told) == 6
    for name in names:
        assert sum(line.lstrip().startswith(f"{name} ") for line in lines[1:-1]) == 1, name
    (found, error), (stated, _) = (map(float, _NUMBER.findall(line[-1])) for line in (lines, told))
    assert _NUMBER.sub("0.0", lines[-1]) == _NUMBER.sub("0.0", told[-1])
    assert abs(found - stated) < 5 * error


@pytest.mark.slow
def test_the_example_prints_what_it_says(tmp_path):
    code, expected = example()
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "report.html").is_file()
    printed, expected = run.stdout.split(), expected.split()
    assert [_NUMBER.sub("0.0", word) for word in printed] == [_NUMBER.sub("0.0", word) for word in expected]
    # Seeds are fixed; the last digits of a Monte Carlo number still differ between machines.
    for word, stated in zip(printed, expected, strict=True):
        for number, other in zip(_NUMBER.findall(word), _NUMBER.findall(stated), strict=True):
            assert float(number) == pytest.approx(float(other), rel=0.1, abs=0.03)


def test_what_the_readme_points_to_exists():
    for target in re.findall(r"\]\(([^)#:]+)\)", README.read_text(encoding="utf-8")):
        assert (README.parent / target).exists(), target

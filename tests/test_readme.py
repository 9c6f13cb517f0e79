"""The README's first Python block prints what stands below it."""

import pathlib
import re
import subprocess
import sys

import pytest

README = pathlib.Path(__file__).parent.parent / "README.md"
_NUMBER = re.compile(r"-?\d+\.\d+")


def test_the_example_prints_what_it_says(tmp_path):
    found = re.search(r"```python\n(.*?)```.*?```text\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    code, expected = found.groups()
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

"""The README's first Python block prints what stands below it."""

import ast
import pathlib
import re
import subprocess
import sys

import pytest
from utiliscope.data import path

import utiliscope as us

README = pathlib.Path(__file__).parent.parent / "README.md"
_NUMBER = re.compile(r"-?\d+\.\d+")


def example():
    """The code, and what it prints."""
    found = re.search(r"```python\n(.*?)```.*?```text\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    return found.groups()


def test_the_example_speaks_of_what_is_there():
    """Functions that exist, and candidates with the code lengths that are printed."""
    code, expected = example()
    called = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Attribute)]
    names = {node.attr for node in called if ast.unparse(node.value) == "us"}
    assert len(names) >= 6 and all(hasattr(us, name) for name in names)
    candidates = us.Grammar(us.read_world(path("balker.json"))).enumerate(max_bits=12.0)
    for line in expected.splitlines()[1:-1]:
        name, _, length, _ = line.strip().rsplit(maxsplit=3)
        place = candidates.names.index(name)
        assert float(candidates.code_length[place]) == pytest.approx(float(length), abs=0.005), name


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

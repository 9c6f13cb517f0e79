"""Every notebook runs from top to bottom, in a kernel of its own."""

import pathlib

import jupytext
import nbclient
import pytest

# A minute each; the others run with every change, and so does the example of the README.
SLOW = {"01_from_recording_to_posterior", "02_possible_worlds", "03_toy_agents_and_tuning"}
NOTEBOOKS = sorted((pathlib.Path(__file__).parent.parent / "notebooks").glob("*.py"))


def test_there_are_notebooks():
    assert NOTEBOOKS


# Kernels are started by code of others, whose warnings are not ours.
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    "source",
    [pytest.param(path, id=path.stem, marks=[pytest.mark.slow] * (path.stem in SLOW)) for path in NOTEBOOKS],
)
def test_notebook_runs(source):
    notebook = jupytext.read(source)
    resources = {"metadata": {"path": str(source.parent)}}
    nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3", resources=resources).execute()
    figures = [output for cell in notebook.cells for output in cell.get("outputs", []) if "image/png" in str(output)]
    assert len(figures) >= 1

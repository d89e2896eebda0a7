"""The notebooks in `examples`: each runs from the first cell to the last, without a warning."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.ipynb"))


def test_there_are_notebooks_for_a_lesson_an_own_network_a_scene_and_a_comparison() -> None:
    assert [path.stem for path in EXAMPLES] == ["compare_two_networks", "lesson", "own_network", "simulated_scene"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_a_notebook_runs_and_shows_tables_charts_and_pages(path: Path, tmp_path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "outputs are not kept in the repository"
    solutions = [cell.metadata["solution"] for cell in notebook.cells if "solution" in cell.metadata]
    for cell in notebook.cells:
        cell.source = cell.metadata.get("solution", cell.source)
    NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    errors = [output["text"] for output in outputs if output.get("name") == "stderr"]
    assert errors == []
    kinds = {kind for output in outputs for kind in output.get("data", {})}
    assert {"text/html", "image/png"} <= kinds or path.stem in ("compare_two_networks", "lesson")
    assert any(tmp_path.glob("runs/*"))
    texts = [output["text"].strip() for output in outputs if output.get("name") == "stdout"]
    assert texts.count("right") == len(solutions)

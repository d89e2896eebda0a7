"""The verb report writes the page that the run itself wrote, and refuses what has none."""

from pathlib import Path

import pytest

from dimple import experiment
from dimple.errors import RunError
from dimple.experiment import report
from tests.views.material import write_run


def test_the_page_of_a_measurement_comes_out_the_same(tmp_path: Path) -> None:
    request = experiment.ProbeRequest(samples=6, draws=2, probes=("margin",))
    run = experiment.probe(request, tmp_path / "run", device="cpu")
    page = report(run.path, tmp_path / "again.html")
    assert page.read_bytes() == (run.path / "report.html").read_bytes()


def test_a_simulated_run_is_written_in_its_folder_unless_told_otherwise(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    with pytest.raises(RunError, match="is not finished"):
        report(run.path)
    run.info["status"] = "complete"
    run.save()
    assert report(run.path) == run.path / "report.html"

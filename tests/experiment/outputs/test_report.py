"""The verb report writes the page that the run itself wrote, and refuses what has none."""

from pathlib import Path

import pytest

from dimple import experiment
from dimple.errors import RunError, UsageError
from dimple.experiment import compare, report
from tests.experiment import linear_network
from tests.views.material import write_run


def test_the_page_of_a_measurement_comes_out_the_same(tmp_path: Path) -> None:
    request = experiment.ProbeRequest(samples=6, draws=2, probes=("margin",))
    run = experiment.probe(request, tmp_path / "run", device="cpu")
    page = report(run.path, tmp_path / "again.html")
    assert page.read_bytes() == (run.path / "report.html").read_bytes()


def test_what_no_search_found_and_no_layer_has_comes_out_the_same(tmp_path: Path) -> None:
    request = experiment.ProbeRequest(
        model=f"{linear_network.NAME}:constant_normed",
        data=linear_network.write_images(tmp_path),
        samples=8,
        probes=("margin", "spectra"),
    )
    run = experiment.probe(request, tmp_path / "run", device="cpu")
    page = report(run.path, tmp_path / "again.html")
    assert "none found" in page.read_text()
    assert page.read_bytes() == (run.path / "report.html").read_bytes()


def test_a_simulated_run_is_written_in_its_folder_unless_told_otherwise(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    with pytest.raises(RunError, match="is not finished"):
        report(run.path)
    run.info["status"] = "complete"
    run.save()
    assert report(run.path) == run.path / "report.html"


def test_measured_and_simulated_runs_stand_on_one_page(tmp_path: Path) -> None:
    request = experiment.ProbeRequest(samples=6, draws=2, probes=("margin",))
    measured = experiment.probe(request, tmp_path / "measured", device="cpu")
    simulated = write_run(tmp_path / "run")
    with pytest.raises(RunError, match="is not finished"):
        compare([measured.path, simulated.path], tmp_path / "both.html")
    simulated.info["status"] = "complete"
    simulated.save()
    text = compare([measured.path, simulated.path], tmp_path / "both.html").read_text()
    assert "dimple probe --probe margin --samples 6 --draws 2" in text
    assert "dimple simulate scene.yaml --seed 3" in text
    assert "Final numbers: test samples" in text


@pytest.mark.parametrize("count", [1, 8])
def test_too_few_or_too_many_runs_are_refused(tmp_path: Path, count: int) -> None:
    with pytest.raises(UsageError, match=f"{count} runs cannot be told apart"):
        compare([tmp_path] * count, tmp_path / "page.html")

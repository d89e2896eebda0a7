"""Tests of the verbs `report` and `compare`: the same page as the run wrote, and refusals."""

from pathlib import Path

import pytest

from dimple import experiment
from dimple.errors import RunError, UsageError
from dimple.experiment import compare, report
from tests.experiment import linear_network
from tests.views.material import write_run


def test_the_page_of_a_measurement_is_the_same_again(tmp_path: Path) -> None:
    config = experiment.ProbeConfig(samples=6, null_draws=2, probes=("margin",))
    run = experiment.probe(config, tmp_path / "run", device="cpu")
    page = report(run.path, tmp_path / "again.html")
    assert page.read_bytes() == (run.path / "report.html").read_bytes()


def test_a_page_with_missing_values_is_the_same_again(tmp_path: Path) -> None:
    config = experiment.ProbeConfig(
        model=f"{linear_network.NAME}:constant_normed",
        weights="none",
        data=linear_network.write_images(tmp_path),
        samples=8,
        probes=("margin", "spectra"),
    )
    run = experiment.probe(config, tmp_path / "run", device="cpu")
    page = report(run.path, tmp_path / "again.html")
    assert "none found" in page.read_text()
    assert page.read_bytes() == (run.path / "report.html").read_bytes()


def test_by_default_the_report_of_a_simulated_run_is_in_its_folder(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    with pytest.raises(RunError, match="is not finished"):
        report(run.path)
    run.info["status"] = "complete"
    run.save()
    assert report(run.path) == run.path / "report.html"


def test_measured_and_simulated_runs_are_not_compared(tmp_path: Path) -> None:
    config = experiment.ProbeConfig(samples=6, null_draws=2, probes=("margin",))
    measured = experiment.probe(config, tmp_path / "measured", device="cpu")
    simulated = write_run(tmp_path / "run")
    with pytest.raises(RunError, match="is not finished"):
        compare([measured.path, simulated.path], tmp_path / "both.html")
    simulated.info["status"] = "complete"
    simulated.save()
    with pytest.raises(UsageError, match="have no statistics in common"):
        compare([measured.path, simulated.path], tmp_path / "both.html")
    for path, command in (
        (measured.path, "dimple probe --probe margin --samples 6 --null-draws 2"),
        (simulated.path, "dimple simulate scene.yaml --seed 3"),
    ):
        assert command in compare([path, path], tmp_path / "both.html").read_text()


@pytest.mark.parametrize("count", [1, 8])
def test_too_few_or_too_many_runs_are_refused(tmp_path: Path, count: int) -> None:
    with pytest.raises(UsageError, match=f"{count} runs cannot be compared"):
        compare([tmp_path] * count, tmp_path / "page.html")

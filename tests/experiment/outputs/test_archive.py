"""Tests of the verb `pack`: every other verb takes a packed run as it takes its folder."""

from pathlib import Path

import pytest

from dimple import experiment
from dimple.errors import RunError, UsageError
from dimple.experiment import ProbeConfig, simulate
from dimple.experiment.run import Run
from dimple.runs.atomic_io import read_table
from dimple.scene import load_scene
from tests.experiment.simulation.test_simulate_scene import SHORT


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("archive") / "line"
    return simulate(load_scene("line_in_2d", SHORT), folder, device="cpu", film=False)


@pytest.fixture(scope="module")
def packed(run: Run) -> Path:
    return experiment.pack(run.path)


def test_the_file_is_next_to_the_folder_and_has_its_name(run: Run, packed: Path, tmp_path: Path) -> None:
    assert packed == run.path.parent / "line.dimple" and packed.is_file()
    other = experiment.pack(run.path, tmp_path / "other.dimple")
    assert other.read_bytes() == packed.read_bytes()


def test_pages_and_reports_of_the_file_are_those_of_the_folder(run: Run, packed: Path, tmp_path: Path) -> None:
    for name, source in (("folder", run.path), ("file", packed)):
        experiment.export_run(source, [tmp_path / f"{name}.html", tmp_path / f"{name}.pvd"])
        experiment.report(source, tmp_path / f"{name}-report.html")
    for suffix in (".html", "-report.html"):
        assert (tmp_path / f"folder{suffix}").read_bytes() == (tmp_path / f"file{suffix}").read_bytes()
    from_folder, from_file = (
        [file.read_bytes() for file in sorted((tmp_path / f"{name}_steps").iterdir())] for name in ("folder", "file")
    )
    assert from_folder == from_file and len(from_folder) == 2 * len(run.steps)


def test_by_default_a_report_is_next_to_the_file(packed: Path) -> None:
    assert experiment.report(packed) == packed.with_name("line-report.html")


def test_probes_of_the_file_give_the_numbers_of_the_folder(run: Run, packed: Path, tmp_path: Path) -> None:
    tables = []
    for name, source in (("folder", run.path), ("file", packed)):
        config = ProbeConfig(run=str(source), samples=4, probes=("margin",))
        measured = experiment.probe(config, tmp_path / name, device="cpu")
        assert ("run", str(source)) in measured.info["facts"]
        tables.append(read_table(measured.path / "measurements.parquet")[0])
    assert all(tables[0][name].tolist() == tables[1][name].tolist() for name in tables[0])


def test_a_mistake_is_refused(run: Run, packed: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is already packed"):
        experiment.pack(packed)
    with pytest.raises(UsageError, match=r"the suffix is \.zip; a packed run ends in \.dimple"):
        experiment.pack(run.path, tmp_path / "run.zip")
    unfinished = Run.create(tmp_path / "unfinished", {"name": "x"}, "name: x\n")
    with pytest.raises(RunError, match="is not finished"):
        experiment.pack(unfinished.path)
    with pytest.raises(RunError, match="no such run folder"):
        experiment.pack(tmp_path / "absent")

"""Tests of the verb `export`: the file of each suffix, and refusals."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dimple import experiment
from dimple.errors import RunError, UsageError
from dimple.experiment.run import Run
from dimple.scene import load_scene
from tests.experiment.simulation.test_simulate_scene import SHORT
from tests.views.material import write_flat_run, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return write_run(tmp_path_factory.mktemp("export") / "run")


def test_files_for_the_web_and_for_paraview(tmp_path: Path) -> None:
    run = experiment.simulate(load_scene("line_in_2d", SHORT), tmp_path / "line", device="cpu", film=False)
    files = [tmp_path / name for name in ("page.html", "run.pvd", "run.vtkhdf")]
    assert experiment.export_run(run.path, files) == files
    assert all(path.stat().st_size > 300 for path in files)
    names = sorted(file.name for file in (tmp_path / "run_steps").iterdir())
    assert names == sorted(f"{step:08d}{end}.vtp" for step in run.steps for end in ("", "_points"))


def test_pictures_of_a_size(tmp_path: Path) -> None:
    run = write_flat_run(tmp_path / "run")
    files = [tmp_path / name for name in ("a.mp4", "b.gif", "c.png")]
    experiment.export_run(run.path, files, fps=20, size=(320, 200))
    with Image.open(files[1]) as gif, Image.open(files[2]) as sheet:
        assert (gif.size, gif.n_frames) == ((160, 100), len(run.steps))
        assert sheet.size == (2 * 240, 2 * 150)
    assert files[0].read_bytes()[4:8] == b"ftyp"
    assert sorted(tmp_path.iterdir()) == [*files, run.path]
    with Image.open(files[2]) as sheet:
        assert (sheet.text["Seed"], sheet.text["Settings"]) == ("3", run.settings_text)


@pytest.mark.parametrize(
    ("outputs", "options", "sentence"),
    [
        (["film.avi"], {}, r"the suffix is \.avi; choose from \.mp4 .* \.vtkhdf"),
        (["film"], {}, "the suffix is missing"),
        (["a.gif", "b.gif"], {}, r"two files with the suffix \.gif"),
        (["a.mp4"], {"size": (1281, 720)}, "size is 1281x720"),
        (["a.mp4"], {"size": (64, 64)}, "size is 64x64"),
        (["a.mp4"], {"fps": 0}, "fps is 0"),
    ],
)
def test_a_mistake_is_refused_first(run: Run, outputs: list[str], options: dict, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        experiment.export_run(run.path, outputs, **options)


def test_a_folder_without_a_boundary_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such run folder"):
        experiment.export_run(tmp_path / "absent")
    empty = Run.create(tmp_path / "empty", {"name": "x"}, "name: x\n")
    with pytest.raises(RunError, match="holds no boundary to draw"):
        experiment.export_run(empty.path, [tmp_path / "page.html"])


def test_a_run_in_many_dimensions_has_a_page_and_no_film(run: Run, tmp_path: Path) -> None:
    shutil.copytree(run.path, tmp_path / "run")
    run_9d = Run.open(tmp_path / "run")
    run_9d.write_geometry(
        {"train": np.zeros((6, 9)), "labels": np.arange(6) % 2, "low": np.zeros(9), "high": np.ones(9)}
    )
    (page,) = experiment.export_run(run_9d.path, [tmp_path / "page.html"])
    assert "The space has 9 dimensions" in page.read_text()
    with pytest.raises(RunError, match="there is nothing to draw"):
        experiment.export_run(run_9d.path, [tmp_path / "film.mp4"])

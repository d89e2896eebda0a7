"""The verb section: a linear network whose figures are known, a digits network end to end, and what is refused."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from dimple import experiment
from dimple.boundary import Section
from dimple.errors import DataError, DimpleError, ModelError, RunError, UsageError
from dimple.experiment import SectionRequest
from dimple.experiment.outputs.view import show_of
from dimple.experiment.slices.tables import Looked, metrics_of
from dimple.runs import Run
from dimple.views.content.from_run import frames_of_run
from tests.experiment.linear_network import NAME, weights, write_checkpoints, write_images

SMALL: dict[str, Any] = {"cells": 32, "draws": 3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("section")


@pytest.fixture(scope="module")
def data(folder: Path) -> str:
    return write_images(folder)


@pytest.fixture(scope="module")
def series(folder: Path, data: str) -> Run:
    request = SectionRequest(
        model=f"{NAME}:linear", data=data, checkpoints=write_checkpoints(folder), images=(0, 1, 2), **SMALL
    )
    return experiment.section(request, folder / "series", device="cpu")


@pytest.fixture(scope="module")
def room(folder: Path, data: str, rendering: None) -> Run:
    request = SectionRequest(model=f"{NAME}:linear", data=data, images=(0, 1, 2), dim=3, cells=16, draws=1)
    return experiment.section(request, folder / "room", device="cpu")


@pytest.fixture(scope="module")
def digits(folder: Path) -> Run:
    return experiment.section(SectionRequest(images=(3, 17, 42), **SMALL), folder / "digits", device="cpu")


def nearest(w: torch.Tensor, x: torch.Tensor, axes: torch.Tensor | None = None) -> float:
    """How far the boundary of a linear network is from an input, everywhere or along some directions."""
    scores = w @ x
    others = [k for k in range(len(w)) if k != scores.argmax()]
    gradients = w[scores.argmax()] - w[others]
    gaps = scores.max() - scores[others]
    return float((gaps / (gradients if axes is None else gradients @ axes).norm(dim=1)).min())


def test_the_distances_of_a_linear_network_are_its_own(series: Run) -> None:
    arrays, points = series.geometry(), series.points()
    axes = torch.from_numpy(arrays["axes"])
    images = torch.from_numpy(arrays["images"]).flatten(1)
    for row in range(len(points["step"])):
        w = weights(int(points["step"][row]))
        x = images[row % 3]
        assert abs(points["margin_any"][row]) == pytest.approx(nearest(w, x), rel=1e-3)
        assert abs(points["margin_section"][row]) == pytest.approx(nearest(w, x, axes), rel=1e-3)
        assert (points["margin_any"][row] > 0) == (points["label"][row] == int((w @ x).argmax()))


def test_the_drawn_boundary_is_at_the_distance_that_is_printed(series: Run) -> None:
    frame = frames_of_run(series)[-1]
    points = series.points()
    last = points["step"] == points["step"].max()
    mesh = frame.drawing.layer("boundary").mesh
    for place, distance in zip(frame.drawing.points.positions, np.abs(points["margin_section"][last]), strict=True):
        ends = mesh.vertices[mesh.faces]
        run, offset = ends[:, 1] - ends[:, 0], place - ends[:, 0]
        along = ((offset * run).sum(1) / (run**2).sum(1)).clip(0, 1)
        away = np.linalg.norm(offset - along[:, None] * run, axis=1).min()
        # The box may end before the boundary comes.
        assert away == pytest.approx(distance, rel=1e-3) or away > distance


def test_regions_and_pairs_are_those_of_the_network(series: Run) -> None:
    arrays = series.geometry()
    section = Section(torch.from_numpy(arrays["origin"]), torch.from_numpy(arrays["axes"]))
    for frame in frames_of_run(series):
        regions = frame.drawing.classes.regions
        side = (np.arange(len(regions)) + 0.5) / len(regions)
        places = [low + side * (high - low) for low, high in zip(arrays["low"], arrays["high"], strict=True)]
        x, y = np.meshgrid(*places)
        u = torch.from_numpy(np.stack([x, y], axis=-1).reshape(-1, 2))
        scores = section(u).flatten(1) @ weights(frame.step).T
        clear = scores.sort(dim=1).values.diff(dim=1)[:, -1] > 1e-4
        assert torch.equal(torch.from_numpy(regions.ravel())[clear], scores.argmax(1)[clear])
        layer = frame.drawing.layer("boundary")
        middle = torch.from_numpy(layer.mesh.vertices[layer.mesh.faces].mean(1))
        tied = (section(middle).flatten(1) @ weights(frame.step).T).topk(2, dim=1)
        assert (tied.values[:, 0] - tied.values[:, 1]).abs().max() < 1e-4
        assert (tied.indices.sort(1).values.numpy() == np.sort(layer.pairs, axis=1)).all()


def test_the_metrics_stand_beside_random_sections_and_carry_units(series: Run) -> None:
    metrics = series.metrics()
    assert metrics["step"].tolist() == [0, 1, 2]
    for name in ("classes", "boundary_size", "margin_section", "valid_share"):
        assert (metrics[f"{name}_null_low"] <= metrics[f"{name}_null"]).all()
        assert (metrics[f"{name}_null"] <= metrics[f"{name}_null_high"]).all()
    assert set(series.units()) == set(metrics)
    fields = pq.read_schema(series.path / "points.parquet")
    assert fields.field("margin_section").metadata[b"unit"] == b"l2, input units"
    assert (metrics["margin_any"] <= metrics["margin_section"]).all()


def test_every_view_takes_a_series(series: Run, rendering: None, tmp_path: Path) -> None:
    wanted = [tmp_path / f"out{suffix}" for suffix in (".mp4", ".gif", ".png", ".html", ".pvd", ".vtkhdf")]
    assert experiment.film(series.path, wanted, size=(320, 180)) == wanted
    with Image.open(wanted[1]) as gif:
        assert gif.n_frames == 3
    page = experiment.report(series.path, tmp_path / "report.html").read_text()
    for words in ("the plane through images 0, 1 and 2", "random directions", "margin in the section", "0 and "):
        assert words in page
    assert show_of(series).points["margin"].shape == (9,)
    kept = "film.mp4 film.png geometry.safetensors metrics.parquet page.html points.parquet report.html run.json"
    assert sorted(path.name for path in series.path.iterdir()) == [*kept.split(), "scene.yaml", "stills"]


def test_the_files_for_paraview_say_which_classes_meet(series: Run, rendering: None, tmp_path: Path) -> None:
    import pyvista as pv

    experiment.film(series.path, [tmp_path / "run.pvd"])
    reader = pv.get_reader(tmp_path / "run.pvd")
    reader.set_active_time_value(2.0)
    shape = reader.read()[0]
    pairs = np.stack([shape.cell_data["class in front"], shape.cell_data["class behind"]], axis=1)
    assert (pairs == frames_of_run(series)[-1].drawing.layer("boundary").pairs).all()


def test_a_digits_network_end_to_end(digits: Run) -> None:
    summary = digits.info["summary"]
    assert digits.info["status"] == "complete"
    assert sum(row["share"] for row in summary["shares"]) == pytest.approx(1.0)
    points = digits.points()
    assert points["index"].tolist() == [3, 17, 42]
    assert (np.abs(points["margin_any"]) <= np.abs(points["margin_section"])).all()
    frame = frames_of_run(digits)[0]
    assert [name.split(":")[0] for name in frame.drawing.points.names] == ["3", "17", "42"]
    assert frame.drawing.points.pictures[0].shape == (8, 8, 3)
    assert frame.control.drawing.points.positions == pytest.approx(np.zeros((1, 2)))


def test_dense_and_adaptive_sections_agree(data: str, folder: Path) -> None:
    shared = {"model": f"{NAME}:linear", "data": data, "images": (0, 3, 5), **SMALL}
    found = [
        experiment.section(SectionRequest(levelset=kind, **shared), folder / f"{kind}", device="cpu").info["summary"]
        for kind in ("adaptive", "dense")
    ]
    assert found[0] == found[1]


def test_in_space_the_surfaces_are_flat_and_the_last_axis_leads_off_the_images(room: Run, tmp_path: Path) -> None:
    arrays = room.geometry()
    axes, w = torch.from_numpy(arrays["axes"]), weights()
    assert arrays["train"][:, 2] == pytest.approx(np.zeros(3), abs=1e-5)
    gradients = w[:1] - w[1:]
    off = gradients - (gradients @ axes[:, :2]) @ axes[:, :2].T
    # No direction off the images holds more of the gradients than the third axis, and it holds some.
    assert float((gradients @ axes[:, 2]).norm()) > 0.5 * float(off.norm()) / 3**0.5
    layer = frames_of_run(room)[0].drawing.layer("boundary")
    section = Section(torch.from_numpy(arrays["origin"]), axes)
    scores = section(torch.from_numpy(layer.mesh.vertices)).flatten(1) @ w.T
    assert (scores.topk(2, dim=1).values @ torch.tensor([1.0, -1.0])).abs().max() < 1e-3
    wanted = [tmp_path / f"room{suffix}" for suffix in (".png", ".html", ".pvd")]
    assert experiment.film(room.path, wanted, size=(320, 180)) == wanted


@pytest.mark.parametrize(
    ("asked", "words", "samples"),
    [
        ({"axes": "random"}, "at image 2: 2 random directions", 1),
        ({"axes": "pca", "radius": 0.7}, "at image 2: the widest directions of the data", 1),
        ({"axes": "gradient"}, "at image 2: the 2 steepest directions", 1),
        ({"images": (2, 0)}, "through images 2 and 0, and along the steepest direction off them", 2),
    ],
)
def test_other_axes(asked: dict[str, Any], words: str, samples: int, data: str, tmp_path: Path) -> None:
    settings = {"model": f"{NAME}:linear", "data": data, "images": (2,), "cells": 16, "draws": 2} | asked
    run = experiment.section(SectionRequest(**settings), tmp_path / "run", device="cpu")
    assert run.info["section"]["words"] == words
    arrays = run.geometry()
    axes = torch.from_numpy(arrays["axes"])
    assert torch.allclose(axes.T @ axes, torch.eye(2), atol=1e-5)
    assert arrays["train"][0] == pytest.approx([0, 0], abs=1e-6)
    assert len(frames_of_run(run)[0].drawing.points.classes) == samples
    if "radius" in asked:
        assert (arrays["low"].tolist(), arrays["high"].tolist()) == ([-0.7, -0.7], [0.7, 0.7])


@contextmanager
def breaking(count: int) -> Iterator[Callable[..., Any]]:
    """Progress after whose n-th beat somebody interrupts."""
    left = [count]

    @contextmanager
    def progress(_stage: str, _total: int, /) -> Iterator[Callable[[], None]]:
        def advance() -> None:
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt

        yield advance

    yield progress


def test_an_interrupted_section_continues_to_the_same_files(
    series: Run, data: str, folder: Path, tmp_path: Path
) -> None:
    request = SectionRequest(
        model=f"{NAME}:linear", data=data, checkpoints=str(folder / "step_*.safetensors"), images=(0, 1, 2), **SMALL
    )
    place = tmp_path / "run"
    for beats in (1, 4, 7):
        with breaking(beats) as progress, pytest.raises(KeyboardInterrupt):
            experiment.section(request, place, device="cpu", progress=progress)
        assert Run.open(place).info["status"] == "interrupted"
        assert not list(place.glob("**/.dimple-tmp-*"))
        with pytest.raises(RunError, match="is not finished"):
            experiment.report(place)
    experiment.section(request, place, device="cpu")
    for name in ("geometry.safetensors", "metrics.parquet", "points.parquet"):
        assert (place / name).read_bytes() == (series.path / name).read_bytes()
    assert not (place / "parts").exists()


@pytest.mark.parametrize(
    ("asked", "kind", "sentence"),
    [
        ({"images": (0, 1, 0)}, UsageError, "--images names 0 twice; a section needs images that differ"),
        ({"images": ()}, UsageError, "--images is empty"),
        ({"images": (0, 1, 2, 3)}, UsageError, "names 4, and a section of dimension 2 holds 3; name fewer, or --dim 3"),
        ({"images": (0, 1, 80)}, UsageError, "image 80 does not exist; indices go from 0 to 7"),
        ({"images": (5, 6, 7)}, UsageError, "--images 5, 6, 7 with --axes points: .* span fewer dimensions"),
        ({"cells": 4}, UsageError, "--cells is 4; in 2 dimensions give a number from 8 to 1024"),
        ({"cells": 400, "dim": 3}, UsageError, "--cells is 400; in 3 dimensions give a number from 8 to 160"),
        ({"weights": "absent.pt"}, ModelError, "absent.pt"),
        ({"weights": "a.pt", "checkpoints": "*.pt"}, UsageError, "--weights and --checkpoints exclude each other"),
        ({"run": "runs/x"}, UsageError, "--run brings its own networks and data"),
        ({"data": "npz:absent.npz"}, DataError, "absent.npz: no such file"),
        ({"model": f"{NAME}:constant", "images": (0,), "axes": "random"}, UsageError, "no boundary .* --radius"),
        ({"model": f"{NAME}:constant", "images": (0,)}, UsageError, "do not lead off .* or --axes random"),
    ],
)
def test_what_cannot_be_served_is_one_sentence_and_leaves_nothing(
    asked: dict[str, Any], kind: type[DimpleError], sentence: str, data: str, tmp_path: Path
) -> None:
    settings = {"model": f"{NAME}:linear", "data": data, "images": (0, 1, 2), "draws": 1, "cells": 16} | asked
    with pytest.raises(kind, match=sentence):
        experiment.section(SectionRequest(**settings), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_weights_of_another_network_are_refused(data: str, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"1.weight": torch.zeros(4, 13)}, str(tmp_path / "other.safetensors"))
    request = SectionRequest(model=f"{NAME}:linear", data=data, weights=str(tmp_path / "other.safetensors"))
    with pytest.raises(ModelError, match=r"other\.safetensors"):
        experiment.section(request, tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_sections_are_not_compared(series: Run, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a section, which has a page of its own"):
        experiment.compare([series.path, series.path], tmp_path / "both.html")


def test_of_images_that_are_put_wrong_the_band_is_one_of_lengths() -> None:
    seen = {"class_share": np.array([0.5, 0.5]), "met": np.array([[0, 1]]), "met_size": np.array([1.0])}
    signed = np.array([-1.0, -1.0, 1.0])
    samples = {f"margin_section{end}": signed * size for end, size in (("", 3.0), ("_null", 2.0))}
    samples |= {"margin_section_null_low": np.array([-2.5, -2.5, 1.5]), "margin_any": signed}
    samples |= {"margin_section_null_high": np.array([-1.5, -1.5, 2.5])}
    row = metrics_of([Looked(0, seen, [seen], samples)], ())
    assert [float(row[f"margin_section{end}"][0]) for end in ("", "_null", "_null_low", "_null_high")] == [
        3,
        2,
        1.5,
        2.5,
    ]

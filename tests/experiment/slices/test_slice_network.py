"""Tests of the verb `slice`: a linear network with known values, a digits network, and settings that are refused."""

import dataclasses
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
from dimple.boundary import AffineSlice
from dimple.errors import DataError, DimpleError, ModelError, RunError, UsageError
from dimple.experiment import SliceConfig
from dimple.experiment.outputs.view import load_run_view
from dimple.experiment.run import Run
from dimple.experiment.slices.tables import SliceMeasurement, build_metrics
from dimple.probes import ProbeResult, run_probes
from dimple.views.content.from_run import frames_from_run
from tests.experiment.linear_network import NAME, weights, write_checkpoints, write_images

SMALL: dict[str, Any] = {"resolution": 32, "null_draws": 3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("slice")


@pytest.fixture(scope="module")
def data(folder: Path) -> str:
    return write_images(folder)


@pytest.fixture(scope="module")
def series(folder: Path, data: str) -> Run:
    config = SliceConfig(
        model=f"{NAME}:linear", data=data, checkpoints=write_checkpoints(folder), images=(0, 1, 2), **SMALL
    )
    return experiment.slice_network(config, folder / "series", device="cpu")


@pytest.fixture(scope="module")
def slice_3d(folder: Path, data: str, rendering: None) -> Run:
    config = SliceConfig(
        model=f"{NAME}:linear", data=data, weights="none", images=(0, 1, 2), dim=3, resolution=16, null_draws=1
    )
    return experiment.slice_network(config, folder / "slice_3d", device="cpu")


@pytest.fixture(scope="module")
def digits(folder: Path) -> Run:
    return experiment.slice_network(SliceConfig(images=(3, 17, 42), **SMALL), folder / "digits", device="cpu")


def boundary_distance(w: torch.Tensor, x: torch.Tensor, axes: torch.Tensor | None = None) -> float:
    """Return the distance of an input from the boundary of a linear network, in all directions or along the axes."""
    scores = w @ x
    others = [k for k in range(len(w)) if k != scores.argmax()]
    gradients = w[scores.argmax()] - w[others]
    margins = scores.max() - scores[others]
    return float((margins / (gradients if axes is None else gradients @ axes).norm(dim=1)).min())


def test_the_distances_of_a_linear_network_agree_with_the_formula(series: Run) -> None:
    arrays = series.geometry()
    points = series.columns("points")
    axes = torch.from_numpy(arrays["axes"])
    images = torch.from_numpy(arrays["images"]).flatten(1)
    for row in range(len(points["step"])):
        w = weights(int(points["step"][row]))
        x = images[row % 3]
        assert abs(points["margin_unbounded"][row]) == pytest.approx(boundary_distance(w, x), rel=1e-3, abs=2e-6)
        assert abs(points["margin_in_slice"][row]) == pytest.approx(boundary_distance(w, x, axes), rel=1e-3, abs=2e-6)
        assert (points["margin_unbounded"][row] > 0) == (points["label"][row] == int((w @ x).argmax()))


def test_a_search_that_misses_the_nearest_line_does_not_decide(
    folder: Path, data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def search_badly(*arguments: Any) -> ProbeResult:
        result = run_probes(*arguments)
        return dataclasses.replace(
            result, columns={n: v * 3 if "margin" in n else v for n, v in result.columns.items()}
        )

    monkeypatch.setattr("dimple.experiment.slices.slice_network.run_probes", search_badly)
    config = SliceConfig(model=f"{NAME}:linear", data=data, weights="none", images=(0, 1, 2), **SMALL)
    run = experiment.slice_network(config, folder / "badly", device="cpu")
    axes = torch.from_numpy(run.geometry()["axes"])
    images = torch.from_numpy(run.geometry()["images"]).flatten(1)
    points = run.columns("points")
    exact = [boundary_distance(weights(), x, axes) for x in images]
    # The line nearest to an image may be outside the box; all others are drawn.
    drawn = np.isclose(np.abs(points["margin_in_slice"]), exact, rtol=1e-2)
    assert drawn.sum() >= 2
    assert (np.abs(points["margin_unbounded"])[drawn] <= np.abs(points["margin_in_slice"])[drawn]).all()


def test_the_captions_say_on_which_grid_they_count(series: Run) -> None:
    cells = series.info["slice"]["control_resolution"]
    frame = frames_from_run(series)[-1]
    counted = [fact.name for fact in frame.facts if "cells a side" in fact.name]
    assert counted == [f"{name} ({cells} cells a side)" for name in ("classes in the box", "length of the boundary")]
    assert f"size of the boundary ({cells} cells a side)" in [chart.title for chart in frame.timeline.charts]


def test_the_drawn_boundary_is_at_the_measured_distance(series: Run) -> None:
    frame = frames_from_run(series)[-1]
    points = series.columns("points")
    last = points["step"] == points["step"].max()
    mesh = frame.drawing.layer("boundary").mesh
    for position, distance in zip(frame.drawing.points.positions, np.abs(points["margin_in_slice"][last]), strict=True):
        ends = mesh.vertices[mesh.faces]
        edge = ends[:, 1] - ends[:, 0]
        offset = position - ends[:, 0]
        along = ((offset * edge).sum(1) / (edge**2).sum(1)).clip(0, 1)
        mesh_distance = np.linalg.norm(offset - along[:, None] * edge, axis=1).min()
        # The closest boundary point may lie outside the box.
        assert mesh_distance == pytest.approx(distance, rel=1e-3) or mesh_distance > distance


def test_regions_and_pairs_agree_with_the_network(series: Run) -> None:
    arrays = series.geometry()
    affine_slice = AffineSlice(torch.from_numpy(arrays["origin"]), torch.from_numpy(arrays["axes"]))
    for frame in frames_from_run(series):
        regions = frame.drawing.class_regions.label_grid
        fractions = (np.arange(len(regions)) + 0.5) / len(regions)
        centers = [low + fractions * (high - low) for low, high in zip(arrays["low"], arrays["high"], strict=True)]
        x, y = np.meshgrid(*centers)
        u = torch.from_numpy(np.stack([x, y], axis=-1).reshape(-1, 2))
        scores = affine_slice(u).flatten(1) @ weights(frame.step).T
        clear = scores.sort(dim=1).values.diff(dim=1)[:, -1] > 1e-4
        assert torch.equal(torch.from_numpy(regions.ravel())[clear], scores.argmax(1)[clear])
        layer = frame.drawing.layer("boundary")
        face_centers = torch.from_numpy(layer.mesh.vertices[layer.mesh.faces].mean(1))
        tied = (affine_slice(face_centers).flatten(1) @ weights(frame.step).T).topk(2, dim=1)
        assert (tied.values[:, 0] - tied.values[:, 1]).abs().max() < 1e-4
        assert (tied.indices.sort(1).values.numpy() == np.sort(layer.class_pairs, axis=1)).all()


def test_the_metrics_have_nulls_and_units(series: Run) -> None:
    metrics = series.columns("metrics")
    assert metrics["step"].tolist() == [0, 1, 2]
    for name in ("classes", "boundary_size", "margin_in_slice", "valid_fraction"):
        assert (metrics[f"{name}_null_low"] <= metrics[f"{name}_null"]).all()
        assert (metrics[f"{name}_null"] <= metrics[f"{name}_null_high"]).all()
    assert set(series.units("metrics")) == set(metrics)
    fields = pq.read_schema(series.path / "points.parquet")
    assert fields.field("margin_in_slice").metadata[b"unit"] == b"l2, input units"
    assert (metrics["margin_unbounded"] <= metrics["margin_in_slice"]).all()


def test_every_output_takes_a_series(series: Run, rendering: None, tmp_path: Path) -> None:
    files = [tmp_path / f"out{suffix}" for suffix in (".mp4", ".gif", ".png", ".html", ".pvd", ".vtkhdf")]
    assert experiment.export_run(series.path, files, size=(320, 180)) == files
    with Image.open(files[1]) as gif:
        assert gif.n_frames == 3
    page = experiment.report(series.path, tmp_path / "report.html").read_text()
    for text in ("the plane through images 0, 1 and 2", "random directions", "margin in the slice", "0</bdi> and "):
        assert text in page
    assert load_run_view(series).point_table["margin"].shape == (9,)
    names = "film.mp4 film.png geometry.safetensors manifest.jsonl metrics.parquet page.html points.parquet report.html"
    assert sorted(path.name for path in series.path.iterdir()) == ["config.yaml", *names.split(), "run.json", "stills"]


def test_the_files_for_paraview_hold_the_classes_that_meet(series: Run, rendering: None, tmp_path: Path) -> None:
    import pyvista as pv

    experiment.export_run(series.path, [tmp_path / "run.pvd"])
    reader = pv.get_reader(tmp_path / "run.pvd")
    reader.set_active_time_value(2.0)
    boundary = reader.read()[0]
    pairs = np.stack([boundary.cell_data["class in front"], boundary.cell_data["class behind"]], axis=1)
    assert (pairs == frames_from_run(series)[-1].drawing.layer("boundary").class_pairs).all()


def test_a_digits_network_end_to_end(digits: Run) -> None:
    summary = digits.info["summary"]
    assert digits.info["status"] == "complete"
    assert sum(row["fraction"] for row in summary["class_fractions"]) == pytest.approx(1.0)
    points = digits.columns("points")
    assert points["index"].tolist() == [3, 17, 42]
    assert (np.abs(points["margin_unbounded"]) <= np.abs(points["margin_in_slice"])).all()
    frame = frames_from_run(digits)[0]
    assert [name.split(":")[0] for name in frame.drawing.points.captions] == ["3", "17", "42"]
    assert frame.drawing.points.images[0].shape == (8, 8, 3)
    assert frame.control.drawing.points.positions == pytest.approx(np.zeros((1, 2)))


def test_dense_and_adaptive_slices_agree(data: str, folder: Path) -> None:
    shared = {"model": f"{NAME}:linear", "data": data, "weights": "none", "images": (0, 3, 5), **SMALL}
    summaries = [
        experiment.slice_network(SliceConfig(levelset=kind, **shared), folder / f"{kind}", device="cpu").info["summary"]
        for kind in ("adaptive", "dense")
    ]
    assert summaries[0] == summaries[1]


def test_in_space_the_surfaces_are_flat_and_the_last_axis_leads_off_the_images(slice_3d: Run, tmp_path: Path) -> None:
    arrays = slice_3d.geometry()
    axes = torch.from_numpy(arrays["axes"])
    w = weights()
    assert arrays["train"][:, 2] == pytest.approx(np.zeros(3), abs=1e-5)
    gradients = w[:1] - w[1:]
    off = gradients - (gradients @ axes[:, :2]) @ axes[:, :2].T
    # The third axis is the dominant direction of the gradients off the plane of the images.
    assert float((gradients @ axes[:, 2]).norm()) > 0.5 * float(off.norm()) / 3**0.5
    layer = frames_from_run(slice_3d)[0].drawing.layer("boundary")
    affine_slice = AffineSlice(torch.from_numpy(arrays["origin"]), axes)
    scores = affine_slice(torch.from_numpy(layer.mesh.vertices)).flatten(1) @ w.T
    assert (scores.topk(2, dim=1).values @ torch.tensor([1.0, -1.0])).abs().max() < 1e-3
    files = [tmp_path / f"slice{suffix}" for suffix in (".png", ".html", ".pvd")]
    assert experiment.export_run(slice_3d.path, files, size=(320, 180)) == files


@pytest.mark.parametrize(
    ("changes", "description", "samples"),
    [
        ({"axes": "random"}, "at image 2: 2 random directions", 1),
        ({"axes": "pca", "radius": 0.7}, "at image 2: the widest directions of the data", 1),
        ({"axes": "gradient"}, "at image 2: the 2 steepest directions", 1),
        ({"images": (2, 0)}, "through images 2 and 0, and along the steepest direction off them", 2),
        (
            {"through": ("boundary", "normal")},
            "at image 2: toward the nearest boundary point, and the steepest direction",
            1,
        ),
    ],
)
def test_other_axes(changes: dict[str, Any], description: str, samples: int, data: str, tmp_path: Path) -> None:
    settings = {"model": f"{NAME}:linear", "data": data, "weights": "none", "images": (2,)} | changes
    settings = {"resolution": 16, "null_draws": 2} | settings
    run = experiment.slice_network(SliceConfig(**settings), tmp_path / "run", device="cpu")
    assert run.info["slice"]["description"] == description
    arrays = run.geometry()
    axes = torch.from_numpy(arrays["axes"])
    assert torch.allclose(axes.T @ axes, torch.eye(2), atol=1e-5)
    assert arrays["train"][0] == pytest.approx([0, 0], abs=1e-6)
    assert len(frames_from_run(run)[0].drawing.points.labels) == samples
    if "radius" in changes:
        assert (arrays["low"].tolist(), arrays["high"].tolist()) == ([-0.7, -0.7], [0.7, 0.7])


def test_the_first_axis_leads_to_the_nearest_boundary_point(data: str, tmp_path: Path) -> None:
    settings = {"model": f"{NAME}:linear", "data": data, "weights": "none", "images": (2,), "resolution": 16}
    config = SliceConfig(through=("boundary", "normal"), null_draws=1, **settings)
    assert config.dim == 2 and "--images 2 --through boundary,normal" in config.command
    run = experiment.slice_network(config, tmp_path / "run", device="cpu")
    w = weights()
    x = torch.from_numpy(run.geometry()["origin"]).flatten()
    own = int((w @ x).argmax())
    normals = w[own] - w[[row for row in range(len(w)) if row != own]]
    distance = (normals @ x) / normals.norm(dim=1)
    nearest = -normals[distance.argmin()] / normals[distance.argmin()].norm()
    assert torch.allclose(torch.from_numpy(run.geometry()["axes"])[:, 0], nearest, atol=1e-4)


@contextmanager
def interrupting_progress(count: int) -> Iterator[Callable[..., Any]]:
    """Yield a progress callback that raises an interrupt at its n-th advance."""
    remaining = [count]

    @contextmanager
    def progress(_stage: str, _total: int, /) -> Iterator[Callable[[], None]]:
        def advance() -> None:
            remaining[0] -= 1
            if remaining[0] == 0:
                raise KeyboardInterrupt

        yield advance

    yield progress


def test_an_interrupted_slice_continues_to_the_same_files(series: Run, data: str, folder: Path, tmp_path: Path) -> None:
    config = SliceConfig(
        model=f"{NAME}:linear", data=data, checkpoints=str(folder / "step_*.safetensors"), images=(0, 1, 2), **SMALL
    )
    out = tmp_path / "run"
    for count in (1, 4, 7):
        with interrupting_progress(count) as progress, pytest.raises(KeyboardInterrupt):
            experiment.slice_network(config, out, device="cpu", progress=progress)
        assert Run.open(out).info["status"] == "interrupted"
        assert not list(out.glob("**/.dimple-tmp-*"))
        with pytest.raises(RunError, match="is not finished"):
            experiment.report(out)
    experiment.slice_network(config, out, device="cpu")
    for name in ("geometry.safetensors", "metrics.parquet", "points.parquet"):
        assert (out / name).read_bytes() == (series.path / name).read_bytes()
    assert not (out / "cache").exists()


@pytest.mark.parametrize(
    ("changes", "kind", "sentence"),
    [
        ({"images": (0, 1, 0)}, UsageError, "--images names 0 twice; a slice needs images that differ"),
        ({"images": ()}, UsageError, "--images is empty"),
        ({"images": (0, 1, 2, 3)}, UsageError, "names 4, and a slice of dimension 2 holds 3; name fewer, or --dim 3"),
        ({"images": (0, 1, 80)}, UsageError, "image 80 does not exist; use indices from 0 to 7"),
        ({"images": (5, 6, 7)}, UsageError, "--images 5, 6, 7 with --axes points: .* span fewer dimensions"),
        ({"through": ("boundary",)}, UsageError, "--through names 1 directions; a slice has 2 or 3"),
        ({"through": ("boundary", "boundary")}, UsageError, "--through names boundary twice"),
        ({"through": ("boundary", "normal"), "axes": "pca"}, UsageError, "--axes and --through both choose the axes"),
        ({"through": ("boundary", "normal"), "dim": 3}, UsageError, "--dim is 3, and --through names 2 directions"),
        (
            {"through": ("tangent", "normal"), "images": (0,)},
            UsageError,
            "--images 0 with --through tangent,normal: slice: 1 tangent directions are asked for, and none is known",
        ),
        ({"resolution": 4}, UsageError, "--resolution is 4; in 2 dimensions give a number from 8 to 1024"),
        ({"resolution": 400, "dim": 3}, UsageError, "--resolution is 400; in 3 dimensions give a number from 8 to 160"),
        ({"weights": "absent.pt"}, ModelError, "absent.pt"),
        ({"weights": "a.pt", "checkpoints": "*.pt"}, UsageError, "--weights and --checkpoints exclude each other"),
        ({"run": "runs/x"}, UsageError, "--run brings its own networks and data"),
        ({"data": "npz:absent.npz"}, DataError, "absent.npz: no such file"),
        ({"model": f"{NAME}:constant", "images": (0,), "axes": "random"}, UsageError, "no boundary .* --radius"),
        ({"model": f"{NAME}:constant", "images": (0,)}, UsageError, "do not lead off .* or --axes random"),
    ],
)
def test_a_mistake_gives_one_sentence_and_writes_nothing(
    changes: dict[str, Any], kind: type[DimpleError], sentence: str, data: str, tmp_path: Path
) -> None:
    settings = {
        "model": f"{NAME}:linear",
        "weights": "none",
        "data": data,
        "images": (0, 1, 2),
        "null_draws": 1,
        "resolution": 16,
    } | changes
    with pytest.raises(kind, match=sentence):
        experiment.slice_network(SliceConfig(**settings), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_weights_of_another_network_are_refused(data: str, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"1.weight": torch.zeros(4, 13)}, str(tmp_path / "other.safetensors"))
    config = SliceConfig(model=f"{NAME}:linear", data=data, weights=str(tmp_path / "other.safetensors"))
    with pytest.raises(ModelError, match=r"other\.safetensors"):
        experiment.slice_network(config, tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_slices_are_not_compared(series: Run, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a slice, which has a page of its own"):
        experiment.compare([series.path, series.path], tmp_path / "both.html")


def test_the_band_of_misclassified_images_is_one_of_lengths() -> None:
    arrays = {"class_fraction": np.array([0.5, 0.5]), "class_pair_sizes": np.array([1.0])}
    signed = np.array([-1.0, -1.0, 1.0])
    samples = {f"margin_in_slice{end}": signed * size for end, size in (("", 3.0), ("_null", 2.0))}
    samples |= {"margin_in_slice_null_low": np.array([-2.5, -2.5, 1.5]), "margin_unbounded": signed}
    samples |= {"margin_in_slice_null_high": np.array([-1.5, -1.5, 2.5])}
    row = build_metrics([SliceMeasurement(0, arrays, [arrays], samples)], ())
    suffixes = ("", "_null", "_null_low", "_null_high")
    assert [float(row[f"margin_in_slice{end}"][0]) for end in suffixes] == [3, 2, 1.5, 2.5]

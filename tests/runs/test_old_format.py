"""Runs of version 0.1 (format 1): they open with the present names, and their files are not changed."""

import hashlib
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from safetensors.numpy import save_file

from dimple.errors import RunError
from dimple.experiment import ProbeConfig, export_run, probe, report
from dimple.manifolds import Embedding, Flat
from dimple.runs import RunFolder
from dimple.runs.atomic_io import write_json, write_table
from dimple.scene import load_run_scene
from dimple.views.content.from_run import frames_from_run

WARNING = r"was written by dimple 0\.1"
SCENE = """
name: line
seed: 3
manifold:
  kind: lift
  of: {kind: flat, low: [-0.5], high: [0.5], offset: []}
  ambient_dim: 4
data:
  sampling: {kind: spread, count: 4}
  labels:
    kind: noisy
    of: {kind: centres, count: 4}
    flip: 0.0
  probe_points: 7
network: {widths: [8], input_scale: 2.0, offset: 1.5}
probes:
- {kind: margin, budget: 12.0, starts: 2, rival: any}
- {kind: onoff, draws: 2, budget: 15.0}
- {kind: offset, cells: 32, draws: 2}
- {kind: certified, hidden: carried}
levelset: {kind: grid, cells: 16}
"""
CONFIG = """
model: digits_convnet
data: digits
state_key: null
split: test
probes: [margin, onoff]
budget: 9.0
bands: pca
samples: 3
neighbours: 20
dim: 4
draws: 2
contents: {test images: 0a1b}
"""
# The old name of each column, its present name, its old unit and its values.
METRICS: list[tuple[str, str, str, list[float]]] = [
    ("step", "step", "updates", [0, 5]),
    ("loss", "loss", "nats", [0.7, 0.4]),
    ("train_accuracy", "train_accuracy", "share", [0.5, 1.0]),
    ("train_accuracy_null", "train_majority_accuracy", "share", [0.5, 0.5]),
    ("test_accuracy", "test_accuracy", "share", [0.5, 0.75]),
    ("test_accuracy_null", "test_majority_accuracy", "share", [0.5, 0.5]),
    ("boundary_distance", "boundary_distance", "l2, input units", [0.4, 0.2]),
    ("boundary_distance_null", "boundary_distance_null", "l2, input units", [0.3, 0.3]),
    ("boundary_distance_null_low", "boundary_distance_null_low", "l2, input units", [0.2, 0.2]),
    ("boundary_distance_null_high", "boundary_distance_null_high", "l2, input units", [0.5, 0.5]),
    ("boundary_limit", "search_limit", "l2, input units", [1.0, 1.0]),
    ("boundary_found", "boundary_distance_found", "share", [0.5, 1.0]),
    ("off_share", "gradient_off_manifold_fraction", "share", [0.6, 0.8]),
    ("off_share_null", "gradient_off_manifold_fraction_null", "share", [0.75, 0.75]),
    ("off_share_error", "gradient_off_manifold_fraction_stderr", "share", [0.02, 0.01]),
    ("dimple_depth", "dimple_depth", "l2, input units", [0.1, 0.2]),
    ("dimple_found", "dimple_depth_found", "share", [0.5, 1.0]),
    ("margin", "margin", "l2, input units", [-0.1, 0.2]),
    ("margin_null", "margin_test", "l2, input units", [0.1, 0.1]),
    ("margin_found", "margin_found", "share", [1.0, 1.0]),
    ("margin_on", "margin_on", "l2, input units", [0.3, 0.4]),
    ("margin_on_null", "margin_on_null", "l2, input units", [0.3, 0.3]),
    ("on_ratio", "margin_on_ratio", "ratio to the free margin", [3.0, 2.0]),
    ("on_ratio_null", "margin_on_ratio_null", "ratio to the free margin", [1.0, 1.1]),
    ("on_ratio_null_low", "margin_on_ratio_null_low", "ratio to the free margin", [0.9, 0.9]),
    ("on_ratio_null_high", "margin_on_ratio_null_high", "ratio to the free margin", [1.2, 1.2]),
    ("on_ratio_closed", "margin_on_ratio_analytic", "ratio to the free margin", [2.0, 2.0]),
    ("margin_section", "margin_in_slice", "l2, input units", [0.1, 0.2]),
    ("margin_section_null", "margin_in_slice_null", "l2, input units", [0.2, 0.3]),
    ("section_share", "gradient_slice_fraction", "share", [0.4, 0.9]),
    ("section_share_null", "gradient_slice_fraction_null", "share", [0.3, 0.3]),
]
POINTS: list[tuple[str, str, str]] = [
    ("step", "step", "updates"),
    ("split", "split", "train, test or probe"),
    ("index", "index", "row of the split"),
    ("label", "label", "class, -1 for none"),
    ("prediction", "prediction", "class"),
    ("correct", "correct", "yes or no"),
    ("gap", "logit_margin", "score"),
    ("margin", "margin", "l2, input units"),
    ("rival", "adversarial_class", "class"),
    ("margin_reached", "margin_unrefined", "l2, input units"),
    ("margin_residual", "stationarity_angle", "degrees"),
    ("margin_masked", "margin_multiple_minima", "yes or no"),
    ("margin_any", "margin_unbounded", "l2, input units"),
    ("on_share", "perturbation_on_manifold_fraction", "share"),
    ("gradient_off_share", "gradient_off_manifold_fraction", "share"),
    ("tangent_validity", "tangent_plane_distance_ratio", "ratio to the free margin"),
]
NEW_UNITS = {
    "ratio to the free margin": "x free margin",
    "share": "fraction",
    "train, test or probe": "train, test or heldout",
}
SPLITS = ["train"] * 4 + ["test"] * 2 + ["probe"] * 2


def point_values(name: str) -> NDArray[Any]:
    """Two steps of eight points."""
    match name:
        case "step":
            return np.repeat([0, 5], 8)
        case "split":
            return np.array(SPLITS * 2)
        case "index":
            return np.array([0, 1, 2, 3, 0, 1, 0, 1] * 2)
        case "label" | "prediction" | "rival":
            return np.array([0, 1] * 8)
        case "correct" | "margin_masked":
            return np.array([True, False] * 8)
        case _:
            return np.linspace(0.1, 0.9, 16)


def write_old_simulation(path: Path) -> Path:
    """A simulation in a slice of R^4, as version 0.1 wrote it."""
    (path / "snapshots").mkdir(parents=True)
    (path / "scene.yaml").write_text(SCENE)
    final = {old: values[-1] for old, _, _, values in METRICS if old != "step"}
    info = {
        "format": 1,
        "name": "line",
        "seed": 3,
        "device": "cpu (1 thread)",
        "versions": {"dimple": "0.1.0"},
        "status": "complete",
        "seconds": {"train": 0.1, "measure": 0.2},
        "summary": {
            "steps": 5,
            "snapshots": 2,
            "cling_step": None,
            "dimple_step": None,
            "distance_fall": 2.0,
            "verdict": "undecided",
            "verdict_reason": "too short",
            "on_ratio_verdict": "above",
            "final": final,
        },
        "section": {"words": "section of R^4: the line that holds the manifold", "dim": 2},
        "passes": {"margin": {"samples": 8, "forwards": 100, "backwards": 90}},
    }
    write_json(path / "run.json", info)
    for step in (0, 5):
        # The two classes are the sides of the first coordinate.
        weights = {
            "0.weight": np.tile(np.array([[1.0, 0.1, 0.0, 0.0], [-1.0, 0.1, 0.0, 0.0]], np.float32), (4, 1)),
            "0.bias": np.zeros(8, np.float32),
            "2.weight": np.stack([np.tile([-1.0, 1.0], 4), np.tile([1.0, -1.0], 4)]).astype(np.float32),
            "2.bias": np.zeros(2, np.float32),
        }
        save_file(weights, path / "snapshots" / f"{step:08d}.safetensors", {"step": str(step), "loss": "0.5"})
    columns = {old: np.array(values) for old, _, _, values in METRICS}
    write_table(path / "metrics.parquet", columns, {old: unit for old, _, unit, _ in METRICS})
    points = {old: point_values(old) for old, _, _ in POINTS}
    write_table(path / "points.parquet", points, {old: unit for old, _, unit in POINTS})
    segment = np.array([[0.0, -0.4], [0.0, 0.4]], np.float32)
    save_file(
        {
            "train": np.eye(4),
            "drawn": np.array([[-0.5, 0.0], [-0.2, 0.0], [0.2, 0.0], [0.5, 0.0]]),
            "labels": np.array([0, 1, 0, 1]),
            "low": np.array([-0.8, -0.4]),
            "high": np.array([0.8, 0.4]),
            "origin": np.zeros(4),
            "axes": np.eye(4)[:, :2].copy(),
            "manifold/vertices": np.array([[-0.5, 0.0], [0.5, 0.0]], np.float32),
            "manifold/faces": np.array([[0, 1]], np.int32),
            **{f"boundary/{step}/vertices": segment for step in (0, 5)},
            **{f"boundary/{step}/faces": np.array([[0, 1]], np.int32) for step in (0, 5)},
        },
        path / "geometry.safetensors",
    )
    return path


def write_old_measurement(path: Path) -> Path:
    """A measurement on images, as version 0.1 wrote it."""
    path.mkdir()
    (path / "scene.yaml").write_text(CONFIG)
    rows = [{"step": 0, "split": "test", "accuracy": 1.0, "accuracy_null": 0.2, "margin": 0.5, "margin_wrong": None}]
    units = {"accuracy": "share", "accuracy_null": "share", "on_ratio_change": "relative, at 4x the budget"}
    info = {
        "format": 1,
        "name": "digits_convnet",
        "classes": ["share", "section"],
        "seed": 0,
        "status": "complete",
        "seconds": {"probe": 0.1},
        "units": units,
        "summary": {"rows": rows, "units": units},
    }
    write_json(path / "run.json", info)
    columns = {name: np.array([0]) for name in ("step", "label", "prediction")} | {"margin_masked": np.array([True])}
    write_table(path / "measurements.parquet", columns, {"margin_masked": "share"})
    quantiles = {"figure": np.array(["gap", "on_ratio"]), "unit": np.array(["score", "ratio to the free margin"])}
    write_table(path / "quantiles.parquet", quantiles, {})
    save_file({"test/image": np.ones((1, 1, 2, 2), np.float32)}, path / "pictures.safetensors")
    return path


def read_files(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture(scope="module")
def simulation_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_old_simulation(tmp_path_factory.mktemp("old") / "run")


@pytest.fixture
def simulation(simulation_path: Path) -> Iterator[RunFolder]:
    """The run, of which no test may change a file."""
    before = read_files(simulation_path)
    with pytest.warns(UserWarning, match=WARNING):
        run = RunFolder.open(simulation_path)
    yield run
    assert read_files(simulation_path) == before


@pytest.fixture
def measurement(tmp_path: Path) -> RunFolder:
    with pytest.warns(UserWarning, match=WARNING):
        return RunFolder.open(write_old_measurement(tmp_path / "old"))


def test_metrics_have_the_present_names_and_units(simulation: RunFolder) -> None:
    metrics = simulation.columns("metrics")
    units = simulation.units("metrics")
    assert list(metrics) == list(units) == [new for _, new, _, _ in METRICS]
    for _, new, unit, values in METRICS:
        assert metrics[new].tolist() == values
        assert units[new] == NEW_UNITS.get(unit, unit)


def test_points_have_the_present_names_and_splits(simulation: RunFolder) -> None:
    points, units = simulation.read_table("points")
    assert list(points) == list(units) == [new for _, new, _ in POINTS]
    assert points["split"].tolist() == [split.replace("probe", "heldout") for split in SPLITS * 2]
    for old, new, unit in POINTS:
        assert units[new] == NEW_UNITS.get(unit, unit)
        if old != "split":
            assert points[new].tolist() == point_values(old).tolist()


def test_the_summary_has_the_present_names(simulation: RunFolder) -> None:
    summary = simulation.info["summary"]
    assert summary["final"] == {new: values[-1] for _, new, _, values in METRICS if new != "step"}
    assert summary["margin_on_ratio_verdict"] == "above"
    assert simulation.info["slice"]["dim"] == 2
    assert simulation.info["slice"]["description"].startswith("section of R^4")
    assert simulation.info["passes"] == {"margin": {"samples": 8, "forwards": 100, "backwards": 90}}


def test_the_geometry_has_the_present_names(simulation: RunFolder) -> None:
    assert "drawn" not in simulation.geometry()
    assert simulation.display_points.shape == (4, 2)
    assert simulation.affine_slice is not None and simulation.affine_slice.dim == 2
    assert [len(mesh.faces) for mesh in simulation.meshes()] == [1, 1]


def test_the_settings_are_the_scene_with_the_present_names(simulation: RunFolder) -> None:
    scene = load_run_scene(simulation)
    assert scene.manifold == Embedding(Flat(low=(-0.5,), high=(0.5,), offset=()), ambient_dim=4)
    assert yaml.safe_load(simulation.settings_text)["data"] == {
        "sampling": {"kind": "farthest_point", "count": 4},
        "labels": {"kind": "noisy", "base": {"kind": "voronoi", "count": 4}, "flip": 0.0},
        "heldout_points": 7,
    }
    assert (scene.network.first_layer_weight_scale, scene.network.initial_logit_bias) == (2.0, 1.5)
    margin, on_off, offset, certified = (vars(probe) for probe in scene.probes)
    assert (margin["max_passes"], margin["restarts"], margin["adversarial_class"]) == (12.0, 2, "any")
    assert (on_off["null_draws"], on_off["max_passes"]) == (2, 15.0)
    assert (offset["null_draws"], offset["resolution"]) == (2, 32)
    assert certified["method"] == "crown"
    assert vars(scene.levelset)["resolution"] == 16


def test_views_report_and_page_open_the_run(simulation: RunFolder, tmp_path: Path) -> None:
    frames = frames_from_run(simulation)
    assert [frame.step for frame in frames] == [0, 5]
    assert frames[1].drawing.points.predictions is not None
    assert frames[1].drawing.points.predictions.tolist() == [0, 1, 0, 1]
    with pytest.warns(UserWarning, match=WARNING):
        report(simulation.path, tmp_path / "report.html")
    with pytest.warns(UserWarning, match=WARNING):
        export_run(simulation.path, [tmp_path / "page.html"])
    text = (tmp_path / "report.html").read_text()
    assert "max_passes: 12.0" in text and "budget" not in text
    assert (tmp_path / "page.html").stat().st_size > 10_000


def test_the_run_can_be_measured(simulation: RunFolder, tmp_path: Path) -> None:
    config = ProbeConfig(run=str(simulation.path), probes=("margin",), samples=2)
    with pytest.warns(UserWarning, match=WARNING):
        measured = probe(config, tmp_path / "measurement")
    assert measured.info["format"] == 2
    assert np.isfinite(measured.read_table("measurements")[0]["margin"]).all()
    # The check sum is that of the file, as in a measurement of version 0.1.
    checksum = hashlib.sha256((simulation.path / "scene.yaml").read_bytes()).hexdigest()
    assert yaml.safe_load(measured.settings_text)["checksums"]["scene.yaml"] == checksum


def test_the_warning_is_shown_once_for_a_run(simulation_path: Path) -> None:
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("default")
        for _ in range(3):
            RunFolder.open(simulation_path)
    (warning,) = shown
    assert str(warning.message) == (
        f"{simulation_path}: was written by dimple 0.1; its columns and keys are read with their present names "
        "(docs/migration.md lists them)"
    )


def test_a_measurement_has_the_present_names(measurement: RunFolder) -> None:
    assert measurement.settings_path.name == "scene.yaml"
    assert yaml.safe_load(measurement.settings_text) == {
        "model": "digits_convnet",
        "data": "digits",
        "state_dict_key": None,
        "split": "test",
        "probes": ["margin", "onoff"],
        "max_passes": 9.0,
        "subspaces": "pca",
        "samples": 3,
        "neighbors": 20,
        "dim": 4,
        "null_draws": 2,
        "checksums": {"test images": "0a1b"},
    }
    assert measurement.has_images and measurement.images()["test/image"].shape == (1, 1, 2, 2)
    columns, units = measurement.read_table("measurements")
    assert columns["margin_multiple_minima"].tolist() == [True]
    assert units["margin_multiple_minima"] == "fraction"
    quantiles, _ = measurement.read_table("quantiles")
    assert quantiles["statistic"].tolist() == ["logit_margin", "margin_on_ratio"]
    assert quantiles["unit"].tolist() == ["score", "x free margin"]
    (row,) = measurement.info["summary"]["rows"]
    assert row["majority_accuracy"] == 0.2 and "margin_misclassified" in row
    assert measurement.info["units"]["margin_on_ratio_change"] == "relative, at 4x the passes"
    # Names of classes are data and stay, even if they are old names.
    assert measurement.info["classes"] == ["share", "section"]


def test_a_new_run_has_its_own_settings_file_and_no_warning(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = RunFolder.create(tmp_path / "run", {"name": "a"}, "draws: 1\n", settings_file="config.yaml")
        run = RunFolder.open(run.path)
    assert run.settings_path.name == "config.yaml"
    assert run.settings_text == "draws: 1\n"
    assert run.info["format"] == 2
    assert not run.has_images
    run.write_images({"test/image": np.ones(1)})
    assert run.has_images and (run.path / "images.safetensors").is_file()


def test_an_unfinished_old_run_is_not_continued(tmp_path: Path) -> None:
    path = write_old_simulation(tmp_path / "run")
    info = json.loads((path / "run.json").read_text())
    write_json(path / "run.json", info | {"status": "running"})
    with pytest.warns(UserWarning, match=WARNING), pytest.raises(RunError, match=r"unfinished run of dimple 0\.1"):
        RunFolder.create(path, {"name": "line"}, SCENE)
    with pytest.warns(UserWarning, match=WARNING):
        run = RunFolder.create(path, {"name": "line"}, SCENE, force=True)
    assert run.info["format"] == 2 and not (path / "geometry.safetensors").exists()


@pytest.mark.parametrize(
    "text", ["a: &a [x]\nb: *a", "- 1", "manifold: [", "[" * 5000, "manifold: {? [a] : b}"], ids=range(5)
)
def test_invalid_settings_of_an_old_run_are_refused(tmp_path: Path, text: str) -> None:
    path = write_old_measurement(tmp_path / "run")
    (path / "scene.yaml").write_text(text)
    with pytest.warns(UserWarning, match=WARNING):
        run = RunFolder.open(path)
    with pytest.raises(RunError, match=r"scene\.yaml: is not readable"):
        _ = run.settings_text

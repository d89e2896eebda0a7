"""A run as a user reads it: tables, scene, networks, meshes, and its page in a notebook."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import dimple
from dimple import Run, load_scene, measure, simulate
from dimple.errors import RunError
from dimple.runs import run as storage

SHORT = [
    "training.steps=20",
    "snapshots.count=2",
    "levelset={kind: adaptive, resolution: 16}",
    "data.test_points=20",
    "probes=[]",
]


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return simulate(load_scene("circle_in_2d", SHORT), tmp_path_factory.mktemp("runs") / "circle", film=False)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("runs") / "measured"
    found = measure(torch.nn.Linear(2, 2).eval(), torch.rand(5, 2), None, bounds=(0, 1), out=folder)
    assert found.run is not None
    return found.run


def test_tables_are_data_frames_with_units_and_meanings(simulated: Run) -> None:
    metrics = simulated.metrics
    assert metrics["step"].tolist() == simulated.steps
    assert metrics.attrs["units"]["loss"] == "nats"
    assert "mean loss" in metrics.attrs["meanings"]["loss"]
    assert set(simulated.points["split"]) == {"train", "test", "heldout"}
    assert len(simulated.points) == len(simulated.columns("points")["step"])


def test_a_change_of_a_data_frame_leaves_the_run_as_it_is(simulated: Run) -> None:
    frame = simulated.metrics.copy()
    frame["loss"] = 0.0
    assert (simulated.columns("metrics")["loss"] > 0).all()
    with pytest.raises(ValueError, match="read-only"):
        simulated.columns("metrics")["loss"][0] = 1.0


def test_each_file_is_read_once(simulated: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run.open(simulated.path)
    read: list[str] = []
    original = storage.load_arrays
    monkeypatch.setattr(storage, "load_arrays", lambda content: read.append("arrays") or original(content))
    _ = run.manifold_mesh, run.display_points, run.display_bounds, run.affine_slice, run.meshes(), run.training_points
    assert read == ["arrays"]


def test_the_scene_the_networks_and_the_meshes_are_those_of_the_run(simulated: Run) -> None:
    assert simulated.scene == load_scene("circle_in_2d", SHORT)
    network = simulated.network(20)
    x = torch.from_numpy(simulated.training_points["train"])
    labels = torch.from_numpy(simulated.training_points["labels"])
    accuracy = float((network(x.double()).argmax(1) == labels).double().mean())
    assert accuracy == pytest.approx(simulated.metrics["train_accuracy"].iloc[-1])
    mesh = simulated.mesh(20)
    scores = network(torch.from_numpy(mesh.vertices))
    assert np.allclose(scores[:, 0].numpy(), scores[:, 1].numpy(), atol=1e-3)


def test_what_a_run_does_not_hold_is_said(simulated: Run, measured: Run) -> None:
    assert (simulated.kind, measured.kind) == ("simulation", "measurement")
    with pytest.raises(
        RunError, match=r"metrics.parquet: is missing; the tables of this measurement are: measurements"
    ):
        _ = measured.metrics
    with pytest.raises(RunError, match="is a measurement and has no scene"):
        _ = measured.scene
    with pytest.raises(RunError, match="is a measurement, which keeps no networks"):
        measured.network(0)
    with pytest.raises(RunError, match=r"has no snapshot of step 7; choose from \[0, 20\]"):
        simulated.network(7)
    with pytest.raises(RunError, match="has no snapshot of step 7"):
        simulated.mesh(7)
    assert len(measured.measurements) == 5


def test_a_notebook_shows_a_table_and_the_page(simulated: Run, measured: Run) -> None:
    for run in (simulated, measured):
        table = run._repr_html_()
        assert "<table>" in table and "<script" not in table
        page = run.show()
        assert page._repr_html_().startswith("<iframe srcdoc=")
        assert repr(page).endswith("report.html: open it in a browser>")
    assert repr(simulated) == f"<Run: simulation circle_in_2d, complete, in {simulated.path}>"


def test_a_packed_run_opens_like_its_folder(simulated: Run, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        packed = Run.open(simulated.pack(tmp_path / "circle.dimple"))
    assert packed.metrics.equals(simulated.metrics)


def test_every_public_name_is_listed_and_explained() -> None:
    assert sorted(dimple.__all__) == sorted(dimple._HOMES)
    for name in dimple.__all__:
        assert getattr(dimple, name).__doc__, name
        assert f"`{name}`" in (dimple.__doc__ or ""), name

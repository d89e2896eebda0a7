"""The whole chain on shortened scenes: what it leaves, that it repeats itself, that it goes on after an interrupt."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from dimple.errors import DivergedError, SceneError
from dimple.experiment import simulate
from dimple.experiment.simulation.simulate_scene import Simulation
from dimple.runs import Run
from dimple.scene import load_scene, shipped_scenes
from dimple.workers import Workers

SHORT = [
    "training.steps=12",
    "snapshots.count=4",
    "data.test_points=20",
    "data.probe_points=20",
    "probes=[{kind: margin, starts: 4}, {kind: onoff, draws: 3}, {kind: offset, limit: 0.5, draws: 2}]",
]


def metrics(run: Run) -> dict[str, list[float]]:
    return {name: values.tolist() for name, values in run.metrics().items()}


def test_labels_of_more_classes_than_the_network_has_scores_are_refused_before_anything_is_written(
    tmp_path: Path,
) -> None:
    scene = load_scene("circle_in_2d", [*SHORT, "data.labels={kind: waves, shares: [0.3, 0.3, 0.4]}"])
    with pytest.raises(SceneError, match=r"data.labels gives 3 classes .* two"):
        simulate(scene, tmp_path / "run", device="cpu", film=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", sorted(shipped_scenes()))
def test_every_shipped_scene_simulates(name: str, tmp_path: Path) -> None:
    scene = load_scene(name, [*SHORT, "snapshots.count=2"])
    run = simulate(scene, tmp_path / "run", device="cpu", film=False)
    assert run.info["status"] == "complete"
    assert set(run.info["seconds"]) == {"train", "measure", "report"}
    table = run.metrics()
    assert table["step"].tolist() == run.steps and run.steps[0] == 0 and run.steps[-1] == 12
    for column in ("boundary_distance", "margin", "margin_on", "margin_off", "dimple_depth", "off_share"):
        assert f"{column}_null" in table, column
        assert run.units()[column]
    count = len(run.positions["train"])
    assert len(run.points()["step"]) == len(run.steps) * (count + min(count, 20) + 20)
    assert (tmp_path / "run" / "report.html").stat().st_size > 1000
    assert not list(tmp_path.rglob(".dimple-tmp-*"))


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(tmp_path: Path) -> None:
    scene = load_scene("sphere_in_3d", SHORT)
    first, second = (simulate(scene, tmp_path / name, device="cpu", film=False) for name in ("a", "b"))
    assert repr(metrics(first)) == repr(metrics(second))
    other = simulate(dataclasses.replace(scene, seed=1), tmp_path / "c", device="cpu", film=False)
    assert repr(metrics(first)) != repr(metrics(other))


def test_two_processes_give_the_same_bits_as_one(tmp_path: Path) -> None:
    scene = load_scene("line_in_2d", SHORT)
    done = []
    for jobs in (1, 2):
        with Workers(jobs) as workers:
            done.append(simulate(scene, tmp_path / str(jobs), device="cpu", film=False, workers=workers))
    runs = [run.path for run in done]
    one, two = (run.info["passes"] for run in done)
    assert one == two and list(one) == ["margin", "onoff", "offset"]
    count = len(done[0].positions["train"])
    # The margin is asked of training and test points, the split of the former, the offset of probe points too.
    asked = [2 * count, count, count + 20]
    assert [cost["samples"] for cost in one.values()] == [len(done[0].steps) * samples for samples in asked]
    assert all(cost["forwards"] > cost["samples"] for cost in one.values())
    for file in ("metrics.parquet", "points.parquet", "geometry.safetensors", "boundary.pvd"):
        assert len({(run / file).read_bytes() for run in runs}) == 1, file


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = load_scene("line_in_2d", SHORT)
    whole = simulate(scene, tmp_path / "whole", device="cpu", film=False)

    def interrupt(self: Simulation) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Simulation, "report", interrupt)
        with pytest.raises(KeyboardInterrupt):
            simulate(scene, tmp_path / "run", device="cpu", film=False)
    assert Run.open(tmp_path / "run").info["status"] == "interrupted"
    before = (tmp_path / "run" / "metrics.parquet").stat().st_mtime_ns
    (tmp_path / "run" / ".dimple-tmp-torn.parquet").touch()
    run = simulate(scene, tmp_path / "run", device="cpu", film=False)
    assert run.info["status"] == "complete"
    assert (tmp_path / "run" / "metrics.parquet").stat().st_mtime_ns == before
    assert not list(tmp_path.rglob(".dimple-tmp-*"))
    assert repr(metrics(run)) == repr(metrics(whole))


def test_a_diverged_run_keeps_what_it_had(tmp_path: Path) -> None:
    scene = load_scene("line_in_2d", [*SHORT, "training.lr=1.0e+30", "network.activation=relu"])
    with pytest.raises(DivergedError):
        simulate(scene, tmp_path / "run", device="cpu", film=False)
    run = Run.open(tmp_path / "run")
    assert run.info["status"] == "diverged" and run.steps[0] == 0


def test_the_boundary_mesh_lies_on_the_boundary(tmp_path: Path) -> None:
    scene = load_scene("plane_in_3d", [*SHORT, "levelset.cells=24"])
    run = simulate(scene, tmp_path / "run", device="cpu", film=False)
    network = scene.network.build(3, torch.Generator())
    state, _ = run.read_snapshot(run.steps[-1])
    network.load_state_dict(state)
    mesh = run.meshes()[-1]
    assert len(mesh.faces)
    with torch.no_grad():
        scores = network(torch.tensor(mesh.vertices, dtype=torch.float32))
        spread = network(torch.tensor(mesh.vertices, dtype=torch.float32) + torch.tensor([0.0, 0.0, 0.1]))
    gap = (scores[:, 1] - scores[:, 0]).abs().numpy()
    change = (spread[:, 1] - spread[:, 0]).abs().numpy()
    assert np.median(gap) < 0.05 * np.median(change)

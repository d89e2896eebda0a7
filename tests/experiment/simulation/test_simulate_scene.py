"""Tests of the verb `simulate` on shortened scenes: files, reproducibility, and continuation after an interrupt."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from dimple.errors import DivergedError
from dimple.experiment import simulate
from dimple.experiment.run import Run
from dimple.experiment.simulation.simulate_scene import Simulation
from dimple.scene import load_scene
from dimple.stats.aggregate import comparison_column
from dimple.training import loop
from dimple.training.overfitting import OverfittingCheck
from dimple.workers import Workers
from tests.built_in_scenes import MANIFOLD_SCENES

SHORT = [
    "training.steps=12",
    "snapshots.count=4",
    "data.test_points=20",
    "data.heldout_points=20",
    "probes=[{kind: margin, restarts: 4}, {kind: onoff, null_draws: 3}, {kind: offset, limit: 0.5, null_draws: 2}]",
]


def metrics(run: Run) -> dict[str, list[float]]:
    return {name: values.tolist() for name, values in run.columns("metrics").items()}


def test_three_classes_are_trained_measured_and_drawn_in_a_slice(tmp_path: Path) -> None:
    changes = [*SHORT, "data.labels={kind: waves, fractions: [0.3, 0.3, 0.4]}", "slice={images: [0], resolution: 32}"]
    run = simulate(load_scene("circle_in_2d", changes), tmp_path / "run", device="cpu")
    assert run.class_names == ("0", "1", "2")
    assert run.network(0)(torch.zeros(1, 2, dtype=torch.float64)).shape == (1, 3)
    assert set(run.points["label"]) == {-1, 0, 1, 2}
    assert run.meshes() == [] or all(len(mesh.faces) == 0 for mesh in run.meshes())
    assert (run.path / "slice" / "film.mp4").is_file()


@pytest.mark.parametrize("name", MANIFOLD_SCENES)
def test_every_shipped_scene_simulates(name: str, tmp_path: Path) -> None:
    scene = load_scene(name, [*SHORT, "snapshots.count=2"])
    run = simulate(scene, tmp_path / "run", device="cpu", film=False)
    assert run.info["status"] == "complete"
    assert set(run.info["seconds"]) == {"train", "measure", "report"}
    table = run.columns("metrics")
    assert table["step"].tolist() == run.steps and run.steps[0] == 0 and run.steps[-1] == 12
    for column in (
        "boundary_distance",
        "margin",
        "margin_on",
        "margin_off",
        "dimple_depth",
        "gradient_off_manifold_fraction",
    ):
        assert comparison_column(column) in table, column
        assert run.units("metrics")[column]
    count = len(run.training_points["train"])
    assert len(run.columns("points")["step"]) == len(run.steps) * (count + min(count, 20) + 20)
    assert (tmp_path / "run" / "report.html").stat().st_size > 1000
    assert not list(tmp_path.rglob(".dimple-tmp-*"))


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(tmp_path: Path) -> None:
    scene = load_scene("sphere_in_3d", SHORT)
    first, second = (simulate(scene, tmp_path / name, device="cpu", film=False) for name in ("a", "b"))
    assert repr(metrics(first)) == repr(metrics(second))
    other = simulate(dataclasses.replace(scene, seed=1), tmp_path / "c", device="cpu", film=False)
    assert repr(metrics(first)) != repr(metrics(other))


def test_a_warning_of_the_training_is_shown_and_kept_in_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OverfittingCheck, "warning", lambda _, __, step: "robustness is lost" if step > 3 else None)
    objective = "training.objective={kind: adversarial, steps: 1}"
    scene = load_scene("line_in_2d", [*SHORT, objective])
    with pytest.warns(UserWarning, match="robustness is lost"):
        simulate(scene, tmp_path / "run", device="cpu", film=False)
    assert Run.open(tmp_path / "run").info["warnings"] == ["robustness is lost"]
    assert "<strong>Warning:</strong> robustness is lost" in (tmp_path / "run" / "report.html").read_text()


def test_two_processes_give_the_same_bits_as_one(tmp_path: Path) -> None:
    scene = load_scene("line_in_2d", SHORT)
    runs = []
    for jobs in (1, 2):
        with Workers(jobs) as workers:
            runs.append(simulate(scene, tmp_path / str(jobs), device="cpu", film=False, workers=workers))
    one, two = (run.info["passes"] for run in runs)
    assert one == two and list(one) == ["margin", "onoff", "offset"]
    count = len(runs[0].training_points["train"])
    # Margins at training and test points, on- and off-manifold margins at training points, offsets at training and
    # held-out points.
    samples_per_step = [2 * count, count, count + 20]
    assert [cost["samples"] for cost in one.values()] == [len(runs[0].steps) * samples for samples in samples_per_step]
    assert all(cost["forwards"] > cost["samples"] for cost in one.values())
    for file in ("metrics.parquet", "points.parquet", "geometry.safetensors", "boundary.pvd"):
        assert len({(run.path / file).read_bytes() for run in runs}) == 1, file


def test_an_interrupted_run_continues_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = load_scene("line_in_2d", SHORT)
    full = simulate(scene, tmp_path / "full", device="cpu", film=False)

    def interrupt(self: Simulation) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Simulation, "report", interrupt)
        with pytest.raises(KeyboardInterrupt):
            simulate(scene, tmp_path / "run", device="cpu", film=False)
    assert Run.open(tmp_path / "run").info["status"] == "interrupted"
    before = (tmp_path / "run" / "metrics.parquet").stat().st_mtime_ns
    (tmp_path / "run" / ".dimple-tmp-partial.parquet").touch()
    run = simulate(scene, tmp_path / "run", device="cpu", film=False)
    assert run.info["status"] == "complete"
    assert (tmp_path / "run" / "metrics.parquet").stat().st_mtime_ns == before
    assert not list(tmp_path.rglob(".dimple-tmp-*"))
    assert repr(metrics(run)) == repr(metrics(full))


@pytest.mark.parametrize(
    "changes",
    [[], ["training.kind=adversarial", "training.objective.restrict=off", "training.batch_size=3"]],
    ids=["standard", "adversarial"],
)
def test_a_training_killed_at_random_moments_continues_to_the_same_bits(
    changes: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = load_scene("line_in_2d", [*SHORT, *changes])
    full = simulate(scene, tmp_path / "full", device="cpu", film=False)
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_STATES", 0.0)
    write_cache = Run.write_cache
    stream = torch.Generator().manual_seed(0)
    writes_left = 0

    def write_or_end(self: Run, name: str, arrays: dict[str, np.ndarray]) -> None:
        nonlocal writes_left
        writes_left -= 1
        if writes_left < 0:
            raise SystemExit
        write_cache(self, name, arrays)

    monkeypatch.setattr(Run, "write_cache", write_or_end)
    kills = 0
    while True:
        writes_left = int(torch.randint(1, 5, (), generator=stream))
        try:
            run = simulate(scene, tmp_path / "run", device="cpu", film=False)
            break
        except SystemExit:
            kills += 1
    assert kills >= 2 and not (run.path / "cache").exists()
    assert repr(metrics(run)) == repr(metrics(full))
    assert (run.path / "points.parquet").read_bytes() == (full.path / "points.parquet").read_bytes()


def test_a_diverged_run_keeps_its_snapshots(tmp_path: Path) -> None:
    scene = load_scene("line_in_2d", [*SHORT, "training.lr=1.0e+30", "network.activation=relu"])
    with pytest.raises(DivergedError):
        simulate(scene, tmp_path / "run", device="cpu", film=False)
    run = Run.open(tmp_path / "run")
    assert run.info["status"] == "diverged" and run.steps[0] == 0


def test_the_boundary_mesh_lies_on_the_boundary(tmp_path: Path) -> None:
    scene = load_scene("plane_in_3d", [*SHORT, "levelset.resolution=24"])
    run = simulate(scene, tmp_path / "run", device="cpu", film=False)
    network = scene.network.build(3, torch.Generator())
    state, _ = run.read_snapshot(run.steps[-1])
    network.load_state_dict(state)
    mesh = run.meshes()[-1]
    assert len(mesh.faces)
    with torch.no_grad():
        scores = network(torch.tensor(mesh.vertices, dtype=torch.float32))
        moved_scores = network(torch.tensor(mesh.vertices, dtype=torch.float32) + torch.tensor([0.0, 0.0, 0.1]))
    logit_margin = (scores[:, 1] - scores[:, 0]).abs().numpy()
    moved_logit_margin = (moved_scores[:, 1] - moved_scores[:, 0]).abs().numpy()
    assert np.median(logit_margin) < 0.05 * np.median(moved_logit_margin)


def test_a_loss_that_rose_is_reported_as_diverged_with_its_step(tmp_path: Path) -> None:
    changes = ["training.lr=1000", "training.steps=40", "snapshots.count=4", "levelset={kind: none}", "replicas=2"]
    run = simulate(load_scene("line_in_2d", changes), tmp_path / "run", film=False)
    summary = run.info["summary"]
    assert summary["verdict"] == "diverged"
    assert summary["verdict_reason"].endswith("is above its start from step 1 on; lower training.lr")
    assert run.info["replicas"]["verdicts"]["diverged"] == 2
    slow = simulate(load_scene("line_in_2d", [*changes, "training.lr=1e-6"]), tmp_path / "slow", film=False)
    assert slow.info["summary"]["verdict"] == "undecided"
    assert "diverged" not in slow.info["replicas"]["verdicts"]

"""Scenes with known pictures: a spherical boundary around a spherical manifold, and a wall across a segment."""

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from dimple.boundary import Boundary
from dimple.levelsets import Dense, Mesh
from dimple.runs import RunFolder
from dimple.runs.mesh_arrays import mesh_to_arrays
from dimple.views.content.cross_section import build_cross_section
from dimple.views.content.frame import (
    Chart,
    ChartCurve,
    CrossSectionPlane,
    Drawing,
    Fact,
    Frame,
    MeshLayer,
    Perturbations,
    PointSet,
    Timeline,
)
from dimple.views.content.manifold_depth import ManifoldProximity
from dimple.views.window.animation import RunView

RADIUS = 0.3
STEPS = (0, 1, 10, 100)
# The boundary's radius at each step: no boundary, far outside, close outside, slightly inside the manifold.
RADII = (None, 0.5, 0.32, 0.28)
LOW = (-0.55,) * 3
HIGH = (0.55,) * 3
FLOOR = CrossSectionPlane(np.zeros(3), np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]))


@functools.cache
def ball_mesh(radius: float | None, inside: int = 1) -> Mesh:
    """Return a sphere as a boundary with class `inside` within it; an empty mesh for the radius None."""
    if radius is None:
        return Mesh(np.zeros((0, 3)), np.zeros((0, 3), dtype=np.int64))
    sign = 1 if inside == 1 else -1
    ball = Boundary(lambda x: torch.stack([torch.zeros(len(x)), sign * (radius - x.norm(dim=1))], dim=1))
    return Dense(resolution=40).extract(ball, 1, LOW, HIGH, torch.device("cpu"))


@functools.cache
def circle_mesh(radius: float = 1.0, resolution: int = 80) -> Mesh:
    """Return a circle in the plane as a boundary with class 1 within it."""
    disc = Boundary(lambda x: torch.stack([torch.zeros(len(x)), radius - x.norm(dim=1)], dim=1))
    return Dense(resolution=resolution).extract(disc, 1, (-2, -2), (2, 2), torch.device("cpu"))


def sphere_points() -> PointSet:
    """Return six points on the axes with alternating classes; only the first is misclassified."""
    axes = np.concatenate([np.eye(3), -np.eye(3)]) * RADIUS
    labels = np.array([0, 1, 0, 1, 0, 1], dtype=np.int64)
    predictions = labels.copy()
    predictions[0] = 1
    return PointSet(axes, labels, predictions)


INTERVALS = (("near the manifold", 10, 100), ("training points right", 100, 100))


def timeline() -> Timeline:
    """Return two charts over the steps with both phases; the first curve has a baseline and a missing value."""
    distance = ChartCurve("distance", np.array([np.nan, 0.2, 0.02, 0.02]), np.array([0.3, 0.3, 0.2, 0.2]))
    fraction = ChartCurve("fraction", np.array([0.2, 0.4, 0.6, 0.8]))
    charts = (Chart("distances", (distance,), "l2"), Chart("fractions", (fraction,), limits=(0.0, 1.0)))
    return Timeline(np.array(STEPS, dtype=np.int64), charts, (("clung", 10), ("dimpled", 100)), INTERVALS)


def space_frames() -> list[Frame]:
    """Return frames in which a spherical boundary closes in on the spherical manifold."""
    manifold = ball_mesh(RADIUS)
    proximity = ManifoldProximity(manifold, 0.02)
    frames = []
    for index, (step, radius) in enumerate(zip(STEPS, RADII, strict=True)):
        boundary = ball_mesh(radius)
        layers = (MeshLayer(manifold, "manifold"), MeshLayer(boundary, "boundary", proximity.compute_depth(boundary)))
        drawing = Drawing(layers, sphere_points(), LOW, HIGH)
        facts = (Fact("train accuracy", "0.833", "0.500"), Fact("loss", "0.1"))
        cross_section = build_cross_section(drawing, FLOOR, 0.02)
        frames.append(Frame("ball", step, index, drawing, facts, timeline(), 0.05, cross_section))
    return frames


class BallEvaluator:
    """Evaluator of the frames of `space_frames`: every shortest perturbation is along the radius."""

    def __init__(self) -> None:
        self.radius = dict(zip(STEPS, RADII, strict=True))

    def perturbations(self, step: int, points: Sequence[int] | None = None) -> Perturbations:
        positions = sphere_points().positions
        radius = self.radius[step]
        positions = positions if points is None else positions[list(points)]
        off = np.full_like(positions, np.nan) if radius is None else positions * (radius / RADIUS - 1)
        return Perturbations(off, 0 * off, off)

    def gradient_norms(self, step: int, points: np.ndarray) -> np.ndarray:
        return np.full(len(points), 1.0 + step)

    def distances(self, points: np.ndarray) -> np.ndarray:
        return np.abs(np.linalg.norm(points, axis=1) - RADIUS)


def ball_statistics() -> dict[str, np.ndarray]:
    """Return a table of points for `space_frames`: the training points in reverse and two test points at each step."""
    count = len(sphere_points().labels)
    train = {"index": np.tile(np.arange(count)[::-1], len(STEPS)), "step": np.repeat(STEPS, count)}
    radii = np.array([np.inf if radius is None else radius for radius in RADII])
    margin = np.repeat(np.abs(radii - RADIUS), count) + 1e-3 * train["index"]
    table = {
        "step": np.concatenate([train["step"], np.repeat(STEPS, 2)]),
        "split": np.array(["train"] * len(margin) + ["test"] * 2 * len(STEPS)),
        "index": np.concatenate([train["index"], np.tile([0, 1], len(STEPS))]),
        "margin": np.concatenate([margin, np.tile([0.1, 0.3], len(STEPS))]),
    }
    for column, value in (
        ("margin_on", 0.5),
        ("margin_on_null", 0.4),
        ("perturbation_on_manifold_fraction_null", 2 / 3),
    ):
        table[column] = np.concatenate([np.full(len(margin), value), np.full(2 * len(STEPS), np.nan)])
    return table


def ball_run_view(folder: Path = Path("runs/ball-0")) -> RunView:
    """Return the frames of `space_frames` as a run to view, with a table of points and an evaluator."""
    metadata = {"Title": folder.name, "Seed": "3", "Settings": f"name: {folder.name}", "Software": "dimple 0"}
    return RunView(space_frames(), folder, ball_statistics(), BallEvaluator(), metadata)


def plane_frames() -> list[Frame]:
    """Return frames of the plane in which a wall moves across a segment with five points."""
    positions = np.array([[x, 0.5] for x in (0.1, 0.3, 0.5, 0.7, 0.9)])
    labels = np.array([0, 0, 0, 1, 1], dtype=np.int64)
    segment = Mesh(np.array([[0.0, 0.5], [1.0, 0.5]]), np.array([[0, 1]]))
    frames = []
    for index, (step, wall_x) in enumerate(zip(STEPS, (0.2, 0.4, 0.6, 0.6), strict=True)):
        # Class 1 lies to the right of the wall, which is the left of a segment that runs downwards.
        wall = Mesh(np.array([[wall_x, 1.0], [wall_x, 0.0]]), np.array([[0, 1]]))
        points = PointSet(positions, labels, (positions[:, 0] > wall_x).astype(np.int64))
        drawing = Drawing((MeshLayer(segment, "manifold"), MeshLayer(wall, "boundary")), points, (0.0, 0.0), (1.0, 1.0))
        frames.append(Frame("wall", step, index, drawing, (Fact("train accuracy", "1.00"),), timeline()))
    return frames


def write_run(folder: Path, name: str = "ball") -> RunFolder:
    """Write a finished run folder with the boundaries of `space_frames`."""
    info = {"name": name, "seed": 3, "device": "cpu (1 threads)", "versions": {"dimple": "0.0", "torch": "2.x"}}
    run = RunFolder.create(folder, info, f"name: {name}\nmanifold: {{kind: sphere}}\n")
    points = sphere_points()
    count = len(points.labels)
    frames = len(STEPS)
    arrays = {"train": points.positions, "labels": points.labels, "low": np.array(LOW), "high": np.array(HIGH)}
    arrays |= mesh_to_arrays(ball_mesh(RADIUS), "manifold")
    for step, radius in zip(STEPS, RADII, strict=True):
        run.write_snapshot(step, {"weight": torch.zeros(1)}, 0.5)
        arrays |= mesh_to_arrays(ball_mesh(radius), f"boundary/{step}")
    run.write_geometry(arrays)
    columns = {
        "step": np.array(STEPS),
        "loss": np.array([0.7, 0.5, 0.1, 0.01]),
        "train_accuracy": np.array([0.5, 0.5, 5 / 6, 5 / 6]),
        "boundary_distance": np.array([0.3, 0.2, 0.02, 0.02]),
        "boundary_distance_null": np.array([0.3, 0.3, 0.2, 0.2]),
        "dimple_depth": np.array([np.inf, 0.2, 0.02, 0.02]),
        "gradient_off_manifold_fraction": np.array([0.3, 0.5, 0.9, 0.9]),
        "gradient_off_manifold_fraction_null": np.full(frames, 1 / 3),
        "margin_on_ratio": np.full(frames, 2.5),
        "margin_on_ratio_low": np.full(frames, 2.0),
        "margin_on_ratio_high": np.full(frames, 3.0),
        "margin_on_ratio_samples": np.full(frames, 20.0),
        "margin_on_ratio_null": np.full(frames, 1.25),
        "margin_on_ratio_null_low": np.full(frames, 1.0),
        "margin_on_ratio_null_high": np.full(frames, 1.5),
        "margin_on_ratio_analytic": np.full(frames, 1.225),
    }
    run.write_table(
        "metrics",
        columns,
        {"boundary_distance": "l2, input units", "gradient_off_manifold_fraction": "fraction", "loss": "nats"},
    )
    rows = {
        "step": np.repeat(STEPS, count),
        "split": np.full(count * frames, "train"),
        "index": np.tile(np.arange(count)[::-1], frames),
        "label": np.tile(points.labels[::-1], frames),
        "prediction": np.tile(points.predictions[::-1], frames),
    }
    run.write_table("points", rows, {})
    run.info["summary"] = {
        "steps": 100,
        "snapshots": frames,
        "cling_step": 10,
        "dimple_step": None,
        "verdict": "undecided",
        "verdict_reason": "training accuracy did not come to stay at 1",
    }
    run.info["seconds"] = {"train": 1.25, "measure": 2.0}
    run.info["passes"] = {"margin": {"samples": 24, "forwards": 1200, "backwards": 800}}
    run.save()
    return run


def write_flat_run(folder: Path) -> RunFolder:
    """Write a run with the metrics of `write_run` and a circle that shrinks in the plane, class 1 within it."""
    run = write_run(folder)
    arrays = {"train": np.eye(6)[:, :2], "labels": np.arange(6) % 2, "low": np.full(2, -2.0), "high": np.full(2, 2.0)}
    for step, radius in zip(STEPS, (1.8, 1.4, 1.0, 0.6), strict=True):
        arrays |= mesh_to_arrays(circle_mesh(radius, 40), f"boundary/{step}")
    run.write_geometry(arrays)
    return run

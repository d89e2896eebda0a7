"""Conversion of a simulated run to frames, timeline and captions."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dimple.columns import describe_column
from dimple.errors import RunError
from dimple.levelsets.mesh import Mesh
from dimple.runs.run import RunFolder
from dimple.stats.aggregate import NULL_SUFFIX, comparison_column, found_column, interval_ends
from dimple.views.content.color_scale import round_up
from dimple.views.content.columns import make_curve
from dimple.views.content.cross_section import build_cross_section, choose_plane
from dimple.views.content.frame import Chart, CrossSectionPlane, Drawing, Fact, Frame, MeshLayer, PointSet, Timeline
from dimple.views.content.from_slice import build_slice_timeline, frames_from_slice
from dimple.views.content.labels import (
    LIMITED_COLUMNS,
    format_found_fraction,
    format_interval,
    format_samples,
    format_statistic,
    short_column_label,
)
from dimple.views.content.manifold_depth import ManifoldProximity, subdivide_mesh
from dimple.views.content.run_header import slice_note

Columns = dict[str, NDArray[Any]]
# Columns in the caption of a frame.
CAPTION_COLUMNS = ("train_accuracy", "boundary_distance", "dimple_depth", "gradient_off_manifold_fraction")
# What stands for them in a run without the distance along normals.
CAPTION_COLUMNS_WITHOUT_OFFSET = ("train_accuracy", "margin")
# Further columns in the caption if the run is drawn in an affine slice.
SLICE_CAPTION_COLUMNS = ("margin", "margin_in_slice", "gradient_slice_fraction")
# The charts of a film: title, columns, and limits of the axis or None.
FILM_CHARTS: tuple[tuple[str, tuple[str, ...], tuple[float, float] | None], ...] = (
    ("distance from manifold and points to the boundary", ("boundary_distance", "dimple_depth"), None),
    ("fractions", ("gradient_off_manifold_fraction", "train_accuracy"), (0.0, 1.04)),
)
MARGIN_CHART = ("distance from points to the boundary", ("margin",), None)
# What is so in the phases of a run, for captions; those of a fall are short and are left to the curves.
INTERVAL_NAMES = {"near": "near the manifold", "correct": "training points right"}
# Lengths as fractions of the longest side of the box.
CROSS_SECTION_TOLERANCE = 0.02
MAX_MANIFOLD_EDGE = 1 / 150
MAX_BOUNDARY_EDGE = 1 / 25


def frames_from_run(run: RunFolder) -> list[Frame]:
    """Return one frame for each snapshot, in the order of the steps.

    Raises:
        RunError: if the run cannot be drawn: it has more than three dimensions, or no boundary mesh for each snapshot.
    """
    if run.kind == "slice":
        return frames_from_slice(run)
    metrics = run.columns("metrics")
    meshes = run.meshes()
    steps = metrics["step"].astype(np.int64)
    labels = run.training_points["labels"].astype(np.int64)
    low, high = run.display_bounds
    if len(low) not in (2, 3):
        raise RunError(
            f"{run.path}: the scene lies in R^{len(low)}, where there is nothing to draw; its curves are in "
            f"{run.path / 'report.html'}"
        )
    if len(meshes) != len(steps):
        raise RunError(
            f"{run.path}: has {len(meshes)} boundaries for {len(steps)} snapshots in R^{len(low)}, so there is nothing "
            "to draw; scenes in R^2 or R^3 with a level set can be drawn"
        )
    timeline = build_timeline(run)
    predictions = _predictions_by_step(run.columns("points"), steps, len(labels))
    builder = _DrawingBuilder(run.display_points, low, high, run.manifold_mesh)
    depth_scale = builder.compute_depth_scale(meshes)
    arrays = run.geometry()
    name = str(run.info.get("name", run.path.name))
    note = slice_note(run)
    frames = []
    for index, (step, mesh) in enumerate(zip(steps, meshes, strict=True)):
        points = PointSet(builder.train_points, labels, predictions[index], closest=arrays.get(f"closest/{step}"))
        drawing = builder.build_drawing(mesh, points)
        facts = build_facts(metrics, index)
        cross_section = None
        if builder.plane is not None:
            cross_section = build_cross_section(drawing, builder.plane, CROSS_SECTION_TOLERANCE * builder.longest_side)
        frames.append(Frame(name, int(step), index, drawing, facts, timeline, depth_scale, cross_section, note=note))
    return frames


def build_timeline(run: RunFolder) -> Timeline:
    """Return the charts of a run, with the steps at which its phases were complete."""
    if run.kind == "slice":
        return build_slice_timeline(run)
    metrics = run.columns("metrics")
    units = run.units("metrics")
    charts = []
    for title, columns, limits in FILM_CHARTS if _has_offset(metrics) else (MARGIN_CHART, *FILM_CHARTS):
        present = [column for column in columns if column in metrics]
        if present:
            curves = tuple(make_curve(metrics, column) for column in present)
            unit = units.get(present[0], "") if limits is None else ""
            charts.append(Chart(title + _describe_bounds(metrics, present), curves, unit, limits))
    summary = run.info.get("summary") or {}
    phases = completed_phases(summary)
    steps = metrics["step"].astype(np.int64)
    return Timeline(steps, tuple(charts), phases, _intervals(summary, int(steps[-1])))


def _describe_bounds(metrics: Columns, columns: list[str]) -> str:
    """Return until which step a mean distance of a chart is a lower bound, as an addition to its title."""
    for column in columns:
        is_bound = metrics.get(found_column(column), np.ones(1)) < 1
        if column in LIMITED_COLUMNS and is_bound.any():
            last = int(metrics["step"][np.flatnonzero(is_bound)[-1]])
            return f" (the first a lower bound {'at' if last == 0 else 'up to'} step {last:,})"
    return ""


def completed_phases(summary: dict[str, Any]) -> tuple[tuple[str, int], ...]:
    """Return the phases of the prediction that a summary dates, each with the step at which it was complete."""
    steps = (("clung", summary.get("cling_step")), ("dimpled", summary.get("dimple_step")))
    return tuple((name, int(step)) for name, step in steps if step is not None)


def _intervals(summary: dict[str, Any], last_step: int) -> tuple[tuple[str, int, int], ...]:
    """Return the phases of a summary in words, each with its first and last step.

    A run without a list of phases has dates alone, from which on they last.
    """
    dated = [
        {"name": name, "first_step": summary[key], "last_step": last_step}
        for name, key in (("near", "cling_step"), ("correct", "dimple_step"))
        if summary.get(key) is not None
    ]
    return tuple(
        (INTERVAL_NAMES[phase["name"]], int(phase["first_step"]), int(phase["last_step"]))
        for phase in summary.get("phases", dated)
        if phase["name"] in INTERVAL_NAMES
    )


def build_facts(metrics: Columns, index: int) -> tuple[Fact, ...]:
    """Return the caption of one snapshot.

    Args:
        metrics: the columns of metrics.parquet.
        index: the row of the snapshot.
    """
    columns: tuple[str, ...] = CAPTION_COLUMNS if _has_offset(metrics) else CAPTION_COLUMNS_WITHOUT_OFFSET
    if "gradient_slice_fraction" in metrics:
        columns = tuple(dict.fromkeys(columns + SLICE_CAPTION_COLUMNS))
    return tuple(_make_fact(metrics, column, index) for column in columns if column in metrics)


def _has_offset(metrics: Columns) -> bool:
    """Return whether the boundary was measured along the normals."""
    return "boundary_distance" in metrics or "dimple_depth" in metrics


def _make_fact(metrics: Columns, column: str, index: int) -> Fact:
    row = {name: float(values[index]) for name, values in metrics.items()}
    # The interval of a null is in the report; a caption has space for one number.
    baseline = format_statistic(row, column, NULL_SUFFIX) if comparison_column(column) in row else ""
    name = ", ".join(
        filter(None, (short_column_label(column), format_found_fraction(row, column).replace(" of ", "/")))
    )
    has_interval = interval_ends(row, column) is not None
    interval = f"{format_interval(row, column)}, n {format_samples(row, column)}" if has_interval else ""
    return Fact(name, format_statistic(row, column), baseline, interval, describe_column(column).text)


def _predictions_by_step(points: Columns, steps: NDArray[np.int64], num_points: int) -> list[NDArray[np.int64] | None]:
    """Return the predicted classes of the training points at each step; None for a step that the table lacks."""
    train = points["split"] == "train"
    point_steps, indices, predictions = (points[name][train] for name in ("step", "index", "prediction"))
    result: list[NDArray[np.int64] | None] = []
    for step in steps:
        rows = point_steps == step
        is_complete = np.array_equal(np.sort(indices[rows]), np.arange(num_points))
        result.append(predictions[rows][np.argsort(indices[rows])].astype(np.int64) if is_complete else None)
    return result


class _DrawingBuilder:
    """Builder of the drawings of a run, with the parts that all frames share: box, manifold and cross-section plane."""

    def __init__(
        self, train_points: NDArray[np.float64], low: tuple[float, ...], high: tuple[float, ...], manifold: Mesh | None
    ) -> None:
        self.train_points = train_points
        self.low = low
        self.high = high
        self.manifold = manifold
        self.longest_side = max(b - a for a, b in zip(low, high, strict=True))
        self.proximity: ManifoldProximity | None = None
        self.plane: CrossSectionPlane | None = None
        if manifold is not None and manifold.ambient_dim == 3 and manifold.faces.shape[1] == 3 and len(manifold.faces):
            self.proximity = ManifoldProximity(manifold, MAX_MANIFOLD_EDGE * self.longest_side)
            self.plane = choose_plane(train_points, self.proximity, CROSS_SECTION_TOLERANCE * self.longest_side)

    def build_drawing(self, mesh: Mesh, points: PointSet) -> Drawing:
        """Return the drawing of one snapshot: the manifold, the boundary with the depth of the manifold, and points.

        Large triangles of the boundary are subdivided first, because colors are interpolated between vertices, and the
        manifold next to a flat triangle is curved.
        """
        if mesh.ambient_dim == 3:
            mesh = subdivide_mesh(mesh, MAX_BOUNDARY_EDGE * self.longest_side)
        depth = self.proximity.compute_depth(mesh) if self.proximity is not None else None
        layers = [] if self.manifold is None else [MeshLayer(self.manifold, "manifold")]
        return Drawing((*layers, MeshLayer(mesh, "boundary", depth)), points, self.low, self.high)

    def compute_depth_scale(self, meshes: list[Mesh]) -> float:
        """Return the depth at which the color of the boundary is full, a round number.

        It is the 85 % quantile of the depths of the last boundary, without its vertices far from the manifold, and a
        tenth of the box if none are left. The color has to show the dimples, whose depth is a small part of the box.
        """
        last = meshes[-1]
        if self.proximity is None or len(last.faces) == 0:
            return round_up(self.longest_side / 10)
        distances = np.linalg.norm(self.proximity.compute_offsets(last.vertices), axis=1)
        near = distances < self.longest_side / 8
        if not near.any():
            return round_up(self.longest_side / 10)
        return round_up(float(np.quantile(np.abs(self.proximity.compute_depth(last)[near]), 0.85)))

"""Data of the interactive page as plain values for JSON: facts, curves, points and their measurements."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dimple.runs.atomic_io import replace_nonfinite
from dimple.runs.run import RunFolder
from dimple.stats.aggregate import comparison_column
from dimple.views.content.camera import default_camera
from dimple.views.content.frame import Frame, Timeline
from dimple.views.content.from_run import build_facts, build_timeline
from dimple.views.content.labels import format_number
from dimple.views.style.colors import CLASS_COLORS, MARKER_SHAPES, to_hex

# The columns on the card of a point; the two components of the shortest perturbation are in `decomposition`.
POINT_COLUMN_LABELS = {
    "margin": "margin",
    "margin_on": "along the manifold",
    "margin_off": "off the manifold",
    "offset": "along the normal",
}


def page_data(run: RunFolder, frames: Sequence[Frame]) -> dict[str, Any]:
    """Return all data except the surfaces; without frames only facts and curves."""
    metrics = run.columns("metrics")
    timeline = build_timeline(run)
    summary = run.info.get("summary") or {}
    data: dict[str, Any] = {
        "steps": timeline.steps.tolist(),
        "phases": [{"name": name, "step": step} for name, step in timeline.phases],
        "now": ["; ".join(timeline.describe_step(step)) for step in timeline.steps.tolist()],
        "facts": [
            [dataclasses.asdict(fact) for fact in build_facts(metrics, index)] for index in range(len(timeline.steps))
        ],
        "charts": charts_data(timeline),
        "classes": classes_data(),
        "verdict": str(summary.get("verdict", "")),
        "drawing": _drawing_data(run, frames) if frames else None,
    }
    shown: dict[str, Any] = replace_nonfinite(data)
    return shown


def classes_data() -> list[dict[str, Any]]:
    """Return the color and the marker shape of each class."""
    return [{"color": to_hex(color), "shape": k % len(MARKER_SHAPES)} for k, color in enumerate(CLASS_COLORS)]


def charts_data(timeline: Timeline) -> list[dict[str, Any]]:
    """Return the charts of a run."""
    return [
        {
            "title": chart.title,
            "unit": chart.unit,
            "limits": chart.limits,
            "curves": [
                {
                    "name": curve.name,
                    "values": round_for_json(curve.values),
                    "baseline": None if curve.baseline is None else round_for_json(curve.baseline),
                    "interval": None if curve.interval is None else [round_for_json(end) for end in curve.interval],
                }
                for curve in chart.curves
            ],
        }
        for chart in timeline.charts
    ]


def _drawing_data(run: RunFolder, frames: Sequence[Frame]) -> dict[str, Any]:
    first = frames[0].drawing
    points = first.points
    manifold = first.layer("manifold")
    box = {"low": first.low, "high": first.high}
    shown: dict[str, Any] = {
        "dim": first.ambient_dim,
        **box,
        "points": round_for_json(points.positions),
        "labels": points.labels.tolist(),
        "predictions": [
            None if f.drawing.points.predictions is None else f.drawing.points.predictions.tolist() for f in frames
        ],
        "depthScale": frames[0].depth_scale,
        "manifold": None,
        "nearest": [round_for_json(frame.drawing.closest_boundary_points()) for frame in frames],
        "measured": _point_measurements(run, frames, len(points.labels)),
    }
    if first.ambient_dim == 3:
        cross_section = frames[0].cross_section
        camera = default_camera(first, cross_section.plane if cross_section else None)
        shown["eye"] = round_for_json(camera.position - camera.focal_point)
    if manifold is not None:
        shown["manifold"] = {"vertices": round_for_json(manifold.mesh.vertices), "faces": manifold.mesh.faces.tolist()}
    return shown


def _point_measurements(run: RunFolder, frames: Sequence[Frame], num_points: int) -> dict[str, Any]:
    """Return the name of each column, and as text its values and baselines `[T][N]` by snapshot and training point."""
    table = run.columns("points")
    train = table["split"] == "train"
    order = np.lexsort((table["index"][train], table["step"][train]))
    is_complete = int(train.sum()) == len(frames) * num_points

    def grid(column: str) -> list[list[str]] | None:
        if column not in table or not is_complete:
            return None
        return [
            [format_number(float(v)) for v in row]
            for row in table[column][train][order].reshape(len(frames), num_points)
        ]

    columns: dict[str, Any] = {
        column: {"name": name, "values": values, "baseline": grid(comparison_column(column))}
        for column, name in POINT_COLUMN_LABELS.items()
        if (values := grid(column)) is not None
    }
    fraction = table.get("perturbation_on_manifold_fraction")
    length = table.get("margin_unbounded")
    if is_complete and fraction is not None and length is not None:
        size = np.abs(length[train][order].reshape(len(frames), num_points))
        on = np.abs(fraction[train][order].reshape(len(frames), num_points))
        # Rounding can leave a fraction a little above one.
        off = np.clip(1 - on, 0, None)
        null = table.get("perturbation_on_manifold_fraction_null")
        columns["decomposition"] = {
            "on": [[format_number(float(v)) for v in row] for row in size * np.sqrt(on)],
            "off": [[format_number(float(v)) for v in row] for row in size * np.sqrt(off)],
            "fraction": [[format_number(float(v)) for v in row] for row in on],
            "baseline": "" if null is None else format_number(float(null[train][0])),
        }
    return columns


def round_for_json(values: NDArray[Any]) -> list[Any]:
    """Return the values with six digits as nested lists; values that are not finite become None."""

    def round_value(value: Any) -> Any:
        if isinstance(value, list):
            return [round_value(item) for item in value]
        return float(f"{value:.6g}") if np.isfinite(value) else None

    result: list[Any] = round_value(np.asarray(values, dtype=np.float64).tolist())
    return result

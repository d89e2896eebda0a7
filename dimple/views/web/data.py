"""What a film page knows of a run, as plain values for JSON: figures, curves, points and what was measured at them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dimple.runs.atomic_io import without_infinities
from dimple.runs.run import Run
from dimple.stats.aggregate import NULL
from dimple.views.content.camera import look
from dimple.views.content.frame import Frame, Timeline
from dimple.views.content.from_run import facts_of, timeline_of
from dimple.views.content.labels import number
from dimple.views.style.colors import CLASSES, SHAPES, hexadecimal

# What the card of a point shows, where it was measured; the shortest step's two parts stand in the split.
AT_A_POINT = {
    "margin": "margin",
    "margin_on": "along the manifold",
    "margin_off": "off the manifold",
    "offset": "along the normal",
}


def page_data(run: Run, frames: Sequence[Frame]) -> dict[str, Any]:
    """All but the surfaces. Without frames there are only the figures and the curves."""
    metrics, timeline = run.metrics(), timeline_of(run)
    summary = run.info.get("summary") or {}
    data: dict[str, Any] = {
        "steps": timeline.steps.tolist(),
        "phases": [{"name": name, "step": step} for name, step in timeline.phases],
        "facts": [
            [{"name": fact.name, "value": fact.value, "null": fact.null} for fact in facts_of(metrics, index)]
            for index in range(len(timeline.steps))
        ],
        "charts": charts_data(timeline),
        "classes": classes_data(),
        "verdict": str(summary.get("verdict", "")),
        "drawing": _drawing(run, frames) if frames else None,
    }
    shown: dict[str, Any] = without_infinities(data)
    return shown


def classes_data() -> list[dict[str, Any]]:
    """The colour and the shape of each class."""
    return [{"colour": hexadecimal(colour), "shape": k % len(SHAPES)} for k, colour in enumerate(CLASSES)]


def charts_data(timeline: Timeline) -> list[dict[str, Any]]:
    """The charts of a run."""
    return [
        {
            "title": chart.title,
            "unit": chart.unit,
            "limits": chart.limits,
            "curves": [
                {
                    "name": curve.name,
                    "values": short(curve.values),
                    "null": None if curve.null is None else short(curve.null),
                }
                for curve in chart.curves
            ],
        }
        for chart in timeline.charts
    ]


def _drawing(run: Run, frames: Sequence[Frame]) -> dict[str, Any]:
    first = frames[0].drawing
    points, manifold = first.points, first.layer("manifold")
    box = {"low": first.low, "high": first.high}
    shown: dict[str, Any] = {
        "dim": first.ambient_dim,
        **box,
        "points": short(points.positions),
        "labels": points.classes.tolist(),
        "predictions": [
            None if f.drawing.points.predictions is None else f.drawing.points.predictions.tolist() for f in frames
        ],
        "reliefScale": frames[0].relief_scale,
        "manifold": None,
        "nearest": [nearest_of(frame) for frame in frames],
        "measured": _measured(run, frames, len(points.classes)),
    }
    if first.ambient_dim == 3:
        section = frames[0].section
        camera = look(first, section.plane if section else None)
        shown["eye"] = short(camera.position - camera.focus)
    if manifold is not None:
        shown["manifold"] = {"vertices": short(manifold.mesh.vertices), "faces": manifold.mesh.faces.tolist()}
    return shown


def nearest_of(frame: Frame) -> list[Any]:
    """The place of the boundary that is nearest to each point."""
    # Here, because numba takes a second to load.
    from dimple.levelsets.closest_points import nearest_places

    boundary = frame.drawing.layer("boundary")
    assert boundary is not None
    return short(nearest_places(boundary.mesh, frame.drawing.points.positions))


def _measured(run: Run, frames: Sequence[Frame], count: int) -> dict[str, Any]:
    """By column: its name, and as text the values at each snapshot and training point, `[T][N]`, and their nulls."""
    table = run.points()
    train = table["split"] == "train"
    order = np.lexsort((table["index"][train], table["step"][train]))
    whole = int(train.sum()) == len(frames) * count

    def grid(column: str) -> list[list[str]] | None:
        if column not in table or not whole:
            return None
        return [[number(float(v)) for v in row] for row in table[column][train][order].reshape(len(frames), count)]

    columns: dict[str, Any] = {
        column: {"name": name, "values": values, "null": grid(column + NULL)}
        for column, name in AT_A_POINT.items()
        if (values := grid(column)) is not None
    }
    share, length = table.get("on_share"), table.get("margin_any")
    if whole and share is not None and length is not None:
        size, on = (np.abs(v[train][order].reshape(len(frames), count)) for v in (length, share))
        # Rounding can leave a share a little above one.
        off = np.clip(1 - on, 0, None)
        null = table.get("on_share_null")
        columns["split"] = {
            "on": [[number(float(v)) for v in row] for row in size * np.sqrt(on)],
            "off": [[number(float(v)) for v in row] for row in size * np.sqrt(off)],
            "share": [[number(float(v)) for v in row] for row in on],
            "null": "" if null is None else number(float(null[train][0])),
        }
    return columns


def short(values: NDArray[Any]) -> list[Any]:
    """Six digits are more than a screen shows; what is no number becomes null."""

    def short(value: Any) -> Any:
        if isinstance(value, list):
            return [short(item) for item in value]
        return float(f"{value:.6g}") if np.isfinite(value) else None

    result: list[Any] = short(np.asarray(values, dtype=np.float64).tolist())
    return result

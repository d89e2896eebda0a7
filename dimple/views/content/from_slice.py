"""Conversion of a run with an affine slice of a network to frames, with a random slice as the control."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dimple.levelsets.mesh import Mesh
from dimple.runs.run import RunFolder
from dimple.views.content.columns import make_curve, spans_decades
from dimple.views.content.frame import (
    Chart,
    ClassRegions,
    ControlDrawing,
    Drawing,
    Fact,
    Frame,
    IntArray,
    MeshLayer,
    PointSet,
    Timeline,
    UInt8Array,
)
from dimple.views.content.labels import format_number
from dimple.views.content.run_header import slice_note

Arrays = dict[str, NDArray[Any]]
# The entry `kind` in run.json.
LENGTH_NORM = "l2"


def frames_from_slice(run: RunFolder) -> list[Frame]:
    """Return one frame for each step, in the order of the steps."""
    slice_info = run.info["slice"]
    class_names = slice_info["classes"]
    geometry = run.geometry()
    metrics = run.columns("metrics")
    points = run.columns("points")
    timeline = build_slice_timeline(run)
    note = slice_note(run)
    control_title = f"control: {slice_info['dim']} random directions at the same image, with the same lengths"
    frames = []
    for index, step in enumerate(timeline.steps.tolist()):
        step_points = {name: values[points["step"] == step] for name, values in points.items()}
        drawing = _build_drawing(geometry, step, class_names, _build_image_points(geometry, step_points, class_names))
        control = _build_drawing(geometry, step, class_names, _select_origin_point(drawing.points), "control/")
        facts = tuple(_build_facts(metrics, index, step_points, slice_info))
        panel = ControlDrawing(control, control_title)
        frames.append(Frame(str(run.info["name"]), step, index, drawing, facts, timeline, control=panel, note=note))
    return frames


def build_slice_timeline(run: RunFolder) -> Timeline:
    """Return the charts of an affine slice over its steps: distances to the boundary and the size of the boundary."""
    metrics = run.columns("metrics")
    units = run.units("metrics")
    distances = tuple(make_curve(metrics, name) for name in ("margin_in_slice", "margin_unbounded"))
    logarithmic = spans_decades(distances)
    size = (make_curve(metrics, "boundary_size"),)
    title = "distance from the images to the boundary, median"
    charts = (
        Chart(title, distances, units["margin_in_slice"], logarithmic=logarithmic),
        Chart(f"size of the boundary{_lattice(run.info['slice'])}", size, units["boundary_size"]),
    )
    return Timeline(metrics["step"].astype(np.int64), charts)


def _build_drawing(arrays: Arrays, step: int, class_names: list[str], points: PointSet, prefix: str = "") -> Drawing:
    mesh = Mesh(arrays[f"{prefix}vertices/{step}"].astype(np.float64), arrays[f"{prefix}faces/{step}"].astype(np.int64))
    side_labels = arrays.get(f"{prefix}sides/{step}")
    class_regions = ClassRegions(
        tuple(class_names),
        arrays[f"{prefix}regions/{step}"].astype(np.int64),
        arrays.get(f"{prefix}valid"),
        LENGTH_NORM,
        None if side_labels is None else side_labels.astype(np.int64),
    )
    layer = MeshLayer(mesh, "boundary", class_pairs=arrays[f"{prefix}pairs/{step}"].astype(np.int64))
    low = tuple(arrays["low"].tolist())
    high = tuple(arrays["high"].tolist())
    return Drawing((layer,), points, low, high, class_regions=class_regions)


def _build_image_points(arrays: Arrays, points: Arrays, class_names: list[str]) -> PointSet:
    """Return the images that lie in the slice and its box, with their predictions."""
    rows = visible_image_rows(arrays)
    labels, predictions = (points[name].astype(np.int64)[rows] for name in ("label", "prediction"))
    captions = tuple(
        f"{index}: {class_names[label]}" + ("" if label == predicted else f"\npredicted {class_names[predicted]}")
        for index, label, predicted in zip(points["index"][rows], labels, predictions, strict=True)
    )
    images = tuple(to_rgb_bytes(arrays["images"][row]) for row in rows) if "images" in arrays else ()
    return PointSet(arrays["train"][rows].astype(np.float64), labels, predictions, images, captions)


def visible_image_rows(arrays: Arrays) -> IntArray:
    """Return the rows of the images that lie in the slice and its box."""
    positions = arrays["train"]
    in_box = ((positions >= arrays["low"]) & (positions <= arrays["high"])).all(1)
    return np.flatnonzero(arrays["inside"].astype(bool) & in_box)


def slice_point_table(run: RunFolder) -> Arrays:
    """Return the measured columns of the visible images, in the form of the table of training points of a simulation.

    Returns:
        `step`, `split`, `index`, `margin`, `margin_in_slice` and `margin_in_slice_null`, all margins without sign.
    """
    table = run.columns("points")
    rows = visible_image_rows(run.geometry())
    steps = np.unique(table["step"])
    count = len(table["step"]) // len(steps)
    visible = {name: values.reshape(len(steps), count)[:, rows].ravel() for name, values in table.items()}
    columns = {"step": visible["step"], "split": np.full(len(visible["step"]), "train")}
    columns |= {"index": np.tile(np.arange(len(rows)), len(steps)), "margin": np.abs(visible["margin_unbounded"])}
    return columns | {name: np.abs(visible[name]) for name in ("margin_in_slice", "margin_in_slice_null")}


def _select_origin_point(points: PointSet) -> PointSet:
    """Return the origin of the axes, which the control has in common with the slice, without its image."""
    predictions = None if points.predictions is None else points.predictions[:1]
    return PointSet(points.positions[:1], points.labels[:1], predictions)


def to_rgb_bytes(pixels: NDArray[Any]) -> UInt8Array:
    """Convert an image `(C, H, W)` with values in [0, 1] to bytes `(H, W, 3)`; where C is not 3, the mean in gray."""
    colors = pixels if len(pixels) == 3 else np.repeat(pixels.mean(0, keepdims=True), 3, axis=0)
    return np.ascontiguousarray(np.rint(np.clip(colors, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0))


def _lattice(slice_info: dict[str, Any]) -> str:
    """Return the grid of the statistics, which is coarser than the drawn one, as the end of a name."""
    return f" ({slice_info['control_resolution']} cells a side)"


def _build_facts(metrics: Arrays, index: int, points: Arrays, slice_info: dict[str, Any]) -> list[Fact]:
    """Return the caption of one step: the content of the box, then the distance of each image from the boundary."""
    row = {name: float(values[index]) for name, values in metrics.items()}
    lattice = _lattice(slice_info)
    facts = [Fact(f"classes in the box{lattice}", f"{row['classes']:.0f}", f"{row['classes_null']:.0f}")]
    size = f"{'length' if slice_info['dim'] == 2 else 'area'} of the boundary{lattice}"
    facts.append(Fact(size, format_number(row["boundary_size"]), format_number(row["boundary_size_null"])))
    if "valid_fraction" in row:
        valid = (format_number(row[f"valid_fraction{end}"]) for end in ("", "_null"))
        facts.append(Fact("fraction of the box with valid pixels", *valid))
    for position, image in enumerate(points["index"].tolist()):
        margin, null = (abs(float(points[f"margin_in_slice{end}"][position])) for end in ("", "_null"))
        unbounded = abs(float(points["margin_unbounded"][position]))
        facts.append(Fact(f"{image}: margin in the slice", format_number(margin), format_number(null)))
        facts.append(Fact(f"{image}: margin without bounds", format_number(unbounded)))
    return facts

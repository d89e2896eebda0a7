"""A section's run folder turned into frames: regions, boundaries and images, beside a random section's."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dimple.levelsets.mesh import Mesh
from dimple.runs.run import Run
from dimple.stats.aggregate import NULL
from dimple.views.content.columns import curve_of, spans_decades
from dimple.views.content.frame import (
    Bytes,
    Chart,
    Classes,
    Drawing,
    Fact,
    Frame,
    Layer,
    Panel,
    PointSet,
    Timeline,
    Whole,
)
from dimple.views.content.labels import number
from dimple.views.content.run_header import note_of

Arrays = dict[str, NDArray[Any]]
# What run.json calls such a run.
SECTION = "section"
LENGTH = "l2"


def is_section(run: Run) -> bool:
    """Whether a run is a section of somebody's network."""
    return run.info.get("kind") == SECTION


def frames_of_section(run: Run) -> list[Frame]:
    """One frame a step, in their order."""
    about, geometry, metrics, points = run.info["section"], run.geometry(), run.metrics(), run.points()
    timeline = section_timeline(run)
    note = note_of(run)
    frames = []
    for index, step in enumerate(timeline.steps.tolist()):
        mine = {name: values[points["step"] == step] for name, values in points.items()}
        drawing = _drawing(geometry, step, about["classes"], _images(geometry, mine, about["classes"]))
        control = _drawing(geometry, step, about["classes"], _first(drawing.points), "control/")
        facts = tuple(_facts(metrics, index, mine, about))
        panel = Panel(control, f"control: {about['dim']} random directions at the same image, the same lengths")
        frames.append(Frame(str(run.info["name"]), step, index, drawing, facts, timeline, control=panel, note=note))
    return frames


def section_timeline(run: Run) -> Timeline:
    """The charts of a section over its steps, each with its null."""
    metrics, units = run.metrics(), run.units()
    distances = tuple(curve_of(metrics, name) for name in ("margin_section", "margin_any"))
    wide = spans_decades(distances)
    size = (curve_of(metrics, "boundary_size"),)
    charts = (
        Chart("from the images to the boundary, median", distances, units["margin_section"], logarithmic=wide),
        Chart("how much boundary the box holds", size, units["boundary_size"]),
    )
    return Timeline(metrics["step"].astype(np.int64), charts)


def _drawing(arrays: Arrays, step: int, names: list[str], points: PointSet, prefix: str = "") -> Drawing:
    mesh = Mesh(arrays[f"{prefix}vertices/{step}"].astype(np.float64), arrays[f"{prefix}faces/{step}"].astype(np.int64))
    regions = arrays[f"{prefix}regions/{step}"].astype(np.int64)
    sides = arrays.get(f"{prefix}sides/{step}")
    classes = Classes(
        tuple(names), regions, arrays.get(f"{prefix}valid"), LENGTH, None if sides is None else sides.astype(np.int64)
    )
    layer = Layer(mesh, "boundary", pairs=arrays[f"{prefix}pairs/{step}"].astype(np.int64))
    low, high = tuple(arrays["low"].tolist()), tuple(arrays["high"].tolist())
    return Drawing((layer,), points, low, high, classes=classes)


def _images(arrays: Arrays, points: Arrays, classes: list[str]) -> PointSet:
    """The images that lie in the section and its box, with what the network makes of them."""
    places, rows = arrays["train"], shown_rows(arrays)
    labels, predictions = (points[name].astype(np.int64)[rows] for name in ("label", "prediction"))
    names = tuple(
        f"{index}: {classes[label]}" + ("" if label == put else f"\nput into {classes[put]}")
        for index, label, put in zip(points["index"][rows], labels, predictions, strict=True)
    )
    pictures = tuple(_bytes(arrays["images"][row]) for row in rows) if "images" in arrays else ()
    return PointSet(places[rows].astype(np.float64), labels, predictions, pictures, names)


def shown_rows(arrays: Arrays) -> Whole:
    """Which of the images lie in the section and its box, by their place in the request."""
    places = arrays["train"]
    within = ((places >= arrays["low"]) & (places <= arrays["high"])).all(1)
    return np.flatnonzero(arrays["inside"].astype(bool) & within)


def point_table(run: Run) -> Arrays:
    """What was measured at the images that are shown, as a table of training points has it: by step and place."""
    table, rows = run.points(), shown_rows(run.geometry())
    steps = np.unique(table["step"])
    count = len(table["step"]) // len(steps)
    mine = {name: values.reshape(len(steps), count)[:, rows].ravel() for name, values in table.items()}
    columns = {"step": mine["step"], "split": np.full(len(mine["step"]), "train")}
    columns |= {"index": np.tile(np.arange(len(rows)), len(steps)), "margin": np.abs(mine["margin_any"])}
    return columns | {name: np.abs(mine[name]) for name in ("margin_section", "margin_section" + NULL)}


def _first(points: PointSet) -> PointSet:
    """The point where the axes start, which a random section shares, without its picture."""
    at = slice(0, 1)
    predictions = None if points.predictions is None else points.predictions[at]
    return PointSet(points.positions[at], points.classes[at], predictions)


def _bytes(pixels: NDArray[Any]) -> Bytes:
    """An image `(C, H, W)` within [0, 1] as `(H, W, 3)` bytes."""
    levels = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
    return np.ascontiguousarray(np.repeat(levels, 3, axis=2) if levels.shape[2] == 1 else levels)


def _facts(metrics: Arrays, index: int, points: Arrays, about: dict[str, Any]) -> list[Fact]:
    """What the caption says."""
    row = {name: float(values[index]) for name, values in metrics.items()}
    facts = [Fact("classes in the box", f"{row['classes']:.0f}", f"{row['classes' + NULL]:.0f}")]
    size = "length of the boundary in it" if about["dim"] == 2 else "area of the boundary in it"
    facts.append(Fact(size, number(row["boundary_size"]), number(row["boundary_size" + NULL])))
    if "valid_share" in row:
        facts.append(Fact("share of it with valid pixels", *(number(row[f"valid_share{end}"]) for end in ("", NULL))))
    for place, image in enumerate(points["index"].tolist()):
        here, null = (abs(float(points[f"margin_section{end}"][place])) for end in ("", NULL))
        facts.append(Fact(f"{image}: boundary in section", number(here), number(null)))
        facts.append(Fact(f"{image}: boundary anywhere", number(abs(float(points["margin_any"][place])))))
    return facts

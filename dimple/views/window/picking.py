"""The training point that the user clicks on: its identification, its measurement and its info panel."""

import dataclasses
from typing import Any, final

import numpy as np
from PIL import Image

from dimple.views.content.frame import Fact, FloatArray, Perturbations
from dimple.views.content.labels import format_number
from dimple.views.content.point_facts import (
    LENGTH_NOTE,
    margin_fact,
    null_comparison_facts,
    on_manifold_fraction_fact,
    point_statistics,
)
from dimple.views.drawing.info_panels import FactRow, Heading, draw_info_panel
from dimple.views.style.colors import FOREGROUND_COLOR, OFF_MANIFOLD_COLOR, ON_MANIFOLD_COLOR
from dimple.views.vtk.glyphs import MARKER_RADIUS, pixel_size
from dimple.views.window.animation import Animation

# Largest distance in pixels between a click and the point that it picks.
PICK_RADIUS = 12.0


@final
@dataclasses.dataclass(frozen=True)
class PickedPoint:
    """A training point in one snapshot.

    Attributes:
        index: its row among the training points.
        label, prediction: its class and the predicted class; equal if the prediction is unknown.
        position: `(3,)`, in the space of the drawing.
        total, on_manifold, off_manifold: the step to the boundary and its parts along and off the manifold, `(3,)`; nan
            if no boundary was found, or if the run has no evaluator.
        statistics: its columns of points.parquet; empty if the table has no row for it.
        name: of the point; empty without one.
    """

    index: int
    label: int
    prediction: int
    position: FloatArray
    total: FloatArray
    on_manifold: FloatArray
    off_manifold: FloatArray
    statistics: dict[str, float]
    name: str = ""


def measure_picked_point(animation: Animation, snapshot: int, index: int) -> PickedPoint:
    """Return the measurements of a training point in a snapshot. This searches for the closest boundary point.

    Args:
        animation: of the run.
        snapshot: index of the snapshot.
        index: row of the training point.
    """
    frame = animation.frames[snapshot]
    points = frame.drawing.points
    evaluator = animation.run.evaluator
    unknown = np.full((1, 3), np.nan)
    steps = (
        Perturbations(unknown, unknown, unknown) if evaluator is None else evaluator.perturbations(frame.step, (index,))
    )
    # A step in the plane gets the third coordinate 0.
    total, on_manifold, off_manifold = (
        np.append(vectors[0], 0.0)[:3] for vectors in (steps.total, steps.on_manifold, steps.off_manifold)
    )
    label = int(points.labels[index])
    return PickedPoint(
        index=index,
        label=label,
        prediction=label if points.predictions is None else int(points.predictions[index]),
        position=points.positions[index],
        total=total,
        on_manifold=on_manifold,
        off_manifold=off_manifold,
        statistics=point_statistics(animation.run.point_table, frame.step, index),
        name=points.captions[index].replace("\n", ", ") if points.captions else "",
    )


def draw_picked_point(point: PickedPoint, scale: int = 1) -> Image.Image:
    """Return the info panel of a point: its classes, the step to the boundary, and its statistics."""
    verdict = "correct" if point.prediction == point.label else f"predicted {point.prediction}, wrong"
    heading = Heading(f"training point {point.index}", f"class {point.label}, {verdict}\n{LENGTH_NOTE}")
    if point.name:
        heading = Heading(point.name)
    total, on_manifold, off_manifold = (
        float(np.linalg.norm(vector)) for vector in (point.total, point.on_manifold, point.off_manifold)
    )
    is_known = not np.isnan([total, on_manifold, off_manifold]).any()
    rows: list[FactRow] = []
    if "margin" in point.statistics:
        rows.append((margin_fact(point.statistics), FOREGROUND_COLOR if is_known else None))
    elif is_known:
        rows.append((Fact("step to the boundary", format_number(total)), FOREGROUND_COLOR))
    if is_known:
        rows.append((Fact("part along the manifold", format_number(on_manifold)), ON_MANIFOLD_COLOR))
        rows.append((Fact("part off the manifold", format_number(off_manifold)), OFF_MANIFOLD_COLOR))
    if is_known and total > 0:
        rows.append((on_manifold_fraction_fact(point.statistics, (on_manifold / total) ** 2), None))
    rows += [(fact, None) for fact in null_comparison_facts(point.statistics)]
    return draw_info_panel(heading, rows, scale)


def point_at_pixel(
    window: Any, renderer: Any, positions: FloatArray, pixel: tuple[float, float], scale: int = 1
) -> int | None:
    """Return the index of the visible point within `PICK_RADIUS` of a pixel; None if there is none.

    Points behind a surface are not visible. Of several points the one nearest to the camera is returned.

    Args:
        window: a `vtkRenderWindow`, for its depth buffer.
        renderer: the renderer of the points.
        positions: `(N, 3)`.
        pixel: of the window, counted from its lower left corner.
        scale: pixels of the image for one of the window.
    """
    camera = renderer.GetActiveCamera()
    left, bottom = renderer.GetOrigin()
    width, height = renderer.GetSize()
    matrix = camera.GetCompositeProjectionTransformMatrix(renderer.GetTiledAspectRatio(), 0.0, 1.0)
    transform = np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])
    homogeneous = np.insert(positions, 3, 1.0, axis=1) @ transform.T
    projected = homogeneous[:, :3] / homogeneous[:, 3:]
    pixels = (projected[:, :2] + 1) / 2 * (width, height) + (left, bottom)
    candidates = np.flatnonzero(np.linalg.norm(pixels - pixel, axis=1) <= PICK_RADIUS * scale)
    depths = (positions - camera.GetPosition()) @ np.array(camera.GetDirectionOfProjection())
    near, far = camera.GetClippingRange()
    # A marker hides its own center.
    tolerance = 2 * MARKER_RADIUS * scale * pixel_size(renderer)
    for index in candidates[np.argsort(depths[candidates])]:
        column, row = (int(value) for value in pixels[index])
        if not (left <= column < left + width and bottom <= row < bottom + height):
            continue
        stored = float(window.GetZbufferDataAtPoint(column, row))
        surface_depth = near * far / (far - stored * (far - near))
        if depths[index] <= surface_depth + tolerance:
            return int(index)
    return None

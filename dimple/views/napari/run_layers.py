"""A run as napari layers: score, manifold, boundary, perturbations and points, snapshot by snapshot."""

import dataclasses
import textwrap
from collections.abc import Callable, Sequence
from typing import final

import numpy as np
from numpy.typing import NDArray

from dimple.views.content.camera import default_camera
from dimple.views.content.frame import FloatArray, Frame
from dimple.views.content.point_table import Columns, build_point_table
from dimple.views.napari.boundary_layers import (
    AXIS_LABELS,
    BACKGROUND_OPTIONS,
    BOUNDARY_LAYER,
    REGIONS_LAYER,
    boundary_layers,
    box_layers,
    diverging_colormap,
    manifold_layers,
    name_layers,
    region_layers,
    to_viewer_order,
)
from dimple.views.napari.layout import LayerData, NapariLayout
from dimple.views.style.colors import (
    BACKGROUND_COLOR,
    FOREGROUND_COLOR,
    MARKER_SHAPES,
    class_color,
    class_shape,
    to_hex,
)

NAPARI_SYMBOLS = dict(zip(MARKER_SHAPES, ("disc", "diamond", "square", "triangle_up"), strict=True))
POINTS_LAYER = "points"
# Explains the colors of the boundary in the caption.
DEPTH_COLOR_NOTE = "color: how deep the manifold lies\nin class 0 (blue) or class 1 (orange)"
# Letters in a line of the note of a frame.
NOTE_WIDTH = 56
# Size of a point as a fraction of the longest side of the box.
POINT_SIZE_FRACTION = 0.026


@final
@dataclasses.dataclass(frozen=True)
class ScoreGrid:
    """The logit margin of class 1, score 1 minus score 0, on a grid over the box at any snapshot.

    Attributes:
        axes: the grid coordinates along x, y and, in space, z.
        evaluate: returns the values `(z, y, x)`, or `(y, x)`, for the index of a snapshot. It is called only for
            snapshots that are shown.
        color_limit: the value at which the color is full.
    """

    axes: Sequence[FloatArray]
    evaluate: Callable[[int], NDArray[np.float32]]
    color_limit: float


def make_run_layout(frames: Sequence[Frame], point_table: Columns, score: ScoreGrid | None = None) -> NapariLayout:
    """Return the layers of a run in R^2 or R^3, or of an affine slice of dimension 2 or 3.

    Args:
        frames: all frames of a run.
        point_table: the columns of its points.parquet.
        score: None if the networks are not available.
    """
    first = frames[0].drawing
    layers = [] if score is None else [_score_layer(score, frames)]
    layers += box_layers(frames[0]) + region_layers(frames) + manifold_layers(frames[0]) + boundary_layers(frames)
    layers += [*name_layers(frames), _points_layer(frames, point_table)]
    camera = None
    if first.ambient_dim == 3:
        camera = default_camera(first, frames[0].cross_section.plane if frames[0].cross_section else None)
    boundary = first.layer("boundary")
    has_depth = camera is not None and boundary is not None and boundary.manifold_depth is not None
    captions = tuple(caption_text(frame) + (f"\n{DEPTH_COLOR_NOTE}" if has_depth else "") for frame in frames)
    active = REGIONS_LAYER if any(options["name"] == REGIONS_LAYER for _, options, _ in layers) else POINTS_LAYER
    return NapariLayout(tuple(layers), captions, len(frames) - 1, active, BOUNDARY_LAYER if has_depth else "", camera)


def caption_text(frame: Frame) -> str:
    """Return name, step, phase and quantities of a snapshot in lines, with the comparison values in brackets."""
    lines = [
        frame.title,
        *textwrap.wrap(frame.note, NOTE_WIDTH),
        "   ".join(filter(None, (frame.step_text, frame.phase_text))),
    ]
    lines += [
        f"{fact.name} {fact.value}" + (f"  [comparison {fact.baseline}]" if fact.baseline else "")
        for fact in frame.facts
    ]
    return "\n".join(filter(None, lines))


def _score_layer(score: ScoreGrid, frames: Sequence[Frame]) -> LayerData:
    import dask.array as da
    from dask.delayed import delayed

    spacing = [float(axis[1] - axis[0]) for axis in reversed(score.axes)]
    origin = [float(axis[0]) for axis in reversed(score.axes)]
    shape = tuple(len(axis) for axis in reversed(score.axes))
    evaluate = delayed(score.evaluate)
    volumes = [da.from_delayed(evaluate(index), shape, np.float32) for index in range(len(frames))]
    options = {
        "name": "score",
        "axis_labels": AXIS_LABELS[len(shape)],
        "scale": (1.0, *spacing),
        "translate": (0.0, *origin),
        "contrast_limits": (-score.color_limit, score.color_limit),
        "colormap": diverging_colormap("class 0 to class 1"),
        "interpolation2d": "linear",
        "opacity": 0.5,
    }
    cross_section = frames[0].cross_section
    if cross_section is not None:
        position = (cross_section.plane.origin[::-1] - origin) / spacing
        # A plane behind the boundary. It is hidden at first, and the user can show it.
        options |= {
            "depiction": "plane",
            "plane": {"position": tuple(position), "normal": tuple(cross_section.plane.normal[::-1])},
            "interpolation3d": "linear",
            "visible": False,
            **BACKGROUND_OPTIONS,
        }
    return da.stack(volumes), options, "image"


def _points_layer(frames: Sequence[Frame], point_table: Columns) -> LayerData:
    point_sets = [frame.drawing.points for frame in frames]
    drawing = frames[0].drawing
    size = POINT_SIZE_FRACTION * drawing.longest_side
    labels = np.concatenate([points.labels for points in point_sets])
    misclassified = np.concatenate([points.misclassified for points in point_sets])
    options = {
        "name": POINTS_LAYER,
        "axis_labels": AXIS_LABELS[drawing.ambient_dim],
        "features": build_point_table(frames, point_table),
        "face_color": [to_hex(class_color(label)) for label in labels],
        "symbol": [NAPARI_SYMBOLS[class_shape(label)] for label in labels],
        # As in every view, a misclassified point has a dark ring.
        "border_color": [to_hex(FOREGROUND_COLOR if wrong else BACKGROUND_COLOR) for wrong in misclassified],
        "border_width": np.where(misclassified, 0.3, 0.12),
        "size": size,
        "opacity": 1.0,
    }
    if all(points.captions for points in point_sets):
        options["text"] = {
            "string": "{name}",
            "size": 9,
            "color": to_hex(FOREGROUND_COLOR),
            "anchor": "upper_left",
            "translation": np.array([0.0] * drawing.ambient_dim + [size]),
        }
    positions = [to_viewer_order(points.positions, index) for index, points in enumerate(point_sets)]
    return np.concatenate(positions), options, "points"

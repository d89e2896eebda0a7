"""A run as layers of an image viewer: score, manifold, boundary, perturbations and points, snapshot by snapshot."""

import dataclasses
import textwrap
from collections.abc import Callable, Sequence
from typing import final

import numpy as np
from numpy.typing import NDArray

from dimple.views.content.camera import look
from dimple.views.content.frame import Frame, Reals
from dimple.views.content.point_table import Columns, point_columns
from dimple.views.napari.boundary_layers import (
    AXES,
    BEHIND,
    BOUNDARY,
    REGIONS,
    boundary_layers,
    box_layers,
    diverging,
    manifold_layers,
    name_layers,
    placed,
    region_layers,
)
from dimple.views.napari.layout import Arrangement, LayerData
from dimple.views.style.colors import INK, PAPER, SHAPES, class_colour, class_shape, hexadecimal

SYMBOLS = dict(zip(SHAPES, ("disc", "diamond", "square", "triangle_up"), strict=True))
POINTS = "points"
MEANING = "boundary: depth of the manifold beneath it,\nblue in class 0, orange in class 1"
# Letters of a line of a note.
NOTE = 56
# The size of a point, in shares of the box's largest side.
POINT = 0.026


@final
@dataclasses.dataclass(frozen=True)
class Score:
    """How much class 1 outweighs class 0, on the corners of a lattice over the box, at any snapshot.

    Attributes:
        axes: the coordinates along x, y and, in space, z.
        values: from the number of a snapshot to `(z, y, x)`, or `(y, x)`; asked only for what is looked at.
        limit: the score at which the colours are full.
    """

    axes: Sequence[Reals]
    values: Callable[[int], NDArray[np.float32]]
    limit: float


def run_layers(frames: Sequence[Frame], points: Columns, score: Score | None = None) -> Arrangement:
    """The layers of a run in R^2 or R^3, or of a section of such a dimension.

    Args:
        frames: all of a run.
        points: its table of points.
        score: None where the network is not at hand.
    """
    first = frames[0].drawing
    layers = [] if score is None else [_score(score, frames)]
    layers += box_layers(frames[0]) + region_layers(frames) + manifold_layers(frames[0]) + boundary_layers(frames)
    layers += [*name_layers(frames), _points(frames, points)]
    camera = None
    if first.ambient_dim == 3:
        camera = look(first, frames[0].section.plane if frames[0].section else None)
    boundary = first.layer("boundary")
    legend = camera is not None and boundary is not None and boundary.relief is not None
    captions = tuple(caption(frame) + (f"\n{MEANING}" if legend else "") for frame in frames)
    active = REGIONS if any(about["name"] == REGIONS for _, about, _ in layers) else POINTS
    return Arrangement(tuple(layers), captions, len(frames) - 1, active, BOUNDARY if legend else "", camera)


def caption(frame: Frame) -> str:
    """Name, step, phase and figures of a snapshot, a line each, with the nulls in brackets."""
    lines = [frame.title, *textwrap.wrap(frame.note, NOTE), "   ".join(filter(None, (frame.moment, frame.phase)))]
    lines += [f"{fact.name} {fact.value}" + (f"  [null {fact.null}]" if fact.null else "") for fact in frame.facts]
    return "\n".join(filter(None, lines))


def _score(score: Score, frames: Sequence[Frame]) -> LayerData:
    import dask.array as da
    from dask.delayed import delayed

    spacing = [float(axis[1] - axis[0]) for axis in reversed(score.axes)]
    origin = [float(axis[0]) for axis in reversed(score.axes)]
    shape = tuple(len(axis) for axis in reversed(score.axes))
    values = delayed(score.values)
    volumes = [da.from_delayed(values(number), shape, np.float32) for number in range(len(frames))]
    about = {
        "name": "score",
        "axis_labels": AXES[len(shape)],
        "scale": (1.0, *spacing),
        "translate": (0.0, *origin),
        "contrast_limits": (-score.limit, score.limit),
        "colormap": diverging("class 0 to class 1"),
        "interpolation2d": "linear",
        "opacity": 0.5,
    }
    section = frames[0].section
    if section is not None:
        place = (section.plane.origin[::-1] - origin) / spacing
        plane = {"position": tuple(place), "normal": tuple(section.plane.normal[::-1])}
        # A plane behind the boundary, at hand but no part of the first picture.
        about |= {"depiction": "plane", "plane": plane, "interpolation3d": "linear", "visible": False, **BEHIND}
    return da.stack(volumes), about, "image"


def _points(frames: Sequence[Frame], table: Columns) -> LayerData:
    sets = [frame.drawing.points for frame in frames]
    classes, wrong = (np.concatenate(part) for part in zip(*[(s.classes, s.wrong) for s in sets], strict=True))
    about = {
        "name": POINTS,
        "axis_labels": AXES[frames[0].drawing.ambient_dim],
        "features": point_columns(frames, table),
        "face_color": [hexadecimal(class_colour(label)) for label in classes],
        "symbol": [SYMBOLS[class_shape(label)] for label in classes],
        # A dark ring is what every view puts around a point that the network gives to another class.
        "border_color": [hexadecimal(INK if ring else PAPER) for ring in wrong],
        "border_width": np.where(wrong, 0.3, 0.12),
        "size": POINT * frames[0].drawing.side,
        "opacity": 1.0,
    }
    if all(s.names for s in sets):
        aside = np.array([0.0] * frames[0].drawing.ambient_dim + [POINT * frames[0].drawing.side])
        look = {"size": 9, "color": hexadecimal(INK), "anchor": "upper_left", "translation": aside}
        about["text"] = {"string": "{name}", **look}
    return np.concatenate([placed(s.positions, number) for number, s in enumerate(sets)]), about, "points"

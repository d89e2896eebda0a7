"""A run as layers of an image viewer: score, manifold, boundary, perturbations and points, snapshot by snapshot.

Coordinates come in the viewer's order, the snapshot's number first and x last.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from dimple.views.arrangement import Arrangement, LayerData
from dimple.views.camera import look
from dimple.views.frame import Frame, Layer, Reals, Whole
from dimple.views.nearest import nearest_places
from dimple.views.palette import INK, MANIFOLD, MUTED, PAPER, SHAPES, class_colour, hexadecimal, relief_colours
from dimple.views.window import caption

Columns = Mapping[str, NDArray[Any]]
AXIS = "snapshot"
AXES = {2: (AXIS, "y", "x"), 3: (AXIS, "z", "y", "x")}
SYMBOLS = dict(zip(SHAPES, ("disc", "diamond", "square", "triangle_up"), strict=True))
BOUNDARY, POINTS = "boundary", "training points"
MEANING = "boundary: depth of the manifold beneath it,\nblue in class 0, orange in class 1"
SAID = ("prediction", "margin", "margin_on", "margin_on_null", "margin_off", "margin_off_null", "on_share")
# In shares of the box's largest side.
POINT, LINE = 0.026, 0.004


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
    """The layers of a run in R^2 or R^3.

    Args:
        frames: all of a run.
        points: its table of points.
        score: None where the network is not at hand.
    """
    first = frames[0]
    layers = [] if score is None else [_score(score, frames)]
    layers += [*_manifold(first), *_boundary(frames), _points(frames, points)]
    camera = None
    if first.drawing.ambient_dim == 3:
        camera = look(first.drawing, first.section.plane if first.section else None)
    captions = tuple(caption(frame) + (f"\n{MEANING}" if camera else "") for frame in frames)
    return Arrangement(tuple(layers), captions, len(frames) - 1, POINTS, BOUNDARY if camera else "", camera)


def placed(points: Reals, number: int | None = None) -> Reals:
    """Points `(N, n)` in the viewer's order, behind the number of their snapshot where there is one.

    Example:
        >>> placed(np.array([[1.0, 2.0, 3.0]]), 7).tolist()
        [[7.0, 3.0, 2.0, 1.0]]
    """
    reverse = points[:, ::-1]
    return reverse if number is None else np.insert(reverse, 0, number, axis=1)


def _score(score: Score, frames: Sequence[Frame]) -> LayerData:
    import dask.array as da
    from dask import delayed

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
        about |= {"depiction": "plane", "plane": plane, "interpolation3d": "linear"}
        about |= {"blending": "translucent_no_depth", "visible": False}
    return da.stack(volumes), about, "image"


def _manifold(frame: Frame) -> list[LayerData]:
    layer = frame.drawing.layer("manifold")
    if layer is None or len(layer.mesh.faces) == 0:
        return []
    mesh = layer.mesh
    about: dict[str, Any] = {"name": "manifold", "axis_labels": AXES[mesh.ambient_dim][1:]}
    if mesh.faces.shape[1] == 2:
        return [_lines(placed(mesh.vertices[mesh.faces].reshape(-1, mesh.ambient_dim)), MANIFOLD, frame, about)]
    grey = {"name": "manifold", "colors": [hexadecimal(MANIFOLD)] * 2}
    # Drawn first and without depth, it neither hides nor veils what is drawn after it.
    about |= {"colormap": grey, "opacity": 0.15, "shading": "none", "blending": "translucent_no_depth"}
    return [((placed(mesh.vertices), mesh.faces), about, "surface")]


def _boundary(frames: Sequence[Frame]) -> list[LayerData]:
    """The boundary of all snapshots as one layer, and the way to it; nothing where no snapshot has a boundary."""
    shown = [(number, layer) for number, frame in enumerate(frames) if (layer := frame.drawing.layer("boundary"))]
    shown = [(number, layer) for number, layer in shown if len(layer.mesh.faces)]
    if not shown:
        return []
    about: dict[str, Any] = {"name": BOUNDARY, "axis_labels": AXES[frames[0].drawing.ambient_dim]}
    if frames[0].drawing.ambient_dim == 2:
        ends = [placed(layer.mesh.vertices[layer.mesh.faces].reshape(-1, 2), number) for number, layer in shown]
        return [_lines(np.concatenate(ends), INK, frames[0], about), _perturbations(frames)]
    return [_surfaces(shown, frames[0].relief_scale, about), _perturbations(frames)]


def _surfaces(shown: Sequence[tuple[int, Layer]], scale: float, about: dict[str, Any]) -> LayerData:
    vertices = [placed(layer.mesh.vertices, number) for number, layer in shown]
    starts = np.cumsum([0, *[len(part) for part in vertices]])
    faces = [layer.mesh.faces + start for (_, layer), start in zip(shown, starts, strict=False)]
    relief = [np.zeros(len(layer.mesh.vertices)) if layer.relief is None else layer.relief for _, layer in shown]
    about |= {"colormap": diverging("depth of the manifold"), "contrast_limits": (-scale, scale), "shading": "smooth"}
    data = np.concatenate(vertices).astype(np.float32), np.concatenate(faces), np.concatenate(relief).astype(np.float32)
    return data, about, "surface"


def _lines(ends: Reals, colour: tuple[int, int, int], frame: Frame, about: dict[str, Any]) -> LayerData:
    """Segments, given by both ends in turn."""
    start, end = ends[::2], ends[1::2]
    about |= {
        "edge_color": hexadecimal(colour),
        "edge_width": 1.3 * LINE * _side(frame),
        "vector_style": "line",
        "opacity": 1.0,
    }
    return np.stack([start, end - start], axis=1), about, "vectors"


def _perturbations(frames: Sequence[Frame]) -> LayerData:
    """From every training point to the place of the boundary that is nearest, where there is a boundary."""
    vectors, features = [], []
    for number, frame in enumerate(frames):
        positions, boundary = frame.drawing.points.positions, frame.drawing.layer("boundary")
        places = np.full(positions.shape, np.nan) if boundary is None else nearest_places(boundary.mesh, positions)
        found = np.flatnonzero(np.isfinite(places).all(1))
        steps = places[found] - positions[found]
        vectors.append(np.stack([placed(positions[found], number), placed(steps, 0)], axis=1))
        length = np.linalg.norm(steps, axis=1)
        features.append({"step": np.full(len(found), frame.step), "index": found, "length": length})
    about = {
        "name": "perturbations",
        "axis_labels": AXES[frames[0].drawing.ambient_dim],
        "features": {name: np.concatenate([part[name] for part in features]) for name in features[0]},
        "edge_color": hexadecimal(MUTED),
        "edge_width": LINE * _side(frames[0]),
        "vector_style": "line",
        "opacity": 1.0,
    }
    return np.concatenate(vectors), about, "vectors"


def _points(frames: Sequence[Frame], table: Columns) -> LayerData:
    sets = [frame.drawing.points for frame in frames]
    classes, wrong = (np.concatenate(part) for part in zip(*[(s.classes, s.wrong) for s in sets], strict=True))
    about = {
        "name": POINTS,
        "axis_labels": AXES[frames[0].drawing.ambient_dim],
        "features": _features(frames, classes, table),
        "face_color": [hexadecimal(class_colour(label)) for label in classes],
        "symbol": [SYMBOLS[SHAPES[label % len(SHAPES)]] for label in classes],
        # A dark ring is what every view puts around a point that the network gives to another class.
        "border_color": [hexadecimal(INK if ring else PAPER) for ring in wrong],
        "border_width": np.where(wrong, 0.3, 0.12),
        "size": POINT * _side(frames[0]),
        "opacity": 1.0,
    }
    return np.concatenate([placed(s.positions, number) for number, s in enumerate(sets)]), about, "points"


def _features(frames: Sequence[Frame], classes: Whole, table: Columns) -> dict[str, NDArray[Any]]:
    """What the run measured at each training point of each snapshot; their classes alone where the table has gaps."""
    count = len(frames[0].drawing.points.classes)
    known = {
        "step": np.repeat([frame.step for frame in frames], count),
        "index": np.tile(np.arange(count), len(frames)),
        "label": classes,
    }
    rows = np.flatnonzero(table["split"] == "train")
    rows = rows[np.lexsort((table["index"][rows], table["step"][rows]))]
    if any(not np.array_equal(table[name][rows], known[name]) for name in ("step", "index")):
        return known
    measured = {name: values[rows] for name, values in table.items() if name not in ("split", *known)}
    # What is asked for most comes first: there is room for some of it under the cursor.
    return known | {name: measured[name] for name in SAID if name in measured} | measured


def diverging(name: str) -> dict[str, Any]:
    """Blue for negative and class 0, orange for positive and class 1, pale for zero, as napari takes a colormap."""
    return {"name": name, "colors": relief_colours(np.linspace(-1.0, 1.0, 129), 1.0) / 255}


def _side(frame: Frame) -> float:
    drawing = frame.drawing
    return max(b - a for a, b in zip(drawing.low, drawing.high, strict=True))

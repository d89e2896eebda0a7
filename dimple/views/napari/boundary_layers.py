"""Boundary, manifold and class regions of all snapshots of a run as layers of an image viewer.

Coordinates come in the viewer's order, the snapshot's number first and x last.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dimple.views.content.frame import Frame, Layer, Reals
from dimple.views.drawing.class_regions import INPUT, named_places
from dimple.views.napari.layout import LayerData
from dimple.views.style.colors import (
    INK,
    MANIFOLD,
    MUTED,
    RULE,
    Colour,
    class_colour,
    hexadecimal,
    relief_colours,
    tint,
)
from dimple.views.vtk.class_regions3d import walls_of

AXIS = "snapshot"
AXES = {2: (AXIS, "y", "x"), 3: (AXIS, "z", "y", "x")}
BOUNDARY, REGIONS = "boundary", "classes"
# What is drawn first, and without depth, neither hides nor veils what is drawn after it.
BEHIND = {"blending": "translucent_no_depth"}
# The width of a line, in shares of the box's largest side.
LINE = 0.004
# Of the names of classes, and what stays clear of them around each point, on whose right its own name stands.
LETTERS, CLEAR = 13, (16.0, 36.0, 150.0, 16.0)


def placed(points: Reals, number: int | None = None) -> Reals:
    """Points `(N, n)` in the viewer's order, behind the number of their snapshot where there is one.

    Example:
        >>> placed(np.array([[1.0, 2.0, 3.0]]), 7).tolist()
        [[7.0, 3.0, 2.0, 1.0]]
    """
    reverse = points[:, ::-1]
    return reverse if number is None else np.insert(reverse, 0, number, axis=1)


def diverging(name: str) -> dict[str, Any]:
    """Blue for negative and class 0, orange for positive and class 1, pale for zero, as napari takes a colormap."""
    return {"name": name, "colors": relief_colours(np.linspace(-1.0, 1.0, 129), 1.0) / 255}


def box_layers(frame: Frame) -> list[LayerData]:
    """The edges of a box in space; nothing in the plane."""
    drawing = frame.drawing
    if drawing.ambient_dim == 2:
        return []
    corners = np.array(list(itertools.product(*zip(drawing.low, drawing.high, strict=True))))
    ends = [corners[[a, b]] for a, b in itertools.combinations(range(8), 2) if (a ^ b) in (1, 2, 4)]
    edges, about, kind = _lines(placed(np.concatenate(ends)), RULE, frame, {"name": "box", "axis_labels": AXES[3][1:]})
    return [(edges, about | BEHIND, kind)]


def manifold_layers(frame: Frame) -> list[LayerData]:
    """The data manifold, which no snapshot changes; nothing where there is none."""
    layer = frame.drawing.layer("manifold")
    if layer is None or len(layer.mesh.faces) == 0:
        return []
    mesh = layer.mesh
    about: dict[str, Any] = {"name": "manifold", "axis_labels": AXES[mesh.ambient_dim][1:]}
    if mesh.faces.shape[1] == 2:
        return [_lines(placed(mesh.vertices[mesh.faces].reshape(-1, mesh.ambient_dim)), MANIFOLD, frame, about)]
    grey = {"name": "manifold", "colors": [hexadecimal(MANIFOLD)] * 2}
    about |= {"colormap": grey, "opacity": 0.15, "shading": "none", **BEHIND}
    return [((placed(mesh.vertices), mesh.faces), about, "surface")]


def region_layers(frames: Sequence[Frame]) -> list[LayerData]:
    """The classes of a plane, told by name under the cursor; nothing in space, or where no regions are known."""
    drawing = frames[0].drawing
    if drawing.classes is None or drawing.ambient_dim == 3:
        return []
    regions = np.stack([frame.drawing.classes.regions for frame in frames if frame.drawing.classes is not None])
    scale = (np.array(drawing.high) - drawing.low)[::-1] / regions.shape[1:]
    # Label 0 is napari's background.
    tints = [hexadecimal(tint(class_colour(label), INPUT)) for label in range(int(regions.max()) + 1)]
    colours: dict[int | None, str] = {None: "transparent", **dict(enumerate(["transparent", *tints]))}
    about = {
        "name": REGIONS,
        "axis_labels": AXES[2],
        "colormap": colours,
        "features": {"class": ["", *drawing.classes.names]},
        "opacity": 1.0,
        "scale": (1.0, *scale),
        # The middle of the first square.
        "translate": (0.0, *(np.array(drawing.low)[::-1] + scale / 2)),
    }
    return [((regions + 1).astype(np.int32), about, "labels")]


def name_layers(frames: Sequence[Frame]) -> list[LayerData]:
    """The names of the classes in their regions of a plane; nothing in space, or where no regions are known."""
    drawings = [frame.drawing for frame in frames]
    found = [
        (name, placed(place[None], number))
        for number, drawing in enumerate(drawings)
        if drawing.classes is not None and drawing.ambient_dim == 2
        for name, place in named_places(drawing, drawing.classes, LETTERS, CLEAR)
    ]
    if not found:
        return []
    about = {
        "name": "names",
        "axis_labels": AXES[2],
        "features": {"class": [name for name, _ in found]},
        "text": {"string": "{class}", "size": LETTERS - 4, "color": hexadecimal(INK), "anchor": "center"},
        "face_color": "transparent",
        "border_color": "transparent",
        "size": LINE * drawings[0].side,
    }
    return [(np.concatenate([place for _, place in found]), about, "points")]


def boundary_layers(frames: Sequence[Frame]) -> list[LayerData]:
    """The boundary of all snapshots as one layer, and the way to it; nothing where no snapshot has a boundary."""
    shown = [(number, layer) for number, frame in enumerate(frames) if (layer := frame.drawing.layer("boundary"))]
    shown = [(number, layer) for number, layer in shown if len(layer.mesh.faces)]
    if not shown:
        return []
    about: dict[str, Any] = {"name": BOUNDARY, "axis_labels": AXES[frames[0].drawing.ambient_dim]}
    if frames[0].drawing.ambient_dim == 2:
        ends = [placed(layer.mesh.vertices[layer.mesh.faces].reshape(-1, 2), number) for number, layer in shown]
        return [_lines(np.concatenate(ends), INK, frames[0], about), _perturbations(frames)]
    data, look = _relief(shown, frames[0].relief_scale) if shown[0][1].pairs is None else _rooms(shown, frames)
    return [(data, about | look, "surface"), _perturbations(frames)]


def _relief(shown: Sequence[tuple[int, Layer]], scale: float) -> tuple[Any, dict[str, Any]]:
    """Surfaces with the depth of the manifold at their corners, and how it is coloured."""
    relief = [np.zeros(len(layer.mesh.vertices)) if layer.relief is None else layer.relief for _, layer in shown]
    vertices, faces = _joined([(number, layer.mesh.vertices, layer.mesh.faces) for number, layer in shown])
    colours = {"colormap": diverging("depth of the manifold"), "contrast_limits": (-scale, scale)}
    return (vertices, faces, np.concatenate(relief).astype(np.float32)), colours | {"shading": "smooth"}


def _rooms(shown: Sequence[tuple[int, Layer]], frames: Sequence[Frame]) -> tuple[Any, dict[str, Any]]:
    """Both faces of the boundary of many classes, each in the colour of the class on its side."""
    painted = [(number, walls_of(layer, frames[number].drawing)) for number, layer in shown]
    vertices, faces = _joined([(number, walls.places, walls.faces) for number, walls in painted])
    hues = [walls.colours() / 255 for _, walls in painted]
    return (vertices, faces), {"vertex_colors": np.concatenate(hues).astype(np.float32), "shading": "smooth"}


def _joined(parts: Sequence[tuple[int, Reals, NDArray[np.int64]]]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Surfaces of several snapshots as one: their corners behind their number, and their triangles."""
    starts = np.cumsum([0, *[len(vertices) for _, vertices, _ in parts]])
    vertices = np.concatenate([placed(vertices, number) for number, vertices, _ in parts]).astype(np.float32)
    return vertices, np.concatenate([faces + start for (*_, faces), start in zip(parts, starts, strict=False)])


def _lines(ends: Reals, colour: Colour, frame: Frame, about: dict[str, Any]) -> LayerData:
    """Segments, given by both ends in turn."""
    start, end = ends[::2], ends[1::2]
    look = {"edge_color": hexadecimal(colour), "edge_width": 1.3 * LINE * frame.drawing.side, "vector_style": "line"}
    return np.stack([start, end - start], axis=1), about | look | {"opacity": 1.0}, "vectors"


def _perturbations(frames: Sequence[Frame]) -> LayerData:
    """From every training point to the nearest place of the boundary that is drawn, where there is one."""
    from dimple.levelsets.closest_points import nearest_places

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
        "edge_width": LINE * frames[0].drawing.side,
        "vector_style": "line",
        "opacity": 1.0,
    }
    return np.concatenate(vectors), about, "vectors"

"""Boundary, manifold and class regions of all snapshots of a run as napari layers.

Coordinates are in the order of napari: the index of the snapshot first, x last.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dimple.views.content.frame import FloatArray, Frame, MeshLayer
from dimple.views.drawing.class_regions import VALID_TINT_STRENGTH, name_positions
from dimple.views.napari.layout import LayerData
from dimple.views.style.colors import (
    FOREGROUND_COLOR,
    GRID_LINE_COLOR,
    MANIFOLD_COLOR,
    MUTED_COLOR,
    Color,
    class_color,
    depth_colors,
    tint,
    to_hex,
)
from dimple.views.vtk.class_regions3d import class_boundary_mesh

SNAPSHOT_AXIS = "snapshot"
AXIS_LABELS = {2: (SNAPSHOT_AXIS, "y", "x"), 3: (SNAPSHOT_AXIS, "z", "y", "x")}
BOUNDARY_LAYER = "boundary"
REGIONS_LAYER = "classes"
# A layer with this blending that is drawn first neither hides nor dims the layers after it.
BACKGROUND_OPTIONS = {"blending": "translucent_no_depth"}
# Width of a line as a fraction of the longest side of the box.
LINE_WIDTH_FRACTION = 0.004
# Of the names of classes, in pixels.
NAME_FONT_SIZE = 13
# Pixels to the left, above, to the right and below each point in which no class name is placed. The name of a point is
# on its right.
POINT_CLEARANCE = (16.0, 36.0, 150.0, 16.0)


def to_viewer_order(points: FloatArray, snapshot: int | None = None) -> FloatArray:
    """Return points `(N, n)` with reversed coordinates, preceded by the index of their snapshot if it is given.

    Example:
        >>> to_viewer_order(np.array([[1.0, 2.0, 3.0]]), 7).tolist()
        [[7.0, 3.0, 2.0, 1.0]]
    """
    reversed_points = points[:, ::-1]
    return reversed_points if snapshot is None else np.insert(reversed_points, 0, snapshot, axis=1)


def diverging_colormap(name: str) -> dict[str, Any]:
    """Return a napari colormap: blue for negative and class 0, orange for positive and class 1, pale for zero."""
    return {"name": name, "colors": depth_colors(np.linspace(-1.0, 1.0, 129), 1.0) / 255}


def box_layers(frame: Frame) -> list[LayerData]:
    """Return the edges of a 3-D box; no layer in the plane."""
    drawing = frame.drawing
    if drawing.ambient_dim == 2:
        return []
    corners = np.array(list(itertools.product(*zip(drawing.low, drawing.high, strict=True))))
    endpoints = [corners[[a, b]] for a, b in itertools.combinations(range(8), 2) if (a ^ b) in (1, 2, 4)]
    options = {"name": "box", "axis_labels": AXIS_LABELS[3][1:], **BACKGROUND_OPTIONS}
    return [_line_layer(to_viewer_order(np.concatenate(endpoints)), GRID_LINE_COLOR, frame, options)]


def manifold_layers(frame: Frame) -> list[LayerData]:
    """Return the data manifold, which is the same for all snapshots; no layer without a manifold."""
    layer = frame.drawing.layer("manifold")
    if layer is None or len(layer.mesh.faces) == 0:
        return []
    mesh = layer.mesh
    options: dict[str, Any] = {"name": "manifold", "axis_labels": AXIS_LABELS[mesh.ambient_dim][1:]}
    if mesh.faces.shape[1] == 2:
        endpoints = to_viewer_order(mesh.vertices[mesh.faces].reshape(-1, mesh.ambient_dim))
        return [_line_layer(endpoints, MANIFOLD_COLOR, frame, options)]
    gray = {"name": "manifold", "colors": [to_hex(MANIFOLD_COLOR)] * 2}
    options |= {"colormap": gray, "opacity": 0.15, "shading": "none", **BACKGROUND_OPTIONS}
    return [((to_viewer_order(mesh.vertices), mesh.faces), options, "surface")]


def region_layers(frames: Sequence[Frame]) -> list[LayerData]:
    """Return the class regions of a plane, with class names under the cursor; no layer in space or without regions."""
    drawing = frames[0].drawing
    if drawing.class_regions is None or drawing.ambient_dim == 3:
        return []
    regions = np.stack(
        [frame.drawing.class_regions.label_grid for frame in frames if frame.drawing.class_regions is not None]
    )
    scale = (np.array(drawing.high) - drawing.low)[::-1] / regions.shape[1:]
    # Label 0 is napari's background.
    tints = [to_hex(tint(class_color(label), VALID_TINT_STRENGTH)) for label in range(int(regions.max()) + 1)]
    colors: dict[int | None, str] = {None: "transparent", **dict(enumerate(["transparent", *tints]))}
    options = {
        "name": REGIONS_LAYER,
        "axis_labels": AXIS_LABELS[2],
        "colormap": colors,
        "features": {"class": ["", *drawing.class_regions.class_names]},
        "opacity": 1.0,
        "scale": (1.0, *scale),
        # The center of the first grid cell.
        "translate": (0.0, *(np.array(drawing.low)[::-1] + scale / 2)),
    }
    return [((regions + 1).astype(np.int32), options, "labels")]


def name_layers(frames: Sequence[Frame]) -> list[LayerData]:
    """Return the class names in the regions of a plane; no layer in space or without regions."""
    drawings = [frame.drawing for frame in frames]
    found = [
        (name, to_viewer_order(position[None], index))
        for index, drawing in enumerate(drawings)
        if drawing.class_regions is not None and drawing.ambient_dim == 2
        for name, position in name_positions(drawing, drawing.class_regions, NAME_FONT_SIZE, POINT_CLEARANCE)
    ]
    if not found:
        return []
    options = {
        "name": "names",
        "axis_labels": AXIS_LABELS[2],
        "features": {"class": [name for name, _ in found]},
        "text": {
            "string": "{class}",
            "size": NAME_FONT_SIZE - 4,
            "color": to_hex(FOREGROUND_COLOR),
            "anchor": "center",
        },
        "face_color": "transparent",
        "border_color": "transparent",
        "size": LINE_WIDTH_FRACTION * drawings[0].longest_side,
    }
    return [(np.concatenate([position for _, position in found]), options, "points")]


def boundary_layers(frames: Sequence[Frame]) -> list[LayerData]:
    """Return the boundary of all snapshots as one layer, and the perturbations; no layer without any boundary."""
    numbered = [(index, frame.drawing.layer("boundary")) for index, frame in enumerate(frames)]
    layers = [(index, layer) for index, layer in numbered if layer is not None and len(layer.mesh.faces)]
    if not layers:
        return []
    options: dict[str, Any] = {"name": BOUNDARY_LAYER, "axis_labels": AXIS_LABELS[frames[0].drawing.ambient_dim]}
    if frames[0].drawing.ambient_dim == 2:
        endpoints = [
            to_viewer_order(layer.mesh.vertices[layer.mesh.faces].reshape(-1, 2), index) for index, layer in layers
        ]
        boundary = _line_layer(np.concatenate(endpoints), FOREGROUND_COLOR, frames[0], options)
    elif layers[0][1].class_pairs is None:
        boundary = _depth_surface(layers, frames[0].depth_scale, options)
    else:
        boundary = _class_surface(layers, frames, options)
    return [boundary, _perturbation_layer(frames)]


def _depth_surface(
    numbered_layers: Sequence[tuple[int, MeshLayer]], depth_scale: float, options: dict[str, Any]
) -> LayerData:
    """Return surfaces in space, colored by their manifold depth."""
    depths = [
        np.zeros(len(layer.mesh.vertices)) if layer.manifold_depth is None else layer.manifold_depth
        for _, layer in numbered_layers
    ]
    vertices, faces = _join_surfaces(
        [(index, layer.mesh.vertices, layer.mesh.faces) for index, layer in numbered_layers]
    )
    values = np.concatenate(depths).astype(np.float32)
    colors = {"colormap": diverging_colormap("depth of the manifold"), "contrast_limits": (-depth_scale, depth_scale)}
    return (vertices, faces, values), options | colors | {"shading": "smooth"}, "surface"


def _class_surface(
    numbered_layers: Sequence[tuple[int, MeshLayer]], frames: Sequence[Frame], options: dict[str, Any]
) -> LayerData:
    """Return both faces of the boundary of many classes, each in the color of the class that it faces."""
    meshes = [(index, class_boundary_mesh(layer, frames[index].drawing)) for index, layer in numbered_layers]
    surface = _join_surfaces([(index, mesh.positions, mesh.faces) for index, mesh in meshes])
    colors = np.concatenate([mesh.colors() / 255 for _, mesh in meshes]).astype(np.float32)
    return surface, options | {"vertex_colors": colors, "shading": "smooth"}, "surface"


def _join_surfaces(
    surfaces: Sequence[tuple[int, FloatArray, NDArray[np.int64]]],
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Join surfaces of several snapshots into one, with the index of the snapshot as first coordinate."""
    starts = np.cumsum([0, *[len(vertices) for _, vertices, _ in surfaces]])
    vertices = np.concatenate([to_viewer_order(vertices, index) for index, vertices, _ in surfaces]).astype(np.float32)
    return vertices, np.concatenate([faces + start for (*_, faces), start in zip(surfaces, starts, strict=False)])


def _line_layer(endpoints: FloatArray, color: Color, frame: Frame, options: dict[str, Any]) -> LayerData:
    """Return line segments, given by both endpoints in turn."""
    start = endpoints[::2]
    end = endpoints[1::2]
    style = {
        "edge_color": to_hex(color),
        "edge_width": 1.3 * LINE_WIDTH_FRACTION * frame.drawing.longest_side,
        "vector_style": "line",
        "opacity": 1.0,
    }
    return np.stack([start, end - start], axis=1), options | style, "vectors"


def _perturbation_layer(frames: Sequence[Frame]) -> LayerData:
    """Return the vectors from every training point to its nearest boundary point, if there is one."""
    vectors = []
    features = []
    for index, frame in enumerate(frames):
        positions = frame.drawing.points.positions
        closest = frame.drawing.closest_boundary_points()
        found = np.flatnonzero(np.isfinite(closest).all(1))
        steps = closest[found] - positions[found]
        vectors.append(np.stack([to_viewer_order(positions[found], index), to_viewer_order(steps, 0)], axis=1))
        length = np.linalg.norm(steps, axis=1)
        features.append({"step": np.full(len(found), frame.step), "index": found, "length": length})
    options = {
        "name": "perturbations",
        "axis_labels": AXIS_LABELS[frames[0].drawing.ambient_dim],
        "features": {name: np.concatenate([part[name] for part in features]) for name in features[0]},
        "edge_color": to_hex(MUTED_COLOR),
        "edge_width": LINE_WIDTH_FRACTION * frames[0].drawing.longest_side,
        "vector_style": "line",
        "opacity": 1.0,
    }
    return np.concatenate(vectors), options, "vectors"

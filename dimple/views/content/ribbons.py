"""Scenes of the plane embedded in space, with curves as ribbons, for views that can only draw in space."""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dimple.levelsets.mesh import Mesh
from dimple.views.content.frame import CrossSection, CrossSectionPlane, Drawing, Frame, MeshLayer

# Fractions of the longest side of the box: from a curve to the outer edges of its ribbon, and from the curve to the
# inner edges.
RIBBON_HALF_WIDTH = 9e-3
RIBBON_SEPARATION = 2e-4
# The same for a line between the regions of many classes, which has no inner edges.
LINE_HALF_WIDTH = 1.6e-3


def embed_frame_in_3d(frame: Frame) -> Frame:
    """Embed a frame of the plane in space, at z = 0, with curves as ribbons; return a frame of space unchanged.

    The ribbon of the boundary has, on either side of the curve, the color of the class on that side.
    """
    flat = frame.drawing
    if flat.ambient_dim == 3:
        return frame
    side = flat.longest_side
    lift = np.array([0.0, 0.0, RIBBON_SEPARATION * side])
    layers = []
    for layer in flat.layers:
        if flat.class_regions is not None:
            line = build_ribbon(layer.mesh, -LINE_HALF_WIDTH * side, LINE_HALF_WIDTH * side)
            layers.append(MeshLayer(Mesh(line.vertices + lift, line.faces), layer.role))
        elif layer.role == "boundary":
            left, right = (
                build_ribbon(layer.mesh, sign * RIBBON_SEPARATION * side, sign * RIBBON_HALF_WIDTH * side)
                for sign in (1, -1)
            )
            count = len(left.vertices)
            vertices = np.concatenate([left.vertices, right.vertices])
            both = Mesh(vertices, np.concatenate([left.faces, right.faces + count]))
            depth = np.repeat([frame.depth_scale, -frame.depth_scale], count)
            layers.append(MeshLayer(both, "boundary", depth))
        else:
            under = build_ribbon(layer.mesh, -RIBBON_HALF_WIDTH * side / 2, RIBBON_HALF_WIDTH * side / 2)
            layers.append(MeshLayer(Mesh(under.vertices - lift, under.faces), layer.role))
    points = dataclasses.replace(flat.points, positions=np.insert(flat.points.positions, 2, 0.0, axis=1))
    low = (*flat.low, -RIBBON_SEPARATION * side)
    high = (*flat.high, RIBBON_SEPARATION * side)
    drawing = Drawing(tuple(layers), points, low, high, class_regions=flat.class_regions)
    plane = CrossSectionPlane(np.zeros(3), np.eye(3)[:2])
    return dataclasses.replace(frame, drawing=drawing, cross_section=CrossSection(plane, flat))


def build_ribbon(curve: Mesh, right_offset: float, left_offset: float) -> Mesh:
    """Return the segments of a curve in the plane as quadrangles in the plane z = 0 of space.

    Args:
        curve: directed segments.
        right_offset: distance of the right edge of the ribbon from the curve, positive to the left.
        left_offset: distance of the left edge of the ribbon from the curve, positive to the left.

    Example:
        >>> curve = Mesh(np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([[0, 1]]))
        >>> build_ribbon(curve, 0.0, 0.5).vertices[[0, 2]].tolist()
        [[0.0, 0.0, 0.0], [0.0, 0.5, 0.0]]
    """
    return _build_quads(curve, (right_offset, left_offset), (0.0, 0.0))


def extrude_curve(curve: Mesh, half_height: float, offset: float) -> Mesh:
    """Return the segments of a curve, moved by `offset` to their left, extruded from -half_height to half_height.

    Example:
        >>> curve = Mesh(np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([[0, 1]]))
        >>> extrude_curve(curve, 0.5, 0.25).vertices[:2].tolist()
        [[0.0, 0.25, -0.5], [1.0, 0.25, -0.5]]
    """
    return _build_quads(curve, (offset, offset), (-half_height, half_height))


def _build_quads(curve: Mesh, offsets: tuple[float, float], heights: tuple[float, float]) -> Mesh:
    """Return one quadrangle for each segment; the two long edges have these offsets to the left and these heights."""
    ends = curve.vertices[curve.faces]
    direction = ends[:, 1] - ends[:, 0]
    length = np.linalg.norm(direction, axis=1, keepdims=True)
    left = (np.stack([-direction[:, 1], direction[:, 0]], axis=1) / np.where(length > 0, length, 1.0))[:, None]
    edges = [
        np.insert((ends + offset * left).reshape(-1, 2), 2, height, axis=1)
        for offset, height in zip(offsets, heights, strict=True)
    ]
    count = len(edges[0])
    a, b = np.arange(count, dtype=np.int64).reshape(-1, 2).T
    faces = np.concatenate([np.stack([a, a + count, b], 1), np.stack([b, a + count, b + count], 1)])
    return Mesh(np.concatenate(edges), faces)


def map_to_ribbons(curve: Mesh, values: NDArray[Any]) -> NDArray[Any]:
    """Return values at the vertices of a boundary in the plane as values at the vertices of its ribbon in space.

    The ribbon is the one that `embed_frame_in_3d` makes.

    Example:
        >>> map_to_ribbons(Mesh(np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([[0, 1]])), np.array([5, 6])).tolist()
        [5, 6, 5, 6, 5, 6, 5, 6]
    """
    # The ribbon has two halves with two edges each.
    return np.concatenate([values[curve.faces.ravel()]] * 4)

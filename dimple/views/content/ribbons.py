"""Scenes of the plane, laid on a floor in space, for views that only know how to draw space."""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dimple.levelsets.mesh import Mesh
from dimple.views.content.frame import Drawing, Frame, Layer, Plane, Section

# In shares of the box: from the curve to the outer edges of its ribbon, and between its two sides.
HALF_WIDTH, SEAM = 9e-3, 2e-4
# Half of a line between many classes.
LINE = 1.6e-3


def in_space(frame: Frame) -> Frame:
    """A frame of the plane laid on the floor of a space, its curves as ribbons; frames of space as they are.

    The ribbon of the boundary shows, on either side of the curve, the colour of the class on that side.
    """
    flat = frame.drawing
    if flat.ambient_dim == 3:
        return frame
    side = flat.side
    layers = []
    for layer in flat.layers:
        if flat.classes is not None:
            line = ribbon(layer.mesh, -LINE * side, LINE * side)
            layers.append(Layer(Mesh(line.vertices + np.array([0.0, 0.0, SEAM * side]), line.faces), layer.role))
        elif layer.role == "boundary":
            left, right = (ribbon(layer.mesh, sign * SEAM * side, sign * HALF_WIDTH * side) for sign in (1, -1))
            count = len(left.vertices)
            vertices, faces = ((left.vertices, right.vertices), (left.faces, right.faces + count))
            both = Mesh(np.concatenate(vertices), np.concatenate(faces))
            depth = np.repeat([frame.relief_scale, -frame.relief_scale], count)
            layers.append(Layer(both, "boundary", depth))
        else:
            under = ribbon(layer.mesh, -HALF_WIDTH * side / 2, HALF_WIDTH * side / 2)
            layers.append(Layer(Mesh(under.vertices - [0.0, 0.0, SEAM * side], under.faces), layer.role))
    points = dataclasses.replace(flat.points, positions=np.insert(flat.points.positions, 2, 0.0, axis=1))
    low, high = (*flat.low, -SEAM * side), (*flat.high, SEAM * side)
    drawing = Drawing(tuple(layers), points, low, high, classes=flat.classes)
    floor = Plane(np.zeros(3), np.eye(3)[:2])
    return dataclasses.replace(frame, drawing=drawing, section=Section(floor, flat))


def ribbon(curve: Mesh, right: float, left: float) -> Mesh:
    """Segments of the plane on the floor of a space, drawn wide from one distance to their left to another.

    Example:
        >>> ribbon(Mesh(np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([[0, 1]])), 0.0, 0.5).vertices[[0, 2]].tolist()
        [[0.0, 0.0, 0.0], [0.0, 0.5, 0.0]]
    """
    return _strips(curve, (right, left), (0.0, 0.0))


def walls(curve: Mesh, half: float, shift: float) -> Mesh:
    """Segments of the plane swept from height -half to half, each moved by `shift` to its left.

    Example:
        >>> walls(Mesh(np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([[0, 1]])), 0.5, 0.25).vertices[:2].tolist()
        [[0.0, 0.25, -0.5], [1.0, 0.25, -0.5]]
    """
    return _strips(curve, (shift, shift), (-half, half))


def _strips(curve: Mesh, shifts: tuple[float, float], heights: tuple[float, float]) -> Mesh:
    """Segments as quadrangles, whose two long edges lie so far to the left of the curve, and so high."""
    ends = curve.vertices[curve.faces]
    run = ends[:, 1] - ends[:, 0]
    length = np.linalg.norm(run, axis=1, keepdims=True)
    left = (np.stack([-run[:, 1], run[:, 0]], axis=1) / np.where(length > 0, length, 1.0))[:, None]
    edges = [
        np.insert((ends + shift * left).reshape(-1, 2), 2, height, axis=1)
        for shift, height in zip(shifts, heights, strict=True)
    ]
    count = len(edges[0])
    a, b = np.arange(count, dtype=np.int64).reshape(-1, 2).T
    faces = np.concatenate([np.stack([a, a + count, b], 1), np.stack([b, a + count, b + count], 1)])
    return Mesh(np.concatenate(edges), faces)


def onto_ribbons(curve: Mesh, values: NDArray[Any]) -> NDArray[Any]:
    """Values at the vertices of a boundary in the plane, put onto the vertices of its ribbons by `in_space`.

    Example:
        >>> onto_ribbons(Mesh(np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([[0, 1]])), np.array([5, 6])).tolist()
        [5, 6, 5, 6, 5, 6, 5, 6]
    """
    # One on either side, each with two edges.
    return np.concatenate([values[curve.faces.ravel()]] * 4)

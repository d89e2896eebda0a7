"""Scenes of the plane, laid on a floor in space, for views that only know how to draw space."""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dimple.boundary.mesh import Mesh
from dimple.views.frame import Drawing, Frame, Layer, Plane, Section


def in_space(frame: Frame) -> Frame:
    """A frame of the plane laid on a floor in space, its curves as upright walls; frames of space as they are.

    Each wall of the boundary shows, on either face, the colour of the class on that side.
    """
    flat = frame.drawing
    if flat.ambient_dim == 3:
        return frame
    side = max(b - a for a, b in zip(flat.low, flat.high, strict=True))
    half = 0.02 * side
    layers = []
    for layer in flat.layers:
        if layer.role == "boundary":
            left, right = (walls(layer.mesh, half, shift * 1e-3 * side) for shift in (1, -1))
            count = len(left.vertices)
            vertices, faces = ((left.vertices, right.vertices), (left.faces, right.faces + count))
            both = Mesh(np.concatenate(vertices), np.concatenate(faces))
            depth = np.repeat([frame.relief_scale, -frame.relief_scale], count)
            layers.append(Layer(both, "boundary", depth))
        else:
            layers.append(Layer(walls(layer.mesh, half / 2, 0.0), layer.role))
    points = dataclasses.replace(flat.points, positions=np.insert(flat.points.positions, 2, 0.0, axis=1))
    drawing = Drawing(tuple(layers), points, (*flat.low, -half), (*flat.high, half))
    floor = Plane(np.zeros(3), np.eye(3)[:2])
    return dataclasses.replace(frame, drawing=drawing, section=Section(floor, flat))


def walls(curve: Mesh, half: float, shift: float) -> Mesh:
    """Segments of the plane swept from height -half to half, each moved by `shift` to its left.

    Example:
        >>> walls(Mesh(np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([[0, 1]])), 0.5, 0.25).vertices[:2].tolist()
        [[0.0, 0.25, -0.5], [1.0, 0.25, -0.5]]
    """
    ends = curve.vertices[curve.faces]
    run = ends[:, 1] - ends[:, 0]
    length = np.linalg.norm(run, axis=1, keepdims=True)
    left = np.stack([-run[:, 1], run[:, 0]], axis=1) / np.where(length > 0, length, 1.0)
    flat = (ends + shift * left[:, None]).reshape(-1, 2)
    count = len(flat)
    a, b = np.arange(count, dtype=np.int64).reshape(-1, 2).T
    faces = np.concatenate([np.stack([a, a + count, b], 1), np.stack([b, a + count, b + count], 1)])
    return Mesh(np.concatenate([np.insert(flat, 2, height, axis=1) for height in (-half, half)]), faces)


def onto_walls(curve: Mesh, values: NDArray[Any]) -> NDArray[Any]:
    """Values at the vertices of a boundary in the plane, put onto the vertices of its two-faced wall by `in_space`.

    Example:
        >>> onto_walls(Mesh(np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([[0, 1]])), np.array([5, 6])).tolist()
        [5, 6, 5, 6, 5, 6, 5, 6]
    """
    # Two faces, each with a lower and an upper rim.
    return np.concatenate([values[curve.faces.ravel()]] * 4)

"""Closest points on a mesh, exact for faces of any shape and size, found in a tree of boxes by compiled code.

This module is imported only when closest points are needed, because numba takes a second to load.
"""

import numpy as np
from numpy.typing import NDArray

from dimple.errors import ShapeError
from dimple.jit import jit_compile
from dimple.levelsets.mesh import Mesh

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
# Faces in one leaf of the tree, at most.
MAX_FACES_PER_LEAF = 4


def closest_points_on_mesh(mesh: Mesh, points: Floats) -> Floats:
    """Return the closest point of the mesh to each point `(N, n)`, as `(N, n)`; nan for an empty mesh.

    Raises:
        ShapeError: if the points do not have the dimension of the mesh.

    Example:
        >>> line = Mesh(np.array([[0.0, 0.0], [2.0, 0.0]]), np.array([[0, 1]]))
        >>> closest_points_on_mesh(line, np.array([[0.5, 1.0], [3.0, 1.0]])).tolist()
        [[0.5, 0.0], [2.0, 0.0]]
    """
    if points.ndim != 2 or points.shape[1] != mesh.ambient_dim:
        raise ShapeError(f"points have shape {points.shape}; the mesh needs (N, {mesh.ambient_dim})")
    closest = np.full((len(points), 3), np.nan)
    if len(mesh.faces):
        # A curve in the plane is a curve in space with z = 0.
        missing = 3 - mesh.ambient_dim
        corners = np.pad(mesh.vertices, ((0, 0), (0, missing)))[mesh.faces]
        _search_box_tree(np.pad(points, ((0, 0), (0, missing))), *_build_box_tree(corners), closest)
    return closest[:, : mesh.ambient_dim]


def _build_box_tree(corners: Floats) -> tuple[Floats, Floats, Ints]:
    """Split faces `(F, 2 or 3, 3)` in halves recursively, along the axis on which their centers have the largest range.

    Returns:
        The faces in the order of the leaves; the bounding boxes `(2 leaves, 2, 3)` of the nodes, from the root, number
        1, to the leaves, where node i has the children 2 i and 2 i + 1; the index of the first face of each leaf.
    """
    centers = corners.mean(1)
    count = len(corners)
    order = np.arange(count)
    starts = np.array([0, count])
    level = 0
    while count >> level > MAX_FACES_PER_LEAF:
        extent = _reduce_groups(np.maximum, centers[order], starts) - _reduce_groups(np.minimum, centers[order], starts)
        node = np.repeat(np.arange(len(extent)), np.diff(starts))
        order = order[np.lexsort((centers[order, extent.argmax(1)[node]], node))]
        level += 1
        starts = np.arange((1 << level) + 1) * count >> level
    low = _reduce_groups(np.minimum, corners[order].min(1), starts)
    high = _reduce_groups(np.maximum, corners[order].max(1), starts)
    boxes = [np.stack([low, high], axis=1)]
    while len(boxes[0]) > 1:
        one = boxes[0][::2]
        other = boxes[0][1::2]
        boxes.insert(0, np.stack([np.minimum(one, other)[:, 0], np.maximum(one, other)[:, 1]], axis=1))
    return corners[order], np.concatenate([boxes[0], *boxes]), starts


def _reduce_groups(function: np.ufunc, rows: Floats, starts: Ints) -> Floats:
    reduced: Floats = function.reduceat(rows, starts[:-1], axis=0)
    return reduced


@jit_compile
def _search_box_tree(points: Floats, corners: Floats, boxes: Floats, starts: Ints, closest_points: Floats) -> None:
    """Fill `closest_points`: search the tree for each point, nearer child first, skipping boxes that are too far."""
    candidate = np.empty(3)
    stack = np.empty(64, dtype=np.int64)
    leaves = len(starts) - 1
    for p in range(len(points)):
        point = points[p]
        best = np.inf
        if p > 0:
            # Neighboring points in the array are mostly close to each other.
            closest_points[p] = closest_points[p - 1]
            best = _squared_distance(point, closest_points[p])
        stack[0] = 1
        size = 1
        while size > 0:
            size -= 1
            node = stack[size]
            if _squared_distance_to_box(point, boxes[node]) >= best:
                continue
            if node < leaves:
                nearer = _squared_distance_to_box(point, boxes[2 * node]) > _squared_distance_to_box(
                    point, boxes[2 * node + 1]
                )
                stack[size] = 2 * node + (not nearer)
                stack[size + 1] = 2 * node + nearer
                size += 2
                continue
            for f in range(starts[node - leaves], starts[node - leaves + 1]):
                _closest_point_on_face(point, corners[f], candidate)
                distance = _squared_distance(point, candidate)
                if distance < best:
                    best = distance
                    closest_points[p] = candidate


@jit_compile
def _squared_distance_to_box(point: Floats, box: Floats) -> float:
    total = 0.0
    for i in range(3):
        total += max(box[0, i] - point[i], point[i] - box[1, i], 0.0) ** 2
    return total


@jit_compile
def _squared_distance(a: Floats, b: Floats) -> float:
    x = a[0] - b[0]
    y = a[1] - b[1]
    z = a[2] - b[2]
    return float(x * x + y * y + z * z)


@jit_compile
def _dot(a: Floats, b: Floats, origin: Floats) -> float:
    """Return the scalar product of two points relative to `origin`."""
    total = 0.0
    for i in range(3):
        total += (a[i] - origin[i]) * (b[i] - origin[i])
    return total


@jit_compile
def _closest_point_on_face(point: Floats, corners: Floats, closest_point: Floats) -> None:
    """Fill `closest_point` with the projection onto the triangle if it lies inside, else with one on its sides."""
    if len(corners) == 3:
        a, b, c = corners
        uu = _dot(b, b, a)
        uv = _dot(b, c, a)
        vv = _dot(c, c, a)
        pu = _dot(point, b, a)
        pv = _dot(point, c, a)
        area = uu * vv - uv * uv
        # Barycentric coordinates times `area`.
        s = vv * pu - uv * pv
        t = uu * pv - uv * pu
        if area > 0 and s >= 0 and t >= 0 and s + t <= area:
            for i in range(3):
                closest_point[i] = a[i] + (s * (b[i] - a[i]) + t * (c[i] - a[i])) / area
            return
    best = np.inf
    candidate = np.empty(3)
    for k in range(len(corners)):
        start = corners[k]
        end = corners[(k + 1) % len(corners)]
        length = _dot(end, end, start)
        fraction = min(max(_dot(point, end, start) / length, 0.0), 1.0) if length > 0 else 0.0
        for i in range(3):
            candidate[i] = start[i] + fraction * (end[i] - start[i])
        if _squared_distance(point, candidate) < best:
            best = _squared_distance(point, candidate)
            closest_point[:] = candidate

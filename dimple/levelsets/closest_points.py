"""The places of a mesh that are nearest to points, compiled by numba: exact for pieces of any shape and size.

Imported only where places are asked for: numba takes a second to load.
"""

import numpy as np
from numpy.typing import NDArray

from dimple.errors import ShapeError
from dimple.jit import compiled
from dimple.levelsets.mesh import Mesh

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
# Pieces that are not told apart by boxes.
LEAF = 4


def nearest_places(mesh: Mesh, points: Floats) -> Floats:
    """The nearest place of triangles or segments to each point `(N, n)`, as `(N, n)`; nan where the mesh is empty.

    Example:
        >>> line = Mesh(np.array([[0.0, 0.0], [2.0, 0.0]]), np.array([[0, 1]]))
        >>> nearest_places(line, np.array([[0.5, 1.0], [3.0, 1.0]])).tolist()
        [[0.5, 0.0], [2.0, 0.0]]
    """
    if points.ndim != 2 or points.shape[1] != mesh.ambient_dim:
        raise ShapeError(f"points have shape {points.shape}; the mesh needs (N, {mesh.ambient_dim})")
    places = np.full((len(points), 3), np.nan)
    if len(mesh.faces):
        # A curve is looked at in space, where its segments lie on the floor.
        missing = 3 - mesh.ambient_dim
        corners = np.pad(mesh.vertices, ((0, 0), (0, missing)))[mesh.faces]
        _search(np.pad(points, ((0, 0), (0, missing))), *_tree(corners), places)
    return places[:, : mesh.ambient_dim]


def _tree(corners: Floats) -> tuple[Floats, Floats, Ints]:
    """Pieces `(F, 2 or 3, 3)` halved again and again across the axis along which their middles spread most.

    Returns:
        The pieces in the order in which the leaves hold them; the boxes `(2 leaves, 2, 3)` around the pieces of each
        node, whose halves are the nodes 2 i and 2 i + 1, from the root 1 to the leaves; where each leaf begins.
    """
    middles, count = corners.mean(1), len(corners)
    order, starts, level = np.arange(count), np.array([0, count]), 0
    while count >> level > LEAF:
        spread = _within(np.maximum, middles[order], starts) - _within(np.minimum, middles[order], starts)
        node = np.repeat(np.arange(len(spread)), np.diff(starts))
        order = order[np.lexsort((middles[order, spread.argmax(1)[node]], node))]
        level += 1
        starts = np.arange((1 << level) + 1) * count >> level
    low, high = _within(np.minimum, corners[order].min(1), starts), _within(np.maximum, corners[order].max(1), starts)
    boxes = [np.stack([low, high], axis=1)]
    while len(boxes[0]) > 1:
        one, other = boxes[0][::2], boxes[0][1::2]
        boxes.insert(0, np.stack([np.minimum(one, other)[:, 0], np.maximum(one, other)[:, 1]], axis=1))
    return corners[order], np.concatenate([boxes[0], *boxes]), starts


def _within(function: np.ufunc, rows: Floats, starts: Ints) -> Floats:
    reduced: Floats = function.reduceat(rows, starts[:-1], axis=0)
    return reduced


@compiled
def _search(points: Floats, corners: Floats, boxes: Floats, starts: Ints, places: Floats) -> None:
    """Each point down the tree, into the nearer half first, past all boxes beyond the nearest place so far."""
    place, todo, leaves = np.empty(3), np.empty(64, dtype=np.int64), len(starts) - 1
    for p in range(len(points)):
        point, best = points[p], np.inf
        if p > 0:
            # The next point is mostly close to the last one.
            places[p] = places[p - 1]
            best = _squared(point, places[p])
        todo[0], waiting = 1, 1
        while waiting > 0:
            waiting -= 1
            node = todo[waiting]
            if _squared_to_box(point, boxes[node]) >= best:
                continue
            if node < leaves:
                near = _squared_to_box(point, boxes[2 * node]) > _squared_to_box(point, boxes[2 * node + 1])
                todo[waiting], todo[waiting + 1] = 2 * node + (not near), 2 * node + near
                waiting += 2
                continue
            for f in range(starts[node - leaves], starts[node - leaves + 1]):
                _nearest_of_piece(point, corners[f], place)
                distance = _squared(point, place)
                if distance < best:
                    best = distance
                    places[p] = place


@compiled
def _squared_to_box(point: Floats, box: Floats) -> float:
    total = 0.0
    for i in range(3):
        total += max(box[0, i] - point[i], point[i] - box[1, i], 0.0) ** 2
    return total


@compiled
def _squared(a: Floats, b: Floats) -> float:
    x, y, z = a[0] - b[0], a[1] - b[1], a[2] - b[2]
    return float(x * x + y * y + z * z)


@compiled
def _dot(a: Floats, b: Floats, origin: Floats) -> float:
    """The product of two places seen from a third."""
    total = 0.0
    for i in range(3):
        total += (a[i] - origin[i]) * (b[i] - origin[i])
    return total


@compiled
def _nearest_of_piece(point: Floats, corners: Floats, place: Floats) -> None:
    """The foot of the perpendicular onto a triangle where it lies inside, else the nearest place of its sides."""
    if len(corners) == 3:
        a, b, c = corners[0], corners[1], corners[2]
        uu, uv, vv = _dot(b, b, a), _dot(b, c, a), _dot(c, c, a)
        pu, pv = _dot(point, b, a), _dot(point, c, a)
        area = uu * vv - uv * uv
        along, across = vv * pu - uv * pv, uu * pv - uv * pu
        if area > 0 and along >= 0 and across >= 0 and along + across <= area:
            for i in range(3):
                place[i] = a[i] + (along * (b[i] - a[i]) + across * (c[i] - a[i])) / area
            return
    best, near = np.inf, np.empty(3)
    for k in range(len(corners)):
        start, end = corners[k], corners[(k + 1) % len(corners)]
        length = _dot(end, end, start)
        share = min(max(_dot(point, end, start) / length, 0.0), 1.0) if length > 0 else 0.0
        for i in range(3):
            near[i] = start[i] + share * (end[i] - start[i])
        if _squared(point, near) < best:
            best = _squared(point, near)
            place[:] = near

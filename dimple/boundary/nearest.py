"""The places of a mesh that are nearest to points, compiled by numba: exact for pieces of any shape and size.

Imported only where places are asked for: numba takes a second to load.
"""

import numpy as np
from numpy.typing import NDArray

from dimple.boundary.compiled import compiled
from dimple.boundary.mesh import Mesh
from dimple.errors import ShapeError

Floats = NDArray[np.float64]


def nearest_places(mesh: Mesh, points: Floats) -> Floats:
    """The nearest place of triangles or segments to each point `(N, n)`, as `(N, n)`; nan where the mesh is empty.

    Example:
        >>> line = Mesh(np.array([[0.0, 0.0], [2.0, 0.0]]), np.array([[0, 1]]))
        >>> nearest_places(line, np.array([[0.5, 1.0], [3.0, 1.0]])).tolist()
        [[0.5, 0.0], [2.0, 0.0]]
    """
    if points.ndim != 2 or points.shape[1] != mesh.ambient_dim:
        raise ShapeError(f"points have shape {points.shape}; the mesh needs (N, {mesh.ambient_dim})")
    # A curve is looked at in space, where its segments lie on the floor.
    missing = 3 - mesh.ambient_dim
    corners = np.pad(mesh.vertices, ((0, 0), (0, missing)))[mesh.faces]
    middles = corners.mean(1)
    radii = np.linalg.norm(corners - middles[:, None], axis=2).max(1, initial=0.0)
    places = np.full((len(points), 3), np.nan)
    _search(np.pad(points, ((0, 0), (0, missing))), corners, middles, radii, places)
    return places[:, : mesh.ambient_dim]


@compiled
def _search(points: Floats, corners: Floats, middles: Floats, radii: Floats, places: Floats) -> None:
    """Each point against all pieces whose balls come near enough; the middles of the pieces tell how near that is."""
    away, place = np.empty(len(middles)), np.empty(3)
    for p in range(len(points)):
        point, best = points[p], np.inf
        for f in range(len(middles)):
            away[f] = _squared(point, middles[f])
            best = min(best, away[f])
        for f in range(len(middles)):
            if np.sqrt(away[f]) - radii[f] <= np.sqrt(best):
                _nearest_of_piece(point, corners[f], place)
                distance = _squared(point, place)
                if distance <= best:
                    best = distance
                    places[p] = place


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

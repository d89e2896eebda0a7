"""The place of a mesh that is nearest to a point."""

import numpy as np
from scipy.spatial import cKDTree

from dimple.boundary.mesh import Mesh
from dimple.views.frame import Reals

# The nearest triangle is looked for among those whose middles are nearest.
CANDIDATES = 32


def nearest_places(mesh: Mesh, points: Reals) -> Reals:
    """The nearest place of triangles or segments to each point `(N, n)`, as `(N, n)`; nan where the mesh is empty.

    Exact where the nearest piece is among the 32 whose middles are nearest, so the pieces should be of like sizes.

    Example:
        >>> line = Mesh(np.array([[0.0, 0.0], [2.0, 0.0]]), np.array([[0, 1]]))
        >>> nearest_places(line, np.array([[0.5, 1.0], [3.0, 1.0]])).tolist()
        [[0.5, 0.0], [2.0, 0.0]]
    """
    if len(mesh.faces) == 0:
        return np.full(points.shape, np.nan)
    corners = mesh.vertices[mesh.faces]
    _, rows = cKDTree(corners.mean(1)).query(points, k=min(CANDIDATES, len(corners)))
    pieces = corners[rows.reshape(len(points), -1)]
    ends = [(k, (k + 1) % 3) for k in range(3)] if pieces.shape[2] == 3 else [(0, 1)]
    places = [_on_segments(points[:, None], pieces[:, :, a], pieces[:, :, b]) for a, b in ends]
    if pieces.shape[2] == 3:
        places.append(_on_triangles(points[:, None], pieces))
    found = np.concatenate(places, axis=1)
    away = np.linalg.norm(found - points[:, None], axis=2)
    return np.asarray(found[np.arange(len(points)), np.where(np.isnan(away), np.inf, away).argmin(1)])


def _on_segments(points: Reals, start: Reals, end: Reals) -> Reals:
    """The nearest places `(N, K, n)` of segments."""
    run = end - start
    square = (run**2).sum(2)
    share = ((points - start) * run).sum(2) / np.where(square > 0, square, 1.0)
    return np.asarray(start + share.clip(0, 1)[..., None] * run)


def _on_triangles(points: Reals, corners: Reals) -> Reals:
    """The feet `(N, K, 3)` of the perpendiculars onto triangles; nan where they miss."""
    first, second = corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0]
    offset = points - corners[:, :, 0]
    aa, ab, bb = ((u * v).sum(2) for u, v in ((first, first), (first, second), (second, second)))
    pa, pb = (offset * first).sum(2), (offset * second).sum(2)
    area = aa * bb - ab * ab
    area = np.where(area > 0, area, np.nan)
    along, across = (bb * pa - ab * pb) / area, (aa * pb - ab * pa) / area
    feet = corners[:, :, 0] + along[..., None] * first + across[..., None] * second
    inside = (along >= 0) & (across >= 0) & (along + across <= 1)
    return np.asarray(np.where(inside[..., None], feet, np.nan))

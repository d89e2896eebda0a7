"""Planar cross-sections: the choice of a plane through many training points, and the content of a scene in it."""

import numpy as np

from dimple.levelsets.mesh import Mesh
from dimple.views.content.frame import (
    CrossSection,
    CrossSectionPlane,
    Drawing,
    FloatArray,
    IntArray,
    MeshLayer,
    PointSet,
)
from dimple.views.content.manifold_depth import ManifoldProximity

# Number of points whose planes are compared; a better plane would not be worth more time.
MAX_CANDIDATE_POINTS = 80
# Shortest projection of the third axis of space onto a plane with which that axis still determines the vertical.
MIN_VERTICAL_LENGTH = 0.3


def choose_plane(positions: FloatArray, proximity: ManifoldProximity, tolerance: float) -> CrossSectionPlane:
    """Return the plane orthogonal to the manifold that passes within `tolerance` of the most training points `(N, 3)`.

    Every candidate contains two training points and the normal of the manifold at the first, so that dimples appear in
    their true depth. If several planes have the same count, the first one is taken. The third axis of space points up
    in the picture if the plane allows it, else the normal does.

    Args:
        positions: training points.
        proximity: search structure of the manifold.
        tolerance: largest distance of a point that counts from the plane.
    """
    best = None
    best_count = -1
    for origin in positions[:MAX_CANDIDATE_POINTS]:
        up = proximity.closest_normal(origin)
        horizontal = positions - origin
        horizontal = horizontal - (horizontal @ up)[:, None] * up
        length = np.linalg.norm(horizontal, axis=1)
        horizontal = horizontal[length > tolerance] / length[length > tolerance, None]
        normals = np.cross(horizontal, up)
        counts = (np.abs((positions - origin) @ normals.T) <= tolerance).sum(0) if len(normals) else np.zeros(0, int)
        if len(counts) and counts.max() > best_count:
            best_count = int(counts.max())
            best = (origin, horizontal[int(counts.argmax())], up)
    if best is None:
        origin = positions[0]
        up = proximity.closest_normal(origin)
        axis = np.eye(3)[int(np.abs(up).argmin())]
        best = (origin, _normalize(axis - (axis @ up) * up), up)
    return _orient_upright(*best)


def _orient_upright(origin: FloatArray, horizontal: FloatArray, up: FloatArray) -> CrossSectionPlane:
    """Return the plane of two orthonormal directions, rotated in itself so that the third axis of space points up."""
    normal = np.cross(horizontal, up)
    vertical = np.array([0.0, 0.0, 1.0]) - normal[2] * normal
    if np.linalg.norm(vertical) > MIN_VERTICAL_LENGTH:
        up = _normalize(vertical)
    horizontal = np.cross(up, normal)
    if horizontal[int(np.abs(horizontal).argmax())] < 0:
        horizontal = -horizontal
    return CrossSectionPlane(np.asarray(origin, dtype=np.float64), np.stack([horizontal, up]))


def _normalize(vector: FloatArray) -> FloatArray:
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float64)


def intersect_mesh_with_plane(mesh: Mesh, plane: CrossSectionPlane) -> Mesh:
    """Return the segments in which a surface meets a plane, in coordinates of the plane; class 1 is on their left.

    Example:
        >>> triangle = Mesh(np.array([[0.0, -1, -1], [0, 1, -1], [0, 0, 1]]), np.array([[0, 1, 2]]))
        >>> plane = CrossSectionPlane(np.zeros(3), np.eye(3)[:2])
        >>> intersect_mesh_with_plane(triangle, plane).vertices.tolist()
        [[0.0, 0.5], [0.0, -0.5]]
    """
    heights = (mesh.vertices - plane.origin) @ plane.normal
    above = (heights > 0)[mesh.faces]
    crossed = above.any(1) & ~above.all(1)
    faces = mesh.faces[crossed]
    above = above[crossed]
    # The vertex that is alone on its side comes first. The cyclic order stays, and with it the orientation.
    alone = np.where(above.sum(1) == 1, above.argmax(1), (~above).argmax(1))
    rows = np.arange(len(faces))
    tip, left, right = (faces[rows, (alone + shift) % 3] for shift in range(3))
    ends = [_edge_crossings(mesh.vertices, heights, tip, other) for other in (left, right)]
    segments = np.stack([plane.coordinates(end) for end in ends], axis=1)
    corners = mesh.vertices[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) @ plane.axes.T
    direction = segments[:, 1] - segments[:, 0]
    is_reversed = direction[:, 0] * normals[:, 1] - direction[:, 1] * normals[:, 0] < 0
    segments[is_reversed] = segments[is_reversed, ::-1]
    return Mesh(segments.reshape(-1, 2), np.arange(2 * len(segments), dtype=np.int64).reshape(-1, 2))


def _edge_crossings(vertices: FloatArray, heights: FloatArray, start: IntArray, end: IntArray) -> FloatArray:
    """Return the points of height zero on the edges from vertices `start` to vertices `end`."""
    fraction = (heights[start] / (heights[start] - heights[end]))[:, None]
    return np.asarray(vertices[start] + fraction * (vertices[end] - vertices[start]), dtype=np.float64)


def build_cross_section(drawing: Drawing, plane: CrossSectionPlane, tolerance: float) -> CrossSection:
    """Return the cross-section of a drawing in space, with the points within `tolerance` of the plane."""
    layers = tuple(MeshLayer(intersect_mesh_with_plane(layer.mesh, plane), layer.role) for layer in drawing.layers)
    points = drawing.points
    near = np.abs((points.positions - plane.origin) @ plane.normal) <= tolerance
    predictions = None if points.predictions is None else points.predictions[near]
    near_points = PointSet(plane.coordinates(points.positions[near]), points.labels[near], predictions)
    polygon = intersect_box_with_plane(drawing, plane)
    low, high = _crop_bounds(drawing, polygon)
    note = f"cross-section through {int(near.sum())} of {len(near)} training points"
    return CrossSection(plane, Drawing(layers, near_points, low, high, polygon), note)


def intersect_box_with_plane(drawing: Drawing, plane: CrossSectionPlane) -> FloatArray:
    """Return the polygon in which a plane meets the box of a drawing, `(P, 2)`, in the coordinates of the plane.

    The vertices are ordered counterclockwise.

    Example:
        >>> cube = Drawing((), PointSet(np.zeros((0, 3)), np.zeros(0, dtype=np.int64)), (-1.0,) * 3, (1.0,) * 3)
        >>> intersect_box_with_plane(cube, CrossSectionPlane(np.zeros(3), np.eye(3)[:2])).tolist()
        [[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]]
    """
    low = np.array(drawing.low)
    high = np.array(drawing.high)
    unit = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
    corners = low + unit * (high - low)
    heights = (corners - plane.origin) @ plane.normal
    first, second = np.array([(a, b) for a in range(8) for b in range(a) if np.abs(unit[a] - unit[b]).sum() == 1]).T
    crossed = (heights[first] > 0) != (heights[second] > 0)
    points = plane.coordinates(_edge_crossings(corners, heights, first[crossed], second[crossed]))
    centered = points - points.mean(0) if len(points) else points
    return np.asarray(points[np.argsort(np.arctan2(centered[:, 1], centered[:, 0]))], dtype=np.float64)


def _crop_bounds(drawing: Drawing, polygon: FloatArray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return bounds around the center of a polygon, at most as large as the longest side of the box."""
    half = drawing.longest_side / 2
    low = polygon.min(0)
    high = polygon.max(0)
    center = (low + high) / 2
    return tuple(map(float, np.maximum(low, center - half))), tuple(map(float, np.minimum(high, center + half)))

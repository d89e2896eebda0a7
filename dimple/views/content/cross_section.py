"""Planar cuts: which plane through a scene shows most of its training points, and what the surfaces look like in it."""

import numpy as np

from dimple.levelsets.mesh import Mesh
from dimple.views.content.frame import Drawing, Layer, Plane, PointSet, Reals, Section, Whole
from dimple.views.content.manifold_depth import Feet

# Beyond this many candidate points a better plane is not worth the wait.
CANDIDATES = 80


def choose_plane(positions: Reals, feet: Feet, tolerance: float) -> Plane:
    """The plane that passes within `tolerance` of the most training points `(N, 3)` and cuts the manifold squarely.

    Every candidate holds two training points and the normal of the manifold at the first, so that dimples are seen in
    their true depth; equal counts go to the first pair. The viewer's up is the third axis of space where the plane
    allows it, else the normal.
    """
    best, most = None, -1
    for first in positions[:CANDIDATES]:
        up = feet.normal_at(first)
        along = positions - first
        along = along - (along @ up)[:, None] * up
        length = np.linalg.norm(along, axis=1)
        along = along[length > tolerance] / length[length > tolerance, None]
        sides = np.cross(along, up)
        counts = (np.abs((positions - first) @ sides.T) <= tolerance).sum(0) if len(sides) else np.zeros(0, int)
        if len(counts) and counts.max() > most:
            most = int(counts.max())
            best = (first, along[int(counts.argmax())], up)
    if best is None:
        first = positions[0]
        up = feet.normal_at(first)
        across = np.eye(3)[int(np.abs(up).argmin())]
        best = (first, _unit(across - (across @ up) * up), up)
    return _upright(*best)


def _upright(origin: Reals, along: Reals, up: Reals) -> Plane:
    """The plane of two orthonormal directions, turned until the third axis of space points up in it."""
    normal = np.cross(along, up)
    third = np.array([0.0, 0.0, 1.0]) - normal[2] * normal
    if np.linalg.norm(third) > 0.3:
        up = _unit(third)
    along = np.cross(up, normal)
    if along[int(np.abs(along).argmax())] < 0:
        along = -along
    return Plane(np.asarray(origin, dtype=np.float64), np.stack([along, up]))


def _unit(vector: Reals) -> Reals:
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float64)


def cut(mesh: Mesh, plane: Plane) -> Mesh:
    """The segments in which a surface meets a plane, in the plane's coordinates, class 1 on their left.

    Example:
        >>> upright = Mesh(np.array([[0.0, -1, -1], [0, 1, -1], [0, 0, 1]]), np.array([[0, 1, 2]]))
        >>> floor = Plane(np.zeros(3), np.eye(3)[:2])
        >>> cut(upright, floor).vertices.tolist()
        [[0.0, 0.5], [0.0, -0.5]]
    """
    height = (mesh.vertices - plane.origin) @ plane.normal
    above = (height > 0)[mesh.faces]
    crossed = above.any(1) & ~above.all(1)
    faces, above = mesh.faces[crossed], above[crossed]
    # The corner that is alone on its side comes first; the order of the others keeps the winding.
    lonely = np.where(above.sum(1) == 1, above.argmax(1), (~above).argmax(1))
    rows = np.arange(len(faces))
    tip, left, right = (faces[rows, (lonely + shift) % 3] for shift in range(3))
    ends = [_crossing(mesh.vertices, height, tip, other) for other in (left, right)]
    segments = np.stack([plane.coordinates(end) for end in ends], axis=1)
    corners = mesh.vertices[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) @ plane.axes.T
    run = segments[:, 1] - segments[:, 0]
    backwards = run[:, 0] * normals[:, 1] - run[:, 1] * normals[:, 0] < 0
    segments[backwards] = segments[backwards, ::-1]
    return Mesh(segments.reshape(-1, 2), np.arange(2 * len(segments), dtype=np.int64).reshape(-1, 2))


def _crossing(vertices: Reals, height: Reals, tip: Whole, other: Whole) -> Reals:
    share = (height[tip] / (height[tip] - height[other]))[:, None]
    return np.asarray(vertices[tip] + share * (vertices[other] - vertices[tip]), dtype=np.float64)


def section_of(drawing: Drawing, plane: Plane, tolerance: float) -> Section:
    """What lies in a plane of a drawing in space: the cut layers, and the points within `tolerance` of it."""
    layers = tuple(Layer(cut(layer.mesh, plane), layer.role) for layer in drawing.layers)
    points = drawing.points
    near = np.abs((points.positions - plane.origin) @ plane.normal) <= tolerance
    predictions = None if points.predictions is None else points.predictions[near]
    kept = PointSet(plane.coordinates(points.positions[near]), points.classes[near], predictions)
    outline = box_outline(drawing, plane)
    low, high = _window(drawing, outline)
    note = f"section through {int(near.sum())} of {len(near)} training points"
    return Section(plane, Drawing(layers, kept, low, high, outline), note)


def box_outline(drawing: Drawing, plane: Plane) -> Reals:
    """The polygon in which a plane meets the box of a drawing, `(P, 2)` in the plane's coordinates, in order.

    Example:
        >>> cube = Drawing((), PointSet(np.zeros((0, 3)), np.zeros(0, dtype=np.int64)), (-1.0,) * 3, (1.0,) * 3)
        >>> box_outline(cube, Plane(np.zeros(3), np.eye(3)[:2])).tolist()
        [[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]]
    """
    low, high = np.array(drawing.low), np.array(drawing.high)
    unit = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
    corners = low + unit * (high - low)
    height = (corners - plane.origin) @ plane.normal
    first, second = np.array([(a, b) for a in range(8) for b in range(a) if np.abs(unit[a] - unit[b]).sum() == 1]).T
    crossed = (height[first] > 0) != (height[second] > 0)
    points = plane.coordinates(_crossing(corners, height, first[crossed], second[crossed]))
    away = points - points.mean(0) if len(points) else points
    return np.asarray(points[np.argsort(np.arctan2(away[:, 1], away[:, 0]))], dtype=np.float64)


def _window(drawing: Drawing, outline: Reals) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The cut box's bounds, at most as wide and high as the box's largest side, around the middle of the cut."""
    half = max(b - a for a, b in zip(drawing.low, drawing.high, strict=True)) / 2
    low, high = outline.min(0), outline.max(0)
    centre = (low + high) / 2
    low, high = np.maximum(low, centre - half), np.minimum(high, centre + half)
    return tuple(map(float, low)), tuple(map(float, high))

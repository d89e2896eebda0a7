"""Many classes in space: each a room whose walls are painted, on its side, in its colour."""

import dataclasses
from typing import TYPE_CHECKING, final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dimple.views.frame import Bytes, Classes, Drawing, Layer, Reals, Whole
from dimple.views.palette import class_colour, tint
from dimple.views.relief import vertex_normals

if TYPE_CHECKING:
    import pyvista as pv

# Half of a wall, in shares of the box: its two faces must not fight for the same pixels.
THICKNESS = 5e-4
# How strong a class's colour is on the boundary and on the sides of the box, and by how much less outside the inputs.
BOUNDARY, SIDE, PALE = 0.9, 0.5, 0.55
# A part of a side is named where a disc of such a radius, in shares of the side, fits into it.
NAMED = 0.06
Painted = tuple[Reals, Whole, Reals, Bytes]


def rooms(drawing: Drawing) -> "pv.PolyData":
    """The boundary of many classes and the sides of the box; every face is to be drawn from its front only.

    So the sides towards the viewer are open, and one looks into the rooms.
    """
    import pyvista as pv

    layer, classes = drawing.layer("boundary"), drawing.classes
    assert classes is not None
    parts = [_sides(drawing, classes)]
    if layer is not None and len(layer.mesh.faces):
        parts.append(_walls(layer, classes, drawing))
    first = np.cumsum([0, *[len(places) for places, *_ in parts]])
    faces = np.concatenate([faces + start for (_, faces, *_), start in zip(parts, first, strict=False)])
    places, normals, colours = (np.concatenate([part[k] for part in parts]) for k in (0, 2, 3))
    shape = pv.PolyData(places.astype(np.float32), faces=np.insert(faces, 0, 3, axis=1).ravel())
    shape.point_data["Normals"] = normals.astype(np.float32)
    shape.GetPointData().SetActiveNormals("Normals")
    shape.point_data["colour"] = colours
    shape.set_active_scalars("colour")
    return shape


def _walls(layer: Layer, classes: Classes, drawing: Drawing) -> Painted:
    """Both faces of the boundary, each in the colour of the class that sees it."""
    mesh, pairs = layer.mesh, layer.pairs
    assert pairs is not None
    # Every pair's surface has vertices of its own, so that a vertex has the pair of any of its faces.
    of_vertex = np.zeros((len(mesh.vertices), 2), dtype=np.int64)
    of_vertex[mesh.faces.ravel()] = np.repeat(pairs, 3, axis=0)
    normals, shift = vertex_normals(mesh), THICKNESS * (drawing.high[0] - drawing.low[0])
    places = np.concatenate([mesh.vertices + shift * normals, mesh.vertices - shift * normals])
    faces = np.concatenate([mesh.faces, mesh.faces[:, ::-1] + len(mesh.vertices)])
    colours = class_colours(of_vertex.T.ravel(), inside(places, classes.valid), BOUNDARY)
    return places, faces, np.concatenate([normals, -normals]), colours


def _sides(drawing: Drawing, classes: Classes) -> Painted:
    """The six sides of the box, facing inwards."""
    low, high, corners = np.array(drawing.low), np.array(drawing.high), classes.regions.shape[2]
    steps = np.linspace(0, 1, corners)
    unit = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
    grid = np.arange(corners**2).reshape(corners, corners)
    a, b, c, d = (part.ravel() for part in (grid[:-1, :-1], grid[1:, :-1], grid[1:, 1:], grid[:-1, 1:]))
    turned = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    parts: list[Painted] = []
    for axis in range(3):
        for end in range(2):
            places = low + np.insert(unit, axis, end, axis=1) * (high - low)
            # Triangles of the axes (1, 2) and (0, 1) turn to the positive side, those of (0, 2) to the negative one.
            faces = turned if (end == 0) == (axis != 1) else turned[:, ::-1]
            normals = np.zeros_like(places)
            normals[:, axis] = 1.0 if end == 0 else -1.0
            colours = class_colours(classes.regions[axis, end].ravel(), inside(places, classes.valid), SIDE)
            parts.append((places, faces + 2 * axis * corners**2 + end * corners**2, normals, colours))
    places, faces, normals, colours = (np.concatenate([part[k] for part in parts]) for k in range(4))
    return places, faces, normals, colours


@final
@dataclasses.dataclass(frozen=True)
class Part:
    """A part of a side of the box that is one class's.

    Attributes:
        name: of the class.
        places: `(N, 3)` where its name may stand, the farthest from its rim first.
    """

    name: str
    places: Reals


def named_parts(drawing: Drawing, viewer: Reals) -> list[Part]:
    """The parts of the sides that a viewer looks at, each large enough for a name."""
    classes, low, high = drawing.classes, np.array(drawing.low), np.array(drawing.high)
    assert classes is not None
    parts = []
    for axis in range(3):
        for end, towards in enumerate((viewer[axis] > low[axis], viewer[axis] < high[axis])):
            side = classes.regions[axis, end]
            for label in np.unique(side) if towards else ():
                depth = ndimage.distance_transform_edt(np.pad(side == label, 1))[1:-1, 1:-1]
                order = np.argsort(-depth, axis=None, kind="stable")
                order = order[depth.ravel()[order] > NAMED * len(side)]
                at = np.stack(np.unravel_index(order, depth.shape), axis=1) / (len(side) - 1)
                parts.append(Part(classes.names[label], low + np.insert(at, axis, end, axis=1) * (high - low)))
    return [part for part in parts if len(part.places)]


def class_colours(classes: Whole, valid: NDArray[np.bool_], strength: float) -> Bytes:
    """The colours `(V, 3)` of classes `(V,)`, paler where there is no input."""
    known = range(int(classes.max(initial=0)) + 1)
    full, pale = (
        np.array([tint(class_colour(k), strength * part) for k in known], dtype=np.uint8) for part in (1.0, PALE)
    )
    return np.where(valid[:, None], full[classes], pale[classes])


def inside(points: Reals, corners: Reals | None) -> NDArray[np.bool_]:
    """Which points `(N, 3)` lie in the convex hull of some corners; all of them without corners.

    Example:
        >>> tetrahedron = np.concatenate([np.zeros((1, 3)), np.eye(3)])
        >>> inside(np.array([[0.2, 0.2, 0.2], [0.5, 0.5, 0.5]]), tetrahedron).tolist()
        [True, False]
    """
    if corners is None:
        return np.ones(len(points), dtype=bool)
    if len(corners) <= points.shape[1]:
        return np.zeros(len(points), dtype=bool)
    from scipy.spatial import ConvexHull

    within = np.ones(len(points), dtype=bool)
    for equation in ConvexHull(corners).equations:
        within &= points @ equation[:-1] + equation[-1] <= 1e-9
    return within

"""Many classes in space: each a room whose walls are painted, on its side, in its colour."""

import dataclasses
import itertools
from typing import TYPE_CHECKING, final

import numpy as np
from numpy.typing import NDArray

from dimple.views.content.frame import Bytes, Classes, Drawing, Layer, Reals, Whole
from dimple.views.content.manifold_depth import vertex_normals
from dimple.views.drawing.class_regions import INPUT, NO_INPUT
from dimple.views.style.colors import INK, PAPER, class_colour

if TYPE_CHECKING:
    import pyvista as pv

# Half of a wall, in shares of the box: its two faces must not fight for the same pixels.
THICKNESS = 5e-4
# How strong a class's colour is on the boundary and on the sides of the box, and by how much less outside the inputs.
BOUNDARY, SIDE, PALE = 0.9, 0.5, 0.55
OVERLAP = 0.08
# A part of a side is named where a disc of such a radius, in shares of the side, fits into it.
NAMED = 0.06
LINE = -1
# For names every so many squares of a side are enough.
COARSER = 4


@final
@dataclasses.dataclass(frozen=True)
class Painted:
    """Triangles with a class and the strength of its colour at each corner; each is to be seen from its front only.

    Attributes:
        places, normals: `(V, 3)`.
        faces: `(F, 3)`.
        classes, strength: `(V,)`; `LINE` is the class of the lines between the regions of a plane.
    """

    places: Reals
    normals: Reals
    faces: Whole
    classes: Whole
    strength: Reals

    def colours(self) -> Bytes:
        """The colour at each corner, `(V, 3)`."""
        hues = np.array([*(class_colour(label) for label in range(int(self.classes.max()) + 1)), INK])[self.classes]
        strength = self.strength[:, None]
        return np.asarray(np.rint(strength * hues + (1 - strength) * np.array(PAPER)), dtype=np.uint8)


def rooms(drawing: Drawing) -> "pv.PolyData":
    """The painted boundary and box of many classes as VTK takes them; faces are to be drawn from their front only."""
    import pyvista as pv

    whole = painted(drawing)
    shape = pv.PolyData(whole.places.astype(np.float32), faces=np.insert(whole.faces, 0, 3, axis=1).ravel())
    shape.point_data["Normals"] = whole.normals.astype(np.float32)
    shape.GetPointData().SetActiveNormals("Normals")
    shape.point_data["colour"] = whole.colours()
    shape.set_active_scalars("colour")
    return shape


def painted(drawing: Drawing) -> Painted:
    """Both faces of the boundary and the sides of the box from within, so that those towards the viewer are open."""
    layer, classes = drawing.layer("boundary"), drawing.classes
    assert classes is not None
    flat = classes.regions.ndim == 2
    parts = _floor(drawing, classes) if flat else _sides(drawing, classes)
    if flat and layer is not None and len(layer.mesh.faces):
        mesh = layer.mesh
        up = np.tile([0.0, 0.0, 1.0], (len(mesh.vertices), 1))
        inked = np.full(len(mesh.vertices), LINE)
        both = np.concatenate([mesh.faces, mesh.faces[:, ::-1]])
        parts.append(Painted(mesh.vertices, up, both, inked, np.ones(len(mesh.vertices))))
    elif layer is not None and len(layer.mesh.faces):
        parts.append(walls_of(layer, drawing))
    first = np.cumsum([0, *[len(part.places) for part in parts]])
    return Painted(
        np.concatenate([part.places for part in parts]),
        np.concatenate([part.normals for part in parts]),
        np.concatenate([part.faces + start for part, start in zip(parts, first, strict=False)]),
        np.concatenate([part.classes for part in parts]),
        np.concatenate([part.strength for part in parts]),
    )


def walls_of(layer: Layer, drawing: Drawing) -> Painted:
    """Both faces of the boundary of many classes, each in the colour of the class that sees it."""
    mesh, pairs, classes = layer.mesh, layer.pairs, drawing.classes
    assert pairs is not None and classes is not None
    # Every pair's surface has vertices of its own, so that a vertex has the pair of any of its faces.
    of_vertex = np.zeros((len(mesh.vertices), 2), dtype=np.int64)
    of_vertex[mesh.faces.ravel()] = np.repeat(pairs, 3, axis=0)
    normals, shift = vertex_normals(mesh), THICKNESS * (drawing.high[0] - drawing.low[0])
    places = np.concatenate([mesh.vertices + shift * normals, mesh.vertices - shift * normals])
    faces = np.concatenate([mesh.faces, mesh.faces[:, ::-1] + len(mesh.vertices)])
    strength = np.where(inside(places, classes.valid), BOUNDARY, BOUNDARY * PALE)
    return Painted(places, np.concatenate([normals, -normals]), faces, of_vertex.T.ravel(), strength)


def _sides(drawing: Drawing, classes: Classes) -> list[Painted]:
    """The six sides of the box, facing inwards."""
    assert classes.sides is not None
    parts = []
    for axis, end in itertools.product(range(3), range(2)):
        parts.append(_side(drawing, classes, classes.sides[axis, end], axis, end))
    return parts


def _floor(drawing: Drawing, classes: Classes) -> list[Painted]:
    """The regions of a plane on the floor of a space, which is the low side of its third axis."""
    # By rows of x, as the sides are, not of y.
    return [_side(drawing, classes, classes.regions.T, 2, 0)]


def _side(drawing: Drawing, classes: Classes, side: Whole, axis: int, end: int) -> Painted:
    """One side of a box: each row of squares in stripes of one class."""
    low, high, squares = np.array(drawing.low), np.array(drawing.high), len(side)
    middles = (np.indices((squares, squares)).reshape(2, -1).T + 0.5) / squares
    corners = low + np.insert(middles, axis, end, axis=1) * (high - low)
    valid = inside(corners[:, :2] if classes.regions.ndim == 2 else corners, classes.valid)
    rows, starts, ends = _stripes((2 * side.ravel() + valid).reshape(squares, squares))
    # Rows overlap a little: between stripes that end at different places a gap of rounding would show.
    bottom, top = rows / squares, np.minimum((rows + 1 + OVERLAP) / squares, 1.0)
    left, right = starts / squares, ends / squares
    around = np.stack([bottom, left, top, left, top, right, bottom, right], axis=1).reshape(-1, 2)
    places = low + np.insert(around, axis, end, axis=1) * (high - low)
    a, b, c, d = (np.arange(len(rows)) * 4 + k for k in range(4))
    turned = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    # Triangles of the axes (1, 2) and (0, 1) turn to the positive side, those of (0, 2) to the negative one.
    faces = turned if (end == 0) == (axis != 1) else turned[:, ::-1]
    normals = np.zeros_like(places)
    normals[:, axis] = 1.0 if end == 0 else -1.0
    at = rows * squares + starts
    full, pale = (INPUT, NO_INPUT) if classes.regions.ndim == 2 else (SIDE, SIDE * PALE)
    strength = np.where(valid[at], full, pale)
    return Painted(places, normals, faces, np.repeat(side.ravel()[at], 4), np.repeat(strength, 4))


def _stripes(squares: Whole) -> tuple[Whole, Whole, Whole]:
    """The row, the first column and the column after the last of each run of equal numbers."""
    starts = np.ones(squares.shape, dtype=bool)
    starts[:, 1:] = squares[:, 1:] != squares[:, :-1]
    rows, first = np.nonzero(starts)
    after = np.append(first[1:], 0)
    return rows, first, np.where(np.append(rows[1:], -1) == rows, after, squares.shape[1])


@final
@dataclasses.dataclass(frozen=True)
class Part:
    """A part of a side of the box that is one class's.

    Attributes:
        axis, end: which side, at the low end (0) of the axis or at the high one (1).
        name: of the class.
        places: `(N, 3)` where its name may stand, the farthest from its rim first.
    """

    axis: int
    end: int
    name: str
    places: Reals

    def some(self, count: int) -> Reals:
        """At most so many of the places, from the best to the worst."""
        chosen: Reals = self.places[np.unique(np.linspace(0, len(self.places) - 1, count).astype(int))]
        return chosen


def named_parts(drawing: Drawing, viewer: Reals | None) -> list[Part]:
    """The parts of the sides that a viewer looks at, or of all sides, each large enough for a name."""
    # Here, because it takes a tenth of a second to load.
    from scipy import ndimage

    classes, low, high = drawing.classes, np.array(drawing.low), np.array(drawing.high)
    assert classes is not None
    assert classes.sides is not None
    parts = []
    for axis, end in itertools.product(range(3), range(2)):
        if viewer is not None and (viewer[axis] < low[axis] if end == 0 else viewer[axis] > high[axis]):
            continue
        side = classes.sides[axis, end, COARSER // 2 :: COARSER, COARSER // 2 :: COARSER]
        for label in np.unique(side):
            depth = ndimage.distance_transform_edt(np.pad(side == label, 1))[1:-1, 1:-1]
            order = np.argsort(-depth, axis=None, kind="stable")
            order = order[depth.ravel()[order] > NAMED * len(side)]
            squares = np.stack(np.unravel_index(order, depth.shape), axis=1) * COARSER + COARSER // 2
            at = (squares + 0.5) / classes.sides.shape[2]
            places = low + np.insert(at, axis, end, axis=1) * (high - low)
            parts.append(Part(axis, end, classes.names[label], places))
    return [part for part in parts if len(part.places)]


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


def seen_from(drawing: Drawing, places: Reals, viewer: Reals) -> NDArray[np.bool_]:
    """From which places `(N, 3)` in the box a viewer is seen: the class does not change on the way out of it.

    Places on a side that faces away from the viewer are not seen; on the floor of a plane all are.
    """
    classes, low, high = drawing.classes, np.array(drawing.low), np.array(drawing.high)
    if classes is None or classes.regions.ndim == 2:
        return np.ones(len(places), dtype=bool)
    corners, size = len(classes.regions), high - low
    way = viewer - places
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    steps = np.arange(1, 2 * corners)[:, None, None] * float(size.max()) / corners
    at = np.rint((places + steps * way - low) / size * (corners - 1)).astype(int)
    within = ((at >= 0) & (at < corners)).all(2)
    # The way out of the box is straight: after the first step outside there is none inside.
    here = classes.regions[tuple(np.moveaxis(at.clip(0, corners - 1), 2, 0))]
    constant = (~within | (here == here[0])).all(0)
    outwards = ((places <= low) & (way < 0)) | ((places >= high) & (way > 0))
    return np.asarray(constant & ~outwards.any(1))

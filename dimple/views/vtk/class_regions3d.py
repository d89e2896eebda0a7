"""Class regions in 3-D: the boundary of many classes and the sides of the box, each face in the color of its class."""

import dataclasses
import itertools
from typing import TYPE_CHECKING, final

import numpy as np
from numpy.typing import NDArray

from dimple.views.content.frame import ClassRegions, Drawing, FloatArray, IntArray, MeshLayer, UInt8Array
from dimple.views.content.manifold_depth import vertex_normals
from dimple.views.drawing.class_regions import INVALID_TINT_STRENGTH, VALID_TINT_STRENGTH
from dimple.views.style.colors import BACKGROUND_COLOR, FOREGROUND_COLOR, class_color

if TYPE_CHECKING:
    import pyvista as pv

# Half the distance between the two faces of the boundary, as a fraction of the box; at distance 0 they would flicker.
HALF_THICKNESS = 5e-4
# Weight of the class color against the background color, on the boundary and on the sides of the box.
BOUNDARY_STRENGTH = 0.9
SIDE_STRENGTH = 0.5
# Factor of this weight outside the valid input range.
OUT_OF_RANGE_FACTOR = 0.55
# Part of a row of grid cells by which it overlaps the next row.
ROW_OVERLAP = 0.08
# Radius of the smallest disc that must fit into a side region that gets a name, as a fraction of the side.
MIN_NAME_RADIUS = 0.06
# Label of the lines between the regions of a plane.
LINE_LABEL = -1
# Stride through the grid of a side at which positions for names are computed.
NAME_GRID_STRIDE = 4


@final
@dataclasses.dataclass(frozen=True)
class ClassColoredMesh:
    """Triangles with a class and a color strength at each vertex. Each triangle is meant to be seen from its front.

    Attributes:
        positions, normals: `(V, 3)`.
        faces: `(F, 3)`.
        labels: `(V,)`, the class; `LINE_LABEL` on the lines between the regions of a plane.
        strength: `(V,)`, the weight of the class color against the background color, in [0, 1].
    """

    positions: FloatArray
    normals: FloatArray
    faces: IntArray
    labels: IntArray
    strength: FloatArray

    def colors(self) -> UInt8Array:
        """Return the color at each vertex, `(V, 3)`."""
        palette = np.array([*(class_color(label) for label in range(int(self.labels.max()) + 1)), FOREGROUND_COLOR])
        strength = self.strength[:, None]
        mixed = strength * palette[self.labels] + (1 - strength) * np.array(BACKGROUND_COLOR)
        return np.asarray(np.rint(mixed), dtype=np.uint8)


def class_regions_polydata(drawing: Drawing) -> "pv.PolyData":
    """Return `class_regions_mesh` as VTK data with colors and normals, to be drawn with culled back faces."""
    import pyvista as pv

    mesh = class_regions_mesh(drawing)
    polydata = pv.PolyData(mesh.positions.astype(np.float32), faces=np.insert(mesh.faces, 0, 3, axis=1).ravel())
    polydata.point_data["Normals"] = mesh.normals.astype(np.float32)
    polydata.GetPointData().SetActiveNormals("Normals")
    polydata.point_data["color"] = mesh.colors()
    polydata.set_active_scalars("color")
    return polydata


def class_regions_mesh(drawing: Drawing) -> ClassColoredMesh:
    """Return both faces of the boundary and the sides of the box as seen from within.

    The sides face inwards, so that those between the viewer and the box are culled. A plane on the floor of a space has
    its regions as the floor and its boundary as lines.
    """
    layer = drawing.layer("boundary")
    regions = drawing.class_regions
    assert regions is not None
    is_planar = regions.label_grid.ndim == 2
    parts = _plane_floor(drawing, regions) if is_planar else _box_sides(drawing, regions)
    if is_planar and layer is not None and len(layer.mesh.faces):
        mesh = layer.mesh
        up = np.tile([0.0, 0.0, 1.0], (len(mesh.vertices), 1))
        labels = np.full(len(mesh.vertices), LINE_LABEL)
        both_sides = np.concatenate([mesh.faces, mesh.faces[:, ::-1]])
        parts.append(ClassColoredMesh(mesh.vertices, up, both_sides, labels, np.ones(len(mesh.vertices))))
    elif layer is not None and len(layer.mesh.faces):
        parts.append(class_boundary_mesh(layer, drawing))
    starts = np.cumsum([0, *[len(part.positions) for part in parts]])
    return ClassColoredMesh(
        np.concatenate([part.positions for part in parts]),
        np.concatenate([part.normals for part in parts]),
        np.concatenate([part.faces + start for part, start in zip(parts, starts, strict=False)]),
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.strength for part in parts]),
    )


def class_boundary_mesh(layer: MeshLayer, drawing: Drawing) -> ClassColoredMesh:
    """Return both faces of the boundary of many classes, each in the color of the class that it faces."""
    mesh = layer.mesh
    pairs = layer.class_pairs
    regions = drawing.class_regions
    assert pairs is not None and regions is not None
    # The surface of every pair of classes has its own vertices, so a vertex has the pair of any of its faces.
    vertex_pairs = np.zeros((len(mesh.vertices), 2), dtype=np.int64)
    vertex_pairs[mesh.faces.ravel()] = np.repeat(pairs, 3, axis=0)
    normals = vertex_normals(mesh)
    shift = HALF_THICKNESS * (drawing.high[0] - drawing.low[0])
    positions = np.concatenate([mesh.vertices + shift * normals, mesh.vertices - shift * normals])
    faces = np.concatenate([mesh.faces, mesh.faces[:, ::-1] + len(mesh.vertices)])
    valid = is_in_convex_hull(positions, regions.valid_vertices)
    strength = np.where(valid, BOUNDARY_STRENGTH, BOUNDARY_STRENGTH * OUT_OF_RANGE_FACTOR)
    return ClassColoredMesh(positions, np.concatenate([normals, -normals]), faces, vertex_pairs.T.ravel(), strength)


def _box_sides(drawing: Drawing, class_regions: ClassRegions) -> list[ClassColoredMesh]:
    """Return the six sides of the box, facing inwards."""
    assert class_regions.side_labels is not None
    parts = []
    for axis, end in itertools.product(range(3), range(2)):
        parts.append(_box_side(drawing, class_regions, class_regions.side_labels[axis, end], axis, end))
    return parts


def _plane_floor(drawing: Drawing, class_regions: ClassRegions) -> list[ClassColoredMesh]:
    """Return the regions of a plane as the floor of a space, which is the low side of its third axis."""
    # The rows of a side run along x, those of the label grid along y.
    return [_box_side(drawing, class_regions, class_regions.label_grid.T, 2, 0)]


def _box_side(drawing: Drawing, class_regions: ClassRegions, side: IntArray, axis: int, end: int) -> ClassColoredMesh:
    """Return one side of a box: each row of grid cells as rectangles of one class.

    Args:
        side: `(S, S)`, the class of each grid cell.
        axis, end: the side at the low end (0) or the high end (1) of this axis.
    """
    low = np.array(drawing.low)
    high = np.array(drawing.high)
    cells = len(side)
    is_planar = class_regions.label_grid.ndim == 2
    centers = (np.indices((cells, cells)).reshape(2, -1).T + 0.5) / cells
    centers = low + np.insert(centers, axis, end, axis=1) * (high - low)
    valid = is_in_convex_hull(centers[:, :2] if is_planar else centers, class_regions.valid_vertices)
    rows, starts, ends = _find_runs((2 * side.ravel() + valid).reshape(cells, cells))
    # Rows overlap a little: rounding would leave gaps between rectangles that end at different columns.
    bottom = rows / cells
    top = np.minimum((rows + 1 + ROW_OVERLAP) / cells, 1.0)
    left = starts / cells
    right = ends / cells
    corners = np.stack([bottom, left, top, left, top, right, bottom, right], axis=1).reshape(-1, 2)
    positions = low + np.insert(corners, axis, end, axis=1) * (high - low)
    a, b, c, d = (np.arange(len(rows)) * 4 + k for k in range(4))
    triangles = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    # In the axes (1, 2) and (0, 1) the triangles face the positive side, in (0, 2) the negative one.
    faces = triangles if (end == 0) == (axis != 1) else triangles[:, ::-1]
    normals = np.zeros_like(positions)
    normals[:, axis] = 1.0 if end == 0 else -1.0
    first_cells = rows * cells + starts
    valid_strength = VALID_TINT_STRENGTH if is_planar else SIDE_STRENGTH
    invalid_strength = INVALID_TINT_STRENGTH if is_planar else SIDE_STRENGTH * OUT_OF_RANGE_FACTOR
    strength = np.where(valid[first_cells], valid_strength, invalid_strength)
    # Where the classifier has no answer, the paper is left.
    strength = np.where(side.ravel()[first_cells] < 0, 0.0, strength)
    labels = np.repeat(side.ravel()[first_cells].clip(0), 4)
    return ClassColoredMesh(positions, normals, faces, labels, np.repeat(strength, 4))


def _find_runs(grid: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Return the row, the first column and the column after the last one of each run of equal numbers in a row."""
    is_start = np.ones(grid.shape, dtype=bool)
    is_start[:, 1:] = grid[:, 1:] != grid[:, :-1]
    rows, first = np.nonzero(is_start)
    next_first = np.append(first[1:], 0)
    return rows, first, np.where(np.append(rows[1:], -1) == rows, next_first, grid.shape[1])


@final
@dataclasses.dataclass(frozen=True)
class SideRegion:
    """The region of one class on one side of the box.

    Attributes:
        axis, end: the side at the low end (0) or the high end (1) of this axis.
        name: of the class.
        positions: `(N, 3)` where the name may be placed, the farthest from the region's rim first.
    """

    axis: int
    end: int
    name: str
    positions: FloatArray

    def select_positions(self, max_count: int) -> FloatArray:
        """Return at most `max_count` of the positions, evenly spaced from the best to the worst."""
        chosen: FloatArray = self.positions[np.unique(np.linspace(0, len(self.positions) - 1, max_count).astype(int))]
        return chosen


def find_side_regions(drawing: Drawing, viewer: FloatArray | None) -> list[SideRegion]:
    """Return the regions on the sides of the box that are large enough for a name.

    Args:
        viewer: `(3,)`, the position of the camera; only the sides whose inner face it sees count. None for all sides.
    """
    # Imported here because it takes a tenth of a second to load.
    from scipy import ndimage

    regions = drawing.class_regions
    low = np.array(drawing.low)
    high = np.array(drawing.high)
    assert regions is not None
    assert regions.side_labels is not None
    found = []
    for axis, end in itertools.product(range(3), range(2)):
        if viewer is not None and (viewer[axis] < low[axis] if end == 0 else viewer[axis] > high[axis]):
            continue
        every = slice(NAME_GRID_STRIDE // 2, None, NAME_GRID_STRIDE)
        side = regions.side_labels[axis, end, every, every]
        for label in np.unique(side[side >= 0]):
            depth = ndimage.distance_transform_edt(np.pad(side == label, 1))[1:-1, 1:-1]
            order = np.argsort(-depth, axis=None, kind="stable")
            order = order[depth.ravel()[order] > MIN_NAME_RADIUS * len(side)]
            cells = np.stack(np.unravel_index(order, depth.shape), axis=1) * NAME_GRID_STRIDE + NAME_GRID_STRIDE // 2
            centers = (cells + 0.5) / regions.side_labels.shape[2]
            positions = low + np.insert(centers, axis, end, axis=1) * (high - low)
            found.append(SideRegion(axis, end, regions.class_names[label], positions))
    return [region for region in found if len(region.positions)]


def is_in_convex_hull(points: FloatArray, corners: FloatArray | None) -> NDArray[np.bool_]:
    """Return whether each point lies in the convex hull of some corners, up to 1e-9.

    Args:
        points: `(N, n)`.
        corners: `(P, n)`; None for no restriction, so that every point counts as inside.

    Example:
        >>> tetrahedron = np.concatenate([np.zeros((1, 3)), np.eye(3)])
        >>> is_in_convex_hull(np.array([[0.2, 0.2, 0.2], [0.5, 0.5, 0.5]]), tetrahedron).tolist()
        [True, False]
    """
    if corners is None:
        return np.ones(len(points), dtype=bool)
    if len(corners) <= points.shape[1]:
        return np.zeros(len(points), dtype=bool)
    from scipy.spatial import ConvexHull

    inside = np.ones(len(points), dtype=bool)
    for equation in ConvexHull(corners).equations:
        inside &= points @ equation[:-1] + equation[-1] <= 1e-9
    return inside


def is_visible_from(drawing: Drawing, positions: FloatArray, viewer: FloatArray) -> NDArray[np.bool_]:
    """Return whether the viewer sees each position `(N, 3)` in the box.

    A position is visible if the class does not change on the straight line from it to where the line leaves the box,
    and if it does not lie on a side whose inner face is turned away from the viewer. In a plane on a floor every
    position is visible.
    """
    regions = drawing.class_regions
    low = np.array(drawing.low)
    high = np.array(drawing.high)
    if regions is None or regions.label_grid.ndim == 2:
        return np.ones(len(positions), dtype=bool)
    corners = len(regions.label_grid)
    size = high - low
    direction = viewer - positions
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    lengths = np.arange(1, 2 * corners)[:, None, None] * float(size.max()) / corners
    grid_indices = np.rint((positions + lengths * direction - low) / size * (corners - 1)).astype(int)
    inside = ((grid_indices >= 0) & (grid_indices < corners)).all(2)
    # A straight line that has left the box does not enter it again.
    labels = regions.label_grid[tuple(np.moveaxis(grid_indices.clip(0, corners - 1), 2, 0))]
    is_constant = (~inside | (labels == labels[0])).all(0)
    is_outward = ((positions <= low) & (direction < 0)) | ((positions >= high) & (direction > 0))
    return np.asarray(is_constant & ~is_outward.any(1))

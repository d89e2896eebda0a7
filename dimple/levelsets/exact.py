"""Exact boundary of a piecewise linear network: flat polygons in space, straight segments in the plane."""

import dataclasses
from collections.abc import Sequence
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray

from dimple.boundary.boundary import Boundary
from dimple.levelsets.analytic_marching import COINCIDENCE_TOLERANCE, AnalyticMarching, Polygons
from dimple.levelsets.base import (
    CheckedLevel,
    LevelSet,
    empty_mesh,
    grid_precision,
    is_positive,
    is_sign_change,
    require_drawable,
)
from dimple.levelsets.edge_roots import find_edge_roots
from dimple.levelsets.mesh import Mesh
from dimple.levelsets.seed_cells import EvaluationGrid, bisect_edges, find_seed_edges
from dimple.settings import Cells, Count, Finite, settings
from dimple.tensors import generator
from dimple.tracing.piecewise_linear import PiecewiseLinearNet, read_piecewise_linear

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@final
@dataclasses.dataclass(frozen=True)
class PolygonComplex:
    """Convex polygons that meet edge to edge; each is the boundary in one activation region of the network.

    Attributes:
        vertices: `(V, 3)`, shared by the polygons.
        corner_counts: `(P,)` corners of each polygon.
        vertex_indices: `(C,)` the vertex of each corner, polygon after polygon, counter-clockwise seen from where the
            class wins.
        edge_hyperplanes: `(C,)` the unit that is zero on the edge from each corner to the next; on the planes of the
            box U + 2 axis + (0 low, 1 high).
        activation_patterns: `(P, U)` which units are positive.
        level_maps: `(P, 4)` the logit margin of the class in each region as an affine map of (x, y, z, 1).
        num_unclosed_polygons: polygons left out because their trace did not close, by rounding or because the logit
            margin is zero in an entire region.
    """

    vertices: Floats
    corner_counts: Ints
    vertex_indices: Ints
    edge_hyperplanes: Ints
    activation_patterns: Bools
    level_maps: Floats
    num_unclosed_polygons: int

    @property
    def next_corners(self) -> Ints:
        """The index of the next corner of the same polygon, for every corner, `(C,)`."""
        ends = np.cumsum(self.corner_counts)
        after = np.arange(1, len(self.vertex_indices) + 1)
        after[ends - 1] = ends - self.corner_counts
        return after

    @property
    def normals(self) -> Floats:
        """The unit normals `(P, 3)`, pointing to the side where the class wins."""
        gradients = self.level_maps[:, :3]
        unit: Floats = gradients / np.linalg.norm(gradients, axis=1, keepdims=True)
        return unit

    @property
    def areas(self) -> Floats:
        """The areas of the polygons, `(P,)`."""
        triangles, polygon = self._triangulate()
        a, b, c = np.moveaxis(self.vertices[triangles], 1, 0)
        sizes = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
        areas: Floats = np.bincount(polygon, sizes, minlength=len(self.corner_counts)).astype(np.float64)
        return areas

    @property
    def edges(self) -> tuple[Ints, Ints, Ints]:
        """The vertex pairs `(E, 2)`, the hyperplane of each edge `(E,)` and the number of polygons that have it `(E,)`.

        The boundary bends at the edges whose hyperplane has a number below U.
        """
        pairs = np.sort(np.stack([self.vertex_indices, self.vertex_indices[self.next_corners]], axis=1), axis=1)
        _unique, first, counts = np.unique(
            pairs[:, 0] * len(self.vertices) + pairs[:, 1], return_index=True, return_counts=True
        )
        return pairs[first], self.edge_hyperplanes[first], counts

    @property
    def num_open_edges(self) -> int:
        """The number of edges inside the box that do not belong to exactly two polygons: 0 for a complete boundary."""
        _, hyperplanes, counts = self.edges
        return int(((hyperplanes < self.activation_patterns.shape[1]) & (counts != 2)).sum())

    def to_mesh(self) -> Mesh:
        """Return the polygons cut into triangles, with the same vertices."""
        return Mesh(self.vertices, self._triangulate()[0])

    def _triangulate(self) -> tuple[Ints, Ints]:
        """Return the triangles of a fan around each polygon's first corner, and the polygon of every triangle."""
        polygon = np.repeat(np.arange(len(self.corner_counts)), self.corner_counts - 2)
        starts = np.cumsum(self.corner_counts) - self.corner_counts
        step = np.arange(len(polygon)) - np.repeat(
            np.cumsum(self.corner_counts - 2) - (self.corner_counts - 2), self.corner_counts - 2
        )
        first = starts[polygon]
        return self.vertex_indices[np.stack([first, first + step + 1, first + step + 2], axis=1)], polygon


@final
@settings
class Exact(LevelSet):
    """Exact boundary of a piecewise linear network by analytic marching: sharp creases and no discretization error.

    It serves the networks that `dimple.tracing.piecewise_linear` reads. Marching reaches every polygon that is
    connected with a seed; components smaller than a cell of the finest seed grid can be missed.

    Args:
        resolution: cells along each axis of the grid on which seeds are searched; descents from its points go down to
            cells 8 times smaller.
        max_polygons: number of polygons above which the extraction raises an error.

    Example:
        >>> network = torch.nn.Sequential(torch.nn.Linear(3, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2))
        >>> surface = Exact().extract_polygons(Boundary(network), 1, (-1, -1, -1), (1, 1, 1))
        >>> surface.num_open_edges
        0
    """

    resolution: Cells = 32
    max_polygons: Count = 2_000_000
    low: tuple[Finite, ...] | None = None
    high: tuple[Finite, ...] | None = None

    def extract(
        self,
        boundary: Boundary,
        label: int,
        low: Sequence[float],
        high: Sequence[float],
        device: torch.device,
        previous: Mesh | None = None,
    ) -> Mesh:
        """Return the polygons cut into triangles; in the plane, the segments."""
        dim = require_drawable(low)
        found = self.extract_polygons(boundary, label, low, high, previous)
        if dim == 2:
            return _extract_floor_curve(found)
        return found.to_mesh() if len(found.corner_counts) else empty_mesh(3)

    def extract_polygons(
        self,
        boundary: Boundary,
        label: int,
        low: Sequence[float],
        high: Sequence[float],
        previous: Mesh | None = None,
    ) -> PolygonComplex:
        """Return the polygons with their activation patterns, edge hyperplanes and affine maps.

        The arguments are those of `extract`. In the plane, the polygons are those of the extrusion of the curve.

        Raises:
            ModelError: if the network is not piecewise linear.
            SceneError: if its boundary has more than `max_polygons` polygons.
        """
        network = read_piecewise_linear(boundary.model, torch.zeros(len(low)), label)
        if len(low) == 2:
            low, high = [*low, 0.0], [*high, max(b - a for a, b in zip(low, high, strict=True))]
        corners = np.array(low, dtype=np.float64), np.array(high, dtype=np.float64)
        with torch.no_grad():
            seeds = self._find_seed_points(network, *corners)
            if previous is not None and len(previous.vertices):
                # Further seeds are optional: a few thousand points of the previous mesh are enough.
                thinned = previous.vertices[:: len(previous.vertices) // 4096 + 1]
                seeds = np.concatenate([seeds, _embed_points_in_3d(thinned, corners[1])])
            network = network.embed_in_3d()
            marching = AnalyticMarching(network, *corners)
            polygons = marching.march(seeds, self.max_polygons)
        return _assemble_complex(marching, polygons)

    def _find_seed_points(self, network: PiecewiseLinearNet, low: Floats, high: Floats) -> Floats:
        """Return points of the boundary, one on every crossed edge of the seed grid."""
        cpu = torch.device("cpu")
        resolution = 8 * self.resolution
        if network.input_dim == 2:
            level = CheckedLevel(network.logit_margin)
            seeds = _find_plane_seed_points(network, level, low[:2], high[:2], resolution)
            level.warn(low[:2].tolist(), high[:2].tolist(), resolution)
            return _embed_points_in_3d(seeds, high)
        precision = grid_precision(low.tolist(), high.tolist(), resolution)
        level = CheckedLevel(network.to(cpu, precision).logit_margin)
        grid = EvaluationGrid(level, low.tolist(), high.tolist(), resolution, cpu)
        edges = bisect_edges(grid, find_seed_edges(grid, self.resolution))
        level.warn(low.tolist(), high.tolist(), resolution)
        start, end = (grid.to_points(ends) for ends in edges.endpoints())
        return _find_segment_roots(network, start, end)


def _evaluate_float64(network: PiecewiseLinearNet, points: Floats) -> Floats:
    return network.logit_margin(torch.from_numpy(np.ascontiguousarray(points))).numpy()


def _find_segment_roots(network: PiecewiseLinearNet, start: Floats, end: Floats) -> Floats:
    """Return the boundary points on segments, found in float64."""
    values = np.stack([_evaluate_float64(network, start), _evaluate_float64(network, end)], axis=1)
    # In double precision both ends of a few segments lie on the same side.
    change = is_sign_change(values[:, 0], values[:, 1])
    points, _ = find_edge_roots(
        lambda x: _evaluate_float64(network, x),
        start[change],
        end[change],
        values[change],
        max_steps=12,
        tolerance=1e-9,
    )
    return points


def _find_plane_seed_points(
    network: PiecewiseLinearNet, level: CheckedLevel, low: Floats, high: Floats, resolution: int
) -> Floats:
    """Return the boundary points on all edges of a fine grid in the plane."""
    axes = [np.linspace(a, b, resolution + 1) for a, b in zip(low, high, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    levels = level(torch.from_numpy(points.reshape(-1, 2))).numpy()
    sides = is_positive(levels).reshape(points.shape[:2])
    change_x = sides[1:] != sides[:-1]
    change_y = sides[:, 1:] != sides[:, :-1]
    start = np.concatenate([points[:-1][change_x], points[:, :-1][change_y]])
    end = np.concatenate([points[1:][change_x], points[:, 1:][change_y]])
    return _find_segment_roots(network, start, end)


def _embed_points_in_3d(points: Floats, high: Floats) -> Floats:
    """Return points of the plane slightly above the floor of a box in space; points of space as they are."""
    if points.shape[1] == 3:
        return points
    return np.concatenate([points, np.full((len(points), 1), 5e-4 * high[2])], axis=1)


def _extract_floor_curve(extrusion: PolygonComplex) -> Mesh:
    """Return the edges of the polygons on the lowest plane of the box, as segments with the class on their left."""
    if len(extrusion.corner_counts) == 0:
        return empty_mesh(2)
    floor = np.flatnonzero(extrusion.edge_hyperplanes == extrusion.activation_patterns.shape[1] + 4)
    used, faces = np.unique(
        np.stack([extrusion.vertex_indices[extrusion.next_corners[floor]], extrusion.vertex_indices[floor]], axis=1),
        return_inverse=True,
    )
    return Mesh(extrusion.vertices[used][:, :2], faces.reshape(-1, 2).astype(np.int64))


def _assemble_complex(marching: AnalyticMarching, polygons: Polygons) -> PolygonComplex:
    """Return the polygons with shared vertices.

    Corners are one vertex if their hashes agree, which combine the two hyperplanes of a corner with the signs of all
    other units.
    """
    polygon, before, after = polygons.corner_neighbors()
    hashes = polygons.pattern_hashes[polygon].copy()
    for hyperplane in (polygons.edge_hyperplanes, polygons.edge_hyperplanes[before]):
        unit = np.minimum(hyperplane, marching.num_units - 1)
        positive = (hyperplane < marching.num_units) & polygons.activation_patterns[polygon, unit]
        hashes += marching.vertex_hash_terms[hyperplane] - np.where(positive, marching.unit_hash_terms[hyperplane], 0)
    _, first, vertex = np.unique(hashes, return_index=True, return_inverse=True)
    vertices = polygons.corners[first]
    lengths = np.abs(polygons.corners[after] - polygons.corners).max(1) if len(hashes) else np.zeros(0)
    # In this direction, which no structure of a network prefers, only vertices in the same point coincide.
    heights = np.sort(vertices @ np.array([0.683, 0.491, 0.541]))
    has_duplicates = bool((np.diff(heights) < COINCIDENCE_TOLERANCE * marching.box_diagonal).any())
    if has_duplicates or bool((lengths < 1e-9 * marching.box_diagonal).any()):
        vertices, vertex = _merge_close_vertices(vertices, vertex, 1e-9 * marching.box_diagonal)
    selected = vertex != vertex[after]
    counts = np.bincount(polygon[selected], minlength=len(polygons.corner_counts))
    # A polygon with fewer than three corners is an edge or a point where more than two hyperplanes meet.
    proper = counts >= 3
    if has_duplicates:
        proper &= _is_first_occurrence(vertex, selected, polygon, len(counts))
    selected &= proper[polygon]
    return PolygonComplex(
        vertices,
        counts[proper],
        vertex[selected],
        polygons.edge_hyperplanes[selected],
        polygons.activation_patterns[proper],
        polygons.level_maps[proper],
        marching.num_unclosed,
    )


def _is_first_occurrence(vertex_indices: Ints, selected: Bools, polygon_indices: Ints, count: int) -> Bools:
    """Return which polygons have no earlier one with the same vertices.

    A polygon that lies in a hyperplane of a unit is found from both sides.
    """
    # Sums of up to 128 such numbers are exact in float64.
    terms = torch.randint(2**46, (int(vertex_indices.max(initial=0)) + 1,), generator=generator(0, "vertices")).numpy()
    hashes = np.bincount(polygon_indices[selected], terms[vertex_indices[selected]], minlength=count)
    first = np.zeros(count, dtype=bool)
    first[np.unique(hashes, return_index=True)[1]] = True
    return first


def _merge_close_vertices(vertices: Floats, vertex_indices: Ints, tolerance: float) -> tuple[Floats, Ints]:
    """Merge vertices that are at most `tolerance` apart; return the vertices and the new indices."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    pairs = cKDTree(vertices).query_pairs(tolerance, output_type="ndarray")
    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(vertices),) * 2)
    _, cluster = connected_components(links, directed=False)
    _, first = np.unique(cluster, return_index=True)
    return vertices[first], cluster[vertex_indices].astype(np.int64)

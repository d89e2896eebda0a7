"""The exact boundary of a ReLU network: a complex of flat polygons in space, of straight segments in the plane."""

import dataclasses
from collections.abc import Sequence
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray

from dimple.boundary.boundary import Boundary
from dimple.levelsets.analytic_marching import POINT, Pieces, Walk
from dimple.levelsets.base import LevelSet, empty_mesh, require_drawable
from dimple.levelsets.edge_roots import landed
from dimple.levelsets.mesh import Mesh
from dimple.levelsets.seed_cells import Lattice, bisected, sweep
from dimple.settings import Count, Finite, settings
from dimple.tensors import generator
from dimple.tracing.piecewise_linear import Folds, folds

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@final
@dataclasses.dataclass(frozen=True)
class Polyhedral:
    """Convex polygons that meet edge to edge; each is the part of the boundary in one linear piece of the network.

    Attributes:
        vertices: `(V, 3)`, shared.
        counts: `(P,)` corners of each polygon.
        corners: `(C,)` vertex numbers, polygon after polygon, counter-clockwise seen from where the class wins.
        folds: `(C,)` the unit whose fold holds the edge from this corner to the next, or U + wall number on the box.
        patterns: `(P, U)` which units are positive.
        levels: `(P, 4)` the gap of the class on each piece as a map of (x, y, z, 1).
        left_out: pieces that could not be closed, for rounding or because the gap is zero in a whole region.
    """

    vertices: Floats
    counts: Ints
    corners: Ints
    folds: Ints
    patterns: Bools
    levels: Floats
    left_out: int

    @property
    def after(self) -> Ints:
        """`(C,)` of every corner, the place of the next one of its polygon."""
        ends = np.cumsum(self.counts)
        after = np.arange(1, len(self.corners) + 1)
        after[ends - 1] = ends - self.counts
        return after

    @property
    def normals(self) -> Floats:
        """`(P, 3)` unit vectors towards the side where the class wins."""
        gradients = self.levels[:, :3]
        unit: Floats = gradients / np.linalg.norm(gradients, axis=1, keepdims=True)
        return unit

    @property
    def areas(self) -> Floats:
        """`(P,)`."""
        triangles, piece = self._triangles()
        a, b, c = np.moveaxis(self.vertices[triangles], 1, 0)
        sizes = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
        areas: Floats = np.bincount(piece, sizes, minlength=len(self.counts)).astype(np.float64)
        return areas

    @property
    def edges(self) -> tuple[Ints, Ints, Ints]:
        """Vertex pairs `(E, 2)`; the fold of each `(E,)`; how many polygons have it `(E,)`.

        Those with a fold below U are the lines where the boundary bends.
        """
        pairs = np.sort(np.stack([self.corners, self.corners[self.after]], axis=1), axis=1)
        _unique, first, times = np.unique(
            pairs[:, 0] * len(self.vertices) + pairs[:, 1], return_index=True, return_counts=True
        )
        return pairs[first], self.folds[first], times

    @property
    def open_edges(self) -> int:
        """Edges inside the box that are not shared by exactly two polygons: 0 for a boundary without gaps."""
        _, fold, times = self.edges
        return int(((fold < self.patterns.shape[1]) & (times != 2)).sum())

    def mesh(self) -> Mesh:
        """The polygons cut into triangles, with the same vertices."""
        return Mesh(self.vertices, self._triangles()[0])

    def _triangles(self) -> tuple[Ints, Ints]:
        """Fans from each polygon's first corner; and the polygon of every triangle."""
        piece = np.repeat(np.arange(len(self.counts)), self.counts - 2)
        begins = np.cumsum(self.counts) - self.counts
        step = np.arange(len(piece)) - np.repeat(np.cumsum(self.counts - 2) - (self.counts - 2), self.counts - 2)
        first = begins[piece]
        return self.corners[np.stack([first, first + step + 1, first + step + 2], axis=1)], piece


@final
@settings
class Exact(LevelSet):
    """The boundary of a ReLU network as it is: walked from linear piece to linear piece, creases sharp, no grid error.

    Serves the networks that `tracing.piecewise_linear` reads. The walk reaches whatever hangs together with a crossing
    that its seeds have found; parts smaller than the finest seed cell can escape them.

    Args:
        cells: the seeds are searched for on a grid of that many cells along each axis, and 8 times finer where needed.
        most: pieces at which the walk gives up.

    Example:
        >>> network = torch.nn.Sequential(torch.nn.Linear(3, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2))
        >>> surface = Exact().polygons(Boundary(network), 1, (-1, -1, -1), (1, 1, 1))
        >>> surface.open_edges
        0
    """

    cells: Count = 32
    most: Count = 2_000_000
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
        """The polygons as triangles, or the segments."""
        dim = require_drawable(low)
        if dim == 3:
            found = self.polygons(boundary, label, low, high, previous)
            return found.mesh() if len(found.counts) else empty_mesh(3)
        # A curve in the plane is the foot of a wall over it.
        wall = self.polygons(boundary, label, [*low, 0.0], [*high, max(high) - min(low)], previous)
        return _foot(wall)

    def polygons(
        self,
        boundary: Boundary,
        label: int,
        low: Sequence[float],
        high: Sequence[float],
        previous: Mesh | None = None,
    ) -> Polyhedral:
        """The complex itself, with the pattern, the fold lines and the exact normal of every piece.

        Raises:
            ModelError: if the network is not of ReLU type.
            SceneError: if it has more pieces than `most`.
        """
        network = folds(boundary.classifier, label)
        corners = np.array(low, dtype=np.float64), np.array(high, dtype=np.float64)
        with torch.no_grad():
            seeds = self._seeds(network, *corners)
            if previous is not None and len(previous.vertices):
                # A hint, not a duty: a few thousand points of the mesh before are enough.
                thinned = previous.vertices[:: len(previous.vertices) // 4096 + 1]
                seeds = np.concatenate([seeds, _lifted_points(thinned)])
            network = network.lifted()
            walk = Walk(network, *corners)
            pieces = walk.all_pieces(seeds, self.most)
        return _assembled(walk, pieces)

    def _seeds(self, network: Folds, low: Floats, high: Floats) -> Floats:
        """Points of the boundary, one on every crossed edge of the search grid."""
        cpu = torch.device("cpu")
        quick = network.to(cpu, torch.float32)
        if network.inputs == 2:
            return _lifted_points(_plane_seeds(network, low[:2], high[:2], 8 * self.cells))
        lattice = Lattice(quick.level, low.tolist(), high.tolist(), 8 * self.cells, cpu)
        edges = bisected(lattice, sweep(lattice, self.cells))
        start, end = (lattice.points(ends) for ends in edges.ends())
        return _on_segments(network, start, end)


def _level64(network: Folds, points: Floats) -> Floats:
    return network.level(torch.from_numpy(np.ascontiguousarray(points))).numpy()


def _on_segments(network: Folds, start: Floats, end: Floats) -> Floats:
    """The crossings on segments, in float64."""
    values = np.stack([_level64(network, start), _level64(network, end)], axis=1)
    # In double precision a few ends may fall on the same side.
    keep = (values[:, 0] > 0) != (values[:, 1] > 0)
    points, _ = landed(lambda x: _level64(network, x), start[keep], end[keep], values[keep], steps=12, within=1e-9)
    return points


def _plane_seeds(network: Folds, low: Floats, high: Floats, cells: int) -> Floats:
    """Crossings on all edges of a fine grid of the plane."""
    axes = [np.linspace(a, b, cells + 1) for a, b in zip(low, high, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    sides = _level64(network, points.reshape(-1, 2)).reshape(points.shape[:2]) > 0
    down, across = sides[1:] != sides[:-1], sides[:, 1:] != sides[:, :-1]
    start = np.concatenate([points[:-1][down], points[:, :-1][across]])
    end = np.concatenate([points[1:][down], points[:, 1:][across]])
    return _on_segments(network, start, end)


def _lifted_points(points: Floats) -> Floats:
    """Points of the plane a little above it; points of space as they are."""
    if points.shape[1] == 3:
        return points
    return np.concatenate([points, np.full((len(points), 1), 1e-3)], axis=1)


def _foot(wall: Polyhedral) -> Mesh:
    """The edges of the complex that lie on the floor of the box, as segments with the class on their left."""
    if len(wall.counts) == 0:
        return empty_mesh(2)
    floor = np.flatnonzero(wall.folds == wall.patterns.shape[1] + 4)
    used, faces = np.unique(
        np.stack([wall.corners[wall.after[floor]], wall.corners[floor]], axis=1), return_inverse=True
    )
    return Mesh(wall.vertices[used][:, :2], faces.reshape(-1, 2).astype(np.int64))


def _assembled(walk: Walk, pieces: Pieces) -> Polyhedral:
    """Polygons with shared vertices: a vertex is named by its two folds and the region around it."""
    piece, before, after = pieces.neighbours()
    names = pieces.keys[piece].copy()
    for fold in (pieces.folds, pieces.folds[before]):
        unit = np.minimum(fold, walk.units - 1)
        names += walk.tags[fold] - np.where((fold < walk.units) & pieces.patterns[piece, unit], walk.bits[fold], 0)
    _, first, vertex = np.unique(names, return_index=True, return_inverse=True)
    vertices = pieces.corners[first]
    gaps = np.abs(pieces.corners[after] - pieces.corners).max(1) if len(names) else np.zeros(0)
    # Seen from an odd direction only vertices of one point are in one place.
    twice = bool((np.diff(np.sort(vertices @ np.array([0.683, 0.491, 0.541]))) < POINT * walk.size).any())
    if twice or bool((gaps < 1e-9 * walk.size).any()):
        vertices, vertex = _welded(vertices, vertex, 1e-9 * walk.size)
    kept = vertex != vertex[after]
    counts = np.bincount(piece[kept], minlength=len(pieces.counts))
    # What is left with fewer corners was only passed through: an edge where more than two folds meet.
    solid = counts >= 3
    if twice:
        solid &= _first_of_its_kind(vertex, kept, piece, len(counts))
    kept &= solid[piece]
    return Polyhedral(
        vertices,
        counts[solid],
        vertex[kept],
        pieces.folds[kept],
        pieces.patterns[solid],
        pieces.levels[solid],
        walk.open,
    )


def _first_of_its_kind(vertex: Ints, kept: Bools, piece: Ints, count: int) -> Bools:
    """Which polygons have no earlier one with the same vertices: one in a fold is found from both its sides."""
    # Sums of up to 128 such numbers are exact.
    tags = torch.randint(2**46, (int(vertex.max(initial=0)) + 1,), generator=generator(0, "vertices")).numpy()
    names = np.bincount(piece[kept], tags[vertex[kept]], minlength=count)
    first = np.zeros(count, dtype=bool)
    first[np.unique(names, return_index=True)[1]] = True
    return first


def _welded(vertices: Floats, vertex: Ints, within: float) -> tuple[Floats, Ints]:
    """Vertices that lie in one point made one."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    pairs = cKDTree(vertices).query_pairs(within, output_type="ndarray")
    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(vertices),) * 2)
    _, cluster = connected_components(links, directed=False)
    _, first = np.unique(cluster, return_index=True)
    return vertices[first], cluster[vertex].astype(np.int64)

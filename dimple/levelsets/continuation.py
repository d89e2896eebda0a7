"""Surface continuation: follow a level set from cell to cell through the grid edges on which the sign changes."""

import functools
from typing import final

import numpy as np
from numpy.typing import NDArray

from dimple.levelsets import _continuation_kernels as kernels
from dimple.levelsets.base import is_sign_change
from dimple.levelsets.dense import contour_surface
from dimple.levelsets.seed_cells import EvaluationGrid, SignChangeEdges

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
UNIT_VECTORS = np.eye(3, dtype=np.int64)


@final
class SurfaceContinuation:
    """Cells that a level set crosses, as far as they have been followed, and the levels at their corners.

    In the plane the grid has one layer of cells with equal levels on its lower and upper side, so that a curve is
    followed as a vertical wall.

    Attributes:
        crossed_cells: `(C, 3)` cells, in the order in which they were visited.
    """

    def __init__(self, grid: EvaluationGrid) -> None:
        self.grid = grid
        self.cell_counts = np.array([grid.resolution] * grid.dim + [1] * (3 - grid.dim))
        self.block_table = np.full((self.cell_counts >> kernels.LOG2_BLOCK_SIDE) + 1, -1, dtype=np.int32)
        self.num_blocks = 0
        self.values = np.full((0, kernels.POINTS_PER_BLOCK), np.nan, dtype=np.float32)
        self.visited = np.zeros((0, kernels.POINTS_PER_BLOCK), dtype=np.uint8)
        self.crossed_cells = np.zeros((0, 3), dtype=np.int64)

    def follow(self, edges: SignChangeEdges, hints: Ints) -> None:
        """Follow the level set from crossed edges, each one grid step long, to all cells connected with them.

        Args:
            edges: the crossed edges.
            hints: `(M, n)` further cells that may be crossed, such as those of the previous snapshot.
        """
        self._flood_fill(_pad_to_3d(edges.start), edges.axis, _pad_to_3d(hints))
        explored = 0
        while explored < len(self.crossed_cells):
            found = self._find_hidden_sign_changes(self.crossed_cells[explored:])
            explored = len(self.crossed_cells)
            self._flood_fill(*found, np.zeros((0, 3), dtype=np.int64))

    def triangulate(self) -> tuple[Ints, Ints, Ints, Floats]:
        """Return the mesh in terms of grid edges.

        Returns:
            Triangles `(F, 3)`, or segments `(F, 2)`; of each vertex the start `(V, n)` of its edge, the axis `(V,)` and
            the levels `(V, 2)` at both ends.
        """
        vertex_ids = np.full((self.num_blocks, kernels.POINTS_PER_BLOCK, 3), -1, dtype=np.int32)
        faces, start, axis, ends = kernels.marching_cubes(
            self.crossed_cells, self.block_table, self.values, vertex_ids, marching_cubes_table()
        )
        if self.grid.dim == 3:
            return faces, start, axis, ends.astype(np.float64)
        # The lower edges of the wall. Seen from above, the class, which the wall faces, is on their left.
        sides = np.stack([np.roll(faces, -1, axis=1), faces], axis=2).reshape(-1, 2)
        segments = sides[(start[sides, 2] == 0).all(1)]
        used, segments = np.unique(segments, return_inverse=True)
        return segments.reshape(-1, 2), start[used, :2], axis[used], ends[used].astype(np.float64)

    def _flood_fill(self, start: Ints, axis: Ints, pending: Ints) -> None:
        crossed = [self.crossed_cells]
        while len(start) or len(pending):
            for cells in (start, pending):
                self.num_blocks = kernels.allocate_blocks(cells, self.block_table, self.num_blocks, self.cell_counts)
            self._grow_storage()
            fresh = kernels.find_unvisited_cells(start, axis, self.block_table, self.visited, self.cell_counts)
            crossed.append(fresh)
            pending = np.concatenate([pending, fresh])
            self._evaluate(kernels.find_unevaluated_corners(pending, self.block_table, self.values))
            start, axis = kernels.find_sign_changes(
                pending, self.block_table, self.visited, self.values, self.cell_counts
            )
            pending = pending[:0]
        self.crossed_cells = np.concatenate(crossed)

    def _find_hidden_sign_changes(self, cells: Ints) -> tuple[Ints, Ints]:
        """Return crossed edges that leave the cells, at corners where the levels bend enough to hide another sheet."""
        corners, axis, step, here = kernels.find_uncertain_corners(
            cells, self.block_table, self.visited, self.values, self.cell_counts
        )
        neighbors = corners + step[:, None] * UNIT_VECTORS[axis]
        there = self.grid.evaluate_corners(neighbors[:, : self.grid.dim])
        change = is_sign_change(here, there)
        return np.minimum(corners, neighbors)[change], axis[change]

    def _evaluate(self, points: Ints) -> None:
        if self.grid.dim == 3:
            kernels.store_values(points, self._evaluate_corners(points), self.block_table, self.values)
            return
        lower = points[points[:, 2] == 0]
        levels = self._evaluate_corners(lower[:, :2])
        for layer in (lower, lower + UNIT_VECTORS[2]):
            kernels.store_values(layer, levels, self.block_table, self.values)

    def _evaluate_corners(self, corners: Ints) -> NDArray[np.float32]:
        """Return the levels of corners `(N, n)`, infinite where there is no answer: nan means not evaluated here."""
        levels = self.grid.evaluate_corners(corners).astype(np.float32)
        return np.where(np.isnan(levels), np.float32(np.inf), levels)

    def _grow_storage(self) -> None:
        more = max(self.num_blocks, 2 * len(self.values)) - len(self.values)
        if self.num_blocks > len(self.values):
            self.values = np.concatenate(
                [self.values, np.full((more, kernels.POINTS_PER_BLOCK), np.nan, dtype=np.float32)]
            )
            self.visited = np.concatenate([self.visited, np.zeros((more, kernels.POINTS_PER_BLOCK), dtype=np.uint8)])


def _pad_to_3d(corners: Ints) -> Ints:
    """Return points of the plane as points of the lower side of the grid; points of space as they are."""
    return np.pad(corners, ((0, 0), (0, 3 - corners.shape[1])))


@functools.cache
def marching_cubes_table() -> NDArray[np.int32]:
    """Return the triangles of each of the 256 patterns of corner signs, `(256, 16)`.

    A row lists the edges of the triangles as 3 corner + axis, ended by -1. The table is made by the contouring of the
    dense grid, so that both kinds of level set cut a cell in the same way.
    """
    table = np.full((256, 16), -1, dtype=np.int32)
    axes = [np.array([0.0, 1.0])] * 3
    for case in range(256):
        signs = np.array([1.0 if case >> corner & 1 else -1.0 for corner in range(8)]).reshape(2, 2, 2)
        mesh = contour_surface(signs.transpose(2, 1, 0), axes)
        corner = np.floor(mesh.vertices).astype(np.int64)
        axis = np.argmax(np.abs(mesh.vertices - corner - 0.5) < 0.25, axis=1)
        edge_of_vertex = (corner @ np.array([4, 2, 1])) * 3 + axis
        edges = edge_of_vertex[mesh.faces].reshape(-1)
        table[case, : len(edges)] = edges
    return table

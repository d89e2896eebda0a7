"""Level sets of any network by following the surface: only the cells that it crosses are evaluated."""

import functools
from collections.abc import Sequence
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray

from dimple.boundary.boundary import Boundary
from dimple.boundary.grid import Grid, contour_surface
from dimple.boundary.landing import landed
from dimple.boundary.levelset import LevelSet, empty_mesh, level_function, require_drawable
from dimple.boundary.mesh import Mesh
from dimple.boundary.sweep import Lattice, bisected, sweep
from dimple.settings import Count, Finite, Flag, NonNegative, settings

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@final
@settings
class Adaptive(LevelSet):
    """The mesh of a dense grid of `cells`^3, at a few percent of its cost.

    A coarse grid, made finer where the values bend enough to hide a part between its corners, finds a point of every
    part; from there the surface is followed from cell to cell through the edges on which the sign changes. The
    triangles are those of the dense grid; a part that the sweep does not see is missing. In the plane the grid itself
    is cheap and is used.

    Args:
        cells: along each axis; rounded up to a multiple of a power of two.
        budget: how many values the sweep may ask for each cell that the surface crosses, beside the two that following
            it takes; 0 trusts the coarse grid.
        snap: whether every vertex is brought onto the level set, along its own edge, so that the topology stays.

    Example:
        >>> ball = Boundary(lambda x: torch.stack([x.norm(dim=1), torch.ones(len(x))], dim=1))
        >>> mesh = Adaptive(cells=64).extract(ball, 1, (-2, -2, -2), (2, 2, 2), torch.device("cpu"))
        >>> round(mesh.area / (4 * np.pi), 3)
        0.999
    """

    cells: Count = 128
    budget: NonNegative = 1.5
    snap: Flag = True
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
        """Sweep, follow, triangulate, snap."""
        if require_drawable(low) == 2:
            return Grid(cells=self.cells).extract(boundary, label, low, high, device)
        coarse = self._coarse()
        cells = -(-self.cells // coarse) * coarse
        cells = coarse << max(0, (cells // coarse - 1).bit_length())
        lattice = Lattice(level_function(boundary, label), low, high, cells, device)
        edges = bisected(lattice, sweep(lattice, coarse, self.budget))
        hints = None if previous is None else lattice.cells_of(previous.vertices)
        faces, start, axis, values = follow(lattice, edges.start, edges.axis, hints)
        if len(faces) == 0:
            return empty_mesh(3)
        ends = start + np.eye(3, dtype=np.int64)[axis]
        if self.snap:
            vertices, _ = landed(lattice.at, lattice.points(start), lattice.points(ends), values, 4, 1e-4)
        else:
            share = values[:, :1] / (values[:, :1] - values[:, 1:])
            vertices = lattice.points(start + share * (ends - start))
        return Mesh(vertices, faces)

    def _coarse(self) -> int:
        """Cells of the sweep: an eighth of the lattice's, within 32 and 64."""
        return min(max(32, 1 << (self.cells // 8).bit_length() - 1), 64, self.cells)


def follow(lattice: Lattice, start: Ints, axis: Ints, hints: Ints | None) -> tuple[Ints, Ints, Ints, Floats]:
    """From some crossed edges to all that hang together with them.

    Args:
        start: `(E, 3)` lattice points whose edge along `axis` `(E,)` changes its sign.
        hints: `(M, 3)` cells that may be crossed, such as those of the snapshot before.

    Returns:
        Triangles `(F, 3)`, and of each vertex the start, axis and end values of its edge.
    """
    from dimple.boundary import flooding

    side = (lattice.cells >> flooding.SHIFT) + 1
    top = np.full((side, side, side), -1, dtype=np.int32)
    count = 0
    values = np.zeros((0, flooding.POINTS), dtype=np.float32)
    seen = np.zeros((0, flooding.POINTS), dtype=np.uint8)
    pending = np.zeros((0, 3), dtype=np.int64) if hints is None else hints
    crossed = [np.zeros((0, 3), dtype=np.int64)]
    while len(start) or len(pending):
        count = flooding.touch(start, top, count, lattice.cells)
        count = flooding.touch(pending, top, count, lattice.cells)
        if count > len(values):
            room = np.full((max(count, 2 * len(values)) - len(values), flooding.POINTS), np.nan, dtype=np.float32)
            values = np.concatenate([values, room])
            seen = np.concatenate([seen, np.zeros(room.shape, dtype=np.uint8)])
        fresh = flooding.around(start, axis, top, seen, lattice.cells)
        crossed.append(fresh)
        pending = np.concatenate([pending, fresh]) if len(pending) else fresh
        asked = flooding.unknown(pending, top, values)
        if len(asked):
            flooding.store(asked, lattice.values(asked).astype(np.float32), top, values)
        start, axis = flooding.changes(pending, top, seen, values, lattice.cells)
        pending = pending[:0]
    names = np.full((count, flooding.POINTS, 3), -1, dtype=np.int32)
    faces, start, axis, ends = flooding.triangulate(np.concatenate(crossed), top, values, names, cases())
    return faces, start, axis, ends.astype(np.float64)


@functools.cache
def cases() -> NDArray[np.int32]:
    """The triangles of each of the 256 patterns of corner signs, asked from the contouring of the dense grid.

    So both kinds of level set cut a cell in the same way. `(256, 16)`: 3 corner + axis of each edge, ended by -1.
    """
    table = np.full((256, 16), -1, dtype=np.int32)
    axes = [np.array([0.0, 1.0])] * 3
    for case in range(256):
        signs = np.array([1.0 if case >> corner & 1 else -1.0 for corner in range(8)]).reshape(2, 2, 2)
        mesh = contour_surface(signs.transpose(2, 1, 0), axes)
        corner = np.floor(mesh.vertices).astype(np.int64)
        axis = np.argmax(np.abs(mesh.vertices - corner - 0.5) < 0.25, axis=1)
        names = (corner @ np.array([4, 2, 1])) * 3 + axis
        edges = names[mesh.faces].reshape(-1)
        table[case, : len(edges)] = edges
    return table

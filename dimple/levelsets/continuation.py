"""A level set followed from cell to cell through the lattice edges on which its level changes its sign."""

import functools
from typing import final

import numpy as np
from numpy.typing import NDArray

from dimple.levelsets import _continuation_kernels as flooding
from dimple.levelsets.dense import contour_surface
from dimple.levelsets.seed_cells import Edges, Lattice

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
UNIT = np.eye(3, dtype=np.int64)


@final
class Following:
    """What is known of a level set so far: the cells that it crosses, and the level at their corners.

    In the plane the lattice has one layer of cells, and both its sides have the level of the curve: it is followed as a
    wall.

    Attributes:
        crossed: `(C, 3)` cells, in the order in which they were met.
    """

    def __init__(self, lattice: Lattice) -> None:
        self.lattice = lattice
        self.most = np.array([lattice.cells] * lattice.dim + [1] * (3 - lattice.dim))
        self.top = np.full((self.most >> flooding.SHIFT) + 1, -1, dtype=np.int32)
        self.count = 0
        self.values = np.full((0, flooding.POINTS), np.nan, dtype=np.float32)
        self.seen = np.zeros((0, flooding.POINTS), dtype=np.uint8)
        self.crossed = np.zeros((0, 3), dtype=np.int64)

    def follow(self, edges: Edges, hints: Ints) -> None:
        """From some crossed edges, of single steps, to all that hang together with them.

        Args:
            hints: `(M, n)` cells that may be crossed, such as those of the snapshot before.
        """
        self._flood(_in_space(edges.start), edges.axis, _in_space(hints))
        looked = 0
        while looked < len(self.crossed):
            found = self._beside(self.crossed[looked:])
            looked = len(self.crossed)
            self._flood(*found, np.zeros((0, 3), dtype=np.int64))

    def triangles(self) -> tuple[Ints, Ints, Ints, Floats]:
        """Triangles `(F, 3)`, or segments `(F, 2)`; of each vertex its edge's start `(V, n)`, axis, and end values."""
        names = np.full((self.count, flooding.POINTS, 3), -1, dtype=np.int32)
        faces, start, axis, ends = flooding.triangulate(self.crossed, self.top, self.values, names, cases())
        if self.lattice.dim == 3:
            return faces, start, axis, ends.astype(np.float64)
        # The wall's foot; seen from above the class, which the wall faces, is on the left.
        sides = np.stack([np.roll(faces, -1, axis=1), faces], axis=2).reshape(-1, 2)
        segments = sides[(start[sides, 2] == 0).all(1)]
        used, segments = np.unique(segments, return_inverse=True)
        return segments.reshape(-1, 2), start[used, :2], axis[used], ends[used].astype(np.float64)

    def _flood(self, start: Ints, axis: Ints, pending: Ints) -> None:
        crossed = [self.crossed]
        while len(start) or len(pending):
            for places in (start, pending):
                self.count = flooding.touch(places, self.top, self.count, self.most)
            self._make_room()
            fresh = flooding.around(start, axis, self.top, self.seen, self.most)
            crossed.append(fresh)
            pending = np.concatenate([pending, fresh])
            self._ask(flooding.unknown(pending, self.top, self.values))
            start, axis = flooding.changes(pending, self.top, self.seen, self.values, self.most)
            pending = pending[:0]
        self.crossed = np.concatenate(crossed)

    def _beside(self, cells: Ints) -> tuple[Ints, Ints]:
        """Crossed edges that lead away from the cells, where the levels bend enough to hide another part."""
        corners, axis, step, here = flooding.doubtful(cells, self.top, self.seen, self.values, self.most)
        beside = corners + step[:, None] * UNIT[axis]
        there = self.lattice.values(beside[:, : self.lattice.dim])
        change = (here >= 0) != (there >= 0)
        return np.minimum(corners, beside)[change], axis[change]

    def _ask(self, points: Ints) -> None:
        if self.lattice.dim == 3:
            flooding.store(points, self.lattice.values(points).astype(np.float32), self.top, self.values)
            return
        floor = points[points[:, 2] == 0]
        level = self.lattice.values(floor[:, :2]).astype(np.float32)
        for layer in (floor, floor + UNIT[2]):
            flooding.store(layer, level, self.top, self.values)

    def _make_room(self) -> None:
        more = max(self.count, 2 * len(self.values)) - len(self.values)
        if self.count > len(self.values):
            self.values = np.concatenate([self.values, np.full((more, flooding.POINTS), np.nan, dtype=np.float32)])
            self.seen = np.concatenate([self.seen, np.zeros((more, flooding.POINTS), dtype=np.uint8)])


def _in_space(corners: Ints) -> Ints:
    """Points of the plane as points of the lattice's lower side."""
    return np.pad(corners, ((0, 0), (0, 3 - corners.shape[1])))


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

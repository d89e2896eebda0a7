"""Finding the parts of a level set in space from few evaluations: a coarse grid, finer where the values bend."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray

from dimple.boundary.levelset import LevelFunction

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CORNERS = np.array(list(itertools.product((0, 1), repeat=3)), dtype=np.int64)
# A cell is above doubt where its smallest value is so many times what the values bend.
TRUSTED = 4.0
# What is left is spent in this share at every halving but the last; a divided cell asks for about so many values.
FIRST, EACH = 0.6, 12
CENTRE = np.array(list(itertools.product((0, 1, 2), repeat=3)), dtype=np.int64)


@final
class Lattice:
    """The corners of `cells`^3 cells of a box, named by three integers, with a level function to ask there.

    Attributes:
        evaluations: how many points were asked so far.
    """

    def __init__(
        self, level: LevelFunction, low: Sequence[float], high: Sequence[float], cells: int, device: torch.device
    ) -> None:
        self.level = level
        self.low = np.array(low, dtype=np.float64)
        self.step = (np.array(high, dtype=np.float64) - self.low) / cells
        self.cells = cells
        self.device = device
        self.evaluations = 0

    def points(self, corners: Ints | Floats) -> Floats:
        """Lattice coordinates `(N, 3)`, whole or not, as points of space."""
        return self.low + corners * self.step

    def cells_of(self, points: Floats) -> Ints:
        """The cells `(M, 3)` that hold points of space, each once; points outside the box are left out."""
        inside = np.floor((points - self.low) / self.step)
        inside = inside[((inside >= 0) & (inside < self.cells)).all(1)].astype(np.int64)
        return np.unique(inside, axis=0)

    def values(self, corners: Ints | Floats) -> Floats:
        """The level at lattice coordinates `(N, 3)`; rounded to float32 points, as a dense grid has them."""
        return self.at(self.points(corners))

    def at(self, points: Floats) -> Floats:
        """The level at points of space `(N, 3)`."""
        self.evaluations += len(points)
        x = torch.from_numpy(points.astype(np.float32)).to(self.device)
        with torch.no_grad():
            found: Floats = self.level(x).double().cpu().numpy()
        return found


@final
@dataclasses.dataclass(frozen=True)
class Edges:
    """Lattice edges on which the level changes its sign.

    Attributes:
        start: `(E, 3)` the end with the smaller coordinates.
        axis: `(E,)` the direction.
        length: `(E,)` in lattice steps.
        values: `(E, 2)` the level at both ends.
    """

    start: Ints
    axis: Ints
    length: Ints
    values: Floats

    def __getitem__(self, rows: Ints | NDArray[np.bool_]) -> "Edges":
        return Edges(self.start[rows], self.axis[rows], self.length[rows], self.values[rows])

    def ends(self) -> tuple[Ints, Ints]:
        """Both ends, `(E, 3)` each."""
        return self.start, self.start + self.length[:, None] * np.eye(3, dtype=np.int64)[self.axis]


def sweep(lattice: Lattice, coarse: int, budget: float) -> Edges:
    """Edges of a coarse grid that the level set crosses, and of finer cells where it may hide between the corners.

    A cell whose corners agree may hide a part if its smallest value is small beside what the values bend in and beside
    it. The most doubtful cells are divided, then the most doubtful of their eighths, down to the lattice itself.

    Args:
        coarse: cells along each axis of the first grid; divides the lattice's cells, with a power of two left.
        budget: how many values are asked for each lattice cell that the level set crosses, as far as the coarse grid
            can tell. The coarse grid is paid from it; where it costs more, half as much again is spent on cells.
    """
    stride = lattice.cells // coarse
    axis = np.arange(coarse + 1) * stride
    corners = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
    values = lattice.values(corners.reshape(-1, 3)).reshape(corners.shape[:3])
    found = [_grid_edges(corners, values, stride)]
    blocks = np.stack([values[_window(corner, coarse)] for corner in CORNERS], axis=-1).reshape(-1, 8)
    cells = corners[:-1, :-1, :-1].reshape(-1, 3)
    bends = _grid_bends(values)
    crossed = int(((blocks > 0).any(1) & (blocks <= 0).any(1)).sum()) * stride**2
    left = max(budget * crossed - values.size, 0.5 * values.size) if budget > 0 else 0.0
    while stride > 1:
        share = left if stride == 2 else FIRST * left
        doubtful = _most_doubtful(blocks, bends, int(share / EACH))
        if len(doubtful) == 0:
            break
        stride //= 2
        asked = lattice.evaluations
        cells, blocks, bends = _divided(lattice, cells[doubtful], stride)
        left -= lattice.evaluations - asked
        found.append(_cell_edges(cells, blocks, stride))
    every = Edges(*(np.concatenate([getattr(e, f.name) for e in found]) for f in dataclasses.fields(Edges)))
    names = np.ravel_multi_index(tuple(every.start.T), (lattice.cells + 1,) * 3) * 3 + every.axis
    return every[np.unique(names * (lattice.cells + 1) + every.length, return_index=True)[1]]


def bisected(lattice: Lattice, edges: Edges) -> Edges:
    """The single steps of the lattice, one on each edge, on which the sign changes."""
    edges = Edges(edges.start.copy(), edges.axis, edges.length.copy(), edges.values.copy())
    while len(long := np.flatnonzero(edges.length > 1)):
        half = edges.length[long] // 2
        middle = edges.start[long] + half[:, None] * np.eye(3, dtype=np.int64)[edges.axis[long]]
        value = lattice.values(middle)
        upper = (value > 0) == (edges.values[long, 0] > 0)
        edges.start[long[upper]] = middle[upper]
        edges.values[long[upper], 0] = value[upper]
        edges.values[long[~upper], 1] = value[~upper]
        edges.length[long] = np.where(upper, edges.length[long] - half, half)
    return edges


def _window(corner: Ints, coarse: int) -> tuple[slice, ...]:
    return tuple(slice(int(c), coarse + int(c)) for c in corner)


def _grid_edges(corners: Ints, values: Floats, stride: int) -> Edges:
    """The sign changes along the lines of a full grid."""
    parts = []
    for axis in range(3):
        near, far = np.moveaxis(values, axis, 0)[:-1], np.moveaxis(values, axis, 0)[1:]
        change = (near > 0) != (far > 0)
        start = np.moveaxis(corners, axis, 0)[:-1][change]
        pair = np.stack([near[change], far[change]], axis=1)
        parts.append((start, np.full(len(start), axis), np.full(len(start), stride), pair))
    return Edges(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _cell_edges(cells: Ints, blocks: Floats, stride: int) -> Edges:
    """The sign changes along the twelve edges of single cells."""
    parts = []
    for axis in range(3):
        for near in np.flatnonzero(CORNERS[:, axis] == 0):
            far = near + (4, 2, 1)[axis]
            change = (blocks[:, near] > 0) != (blocks[:, far] > 0)
            start = cells[change] + CORNERS[near] * stride
            pair = blocks[change][:, [near, far]]
            parts.append((start, np.full(len(start), axis), np.full(len(start), stride), pair))
    return Edges(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _grid_bends(values: Floats) -> Floats:
    """The largest second difference along an axis at the corners of each cell of a full grid, flat."""
    bends = np.zeros_like(values)
    for axis in range(3):
        inner = np.moveaxis(bends, axis, 0)[1:-1]
        np.maximum(inner, np.abs(np.diff(np.moveaxis(values, axis, 0), n=2, axis=0)), out=inner)
    coarse = len(values) - 1
    found: Floats = np.max([bends[_window(corner, coarse)] for corner in CORNERS], axis=0).reshape(-1)
    return found


def _most_doubtful(blocks: Floats, bends: Floats, count: int) -> Ints:
    """Of cells with corner values `(N, 8)`, up to `count` that may hide a part which no edge shows, likeliest first."""
    cube = blocks.reshape(-1, 2, 2, 2)
    for first, second in ((1, 2), (1, 3), (2, 3)):
        mixed = np.abs(np.diff(np.diff(cube, axis=first), axis=second)).reshape(len(cube), -1).max(1)
        bends = np.maximum(bends, mixed)
    agree = (blocks > 0).all(1) | (blocks <= 0).all(1)
    least = np.abs(blocks).min(1)
    doubtful = np.flatnonzero(agree & (least < TRUSTED * bends))
    return doubtful[np.argsort(least[doubtful] / bends[doubtful], kind="stable")[:count]]


def _divided(lattice: Lattice, cells: Ints, stride: int) -> tuple[Ints, Floats, Floats]:
    """The eighths of cells, `(8 N, 3)`, of size `stride`; their corner values `(8 N, 8)`; how much those bend."""
    corners = (cells[:, None] + CENTRE * stride).reshape(-1, 3)
    names, where = np.unique(np.ravel_multi_index(tuple(corners.T), (lattice.cells + 1,) * 3), return_inverse=True)
    asked = np.stack(np.unravel_index(names, (lattice.cells + 1,) * 3), axis=1)
    values = lattice.values(asked)[where].reshape(-1, 3, 3, 3)
    parts = [np.stack([values[:, i + a, j + b, k + c] for a, b, c in CORNERS], axis=1) for i, j, k in CORNERS]
    eighths = (cells[:, None] + CORNERS * stride).reshape(-1, 3)
    bends = np.max(
        [np.abs(np.diff(values, n=2, axis=axis)).reshape(len(cells), -1).max(1) for axis in (1, 2, 3)], axis=0
    )
    return eighths, np.stack(parts, axis=1).reshape(-1, 8), np.repeat(bends, 8)

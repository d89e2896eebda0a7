"""Finding the parts of a level set from few evaluations: a coarse grid, and ways down from its least values."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray

from dimple.levelsets.base import LevelFunction

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# Steps of one length that a way down takes at most.
STEPS = 2


@final
class Lattice:
    """The corners of `cells`^n cells of a box, named by n integers, with a level function to ask there.

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

    @property
    def dim(self) -> int:
        """n."""
        return len(self.low)

    def points(self, corners: Ints | Floats) -> Floats:
        """Lattice coordinates `(N, n)`, whole or not, as points of space."""
        return self.low + corners * self.step

    def cells_of(self, points: Floats) -> Ints:
        """The cells `(M, n)` that hold points of space, each once; points outside the box are left out."""
        inside = np.floor((points - self.low) / self.step)
        inside = inside[((inside >= 0) & (inside < self.cells)).all(1)].astype(np.int64)
        return np.unique(inside, axis=0)

    def values(self, corners: Ints | Floats) -> Floats:
        """The level at lattice coordinates `(N, n)`; rounded to float32 points, as a dense grid has them."""
        return self.at(self.points(corners))

    def at(self, points: Floats) -> Floats:
        """The level at points of space `(N, n)`."""
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
        start: `(E, n)` the end with the smaller coordinates.
        axis: `(E,)` the direction.
        length: `(E,)` in lattice steps.
        values: `(E, 2)` the level at both ends.
    """

    start: Ints
    axis: Ints
    length: Ints
    values: Floats

    def __getitem__(self, rows: Ints | Bools) -> "Edges":
        return Edges(self.start[rows], self.axis[rows], self.length[rows], self.values[rows])

    def ends(self) -> tuple[Ints, Ints]:
        """Both ends, `(E, n)` each."""
        return self.start, self.start + self.length[:, None] * np.eye(self.start.shape[1], dtype=np.int64)[self.axis]


def no_edges(dim: int) -> Edges:
    """None at all."""
    none = np.zeros(0, dtype=np.int64)
    return Edges(np.zeros((0, dim), dtype=np.int64), none, none, np.zeros((0, 2)))


def sweep(lattice: Lattice, coarse: int) -> Edges:
    """Edges that the level set crosses: of a coarse grid, and on the ways down from the grid's least values.

    A part that hides between the corners of the grid, all of them on one side, makes the level small there; a corner
    whose level is smaller than at its neighbours along all axes is where a way to such a part begins.

    Args:
        coarse: cells along each axis of the grid; divides the lattice's cells, with a power of two left.
    """
    stride = lattice.cells // coarse
    corners = np.stack(np.meshgrid(*[np.arange(coarse + 1) * stride] * lattice.dim, indexing="ij"), axis=-1)
    values = lattice.values(corners.reshape(-1, lattice.dim)).reshape(corners.shape[:-1])
    least = _least_along_axes(values)
    return _joined([_grid_edges(corners, values, stride), *_ways(lattice, corners[least], values[least], stride)])


def bisected(lattice: Lattice, edges: Edges) -> Edges:
    """The single steps of the lattice, one on each edge, on which the sign changes."""
    edges = Edges(edges.start.copy(), edges.axis, edges.length.copy(), edges.values.copy())
    while len(long := np.flatnonzero(edges.length > 1)):
        half = edges.length[long] // 2
        middle = edges.start[long] + half[:, None] * np.eye(lattice.dim, dtype=np.int64)[edges.axis[long]]
        value = lattice.values(middle)
        upper = (value > 0) == (edges.values[long, 0] > 0)
        edges.start[long[upper]] = middle[upper]
        edges.values[long[upper], 0] = value[upper]
        edges.values[long[~upper], 1] = value[~upper]
        edges.length[long] = np.where(upper, edges.length[long] - half, half)
    return edges


def _joined(parts: list[Edges]) -> Edges:
    return Edges(*(np.concatenate([getattr(e, f.name) for e in parts]) for f in dataclasses.fields(Edges)))


def _grid_edges(corners: Ints, values: Floats, stride: int) -> Edges:
    """The sign changes along the lines of a full grid."""
    parts = []
    for axis in range(values.ndim):
        near, far = np.moveaxis(values, axis, 0)[:-1], np.moveaxis(values, axis, 0)[1:]
        change = (near > 0) != (far > 0)
        start = np.moveaxis(corners, axis, 0)[:-1][change]
        pair = np.stack([near[change], far[change]], axis=1)
        parts.append(Edges(start, np.full(len(start), axis), np.full(len(start), stride), pair))
    return _joined(parts)


def _least_along_axes(values: Floats) -> Bools:
    """Where a full grid's values are smaller than at both neighbours along every axis, all on the same side."""
    least = np.ones(values.shape, dtype=bool)
    for axis in range(values.ndim):
        size, side = np.moveaxis(np.abs(values), axis, 0), np.moveaxis(values > 0, axis, 0)
        smaller = np.moveaxis(least, axis, 0)
        same = side[1:] == side[:-1]
        # Of equal neighbours the first is the least, so that a flat region has one.
        smaller[1:] &= same & (size[1:] < size[:-1])
        smaller[:-1] &= same & (size[:-1] <= size[1:])
    return least


def _ways(lattice: Lattice, start: Ints, values: Floats, stride: int) -> list[Edges]:
    """From lattice points to ever smaller levels; where one ends on the other side, sign changes on the way back."""
    around = np.array(list(itertools.product((-1, 0, 1), repeat=lattice.dim)), dtype=np.int64)
    side = np.where(values > 0, 1.0, -1.0)
    place, least = start.copy(), values * side
    for length in 2 ** np.arange(stride.bit_length() - 1).repeat(STEPS)[::-1]:
        walking = np.flatnonzero(least > 0)
        if len(walking) == 0:
            break
        near: Ints = np.clip(place[walking, None] + length * around, 0, lattice.cells)
        levels = lattice.values(near.reshape(-1, lattice.dim)).reshape(near.shape[:2]) * side[walking, None]
        choice = np.arange(len(walking)), levels.argmin(1)
        better = levels[choice] < least[walking]
        place[walking[better]], least[walking[better]] = near[choice][better], levels[choice][better]
    arrived = np.flatnonzero(least < 0)
    return _way_back(lattice, place[arrived], (least * side)[arrived], start[arrived])


def _way_back(lattice: Lattice, place: Ints, values: Floats, home: Ints) -> list[Edges]:
    """Sign changes on the way from places to points on the other side, along one axis after the other."""
    found = []
    for axis in range(lattice.dim):
        after = place.copy()
        after[:, axis] = home[:, axis]
        there = lattice.values(after)
        change = (there > 0) != (values > 0)
        forward = after[:, axis] > place[:, axis]
        pair = np.where(forward[:, None], np.stack([values, there], axis=1), np.stack([there, values], axis=1))
        length = np.abs(after - place)[:, axis]
        found.append(Edges(np.minimum(place, after), np.full(len(place), axis), length, pair)[change])
        place, values = after, there
    return found

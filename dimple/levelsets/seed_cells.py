"""Seeds on the components of a level set from few evaluations: a coarse grid, and descents from its local minima."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray

from dimple.levelsets.base import LevelFunction, grid_precision, is_positive, is_sign_change

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# Steps of each length that a descent takes, at most.
MAX_STEPS_PER_LENGTH = 2


@final
class EvaluationGrid:
    """Corners of `resolution`^n cells of a box, indexed by n integers, with a level function to evaluate there.

    Attributes:
        precision: the precision of the points that are evaluated.
        evaluations: number of points evaluated so far.
    """

    def __init__(
        self, level: LevelFunction, low: Sequence[float], high: Sequence[float], resolution: int, device: torch.device
    ) -> None:
        self.level = level
        self.precision = grid_precision(low, high, resolution)
        self.low = np.array(low, dtype=np.float64)
        self.spacing = (np.array(high, dtype=np.float64) - self.low) / resolution
        self.resolution = resolution
        self.device = device
        self.evaluations = 0

    @property
    def dim(self) -> int:
        """The dimension n of the box."""
        return len(self.low)

    def to_points(self, corners: Ints | Floats) -> Floats:
        """Return the points with given grid coordinates `(N, n)`, which need not be integers."""
        return self.low + corners * self.spacing

    def cells_containing(self, points: Floats) -> Ints:
        """Return the cells `(M, n)` that contain points `(N, n)`, each once; points outside the box are left out."""
        inside = np.floor((points - self.low) / self.spacing)
        inside = inside[((inside >= 0) & (inside < self.resolution)).all(1)].astype(np.int64)
        return np.unique(inside, axis=0)

    def evaluate_corners(self, corners: Ints | Floats) -> Floats:
        """Return the level at grid coordinates `(N, n)`."""
        return self.evaluate(self.to_points(corners))

    def evaluate(self, points: Floats) -> Floats:
        """Return the level at points `(N, n)`, which are rounded to the precision that the grid needs.

        The level is nan where it has no answer.
        """
        self.evaluations += len(points)
        x = torch.from_numpy(points).to(self.device, self.precision)
        with torch.no_grad():
            found: Floats = self.level(x).double().cpu().numpy()
        return found


@final
@dataclasses.dataclass(frozen=True)
class SignChangeEdges:
    """Grid edges on which the level changes its sign.

    Attributes:
        start: `(E, n)` the end with the smaller coordinates.
        axis: `(E,)` the axis along which the edge lies.
        length: `(E,)` the length in grid steps.
        values: `(E, 2)` the level at both ends.
    """

    start: Ints
    axis: Ints
    length: Ints
    values: Floats

    def __getitem__(self, rows: Ints | Bools) -> "SignChangeEdges":
        return SignChangeEdges(self.start[rows], self.axis[rows], self.length[rows], self.values[rows])

    def endpoints(self) -> tuple[Ints, Ints]:
        """Return both ends, `(E, n)` each."""
        return self.start, self.start + self.length[:, None] * np.eye(self.start.shape[1], dtype=np.int64)[self.axis]


def empty_edges(dim: int) -> SignChangeEdges:
    """Return zero edges, in arrays of the right shapes."""
    none = np.zeros(0, dtype=np.int64)
    return SignChangeEdges(np.zeros((0, dim), dtype=np.int64), none, none, np.zeros((0, 2)))


def find_seed_edges(grid: EvaluationGrid, coarse_resolution: int) -> SignChangeEdges:
    """Return edges that the level set crosses: those of a coarse grid, and those found by descents.

    A component between corners of the coarse grid that all lie on one side makes the absolute level small there. A
    descent begins at every corner whose absolute level is smaller than at its neighbors along all axes.

    Args:
        grid: the fine grid.
        coarse_resolution: cells along each axis of the coarse grid; the resolution of the fine grid is a power of two
            times this number.
    """
    stride = grid.resolution // coarse_resolution
    corners = np.stack(np.meshgrid(*[np.arange(coarse_resolution + 1) * stride] * grid.dim, indexing="ij"), axis=-1)
    values = grid.evaluate_corners(corners.reshape(-1, grid.dim)).reshape(corners.shape[:-1])
    is_minimum = _local_minimum_mask(values)
    return _concatenate_edges(
        [
            _find_grid_edges(corners, values, stride),
            *_descend_to_sign_changes(grid, corners[is_minimum], values[is_minimum], stride),
        ]
    )


def bisect_edges(grid: EvaluationGrid, edges: SignChangeEdges) -> SignChangeEdges:
    """Return for each edge one of length 1 on it on which the sign changes, found by bisection."""
    edges = SignChangeEdges(edges.start.copy(), edges.axis, edges.length.copy(), edges.values.copy())
    while len(long := np.flatnonzero(edges.length > 1)):
        half = edges.length[long] // 2
        middle = edges.start[long] + half[:, None] * np.eye(grid.dim, dtype=np.int64)[edges.axis[long]]
        value = grid.evaluate_corners(middle)
        upper = is_positive(value) == is_positive(edges.values[long, 0])
        edges.start[long[upper]] = middle[upper]
        edges.values[long[upper], 0] = value[upper]
        edges.values[long[~upper], 1] = value[~upper]
        edges.length[long] = np.where(upper, edges.length[long] - half, half)
    return edges


def _concatenate_edges(batches: list[SignChangeEdges]) -> SignChangeEdges:
    return SignChangeEdges(
        *(np.concatenate([getattr(e, f.name) for e in batches]) for f in dataclasses.fields(SignChangeEdges))
    )


def _find_grid_edges(corners: Ints, values: Floats, stride: int) -> SignChangeEdges:
    """Return the edges between neighboring corners of a full grid on which the sign changes."""
    batches = []
    for axis in range(values.ndim):
        near = np.moveaxis(values, axis, 0)[:-1]
        far = np.moveaxis(values, axis, 0)[1:]
        change = is_sign_change(near, far)
        start = np.moveaxis(corners, axis, 0)[:-1][change]
        pair = np.stack([near[change], far[change]], axis=1)
        batches.append(SignChangeEdges(start, np.full(len(start), axis), np.full(len(start), stride), pair))
    return _concatenate_edges(batches)


def _local_minimum_mask(values: Floats) -> Bools:
    """Return where the absolute value is smaller than at all neighbors along the axes, and these have the same sign."""
    is_minimum = np.ones(values.shape, dtype=bool)
    for axis in range(values.ndim):
        size = np.moveaxis(np.nan_to_num(np.abs(values), nan=np.inf), axis, 0)
        side = np.moveaxis(is_positive(values), axis, 0)
        view = np.moveaxis(is_minimum, axis, 0)
        same = side[1:] == side[:-1]
        # Of equal neighbors the first counts as smaller, so that a region of equal values has one minimum.
        view[1:] &= same & (size[1:] < size[:-1])
        view[:-1] &= same & (size[:-1] <= size[1:])
    return is_minimum


def _descend_to_sign_changes(
    grid: EvaluationGrid, start_corners: Ints, values: Floats, stride: int
) -> list[SignChangeEdges]:
    """Descend to smaller absolute levels; where a descent changes sides, return sign changes on the way back.

    Args:
        grid: the grid.
        start_corners: `(N, n)` corners at which descents begin.
        values: `(N,)` levels there.
        stride: the spacing of the coarse grid in steps; a descent uses steps of half of it, of a quarter, down to 1.
    """
    offsets = np.array(list(itertools.product((-1, 0, 1), repeat=grid.dim)), dtype=np.int64)
    side = np.where(is_positive(values), 1.0, -1.0)
    current = start_corners.copy()
    current_level = values * side
    for length in 2 ** np.arange(stride.bit_length() - 1).repeat(MAX_STEPS_PER_LENGTH)[::-1]:
        active = np.flatnonzero(current_level >= 0)
        if len(active) == 0:
            break
        near: Ints = np.clip(current[active, None] + length * offsets, 0, grid.resolution)
        levels = grid.evaluate_corners(near.reshape(-1, grid.dim)).reshape(near.shape[:2]) * side[active, None]
        levels = np.nan_to_num(levels, nan=np.inf)
        choice = np.arange(len(active)), levels.argmin(1)
        better = levels[choice] < current_level[active]
        current[active[better]] = near[choice][better]
        current_level[active[better]] = levels[choice][better]
    crossed = np.flatnonzero(current_level < 0)
    return _find_edges_between(grid, current[crossed], (current_level * side)[crossed], start_corners[crossed])


def _find_edges_between(
    grid: EvaluationGrid, corners: Ints, values: Floats, start_corners: Ints
) -> list[SignChangeEdges]:
    """Return sign changes on the paths from corners to start corners on the other side, along one axis at a time."""
    found = []
    for axis in range(grid.dim):
        next_corners = corners.copy()
        next_corners[:, axis] = start_corners[:, axis]
        next_values = grid.evaluate_corners(next_corners)
        change = is_sign_change(values, next_values)
        start = np.minimum(corners, next_corners)
        length = np.abs(next_corners - corners)[:, axis]
        pair = np.stack([values, next_values], axis=1)
        forward = next_corners[:, axis] > corners[:, axis]
        pair = np.where(forward[:, None], pair, pair[:, ::-1])
        found.append(SignChangeEdges(start, np.full(len(corners), axis), length, pair)[change])
        corners = next_corners
        values = next_values
    return found

"""Nearest crossings of the boundary along straight lines."""

import dataclasses
import itertools
from typing import final

import torch
from torch import Tensor

from dimple.boundary.boundary import Boundary
from dimple.boundary.root_finding import refine_to_boundary
from dimple.tensors import broadcast_per_sample, flatten, norm

# Rows of one evaluation of the network; larger batches do not stay in a core's cache.
MAX_BATCH_ROWS = 1 << 10
# How many times steeper than its neighborhood the logit margin may be within a cell that is not halved.
STEEPNESS_FACTOR = 2.0
# The width of the smallest cells, as a fraction of their distance, and the largest number of halvings.
MIN_CELL_WIDTH = 1e-3
MAX_HALVINGS = 24


def nearest_crossings(
    boundary: Boundary,
    x: Tensor,
    y: Tensor,
    start: tuple[Tensor, Tensor],
    directions: Tensor,
    limit: float,
    resolution: int,
) -> Tensor:
    """Return the signed distance from each sample to the nearest crossing on a line, `(B,)`; inf beyond the limit.

    Both rays of a line are searched outwards on a grid, until the class has changed on either. A cell up to there is
    halved as long as the class may change within it, unless twice the steepest slope of the logit margin in it and its
    neighbors would not be enough for that. A limit that is too large for the grid thus costs time and hides no crossing
    that the slopes give away. The crossing is refined between the last two places.

    Args:
        boundary: the boundary.
        x: `(B, *shape)` samples.
        y: `(B,)` their predicted classes.
        start: the logit margins of these classes at the samples, `(B,)`, and their gradients.
        directions: in the shape of the samples, the unit vectors of the lines; a zero vector has no crossing.
        limit: the largest distance of a crossing.
        resolution: the number of cells of the grid on each ray.

    Example:
        >>> sheets = Boundary(lambda x: torch.stack([x[:, 0] - 0.3, 0.3 - x[:, 0]], dim=1))
        >>> x = torch.tensor([[0.5, 0.0], [0.1, 0.0]])
        >>> y = sheets.predict(x)
        >>> start = sheets.logit_margin_and_gradient(x, y)
        >>> nearest_crossings(sheets, x, y, start, torch.tensor([[1.0, 0.0]]).expand(2, 2), limit=1.0, resolution=32)
        tensor([-0.2000,  0.2000])
    """
    rays = _Rays(boundary, torch.cat([x, x]), torch.cat([directions, -directions]), torch.cat([y, y]))
    cell_size = limit / resolution
    logit_margin, gradient = start
    slope = (flatten(gradient) * flatten(directions)).sum(1).abs()
    values = torch.full((2 * len(x), resolution + 1), torch.nan, dtype=x.dtype, device=x.device)
    values[:, 0] = logit_margin.repeat(2)
    open_rays = torch.nonzero(values[:, 0] > 0).squeeze(1)
    for begin, stop in doubling_blocks(resolution):
        ends = cell_size * torch.arange(begin + 1, stop + 1, dtype=x.dtype, device=x.device)
        found = rays.logit_margin(open_rays.repeat_interleave(len(ends)), ends.repeat(len(open_rays)))
        values[open_rays, begin + 1 : stop + 1] = found.reshape(-1, len(ends))
        # The search on a ray stops when the opposite ray of the same line has a crossing.
        crossed = (values[:, begin + 1 : stop + 1] <= 0).any(dim=1)
        open_rays = open_rays[~(crossed | crossed.roll(len(x)))[open_rays]]
        if len(open_rays) == 0:
            break
    low, high = _halve_cells(rays, _grid_cells(values, cell_size, slope.repeat(2)))
    distance = torch.where(values[:, 0] <= 0, 0.0, rays.refine(low, high))
    ahead, behind = distance.reshape(2, -1)
    return torch.where(ahead <= behind, ahead, -behind)


def doubling_blocks(resolution: int) -> list[tuple[int, int]]:
    """Return the cells of a ray in blocks that are evaluated together: two cells, then as many as all before.

    A ray is thus evaluated up to less than twice the distance of its crossing (at least two cells), and a ray without
    a crossing costs few calls.

    Example:
        >>> doubling_blocks(20)
        [(0, 2), (2, 4), (4, 8), (8, 16), (16, 20)]
    """
    ends = [0, 2]
    while ends[-1] < resolution:
        ends.append(2 * ends[-1])
    return [(start, min(stop, resolution)) for start, stop in itertools.pairwise(ends)]


@final
@dataclasses.dataclass(frozen=True)
class _Rays:
    """Rays `(R,)` from samples of the classes `y`; the opposite of a ray is half of all rays away from it."""

    boundary: Boundary
    origin: Tensor
    direction: Tensor
    y: Tensor

    def points(self, rays: Tensor, distance: Tensor) -> Tensor:
        """Return the points at a distance on each of some rays."""
        return self.origin[rays] + broadcast_per_sample(distance, self.origin) * self.direction[rays]

    def logit_margin(self, rays: Tensor, distance: Tensor) -> Tensor:
        """Return the logit margins of the classes of the samples at a distance on each of some rays."""
        parts = zip(rays.split(MAX_BATCH_ROWS), distance.split(MAX_BATCH_ROWS), strict=True)
        return torch.cat([self.boundary.logit_margin(self.points(*part), self.y[part[0]]) for part in parts])

    def refine(self, low: Tensor, high: Tensor) -> Tensor:
        """Return the distance of the crossing between two distances on each ray, `(R,)`; inf where `high` is."""
        distance = torch.full_like(low, torch.inf)
        hit = torch.nonzero(high.isfinite()).squeeze(1)
        if len(hit):
            ends = self.points(hit, low[hit]), self.points(hit, high[hit])
            distance[hit] = norm(refine_to_boundary(self.boundary, *ends, self.y[hit])[0] - self.origin[hit])
        return distance


@final
@dataclasses.dataclass(frozen=True)
class _Cells:
    """Intervals of rays, with the class of the sample at the near end.

    Attributes:
        ray: `(C,)`, the number of the ray.
        low, high: `(C,)`, the distances of the ends.
        low_value, high_value: `(C,)`, the logit margins there.
        slope: `(C,)`, the size of the steepest slope of the logit margin that is known in the neighborhood.
    """

    ray: Tensor
    low: Tensor
    high: Tensor
    low_value: Tensor
    high_value: Tensor
    slope: Tensor

    def __getitem__(self, rows: Tensor) -> "_Cells":
        return _Cells(*(getattr(self, field.name)[rows] for field in dataclasses.fields(self)))

    @property
    def is_doubtful(self) -> Tensor:
        """`(C,)`, whether a crossing before those that the ends show is possible, at a place that makes a difference.

        Without a change of class between the ends, a crossing needs slopes of `(low_value + high_value) / width`. With
        one, an earlier crossing needs much steeper slopes than that between the ends.
        """
        width = self.high - self.low
        reachable = STEEPNESS_FACTOR * width * self.slope
        is_steady = STEEPNESS_FACTOR * (self.low_value - self.high_value) >= width * self.slope
        # The accuracy of a crossing is a fraction of its cell, so that the first cell is too wide for a near one.
        is_coarse = ~is_steady | (self.low == 0)
        is_possible = torch.where(self.high_value > 0, self.low_value + self.high_value <= reachable, is_coarse)
        return is_possible & (width > MIN_CELL_WIDTH * self.high)

    def halve(self, middle: Tensor, value: Tensor) -> "_Cells":
        """Return the halves of the cells, of those with a change of class in the near half this one alone."""
        steepest = torch.maximum((self.low_value - value).abs(), (self.high_value - value).abs())
        slope = torch.maximum(self.slope, steepest / (middle - self.low))
        near = _Cells(self.ray, self.low, middle, self.low_value, value, slope)
        far = _Cells(self.ray, middle, self.high, value, self.high_value, slope)[value > 0]
        pairs = ((getattr(near, field.name), getattr(far, field.name)) for field in dataclasses.fields(self))
        return _Cells(*(torch.cat(pair) for pair in pairs))


def _grid_cells(values: Tensor, cell_size: float, slope: Tensor) -> _Cells:
    """Return the cells of each ray up to its first change of class, from the logit margins `(R, cells + 1)`."""
    slopes = (values.diff(dim=1) / cell_size).abs().nan_to_num(nan=0.0)
    padded = torch.cat([slope[:, None], slopes, torch.zeros_like(slope)[:, None]], dim=1)
    steepest = padded.unfold(1, 3, 1).amax(2)
    is_near = ((values[:, :-1] <= 0).cumsum(1) == 0) & ~values[:, 1:].isnan()
    ray, cell = torch.nonzero(is_near, as_tuple=True)
    low, high = cell_size * cell.to(values), cell_size * (cell + 1).to(values)
    return _Cells(ray, low, high, values[ray, cell], values[ray, cell + 1], steepest[ray, cell])


def _halve_cells(rays: _Rays, cells: _Cells) -> tuple[Tensor, Tensor]:
    """Return the two distances on each ray between which the class changes first, `(R,)`; inf without a change."""
    count = len(rays.y)
    low = torch.full((count,), torch.inf, dtype=cells.low.dtype, device=cells.low.device)
    high = low.clone()
    for halvings in range(MAX_HALVINGS + 1):
        changes = cells[cells.high_value <= 0]
        high.scatter_reduce_(0, changes.ray, changes.high, "amin")
        changes = changes[changes.high == high[changes.ray]]
        low[changes.ray] = changes.low
        # Behind the first crossing of either ray of a line, nothing is searched.
        nearest = torch.minimum(high, high.roll(count // 2))
        cells = cells[cells.is_doubtful & (cells.low < nearest[cells.ray])]
        if len(cells.ray) == 0 or halvings == MAX_HALVINGS:
            break
        middle = (cells.low + cells.high) / 2
        cells = cells.halve(middle, rays.logit_margin(cells.ray, middle))
    return low, high

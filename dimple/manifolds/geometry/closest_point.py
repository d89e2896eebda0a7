"""Closest points of a parametrized manifold: Newton's method from every promising start, within the domain."""

import dataclasses
import math
from functools import cached_property
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor

from dimple.errors import SceneError
from dimple.manifolds.affine import ParameterDomain
from dimple.manifolds.base import ChartMap, Manifold, scaled_norm
from dimple.manifolds.geometry.derivatives import chart_derivatives
from dimple.tensors import apply_in_chunks, bounding_box_diagonal, chunks, generator, pairwise_distances

# Start points at least, by dimension.
MIN_START_POINTS = {1: 1024, 2: 2304}
# Start points along one wave of the chart, and numbers in all start points, at most.
POINTS_PER_WAVE = 12
MAX_START_NUMBERS = 1 << 22
# Points at which the waves of a chart are counted, and the step of the derivative as a fraction of an axis.
WAVE_SAMPLES = 512
WAVE_STEP = 1e-5
# Ratio of the stretches along two axes above which the chart counts as steep.
MAX_ASPECT = 3.0
# Distance of the manifold's own points from it, in units of its size, that counts as rounding.
OWN_POINT_TOLERANCE = 1e-6
# Start points in one group.
BLOCK_SIZE = 64
# Along one axis the least value of a parabola lies below the lowest of three points by at most an eighth of the largest
# rise from that point; twice as much for safety.
PARABOLA_FACTOR = 0.25
# A search ends when its value minus this multiple of the expected decrease is above the value of another one.
DECREASE_FACTOR = 16.0
MAX_ITERATIONS = 60
# Length of the last Newton step, relative to the size of the problem.
STEP_TOLERANCE = 1e-13
# Lower bound of the Hessian's eigenvalues in a Newton step, in units of the metric.
MIN_HESSIAN_EIGENVALUE = 1e-3
# Added to the metric, relative to its diagonal.
METRIC_REGULARIZATION = 1e-12
# Entries of one matrix of distances, which bound the memory.
MAX_DISTANCE_ENTRIES = 4_000_000


@final
@dataclasses.dataclass(frozen=True)
class StartPoints:
    """Points all over the manifold from which searches start.

    Attributes:
        z: `(M, m)` points of the source.
        x: `(M, n)` their images.
        neighbors: `(M, d, 2)` int64, the indices of two neighbors along each axis of a grid; on a source without axes
            the nearest points in the source, in any order. At the end of an axis the second neighbor is the next but
            one.
        has_axes: whether the points are those of a grid.
    """

    z: Tensor
    x: Tensor
    neighbors: Tensor
    has_axes: bool

    @cached_property
    def extent(self) -> float:
        """Size of the manifold: the diagonal of the bounding box of the images."""
        return bounding_box_diagonal(self.x)

    @cached_property
    def cell_radii(self) -> Tensor:
        """Largest distance of each image from those of its neighbors, `(M,)`: no point between them is farther."""
        return scaled_norm(self.x[self.neighbors] - self.x[:, None, None]).amax((1, 2))

    @cached_property
    def is_steep(self) -> Tensor:
        """True where the chart stretches one axis much more than another, or where there are no axes, `(M,)`."""
        if not self.has_axes:
            return torch.ones(len(self.x), dtype=torch.bool)
        distance = scaled_norm(self.x[self.neighbors] - self.x[:, None, None]).amax(2)
        return distance.amax(1) > MAX_ASPECT * distance.amin(1)

    @cached_property
    def blocks(self) -> tuple[Tensor, Tensor, Tensor]:
        """Groups of near points: the point numbers `(K, BLOCK_SIZE)`, the centers `(K, n)` and radii `(K,)`.

        The last groups repeat a point.
        """
        order = torch.from_numpy(_leaf_order(self.x.numpy()))
        padded = torch.cat([order, order[-1:].expand(-len(order) % BLOCK_SIZE)]).reshape(-1, BLOCK_SIZE)
        members = self.x[padded]
        centers = members.mean(1)
        return padded, centers, scaled_norm(members - centers[:, None]).amax(1)

    @classmethod
    def from_source(cls, source: Manifold, chart: ChartMap) -> "StartPoints":
        """Build start points as dense as the waves of the chart require.

        Raises:
            SceneError: if the waves are too many.
        """
        minimum = MIN_START_POINTS.get(source.dim, 4096)
        if not isinstance(source, ParameterDomain) or source.dim > 3:
            # Twice as dense as a grid, because random points leave gaps.
            side = 2 * POINTS_PER_WAVE * _waves_across(source, chart)
            z = source.grid_points(max(minimum, math.ceil(side**source.dim)) if source.dim <= 3 else minimum)
            index = cKDTree(z.numpy()).query(z.numpy(), k=2 * source.dim + 1)[1]
            neighbors = torch.from_numpy(np.asarray(index, dtype=np.int64)[:, 1:]).reshape(len(z), source.dim, 2)
            return cls(z, chart(z).detach(), neighbors, has_axes=False)
        side = round(minimum ** (1 / source.dim))
        counts = tuple(max(side, math.ceil(POINTS_PER_WAVE * waves)) for waves in count_waves(source, chart))
        size = math.prod(counts)
        if size * chart(source.grid_points(2)).shape[1] > MAX_START_NUMBERS:
            raise SceneError(
                f"manifold: its chart has about {max(counts) / POINTS_PER_WAVE:.0f} waves along an axis; a search for "
                f"closest points would need {size:.2g} start points: choose fewer turns or longer waves"
            )
        z = torch.cartesian_prod(*source.axis_points(counts)).reshape(-1, source.dim)
        return cls(
            z, apply_in_chunks(chart, z, 1 << 16).detach(), _grid_neighbors(counts, source.periodic), has_axes=True
        )

    def candidates(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the start points whose basin may hold the closest point of each of `(B, n)`, as pairs.

        A basin is represented by a start point that is not farther than its neighbors. It may hold a point nearer than
        the start by what a parabola through the neighbors falls below it, twice as much for safety.

        Returns:
            The row of x `(P,)` and the start point `(P,)` of each pair, the rows in order; every row occurs.
        """
        padded, centers, radii = (part.to(x.device) for part in self.blocks)
        grid = [part.to(x.device) for part in (self.x, self.cell_radii, self.neighbors, self.is_steep)]
        cell_radii = grid[1]
        found = []
        for rows in chunks(len(x), max(1, MAX_DISTANCE_ENTRIES // len(padded))):
            from_center = pairwise_distances(x[rows], centers)
            nearest = (from_center + radii).amin(1)
            reachable = from_center - radii <= (nearest + self.extent * 1e-9)[:, None] + cell_radii.max()
            largest = int(reachable.sum(1).max()) * BLOCK_SIZE * x.shape[1]
            for part in chunks(len(reachable), max(1, MAX_DISTANCE_ENTRIES // largest)):
                row, block = reachable[part].nonzero().unbind(1)
                row = row + rows.start + part.start
                found.append(self._lowest_starts(x, row, padded[block], *grid))
        return torch.cat([row for row, _ in found]), torch.cat([start for _, start in found])

    @staticmethod
    def _lowest_starts(
        x: Tensor,
        row: Tensor,
        start: Tensor,
        images: Tensor,
        cell_radii: Tensor,
        neighbors: Tensor,
        is_steep: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Return the candidates among groups of start points `(P, BLOCK_SIZE)` for rows of x, `(P,)` in order."""
        distance = scaled_norm(images[start] - x[row, None])
        row = row[:, None].expand_as(start).reshape(-1)
        start = start.reshape(-1)
        distance = distance.reshape(-1)
        least = _least_per_row(distance, row)
        near = distance - cell_radii[start] <= least
        row = row[near]
        start = start[near]
        distance = distance[near]
        around = scaled_norm(images[neighbors[start]] - x[row, None, None])
        lowest_along = (distance[:, None, None] <= around).all(2)
        # In a steep valley, the way from a start to one in another basin may be downhill along an axis.
        lowest = lowest_along.all(1) | (lowest_along.any(1) & is_steep[start])
        row = row[lowest]
        start = start[lowest]
        distance = distance[lowest]
        around = around[lowest]
        # Differences of half the squared distance.
        rise = ((around - distance[:, None, None]) * (around + distance[:, None, None]) / 2).amax(2).sum(1)
        value = distance.square() / 2
        least_value = _least_per_row(value, row)
        possible = value - PARABOLA_FACTOR * rise <= least_value
        return row[possible], start[possible]


def _least_per_row(values: Tensor, row: Tensor) -> Tensor:
    """Return for each value the least of all values with the same row number; rows are in order, `(P,)`."""
    _, group = torch.unique_consecutive(row, return_inverse=True)
    least = values.new_full((int(group[-1]) + 1,), torch.inf).scatter_reduce(0, group, values, "amin")
    return least[group]


def _leaf_order(points: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return an order in which near points are near: that of the leaves of a tree."""
    return np.asarray(cKDTree(points, leafsize=BLOCK_SIZE // 2).indices, dtype=np.int64)


def _grid_neighbors(counts: tuple[int, ...], periodic: tuple[bool, ...]) -> Tensor:
    """Return the neighbors of the points of a grid along each axis, `(M, d, 2)`."""
    index = torch.arange(math.prod(counts)).reshape(counts)
    found = []
    for axis, closed in enumerate(periodic):
        for step in (1, -1):
            shifted = index.roll(step, axis)
            if not closed:
                end, inside = (0, 2) if step == 1 else (counts[axis] - 1, counts[axis] - 3)
                shifted.select(axis, end).copy_(index.select(axis, inside))
            found.append(shifted.reshape(-1))
    return torch.stack(found, dim=1).reshape(-1, len(counts), 2)


def count_waves(source: ParameterDomain, chart: ChartMap) -> list[float]:
    """Return the number of waves of the chart's second derivative along each axis of its domain.

    The wave number is the root mean square of the derivative of the second derivative along the axis over that of the
    second derivative itself: that of a sine is exact, and an affine chart has none.
    """
    low = torch.tensor(source.low, dtype=torch.float64)
    size = torch.tensor(source.high, dtype=torch.float64) - low
    unit = torch.rand(WAVE_SAMPLES, source.dim, generator=generator(0, "waves of the chart"), dtype=torch.float64)
    z = low + unit * (1 - WAVE_STEP) * size
    second = chart_derivatives(source, chart, z)[2]
    found = []
    for axis in range(source.dim):
        step = torch.zeros_like(low)
        step[axis] = WAVE_STEP * size[axis]
        moved = chart_derivatives(source, chart, z + step)[2]
        here = float(second[:, :, axis, axis].norm())
        change = float((moved[:, :, axis, axis] - second[:, :, axis, axis]).norm())
        found.append(change / here / WAVE_STEP / (2 * math.pi) if here > 0 else 0.0)
    return found


def _waves_across(source: Manifold, chart: ChartMap) -> float:
    """Return the waves across a source without axes, by the ratio of the second and first derivatives of the chart."""
    _, first, second = chart_derivatives(source, chart, source.sample(WAVE_SAMPLES, generator(0, "waves of the chart")))
    wave_number = float(second.norm() / first.norm()) / math.sqrt(source.dim)
    return math.pow(source.volume, 1 / source.dim) * wave_number / (2 * math.pi)


def closest_source_points(source: Manifold, chart: ChartMap, start_points: StartPoints, x: Tensor) -> Tensor:
    """Return the points of the source, `(B, m)`, whose images are closest to each of `(B, n)` float64."""
    if len(x) == 0:
        return start_points.z[:0].to(x)
    row, start = start_points.candidates(x)
    z, value = _minimize_distance(source, chart, start_points.z.to(x)[start], x[row], row, start_points.extent)
    least = _least_per_row(value, row)
    first = torch.full((len(x),), len(row), device=x.device)
    first = first.scatter_reduce(
        0, row, torch.where(value <= least, torch.arange(len(row), device=x.device), len(row)), "amin"
    )
    return z[first]


def _minimize_distance(
    source: Manifold, chart: ChartMap, z: Tensor, x: Tensor, row: Tensor, scale: float
) -> tuple[Tensor, Tensor]:
    """Minimize half the squared distance by damped Newton steps, until they are below 1e-13 of the size.

    A search that cannot reach the value of another one with the same number in `row` `(P,)`, in order, ends early.

    Returns:
        The points of the source `(P, m)` and the values `(P,)`.
    """
    z = z.clone()
    damping = z.new_zeros(len(z))
    value = _half_squared_distance(chart, z, x)
    size = scale + scaled_norm(x)
    active = torch.arange(len(z), device=z.device)
    for _ in range(MAX_ITERATIONS):
        if len(active) == 0:
            break
        current = z[active]
        target = x[active]
        step, step_length, decrease = _newton_step(source, chart, current, target, damping[active])
        trial = source.project(current + step)
        trial_value = _half_squared_distance(chart, trial, target)
        # Below the rounding error of the squared distance only the length of the step shows progress.
        accepted = (trial_value <= value[active] * (1 + 1e-14) + 1e-32 * scale**2) | (step_length < 1e-9 * size[active])
        hopeless = (damping[active] == 0) & (
            value[active] - DECREASE_FACTOR * decrease > _least_per_row(value, row)[active]
        )
        z[active[accepted]] = trial[accepted]
        value[active[accepted]] = trial_value[accepted]
        raised = (4 * damping[active]).clamp(min=1e-2)
        lowered = torch.where(damping[active] > 1e-6, damping[active] / 8, 0.0)
        damping[active] = torch.where(accepted, lowered, raised)
        active = active[~(accepted & (step_length < STEP_TOLERANCE * size[active])) & ~hopeless]
    return z, value


def _newton_step(
    source: Manifold, chart: ChartMap, z: Tensor, x: Tensor, damping: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the step `(R, m)` in the source, the length of the step of the image and the expected decrease, `(R,)`.

    The decrease is infinite where the Hessian is not positive definite.
    """
    image, jacobian, second_derivatives = chart_derivatives(source, chart, z)
    residual = image - x
    gradient = torch.einsum("bni,bn->bi", jacobian, residual)
    metric = jacobian.mT @ jacobian
    # A decoder that is constant in some direction has a singular metric there; a step in it changes nothing.
    metric.diagonal(dim1=1, dim2=2).mul_(1 + METRIC_REGULARIZATION).add_(torch.finfo(metric.dtype).tiny ** 0.5)
    hessian = metric + torch.einsum("bnij,bn->bij", second_derivatives, residual)
    indefinite = torch.linalg.cholesky_ex(hessian).info != 0
    if bool(indefinite.any()):
        hessian[indefinite] = _make_convex(hessian[indefinite], metric[indefinite])
    matrix = hessian + damping[:, None, None] * metric
    at_bound = _active_bounds(source, z, gradient)
    free = (~at_bound).to(matrix)
    matrix = matrix * free[:, :, None] * free[:, None, :] + torch.diag_embed(at_bound.to(matrix))
    coefficients = -torch.linalg.solve(matrix, gradient * free)
    step_length = torch.linalg.vector_norm(torch.einsum("bni,bi->bn", jacobian, coefficients), dim=1)
    decrease = -(gradient * coefficients).sum(1) / 2
    step = torch.einsum("bmi,bi->bm", source.tangent_basis(z), coefficients)
    return step, step_length, torch.where(indefinite, torch.inf, decrease)


def _make_convex(hessian: Tensor, metric: Tensor) -> Tensor:
    """Return second derivatives `(R, d, d)` with the sign of negative curvatures reversed: Newton's step then descends.

    It also leaves the long flat valleys near the medial axis, in which a Gauss-Newton step would hardly move.

    Reference: Nocedal and Wright 2006, Numerical optimization, section 3.4.
    """
    root = torch.linalg.cholesky(metric)
    inverse = torch.linalg.solve_triangular(root, torch.eye(root.shape[1]).to(root).expand_as(root), upper=False)
    values, vectors = torch.linalg.eigh(inverse @ hessian @ inverse.mT)
    directions = root @ vectors
    convex: Tensor = directions * values.abs().clamp(min=MIN_HESSIAN_EIGENVALUE)[:, None, :] @ directions.mT
    return convex


def _active_bounds(source: Manifold, z: Tensor, gradient: Tensor) -> Tensor:
    """Return a mask `(R, d)` of the parameters at a bound of the domain that a descent step would leave."""
    if not isinstance(source, ParameterDomain):
        return torch.zeros_like(gradient, dtype=torch.bool)
    bounded = ~torch.tensor(source.periodic, device=z.device)
    leaving = ((z <= z.new_tensor(source.low)) & (gradient > 0)) | ((z >= z.new_tensor(source.high)) & (gradient < 0))
    return leaving & bounded


def _half_squared_distance(chart: ChartMap, z: Tensor, x: Tensor) -> Tensor:
    return (chart(z) - x).square().sum(1) / 2


def require_own_points(manifold: Manifold, x: Tensor) -> None:
    """Require that the search for closest points finds points `(N, n)` of the manifold themselves.

    Raises:
        SceneError: if it does not.
    """
    distance = manifold.distance(x)
    off = distance > OWN_POINT_TOLERANCE * bounding_box_diagonal(x)
    if bool(off.any()):
        raise SceneError(
            f"manifold: the search for closest points finds {int(off.sum())} of {len(x)} points of the manifold up to "
            f"{float(distance.max()):.3g} away from it; choose fewer turns, longer waves or lower ones"
        )

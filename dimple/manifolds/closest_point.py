"""Closest points of a parametrized manifold: Newton's method from every promising start, within the domain."""

import dataclasses
from functools import cached_property
from typing import final

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from dimple.manifolds.affine import ParameterDomain
from dimple.manifolds.base import ChartMap, Manifold
from dimple.manifolds.derivatives import chart_derivatives
from dimple.tensors import bounding_box_diagonal, chunks

# Start points of the search for one sample.
MAX_STARTS = 12
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
        neighbors: `(M, k)` int64, for each point the indices of its nearest neighbors in the source.
    """

    z: Tensor
    x: Tensor
    neighbors: Tensor

    @cached_property
    def extent(self) -> float:
        """Size of the manifold: the diagonal of the bounding box of the images."""
        return bounding_box_diagonal(self.x)

    @classmethod
    def from_source(cls, source: Manifold, chart: ChartMap, count: int) -> "StartPoints":
        """Build about `count` start points from the grid points of the source."""
        z = source.grid_points(count)
        scaled = source.coordinates(z) if isinstance(source, ParameterDomain) else z
        index = cKDTree(scaled.numpy()).query(scaled.numpy(), k=2 * source.dim + 1)[1]
        return cls(z, chart(z).detach(), torch.from_numpy(np.asarray(index, dtype=np.int64)[:, 1:]))

    def local_minima(self, x: Tensor) -> Tensor:
        """Return for each of `(B, n)` the start points `(B, k, m)` that are nearer than their neighbors, nearest first.

        Every basin of the distance contains at least one of them, so that the search does not miss the global minimum
        when another local minimum is almost as near.
        """
        starts = []
        z = self.z.to(x)
        images = self.x.to(x)
        neighbors = self.neighbors.to(x.device)
        # Centered, because the product form of a distance then loses no digits.
        center = images.mean(0)
        for rows in chunks(len(x), max(1, MAX_DISTANCE_ENTRIES // len(images))):
            distance = torch.cdist(x[rows] - center, images - center)
            is_lowest = torch.ones_like(distance, dtype=torch.bool)
            for column in neighbors.T:
                is_lowest &= distance <= distance[:, column]
            index = distance.masked_fill(~is_lowest, float("inf")).topk(MAX_STARTS, largest=False).indices
            starts.append(z[index])
        return torch.cat(starts)


def closest_source_points(source: Manifold, chart: ChartMap, start_points: StartPoints, x: Tensor) -> Tensor:
    """Return the points of the source, `(B, m)`, whose images are closest to each of `(B, n)` float64."""
    if len(x) == 0:
        return start_points.z[:0].to(x)
    starts = start_points.local_minima(x)
    count = starts.shape[1]
    targets = x.repeat_interleave(count, dim=0)
    z = starts.reshape(-1, starts.shape[2])
    selected = _select_starts(chart, start_points, starts, x)
    z[selected] = _minimize_distance(source, chart, z[selected], targets[selected], start_points.extent)
    distance = torch.linalg.vector_norm(chart(z) - targets, dim=1).masked_fill(~selected, float("inf"))
    best = distance.reshape(-1, count).argmin(dim=1)
    return z.reshape(len(x), count, -1)[torch.arange(len(x), device=x.device), best]


def _select_starts(chart: ChartMap, start_points: StartPoints, candidates: Tensor, x: Tensor) -> Tensor:
    """Return a flat mask of the nearest start of each sample and of those whose basin may hold a nearer point."""
    images = chart(candidates.reshape(-1, candidates.shape[2])).reshape(len(x), candidates.shape[1], -1)
    distance = (images - x[:, None]).square().sum(2).sqrt()
    return (distance <= 2 * distance[:, :1] + 0.1 * start_points.extent).reshape(-1)


def _minimize_distance(source: Manifold, chart: ChartMap, z: Tensor, x: Tensor, scale: float) -> Tensor:
    """Minimize half the squared distance by damped Newton steps in each row, until they are below 1e-13 of the size."""
    z = z.clone()
    damping = z.new_zeros(len(z))
    value = _half_squared_distance(chart, z, x)
    size = scale + x.norm(dim=1)
    active = torch.arange(len(z), device=z.device)
    for _ in range(MAX_ITERATIONS):
        if len(active) == 0:
            break
        current = z[active]
        target = x[active]
        step, step_length = _newton_step(source, chart, current, target, damping[active])
        trial = source.project(current + step)
        trial_value = _half_squared_distance(chart, trial, target)
        # Below the rounding error of the squared distance only the length of the step shows progress.
        accepted = (trial_value <= value[active] * (1 + 1e-14) + 1e-32 * scale**2) | (step_length < 1e-9 * size[active])
        z[active[accepted]] = trial[accepted]
        value[active[accepted]] = trial_value[accepted]
        raised = (4 * damping[active]).clamp(min=1e-2)
        lowered = torch.where(damping[active] > 1e-6, damping[active] / 8, 0.0)
        damping[active] = torch.where(accepted, lowered, raised)
        active = active[~(accepted & (step_length < STEP_TOLERANCE * size[active]))]
    return z


def _newton_step(source: Manifold, chart: ChartMap, z: Tensor, x: Tensor, damping: Tensor) -> tuple[Tensor, Tensor]:
    """Return the step `(R, m)` in the source and the length of the step of the image, `(R,)`."""
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
    return torch.einsum("bmi,bi->bm", source.tangent_basis(z), coefficients), step_length


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

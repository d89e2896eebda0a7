"""Nearest points of a mapped manifold: Newton's method from every promising start, within the source's edges."""

import dataclasses
from functools import cached_property
from typing import final

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from dimple.manifolds.affine import Cell
from dimple.manifolds.base import Chart, Manifold
from dimple.manifolds.derivatives import jet
from dimple.tensors import chunks, extent

STARTS = 12
ROUNDS = 60
STEP = 1e-13
# The least curvature of the squared distance, in units of the metric, that a step may count on.
FLAT = 1e-3
RIDGE = 1e-12
DISTANCES = 4_000_000


@final
@dataclasses.dataclass(frozen=True)
class Seeds:
    """Places all over the manifold from which searches begin.

    Attributes:
        z: `(M, m)` points of the source.
        x: `(M, n)` their images.
        neighbours: `(M, k)` int64, the nearest other ones of each in the source.
    """

    z: Tensor
    x: Tensor
    neighbours: Tensor

    @cached_property
    def extent(self) -> float:
        """The size of the manifold: the diagonal of the box around the images."""
        return extent(self.x)

    @classmethod
    def of(cls, source: Manifold, chart: Chart, count: int) -> "Seeds":
        """About `count` of them."""
        z = source.nodes(count)
        scaled = source.coordinates(z) if isinstance(source, Cell) else z
        index = cKDTree(scaled.numpy()).query(scaled.numpy(), k=2 * source.dim + 1)[1]
        return cls(z, chart(z).detach(), torch.from_numpy(np.asarray(index, dtype=np.int64)[:, 1:]))

    def starts(self, x: Tensor) -> Tensor:
        """For each of `(B, n)` the seeds `(B, k, m)` that are nearer than their neighbours, nearest first.

        Each basin of the distance has at least one, so that the global minimum is not missed for a near rival.
        """
        found = []
        z, images, neighbours = self.z.to(x), self.x.to(x), self.neighbours.to(x.device)
        # About the middle, where the product form of a distance loses no digits.
        centre = images.mean(0)
        for part in chunks(len(x), max(1, DISTANCES // len(images))):
            distance = torch.cdist(x[part] - centre, images - centre)
            lowest = torch.ones_like(distance, dtype=torch.bool)
            for column in neighbours.T:
                lowest &= distance <= distance[:, column]
            index = distance.masked_fill(~lowest, float("inf")).topk(STARTS, largest=False).indices
            found.append(z[index])
        return torch.cat(found)


def nearest(source: Manifold, chart: Chart, seeds: Seeds, x: Tensor) -> Tensor:
    """The points of the source `(B, m)` whose images are nearest to each of `(B, n)` float64."""
    if len(x) == 0:
        return seeds.z[:0].to(x)
    starts = seeds.starts(x)
    count = starts.shape[1]
    targets = x.repeat_interleave(count, dim=0)
    z = starts.reshape(-1, starts.shape[2])
    rival = _worth_trying(chart, seeds, starts, x)
    z[rival] = _descend(source, chart, z[rival], targets[rival], seeds.extent)
    distance = torch.linalg.vector_norm(chart(z) - targets, dim=1).masked_fill(~rival, float("inf"))
    best = distance.reshape(-1, count).argmin(dim=1)
    return z.reshape(len(x), count, -1)[torch.arange(len(x), device=x.device), best]


def _worth_trying(chart: Chart, seeds: Seeds, starts: Tensor, x: Tensor) -> Tensor:
    """Which starts, as a flat mask: the nearest, and those whose basin could hold a nearer point still."""
    images = chart(starts.reshape(-1, starts.shape[2])).reshape(len(x), starts.shape[1], -1)
    distance = (images - x[:, None]).square().sum(2).sqrt()
    return (distance <= 2 * distance[:, :1] + 0.1 * seeds.extent).reshape(-1)


def _descend(source: Manifold, chart: Chart, z: Tensor, x: Tensor, scale: float) -> Tensor:
    """Damped Newton steps on half the squared distance, row by row, until none moves by more than 1e-13 of the size."""
    z, damping = z.clone(), z.new_zeros(len(z))
    value = _half_square(chart, z, x)
    size = scale + x.norm(dim=1)
    active = torch.arange(len(z), device=z.device)
    for _ in range(ROUNDS):
        if len(active) == 0:
            break
        here, target = z[active], x[active]
        step, moved = _step(source, chart, here, target, damping[active])
        trial = source.project(here + step)
        reached = _half_square(chart, trial, target)
        # Below the rounding of the squared distance only the step itself tells progress.
        good = (reached <= value[active] * (1 + 1e-14) + 1e-32 * scale**2) | (moved < 1e-9 * size[active])
        z[active[good]], value[active[good]] = trial[good], reached[good]
        raised = (4 * damping[active]).clamp(min=1e-2)
        lowered = torch.where(damping[active] > 1e-6, damping[active] / 8, 0.0)
        damping[active] = torch.where(good, lowered, raised)
        active = active[~(good & (moved < STEP * size[active]))]
    return z


def _step(source: Manifold, chart: Chart, z: Tensor, x: Tensor, damping: Tensor) -> tuple[Tensor, Tensor]:
    """The step `(R, m)` in the source and how far it moves the image, `(R,)`."""
    image, jacobian, hessian = jet(source, chart, z)
    residual = image - x
    slope = torch.einsum("bni,bn->bi", jacobian, residual)
    metric = jacobian.mT @ jacobian
    # Where a decoder stands still in some direction it has no metric, and nothing to gain by a step.
    metric.diagonal(dim1=1, dim2=2).mul_(1 + RIDGE).add_(torch.finfo(metric.dtype).tiny ** 0.5)
    curved = metric + torch.einsum("bnij,bn->bij", hessian, residual)
    climbs = torch.linalg.cholesky_ex(curved).info != 0
    if bool(climbs.any()):
        curved[climbs] = _convex(curved[climbs], metric[climbs])
    matrix = curved + damping[:, None, None] * metric
    held = _held(source, z, slope)
    free = (~held).to(matrix)
    matrix = matrix * free[:, :, None] * free[:, None, :] + torch.diag_embed(held.to(matrix))
    move = -torch.linalg.solve(matrix, slope * free)
    moved = torch.linalg.vector_norm(torch.einsum("bni,bi->bn", jacobian, move), dim=1)
    return torch.einsum("bmi,bi->bm", source.tangent_basis(z), move), moved


def _convex(curved: Tensor, metric: Tensor) -> Tensor:
    """Second derivatives `(R, d, d)` with their negative curvatures turned round: Newton's step then leads downhill.

    Also out of the long flat valleys near the medial axis, in which Gauss and Newton's would hardly move.

    Reference: Nocedal and Wright 2006, Numerical optimization, section 3.4.
    """
    root = torch.linalg.cholesky(metric)
    inverse = torch.linalg.solve_triangular(root, torch.eye(root.shape[1]).to(root).expand_as(root), upper=False)
    values, vectors = torch.linalg.eigh(inverse @ curved @ inverse.mT)
    turned = root @ vectors
    convex: Tensor = turned * values.abs().clamp(min=FLAT)[:, None, :] @ turned.mT
    return convex


def _held(source: Manifold, z: Tensor, slope: Tensor) -> Tensor:
    """Which parameters stand at an edge of the cell and would leave it, `(R, d)`."""
    if not isinstance(source, Cell):
        return torch.zeros_like(slope, dtype=torch.bool)
    opened = ~torch.tensor(source.closed, device=z.device)
    leaving = ((z <= z.new_tensor(source.low)) & (slope > 0)) | ((z >= z.new_tensor(source.high)) & (slope < 0))
    return leaving & opened


def _half_square(chart: Chart, z: Tensor, x: Tensor) -> Tensor:
    return (chart(z) - x).square().sum(1) / 2

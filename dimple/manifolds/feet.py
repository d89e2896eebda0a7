"""Nearest points of a mapped manifold: Newton's method from every promising start, within the source's edges."""

import dataclasses
from typing import final

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from dimple.manifolds.base import Chart, Manifold
from dimple.manifolds.flat import Cell
from dimple.manifolds.jets import jet
from dimple.tensors import chunks

STARTS = 6
ROUNDS = 60
STEP = 1e-13
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
        for part in chunks(len(x), max(1, DISTANCES // len(images))):
            distance = torch.cdist(x[part], images)
            lowest = torch.ones_like(distance, dtype=torch.bool)
            for column in neighbours.T:
                lowest &= distance <= distance[:, column]
            index = distance.masked_fill(~lowest, float("inf")).topk(STARTS, largest=False).indices
            found.append(z[index])
        return torch.cat(found)


def nearest(source: Manifold, chart: Chart, seeds: Seeds, x: Tensor) -> Tensor:
    """The points of the source `(B, m)` whose images are nearest to each of `(B, n)` float64."""
    starts = seeds.starts(x)
    count = starts.shape[1]
    targets = x.repeat_interleave(count, dim=0)
    z = starts.reshape(-1, starts.shape[2])
    rival = _worth_trying(chart, seeds, starts, x)
    z[rival] = _descend(source, chart, z[rival], targets[rival])
    distance = torch.linalg.vector_norm(chart(z) - targets, dim=1).masked_fill(~rival, float("inf"))
    best = distance.reshape(-1, count).argmin(dim=1)
    return z.reshape(len(x), count, -1)[torch.arange(len(x), device=x.device), best]


def _worth_trying(chart: Chart, seeds: Seeds, starts: Tensor, x: Tensor) -> Tensor:
    """Which starts, as a flat mask: the nearest, and those whose basin could hold a nearer point still."""
    images = chart(starts.reshape(-1, starts.shape[2])).reshape(len(x), starts.shape[1], -1)
    distance = (images - x[:, None]).square().sum(2).sqrt()
    size = float((seeds.x.amax(0) - seeds.x.amin(0)).norm())
    return (distance <= 2 * distance[:, :1] + 0.1 * size).reshape(-1)


def _descend(source: Manifold, chart: Chart, z: Tensor, x: Tensor) -> Tensor:
    """Damped Newton steps on half the squared distance, row by row, until no row moves by more than 1e-13."""
    z, damping = z.clone(), z.new_zeros(len(z))
    value = _half_square(chart, z, x)
    size = 1 + x.norm(dim=1)
    active = torch.arange(len(z), device=z.device)
    for _ in range(ROUNDS):
        if len(active) == 0:
            break
        here, target = z[active], x[active]
        step, moved = _step(source, chart, here, target, damping[active])
        trial = source.project(here + step)
        reached = _half_square(chart, trial, target)
        # Below the rounding of the squared distance only the step itself tells progress.
        good = (reached <= value[active] * (1 + 1e-14) + 1e-32) | (moved < 1e-9 * size[active])
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
    curved = metric + torch.einsum("bnij,bn->bij", hessian, residual)
    positive = torch.linalg.cholesky_ex(curved).info == 0
    # Where the distance is not convex Newton would climb; Gauss-Newton never does.
    matrix = torch.where(positive[:, None, None], curved, metric)
    matrix = matrix + damping[:, None, None] * metric
    held = _held(source, z, slope)
    free = (~held).to(matrix)
    matrix = matrix * free[:, :, None] * free[:, None, :] + torch.diag_embed(held.to(matrix))
    move = -torch.linalg.solve(matrix, slope * free)
    moved = torch.linalg.vector_norm(torch.einsum("bni,bi->bn", jacobian, move), dim=1)
    return torch.einsum("bmi,bi->bm", source.tangent_basis(z), move), moved


def _held(source: Manifold, z: Tensor, slope: Tensor) -> Tensor:
    """Which parameters stand at an edge of the cell and would leave it, `(R, d)`."""
    if not isinstance(source, Cell):
        return torch.zeros_like(slope, dtype=torch.bool)
    opened = ~torch.tensor(source.closed, device=z.device)
    leaving = ((z <= z.new_tensor(source.low)) & (slope > 0)) | ((z >= z.new_tensor(source.high)) & (slope < 0))
    return leaving & opened


def _half_square(chart: Chart, z: Tensor, x: Tensor) -> Tensor:
    return (chart(z) - x).square().sum(1) / 2

"""Offset: the distance from the manifold to the boundary along the normal of the manifold."""

import itertools
from typing import ClassVar, final

import torch
from torch import Tensor

from dimple.boundary.boundary import Boundary
from dimple.boundary.root_finding import refine_to_boundary
from dimple.probes.base import Probe, ProbeResult
from dimple.protocols import TangentField
from dimple.settings import Count, Positive, Seed, settings
from dimple.stats.null_bands import isotropic_fraction
from dimple.tangents.random_subspace import RandomSubspace
from dimple.tensors import (
    broadcast_per_sample,
    chunks,
    flatten,
    norm,
    project_onto_span,
    squared_norm_fraction,
    unit_vectors,
)

# Numbers in the samples of one batch; larger batches do not stay in a core's cache.
MAX_BATCH_VALUES = 1 << 16
# Rows of one evaluation of the network, for the same reason.
MAX_BATCH_ROWS = 1 << 10


@final
@settings
class Offset(Probe):
    """The distance from a point of the manifold to the boundary along the normal, in both directions, up to `limit`.

    At codimension one the normal is the only direction off the manifold. At a higher codimension it is the off-manifold
    part of the gradient of the logit margin, the direction in which the classifier changes fastest. Small offsets
    everywhere mean that the boundary clings to the manifold; at a training point the offset is the depth of its dimple.

    The null is the same distance with a random subspace of the same dimension in place of the tangent space: a boundary
    that is close in every direction does not cling to the manifold.

    Columns: `offset` (signed, positive where correct; `inf` where no crossing lies within the limit), `offset_null`
    (median over the draws), `gradient_off_manifold_fraction` and its null. Details: `offset_draws`, `(B, draws)`,
    unsigned.

    Args:
        limit: the largest distance of a crossing, in input units.
        resolution: the number of cells of a ray up to the limit; each is tested for a change of class at its end.
        null_draws: the number of random subspaces.
        seed: seed of the random subspaces.

    Reference: Shamir, Melamed, BenShmuel 2021, the clinging and the dimpling phase.

    Example:
        >>> from dimple.manifolds import Flat
        >>> tilted = Boundary(lambda x: torch.stack([x[:, 2] - 0.7, 0.7 - x[:, 2]], dim=1))
        >>> x = torch.tensor([[0.5, 0.5, 0.5]])
        >>> Offset(limit=1.0)(tilted, x, torch.tensor([1]), tangents=Flat()).columns["offset"]
        tensor([0.2000])
    """

    needs_tangents: ClassVar[bool] = True

    limit: Positive = 1.0
    resolution: Count = 32
    null_draws: Count = 5
    seed: Seed = 0

    def run(self, boundary: Boundary, x: Tensor, y: Tensor, tangents: TangentField | None) -> ProbeResult:
        assert tangents is not None
        predicted = boundary.predict(x)
        sign = torch.where(predicted == y, 1.0, -1.0).to(x)
        basis = tangents.tangent_basis(x)
        n, d = basis.shape[1:]
        _, gradient = boundary.logit_margin_and_gradient(x, predicted)
        random = [RandomSubspace(d, self.seed, draw).basis(n).to(x) for draw in range(self.null_draws)]
        directions = [normal_component(gradient, columns) for columns in (basis, *random)]
        # Small samples are measured along all directions in one batch.
        distances = []
        for part in chunks(len(directions), max(1, MAX_BATCH_VALUES // x.numel())):
            count = len(directions[part])
            repeated = x.repeat(count, *[1] * (x.dim() - 1))
            found = self.distance_along_lines(boundary, repeated, predicted.repeat(count), torch.cat(directions[part]))
            distances.append(found.reshape(count, len(x)))
        distance, *draws = torch.cat(distances)
        null = torch.stack(draws, dim=1)
        off_manifold_fraction = squared_norm_fraction(directions[0], gradient)
        columns = {
            "offset": sign * distance,
            "offset_null": sign * null.median(dim=1).values,
            "gradient_off_manifold_fraction": off_manifold_fraction,
            "gradient_off_manifold_fraction_null": torch.full_like(off_manifold_fraction, isotropic_fraction(n, n - d)),
        }
        units = {name: "fraction" if "fraction" in name else "l2, input units" for name in columns}
        return ProbeResult(columns, units, {"offset_draws": null})

    def distance_along_lines(self, boundary: Boundary, x: Tensor, predicted: Tensor, directions: Tensor) -> Tensor:
        """Return the distance to the nearest crossing on the line through each sample, `(B,)`; inf beyond `limit`.

        Both rays of the line are searched outwards cell by cell. The crossing is refined in the first cell with a
        change of class.
        """
        unit = unit_vectors(flatten(directions)).reshape(directions.shape)
        rays = torch.cat([unit, -unit])
        origin = torch.cat([x, x])
        y = torch.cat([predicted, predicted])
        first_cell = torch.full((len(rays),), self.resolution, device=x.device)
        cell_size = self.limit / self.resolution
        open_rays = torch.arange(len(rays), device=x.device)
        for start, stop in doubling_blocks(self.resolution):
            ends = cell_size * torch.arange(start + 1, stop + 1, dtype=x.dtype, device=x.device)
            batches = open_rays.split(max(1, MAX_BATCH_ROWS // len(ends)))
            crossed = torch.cat(
                [self._is_other_class(boundary, origin[batch], rays[batch], y[batch], ends) for batch in batches]
            )
            hit = crossed.any(dim=1)
            first_cell[open_rays[hit]] = start + crossed[hit].to(torch.int8).argmax(dim=1)
            # The search on a ray stops when the opposite ray of the same line has a crossing.
            opposite = (open_rays + len(x)) % len(rays)
            open_rays = open_rays[~hit & (first_cell[opposite] == self.resolution)]
            if len(open_rays) == 0:
                break
        distances = self._refine_crossings(boundary, origin, rays, y, first_cell, cell_size)
        return distances.reshape(2, len(x)).min(dim=0).values

    def _is_other_class(self, boundary: Boundary, origin: Tensor, rays: Tensor, y: Tensor, distances: Tensor) -> Tensor:
        """Return whether the class differs from `y` at each of the distances along each ray, `(B, distances)`."""
        points = origin[:, None] + distances.reshape(1, -1, *[1] * (origin.dim() - 1)) * rays[:, None]
        logit_margins = boundary.logit_margin(points.flatten(0, 1), y.repeat_interleave(len(distances)))
        return logit_margins.reshape(len(origin), len(distances)) <= 0

    def _refine_crossings(
        self, boundary: Boundary, origin: Tensor, rays: Tensor, y: Tensor, first_cell: Tensor, cell_size: float
    ) -> Tensor:
        """Return the distance of the crossing within the cell `first_cell` of each ray; inf past the last cell."""
        distance = torch.full((len(rays),), torch.inf, dtype=origin.dtype, device=origin.device)
        hit = torch.nonzero(first_cell < self.resolution).squeeze(1)
        if len(hit):
            start = first_cell[hit].to(origin.dtype) * cell_size
            ray = rays[hit]
            inside = origin[hit] + broadcast_per_sample(start, ray) * ray
            outside = origin[hit] + broadcast_per_sample(start + cell_size, ray) * ray
            distance[hit] = norm(refine_to_boundary(boundary, inside, outside, y[hit])[0] - origin[hit])
        return distance


def normal_component(gradient: Tensor, basis: Tensor) -> Tensor:
    """Return the part of each gradient `(B, *shape)` off the span of orthonormal columns, `(B, n, d)` or `(n, d)`.

    For a gradient within the span this part is only rounding: it is replaced by zero, along which no crossing is found.
    """
    normal = gradient - project_onto_span(basis, gradient)
    return torch.where(broadcast_per_sample(squared_norm_fraction(normal, gradient) > 1e-12, normal), normal, 0.0)


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

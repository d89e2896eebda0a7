"""How far the boundary lies off the manifold: along the direction in which the classifier leaves it fastest."""

import itertools
from typing import ClassVar, final

import torch
from torch import Tensor

from dimple.boundary.boundary import Boundary
from dimple.boundary.root_finding import land
from dimple.probes.base import Measurement, Probe
from dimple.protocols import TangentField
from dimple.settings import Count, Positive, Seed, settings
from dimple.stats.null_bands import energy_share
from dimple.tangents.random_subspace import RandomSubspace
from dimple.tensors import chunks, norm, per_sample, project, share

# How many numbers the samples of a batch may hold, and how many rows the network is asked for at a time: larger
# batches leave a core's cache.
TOGETHER, ROWS = 1 << 16, 1 << 10


@final
@settings
class Offset(Probe):
    """The distance from a point of the manifold to the boundary along its normal, both ways, within `limit`.

    At codimension one the normal is the only direction off the manifold. Beyond that it is the off-manifold part of
    the gap's gradient, the direction in which the classifier changes fastest. Small everywhere means that the boundary
    clings to the manifold; at a training point it is the depth of its dimple.

    The null asks the same of a random subspace of the same dimension in place of the tangent space: a boundary that is
    near in every direction is near, but does not cling.

    Columns: `offset` (signed, positive where correct; `inf` where no crossing lies within the limit), `offset_null`
    (median over the draws), `gradient_off_share` and its null. Details: `offset_draws`, `(B, draws)`, unsigned.

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
    cells: Count = 32
    draws: Count = 5
    seed: Seed = 0

    def run(self, boundary: Boundary, x: Tensor, y: Tensor, tangents: TangentField | None) -> Measurement:
        """One search along the normals, and one along the normals of every random subspace."""
        assert tangents is not None
        predicted = boundary.predict(x)
        sign = torch.where(predicted == y, 1.0, -1.0).to(x)
        basis = tangents.tangent_basis(x)
        n, d = basis.shape[1:]
        _, gradient = boundary.gap_and_gradient(x, predicted)
        random = [RandomSubspace(d, self.seed, draw).columns(n).to(x) for draw in range(self.draws)]
        ways = [off_part(gradient, columns) for columns in (basis, *random)]
        # Small samples look along all directions in one batch.
        distances = []
        for part in chunks(len(ways), max(1, TOGETHER // x.numel())):
            count = len(ways[part])
            many, classes = x.repeat(count, *[1] * (x.dim() - 1)), predicted.repeat(count)
            distances.append(self.along(boundary, many, classes, torch.cat(ways[part])).reshape(count, len(x)))
        distance, *draws = torch.cat(distances)
        null = torch.stack(draws, dim=1)
        off_share = share(ways[0], gradient)
        columns_out = {
            "offset": sign * distance,
            "offset_null": sign * null.median(dim=1).values,
            "gradient_off_share": off_share,
            "gradient_off_share_null": torch.full_like(off_share, energy_share(n, n - d)),
        }
        units = {name: "share" if "share" in name else "l2, input units" for name in columns_out}
        return Measurement(columns_out, units, {"offset_draws": null})

    def along(self, boundary: Boundary, x: Tensor, predicted: Tensor, directions: Tensor) -> Tensor:
        """The distance to the nearest crossing on the line through each sample, `(B,)`, at most `limit`, else inf.

        The line is walked outwards both ways at once in cells, until one holds a change of class, which is landed on.
        """
        unit = directions / per_sample(norm(directions).clamp(min=torch.finfo(x.dtype).tiny), x)
        rays, origin, y = torch.cat([unit, -unit]), torch.cat([x, x]), torch.cat([predicted, predicted])
        first = torch.full((len(rays),), self.cells, device=x.device)
        cell = self.limit / self.cells
        open_rays = torch.arange(len(rays), device=x.device)
        for start, stop in blocks(self.cells):
            ends = cell * torch.arange(start + 1, stop + 1, dtype=x.dtype, device=x.device)
            crossed = torch.cat(
                [
                    self._crossed(boundary, origin[some], rays[some], y[some], ends)
                    for some in open_rays.split(max(1, ROWS // len(ends)))
                ]
            )
            hit = crossed.any(dim=1)
            first[open_rays[hit]] = start + crossed[hit].to(torch.int8).argmax(dim=1)
            # The other way along the same line need not be walked farther than this way's crossing.
            partner = (open_rays + len(x)) % len(rays)
            open_rays = open_rays[~hit & (first[partner] == self.cells)]
            if len(open_rays) == 0:
                break
        return self._landed(boundary, origin, rays, y, first, cell).reshape(2, len(x)).min(dim=0).values

    def _crossed(self, boundary: Boundary, origin: Tensor, rays: Tensor, y: Tensor, ends: Tensor) -> Tensor:
        """Whether another class is met so far along each ray, `(B, ends)`."""
        places = origin[:, None] + ends.reshape(1, -1, *[1] * (origin.dim() - 1)) * rays[:, None]
        gaps = boundary.gap(places.flatten(0, 1), y.repeat_interleave(len(ends)))
        return gaps.reshape(len(origin), len(ends)) <= 0

    def _landed(
        self, boundary: Boundary, origin: Tensor, rays: Tensor, y: Tensor, first: Tensor, cell: float
    ) -> Tensor:
        """The distance of the crossing within the cell numbered `first` of each ray; inf past the last cell."""
        distance = torch.full((len(rays),), torch.inf, dtype=origin.dtype, device=origin.device)
        hit = torch.nonzero(first < self.cells).squeeze(1)
        if len(hit):
            start, ray = first[hit].to(origin.dtype) * cell, rays[hit]
            inside, outside = (origin[hit] + per_sample(place, ray) * ray for place in (start, start + cell))
            distance[hit] = norm(land(boundary, inside, outside, y[hit])[0] - origin[hit])
        return distance


def off_part(gradient: Tensor, basis: Tensor) -> Tensor:
    """The part of each gradient `(B, *shape)` off the span of orthonormal columns, `(B, n, d)` or `(n, d)`.

    A gradient within the span has none to follow, only rounding: it becomes zero, and no crossing is found along it.
    """
    off = gradient - project(basis, gradient)
    return torch.where(per_sample(share(off, gradient) > 1e-12, off), off, 0.0)


def blocks(cells: int) -> list[tuple[int, int]]:
    """The cells of a ray in blocks that are looked at together, each as long as all before it, from two cells on.

    So a ray is walked two cells or less than twice as far as its crossing, and an empty one costs few calls.

    Example:
        >>> blocks(20)
        [(0, 2), (2, 4), (4, 8), (8, 16), (16, 20)]
    """
    ends = [0, 2]
    while ends[-1] < cells:
        ends.append(2 * ends[-1])
    return [(start, min(stop, cells)) for start, stop in itertools.pairwise(ends)]

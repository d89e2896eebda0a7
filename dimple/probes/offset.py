"""Offset: the boundary along the normal of the manifold: its distance and its angle."""

import itertools
from typing import ClassVar, final

import torch
from torch import Tensor

from dimple.boundary.boundary import Boundary
from dimple.boundary.root_finding import refine_to_boundary
from dimple.probes.base import Probe, ProbeResult
from dimple.protocols import TangentField
from dimple.settings import Cells, Positive, Repeats, Seed, settings
from dimple.stats.null_bands import isotropic_angle, isotropic_fraction
from dimple.tangents.random_subspace import RandomSubspace, random_tangent_fractions
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

    The angle is that between the normal of the boundary at the crossing, or of the level set through the sample where
    no crossing lies within the limit, and the normal space of the manifold at the sample: 0 where the boundary is
    parallel to the manifold, 90 where it cuts straight through. Its null is that of a random direction in R^n.

    The null of the offset is the same distance with a random subspace of the same dimension in place of the tangent
    space: a boundary that is close in every direction does not cling to the manifold.

    Columns: `offset` (signed, positive where correct; `inf` where no crossing lies within the limit), `offset_null`
    (median over the draws), `gradient_off_manifold_fraction` and its null, `boundary_angle` (degrees; nan where the
    gradient is zero; all are nan where the scores of the sample are) with the median and the central 95 % of its null.
    Details: `offset_draws`, `(B, draws)`, unsigned; `offset_step`, in the shape of the samples, to the crossing (nan
    where there is none); `gradient_off_manifold_fraction_draws` and `boundary_angle_draws`, those of random directions,
    each the same at all samples.

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
    resolution: Cells = 32
    null_draws: Repeats = 5
    seed: Seed = 0

    def run(self, boundary: Boundary, x: Tensor, y: Tensor, tangents: TangentField | None) -> ProbeResult:
        assert tangents is not None
        predicted = boundary.predict(x)
        basis = tangents.tangent_basis(x)
        n, d = basis.shape[1:]
        logit_margin, gradient = boundary.logit_margin_and_gradient(x, predicted)
        has_scores = ~logit_margin.isnan()
        sign = torch.where(predicted == y, 1.0, -1.0).to(x).where(has_scores, torch.nan)
        random = [RandomSubspace(d, self.seed, draw).basis(n).to(x) for draw in range(self.null_draws)]
        directions = [normal_component(gradient, columns) for columns in (basis, *random)]
        off_manifold_fraction = squared_norm_fraction(directions[0], gradient)
        directions = [unit_vectors(flatten(direction)).reshape(x.shape) for direction in directions]
        # Small samples are measured along all directions in one batch.
        positions = []
        for part in chunks(len(directions), max(1, MAX_BATCH_VALUES // x.numel())):
            count = len(directions[part])
            repeated = x.repeat(count, *[1] * (x.dim() - 1))
            found = self._position_on_lines(boundary, repeated, predicted.repeat(count), torch.cat(directions[part]))
            positions.append(found.reshape(count, len(x)))
        position, *draws = torch.cat(positions)
        distance = position.abs()
        null = torch.stack(draws, dim=1).abs()
        # Without a crossing the angle is that at the sample.
        step = broadcast_per_sample(torch.where(position.isfinite(), position, 0.0), x) * directions[0]
        null_angles = [isotropic_angle(n, d, quantile) for quantile in (0.5, 0.025, 0.975)]
        columns = {
            "offset": sign * distance,
            "offset_null": sign * null.median(dim=1).values,
            "gradient_off_manifold_fraction": off_manifold_fraction.where(has_scores, torch.nan),
            "gradient_off_manifold_fraction_null": torch.full_like(off_manifold_fraction, isotropic_fraction(n, n - d)),
            "boundary_angle": _angle_to_normal_space(boundary, x + step, predicted, basis).where(has_scores, torch.nan),
            **{
                f"boundary_angle_null{end}": torch.full_like(distance, angle)
                for end, angle in zip(("", "_low", "_high"), null_angles, strict=True)
            },
        }
        units = {
            name: "fraction" if "fraction" in name else "degrees" if "angle" in name else "l2, input units"
            for name in columns
        }
        step = torch.where(broadcast_per_sample(distance.isfinite(), x), step, torch.nan)
        on_fraction = random_tangent_fractions(basis, self.seed)
        details = {
            "offset_draws": null,
            "offset_step": step,
            "gradient_off_manifold_fraction_draws": 1 - on_fraction,
            "boundary_angle_draws": on_fraction.sqrt().asin().rad2deg(),
        }
        return ProbeResult(columns, units, details)

    def _position_on_lines(self, boundary: Boundary, x: Tensor, predicted: Tensor, directions: Tensor) -> Tensor:
        """Return the signed distance along each direction to the nearest crossing, `(B,)`; inf beyond `limit`.

        Both rays of the line are searched outwards cell by cell. The crossing is refined in the first cell with a
        change of class.
        """
        rays = torch.cat([directions, -directions])
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
        ahead, behind = distances.reshape(2, len(x))
        return torch.where(ahead <= behind, ahead, -behind)

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


def _angle_to_normal_space(boundary: Boundary, points: Tensor, y: Tensor, basis: Tensor) -> Tensor:
    """Return the angle, in degrees, between the gradient at each point and the complement of its tangent basis."""
    _, gradient = boundary.logit_margin_and_gradient(points, y)
    tangent = project_onto_span(basis, gradient)
    angle = torch.atan2(norm(tangent), norm(gradient - tangent)).rad2deg()
    return torch.where(norm(gradient) > 0, angle, torch.nan)


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

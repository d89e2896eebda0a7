"""Offset: the boundary along the normal of the manifold: its distance and its angle."""

from typing import ClassVar, final

import torch
from torch import Tensor

from dimple.boundary.boundary import Boundary
from dimple.boundary.line_search import nearest_crossings
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
        resolution: the number of cells of a ray up to the limit. A cell is halved where the slopes leave room for a
            crossing within it, so that a large limit with few cells gives the same distances.
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
            repeats = (count, *[1] * (x.dim() - 1))
            found = nearest_crossings(
                boundary,
                x.repeat(repeats),
                predicted.repeat(count),
                (logit_margin.repeat(count), gradient.repeat(repeats)),
                torch.cat(directions[part]),
                self.limit,
                self.resolution,
            )
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

"""Boundary points: results of attacks after refinement to the boundary, verified and measured."""

import dataclasses
from typing import final

import torch
from torch import Tensor

from dimple.attacks.base import NO_CROSSING, AttackResult
from dimple.attacks.projections import active_bounds, dual_norm
from dimple.boundary.boundary import Boundary
from dimple.boundary.root_finding import refine_to_boundary
from dimple.tensors import Box, broadcast_per_sample, flatten
from dimple.tensors import norm as norm_of

# Where scores saturate, a search ends far beyond the crossing; only such samples need this many steps.
MAX_REFINEMENT_STEPS = 60
# The scores of a sample change by up to this many units of rounding when the other samples of its batch change.
ROUNDING_ULPS = 32


@final
@dataclasses.dataclass(frozen=True)
class BoundaryPoints:
    """Verified boundary points, one row for each sample.

    Attributes:
        points: `(B, *shape)`, on the boundary and on its far side; the sample itself where none was found.
        distance: `(B,)`, of the points from the samples; `inf` where none was found.
        unrefined_distance: `(B,)`, of the points that the search returned, before refinement.
        found: `(B,)`.
        passes: `(B,)`, those of the search; the refinement is not counted.
        status: `(B,)`, that of the search, but 2 (no crossing) where no point was verified.
        multiple_minima: `(B,)`, as in `AttackResult`; false from a search without restarts.
    """

    points: Tensor
    distance: Tensor
    unrefined_distance: Tensor
    found: Tensor
    passes: Tensor
    status: Tensor
    multiple_minima: Tensor


def refine_attack_result(
    boundary: Boundary, x: Tensor, y: Tensor, norm: str, result: AttackResult, targets: Tensor | None = None
) -> BoundaryPoints:
    """Refine the points of an attack to the crossing on their rays, and drop those without a crossing.

    Points that the attack reports to be on the boundary are not refined again.

    Args:
        boundary: the boundary.
        x: `(B, *shape)` samples.
        y: `(B,)` classes.
        norm: `l1`, `l2` or `linf`, the norm of the distances.
        result: the attack's result.
        targets: `(B,)` classes whose boundary is meant; None for that of `y`.
    """
    points = result.points.clone()
    found = result.found.clone()
    rows = torch.nonzero(found if result.on_boundary is None else found & ~result.on_boundary).squeeze(1)
    if len(rows):
        row_targets = None if targets is None else targets[rows]
        points[rows], _, logit_margin = refine_to_boundary(
            boundary, x[rows], points[rows], y[rows], MAX_REFINEMENT_STEPS, row_targets
        )
        # A point that is on the boundary to rounding may change sides when the other samples of its batch change.
        size = boundary.scores(points[rows]).abs().amax(1)
        found[rows] = logit_margin <= ROUNDING_ULPS * torch.finfo(logit_margin.dtype).eps * size
    return BoundaryPoints(
        points=torch.where(broadcast_per_sample(found, x), points, x),
        distance=torch.where(found, norm_of(points - x, norm), torch.inf),
        unrefined_distance=torch.where(result.found, norm_of(result.points - x, norm), torch.inf),
        found=found,
        passes=result.passes,
        status=result.status.where(found, NO_CROSSING),
        multiple_minima=torch.zeros_like(found) if result.multiple_minima is None else result.multiple_minima,
    )


def missing_boundary_points(x: Tensor) -> BoundaryPoints:
    """Return the rows of samples from which no search was made: no crossing, and no passes."""
    infinite = torch.full((len(x),), torch.inf, dtype=x.dtype, device=x.device)
    no = torch.zeros_like(infinite, dtype=torch.bool)
    no_crossing = torch.full_like(no, NO_CROSSING, dtype=torch.long)
    return BoundaryPoints(x, infinite, infinite, no, torch.zeros_like(infinite), no_crossing, no)


def scatter_boundary_points(subset: BoundaryPoints, rows: Tensor, x: Tensor) -> BoundaryPoints:
    """Return boundary points for all samples `x`: `subset` in the given rows, no crossing and no passes elsewhere."""
    missing = missing_boundary_points(x)
    values = {}
    for field in dataclasses.fields(BoundaryPoints):
        values[field.name] = getattr(missing, field.name).index_copy(0, rows, getattr(subset, field.name))
    return BoundaryPoints(**values)


def select_closest(candidates: list[BoundaryPoints]) -> BoundaryPoints:
    """Return the closest of several boundary points for each sample; the passes of all of them are summed."""
    best = torch.stack([candidate.distance for candidate in candidates]).argmin(0)
    rows = torch.arange(len(best), device=best.device)
    selected = {
        field.name: torch.stack([getattr(candidate, field.name) for candidate in candidates])[best, rows]
        for field in dataclasses.fields(BoundaryPoints)
    }
    return BoundaryPoints(**selected | {"passes": torch.stack([candidate.passes for candidate in candidates]).sum(0)})


def stationarity_angle(step: Tensor, gradient: Tensor, points: Tensor, norm: str, bounds: Box | None) -> Tensor:
    """Return the angle in degrees, `(B,)`, by which a boundary point misses the first-order condition of a nearest one.

    At the nearest point the step goes down the gradient of the logit margin as steeply as its norm allows. The angle is
    arccos(-g . s / (|g|_dual |s|)), 0 at a stationary point. In l2 it is the angle between the step and the normal of
    the boundary; in the other norms it measures the duality gap. Coordinates at a bound through which the gradient
    would push them count neither in g nor in s. At a kink of the boundary the angle of the nearest point need not be 0.
    A sample on the boundary has no step and the angle 0.

    Args:
        step: `(B, *shape)`, from the samples to the points.
        gradient: `(B, *shape)`, of the logit margin at the points.
        points: `(B, *shape)`.
        norm: `l1`, `l2` or `linf`, the norm of the step.
        bounds: the bounds of every coordinate, or None.

    Example:
        >>> normal, step = torch.tensor([[1.0, 0.0]]), torch.tensor([[-1.0, 1.0]])
        >>> stationarity_angle(step, normal, step, "l2", None)
        tensor([45.])
    """
    s = flatten(step)
    g = flatten(gradient)
    if bounds is not None:
        is_active = active_bounds(s, g, flatten(points), bounds)
        s = s.masked_fill(is_active, 0.0)
        g = g.masked_fill(is_active, 0.0)
    size = torch.linalg.vector_norm(s, ord={"l1": 1.0, "l2": 2.0, "linf": torch.inf}[norm], dim=1)
    descent = -(g * s).sum(1)
    if norm == "l2":
        across = torch.linalg.vector_norm(s * (g * g).sum(1, keepdim=True) + g * descent[:, None], dim=1)
        angle = torch.atan2(across, g.norm(dim=1) * descent)
    else:
        max_descent = dual_norm(g, norm) * size
        angle = torch.acos((descent / max_descent.clamp(min=torch.finfo(s.dtype).tiny)).clamp(-1, 1))
    return torch.where(flatten(step).any(1), torch.rad2deg(angle), 0.0)

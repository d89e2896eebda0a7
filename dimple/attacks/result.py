"""What a search reached, landed on the boundary, verified and measured."""

import dataclasses
from typing import final

import torch
from torch import Tensor

from dimple.attacks.base import NO_CROSSING, Reached
from dimple.attacks.projections import dual_norm, held_at_walls
from dimple.boundary.boundary import Boundary
from dimple.boundary.root_finding import land
from dimple.tensors import Box, flatten, norm, per_sample

# Scores that saturate leave a search far beyond the crossing; the steps are spent on such samples alone.
LANDING_STEPS = 60
# The scores of a sample change by so many units of rounding with its batch mates.
ROUNDING = 32


@final
@dataclasses.dataclass(frozen=True)
class Landed:
    """Verified boundary points, one row a sample.

    Attributes:
        points: `(B, *shape)`, on the boundary and on its far side; the sample itself where none was found.
        distance: `(B,)`, `inf` where none was found.
        reached: `(B,)`, the distance that the search stopped at, before the landing.
        found: `(B,)`.
        passes, status, masked: `(B,)`, as the search gave them.
    """

    points: Tensor
    distance: Tensor
    reached: Tensor
    found: Tensor
    passes: Tensor
    status: Tensor
    masked: Tensor


def landed(
    boundary: Boundary, x: Tensor, y: Tensor, kind: str, answer: Reached, targets: Tensor | None = None
) -> Landed:
    """Pull every point back to the crossing on its ray, unless the search has, and drop what is no crossing."""
    points, found = answer.points.clone(), answer.found.clone()
    rows = torch.nonzero(found if answer.landed is None else found & ~answer.landed).squeeze(1)
    if len(rows):
        sought = None if targets is None else targets[rows]
        points[rows], _, gap = land(boundary, x[rows], points[rows], y[rows], LANDING_STEPS, sought)
        # A point on the boundary to rounding may have changed sides with its batch mates.
        size = boundary.scores(points[rows]).abs().amax(1)
        found[rows] = gap <= ROUNDING * torch.finfo(gap.dtype).eps * size
    return Landed(
        points=torch.where(per_sample(found, x), points, x),
        distance=torch.where(found, norm(points - x, kind), torch.inf),
        reached=torch.where(answer.found, norm(answer.points - x, kind), torch.inf),
        found=found,
        passes=answer.passes,
        status=answer.status.where(found, NO_CROSSING),
        masked=torch.zeros_like(found) if answer.masked is None else answer.masked,
    )


def nowhere(x: Tensor) -> Landed:
    """The answers for samples from which nothing was searched: no crossing, at no cost."""
    none = torch.full((len(x),), torch.inf, dtype=x.dtype, device=x.device)
    no, zero = torch.zeros_like(none, dtype=torch.bool), torch.zeros_like(none)
    return Landed(x, none, none, no, zero, torch.full_like(no, NO_CROSSING, dtype=torch.long), no)


def scattered(part: Landed, rows: Tensor, x: Tensor) -> Landed:
    """The answers of some rows among those of all samples `x`; the others have no crossing and cost nothing."""
    nothing = nowhere(x)
    values = {}
    for field in dataclasses.fields(Landed):
        values[field.name] = getattr(nothing, field.name).index_copy(0, rows, getattr(part, field.name))
    return Landed(**values)


def nearest(parts: list[Landed]) -> Landed:
    """Of several answers for the same samples the nearest of each; the passes of all of them are summed."""
    best = torch.stack([part.distance for part in parts]).argmin(0)
    rows = torch.arange(len(best), device=best.device)
    picked = {
        field.name: torch.stack([getattr(part, field.name) for part in parts])[best, rows]
        for field in dataclasses.fields(Landed)
    }
    return Landed(**picked | {"passes": torch.stack([part.passes for part in parts]).sum(0)})


def optimality(step: Tensor, gradient: Tensor, points: Tensor, kind: str, box: Box | None) -> Tensor:
    """How far the point is from the nearest one to first order: an angle in degrees, `(B,)`, 0 where it is stationary.

    At the nearest point the step runs down the gap's gradient as steeply as its norm allows. The angle is that whose
    cosine is -g . s / (|g|_dual |s|): in l2 the one between the step and the boundary's normal, in the other norms the
    duality gap in the same dress. Coordinates that the box holds, at a wall that the gradient pushes them through,
    count neither in g nor in s. At a kink of the boundary it need not vanish; a sample on the boundary has no step, and
    nothing is nearer.

    Example:
        >>> normal, step = torch.tensor([[1.0, 0.0]]), torch.tensor([[-1.0, 1.0]])
        >>> optimality(step, normal, step, "l2", None)
        tensor([45.])
    """
    s, g, at = flatten(step), flatten(gradient), flatten(points)
    if box is not None:
        stopped = held_at_walls(s, g, at, box)
        s, g = s.masked_fill(stopped, 0.0), g.masked_fill(stopped, 0.0)
    size = torch.linalg.vector_norm(s, ord={"l1": 1.0, "l2": 2.0, "linf": torch.inf}[kind], dim=1)
    down, most = -(g * s).sum(1), dual_norm(g, kind) * size
    if kind == "l2":
        across = torch.linalg.vector_norm(s * (g * g).sum(1, keepdim=True) + g * down[:, None], dim=1)
        angle = torch.atan2(across, g.norm(dim=1) * down)
    else:
        angle = torch.acos((down / most.clamp(min=torch.finfo(s.dtype).tiny)).clamp(-1, 1))
    return torch.where(flatten(step).any(1), torch.rad2deg(angle), 0.0)

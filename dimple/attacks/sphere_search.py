"""Sphere search: forwards on a sphere just inside the distance already found, for an adversarial point that is nearer.

A descent along the boundary ends at a local minimum of the distance. In two or three dimensions the sphere around the
sample is small enough to be covered by points, with forwards only and much more cheaply than by further restarts. Where
none of these points is adversarial, those of the lowest logit margins descend along the sphere, to find regions of the
other class between the points.
"""

import dataclasses
from typing import final

import torch
from torch import Tensor
from torch.nn.functional import normalize

from dimple.attacks.best_so_far import select_rows
from dimple.attacks.subspace_constraint import SubspaceConstraint
from dimple.boundary.boundary import BACKWARD_COST, FORWARD_COST, Boundary
from dimple.tensors import broadcast_per_sample, flatten, generator

# The maximum number of dimensions in which the search is efficient.
MAX_DIMENSION = 3
# The number of directions that are uniform on the sphere.
UNIFORM_DIRECTIONS = 256
# The number of directions around that of the nearest point known.
NEARBY_DIRECTIONS = 128
# The tangents of the angles of the nearby directions lie between these values, uniformly in their logarithm.
MIN_TANGENT = 1.5e-3
MAX_TANGENT = 1.5
# The number of uniform and of nearby directions that descend along the sphere.
UNIFORM_DESCENTS = 32
NEARBY_DESCENTS = 8
# The number of steps of a descent.
DESCENT_STEPS = 4
# A step goes this many times as far as the zero of the linearized logit margin.
OVERSHOOT_FACTOR = 1.05
# The maximum angle of a step, in radians.
MAX_TURN_ANGLE = 0.3
# A direction is a local minimum if its margin is not above those of this many nearest directions.
NUM_NEIGHBORS = 4
# How much smaller the sphere is than the known distance, as a fraction of it.
RADIUS_SHRINKAGE = 1e-6
# The number of rows of one forward: larger batches exceed the cache of a CPU core.
MAX_BATCH_ROWS = 4096


def search_sphere(
    boundary: Boundary,
    x: Tensor,
    y: Tensor,
    points: Tensor,
    attempt: int,
    constraint: SubspaceConstraint | None = None,
    targets: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Evaluate points just inside the distance of each known point, and return that of the lowest logit margin.

    Args:
        boundary: the boundary; its bounds limit the search.
        x: `(B, *shape)` samples that the classifier assigns to `y`.
        y: `(B,)` classes.
        points: `(B, n)`, flat, the nearest adversarial points known, each different from its sample.
        attempt: the number of the attempt; each has other directions, the same for every sample.
        constraint: as in `dimple.attacks.base.MinimumNormAttack`.
        targets: as in `dimple.attacks.base.MinimumNormAttack`.

    Returns:
        The points found `(B, n)`, the mask of those that are adversarial `(B,)`, and the passes spent `(B,)`.
    """
    radius = (1 - RADIUS_SHRINKAGE) * (points - flatten(x)).norm(dim=1)
    sphere = _SphereSearch(boundary, x, y, radius, constraint, targets)
    uniform, nearby_offsets = _sample_directions(x, attempt)
    best = points.clone()
    is_adversarial = torch.zeros_like(y, dtype=torch.bool)
    passes = torch.full_like(sphere.radius, FORWARD_COST * (UNIFORM_DIRECTIONS + NEARBY_DIRECTIONS))
    descent_starts = points.new_empty(len(x), UNIFORM_DESCENTS + NEARBY_DESCENTS, points.shape[1])
    all_rows = torch.arange(len(x), device=x.device)
    for rows in all_rows.split(MAX_BATCH_ROWS // (UNIFORM_DIRECTIONS + NEARBY_DIRECTIONS)):
        nearby = normalize(points[rows] - sphere.origin[rows], dim=1)[:, None] + nearby_offsets
        directions = torch.cat([uniform.expand(len(rows), -1, -1), nearby], dim=1)
        directions = sphere.project_directions(rows, directions)
        queries, logit_margins = sphere.evaluate(rows, directions)
        best[rows], is_adversarial[rows] = _select_lowest(queries, logit_margins)
        uniform_margins = _raise_non_minima(uniform, logit_margins[:, :UNIFORM_DIRECTIONS])
        lowest_uniform = uniform_margins.topk(UNIFORM_DESCENTS, largest=False).indices
        nearby_margins = logit_margins[:, UNIFORM_DIRECTIONS:]
        lowest_nearby = UNIFORM_DIRECTIONS + nearby_margins.topk(NEARBY_DESCENTS, largest=False).indices
        lowest = torch.cat([lowest_uniform, lowest_nearby], dim=1)
        descent_starts[rows] = directions.take_along_dim(lowest[:, :, None], 1)
    for rows in all_rows[~is_adversarial].split(MAX_BATCH_ROWS // descent_starts.shape[1]):
        best[rows], is_adversarial[rows] = _select_lowest(*sphere.descend(rows, descent_starts[rows]))
        passes[rows] += descent_starts.shape[1] * (DESCENT_STEPS * (FORWARD_COST + BACKWARD_COST) + FORWARD_COST)
    return best, is_adversarial, passes


def _sample_directions(x: Tensor, attempt: int) -> tuple[Tensor, Tensor]:
    """Return uniform directions `(UNIFORM_DIRECTIONS, n)`, and offsets from a direction, `(NEARBY_DIRECTIONS, n)`."""
    n = flatten(x).shape[1]
    stream = generator(0, "closest", "surroundings", n, attempt)
    uniform = normalize(torch.randn(UNIFORM_DIRECTIONS, n, generator=stream, dtype=torch.float64), dim=1)
    offset_directions = normalize(torch.randn(NEARBY_DIRECTIONS, n, generator=stream, dtype=torch.float64), dim=1)
    tangents = MIN_TANGENT * (MAX_TANGENT / MIN_TANGENT) ** torch.rand(
        NEARBY_DIRECTIONS, 1, generator=stream, dtype=torch.float64
    )
    return uniform.to(x), (tangents * offset_directions).to(x)


def _select_lowest(points: Tensor, logit_margins: Tensor) -> tuple[Tensor, Tensor]:
    """Return, of points `(B, M, n)`, those of the lowest margins, `(B, n)`, and which are adversarial, `(B,)`."""
    lowest, index = logit_margins.min(1)
    return points.take_along_dim(index[:, None, None], 1).squeeze(1), lowest <= 0


def _raise_non_minima(directions: Tensor, logit_margins: Tensor) -> Tensor:
    """Return the margins `(B, M)` in directions `(M, n)`, with those raised that are not local minima.

    They become higher than the minima, because otherwise most of the lowest would lie around the nearest point known.
    """
    neighbors = (directions @ directions.T).topk(NUM_NEIGHBORS + 1).indices
    is_minimum = logit_margins[:, neighbors].amin(2) >= logit_margins
    raised = logit_margins + logit_margins.amax(1, keepdim=True) - logit_margins.amin(1, keepdim=True)
    return torch.where(is_minimum, logit_margins, raised)


@final
@dataclasses.dataclass(frozen=True)
class _SphereSearch:
    """The spheres of given radii `(B,)` around the samples; the other attributes are as in `MinimumNormAttack`."""

    boundary: Boundary
    x: Tensor
    y: Tensor
    radius: Tensor
    constraint: SubspaceConstraint | None
    targets: Tensor | None

    @property
    def origin(self) -> Tensor:
        """The samples, flat."""
        return flatten(self.x)

    def project_directions(self, rows: Tensor, directions: Tensor) -> Tensor:
        """Return unit vectors along the allowed components of vectors `(R, M, n)` from some samples."""
        constraint, _ = select_rows(rows, self.constraint, None)
        return normalize(directions if constraint is None else constraint.project_each(directions), dim=2)

    def points_on_sphere(self, rows: Tensor, directions: Tensor) -> Tensor:
        """Return the points of the spheres in directions `(R, M, n)`, clamped to the bounds."""
        points = self.origin[rows, None] + broadcast_per_sample(self.radius[rows], directions) * directions
        bounds = self.boundary.bounds if self.constraint is None else None
        return points if bounds is None else bounds.clamp(points)

    def evaluate(self, rows: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """Return the points in directions `(R, M, n)`, and their logit margins `(R, M)`."""
        points = self.points_on_sphere(rows, directions)
        return points, self.boundary.logit_margin(*self._query_arguments(rows, points)).reshape(points.shape[:2])

    def descend(self, rows: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """Descend along the spheres; return the points of lowest margin `(R, M, n)` and these margins `(R, M)`."""
        best = directions
        lowest = directions.new_full(directions.shape[:2], torch.inf)
        for _ in range(DESCENT_STEPS):
            logit_margin, gradient = self.boundary.logit_margin_and_gradient(
                *self._query_arguments(rows, self.points_on_sphere(rows, directions))
            )
            logit_margin = logit_margin.reshape(directions.shape[:2])
            gradient = gradient.reshape(directions.shape)
            best = torch.where((logit_margin < lowest)[..., None], directions, best)
            lowest = torch.minimum(logit_margin, lowest)
            tangential = self._tangential_gradient(rows, gradient, directions)
            slope = tangential.norm(dim=2).clamp(min=torch.finfo(logit_margin.dtype).tiny)
            angle = OVERSHOOT_FACTOR * logit_margin / (slope * self.radius[rows, None])
            angle = angle.clamp(max=MAX_TURN_ANGLE)
            directions = normalize(directions - angle[..., None] * (tangential / slope[..., None]), dim=2)
        points, logit_margin = self.evaluate(rows, directions)
        points = torch.where((logit_margin < lowest)[..., None], points, self.points_on_sphere(rows, best))
        return points, torch.minimum(logit_margin, lowest)

    def _tangential_gradient(self, rows: Tensor, gradient: Tensor, directions: Tensor) -> Tensor:
        """Return the allowed component of the gradients that is tangential to the sphere."""
        constraint, _ = select_rows(rows, self.constraint, None)
        allowed = gradient if constraint is None else constraint.project_each(gradient)
        return allowed - (allowed * directions).sum(2, keepdim=True) * directions

    def _query_arguments(self, rows: Tensor, points: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return points `(R, M, n)` as a batch of samples, with their classes and their targets."""
        count = points.shape[1]
        targets = None if self.targets is None else self.targets[rows].repeat_interleave(count)
        return points.reshape(-1, *self.x.shape[1:]), self.y[rows].repeat_interleave(count), targets

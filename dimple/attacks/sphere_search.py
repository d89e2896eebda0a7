"""Sphere search: forwards on a sphere just inside the distance already found, for an adversarial point that is nearer.

A descent along the boundary ends at a local minimum of the distance. In two or three dimensions the sphere around the
sample is small enough to be covered by points, with forwards only and much more cheaply than by further restarts. Where
none of these points is adversarial, those of the lowest logit margins descend along the sphere, to find regions of the
other class between the points.
"""

from typing import final

import torch
from torch import Tensor
from torch.nn.functional import normalize

from dimple.attacks.search import SearchState
from dimple.boundary.boundary import BACKWARD_COST, FORWARD_COST
from dimple.tensors import flatten, generator, vector_norm

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
# The passes of one search of a sphere.
SPHERE_SEARCH_PASSES = FORWARD_COST * (UNIFORM_DIRECTIONS + NEARBY_DIRECTIONS) + (
    UNIFORM_DESCENTS + NEARBY_DESCENTS
) * (DESCENT_STEPS * (FORWARD_COST + BACKWARD_COST) + FORWARD_COST)


def search_sphere(state: SearchState, rows: Tensor, attempt: int) -> None:
    """Query points just inside the distance of each nearest point known.

    Args:
        state: the state of the search.
        rows: `(R,)`, samples whose nearest point known is not the sample itself, with `SPHERE_SEARCH_PASSES` left.
        attempt: the number of the attempt; each has other directions, the same for every sample.
    """
    uniform, nearby_offsets = _sample_directions(state.origin, attempt)
    for part in rows.split(MAX_BATCH_ROWS // (UNIFORM_DIRECTIONS + NEARBY_DIRECTIONS)):
        sphere = _SphereSearch(state, part)
        nearby = normalize(state.points[part] - state.origin[part], dim=1)[:, None] + nearby_offsets
        directions = sphere.allow(torch.cat([uniform.expand(len(part), -1, -1), nearby], dim=1))
        logit_margins = sphere.evaluate(directions)
        uniform_margins = _raise_non_minima(uniform, logit_margins[:, :UNIFORM_DIRECTIONS])
        lowest_uniform = uniform_margins.topk(UNIFORM_DESCENTS, largest=False).indices
        nearby_margins = logit_margins[:, UNIFORM_DIRECTIONS:]
        lowest_nearby = UNIFORM_DIRECTIONS + nearby_margins.topk(NEARBY_DESCENTS, largest=False).indices
        lowest = torch.cat([lowest_uniform, lowest_nearby], dim=1)
        is_open = ~(logit_margins <= 0).any(1)
        starts = directions.take_along_dim(lowest[:, :, None], 1)[is_open]
        if len(starts) > 0:
            _SphereSearch(state, part[is_open]).descend(starts)


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


def _raise_non_minima(directions: Tensor, logit_margins: Tensor) -> Tensor:
    """Return the margins `(B, M)` in directions `(M, n)`, with those raised that are not local minima.

    They become higher than the minima, because otherwise most of the lowest would lie around the nearest point known.
    """
    neighbors = (directions @ directions.T).topk(NUM_NEIGHBORS + 1).indices
    is_minimum = logit_margins[:, neighbors].amin(2) >= logit_margins
    raised = logit_margins + logit_margins.amax(1, keepdim=True) - logit_margins.amin(1, keepdim=True)
    return torch.where(is_minimum, logit_margins, raised)


@final
class _SphereSearch:
    """The spheres around some of the samples, just inside the distances of their nearest points known."""

    def __init__(self, state: SearchState, rows: Tensor) -> None:
        self.state = state
        self.rows = rows
        self.radius = (1 - RADIUS_SHRINKAGE) * state.distance[rows]

    def allow(self, directions: Tensor) -> Tensor:
        """Return unit vectors along the allowed components of vectors `(R, M, n)`."""
        return normalize(self.state.problem.allow(self.rows, directions), dim=2)

    def evaluate(self, directions: Tensor) -> Tensor:
        """Query the points of the spheres in directions `(R, M, n)`, and return their logit margins `(R, M)`."""
        return self.state.query_many(self.rows, self._points(directions))[0]

    def descend(self, directions: Tensor) -> None:
        """Descend along the spheres from directions `(R, M, n)`."""
        for _ in range(DESCENT_STEPS):
            logit_margin, gradient = self.state.query_many(self.rows, self._points(directions), with_gradient=True)
            assert gradient is not None
            tangential = gradient - (gradient * directions).sum(2, keepdim=True) * directions
            slope = vector_norm(tangential).clamp(min=torch.finfo(logit_margin.dtype).tiny)
            angle = OVERSHOOT_FACTOR * logit_margin / (slope * self.radius[:, None])
            angle = angle.clamp(max=MAX_TURN_ANGLE)
            directions = normalize(directions - angle[..., None] * (tangential / slope[..., None]), dim=2)
        self.evaluate(directions)

    def _points(self, directions: Tensor) -> Tensor:
        """Return the points of the spheres in directions `(R, M, n)`, clamped to the bounds."""
        points = self.state.origin[self.rows, None] + self.radius[:, None, None] * directions
        bounds = self.state.problem.bounds
        return points if bounds is None else bounds.clamp(points)

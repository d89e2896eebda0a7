"""Closest boundary point: a minimum-norm search along the boundary itself.

At the closest point the displacement is parallel to the gradient of the logit margin. Each step linearizes the margin
once and combines two solutions of the linearized problem: the one closest to the current point (Newton's step, back to
the boundary) and the one closest to the sample (the projection that DeepFool and FAB repeat). The projection alone
overshoots wherever the boundary bends; its weight decreases, so that the kinks of a ReLU network are averaged out. The
closest adversarial point of all queries is kept, and refined by secant steps along its ray.
"""

import dataclasses
import math

import torch
from torch import Tensor
from torch.nn.functional import normalize

from dimple.attacks.base import CONVERGED, MAX_PASSES_REACHED, NO_CROSSING, AttackResult
from dimple.attacks.best_so_far import select_rows
from dimple.attacks.boundary_descent import BoundaryDescent, step_schedule
from dimple.attacks.cutting_planes import search_vertices
from dimple.attacks.sphere_search import MAX_DIMENSION, search_sphere
from dimple.attacks.subspace_constraint import SubspaceConstraint
from dimple.boundary.boundary import FORWARD_COST, Boundary
from dimple.tensors import chunks, flatten, generator

# Below these values of `max_passes` a search linearizes fewer classes at its start and reserves more forwards for the
# refinement.
SMALL_MAX_PASSES = 8
MEDIUM_MAX_PASSES = 15
# The maximum number of steps from vertex to vertex, from the nearest point of all restarts.
MAX_VERTEX_STEPS = 12
# With at least this many restarts the sphere around the sample is searched too; with fewer, that time is saved.
SPHERE_SEARCH_MIN_RESTARTS = 9
# The maximum number of sphere searches of a sample; each further one needs a nearer point from the previous one.
MAX_SPHERE_SEARCHES = 6
# A sample has multiple minima if a restart finds a distance below this fraction of that of the first search.
MULTIPLE_MINIMA_RATIO = 0.9
# The number of candidate points that a restart evaluates, one forward each, to choose its start.
CANDIDATES_PER_RESTART = 16
# The number of random directions from which those of the restarts are chosen.
DIRECTION_POOL_SIZE = 512
# The spread of the candidates around the direction of their restart, relative to the radius.
CANDIDATE_SPREAD = 0.7
# The number of restarts that run as one batch; later batches search within the distance that these have found.
RESTARTS_PER_BATCH = 8


def closest_point(
    boundary: Boundary,
    x: Tensor,
    y: Tensor,
    norm: str = "l2",
    max_passes: float = 40.0,
    constraint: SubspaceConstraint | None = None,
    targets: Tensor | None = None,
    restarts: int | None = None,
) -> AttackResult:
    """Search for the adversarial point nearest to each sample; its distance is an upper bound of the margin.

    The arguments are those of `dimple.attacks.base.MinimumNormAttack`, except that `max_passes` limits one search;
    from 5 passes on no sample exceeds it. Some forwards are reserved for the refinement. Where they are not enough, the
    point lies slightly beyond the boundary, and `Margin` refines it.

    Args:
        boundary: the boundary; its bounds limit the search.
        x: `(B, *shape)` samples that the classifier assigns to `y`.
        y: `(B,)` classes.
        norm: `l1`, `l2` or `linf`.
        max_passes: the maximum number of passes of one search for one sample.
        constraint: a subspace to stay in (l2 only).
        targets: `(B,)` classes to reach; None for any class but `y`.
        restarts: the number of searches, the first included; by default `default_restarts`. The first starts from the
            sample, the others within the distance that is known by then. In l2 the last of three or more searches the
            vertices of the boundary from the nearest point of all (`dimple.attacks.cutting_planes`). With nine or more,
            in l2 and in up to three dimensions, a further search starts wherever a sphere search
            (`dimple.attacks.sphere_search`) finds a nearer adversarial point.

    Example:
        >>> half_space = Boundary(lambda x: torch.stack([-x[:, 0], x[:, 0]], dim=1))
        >>> closest_point(half_space, torch.tensor([[2.0, 5.0]]), torch.tensor([1])).points.abs().round(decimals=3)
        tensor([[0., 5.]])
    """
    n = flatten(x).shape[1]
    restarts = default_restarts(n) if restarts is None else restarts
    problem = _SearchProblem(boundary, x, y, norm, constraint, targets)
    first_descent = problem.make_descent()
    first_descent.start_from_sample(
        candidate_classes=1 if max_passes < SMALL_MAX_PASSES else 2 if max_passes < MEDIUM_MAX_PASSES else 3
    )
    first = best = _run_descent(first_descent, max_passes)
    search_at_vertices = norm == "l2" and restarts > 2
    offsets = _restart_offsets(restarts - 1 - search_at_vertices, n, x.device).to(x.dtype)
    for batch in chunks(len(offsets), RESTARTS_PER_BATCH):
        count = len(offsets[batch])
        rows = torch.arange(len(x), device=x.device).repeat(count)
        # A nearer crossing lies within the distance already found; where none is found, the sample's norm is the scale.
        radius = best.distance.where(torch.isfinite(best.distance), flatten(x).norm(dim=1))[rows]
        candidates = radius[:, None, None] * offsets[batch].repeat_interleave(len(x), dim=0)
        descent = problem.select(rows).make_descent()
        initial_logit_margin = first_descent.initial_logit_margin[rows]
        descent.start_from_candidates(candidates[:, : max(1, int(max_passes / 4))], initial_logit_margin)
        best = _select_closest(best, _run_descent(descent, max_passes), count)
    if search_at_vertices:
        best = _improve_at_vertices(best, problem, max_passes)
        if restarts >= SPHERE_SEARCH_MIN_RESTARTS and n <= MAX_DIMENSION:
            best = _improve_by_sphere_search(best, first_descent.initial_logit_margin, problem, max_passes)
    found = torch.isfinite(best.distance)
    status = torch.where(best.converged, CONVERGED, MAX_PASSES_REACHED).where(found, NO_CROSSING)
    multiple_minima = best.distance < MULTIPLE_MINIMA_RATIO * first.distance
    return AttackResult(best.points.reshape(x.shape), found, best.passes, status, best.on_boundary, multiple_minima)


def default_restarts(n: int) -> int:
    """Return the number of searches for a sample of n dimensions: 9 up to 16 dimensions, 3 up to 64, 1 above.

    The first search is included. In few dimensions the other class has small regions that a single search misses.
    """
    return 9 if n <= 16 else 3 if n <= 64 else 1


@dataclasses.dataclass(frozen=True)
class _SearchProblem:
    """The arguments of `closest_point` that define the problem."""

    boundary: Boundary
    x: Tensor
    y: Tensor
    norm: str
    constraint: SubspaceConstraint | None
    targets: Tensor | None

    def select(self, rows: Tensor) -> "_SearchProblem":
        """Return the problem for some of the samples, which may be repeated."""
        constraint, targets = select_rows(rows, self.constraint, self.targets)
        return _SearchProblem(self.boundary, self.x[rows], self.y[rows], self.norm, constraint, targets)

    def make_descent(self) -> BoundaryDescent:
        """Return one descent for each sample, not yet started."""
        return BoundaryDescent(self.boundary, self.x, self.y, self.norm, self.constraint, self.targets)


@dataclasses.dataclass(frozen=True)
class _RestartResult:
    """The result of one restart, one row for each sample."""

    points: Tensor
    distance: Tensor
    passes: Tensor
    converged: Tensor
    on_boundary: Tensor

    def select(self, rows: Tensor) -> "_RestartResult":
        """Return the result for some of the samples."""
        return _RestartResult(*(getattr(self, field.name)[rows] for field in dataclasses.fields(self)))

    def update(self, rows: Tensor, others: "_RestartResult") -> None:
        """Overwrite the rows of some samples."""
        for field in dataclasses.fields(self):
            getattr(self, field.name)[rows] = getattr(others, field.name)


def _run_descent(descent: BoundaryDescent, max_passes: float) -> _RestartResult:
    """Run a started descent: steps along the boundary, with forwards reserved for the refinement of each stage."""
    refinement_steps = 5 if max_passes < SMALL_MAX_PASSES else 6 if max_passes < MEDIUM_MAX_PASSES else 4
    remaining = max_passes - float(descent.passes[0]) - FORWARD_COST * refinement_steps
    *full_stages, _ = step_schedule(max(1, int(remaining + 1e-6)))
    # Every stage has a refinement; a last stage that is too short to pay for its own is left out.
    steps = max(1, sum(full_stages), int(remaining - FORWARD_COST * refinement_steps * len(full_stages) + 1e-6))
    on_boundary = descent.run(steps, refinement_steps)
    return _RestartResult(descent.points, descent.distance, descent.passes, descent.converged, on_boundary)


def _improve_at_vertices(best: _RestartResult, problem: _SearchProblem, max_passes: float) -> _RestartResult:
    """Search the vertices of the boundary from the best points, and return the nearer of both."""
    found = torch.isfinite(best.distance)
    steps = int(min(max_passes, MAX_VERTEX_STEPS))
    nearer = search_vertices(
        problem.boundary, problem.x, problem.y, best.points, found, steps, problem.constraint, problem.targets
    )
    on_boundary = best.on_boundary & (nearer.distance >= best.distance)
    return _RestartResult(nearer.points, nearer.distance, best.passes + nearer.passes, best.converged, on_boundary)


def _improve_by_sphere_search(
    best: _RestartResult, initial_logit_margin: Tensor, problem: _SearchProblem, max_passes: float
) -> _RestartResult:
    """Search just inside the known distance, start descents from the adversarial points found there, and repeat."""
    best = best.select(torch.arange(len(problem.x), device=problem.x.device))
    rows = torch.nonzero(torch.isfinite(best.distance) & (best.distance > 0)).squeeze(1)
    for attempt in range(MAX_SPHERE_SEARCHES):
        subset = problem.select(rows)
        points, is_adversarial, passes = search_sphere(
            subset.boundary, subset.x, subset.y, best.points[rows], attempt, subset.constraint, subset.targets
        )
        best.passes[rows] += passes
        rows = rows[is_adversarial]
        if len(rows) == 0:
            break
        offsets = (points - flatten(subset.x))[is_adversarial, None]
        descent = problem.select(rows).make_descent()
        descent.start_from_candidates(offsets, initial_logit_margin[rows])
        nearest = _select_closest(best.select(rows), _run_descent(descent, max_passes), 1)
        best.update(rows, _improve_at_vertices(nearest, problem.select(rows), max_passes))
    return best


def _restart_offsets(count: int, n: int, device: torch.device) -> Tensor:
    """Return candidate displacements in the unit ball, `(count, CANDIDATES_PER_RESTART, n)`, the same for every sample.

    The candidates of a restart lie around its own direction. The directions are spread out: each is, of a pool of
    random ones, the farthest from all before.
    """
    stream = generator(0, "closest", "starts", n)
    pool = normalize(torch.randn(DIRECTION_POOL_SIZE, n, generator=stream, dtype=torch.float64), dim=1)
    directions = pool[:1]
    max_cosine = pool @ pool[0]
    while len(directions) < count:
        directions = torch.cat([directions, pool[max_cosine.argmin()][None]])
        max_cosine = torch.maximum(max_cosine, pool @ directions[-1])
    noise = torch.randn(count, CANDIDATES_PER_RESTART, n, generator=stream, dtype=torch.float64) / math.sqrt(n)
    radii = torch.rand(count, CANDIDATES_PER_RESTART, 1, generator=stream, dtype=torch.float64) ** (1 / n)
    return (normalize(directions[:count, None] + CANDIDATE_SPREAD * noise, dim=2) * radii).to(device)


def _select_closest(first: _RestartResult, others: _RestartResult, count: int) -> _RestartResult:
    """Return, for each sample, the nearest of `first` and of `count` further restarts; their passes are summed."""
    distance = torch.cat([first.distance[None], others.distance.reshape(count, -1)])
    best = distance.argmin(0)

    def select(name: str) -> Tensor:
        value = getattr(first, name)
        values = torch.cat([value[None], getattr(others, name).reshape(count, *value.shape)])
        return values[best, torch.arange(len(best), device=best.device)]

    passes = first.passes + others.passes.reshape(count, -1).sum(0)
    return _RestartResult(select("points"), select("distance"), passes, select("converged"), select("on_boundary"))

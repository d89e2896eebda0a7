"""The question put to a search, and the state of its answer: what every search of a boundary point has in common."""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Protocol, final

import torch
from torch import Tensor

from dimple.attacks.projections import dual_norm
from dimple.attacks.subspace_constraint import SubspaceConstraint
from dimple.boundary.boundary import BACKWARD_COST, FORWARD_COST, Boundary, compute_logit_margin
from dimple.boundary.root_finding import ROOT_TOLERANCE, find_roots
from dimple.errors import SceneError
from dimple.tensors import Box, flatten, unit_vectors, vector_norm
from dimple.tensors import norm as norm_of

# Values of `SearchState.status`.
CONVERGED = 0
MAX_PASSES_REACHED = 1
NO_CROSSING = 2
NO_SCORES = 3
DECISIONS_ONLY = 4
# Allowance for rounding when sums of costs are compared with the passes that are allowed.
PASSES_TOLERANCE = 1e-3
# The passes that every search keeps for the check of its points.
CHECK_PASSES = FORWARD_COST
# A point is checked as it is, and where it fails, with its displacement lengthened by these fractions and by rounding.
CHECK_LENGTHENINGS = (0.0, 1e-7, 1e-4, 1e-2)
# The maximum number of forwards of the final refinement: scores that saturate need bisections.
MAX_REFINEMENT_FORWARDS = 60
# A gradient whose allowed part is smaller than this number of units of rounding has no allowed part.
ROUNDING_ULPS = 64


@final
@dataclasses.dataclass(frozen=True)
class SearchProblem:
    """The question put to a search: the point nearest to each sample on the far side of the boundary.

    A point is adversarial, which means on the far side, if `boundary.logit_margin(points, y, targets) <= 0`; points
    where the prediction changes are preferred to ties. Where the logit margin is nan, because the scores are, there is
    no prediction, and the point is not adversarial.

    Attributes:
        boundary: the boundary; its bounds limit the search.
        x: `(B, *shape)` samples that the classifier assigns to `y`.
        y: `(B,)` classes.
        norm: `l0`, `l1`, `l2` or `linf`, the norm of the distance to be minimized.
        constraint: a subspace to stay in (l2 only). Such a search ignores the bounds of the boundary, because clamping
            would leave the subspace.
        targets: `(B,)` classes to reach, each other than the sample's own; None for any class but `y`.
        first_classes: `(B, C)` classes of which a search linearizes the boundaries at its start, the first ones before
            the others; None for those with the highest scores.
    """

    boundary: Boundary
    x: Tensor
    y: Tensor
    norm: str = "l2"
    constraint: SubspaceConstraint | None = None
    targets: Tensor | None = None
    first_classes: Tensor | None = None

    @property
    def origin(self) -> Tensor:
        """The samples as rows `(B, n)`."""
        return flatten(self.x)

    @functools.cached_property
    def bounds(self) -> Box | None:
        """The bounds of the rows that limit the search."""
        return self.boundary.row_bounds(self.x) if self.constraint is None else None

    @property
    def all_rows(self) -> Tensor:
        """The numbers of all samples, `(B,)`."""
        return torch.arange(len(self.x), device=self.x.device)

    def select(self, rows: Tensor) -> "SearchProblem":
        """Return the question for some of the samples, which may be repeated."""
        constraint = None if self.constraint is None else self.constraint.select(rows)
        targets = None if self.targets is None else self.targets[rows]
        return SearchProblem(self.boundary, self.x[rows], self.y[rows], self.norm, constraint, targets)

    def reference_offsets(self, most: int, at_once: int) -> Iterator[Tensor]:
        """Yield the displacements `(B, at_once, n)` of the nearest reference samples of other classes, at most `most`.

        With targets they are those of the target classes. Rows with fewer have displacements of zero.
        """
        reference = self.boundary.reference
        if reference is None or self.constraint is not None:
            return
        points = flatten(reference).to(self.origin)
        classes = self.boundary.reference_classes[None]
        is_other = classes != self.y[:, None] if self.targets is None else classes == self.targets[:, None]
        middle = points.mean(0)
        distance = torch.cdist(self.origin - middle, points - middle)
        nearest = distance.masked_fill(~is_other, torch.inf).topk(min(most, len(points)), largest=False)
        for values, indices in zip(nearest.values.split(at_once, 1), nearest.indices.split(at_once, 1), strict=True):
            offsets = points[indices] - self.origin[:, None]
            yield torch.where(torch.isfinite(values)[:, :, None], offsets, 0.0)

    def confine(self, rows: Tensor, points: Tensor) -> Tensor:
        """Return the points `(R, n)` moved into the bounds, or into the subspace of the constraint."""
        if self.constraint is not None:
            origin = self.origin[rows]
            return origin + self._constraint_of(rows).project(points - origin)
        return points if self.bounds is None else self.bounds.clamp(points)

    def allow(self, rows: Tensor, gradients: Tensor) -> Tensor:
        """Return the allowed parts of gradients `(R, ..., n)`; zero where they are only rounding or not finite."""
        gradients = torch.where(torch.isfinite(gradients).all(-1, keepdim=True), gradients, 0.0)
        if self.constraint is None:
            return gradients
        constraint = self._constraint_of(rows)
        allowed = constraint.project(gradients) if gradients.dim() == 2 else constraint.project_each(gradients)
        rounding = ROUNDING_ULPS * torch.finfo(gradients.dtype).eps
        is_zero = vector_norm(allowed, keepdim=True) <= rounding * vector_norm(gradients, keepdim=True)
        return torch.where(is_zero, 0.0, allowed)

    def random_directions(self, rows: Tensor, count: int, stream: torch.Generator) -> Tensor:
        """Return the allowed parts of random directions, the same for all rows, of unit length, `(R, count, n)`."""
        directions = torch.randn(count, self.origin.shape[1], generator=stream, dtype=torch.float64).to(self.origin)
        return unit_vectors(self.allow(rows, directions.expand(len(rows), -1, -1)))

    def logit_margin(self, rows: Tensor, points: Tensor) -> Tensor:
        """Return the logit margins of points `(R, n)`, positive on the near side, nan without scores."""
        return self._logit_margin(self.boundary.scores(self._to_samples(points)), rows)

    def logit_margin_and_gradient(self, rows: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logit margins of points `(R, n)`, and their gradients `(R, n)`."""
        y = self.y[rows]
        targets = None if self.targets is None else self.targets[rows]
        logit_margin, _, gradient = self.loss_and_gradient(
            rows, points, lambda z: compute_logit_margin(z.to(self.x.dtype), y, targets)
        )
        return logit_margin, gradient

    def loss_and_gradient(
        self, rows: Tensor, points: Tensor, loss: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the logit margins of points `(R, n)`, a loss of their scores, and its gradient `(R, n)`."""
        scores, values, gradient = self.boundary.scores_and_gradient(self._to_samples(points), loss)
        return self._logit_margin(scores, rows), values, flatten(gradient)

    def class_margins_and_gradients(
        self, rows: Tensor, points: Tensor, other_classes: int | Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the logit margin `(R,)`, and the classes, the class margins `(R, C)` and the gradients `(R, C, n)`.

        Without targets these are the margins `z_y - z_other` over `other_classes` (`(R, C)` classes, or the number of
        highest-scoring ones). With targets it is the one margin of the target class, C = 1.
        """
        if self.targets is not None:
            margin, gradient = self.logit_margin_and_gradient(rows, points)
            return margin, self.targets[rows, None], margin[:, None], gradient[:, None]
        scores, classes, margins, gradients = self.boundary.scores_and_class_gradients(
            self._to_samples(points), self.y[rows], other_classes
        )
        # Among classes that are masked out the sample's own may be listed; no step leads to any of them.
        margins = torch.where(classes == self.y[rows, None], torch.inf, margins.to(self.x.dtype))
        return self._logit_margin(scores, rows), classes, margins, gradients.flatten(2)

    def _logit_margin(self, scores: Tensor, rows: Tensor) -> Tensor:
        """Return the logit margins; a tie that the classifier resolves for the far side is negative, but tiny."""
        y = self.y[rows]
        targets = None if self.targets is None else self.targets[rows]
        logit_margin = compute_logit_margin(scores.to(self.x.dtype), y, targets)
        predicted = scores.argmax(1)
        is_far = predicted != y if targets is None else predicted == targets
        return torch.where((logit_margin == 0) & is_far, -torch.finfo(logit_margin.dtype).tiny, logit_margin)

    def _constraint_of(self, rows: Tensor) -> SubspaceConstraint:
        assert self.constraint is not None
        return self.constraint if len(rows) == len(self.x) else self.constraint.select(rows)

    def _to_samples(self, points: Tensor) -> Tensor:
        return points.reshape(len(points), *self.x.shape[1:])


@final
class SearchState:
    """The nearest adversarial point found so far from each sample, and the passes spent on it, in rows.

    Every query of a search goes through this object, which counts it; `affordable` tells which rows may make another.

    Attributes:
        points: `(B, n)`, the nearest adversarial points; the sample itself where there is none yet.
        distance: `(B,)`, their distances; `inf` where there is none yet.
        unrefined_distance: `(B,)`, the distances before the final refinement to the boundary.
        logit_margin: `(B,)`, at these points.
        initial_logit_margin: `(B,)`, at the samples.
        length_scale: `(B,)`, the distance of the linearized boundary without a constraint, or the width of the bounds.
        slope: `(B,)`, the derivative of the logit margin along the displacement at these points; 0 if unknown.
        passes: `(B,)`, forwards (.4 each) and backwards (.6 each) spent on the row.
        limit: `(B,)`, the passes that may be spent on the row.
        converged: `(B,)`, rows for which more passes would change little.
        has_scores: `(B,)`, false where the scores of the sample are nan.
        restart_ratio: `(B,)`, the distance over that of the first descent; nan where no other start was tried.
        decisions_only: true for a search without gradients.
        tie_distance: `(B,)`, points whose distances differ by no more are equally near, and the one of lowest logit
            margin is kept; 0 where the nearest one is.
    """

    FIELDS = (
        "points", "distance", "unrefined_distance", "logit_margin", "slope", "converged", "restart_ratio",
    )  # fmt: skip

    def __init__(self, problem: SearchProblem, max_passes: float | Tensor) -> None:
        self.problem = problem
        self.origin = problem.origin
        self.points = self.origin.clone()
        self.distance = self.origin.new_full((len(self.origin),), torch.inf)
        self.unrefined_distance = self.distance.clone()
        self.logit_margin = self.distance.clone()
        self.initial_logit_margin = torch.full_like(self.distance, torch.nan)
        self.length_scale = torch.ones_like(self.distance)
        self.slope = torch.zeros_like(self.distance)
        self.passes = torch.zeros_like(self.distance)
        self.limit = torch.zeros_like(self.distance) + max_passes
        self.converged = torch.zeros_like(self.distance, dtype=torch.bool)
        self.has_scores = torch.ones_like(self.converged)
        self.restart_ratio = torch.full_like(self.distance, torch.nan)
        self.decisions_only = False
        self.tie_distance = torch.zeros_like(self.distance)

    @property
    def found(self) -> Tensor:
        """`(B,)`, true where there is an adversarial point."""
        return torch.isfinite(self.distance)

    @property
    def status(self) -> Tensor:
        """`(B,)`: 0 converged, 1 max_passes reached, 2 no crossing, 3 no scores at the sample, 4 decisions only."""
        end = DECISIONS_ONLY if self.decisions_only else MAX_PASSES_REACHED
        status = torch.where(self.converged, CONVERGED, end).where(self.found, NO_CROSSING)
        return status.where(self.has_scores, NO_SCORES)

    @property
    def remaining(self) -> Tensor:
        """`(B,)`, the passes that are left."""
        return self.limit - self.passes

    @property
    def is_open(self) -> Tensor:
        """`(B,)`, true where the sample has scores and a nearer point is possible."""
        return self.has_scores & (self.distance > 0)

    def affordable(self, rows: Tensor, cost: float) -> Tensor:
        """Return those of the rows that may spend `cost` more passes."""
        return rows[self.remaining[rows] >= cost - PASSES_TOLERANCE]

    def affordable_classes(self, most: int, reserve: float = 0.0) -> int:
        """Return how many classes, at most `most`, a first query of the samples can linearize, with a reserve left."""
        remaining = float(self.remaining.min()) + PASSES_TOLERANCE - reserve - FORWARD_COST
        return max(0, min(most, int(remaining / BACKWARD_COST)))

    def query(self, rows: Tensor, points: Tensor, slope: Tensor | None = None) -> Tensor:
        """Return the logit margins of one point `(R, n)` for each of some rows, and keep those that are nearer."""
        self.passes[rows] += FORWARD_COST
        logit_margin = self.problem.logit_margin(rows, points)
        # The slope of the chord, where that at the point is unknown.
        chord = logit_margin - self.initial_logit_margin[rows]
        self.record(rows, points, logit_margin, chord if slope is None else slope)
        return logit_margin

    def query_gradient(self, rows: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logit margins of points `(R, n)` and the allowed parts of their gradients; keep nearer points."""
        self.passes[rows] += FORWARD_COST + BACKWARD_COST
        logit_margin, gradient = self.problem.logit_margin_and_gradient(rows, points)
        gradient = self.problem.allow(rows, gradient)
        self.record(rows, points, logit_margin, (gradient * (points - self.origin[rows])).sum(1))
        return logit_margin, gradient

    def query_loss(
        self, rows: Tensor, points: Tensor, loss: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return logit margins, a loss of the scores and its allowed gradient at points; keep nearer points."""
        self.passes[rows] += FORWARD_COST + BACKWARD_COST
        logit_margin, values, gradient = self.problem.loss_and_gradient(rows, points, loss)
        self.record(rows, points, logit_margin)
        return logit_margin, values, self.problem.allow(rows, gradient)

    def query_many(self, rows: Tensor, points: Tensor, with_gradient: bool = False) -> tuple[Tensor, Tensor | None]:
        """Query M points `(R, M, n)` for each of some rows, and keep the adversarial one of lowest margin if nearer.

        Returns:
            The logit margins `(R, M)`, infinite where there are no scores, and the allowed gradients `(R, M, n)`.
        """
        count = points.shape[1]
        self.passes[rows] += count * (FORWARD_COST + BACKWARD_COST * with_gradient)
        arguments = rows.repeat_interleave(count), points.flatten(0, 1)
        gradient = None
        if with_gradient:
            logit_margin, flat = self.problem.logit_margin_and_gradient(*arguments)
            gradient = self.problem.allow(rows, flat.reshape(points.shape))
        else:
            logit_margin = self.problem.logit_margin(*arguments)
        logit_margin = logit_margin.reshape(points.shape[:2]).nan_to_num(nan=torch.inf)
        lowest, index = logit_margin.min(1)
        self.record(rows, points.take_along_dim(index[:, None, None], 1).squeeze(1), lowest)
        return logit_margin, gradient

    def query_classes(
        self, rows: Tensor, points: Tensor, other_classes: int | Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return logit margins, classes, class margins and their full gradients at points; keep nearer points."""
        logit_margin, classes, margins, gradients = self.problem.class_margins_and_gradients(
            rows, points, other_classes
        )
        self.passes[rows] += FORWARD_COST + BACKWARD_COST * margins.shape[1]
        self.record(rows, points, logit_margin)
        return logit_margin, classes, margins, gradients

    def query_samples(self, other_classes: int) -> tuple[Tensor, Tensor, Tensor]:
        """Query the samples themselves: the first query of a search. One on the boundary is its own nearest point.

        Returns:
            The classes `(B, C)`, the class margins and their allowed gradients, as from `query_classes`.
        """
        rows = self.problem.all_rows
        first = self.problem.first_classes
        logit_margin, classes, margins, gradients = self.query_classes(
            rows, self.origin, other_classes if first is None else first[:, :other_classes]
        )
        self.start(logit_margin)
        linearized = (margins / dual_norm(gradients, self.problem.norm)).amin(1)
        bounds = self.problem.bounds
        width = 1.0 if bounds is None else float(torch.as_tensor(bounds.high - bounds.low).max())
        self.length_scale = torch.where(torch.isfinite(linearized) & (linearized > 0), linearized, width)
        return classes, margins, self.problem.allow(rows, gradients)

    def start(self, logit_margin: Tensor) -> None:
        """Take the logit margins `(B,)` of the samples. One on the boundary is its own nearest point."""
        self.initial_logit_margin = logit_margin
        self.has_scores = ~logit_margin.isnan()
        is_tie = (logit_margin == 0) | (logit_margin == -torch.finfo(logit_margin.dtype).tiny)
        self.distance[is_tie] = 0.0
        self.logit_margin[is_tie] = 0.0
        self.converged |= self.distance == 0

    def record(self, rows: Tensor, points: Tensor, logit_margin: Tensor, slope: Tensor | None = None) -> None:
        """Keep the points `(R, n)` that are adversarial and nearer than all before, or equally near and deeper."""
        distance = norm_of(points - self.origin[rows], self.problem.norm)
        # A tie counts where there is nothing better: along an open set of ties, up to its edge.
        has_better = self.found[rows] & (self.logit_margin[rows] != 0)
        is_adversarial = (logit_margin < 0) | ((logit_margin == 0) & ~has_better)
        tie = self.tie_distance[rows]
        is_deeper = (tie > 0) & (distance <= self.distance[rows] + tie) & (logit_margin < self.logit_margin[rows])
        nearer = is_adversarial & ((distance < self.distance[rows] - tie) | is_deeper)
        self.points[rows] = torch.where(nearer[:, None], points, self.points[rows])
        slope = torch.zeros_like(logit_margin) if slope is None else slope
        for best, new in ((self.distance, distance), (self.logit_margin, logit_margin), (self.slope, slope)):
            best[rows] = torch.where(nearer, new, best[rows])

    def absorb(self, rows: Tensor, other: "SearchState") -> None:
        """Keep the nearer points of another search of some of the samples, each at most once; add its passes."""
        nearer = torch.nonzero(other.distance < self.distance[rows]).squeeze(1)
        for name in self.FIELDS:
            getattr(self, name)[rows[nearer]] = getattr(other, name)[nearer]
        self.has_scores[rows] &= other.has_scores
        self.decisions_only |= other.decisions_only
        self.passes[rows] += other.passes

    def refine(self, limit: Tensor, max_forwards: int, tolerance: float) -> None:
        """Move each best point along its ray towards the crossing, as close as its passes allow.

        Args:
            limit: `(B,)`, the passes that may be spent on a row by the end.
            max_forwards: the maximum number of forwards of a row.
            tolerance: the distance from the crossing that suffices, as a fraction of that from the sample.
        """
        steps = ((limit - self.passes + PASSES_TOLERANCE) / FORWARD_COST).floor().clamp(0, max_forwards).long()
        rows = torch.nonzero(self.found & self.is_open & (steps > 0)).squeeze(1)
        if len(rows) == 0:
            return
        origin = self.origin[rows]
        ray = self.points[rows] - origin
        slope = self.slope[rows]
        tiny = torch.finfo(slope.dtype).tiny
        side_of_ties = torch.where(self.logit_margin[rows] == 0, -tiny, tiny).to(slope)

        def logit_margin(r: Tensor, t: Tensor) -> Tensor:
            value = self.query(rows[r], origin[r] + t[:, None] * ray[r], t * slope[r])
            return torch.where(value == 0, side_of_ties[r], value)

        near = self.initial_logit_margin[rows]
        tolerance = max(tolerance, ROOT_TOLERANCE.get(ray.dtype, 1e-5))
        find_roots(logit_margin, near, self.logit_margin[rows], steps[rows], tolerance, slope)

    def finish(self, max_passes: float) -> "SearchState":
        """Refine the best points with the passes that are left, check all of them together, and return the state.

        A point that is on the boundary to rounding may change sides when the other samples of its batch change. It is
        then moved outwards by a few units of rounding, and farther where it fails the check there as well.
        """
        self.unrefined_distance = self.distance.clone()
        self.limit = torch.full_like(self.limit, max_passes)
        # A search with passes to spare leaves some for the points that fail.
        reserve = len(CHECK_LENGTHENINGS) * FORWARD_COST
        limit = torch.where(self.remaining > 2 * reserve, self.limit - reserve, self.limit - CHECK_PASSES)
        # Along the ray the number of changed coordinates stays the same.
        if self.problem.norm != "l0":
            self.refine(limit, MAX_REFINEMENT_FORWARDS, 0.0)
        self.check()
        return self

    def check(self) -> None:
        """Query all best points in one batch, and move those outwards that are not adversarial there.

        A point with a logit margin of zero whose prediction is still that of the sample is moved outwards too; where
        that does not help, it stays as it is. One with a positive logit margin was adversarial in the batch in which it
        was found: unless a check farther out succeeds, it is moved by twice what the slope of the margin asks for.
        """
        rows = self.affordable(torch.nonzero(self.found & (self.distance > 0)).squeeze(1), FORWARD_COST)
        origin = self.origin[rows]
        points = self.points[rows]
        ray = points - origin
        rounding = torch.finfo(ray.dtype).eps * origin.abs().amax(1, keepdim=True) / ray.norm(dim=1, keepdim=True)
        # A point that can be checked only once is moved outwards first.
        has_one_check = self.remaining[rows] < 2 * FORWARD_COST - PASSES_TOLERANCE
        outwards = self.problem.confine(rows, origin + (1 + 4 * rounding) * ray)
        points = torch.where(has_one_check[:, None], outwards, points)
        pending = torch.arange(len(rows), device=rows.device)
        for number, lengthening in enumerate(CHECK_LENGTHENINGS):
            if number > 0:
                factor = 1 + lengthening + 4.0 ** (number - 1) * rounding[pending]
                points = self.problem.confine(rows[pending], origin[pending] + factor * ray[pending])
            self.passes[rows[pending]] += FORWARD_COST
            logit_margin = self.problem.logit_margin(rows[pending], points)
            passed = logit_margin < 0
            accepted = passed | (logit_margin == 0) if number == 0 else passed
            self._replace(rows[pending[accepted]], points[accepted])
            if number == 0:
                failed = ~accepted
                slope = self.slope[rows[failed]]
                excess = torch.where(slope < 0, -2 * logit_margin[failed] / slope, torch.inf).nan_to_num(torch.inf)
                factor = 1 + excess.clamp(max=CHECK_LENGTHENINGS[-1])[:, None] + 4 * rounding[failed]
                self._replace(rows[failed], self.problem.confine(rows[failed], origin[failed] + factor * ray[failed]))
            pending = pending[~passed]
            pending = pending[self.remaining[rows[pending]] >= FORWARD_COST - PASSES_TOLERANCE]
            if len(pending) == 0:
                return

    def _replace(self, rows: Tensor, points: Tensor) -> None:
        self.points[rows] = points
        self.distance[rows] = norm_of(points - self.origin[rows], self.problem.norm)


class MinimumNormAttack(Protocol):
    """A search for a point on the far side of the boundary that is near the sample."""

    def __call__(self, problem: SearchProblem, max_passes: float) -> SearchState:
        """Search from each of the samples.

        Args:
            problem: the question.
            max_passes: the maximum number of passes spent on one sample, restarts, refinement and check included.
        """
        ...


def start_search(problem: SearchProblem, max_passes: float, refinement_forwards: int = 3) -> SearchState:
    """Return the state of a new search, whose limit leaves the passes that `SearchState.finish` needs.

    Args:
        problem: the question.
        max_passes: the maximum number of passes spent on one sample.
        refinement_forwards: the number of forwards that are kept for the final refinement.
    """
    return SearchState(problem, max_passes - CHECK_PASSES - refinement_forwards * FORWARD_COST)


def require_l2_constraint(problem: SearchProblem, name: str) -> None:
    """Raise an error if a subspace is to be searched in another norm than l2, whose steps would leave it.

    Raises:
        SceneError: with the name of the search.
    """
    if problem.constraint is not None and problem.norm != "l2":
        raise SceneError(f"{name} along a subspace is a search in l2, and norm is {problem.norm}; choose norm: l2")

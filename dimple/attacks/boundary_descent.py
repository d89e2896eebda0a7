"""Descent along the boundary towards the sample, one for each sample: the iteration of `closest_point`."""

import copy
import math
from typing import final

import torch
from torch import Tensor

from dimple.attacks.base import logit_margins_and_gradients
from dimple.attacks.projections import dual_norm, smallest_step
from dimple.attacks.subspace_constraint import SubspaceConstraint
from dimple.boundary.boundary import BACKWARD_COST, FORWARD_COST, Boundary
from dimple.tensors import flatten
from dimple.tensors import norm as norm_of

# The weight of earlier gradients in the averaged gradient. An l-infinity step moves all coordinates by the signs of
# their gradients, and without averaging the coordinates with small gradients would change sign at every kink.
GRADIENT_MOMENTUM = {"l1": 0.0, "l2": 0.0, "linf": 0.4}
# The fraction of the first stage in which an l2 descent within bounds takes l-infinity steps. If the first layer has
# thresholds, as in networks trained against l-infinity attacks, a change that is spread over all coordinates passes
# them, and a change of the same l2 length in few coordinates does not. Without bounds there are no such steps, so that
# the result does not depend on a rotation of the input space.
LINF_STEP_FRACTION = 0.45
# A stage with fewer steps has no l-infinity steps: it could not return from the points to which they lead.
MIN_STEPS_FOR_LINF = 8
# The projection weights of a descent that starts from a candidate point are multiplied by this factor, so that it stays
# in the part of the region where it starts.
RESTART_WEIGHT_FACTOR = 0.3
# A descent that has found no crossing multiplies its displacement from the sample by this factor.
EXTENSION_FACTOR = 2.0
# The distance beyond the boundary at which a step aims, as a fraction of the displacement. It grows after each query
# that is not adversarial and shrinks after each that is.
INITIAL_OVERSHOOT = 0.1
MIN_OVERSHOOT = 5e-4
MAX_OVERSHOOT = 0.1
OVERSHOOT_GROWTH = 1.5
OVERSHOOT_DECAY = 0.75
# The maximum and the growth while no adversarial point has been found.
MAX_OVERSHOOT_UNFOUND = 1.0
OVERSHOOT_GROWTH_UNFOUND = 4.0
# The overshoot of the step that confirms convergence.
FINE_OVERSHOOT = 1e-6
# When the two solutions of a step differ by less than this fraction of the displacement, the next step has the fine
# overshoot; the descent has converged if they still differ by less after it.
CONVERGENCE_TOLERANCE = 1e-6
# The maximum number of forwards of one refinement.
MAX_REFINEMENT_STEPS = 20
# A refinement ends when the remaining logit margin is this fraction of its linear change along the ray.
REFINEMENT_TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-11}
# Allowance for rounding when sums of costs are compared with `max_passes`.
PASSES_TOLERANCE = 1e-4
# The number of steps after which converged rows leave the batch: each check synchronizes a GPU.
STEPS_BETWEEN_CHECKS = 4
# The weight of the projection in the first and the last step of a stage; it falls along a cosine between them.
INITIAL_PROJECTION_WEIGHT = {"l1": 0.5, "l2": 0.5, "linf": 0.6}
FINAL_PROJECTION_WEIGHT = 0.03
# The number of steps of the first stage; each further stage starts from the best point and has twice as many.
FIRST_STAGE_STEPS = 36
ALL_ROWS = slice(None)
# The attributes with one row for each sample: those that define the problem, and those that the descent changes.
PROBLEM_ATTRIBUTES = ("origin", "y", "targets", "initial_logit_margin")
STATE_ATTRIBUTES = (
    "current",
    "points",
    "distance",
    "logit_margin",
    "slope",
    "passes",
    "converged",
    "overshoot",
    "averaged_gradient",
)


@final
class BoundaryDescent:
    """The state of a batch of descents, in rows `(B, n)`; each row has its own best point, cost and convergence.

    Attributes:
        points: the nearest adversarial point of all queries.
        distance: its distance from the sample; `inf` while there is none.
        logit_margin: the logit margin at that point.
        passes: forwards (.4 each) and backwards (.6 each) spent on the row.
        converged: rows that more steps would not bring nearer.
    """

    def __init__(
        self,
        boundary: Boundary,
        x: Tensor,
        y: Tensor,
        norm: str,
        constraint: SubspaceConstraint | None = None,
        targets: Tensor | None = None,
    ) -> None:
        self.boundary = boundary
        self.shape = x.shape
        self.norm = norm
        self.constraint = constraint
        self.origin = flatten(x)
        self.y = y
        self.targets = targets
        self.bounds = boundary.bounds if constraint is None else None
        self.current = self.origin.clone()
        self.points = self.origin.clone()
        self.distance = self.origin.new_full((len(x),), torch.inf)
        self.logit_margin = torch.full_like(self.distance, torch.inf)
        # The derivative of the logit margin along the displacement from the sample, at the best point.
        self.slope = torch.zeros_like(self.distance)
        self.passes = torch.zeros_like(self.distance)
        self.converged = torch.zeros_like(self.y, dtype=torch.bool)
        self.overshoot = torch.full_like(self.distance, INITIAL_OVERSHOOT)
        self.weight_factor = 1.0
        self.initial_logit_margin = torch.full_like(self.distance, torch.nan)
        self.averaged_gradient = torch.zeros_like(self.origin)
        # The norm that a step minimizes; distances are always in `norm`.
        self.step_norm = norm
        self.starts_in_linf = norm == "l2" and self.bounds is not None

    def start_from_sample(self, candidate_classes: int) -> None:
        """Step to the nearest of the linearized boundaries of the highest-scoring `candidate_classes`."""
        logit_margin, class_margins, gradients = logit_margins_and_gradients(
            self.boundary, self._to_samples(self.current), self.y, candidate_classes, self.targets
        )
        self.passes += FORWARD_COST + BACKWARD_COST * class_margins.shape[1]
        flat = gradients.flatten(2)
        if self.constraint is not None:
            flat = self.constraint.project_each(flat)
        tiny = torch.finfo(flat.dtype).tiny
        nearest = (class_margins / dual_norm(flat, self.norm).clamp(min=tiny)).argmin(1)
        rows = torch.arange(len(nearest), device=nearest.device)
        step = smallest_step(self.origin, flat[rows, nearest], -class_margins[rows, nearest], self.norm, self.bounds)
        self._record_query(self.current, logit_margin, torch.zeros_like(logit_margin))
        self.converged |= logit_margin <= 0
        self.initial_logit_margin = logit_margin
        self.current = self._clip(self.origin + (1 + INITIAL_OVERSHOOT) * step)

    def start_from_candidates(self, offsets: Tensor, initial_logit_margin: Tensor) -> None:
        """Start from the best of M candidate points, at the cost of one forward each.

        The best is the nearest adversarial candidate, or, if none is adversarial, that with the lowest logit margin.

        Args:
            offsets: `(B, M, n)` displacements of the candidates from the sample.
            initial_logit_margin: `(B,)`, of the samples, as the descent from them has found it.
        """
        self.weight_factor = RESTART_WEIGHT_FACTOR
        self.initial_logit_margin = initial_logit_margin
        self.starts_in_linf = False
        lowest_rank = torch.full_like(self.distance, torch.inf)
        for offset in offsets.unbind(1):
            step = offset if self.constraint is None else self.constraint.project(offset)
            query = self._clip(self.origin + step)
            logit_margin = self._query_logit_margin(query)
            # Adversarial candidates have negative ranks, the nearest the lowest.
            rank = torch.where(logit_margin <= 0, -1 / norm_of(query - self.origin, self.norm), logit_margin)
            self.current = torch.where((rank < lowest_rank)[:, None], query, self.current)
            lowest_rank = torch.minimum(rank, lowest_rank)

    def run(self, max_steps: int, refinement_steps: int) -> Tensor:
        """Take up to `max_steps` steps, each a forward and a backward; converged rows leave the batch.

        Every stage ends with a refinement as if it were the last, so that a longer descent is never farther.

        Args:
            max_steps: the maximum number of steps of all stages together.
            refinement_steps: the number of forwards reserved for the end of each stage.

        Returns:
            Mask `(B,)` of the rows whose best point is as close to the crossing on its ray as rounding allows.
        """
        on_boundary = torch.zeros_like(self.converged)
        max_passes = float(self.passes[0])
        for stage, stage_steps in enumerate(step_schedule(max_steps)):
            max_passes += stage_steps * (FORWARD_COST + BACKWARD_COST) + refinement_steps * FORWARD_COST
            if stage > 0:
                self.current = torch.where(torch.isfinite(self.distance)[:, None], self.points, self.current)
            for start in range(0, stage_steps, STEPS_BETWEEN_CHECKS):
                rows = torch.nonzero(~self.converged).squeeze(1)
                if len(rows) == 0:
                    break
                subset = self._select(rows)
                for step in range(start, min(start + STEPS_BETWEEN_CHECKS, stage_steps)):
                    projection_weight = self._schedule_step(stage, step, stage_steps)
                    subset.step_norm = self.step_norm
                    subset._step(self.weight_factor * projection_weight)
                self._update(rows, subset)
            self._extend_to_crossing(max_passes)
            on_boundary = self._refine(max_passes)
        return on_boundary

    def _select(self, rows: Tensor) -> "BoundaryDescent":
        """Return the descents of some rows as a copy that `_update` writes back; of all rows, this object itself."""
        if len(rows) == len(self.origin):
            return self
        subset = copy.copy(self)
        for name in (*PROBLEM_ATTRIBUTES, *STATE_ATTRIBUTES):
            values = getattr(self, name)
            setattr(subset, name, None if values is None else values[rows])
        subset.constraint = None if self.constraint is None else self.constraint.select(rows)
        return subset

    def _update(self, rows: Tensor, subset: "BoundaryDescent") -> None:
        """Copy the state of some rows back from `subset`."""
        if subset is not self:
            for name in STATE_ATTRIBUTES:
                getattr(self, name)[rows] = getattr(subset, name)

    def _schedule_step(self, stage: int, step: int, stage_steps: int) -> float:
        """Set the norm of one step of a stage, and return its projection weight."""
        linf_steps = (
            int(LINF_STEP_FRACTION * stage_steps)
            if stage == 0 and self.starts_in_linf and stage_steps >= MIN_STEPS_FOR_LINF
            else 0
        )
        self.step_norm = "linf" if step < linf_steps else self.norm
        if stage == 0 and step in {0, linf_steps}:
            return 1.0
        if step < linf_steps:
            return cosine_projection_weight(step, linf_steps, self.step_norm)
        return cosine_projection_weight(step - linf_steps, stage_steps - linf_steps, self.step_norm)

    def _step(self, projection_weight: float) -> None:
        """Query the logit margin and its gradient at the current points, and move them."""
        logit_margin, gradient = self.boundary.logit_margin_and_gradient(
            self._to_samples(self.current), self.y, self.targets
        )
        self.passes += FORWARD_COST + BACKWARD_COST
        gradient = flatten(gradient)
        if self.constraint is not None:
            gradient = self.constraint.project(gradient)
        momentum = GRADIENT_MOMENTUM[self.step_norm]
        if momentum > 0:
            weight = torch.where(self.averaged_gradient.any(1, keepdim=True), momentum, 0.0).to(gradient)
            gradient = self.averaged_gradient = torch.lerp(gradient, self.averaged_gradient, weight)
        displacement = self.current - self.origin
        length = norm_of(displacement, self.step_norm)
        slope = (gradient * displacement).sum(1)

        is_adversarial = logit_margin <= 0
        unfound = torch.isinf(self.distance) & ~is_adversarial
        growth = torch.where(is_adversarial, OVERSHOOT_DECAY, OVERSHOOT_GROWTH).to(logit_margin)
        overshoot = self.overshoot * torch.where(unfound, OVERSHOOT_GROWTH_UNFOUND, growth)
        max_overshoot = torch.where(unfound, MAX_OVERSHOOT_UNFOUND, MAX_OVERSHOOT).to(logit_margin)
        overshoot = torch.minimum(overshoot.clamp(min=MIN_OVERSHOOT), max_overshoot)
        is_fine = self.overshoot == FINE_OVERSHOOT
        overshoot = torch.where(is_fine, FINE_OVERSHOOT, overshoot)
        reduction = logit_margin + overshoot * length * dual_norm(gradient, self.step_norm)

        # Displacements to the points of the linearized boundary nearest to the current point and to the sample.
        newton = displacement + smallest_step(self.current, gradient, -reduction, self.step_norm, self.bounds)
        projection = smallest_step(self.origin, gradient, slope - reduction, self.step_norm, self.bounds)
        difference = projection - newton
        tiny = torch.finfo(logit_margin.dtype).tiny
        relative_difference = norm_of(difference, self.step_norm) / length.clamp(min=tiny)
        self._record_query(self.current, logit_margin, slope)
        is_stationary = is_adversarial & (relative_difference <= CONVERGENCE_TOLERANCE) & (slope < 0)
        if self.step_norm != self.norm:
            is_stationary = torch.zeros_like(is_stationary)
        self.converged |= is_stationary & (self.overshoot < FINE_OVERSHOOT)
        # Half of the fine overshoot marks rows whose next query results from a fine step.
        self.overshoot = torch.where(is_fine, FINE_OVERSHOOT / 2, torch.where(is_stationary, FINE_OVERSHOOT, overshoot))
        # Where the logit margin rises outwards, the point has passed the middle of a thin region of the other class,
        # and the gradient is that of the region's far side.
        is_past_middle = is_adversarial & (slope >= 0)
        step = torch.where(is_past_middle[:, None], displacement / 2, newton + projection_weight * difference)
        self.current = self._clip(self.origin + step)

    def _record_query(
        self, query: Tensor, logit_margin: Tensor, slope: Tensor, rows: Tensor | slice = ALL_ROWS
    ) -> None:
        """Keep the queries that are adversarial and nearer than all before."""
        distance = norm_of(query - self.origin[rows], self.norm)
        better = (logit_margin <= 0) & (distance < self.distance[rows])
        self.points[rows] = torch.where(better[:, None], query, self.points[rows])
        for best, new in ((self.distance, distance), (self.logit_margin, logit_margin), (self.slope, slope)):
            best[rows] = torch.where(better, new, best[rows])

    def _extend_to_crossing(self, max_passes: float) -> None:
        """Evaluate the point of the last step; rows without a crossing step on from farther out while passes remain.

        Args:
            max_passes: the maximum number of passes of a row so far, this stage included.
        """
        self._evaluate(torch.nonzero(~self.converged).squeeze(1), max_passes)
        while True:
            unfound = torch.isinf(self.distance) & (
                self.passes + FORWARD_COST + BACKWARD_COST <= max_passes + PASSES_TOLERANCE
            )
            rows = torch.nonzero(unfound).squeeze(1)
            if len(rows) == 0:
                return
            subset = self._select(rows)
            subset.current = subset._clip(subset.origin + EXTENSION_FACTOR * (subset.current - subset.origin))
            subset._step(FINAL_PROJECTION_WEIGHT)
            self._update(rows, subset)
            self._evaluate(rows, max_passes)

    def _evaluate(self, rows: Tensor, max_passes: float) -> None:
        """Evaluate the current points of those rows for which a forward is within `max_passes`."""
        rows = rows[self.passes[rows] + FORWARD_COST <= max_passes + PASSES_TOLERANCE]
        if len(rows) == 0:
            return
        query = self.current[rows]
        logit_margin = self._query_logit_margin(query, rows)
        # The slope of the chord: that at the crossing is unknown, and the refinement improves on it.
        self._record_query(query, logit_margin, logit_margin - self.initial_logit_margin[rows], rows)

    def _query_logit_margin(self, query: Tensor, rows: Tensor | slice = ALL_ROWS) -> Tensor:
        """Return the logit margin at one point for each of some rows, and add the cost."""
        self.passes[rows] += FORWARD_COST
        return self.boundary.logit_margin(
            self._to_samples(query), self.y[rows], None if self.targets is None else self.targets[rows]
        )

    def _refine(self, max_passes: float) -> Tensor:
        """Move each best point along its ray as close to the crossing as rounding and `max_passes` allow.

        Secant steps from the far side, and false position with the Illinois rule once the crossing is bracketed.

        Args:
            max_passes: the maximum number of passes of a row so far; a row without passes for a forward stays as it is.

        Returns:
            Mask `(B,)` of the rows that are as close as rounding allows.
        """
        self.slope = torch.where(self.slope < 0, self.slope, self.logit_margin - self.initial_logit_margin)
        ray = self.points - self.origin
        slope = self.slope.clone()
        tolerance = REFINEMENT_TOLERANCE[torch.float64 if ray.dtype == torch.float64 else torch.float32]
        # Positions on the ray, and the values there; the value of the near side is nan until a point of it is known.
        low = torch.zeros_like(self.distance)
        high = torch.ones_like(self.distance)
        low_value = torch.full_like(low, torch.nan)
        high_value = self.logit_margin.clone()
        last_side = torch.zeros_like(low)
        for _ in range(MAX_REFINEMENT_STEPS):
            affordable = self.passes + FORWARD_COST <= max_passes + PASSES_TOLERANCE
            rows = torch.nonzero(self._is_improvable(tolerance) & (high - low > tolerance) & affordable).squeeze(1)
            if len(rows) == 0:
                break
            a = low[rows]
            b = high[rows]
            f_a = low_value[rows]
            f_b = high_value[rows]
            t = torch.where(f_a.isnan(), b - f_b / slope[rows], a + (b - a) * f_a / (f_a - f_b)) + tolerance
            t = torch.where((t > a) & (t < b), t, (a + b) / 2)
            query = self.origin[rows] + t[:, None] * ray[rows]
            f = self._query_logit_margin(query, rows)
            self._record_query(query, f, self.slope[rows], rows)
            far = f <= 0
            # The secant of two points on the far side is a better slope.
            slope[rows] = torch.where(far & (t < b), (f_b - f) / (b - t), slope[rows])
            halve = torch.where(far == (last_side[rows] < 0), 0.5, 1.0).where(last_side[rows] != 0, 1.0)
            low[rows] = torch.where(far, a, t)
            high[rows] = torch.where(far, t, b)
            low_value[rows] = torch.where(far, halve * f_a, f)
            high_value[rows] = torch.where(far, f, halve * f_b)
            last_side[rows] = torch.where(far, -1.0, 1.0).to(t)
        is_refined = ~self._is_improvable(tolerance) | (high - low <= tolerance)
        return torch.isfinite(self.distance) & is_refined & (self.slope < 0)

    def _is_improvable(self, tolerance: float) -> Tensor:
        """Return the mask of rows that a step along the ray would bring nearer."""
        is_open = torch.isfinite(self.distance) & (self.distance > 0) & (self.slope < 0)
        return is_open & (self.logit_margin < 2 * tolerance * self.slope)

    def _clip(self, points: Tensor) -> Tensor:
        return points if self.bounds is None else self.bounds.clamp(points)

    def _to_samples(self, rows: Tensor) -> Tensor:
        return rows.reshape(len(rows), *self.shape[1:])


def step_schedule(steps: int) -> list[int]:
    """Return the number of steps of each stage; more steps extend the last stage or add stages after it.

    Example:
        >>> step_schedule(20), step_schedule(96)
        ([20], [36, 60])
    """
    lengths: list[int] = []
    while steps > 0:
        lengths.append(min(steps, FIRST_STAGE_STEPS * 2 ** len(lengths)))
        steps -= lengths[-1]
    return lengths


def cosine_projection_weight(step: int, steps: int, norm: str) -> float:
    """Return the weight of the projection in one step of a stage; it decreases, which averages over the kinks.

    Args:
        step: the number of the step in the stage, from 0.
        steps: the number of steps of the stage.
        norm: `l1`, `l2` or `linf`, the norm that the step minimizes.
    """
    return (
        FINAL_PROJECTION_WEIGHT
        + (INITIAL_PROJECTION_WEIGHT[norm] - FINAL_PROJECTION_WEIGHT) * (1 + math.cos(math.pi * step / steps)) / 2
    )

"""Descent along the boundary towards the sample, one for each sample: the iteration of `closest_point`."""

import math
from typing import final

import torch
from torch import Tensor

from dimple.attacks.projections import dual_norm, smallest_step
from dimple.attacks.search import PASSES_TOLERANCE, SearchState
from dimple.boundary.boundary import BACKWARD_COST, FORWARD_COST
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
# A descent that has found no crossing multiplies its displacement from the sample by this factor.
EXTENSION_FACTOR = 2.0
# The same without the passes for another step: the point farther out is then evaluated as it is.
LAST_EXTENSION_FACTOR = 4.0
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
# The weight of the projection in the first and the last step of a stage; it falls along a cosine between them.
INITIAL_PROJECTION_WEIGHT = {"l1": 0.5, "l2": 0.5, "linf": 0.6}
FINAL_PROJECTION_WEIGHT = 0.03
# The number of steps of the first stage; each further stage starts from the best point and has twice as many.
FIRST_STAGE_STEPS = 36
# With fewer passes than the first number of a pair, a descent keeps the second number of forwards for the refinement
# at the end of each stage.
REFINEMENT_FORWARDS = ((7.5, 4), (14.5, 5), (math.inf, 3))
# A refinement of a descent has at most this number of forwards, and ends this near to the crossing, as a fraction of
# the distance. At a tolerance near rounding, its cost and so all that follows would depend on the place of the origin.
MAX_REFINEMENT_FORWARDS = 20
REFINEMENT_TOLERANCE = 1e-7
# The maximum number of forwards of a bisection from a point beyond the boundary where the logit margin has no slope.
MAX_RETURN_FORWARDS = 10
STEP_COST = FORWARD_COST + BACKWARD_COST


@final
class BoundaryDescent:
    """A batch of descents that share a state of search; each row has its own best point, cost and convergence.

    Args:
        state: the state of the search.
    """

    def __init__(self, state: SearchState) -> None:
        self.state = state
        self.problem = state.problem
        self.current = state.origin.clone()
        self.overshoot = torch.full_like(state.distance, INITIAL_OVERSHOOT)
        self.averaged_gradient = torch.zeros_like(state.origin)
        self.weight_factor = 1.0
        # Rows without a crossing after this number of steps stop.
        self.max_steps_unfound = math.inf
        self.starts_in_linf = self.problem.norm == "l2" and self.problem.bounds is not None
        # Rows that have no direction to move in.
        self.is_stuck = ~state.is_open
        forwards = torch.zeros_like(state.limit)
        for limit, count in reversed(REFINEMENT_FORWARDS):
            forwards = torch.where(state.limit < limit, count, forwards)
        self.refinement_cost = FORWARD_COST * forwards

    def start_from_samples(self, candidate_classes: int) -> None:
        """Step to the nearest of the linearized boundaries of the highest-scoring `candidate_classes`."""
        _, class_margins, gradients = self.state.query_samples(candidate_classes)
        tiny = torch.finfo(gradients.dtype).tiny
        nearest = (class_margins / dual_norm(gradients, self.problem.norm).clamp(min=tiny)).argmin(1)
        rows = self.problem.all_rows
        gradient = gradients[rows, nearest]
        origin = self.state.origin
        step = smallest_step(origin, gradient, -class_margins[rows, nearest], self.problem.norm, self.problem.bounds)
        is_usable = torch.isfinite(class_margins[rows, nearest]) & gradient.any(1)
        self.is_stuck = ~self.state.is_open | ~is_usable
        moved = self.problem.confine(rows, origin + (1 + INITIAL_OVERSHOOT) * step)
        self.current = torch.where(self.is_stuck[:, None], origin, moved)

    def start_from_candidates(self, offsets: Tensor, max_forwards: Tensor, weight_factor: float) -> None:
        """Start from the best of M candidate points, at the cost of one forward each.

        The best is the nearest adversarial candidate, or, if none is adversarial, that with the lowest logit margin. An
        adversarial candidate without a slope is moved to the crossing on its ray first.

        Args:
            offsets: `(B, M, n)` displacements of the candidates from the sample.
            max_forwards: `(B,)`, the number of candidates that a row may query.
            weight_factor: the factor of the weights of the projection.
        """
        self.weight_factor = weight_factor
        state = self.state
        lowest_rank = torch.full_like(state.distance, torch.inf)
        for number, offset in enumerate(offsets.unbind(1)):
            rows = torch.nonzero(state.is_open & (number < max_forwards)).squeeze(1)
            rows = state.affordable(rows, FORWARD_COST)
            query = self.problem.confine(rows, state.origin[rows] + offset[rows])
            logit_margin = state.query(rows, query)
            # Adversarial candidates have negative ranks, the nearest the lowest.
            distance = norm_of(query - state.origin[rows], self.problem.norm)
            rank = torch.where(logit_margin <= 0, -1 / distance, logit_margin)
            lower = rank < lowest_rank[rows]
            self.current[rows] = torch.where(lower[:, None], query, self.current[rows])
            lowest_rank[rows] = torch.where(lower, rank, lowest_rank[rows])
        self.is_stuck = ~state.is_open | torch.isinf(lowest_rank)
        self._return_to_crossing(torch.nonzero(state.found & ~torch.isfinite(state.logit_margin)).squeeze(1))

    def run(self) -> None:
        """Descend until the rows converge or their passes are spent.

        Every stage ends with a refinement as if it were the last, so that a longer descent is never farther.
        """
        state = self.state
        stage = 0
        while True:
            affordable = (state.remaining - self.refinement_cost + PASSES_TOLERANCE).div(STEP_COST).floor()
            stage_steps = affordable.clamp(0, FIRST_STAGE_STEPS * 2**stage)
            is_last = affordable <= stage_steps
            limit = state.passes + stage_steps * STEP_COST + self.refinement_cost
            limit = torch.where(is_last, state.limit, limit)
            if stage > 0:
                self.current = torch.where(state.found[:, None], state.points, self.current)
            linf_steps = torch.zeros_like(stage_steps)
            if stage == 0 and self.starts_in_linf:
                linf_steps = (LINF_STEP_FRACTION * stage_steps).floor()
                linf_steps = torch.where(stage_steps >= MIN_STEPS_FOR_LINF, linf_steps, 0.0)
            self._run_stage(stage_steps, linf_steps, is_first=stage == 0)
            self._extend_to_crossing(limit)
            state.refine(limit, MAX_REFINEMENT_FORWARDS, REFINEMENT_TOLERANCE)
            stage += 1
            if not bool((self._is_active() & (state.remaining >= self.refinement_cost + STEP_COST)).any()):
                return

    def _is_active(self) -> Tensor:
        return self.state.is_open & ~self.state.converged & ~self.is_stuck

    def _run_stage(self, stage_steps: Tensor, linf_steps: Tensor, is_first: bool) -> None:
        """Take the steps of one stage, whose numbers `(B,)` differ from row to row; the first are l-infinity steps."""
        for step in range(int(stage_steps.max())):
            if step == self.max_steps_unfound:
                self.is_stuck |= ~self.state.found
            rows = torch.nonzero(self._is_active() & (step < stage_steps)).squeeze(1)
            is_linf = step < linf_steps[rows]
            for norm, part in (("linf", rows[is_linf]), (self.problem.norm, rows[~is_linf])):
                if len(part) == 0:
                    continue
                begin = 0.0 if norm != self.problem.norm else linf_steps[part]
                end = linf_steps[part] if norm != self.problem.norm else stage_steps[part]
                weight = cosine_projection_weight((step - begin) / (end - begin), norm)
                is_start = torch.zeros_like(weight) + step == begin
                weight = torch.where(is_start, 1.0, weight) if is_first else weight
                self._step(part, self.weight_factor * weight, norm)

    def _step(self, rows: Tensor, projection_weight: Tensor, norm: str) -> None:
        """Query the logit margin and its gradient at the current points, and move them."""
        state = self.state
        origin = state.origin[rows]
        current = self.current[rows]
        logit_margin, gradient = state.query_gradient(rows, current)
        is_usable = torch.isfinite(logit_margin) & gradient.any(1)
        is_adversarial = logit_margin <= 0
        logit_margin = torch.where(is_usable, logit_margin, 0.0)
        momentum = GRADIENT_MOMENTUM[norm]
        if momentum > 0:
            averaged = self.averaged_gradient[rows]
            gradient = torch.lerp(
                gradient, averaged, torch.where(averaged.any(1, keepdim=True), momentum, 0.0).to(gradient)
            )
            self.averaged_gradient[rows] = gradient
        displacement = current - origin
        length = norm_of(displacement, norm)
        slope = (gradient * displacement).sum(1)

        unfound = torch.isinf(state.distance[rows])
        overshoot, is_fine = self._update_overshoot(rows, is_adversarial)
        reduction = logit_margin + overshoot * length * dual_norm(gradient, norm)

        # Displacements to the points of the linearized boundary nearest to the current point and to the sample.
        newton = displacement + smallest_step(current, gradient, -reduction, norm, self.problem.bounds)
        projection = smallest_step(origin, gradient, slope - reduction, norm, self.problem.bounds)
        difference = projection - newton
        tiny = torch.finfo(logit_margin.dtype).tiny
        is_parallel = norm_of(difference, norm) <= CONVERGENCE_TOLERANCE * length.clamp(min=tiny)
        is_stationary = is_adversarial & is_usable & is_parallel & (slope < 0)
        if norm != self.problem.norm:
            is_stationary = torch.zeros_like(is_stationary)
        state.converged[rows] |= is_stationary & (self.overshoot[rows] < FINE_OVERSHOOT)
        # Half of the fine overshoot marks rows whose next query results from a fine step.
        overshoot = torch.where(is_fine, FINE_OVERSHOOT / 2, torch.where(is_stationary, FINE_OVERSHOOT, overshoot))
        self.overshoot[rows] = overshoot
        # Where the logit margin rises outwards, the point has passed the middle of a thin region of the other class,
        # and the gradient is that of the region's far side.
        is_past_middle = is_adversarial & (slope >= 0)
        step = torch.where(is_past_middle[:, None], displacement / 2, newton + projection_weight[:, None] * difference)
        # Without a slope, the best point known is the only direction.
        best = state.points[rows] - origin
        is_blind = ~is_usable & ~is_adversarial
        step = torch.where(is_blind[:, None], (displacement + best) / 2, step)
        moved = self.problem.confine(rows, origin + step)
        self.is_stuck[rows] |= (~is_adversarial & (moved == current).all(1)) | (is_blind & unfound)
        self.current[rows] = moved
        self._return_to_crossing(rows[is_adversarial & ~is_usable])

    def _return_to_crossing(self, rows: Tensor) -> None:
        """Move rows from points beyond the boundary that have no slope to the crossing, where there may be one."""
        if len(rows) == 0:
            return
        state = self.state
        limit = torch.zeros_like(state.limit).index_copy(0, rows, state.limit[rows])
        state.refine(limit, MAX_RETURN_FORWARDS, REFINEMENT_TOLERANCE)
        self.current[rows] = state.points[rows]
        self.overshoot[rows] = MIN_OVERSHOOT

    def _update_overshoot(self, rows: Tensor, is_adversarial: Tensor) -> tuple[Tensor, Tensor]:
        """Return the overshoot of the next step of some rows, and the mask of those whose step confirms convergence."""
        unfound = torch.isinf(self.state.distance[rows]) & ~is_adversarial
        previous = self.overshoot[rows]
        growth = torch.where(is_adversarial, OVERSHOOT_DECAY, OVERSHOOT_GROWTH).to(previous)
        overshoot = previous * torch.where(unfound, OVERSHOOT_GROWTH_UNFOUND, growth)
        max_overshoot = torch.where(unfound, MAX_OVERSHOOT_UNFOUND, MAX_OVERSHOOT).to(previous)
        overshoot = torch.minimum(overshoot.clamp(min=MIN_OVERSHOOT), max_overshoot)
        is_fine = previous == FINE_OVERSHOOT
        return torch.where(is_fine, FINE_OVERSHOOT, overshoot), is_fine

    def _extend_to_crossing(self, limit: Tensor) -> None:
        """Evaluate the point of the last step; rows without a crossing step on from farther out while passes remain.

        Args:
            limit: `(B,)`, the maximum number of passes of a row so far, this stage included.
        """
        state = self.state
        rows = torch.nonzero(self._is_active()).squeeze(1)
        while True:
            rows = rows[state.passes[rows] + FORWARD_COST <= limit[rows] + PASSES_TOLERANCE]
            if len(rows) == 0:
                return
            state.query(rows, self.current[rows])
            rows = rows[torch.isinf(state.distance[rows])]
            can_step = state.passes[rows] + STEP_COST + FORWARD_COST <= limit[rows] + PASSES_TOLERANCE
            factor = torch.where(can_step, EXTENSION_FACTOR, LAST_EXTENSION_FACTOR).to(self.current)[:, None]
            origin = state.origin[rows]
            self.current[rows] = self.problem.confine(rows, origin + factor * (self.current[rows] - origin))
            rows_to_step = rows[can_step]
            if len(rows_to_step) > 0:
                weight = torch.full_like(state.distance[rows_to_step], FINAL_PROJECTION_WEIGHT)
                self._step(rows_to_step, weight, self.problem.norm)


def cosine_projection_weight(progress: Tensor, norm: str) -> Tensor:
    """Return the weight of the projection in a step; it decreases, which averages over the kinks.

    Args:
        progress: the number of the step over the number of steps of the stage.
        norm: `l1`, `l2` or `linf`, the norm that the step minimizes.
    """
    change = INITIAL_PROJECTION_WEIGHT[norm] - FINAL_PROJECTION_WEIGHT
    return FINAL_PROJECTION_WEIGHT + change * (1 + torch.cos(math.pi * progress)) / 2

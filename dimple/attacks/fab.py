"""Fast adaptive boundary attack (FAB): steps onto the linearized boundary that are biased towards the sample.

Reference: Croce and Hein, "Minimally distorted adversarial examples with a fast adaptive boundary attack" (ICML 2020),
algorithm 1, without its random restarts and without its final search, which is replaced by the refinement of `Margin`.
"""

import torch
from torch import Tensor

from dimple.attacks.deepfool import linearized_distances
from dimple.attacks.projections import smallest_step
from dimple.attacks.search import SearchProblem, SearchState, require_l2_constraint, start_search
from dimple.boundary.boundary import BACKWARD_COST, FORWARD_COST
from dimple.tensors import Box
from dimple.tensors import norm as norm_of

# The maximum weight of the step from the sample.
MAX_ORIGIN_WEIGHT = 0.1
# The factor by which a step is lengthened so that it passes the plane.
OVERSHOOT_FACTOR = 1.05
# The fraction of the displacement that is kept when the search steps back from an adversarial point.
BACKTRACK_FACTOR = 0.9
# The number of highest-scoring other classes that are linearized in each step.
CANDIDATE_CLASSES = 3
# Below this value of `max_passes` only one class is linearized.
SMALL_MAX_PASSES = 8.0
# A sample has converged if its distance falls by less than this fraction in `PATIENCE` steps.
MIN_RELATIVE_GAIN = 1e-3
PATIENCE = 10


def fab(problem: SearchProblem, max_passes: float) -> SearchState:
    """Search with the fast adaptive boundary attack; the distance found is an upper bound of the margin.

    Each step projects both the current point and the sample onto the nearest linearized boundary, and combines the two
    projections with a weight that differs from sample to sample. From an adversarial point the search steps back by a
    tenth of the displacement. The boundaries are those of the three highest-scoring other classes, of the highest one
    for `max_passes` below 8, or of the target class. A step costs two forwards and a backward for each class: 2.6
    passes, or 1.4. The arguments are those of `dimple.attacks.search.MinimumNormAttack`.

    Raises:
        SceneError: for a constraint in another norm than l2, because the steps would leave the subspace.

    Example:
        >>> from dimple.boundary import Boundary
        >>> half_space = Boundary(lambda x: torch.stack([-x[:, 0], x[:, 0]], dim=1))
        >>> problem = SearchProblem(half_space, torch.tensor([[2.0, 5.0]]), torch.tensor([1]))
        >>> fab(problem, 10.0).points.abs().round(decimals=2)
        tensor([[0., 5.]])
    """
    require_l2_constraint(problem, "fab")
    state = start_search(problem, max_passes)
    classes = state.affordable_classes(1 if max_passes < SMALL_MAX_PASSES else CANDIDATE_CLASSES, reserve=FORWARD_COST)
    if classes == 0:
        return state
    current = state.origin.clone()
    rows = problem.all_rows
    previous_distance = state.distance.clone()
    step = 0
    while len(rows) > 0:
        query = current[rows]
        if step == 0:
            found, class_margins, gradients = state.query_samples(classes)
            rows = torch.nonzero(state.is_open).squeeze(1)
            query = query[rows]
            class_margins = class_margins[rows]
            gradients = gradients[rows]
        else:
            _, found, class_margins, gradients = state.query_classes(rows, query, classes)
            gradients = problem.allow(rows, gradients)
        moved = _combine_projections(state.origin[rows], query, class_margins, gradients, problem.norm, problem.bounds)
        moved = problem.confine(rows, moved)
        is_adversarial = state.query(rows, moved) <= 0
        back = state.origin[rows] + BACKTRACK_FACTOR * (moved - state.origin[rows])
        current[rows] = torch.where(is_adversarial[:, None], back, moved)
        step += 1
        if step % PATIENCE == 0:
            state.converged |= state.found & (state.distance >= (1 - MIN_RELATIVE_GAIN) * previous_distance)
            previous_distance = state.distance.clone()
            rows = rows[~state.converged[rows]]
        rows = state.affordable(rows, 2 * FORWARD_COST + BACKWARD_COST * found.shape[1])
    return state.finish(max_passes)


def _combine_projections(
    origin: Tensor, current: Tensor, logit_margins: Tensor, gradients: Tensor, norm: str, bounds: Box | None
) -> Tensor:
    """Return a point slightly beyond the nearest linearized class boundary.

    It is the weighted mean of the ends of the steps from `current` and from `origin`. The weight of the latter grows
    with the length of the step from `current`.

    Args:
        origin: `(B, n)` samples.
        current: `(B, n)` points at which the margins are linearized.
        logit_margins: `(B, R)` margins over single other classes.
        gradients: `(B, R, n)`.
        norm: `l1`, `l2` or `linf`.
        bounds: the bounds, or None for the full space.
    """
    tiny = torch.finfo(current.dtype).tiny
    nearest = linearized_distances(logit_margins, gradients, norm).argmin(1)
    rows = torch.arange(len(nearest), device=nearest.device)
    logit_margin = logit_margins[rows, nearest]
    gradient = gradients[rows, nearest]
    from_current = smallest_step(current, gradient, -logit_margin, norm, bounds)
    from_origin = smallest_step(origin, gradient, (gradient * (current - origin)).sum(1) - logit_margin, norm, bounds)
    current_length = norm_of(from_current, norm)
    weight = current_length / (current_length + norm_of(from_origin, norm)).clamp(min=tiny)
    weight = weight.clamp(max=MAX_ORIGIN_WEIGHT)[:, None]
    beyond_current = current + OVERSHOOT_FACTOR * from_current
    beyond_origin = origin + OVERSHOOT_FACTOR * from_origin
    moved = (1 - weight) * beyond_current + weight * beyond_origin
    return moved if bounds is None else bounds.clamp(moved)

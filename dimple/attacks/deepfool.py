"""DeepFool: steps to the linearized boundary of the nearest other class until the class changes.

Reference: Moosavi-Dezfooli, Fawzi, Frossard, "DeepFool: a simple and accurate method to fool deep neural networks"
(CVPR 2016), algorithm 2 for l2 and section 3.4 for other norms.
"""

import torch
from torch import Tensor

from dimple.attacks.projections import dual_norm, smallest_step
from dimple.attacks.search import SearchProblem, SearchState, start_search
from dimple.boundary.boundary import BACKWARD_COST, FORWARD_COST

# The number of highest-scoring other classes that are linearized at the start.
CANDIDATE_CLASSES = 3
# The fraction by which the sum of the steps is lengthened so that it passes the crossing.
OVERSHOOT = 0.02


def deepfool(problem: SearchProblem, max_passes: float = 40.0) -> SearchState:
    """Step to the linearized boundary until a point is adversarial; this point may be far from the nearest one.

    The nearest of the linearized boundaries of the highest-scoring other classes is chosen at the start and kept; with
    targets, it is that of the target class. The arguments are those of `dimple.attacks.search.MinimumNormAttack`.

    Example:
        >>> from dimple.boundary import Boundary
        >>> half_space = Boundary(lambda x: torch.stack([-x[:, 0], x[:, 0]], dim=1))
        >>> problem = SearchProblem(half_space, torch.tensor([[2.0, 5.0]]), torch.tensor([1]))
        >>> deepfool(problem).points.abs().round(decimals=2)
        tensor([[0., 5.]])
    """
    state = start_search(problem, max_passes)
    count = state.affordable_classes(CANDIDATE_CLASSES)
    if count == 0:
        return state
    classes, class_margins, gradients = state.query_samples(count)
    rows = torch.nonzero(state.is_open).squeeze(1)
    classes = classes[rows]
    class_margins = class_margins[rows]
    gradients = gradients[rows]
    nearest = linearized_distances(class_margins, gradients, problem.norm).argmin(1, keepdim=True)
    classes = classes.gather(1, nearest)
    class_margin = class_margins.gather(1, nearest)[:, 0]
    gradient = gradients.take_along_dim(nearest[:, :, None], 1)[:, 0]
    current = state.origin.clone()
    total_step = torch.zeros_like(current)
    while len(rows) > 0:
        change = -_add_slack(class_margin, gradient, current[rows], problem.norm)
        total_step[rows] += smallest_step(current[rows], gradient, change, problem.norm, problem.bounds)
        moved = problem.confine(rows, state.origin[rows] + (1 + OVERSHOOT) * total_step[rows])
        is_moved = torch.isfinite(moved).all(1) & (moved != current[rows]).any(1)
        rows = rows[is_moved]
        classes = classes[is_moved]
        current[rows] = moved[is_moved]
        if len(state.affordable(rows, FORWARD_COST + BACKWARD_COST)) < len(rows):
            # All rows have spent the same: what is left pays for the evaluation of the last step.
            rows = state.affordable(rows, FORWARD_COST)
            state.query(rows, current[rows])
            break
        logit_margin, _, class_margins, gradients = state.query_classes(rows, current[rows], classes)
        remaining = ~(logit_margin <= 0)
        gradient = problem.allow(rows, gradients)[remaining, 0]
        rows = rows[remaining]
        classes = classes[remaining]
        class_margin = class_margins[remaining, 0]
    state.converged |= state.found
    return state.finish(max_passes)


def linearized_distances(logit_margins: Tensor, gradients: Tensor, norm: str) -> Tensor:
    """Return the distance of each linearized class boundary, `(B, R)`: the margin over the gradient's dual norm."""
    dual = dual_norm(gradients.flatten(2), norm)
    return logit_margins.abs() / dual.clamp(min=torch.finfo(dual.dtype).tiny)


def _add_slack(logit_margin: Tensor, gradient: Tensor, x: Tensor, norm: str) -> Tensor:
    """Return the margin, increased so that a step changes x `(R, n)` when the margin is already zero to rounding."""
    slack = 8 * torch.finfo(logit_margin.dtype).eps
    return logit_margin * (1 + slack) + slack * x.abs().amax(1) * dual_norm(gradient, norm)

"""DeepFool: steps to the linearized boundary of the nearest other class until the class changes.

Reference: Moosavi-Dezfooli, Fawzi, Frossard, "DeepFool: a simple and accurate method to fool deep neural networks"
(CVPR 2016), algorithm 2 for l2 and section 3.4 for other norms.
"""

import torch
from torch import Tensor

from dimple.attacks.base import AttackResult, logit_margins_and_gradients, make_attack_result
from dimple.attacks.projections import dual_norm, smallest_step
from dimple.attacks.subspace_constraint import SubspaceConstraint
from dimple.boundary.boundary import BACKWARD_COST, FORWARD_COST, Boundary, runner_up_classes
from dimple.tensors import broadcast_per_sample, flatten

# The number of highest-scoring other classes that are linearized at the start.
CANDIDATE_CLASSES = 3
# The fraction by which the sum of the steps is lengthened so that it passes the crossing.
OVERSHOOT = 0.02


def deepfool(
    boundary: Boundary,
    x: Tensor,
    y: Tensor,
    norm: str = "l2",
    max_passes: float = 40.0,
    constraint: SubspaceConstraint | None = None,
    targets: Tensor | None = None,
) -> AttackResult:
    """Step to the linearized boundary until a point is adversarial; this point may be far from the nearest one.

    The nearest of the linearized boundaries of the highest-scoring other classes is chosen at the start and kept; with
    targets, it is that of the target class. The arguments are those of `dimple.attacks.base.MinimumNormAttack`.

    Example:
        >>> half_space = Boundary(lambda x: torch.stack([-x[:, 0], x[:, 0]], dim=1))
        >>> deepfool(half_space, torch.tensor([[2.0, 5.0]]), torch.tensor([1])).points.round(decimals=2)
        tensor([[-0.0400,  5.0000]])
    """
    points = x.clone()
    found = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    total_step = torch.zeros_like(flatten(x))
    bounds = boundary.bounds if constraint is None else None
    other_classes = runner_up_classes(boundary.scores(x), y, CANDIDATE_CLASSES)
    passes = x.new_full((len(x),), FORWARD_COST)
    active = torch.arange(len(x), device=x.device)
    spent = FORWARD_COST
    while len(active) and spent + FORWARD_COST + BACKWARD_COST * other_classes.shape[1] <= max_passes:
        logit_margin, class_margins, gradients = logit_margins_and_gradients(
            boundary, points[active], y[active], other_classes, None if targets is None else targets[active]
        )
        spent += FORWARD_COST + BACKWARD_COST * class_margins.shape[1]
        passes[active] = spent
        remaining = logit_margin > 0
        found[active] = ~remaining
        active = active[remaining]
        if len(active) == 0:
            break
        class_margins = class_margins[remaining]
        gradients = gradients[remaining]
        other_classes = other_classes[remaining]
        if constraint is not None:
            gradients = constraint.select(active).project_each(gradients)
        nearest = linearized_distances(class_margins, gradients, norm).argmin(1, keepdim=True)
        other_classes = other_classes.gather(1, nearest)
        rows = torch.arange(len(active), device=x.device)
        gradient = flatten(gradients[rows, nearest[:, 0]])
        change = -_add_slack(class_margins[rows, nearest[:, 0]], gradient, norm)
        total_step[active] += smallest_step(flatten(points[active]), gradient, change, norm, bounds)
        moved = x[active] + ((1 + OVERSHOOT) * total_step[active]).reshape(len(active), *x.shape[1:])
        moved = moved if bounds is None else bounds.clamp(moved)
        is_finite = broadcast_per_sample(torch.isfinite(flatten(moved)).all(1), moved)
        points[active] = torch.where(is_finite, moved, points[active])
    if len(active) and spent + FORWARD_COST <= max_passes:
        active_targets = None if targets is None else targets[active]
        found[active] = boundary.logit_margin(points[active], y[active], active_targets) <= 0
        passes[active] += FORWARD_COST
    return make_attack_result(x, points, found, passes, found)


def linearized_distances(logit_margins: Tensor, gradients: Tensor, norm: str) -> Tensor:
    """Return the distance of each linearized class boundary, `(B, R)`: the margin over the gradient's dual norm."""
    dual = dual_norm(gradients.flatten(2), norm)
    return logit_margins.abs() / dual.clamp(min=torch.finfo(dual.dtype).tiny)


def _add_slack(logit_margin: Tensor, gradient: Tensor, norm: str) -> Tensor:
    """Return the margin, increased so that a step does not vanish when the margin is already zero to rounding."""
    slack = 8 * torch.finfo(logit_margin.dtype).eps
    return logit_margin * (1 + slack) + slack * dual_norm(gradient, norm)

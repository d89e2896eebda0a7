"""DeepFool: follow the linearised boundary of the nearest rival until the class changes.

Reference: Moosavi-Dezfooli, Fawzi, Frossard, "DeepFool: a simple and accurate method to fool deep neural networks"
(CVPR 2016), algorithm 2 for l2 and section 3.4 for other norms.
"""

import torch
from torch import Tensor

from dimple.attacks.base import Reached, gaps_and_gradients, reached
from dimple.attacks.projections import dual_norm, smallest_step
from dimple.attacks.subspace_constraint import Restriction
from dimple.boundary.boundary import BACKWARD, FORWARD, Boundary, best_rivals
from dimple.tensors import flatten, per_sample

# The rivals linearised at the start, and the share by which the summed steps are lengthened to pass the crossing.
CANDIDATES, OVERSHOOT = 3, 0.02


def deepfool(
    boundary: Boundary,
    x: Tensor,
    y: Tensor,
    norm: str = "l2",
    budget: float = 40.0,
    restriction: Restriction | None = None,
    targets: Tensor | None = None,
) -> Reached:
    """The first misclassified point that steps to the linearised boundary meet; far from the nearest one at times.

    The nearest of the linearised boundaries of the highest-scoring rivals is chosen at the start and followed; towards
    a target, that class is. The call is that of every search, see `dimple.attacks.base.Search`.

    Example:
        >>> half_space = Boundary(lambda x: torch.stack([-x[:, 0], x[:, 0]], dim=1))
        >>> deepfool(half_space, torch.tensor([[2.0, 5.0]]), torch.tensor([1])).points.round(decimals=2)
        tensor([[-0.0400,  5.0000]])
    """
    points, found = x.clone(), torch.zeros(len(x), dtype=torch.bool, device=x.device)
    total, box = torch.zeros_like(flatten(x)), boundary.box if restriction is None else None
    rivals = best_rivals(boundary.scores(x), y, CANDIDATES)
    passes = x.new_full((len(x),), FORWARD)
    active, spent = torch.arange(len(x), device=x.device), FORWARD
    while len(active) and spent + FORWARD + BACKWARD * rivals.shape[1] <= budget:
        here, sought = points[active], None if targets is None else targets[active]
        gap, gaps, gradients = gaps_and_gradients(boundary, here, y[active], rivals, sought)
        spent += FORWARD + BACKWARD * gaps.shape[1]
        passes[active] = spent
        going = gap > 0
        found[active] = ~going
        active, gaps, gradients, rivals = active[going], gaps[going], gradients[going], rivals[going]
        if len(active) == 0:
            break
        if restriction is not None:
            gradients = restriction.rows(active).apply_each(gradients)
        nearest = linear_distances(gaps, gradients, norm).argmin(1, keepdim=True)
        rows, rivals = torch.arange(len(active), device=x.device), rivals.gather(1, nearest)
        gradient, gap = flatten(gradients[rows, nearest[:, 0]]), gaps[rows, nearest[:, 0]]
        total[active] += smallest_step(flatten(points[active]), gradient, -_beyond(gap, gradient, norm), norm, box)
        moved = x[active] + ((1 + OVERSHOOT) * total[active]).reshape(len(active), *x.shape[1:])
        moved = moved if box is None else box.clamp(moved)
        points[active] = torch.where(per_sample(torch.isfinite(flatten(moved)).all(1), moved), moved, points[active])
    if len(active) and spent + FORWARD <= budget:
        found[active] = boundary.gap(points[active], y[active], None if targets is None else targets[active]) <= 0
        passes[active] += FORWARD
    return reached(x, points, found, passes, found)


def linear_distances(gaps: Tensor, gradients: Tensor, norm: str) -> Tensor:
    """How far each linearised rival is, `(B, R)`: the gap over the gradient's dual norm."""
    dual = dual_norm(gradients.flatten(2), norm)
    return gaps.abs() / dual.clamp(min=torch.finfo(dual.dtype).tiny)


def _beyond(gap: Tensor, gradient: Tensor, norm: str) -> Tensor:
    """The gap with a slack that keeps a step from vanishing when the gap is already zero to rounding."""
    slack = 8 * torch.finfo(gap.dtype).eps
    return gap * (1 + slack) + slack * dual_norm(gradient, norm)

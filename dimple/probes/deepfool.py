"""DeepFool: follow the linearised boundary of the nearest rival until the class changes.

Reference: Moosavi-Dezfooli, Fawzi, Frossard, "DeepFool: a simple and accurate method to fool deep neural networks"
(CVPR 2016), algorithm 2 for l2 and section 3.4 for other norms.
"""

import torch
from torch import Tensor

from dimple.boundary.boundary import Boundary
from dimple.probes.restriction import Restriction
from dimple.tensors import per_sample


def deepfool(
    boundary: Boundary,
    x: Tensor,
    y: Tensor,
    norm: str = "l2",
    steps: int = 50,
    candidates: int = 3,
    overshoot: float = 0.02,
    restriction: Restriction | None = None,
) -> tuple[Tensor, Tensor]:
    """A misclassified point near each sample, found from first-order steps; an upper bound that `land` tightens.

    Args:
        x: `(B, *shape)` samples that the classifier gives to `y` `(B,)`.
        norm: `l2` or `linf`, the norm in which a linearised rival is near.
        steps: the most linearisations; samples that have crossed leave the batch.
        candidates: how many of the best rival classes are linearised at the start; the search follows the nearest.
        overshoot: the share by which the summed steps are lengthened, so that the crossing is passed.
        restriction: a subspace to stay in (l2 only); such a search ignores the boundary's box, because clamping
            would leave the subspace.

    Returns:
        The points `(B, *shape)`, and which of them are misclassified, `(B,)` bool.
    """
    reached, found = x.clone(), torch.zeros(len(x), dtype=torch.bool, device=x.device)
    total = torch.zeros_like(x)
    active = torch.arange(len(x), device=x.device)
    rivals = _best_rivals(boundary.scores(x), y, candidates)
    for step in range(steps + 1):
        here = reached[active]
        gap, gaps, gradients = boundary.gap_and_rival_gradients(here, y[active], rivals)
        going = gap > 0
        found[active] = ~going
        active, here, gaps, gradients, rivals = active[going], here[going], gaps[going], gradients[going], rivals[going]
        if step == steps or len(active) == 0:
            break
        if restriction is not None:
            gradients = restriction.rows(active).apply_each(gradients)
        distances = _linear_distances(gaps, gradients, norm)
        nearest = distances.argmin(1, keepdim=True)
        rows = torch.arange(len(active), device=x.device)
        rivals = rivals.gather(1, nearest)
        total[active] += _step(distances.gather(1, nearest).squeeze(1), gradients[rows, nearest.squeeze(1)], norm)
        moved = x[active] + (1 + overshoot) * total[active]
        if boundary.box is not None and restriction is None:
            moved = boundary.box.clamp(moved)
        reached[active] = torch.where(per_sample(torch.isfinite(moved.flatten(1)).all(1), moved), moved, here)
    return reached, found


def _best_rivals(scores: Tensor, y: Tensor, candidates: int) -> Tensor:
    """The `candidates` highest-scoring classes other than `y`, `(B, R)`."""
    others = scores.scatter(1, y[:, None], float("-inf"))
    return others.topk(min(candidates, scores.shape[1] - 1), dim=1).indices


def _linear_distances(gaps: Tensor, gradients: Tensor, norm: str) -> Tensor:
    """How far each linearised rival is, `(B, R)`: the gap over the gradient's dual norm."""
    flat = gradients.flatten(2)
    dual = flat.norm(dim=2) if norm == "l2" else flat.abs().sum(2)
    return gaps.abs() / dual.clamp(min=torch.finfo(flat.dtype).tiny)


def _step(distance: Tensor, gradient: Tensor, norm: str) -> Tensor:
    """The shortest step of that length against the gradient `(B, *shape)`."""
    if norm == "l2":
        length = gradient.flatten(1).norm(dim=1).clamp(min=torch.finfo(gradient.dtype).tiny)
        direction = gradient / per_sample(length, gradient)
    else:
        direction = gradient.sign()
    # The slack keeps a step from vanishing when the gap is already zero to rounding.
    slack = 8 * torch.finfo(gradient.dtype).eps
    return -per_sample(distance + slack * (1 + distance), gradient) * direction

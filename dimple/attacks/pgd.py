"""Projected gradient descent: steepest steps on the gap that stay within a radius of the sample.

Reference: Madry, Makelov, Schmidt, Tsipras and Vladu, "Towards deep learning models resistant to adversarial attacks"
(ICLR 2018), section 2.1, here on the gap instead of the cross-entropy, and from the sample instead of a random point.
In l1: Tramer and Boneh, "Adversarial training and robustness for multiple perturbations" (NeurIPS 2019), section 2.2,
for the sparse step; Duchi et al., "Efficient projections onto the l1-ball" (ICML 2008), figure 1.
"""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from dimple.attacks.base import Reached
from dimple.attacks.best_so_far import Nearest, some
from dimple.attacks.projections import FAR, dual_norm
from dimple.attacks.subspace_constraint import Restriction
from dimple.boundary.boundary import BACKWARD, FORWARD, Boundary
from dimple.errors import SceneError
from dimple.tensors import Box

# A radius gets so many steps or more, so that the budget is enough for that many radii; together the steps of one could
# walk so many radii, and they become shorter, because steps of one length bounce between the sides of a kink for ever.
ROUND, ROUNDS, REACH = 10, 10, 2.5
# The first radius, in units of the linearised distance; how one that met nothing grows, and when the bracket is closed.
FIRST, GROWTH, CLOSED = 2.0, 2.0, 0.01
# In l1 a step goes along the steepest coordinates, this share of all.
SPARSE = 0.01


def pgd(
    boundary: Boundary,
    x: Tensor,
    y: Tensor,
    norm: str,
    budget: float,
    restriction: Restriction | None = None,
    targets: Tensor | None = None,
    radius: float | None = None,
) -> Reached:
    """The nearest misclassified point that projected gradient descent meets within a radius of each sample.

    With a `radius` (in the norm, input units) the whole budget is spent inside it and nothing beyond it is found: the
    attack of the literature. Without one every sample gets its own: the first is twice the linearised distance, one
    that meets nothing doubles, and below one that meets something the next is halfway to the largest that met nothing,
    ten steps a radius (a tenth of the budget, if that is more), until the two are within a hundredth. A step costs one
    pass. The other arguments are those of `Search`.

    Raises:
        SceneError: for a restricted search in another norm than l2, whose steps would leave the subspace.

    Example:
        >>> half_space = Boundary(lambda x: torch.stack([-x[:, 0], x[:, 0]], dim=1))
        >>> x, y = torch.tensor([[2.0, 5.0]]), torch.tensor([1])
        >>> pgd(half_space, x, y, "l2", 20.0, radius=1.9).found, pgd(half_space, x, y, "l2", 20.0, radius=2.1).found
        (tensor([False]), tensor([True]))
    """
    if restriction is not None and norm != "l2":
        raise SceneError(f"pgd along a subspace is a search in l2, and norm is {norm}; choose norm: l2")
    box = boundary.box if restriction is None else None
    best, steps = Nearest(x, norm), int((budget - FORWARD) / (FORWARD + BACKWARD) + 1e-6)
    length = max(1, steps if radius is not None else min(max(ROUND, steps // ROUNDS), steps))
    here, missed = best.origin.clone(), torch.zeros_like(best.distance)
    reach = torch.full_like(missed, 0.0 if radius is None else radius)
    rows = torch.arange(len(x), device=x.device)
    for step in range(steps):
        if radius is None and step > 0 and step % length == 0:
            here = _next_radius(best, here, missed, reach)
            rows = best.going()
            if len(rows) == 0:
                break
        limits, goals = some(rows, restriction, targets)
        gap, gradient = boundary.gap_and_gradient(best.shaped(here[rows]), y[rows], goals)
        flat = gradient.flatten(1) if limits is None else limits.apply(gradient.flatten(1))
        best.keep(rows, here[rows], gap <= 0, FORWARD + BACKWARD)
        if radius is None and step == 0:
            reach = (FIRST * gap.abs() / dual_norm(flat, norm).clamp(min=torch.finfo(gap.dtype).tiny)).clamp(max=FAR)
        stride = REACH * 2 * (length - step % length) / (length * (length + 1)) * reach[rows][:, None]
        moved = here[rows] - stride * _steepest(here[rows], flat, norm, box)
        inside = best.origin[rows] + _within(moved - best.origin[rows], reach[rows][:, None], norm)
        here[rows] = inside if box is None else box.clamp(inside)
    if len(rows) > 0:
        goals = some(rows, None, targets)[1]
        best.keep(rows, here[rows], boundary.gap(best.shaped(here[rows]), y[rows], goals) <= 0, FORWARD)
    return best.reached(x)


def _next_radius(best: Nearest, here: Tensor, missed: Tensor, reach: Tensor) -> Tensor:
    """Halve the bracket of each sample's radius, or widen it; where the next round starts, `(B, n)`."""
    met = torch.isfinite(best.distance)
    missed.copy_(torch.where(best.distance > reach, reach, missed))
    best.settled |= met & (best.distance - missed <= CLOSED * best.distance)
    reach.copy_(torch.where(met, (missed + best.distance) / 2, (GROWTH * reach).clamp(max=FAR)))
    way = best.points - best.origin
    inside = best.origin + way * (reach / best.distance)[:, None]
    return torch.where(met[:, None], inside, here)


def _steepest(here: Tensor, gradient: Tensor, norm: str, box: Box | None) -> Tensor:
    """The direction of unit norm along which the linearised gap rises most, among those that the walls leave."""
    if box is not None:
        stuck = ((here <= box.low) & (gradient > 0)) | ((here >= box.high) & (gradient < 0))
        gradient = torch.where(stuck, 0.0, gradient)
    if norm == "linf":
        return gradient.sign()
    if norm == "l1":
        count = max(1, int(SPARSE * here.shape[1]))
        chosen = gradient.abs().topk(count, dim=1).indices
        return torch.zeros_like(gradient).scatter(1, chosen, gradient.gather(1, chosen).sign() / count)
    return normalize(gradient, dim=1, eps=torch.finfo(gradient.dtype).tiny)


def _within(way: Tensor, radius: Tensor, norm: str) -> Tensor:
    """The nearest displacement, in l2, whose norm is at most `radius` `(R, 1)`."""
    if norm == "linf":
        return torch.minimum(torch.maximum(way, -radius), radius)
    if norm == "l2":
        length = torch.linalg.vector_norm(way, dim=1, keepdim=True)
        inside: Tensor = way * (radius / length.clamp(min=torch.finfo(way.dtype).tiny)).clamp(max=1.0)
        return inside
    size = way.abs()
    steps = size.sort(dim=1, descending=True).values
    excess = (steps.cumsum(1) - radius) / torch.arange(1, way.shape[1] + 1, device=way.device)
    threshold = excess.gather(1, (steps > excess).sum(1, keepdim=True).clamp(min=1) - 1).clamp(min=0)
    return way.sign() * (size - threshold).clamp(min=0)

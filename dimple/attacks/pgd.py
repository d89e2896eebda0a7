"""Projected gradient descent (PGD): steepest descent of the logit margin within a radius of the sample.

Reference: Madry, Makelov, Schmidt, Tsipras and Vladu, "Towards deep learning models resistant to adversarial attacks"
(ICLR 2018), section 2.1, here on the logit margin instead of the cross-entropy, and from the sample instead of a random
point. In l1: Tramer and Boneh, "Adversarial training and robustness for multiple perturbations" (NeurIPS 2019),
section 2.2, for the sparse step; Duchi et al., "Efficient projections onto the l1-ball" (ICML 2008), figure 1.
"""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from dimple.attacks.base import AttackResult
from dimple.attacks.best_so_far import BestSoFar, select_rows
from dimple.attacks.projections import MAX_STEP_SIZE, dual_norm
from dimple.attacks.subspace_constraint import SubspaceConstraint
from dimple.boundary.boundary import BACKWARD_COST, FORWARD_COST, Boundary
from dimple.errors import SceneError
from dimple.tensors import Box

# The minimum number of steps for one radius.
MIN_STEPS_PER_RADIUS = 10
# A radius has a larger number of steps if the passes suffice for this many radii.
NUM_RADII = 10
# The length of all steps of one radius together, in radii. The steps become shorter, because steps of constant length
# oscillate between the sides of a kink.
PATH_LENGTH_IN_RADII = 2.5
# The first radius, in units of the linearized distance.
INITIAL_RADIUS_FACTOR = 2.0
# The factor by which a radius grows in which no adversarial point was found.
RADIUS_GROWTH = 2.0
# The search ends when the largest failed radius is within this fraction of the distance found.
BRACKET_TOLERANCE = 0.01
# An l1 step changes this fraction of all coordinates, the steepest ones.
L1_COORDINATE_FRACTION = 0.01


def pgd(
    boundary: Boundary,
    x: Tensor,
    y: Tensor,
    norm: str,
    max_passes: float,
    constraint: SubspaceConstraint | None = None,
    targets: Tensor | None = None,
    radius: float | None = None,
) -> AttackResult:
    """Search with projected gradient descent within a radius of each sample.

    With a `radius` (in the norm, input units) all passes are spent inside it and nothing beyond it is found: the attack
    of the literature. Without one every sample has its own. The first is twice the linearized distance. A radius
    without an adversarial point is doubled; after a success the next radius is halfway between the distance found and
    the largest radius that failed, until the two are within a hundredth. Each radius has ten steps, or a tenth of
    `max_passes` if that is more. A step costs one pass. The other arguments are those of
    `dimple.attacks.base.MinimumNormAttack`.

    Raises:
        SceneError: for a constraint in another norm than l2, because the steps would leave the subspace.

    Example:
        >>> half_space = Boundary(lambda x: torch.stack([-x[:, 0], x[:, 0]], dim=1))
        >>> x, y = torch.tensor([[2.0, 5.0]]), torch.tensor([1])
        >>> pgd(half_space, x, y, "l2", 20.0, radius=1.9).found, pgd(half_space, x, y, "l2", 20.0, radius=2.1).found
        (tensor([False]), tensor([True]))
    """
    if constraint is not None and norm != "l2":
        raise SceneError(f"pgd along a subspace is a search in l2, and norm is {norm}; choose norm: l2")
    bounds = boundary.bounds if constraint is None else None
    best = BestSoFar(x, norm)
    steps = int((max_passes - FORWARD_COST) / (FORWARD_COST + BACKWARD_COST) + 1e-6)
    steps_per_radius = steps if radius is not None else min(max(MIN_STEPS_PER_RADIUS, steps // NUM_RADII), steps)
    steps_per_radius = max(1, steps_per_radius)
    current = best.origin.clone()
    failed_radii = torch.zeros_like(best.distance)
    radii = torch.full_like(failed_radii, 0.0 if radius is None else radius)
    rows = torch.arange(len(x), device=x.device)
    for step in range(steps):
        if radius is None and step > 0 and step % steps_per_radius == 0:
            current = _update_radius(best, current, failed_radii, radii)
            rows = best.active_rows()
            if len(rows) == 0:
                break
        row_constraint, row_targets = select_rows(rows, constraint, targets)
        query = current[rows]
        logit_margin, gradient = boundary.logit_margin_and_gradient(best.to_samples(query), y[rows], row_targets)
        flat = gradient.flatten(1) if row_constraint is None else row_constraint.project(gradient.flatten(1))
        best.record_query(rows, query, logit_margin <= 0, FORWARD_COST + BACKWARD_COST)
        if radius is None and step == 0:
            tiny = torch.finfo(logit_margin.dtype).tiny
            radii = INITIAL_RADIUS_FACTOR * logit_margin.abs() / dual_norm(flat, norm).clamp(min=tiny)
            radii = radii.clamp(max=MAX_STEP_SIZE)
        remaining = steps_per_radius - step % steps_per_radius
        step_fraction = PATH_LENGTH_IN_RADII * 2 * remaining / (steps_per_radius * (steps_per_radius + 1))
        row_radii = radii[rows][:, None]
        moved = query - step_fraction * row_radii * _steepest_direction(query, flat, norm, bounds)
        inside = best.origin[rows] + _project_onto_ball(moved - best.origin[rows], row_radii, norm)
        current[rows] = inside if bounds is None else bounds.clamp(inside)
    if len(rows) > 0:
        _, row_targets = select_rows(rows, None, targets)
        logit_margin = boundary.logit_margin(best.to_samples(current[rows]), y[rows], row_targets)
        best.record_query(rows, current[rows], logit_margin <= 0, FORWARD_COST)
    return best.to_attack_result(x)


def _update_radius(best: BestSoFar, current: Tensor, failed_radius: Tensor, radius: Tensor) -> Tensor:
    """Bisect the bracket of each sample's radius, or double the radius; both radii are changed in place.

    Returns:
        The points `(B, n)` from which the next radius starts.
    """
    found = torch.isfinite(best.distance)
    failed_radius.copy_(torch.where(best.distance > radius, radius, failed_radius))
    best.converged |= found & (best.distance - failed_radius <= BRACKET_TOLERANCE * best.distance)
    radius.copy_(
        torch.where(found, (failed_radius + best.distance) / 2, (RADIUS_GROWTH * radius).clamp(max=MAX_STEP_SIZE))
    )
    displacement = best.points - best.origin
    inside = best.origin + displacement * (radius / best.distance)[:, None]
    return torch.where(found[:, None], inside, current)


def _steepest_direction(current: Tensor, gradient: Tensor, norm: str, bounds: Box | None) -> Tensor:
    """Return the direction of unit norm along which the linearized margin rises most.

    Coordinates at a bound that stops a descent are left out.
    """
    if bounds is not None:
        is_stopped = ((current <= bounds.low) & (gradient > 0)) | ((current >= bounds.high) & (gradient < 0))
        gradient = torch.where(is_stopped, 0.0, gradient)
    if norm == "linf":
        return gradient.sign()
    if norm == "l1":
        count = max(1, int(L1_COORDINATE_FRACTION * current.shape[1]))
        chosen = gradient.abs().topk(count, dim=1).indices
        return torch.zeros_like(gradient).scatter(1, chosen, gradient.gather(1, chosen).sign() / count)
    return normalize(gradient, dim=1, eps=torch.finfo(gradient.dtype).tiny)


def _project_onto_ball(displacement: Tensor, radius: Tensor, norm: str) -> Tensor:
    """Return the displacement nearest in l2 whose norm is at most `radius` `(R, 1)`."""
    if norm == "linf":
        return torch.minimum(torch.maximum(displacement, -radius), radius)
    if norm == "l2":
        length = torch.linalg.vector_norm(displacement, dim=1, keepdim=True)
        inside: Tensor = displacement * (radius / length.clamp(min=torch.finfo(displacement.dtype).tiny)).clamp(max=1.0)
        return inside
    sizes = displacement.abs()
    sorted_sizes = sizes.sort(dim=1, descending=True).values
    excess = (sorted_sizes.cumsum(1) - radius) / torch.arange(1, sizes.shape[1] + 1, device=displacement.device)
    threshold = excess.gather(1, (sorted_sizes > excess).sum(1, keepdim=True).clamp(min=1) - 1).clamp(min=0)
    return displacement.sign() * (sizes - threshold).clamp(min=0)

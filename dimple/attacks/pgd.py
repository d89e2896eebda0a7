"""Projected gradient descent (PGD): steepest descent of the logit margin within a radius of the sample.

Reference: Madry, Makelov, Schmidt, Tsipras and Vladu, "Towards deep learning models resistant to adversarial attacks"
(ICLR 2018), section 2.1, here on the logit margin instead of the cross-entropy, and from the sample instead of a random
point. In l1: Tramer and Boneh, "Adversarial training and robustness for multiple perturbations" (NeurIPS 2019),
section 2.2, for the sparse step; Duchi et al., "Efficient projections onto the l1-ball" (ICML 2008), figure 1.
"""

import torch
from torch import Tensor

from dimple.attacks.projections import dual_norm, max_step_size, project_onto_ball
from dimple.attacks.search import SearchProblem, SearchState, require_l2_constraint, start_search
from dimple.boundary.boundary import FORWARD_COST
from dimple.tensors import Box, unit_vectors, vector_norm

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
# Distances are equal if they differ by no more than this number of units of rounding of the sample and the radius.
TIE_ULPS = 4
# An l1 step changes this fraction of all coordinates, the steepest ones.
L1_COORDINATE_FRACTION = 0.01


def pgd(problem: SearchProblem, max_passes: float, radius: float | None = None) -> SearchState:
    """Search with projected gradient descent within a radius of each sample.

    With a `radius` (in the norm, input units) all passes are spent inside it and nothing beyond it is found: the attack
    of the literature. Without one every sample has its own. The first is twice the linearized distance. A radius
    without an adversarial point is doubled; after a success the next radius is halfway between the distance found and
    the largest radius that failed, until the two are within a hundredth. Each radius has ten steps, or a tenth of
    `max_passes` if that is more. A step costs one pass. The other arguments are those of
    `dimple.attacks.search.MinimumNormAttack`.

    Raises:
        SceneError: for a constraint in another norm than l2, because the steps would leave the subspace.

    Example:
        >>> from dimple.boundary import Boundary
        >>> half_space = Boundary(lambda x: torch.stack([-x[:, 0], x[:, 0]], dim=1))
        >>> problem = SearchProblem(half_space, torch.tensor([[2.0, 5.0]]), torch.tensor([1]))
        >>> pgd(problem, 20.0, radius=1.9).found, pgd(problem, 20.0, radius=2.1).found
        (tensor([False]), tensor([True]))
    """
    require_l2_constraint(problem, "pgd")
    state = start_search(problem, max_passes)
    if state.affordable_classes(1) == 0:
        return state
    steps = int(float(state.limit[0]) - FORWARD_COST + 1e-6)
    steps_per_radius = steps if radius is not None else min(max(MIN_STEPS_PER_RADIUS, steps // NUM_RADII), steps)
    steps_per_radius = max(1, steps_per_radius)
    current = state.origin.clone()
    failed_radii = torch.zeros_like(state.distance)
    radii = torch.full_like(failed_radii, 0.0 if radius is None else radius)
    for step in range(max(1, steps)):
        if step == 0:
            _, margins, gradients = state.query_samples(1)
            rows = torch.nonzero(state.is_open).squeeze(1)
            gradient = gradients[rows, 0]
            if radius is None:
                tiny = torch.finfo(gradient.dtype).tiny
                radii[rows] = (
                    INITIAL_RADIUS_FACTOR * margins[rows, 0].abs() / dual_norm(gradient, problem.norm).clamp(min=tiny)
                )
                radii = radii.clamp(max=max_step_size(radii.dtype))
            _set_tie_distance(state, radii)
        else:
            if radius is None and step % steps_per_radius == 0:
                current = _update_radius(state, current, failed_radii, radii)
                rows = rows[~state.converged[rows]]
            logit_margin, gradient = state.query_gradient(rows, current[rows])
            # A point without scores is too far out.
            middle = (state.origin[rows] + current[rows]) / 2
            current[rows] = torch.where(logit_margin.isnan()[:, None], middle, current[rows])
        if len(rows) == 0:
            break
        remaining = steps_per_radius - step % steps_per_radius
        step_fraction = PATH_LENGTH_IN_RADII * 2 * remaining / (steps_per_radius * (steps_per_radius + 1))
        row_radii = radii[rows][:, None]
        moved = current[rows] - step_fraction * row_radii * _steepest_direction(
            current[rows], gradient, problem.norm, problem.bounds
        )
        origin = state.origin[rows]
        current[rows] = problem.confine(rows, origin + project_onto_ball(moved - origin, row_radii, problem.norm))
    rows = state.affordable(rows, FORWARD_COST)
    if len(rows) > 0:
        state.query(rows, current[rows])
    # The refinement moves along one ray, where the nearest point is wanted.
    state.tie_distance = torch.zeros_like(state.distance)
    return state.finish(max_passes)


def _update_radius(state: SearchState, current: Tensor, failed_radius: Tensor, radius: Tensor) -> Tensor:
    """Bisect the bracket of each sample's radius, or double the radius; both radii are changed in place.

    Returns:
        The points `(B, n)` from which the next radius starts.
    """
    # A point on the sphere of the radius is a success, whatever its distance is rounded to.
    failed_radius.copy_(torch.where(state.distance > radius + state.tie_distance, radius, failed_radius))
    state.converged |= state.found & (state.distance - failed_radius <= BRACKET_TOLERANCE * state.distance)
    middle = (failed_radius + state.distance) / 2
    radius.copy_(torch.where(state.found, middle, (RADIUS_GROWTH * radius).clamp(max=max_step_size(radius.dtype))))
    _set_tie_distance(state, radius)
    displacement = state.points - state.origin
    inside = state.origin + displacement * (radius / state.distance)[:, None]
    return torch.where(state.found[:, None], inside, current)


def _set_tie_distance(state: SearchState, radius: Tensor) -> None:
    """Make points equally far whose distances differ by rounding only, as do those on the sphere of a radius."""
    eps = torch.finfo(radius.dtype).eps
    state.tie_distance = TIE_ULPS * eps * (vector_norm(state.origin, state.problem.norm) + radius)


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
    return unit_vectors(gradient)

"""Exact solutions of the linearized problem: the smallest step with a given linear change that stays within bounds."""

import torch
from torch import Tensor

from dimple.tensors import Box, flatten, vector_norm

# A coordinate counts as at its bound when it is nearer than this fraction of the step's largest coordinate: searches
# stop slightly before the bounds.
ACTIVE_BOUND_TOLERANCE = 0.02
NEWTON_STEPS = 20


def max_step_size(dtype: torch.dtype) -> float:
    """Return a limit of multipliers and steps whose squares do not overflow: 1e100 in double precision, else 1e17."""
    return 1e100 if dtype == torch.float64 else 1e17


def dual_norm(rows: Tensor, norm: str) -> Tensor:
    """Return the dual norm of each gradient of `(..., n)`, `(...)`: its largest product with a step of unit `norm`."""
    return vector_norm(rows, {"l1": "linf", "l2": "l2", "linf": "l1"}[norm])


def active_bounds(step: Tensor, gradient: Tensor, points: Tensor, bounds: Box) -> Tensor:
    """Return which coordinates `(B, n)` are at a bound that stops them from moving further down the gradient.

    Args:
        step: `(B, n)`, from the samples to the points.
        gradient: `(B, n)`, of the function that falls along the step.
        points: `(B, n)`.
        bounds: the bounds of every coordinate.

    Example:
        >>> active_bounds(torch.tensor([[-0.5, -0.2]]), torch.ones(1, 2), torch.tensor([[0.1, 0.0]]), Box())
        tensor([[False,  True]])
    """
    near = ACTIVE_BOUND_TOLERANCE * step.abs().amax(1, keepdim=True)
    return ((points - bounds.low <= near) & (gradient > 0)) | ((bounds.high - points <= near) & (gradient < 0))


def stationarity_angle(step: Tensor, gradient: Tensor, points: Tensor, norm: str, bounds: Box | None) -> Tensor:
    """Return the angle in degrees, `(B,)`, by which a boundary point misses the first-order condition of a nearest one.

    At the nearest point the step goes down the gradient of the logit margin as steeply as its norm allows. The angle is
    arccos(-g . s / (|g|_dual |s|)), 0 at a stationary point. In l2 it is the angle between the step and the normal of
    the boundary; in the other norms it measures the duality gap. Coordinates at a bound through which the gradient
    would push them count neither in g nor in s. At a kink of the boundary the angle of the nearest point need not be 0.
    A sample on the boundary has no step and the angle 0. In l0, whose steps have no direction, it is nan.

    Args:
        step: `(B, *shape)`, from the samples to the points.
        gradient: `(B, *shape)`, of the logit margin at the points.
        points: `(B, *shape)`.
        norm: `l0`, `l1`, `l2` or `linf`, the norm of the step.
        bounds: the bounds of every coordinate, or None.

    Example:
        >>> normal, step = torch.tensor([[1.0, 0.0]]), torch.tensor([[-1.0, 1.0]])
        >>> stationarity_angle(step, normal, step, "l2", None)
        tensor([45.])
    """
    s = flatten(step)
    g = flatten(gradient)
    if norm == "l0":
        return torch.where(s.any(1), torch.nan, 0.0).to(s)
    if bounds is not None:
        is_active = active_bounds(s, g, flatten(points), bounds)
        s = s.masked_fill(is_active, 0.0)
        g = g.masked_fill(is_active, 0.0)
    # The angle does not depend on the scale of the scores, whose squares may overflow.
    g = g / vector_norm(g, "linf", keepdim=True).clamp(min=torch.finfo(g.dtype).tiny)
    size = vector_norm(s, norm)
    descent = -(g * s).sum(1)
    if norm == "l2":
        across = torch.linalg.vector_norm(s * (g * g).sum(1, keepdim=True) + g * descent[:, None], dim=1)
        angle = torch.atan2(across, g.norm(dim=1) * descent)
    else:
        max_descent = dual_norm(g, norm) * size
        angle = torch.acos((descent / max_descent.clamp(min=torch.finfo(s.dtype).tiny)).clamp(-1, 1))
    return torch.where(flatten(step).any(1), torch.rad2deg(angle), 0.0)


def margin_per_logit_margin(step: Tensor, gradient: Tensor, points: Tensor, norm: str, bounds: Box | None) -> Tensor:
    """Return the derivative of the margin with respect to the logit margin at the closest boundary point, `(B,)`.

    It is one over the dual norm of the gradient. With bounds, the norm is that of the coordinates that no bound stops,
    and in l2 it is multiplied by the fraction of the step's length in these coordinates: the Lagrange multiplier of the
    constrained problem.

    Args:
        step: `(B, *shape)`, from the samples to the boundary points.
        gradient: `(B, *shape)`, of a logit margin that decreases along the step.
        points: `(B, *shape)`, the boundary points.
        norm: the norm of the margin.
        bounds: the box of valid inputs, or None.
    """
    s = flatten(step)
    g = flatten(gradient)
    length = s.norm(dim=1)
    tiny = torch.finfo(s.dtype).tiny
    if bounds is None:
        return torch.ones_like(length) / dual_norm(g, norm).clamp(min=tiny)
    stopped = active_bounds(s, g, flatten(points), bounds)
    free_length = s.masked_fill(stopped, 0.0).norm(dim=1)
    fraction = free_length / length.clamp(min=tiny) if norm == "l2" else torch.ones_like(length)
    return fraction / dual_norm(g.masked_fill(stopped, 0.0), norm).clamp(min=tiny)


def project_onto_ball(displacement: Tensor, radius: Tensor, norm: str) -> Tensor:
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


def smallest_step(origin: Tensor, gradient: Tensor, change: Tensor, norm: str, bounds: Box | None) -> Tensor:
    """Return the step d of smallest norm with `gradient . d = change` and `origin + d` within the bounds.

    In l2 and l-infinity each coordinate moves in proportion to its rate (its gradient, or one) until it reaches its
    bound. The change is therefore a concave, piecewise linear function of a common multiplier, for which the equation
    is solved exactly. In l1 the coordinates move to their bounds one after another, steepest first. Where the bounds do
    not allow the change, the step ends at the corner of the box that comes nearest to it.

    Args:
        origin: `(B, n)` points within the bounds.
        gradient: `(B, n)`.
        change: `(B,)`, of either sign.
        norm: `l1`, `l2` or `linf`.
        bounds: the bounds, or None for the full space.

    Returns:
        The steps, `(B, n)`.

    Example:
        >>> smallest_step(torch.tensor([[0.9, 0.5]]), torch.ones(1, 2), torch.tensor([0.4]), "l2", Box())
        tensor([[0.1000, 0.3000]])
    """
    tiny = torch.finfo(gradient.dtype).tiny
    limit = max_step_size(gradient.dtype)
    # In units of the steepest coordinate, so that no scale of the scores can cause an overflow below.
    scale = gradient.abs().amax(1, keepdim=True).clamp(min=tiny)
    if bounds is None and norm != "l1":
        scaled_gradient = gradient / scale
        scaled_change = change[:, None] / scale
        rate = scaled_gradient if norm == "l2" else scaled_gradient.sign()
        return rate * (scaled_change / (scaled_gradient * rate).sum(1, keepdim=True).clamp(min=tiny)).clamp(
            -limit, limit
        )
    slope = gradient.abs() / scale
    scaled_change = change.abs()[:, None] / scale
    direction = gradient.sign() * change.sign()[:, None]
    max_step = (
        torch.full_like(slope, limit)
        if bounds is None
        else torch.where(direction > 0, bounds.high - origin, origin - bounds.low)
    ).clamp(min=0)
    if norm == "l1":
        return direction * _greedy_l1_step(slope, scaled_change, max_step)
    rate = slope if norm == "l2" else torch.ones_like(slope)
    # Newton's method on a concave, increasing, piecewise linear function: from below it never passes the root, and it
    # is exact as soon as no further coordinate reaches its bound.
    max_multiplier = max_step / rate.clamp(min=tiny)
    change_per_multiplier = slope * rate
    max_change = slope * max_step
    total_max_change = max_change.sum(1, keepdim=True)
    multiplier = torch.zeros_like(scaled_change)
    for step in range(NEWTON_STEPS):
        moving = max_multiplier > multiplier
        previous = multiplier
        derivative = (moving * change_per_multiplier).sum(1, keepdim=True).clamp(min=tiny)
        remaining = scaled_change - total_max_change + (moving * max_change).sum(1, keepdim=True)
        multiplier = torch.maximum(previous, (remaining / derivative).clamp(max=limit))
        # Checked at every fourth step only, because each check synchronizes a GPU.
        if step % 4 == 3 and torch.equal(multiplier, previous):
            break
    return direction * torch.minimum(rate * multiplier, max_step)


def _greedy_l1_step(slope: Tensor, target_change: Tensor, max_step: Tensor) -> Tensor:
    """Return the absolute l1 step `(B, n)`: coordinates in the order of their slopes, as far as allowed and needed."""
    sorted_slope, order = slope.sort(dim=1, descending=True, stable=True)
    max_change = sorted_slope * max_step.gather(1, order)
    remaining = (target_change - (max_change.cumsum(1) - max_change)).clamp(min=0)
    length = torch.minimum(remaining / sorted_slope.clamp(min=torch.finfo(slope.dtype).tiny), max_step.gather(1, order))
    return torch.zeros_like(slope).scatter(1, order, length)

"""The linearised problem solved exactly: the smallest step of a given slope that stays inside the box."""

import torch
from torch import Tensor

from dimple.tensors import Box

# A multiplier that no box is wide enough for, and that still multiplies without overflow.
FAR = 1e12


def dual_norm(rows: Tensor, norm: str) -> Tensor:
    """The largest slope that a step of unit `norm` can have along each gradient of `(..., n)`: `(...)`."""
    lengths: Tensor = torch.linalg.vector_norm(rows, ord=2.0 if norm == "l2" else 1.0, dim=-1)
    return lengths


def smallest_step(origin: Tensor, gradient: Tensor, change: Tensor, norm: str, box: Box | None) -> Tensor:
    """The step d of least norm with `gradient . d = change` and `origin + d` inside the box.

    Each coordinate moves in proportion to its rate (its gradient in l2, one in l-infinity) until it meets its wall, so
    the change is a concave, piecewise linear function of the common multiplier: its breakpoints sorted, the multiplier
    follows without iteration. Where the box allows no such change, the corner that comes nearest to it is returned.

    Args:
        origin: `(B, n)` points inside the box.
        gradient: `(B, n)`.
        change: `(B,)`, of either sign.
        norm: `l2` or `linf`.
        box: the bounds, or None for all of space.

    Returns:
        The steps, `(B, n)`.

    Example:
        >>> smallest_step(torch.tensor([[0.9, 0.5]]), torch.ones(1, 2), torch.tensor([0.4]), "l2", Box())
        tensor([[0.1000, 0.3000]])
    """
    tiny = torch.finfo(gradient.dtype).tiny
    # In units of the steepest coordinate, so that the scale of the scores cannot overflow anything below.
    scale = gradient.abs().amax(1, keepdim=True).clamp(min=tiny)
    slope, wanted = gradient.abs() / scale, change.abs()[:, None] / scale
    direction = gradient.sign() * change.sign()[:, None]
    rate = slope if norm == "l2" else torch.ones_like(slope)
    if box is None:
        multiplier = wanted / (slope * rate).sum(1, keepdim=True).clamp(min=tiny)
        return direction * rate * multiplier.clamp(max=FAR)
    room = torch.where(direction > 0, box.high - origin, origin - box.low).clamp(min=0)
    breakpoints, order = (room / rate.clamp(min=tiny)).clamp(max=FAR).sort(dim=1)
    at_wall = (slope * room).gather(1, order)
    moving = (slope * rate).gather(1, order).flip(1).cumsum(1).flip(1)
    before = at_wall.cumsum(1) - at_wall
    # What has changed when the multiplier is at each breakpoint: coordinates at their walls, and those still moving.
    reached = before + breakpoints * moving
    segment = (reached < wanted).sum(1, keepdim=True).clamp(max=slope.shape[1] - 1)
    multiplier = (wanted - before.gather(1, segment)) / moving.gather(1, segment).clamp(min=tiny)
    return direction * torch.minimum(rate * multiplier.clamp(0, FAR), room)

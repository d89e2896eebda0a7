"""The linearised problem solved exactly: the smallest step of a given slope that stays inside the box."""

import torch
from torch import Tensor

from dimple.tensors import Box

# So near to its wall, as a share of the step's largest coordinate, a coordinate is held: searches stop short of walls.
AT_WALL = 0.02
# A multiplier that no box is wide enough for, and that still multiplies without overflow.
FAR = 1e12
NEWTON_STEPS = 20


def dual_norm(rows: Tensor, norm: str) -> Tensor:
    """The largest slope that a step of unit `norm` can have along each gradient of `(..., n)`: `(...)`."""
    order = {"l1": torch.inf, "l2": 2.0, "linf": 1.0}[norm]
    lengths: Tensor = torch.linalg.vector_norm(rows, ord=order, dim=-1)
    return lengths


def held_at_walls(step: Tensor, gradient: Tensor, points: Tensor, box: Box) -> Tensor:
    """Which coordinates `(B, n)` a wall of the box keeps from going on down the gradient.

    Args:
        step: `(B, n)`, from the samples to the points.
        gradient: `(B, n)`, of what falls along the step.
        points: `(B, n)`.

    Example:
        >>> held_at_walls(torch.tensor([[-0.5, -0.2]]), torch.ones(1, 2), torch.tensor([[0.1, 0.0]]), Box())
        tensor([[False,  True]])
    """
    near = AT_WALL * step.abs().amax(1, keepdim=True)
    return ((points - box.low <= near) & (gradient > 0)) | ((box.high - points <= near) & (gradient < 0))


def smallest_step(origin: Tensor, gradient: Tensor, change: Tensor, norm: str, box: Box | None) -> Tensor:
    """The step d of least norm with `gradient . d = change` and `origin + d` inside the box.

    In l2 and l-infinity each coordinate moves in proportion to its rate (its gradient, or one) until it meets its wall,
    so the change is a concave, piecewise linear function of the common multiplier, solved for exactly. In l1 the
    steepest coordinates go to their walls one after another. Where the box allows no such change, the corner that comes
    nearest to it is returned.

    Args:
        origin: `(B, n)` points inside the box.
        gradient: `(B, n)`.
        change: `(B,)`, of either sign.
        norm: `l1`, `l2` or `linf`.
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
    if box is None and norm != "l1":
        towards, wanted = gradient / scale, change[:, None] / scale
        rate = towards if norm == "l2" else towards.sign()
        return rate * (wanted / (towards * rate).sum(1, keepdim=True).clamp(min=tiny)).clamp(-FAR, FAR)
    slope, wanted = gradient.abs() / scale, change.abs()[:, None] / scale
    direction = gradient.sign() * change.sign()[:, None]
    room = (
        torch.full_like(slope, FAR) if box is None else torch.where(direction > 0, box.high - origin, origin - box.low)
    )
    if norm == "l1":
        return direction * _greedy(slope, wanted, room.clamp(min=0))
    rate = slope if norm == "l2" else torch.ones_like(slope)
    # Newton's method on a concave, rising, piecewise linear function: from below it never passes the root, and it is
    # there as soon as no further coordinate meets its wall.
    room = room.clamp(min=0)
    wall, yields, full = room / rate.clamp(min=tiny), slope * rate, slope * room
    held, multiplier = full.sum(1, keepdim=True), torch.zeros_like(wanted)
    for step in range(NEWTON_STEPS):
        moving, before = wall > multiplier, multiplier
        free = (moving * yields).sum(1, keepdim=True).clamp(min=tiny)
        left = wanted - held + (moving * full).sum(1, keepdim=True)
        multiplier = torch.maximum(before, (left / free).clamp(max=FAR))
        # Looked at now and then only: a GPU would wait for every look.
        if step % 4 == 3 and torch.equal(multiplier, before):
            break
    return direction * torch.minimum(rate * multiplier, room)


def _greedy(slope: Tensor, wanted: Tensor, room: Tensor) -> Tensor:
    """The l1 step `(B, n)` without signs: coordinates in the order of their slopes, each as far as it can and need."""
    steepest, order = slope.sort(dim=1, descending=True, stable=True)
    possible = steepest * room.gather(1, order)
    left = (wanted - (possible.cumsum(1) - possible)).clamp(min=0)
    length = torch.minimum(left / steepest.clamp(min=torch.finfo(slope.dtype).tiny), room.gather(1, order))
    return torch.zeros_like(slope).scatter(1, order, length)

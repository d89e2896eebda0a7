"""Steps brought to a size that is counted after the box has cut them."""

import math

import torch
from torch import Tensor

from dimple.tensors import Box, flatten, norm

# A multiplier that no box is wide enough for, and whose square still multiplies without overflow.
FAR = 1e30


def stretched(x: Tensor, step: Tensor, rms: float | Tensor, box: Box | None) -> Tensor:
    """Each step lengthened or shortened until, cut by the box around its sample, it has the root mean square `rms`.

    Where the box has not so much room in the step's direction, the step to its walls. A step of zero stays zero.

    Args:
        x: `(B, *shape)` inside the box.
        step: `(B, *shape)`.
        rms: for all, or `(B,)`.

    Example:
        >>> step = torch.tensor([[0.0, 1.0, -1.0, 0.0]])
        >>> stretched(torch.tensor([[0.5, 0.5, 0.1, 0.5]]), step, 0.15, Box())
        tensor([[ 0.0000,  0.2828, -0.1000,  0.0000]])
    """
    rows, moves = flatten(x), flatten(step)
    moves = moves / norm(step)[:, None].clamp(min=torch.finfo(x.dtype).tiny)
    wanted = torch.as_tensor(rms, dtype=x.dtype, device=x.device).reshape(-1, 1) * math.sqrt(moves.shape[1])
    if box is None:
        return (wanted * moves).reshape(x.shape)
    # A coordinate moves with the multiplier up to its wall: the squared length is piecewise quadratic between breaks.
    room = torch.where(moves > 0, box.high - rows, rows - box.low).clamp(min=0)
    breaks, order = (room / moves.abs().clamp(min=torch.finfo(x.dtype).tiny)).clamp(max=FAR).sort(dim=1)
    at_wall = room.square().gather(1, order).double().cumsum(1)
    moving = moves.square().gather(1, order).double()
    still = moving.flip(1).cumsum(1).flip(1)
    before = at_wall - room.square().gather(1, order)
    reached = before + breaks.double().square() * still
    last = (reached < wanted.double().square()).sum(1, keepdim=True).clamp(max=moves.shape[1] - 1)
    free = still.gather(1, last)
    left = (wanted.double().square() - before.gather(1, last)).clamp(min=0)
    multiplier = (left / free.clamp(min=torch.finfo(torch.float64).tiny)).sqrt().to(x.dtype)
    return (moves.sign() * torch.minimum(multiplier * moves.abs(), room)).reshape(x.shape)

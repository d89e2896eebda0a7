"""Landing exactly on the boundary: from a point on either side to a verified point on the far side of the crossing."""

import torch
from torch import Tensor

from dimple.boundary.boundary import Boundary
from dimple.tensors import per_sample


def land(
    boundary: Boundary, inside: Tensor, outside: Tensor, y: Tensor, steps: int = 24, towards: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Walk back along each segment from `outside` to the crossing that separates it from `inside`.

    False position with the Illinois rule, aimed a hair beyond the crossing, every third step a bisection: on a network
    that is linear near the crossing it lands in one or two steps, and it never needs more than thrice the steps of
    bisection.

    Args:
        inside: `(B, *shape)` samples that the classifier gives to `y`.
        outside: `(B, *shape)` samples that it does not.
        y: `(B,)` classes.
        steps: the most forwards spent on a sample; rows that have landed leave the batch.
        towards: `(B,)` classes whose boundary is meant, as in `Boundary.gap`; None for that of `y`.

    Returns:
        The landed points `(B, *shape)`, each verified to lie on the far side (gap <= 0), within a hundred-thousandth
        (float32) or a billionth (float64) of the segment's gap; their fraction `t` of the segment, `(B,)`; their gap,
        `(B,)`. Rows whose `outside` is no crossing at all (gap > 0) come back as they were, with t = 1 and that gap.
    """
    low, high = inside.new_zeros(len(inside)), inside.new_ones(len(inside))
    weight_low, weight_high = boundary.gap(inside, y, towards), boundary.gap(outside, y, towards)
    landed_gap, last_side = weight_high.clone(), torch.zeros_like(low)
    tolerance = 1e-9 if inside.dtype == torch.float64 else 1e-5
    close_enough = tolerance * (weight_low - weight_high)
    active = torch.nonzero((weight_high <= 0) & (weight_low > 0) & (weight_high < -close_enough)).squeeze(1)
    for step in range(steps):
        if len(active) == 0:
            break
        a, b, f_a, f_b = low[active], high[active], weight_low[active], weight_high[active]
        fraction = torch.full_like(a, 0.5) if step % 3 == 2 else f_a / (f_a - f_b) + tolerance / 2
        t = a + (b - a) * fraction.clamp(1e-4, 1 - 1e-4)
        x = inside[active] + per_sample(t, inside) * (outside[active] - inside[active])
        f = boundary.gap(x, y[active], None if towards is None else towards[active])
        far = f <= 0
        side = torch.where(far, 1.0, -1.0).to(t)
        halve = torch.where(side == last_side[active], 0.5, 1.0).to(t)
        last_side[active] = side
        low[active], high[active] = torch.where(far, a, t), torch.where(far, t, b)
        weight_low[active] = torch.where(far, halve * f_a, f)
        weight_high[active] = torch.where(far, f, halve * f_b)
        landed_gap[active] = torch.where(far, f, landed_gap[active])
        landed = far & (f >= -close_enough[active])
        closed = high[active] - low[active] <= tolerance * high[active]
        active = active[~(landed | closed)]
    return inside + per_sample(high, inside) * (outside - inside), high, landed_gap

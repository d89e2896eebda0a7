"""Root finding on segments: from a point on either side to a verified boundary point on the far side."""

import torch
from torch import Tensor

from dimple.boundary.boundary import Boundary
from dimple.tensors import broadcast_per_sample


def refine_to_boundary(
    boundary: Boundary, inside: Tensor, outside: Tensor, y: Tensor, max_steps: int = 24, target: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Find the point where each segment from `inside` to `outside` crosses the boundary.

    False position with the Illinois rule, aimed slightly beyond the crossing; every third step is a bisection. If the
    network is linear near the crossing, it converges in one or two steps. It never needs more than three times the
    steps of bisection.

    Args:
        boundary: the boundary; each step costs one forward for each sample that has not converged.
        inside: `(B, *shape)` samples that the classifier assigns to `y`.
        outside: `(B, *shape)` samples that it does not assign to `y`.
        y: `(B,)` classes.
        max_steps: the maximum number of steps for each sample; samples that have converged leave the batch.
        target: `(B,)` classes whose boundary is meant, as in `Boundary.logit_margin`; None for the boundary of `y`.

    Returns:
        The boundary points `(B, *shape)`, verified to lie on the far side (logit margin <= 0); their positions on the
        segments as fractions in [0, 1], `(B,)`; their logit margins, `(B,)`, of a size of at most 1e-5 (float32) or
        1e-9 (float64) of the difference between the margins at the two ends. A sample whose `outside` is on the near
        side (logit margin > 0) is returned with `outside` as its point, the fraction 1 and that logit margin.
    """
    low = inside.new_zeros(len(inside))
    high = inside.new_ones(len(inside))
    # False position works on these values, which the Illinois rule halves.
    low_value = boundary.logit_margin(inside, y, target)
    high_value = boundary.logit_margin(outside, y, target)
    logit_margin = high_value.clone()
    last_side = torch.zeros_like(low)
    tolerance = 1e-9 if inside.dtype == torch.float64 else 1e-5
    margin_tolerance = tolerance * (low_value - high_value)
    active = torch.nonzero((high_value <= 0) & (low_value > 0) & (high_value < -margin_tolerance)).squeeze(1)
    for step in range(max_steps):
        if len(active) == 0:
            break
        a = low[active]
        b = high[active]
        f_a = low_value[active]
        f_b = high_value[active]
        fraction = torch.full_like(a, 0.5) if step % 3 == 2 else f_a / (f_a - f_b) + tolerance / 2
        t = a + (b - a) * fraction.clamp(1e-4, 1 - 1e-4)
        x = inside[active] + broadcast_per_sample(t, inside) * (outside[active] - inside[active])
        f = boundary.logit_margin(x, y[active], None if target is None else target[active])
        far = f <= 0
        side = torch.where(far, 1.0, -1.0).to(t)
        halve = torch.where(side == last_side[active], 0.5, 1.0).to(t)
        last_side[active] = side
        low[active] = torch.where(far, a, t)
        high[active] = torch.where(far, t, b)
        low_value[active] = torch.where(far, halve * f_a, f)
        high_value[active] = torch.where(far, f, halve * f_b)
        logit_margin[active] = torch.where(far, f, logit_margin[active])
        is_margin_small = far & (f >= -margin_tolerance[active])
        is_bracket_small = high[active] - low[active] <= tolerance * high[active]
        active = active[~(is_margin_small | is_bracket_small)]
    return inside + broadcast_per_sample(high, inside) * (outside - inside), high, logit_margin

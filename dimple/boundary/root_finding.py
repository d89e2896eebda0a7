"""Root finding on segments: the bracketed root finder of searches, offsets and level sets."""

import dataclasses
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from dimple.boundary.boundary import Boundary
from dimple.tensors import broadcast_per_sample

# The error of a root, as a fraction of its bracket at the start.
ROOT_TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-11}
# From this step on, every third one is a bisection: false position alone may be slow where the function saturates.
FIRST_BISECTION = 5


@final
@dataclasses.dataclass(frozen=True)
class Roots:
    """Brackets of roots on the segments from t = 0 to t = 1, one for each row.

    Attributes:
        low: `(B,)`, the largest t known on the near side, where the function is positive or nan.
        high: `(B,)`, the smallest t known on the far side, where the function is at most zero.
        value: `(B,)`, the function at `high`.
        error: `(B,)`, an estimate of the distance of the root from `high`.
    """

    low: Tensor
    high: Tensor
    value: Tensor
    error: Tensor


def find_roots(
    function: Callable[[Tensor, Tensor], Tensor],
    near_value: Tensor,
    far_value: Tensor,
    max_steps: int | Tensor,
    tolerance: float,
    slope: Tensor | None = None,
) -> Roots:
    """Find a zero of a function between t = 0, where it is positive, and t = 1, where it is not, for each row.

    A step is one of Newton's method from the far side while a slope is all that is known of the crossing, else one of
    false position with the Illinois rule; both aim beyond the crossing by the tolerance. A step that leaves the
    bracket, and one between values that are not finite, is a bisection, which needs the signs alone.

    Args:
        function: maps rows `(R,)` and their positions `(R,)` to values `(R,)`; nan counts as the near side.
        near_value: `(B,)`, the values at t = 0.
        far_value: `(B,)`, the values at t = 1; a row where it is positive is returned as it is.
        max_steps: the maximum number of values of the function for each row, one number or `(B,)`.
        tolerance: the error of t at which a row has converged; it then leaves the batch.
        slope: `(B,)`, the derivatives at t = 1; None where they are unknown.

    Example:
        >>> roots = find_roots(lambda rows, t: 0.25 - t * t, torch.tensor([0.25]), torch.tensor([-0.75]), 20, 1e-5)
        >>> bool(roots.high >= 0.5), roots.high.round(decimals=3)
        (True, tensor([0.5000]))
    """
    low = torch.zeros_like(far_value)
    high = torch.ones_like(far_value)
    # The Illinois rule halves these values; `value` stays the true one at `high`.
    f_low = near_value.clone()
    f_high = far_value.clone()
    value = far_value.clone()
    last_side = torch.zeros_like(low)
    slope = torch.full_like(low, torch.nan) if slope is None else slope.clone()
    limit = torch.as_tensor(max_steps, device=low.device).expand(low.shape)
    error = torch.where(far_value <= 0, _linear_error(low, high, f_low, f_high, slope), torch.inf)
    step = 0
    while True:
        rows = torch.nonzero((error > tolerance) & (value <= 0) & (step < limit)).squeeze(1)
        if len(rows) == 0:
            return Roots(low, high, value, error)
        a, b, f_a, f_b = low[rows], high[rows], f_low[rows], f_high[rows]
        newton = b - value[rows] / slope[rows]
        false_position = a + (b - a) * (f_a / (f_a - f_b))
        t = torch.where((a == 0) & (slope[rows] < 0), newton, false_position) + tolerance
        if step >= FIRST_BISECTION and step % 3 == 2:
            t = torch.full_like(t, torch.nan)
        t = torch.where((t > a) & (t < b), t, (a + b) / 2)
        f = function(rows, t)
        far = f <= 0
        # The chord of two points on the far side is a better slope there.
        chord = (value[rows] - f) / (b - t)
        slope[rows] = torch.where(far & torch.isfinite(chord), chord, slope[rows])
        halve = torch.where(far == (last_side[rows] < 0), 0.5, 1.0).where(last_side[rows] != 0, 1.0).to(t)
        low[rows] = torch.where(far, a, t)
        high[rows] = torch.where(far, t, b)
        f_low[rows] = torch.where(far, halve * f_a, f)
        f_high[rows] = torch.where(far, f, halve * f_b)
        value[rows] = torch.where(far, f, value[rows])
        last_side[rows] = torch.where(far, -1.0, 1.0).to(t)
        error[rows] = _linear_error(low[rows], high[rows], f_low[rows], value[rows], slope[rows])
        step += 1


def _linear_error(low: Tensor, high: Tensor, f_low: Tensor, value: Tensor, slope: Tensor) -> Tensor:
    """Return how far the root is from `high` on the line through both ends, or on that of the slope, less one aim."""
    chord = (value - f_low) / (high - low)
    local = torch.where(slope < 0, slope, chord)
    linear = torch.where(torch.isfinite(local) & (local < 0) & torch.isfinite(value), value / local, torch.inf)
    return torch.minimum(linear / 2, (high - low) / high)


def refine_to_boundary(
    boundary: Boundary, inside: Tensor, outside: Tensor, y: Tensor, max_steps: int = 24, target: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Find the point where each segment from `inside` to `outside` crosses the boundary, with `find_roots`.

    Args:
        boundary: the boundary; each step costs one forward for each sample that has not converged.
        inside: `(B, *shape)` samples that the classifier assigns to `y`.
        outside: `(B, *shape)` samples that it does not assign to `y`.
        y: `(B,)` classes.
        max_steps: the maximum number of steps for each sample.
        target: `(B,)` classes whose boundary is meant, as in `Boundary.logit_margin`; None for the boundary of `y`.

    Returns:
        The boundary points `(B, *shape)`, verified to lie on the far side (logit margin <= 0); their positions on the
        segments as fractions in [0, 1], `(B,)`; their logit margins, `(B,)`. A sample whose `outside` is on the near
        side (logit margin > 0) is returned with `outside` as its point, the fraction 1 and that logit margin.
    """

    def level(rows: Tensor, t: Tensor) -> Tensor:
        points = inside[rows] + broadcast_per_sample(t, inside) * (outside[rows] - inside[rows])
        return boundary.logit_margin(points, y[rows], None if target is None else target[rows])

    near = boundary.logit_margin(inside, y, target)
    far = boundary.logit_margin(outside, y, target)
    tolerance = ROOT_TOLERANCE.get(inside.dtype, 1e-5)
    roots = find_roots(level, near, far, torch.where(near > 0, max_steps, 0), tolerance)
    return inside + broadcast_per_sample(roots.high, inside) * (outside - inside), roots.high, roots.value

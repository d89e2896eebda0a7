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
# This step and every fifth after it are bisections, because interpolation is slow where the function saturates. From
# then on no step goes to the zero of a parabola, because it is slow at a kink.
FIRST_BISECTION = 5
# The smallest factor of the value at an end that two steps in a row left in place; a smaller one is replaced by a half.
MIN_FACTOR = 0.1


@final
@dataclasses.dataclass(frozen=True)
class Roots:
    """Roots on the segments from t = 0 to t = 1, one for each row.

    Attributes:
        root: `(B,)`, the estimate of the root.
        far: `(B,)`, the smallest t known where the function is at most zero.
        far_value: `(B,)`, the function there.
        error: `(B,)`, an estimate of the distance of the root from `far`, or of its error if it is not confirmed.
    """

    root: Tensor
    far: Tensor
    far_value: Tensor
    error: Tensor


def find_roots(
    function: Callable[[Tensor, Tensor], Tensor],
    near_value: Tensor,
    far_value: Tensor,
    max_steps: int | Tensor,
    tolerance: float,
    slope: Tensor | None = None,
    confirm: bool = True,
) -> Roots:
    """Find a zero of a function between t = 0, where it is positive, and t = 1, where it is not, for each row.

    The first step is one of Newton's method from the far side where the slope there is known, else one of false
    position. A later one goes to the zero of the parabola through the last point and the two ends of the bracket before
    it, or, where this zero lies outside the bracket, is one of false position with the factor of Anderson and Bjorck. A
    step that leaves the bracket, one between values that are not finite, and some of the others are bisections, which
    need the signs alone.

    Args:
        function: maps rows `(R,)` and their positions `(R,)` to values `(R,)`; nan counts as the near side.
        near_value: `(B,)`, the values at t = 0.
        far_value: `(B,)`, the values at t = 1; a row where it is positive is returned as it is.
        max_steps: the maximum number of values of the function for each row, one number or `(B,)`.
        tolerance: the error of t at which a row has converged; it then leaves the batch.
        slope: `(B,)`, the derivatives at t = 1; None where they are unknown.
        confirm: whether a row has converged only where the function is at most zero within the tolerance of the root,
            for which all steps aim beyond it by half the tolerance. Else it suffices that both kinds of step agree on a
            root near the last value, which takes one value of the function less.

    Reference: Anderson and Bjorck 1973, A new high order method of regula falsi type.

    Example:
        >>> roots = find_roots(lambda rows, t: 0.25 - t * t, torch.tensor([0.25]), torch.tensor([-0.75]), 20, 1e-5)
        >>> bool(roots.far >= 0.5), roots.far.round(decimals=3)
        (True, tensor([0.5000]))
    """
    brackets = _Brackets(near_value, far_value)
    change = near_value - far_value
    limit = torch.as_tensor(max_steps, device=change.device).expand(change.shape)
    root = near_value / change
    if slope is not None:
        root = torch.where(slope < 0, 1 - far_value / slope, root)
    error = torch.full_like(change, torch.inf)
    if confirm:
        error = _far_error(brackets.low, brackets.high, root)
    step = 0
    while True:
        rows = torch.nonzero((error > tolerance) & (brackets.f_high <= 0) & (step < limit)).squeeze(1)
        if len(rows) == 0:
            return Roots(root, brackets.high, brackets.f_high, error)
        a = brackets.low[rows]
        b = brackets.high[rows]
        if step >= FIRST_BISECTION and step % 5 == 0:
            t = (a + b) / 2
        elif confirm:
            # Where two steps in a row fall short, they differ by rounding.
            t = root[rows] + torch.where(brackets.falls_short[rows], 50 * tolerance, tolerance / 2).to(root)
        else:
            t = torch.clamp(root[rows], a + tolerance * (b - a), b - tolerance * (b - a))
        t = torch.where((t > a) & (t < b), t, (a + b) / 2)
        f = function(rows, t)
        parabola = _parabola_root(t, f, a, b, brackets.f_low[rows], brackets.f_high[rows])
        false_position = brackets.update(rows, t, f)
        a = brackets.low[rows]
        b = brackets.high[rows]
        is_inside = (parabola >= a) & (parabola <= b) & (step < FIRST_BISECTION)
        estimate = torch.where(is_inside, parabola, false_position).where(f != 0, t)
        root[rows] = torch.where(estimate.isnan(), (a + b) / 2, estimate)
        if confirm:
            error[rows] = _far_error(a, b, root[rows])
        else:
            fraction = torch.minimum(brackets.f_low[rows].abs(), brackets.f_high[rows].abs()) / change[rows]
            fraction = torch.where(fraction.isnan(), b - a, fraction)
            agree = is_inside & (fraction < tolerance**0.5)
            error[rows] = fraction.where(~agree, torch.minimum((parabola - false_position).abs(), fraction))
        step += 1


@final
class _Brackets:
    """The ends of the brackets, the values there, and what false position needs besides.

    Attributes:
        low, high: `(B,)`, the last t on the near side and on the far side.
        f_low, f_high: `(B,)`, the values there.
        last_side: `(B,)`, the sign of the last value, with -1 for the far side, or 0.
        weight: `(B,)`, the factor of the value at the end that the last values left in place.
    """

    def __init__(self, near_value: Tensor, far_value: Tensor) -> None:
        self.low = torch.zeros_like(far_value)
        self.high = torch.ones_like(far_value)
        self.f_low = near_value.clone()
        self.f_high = far_value.clone()
        self.last_side = torch.zeros_like(far_value)
        self.weight = torch.ones_like(far_value)

    @property
    def falls_short(self) -> Tensor:
        """`(B,)`, true where the last two values lie on the near side."""
        return (self.last_side > 0) & (self.weight < 1)

    def update(self, rows: Tensor, t: Tensor, f: Tensor) -> Tensor:
        """Narrow the brackets of some rows by their values `(R,)` at `t`; return the next step of false position."""
        side = torch.where(f <= 0, -1.0, 1.0).to(t)
        is_far = side < 0
        a = self.low[rows]
        b = self.high[rows]
        f_a = self.f_low[rows]
        f_b = self.f_high[rows]
        factor = 1 - f / torch.where(is_far, f_b, f_a)
        factor = self.weight[rows] * torch.where(factor > MIN_FACTOR, factor, 0.5)
        factor = torch.where(side == self.last_side[rows], factor, 1.0)
        a = torch.where(is_far, a, t)
        b = torch.where(is_far, t, b)
        f_a = torch.where(is_far, f_a, f)
        f_b = torch.where(is_far, f, f_b)
        self.low[rows] = a
        self.high[rows] = b
        self.f_low[rows] = f_a
        self.f_high[rows] = f_b
        self.last_side[rows] = side
        self.weight[rows] = factor
        return a + (b - a) * torch.where(is_far, factor * f_a / (factor * f_a - f_b), f_a / (f_a - factor * f_b))


def _far_error(low: Tensor, high: Tensor, root: Tensor) -> Tensor:
    """Return the distance of the root from `high`, at most that of the other end of the bracket."""
    error = high - root
    return torch.minimum(torch.where(error >= 0, error, torch.inf), (high - low) / high)


def _parabola_root(t: Tensor, f: Tensor, a: Tensor, b: Tensor, f_a: Tensor, f_b: Tensor) -> Tensor:
    """Return the zero nearest to `t` of the parabola through three points; nan where it has none.

    The values are divided by a power of two first, so that no square overflows or vanishes, without rounding.
    """
    exponent = torch.frexp(torch.maximum(f_a.abs(), f_b.abs())).exponent
    f, f_a, f_b = (torch.ldexp(value, -exponent) for value in (f, f_a, f_b))
    before = (f - f_a) / (t - a)
    after = (f_b - f) / (b - t)
    bend = (after - before) / (b - a)
    slope = before + bend * (t - a)
    root = (slope * slope - 4 * bend * f).sqrt()
    return t - 2 * f / (slope + torch.copysign(root, slope))


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
    return inside + broadcast_per_sample(roots.far, inside) * (outside - inside), roots.far, roots.far_value

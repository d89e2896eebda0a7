"""Root finding on edges of a grid: the points where a level set crosses the edges."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
# Later steps use only false position, which always converges.
MAX_PARABOLA_STEPS = 4
# Smallest distance of a false-position step from both ends of its bracket, as a fraction of the bracket.
MIN_BRACKET_FRACTION = 1e-3


def find_edge_roots(
    level: Callable[[Floats], Floats],
    start: Floats,
    end: Floats,
    values: Floats,
    max_steps: int = 8,
    tolerance: float = 1e-6,
) -> tuple[Floats, Floats]:
    """Find the zero of the level on each segment whose ends `(E, n)` have values `(E, 2)` of opposite signs.

    Newton steps use the slope of the parabola through the last point and the two ends of the bracket around the zero.
    A step that leaves the bracket is replaced by one of false position with the Illinois rule. No point leaves its
    segment, so a mesh made of these points keeps the topology that the signs give it. A point has converged if its
    level is below `tolerance` times the change of level along the segment, or if its level is below the square root of
    `tolerance` times this change and both kinds of step agree to `tolerance` times the length.

    Args:
        level: function from points `(M, n)` to values `(M,)`.
        start: first ends of the segments.
        end: second ends of the segments.
        values: levels at both ends.
        max_steps: evaluations of the level on one segment, at most; 0 interpolates linearly.
        tolerance: error at which a point has converged, as a fraction of its segment.

    Returns:
        The points `(E, n)`, and an estimate `(E,)` of the distance of each from the zero as a fraction of its segment:
        its level divided by the change, or the difference of the two steps. It exceeds `tolerance` where a point has
        not converged, and is infinite without steps.

    Example:
        >>> ends = np.array([[0.0]]), np.array([[1.0]])
        >>> point, _ = find_edge_roots(lambda x: x[:, 0] ** 2 - 0.25, *ends, np.array([[-0.25, 0.75]]), max_steps=20)
        >>> round(float(point[0, 0]), 6)
        0.5
    """
    # Positions along the segment run from 0 to 1; a and b are the ends of the bracket, f_a and f_b their levels.
    bracket = np.stack([np.zeros(len(start)), np.ones(len(start))])
    bracket_values = values.T.copy()
    change = np.abs(values[:, 0] - values[:, 1])
    best = values[:, 0] / (values[:, 0] - values[:, 1])
    # Strictly inside the segment, because the level may have a kink at an end.
    t = np.clip(best, MIN_BRACKET_FRACTION, 1 - MIN_BRACKET_FRACTION)
    error = np.full(len(start), np.inf)
    side = np.zeros(len(start))
    active = np.arange(len(start))
    for step in range(max_steps):
        if len(active) == 0:
            break
        a, b = bracket[:, active]
        f_a, f_b = bracket_values[:, active]
        at = t[active]
        f = level(start[active] + at[:, None] * (end[active] - start[active]))
        fraction = np.abs(f) / change[active]
        better = fraction < error[active]
        best[active] = np.where(better, at, best[active])
        error[active] = np.where(better, fraction, error[active])
        newton = _parabola_root(at, f, a, b, f_a, f_b)
        lower = (f >= 0) == (f_a >= 0)
        # Illinois rule: an end that is retained twice in a row loses half its weight, else it might stay forever.
        halve = np.where(side[active] == lower, 0.5, 1.0)
        side[active] = lower
        a = np.where(lower, at, a)
        b = np.where(lower, b, at)
        f_a = np.where(lower, f, halve * f_a)
        f_b = np.where(lower, halve * f_b, f)
        bracket[:, active] = a, b
        bracket_values[:, active] = f_a, f_b
        # Both levels may be zero by now, if one was zero from the start.
        weight = np.divide(f_a, f_a - f_b, out=np.full_like(f_a, 0.5), where=f_a != f_b)
        false_position = a + (b - a) * np.clip(weight, MIN_BRACKET_FRACTION, 1 - MIN_BRACKET_FRACTION)
        inside = (newton > a) & (newton < b) & (step < MAX_PARABOLA_STEPS)
        t[active] = np.where(inside, newton, false_position)
        difference = np.abs(newton - false_position)
        agree = inside & (difference < tolerance) & (fraction < tolerance**0.5) & (fraction > tolerance)
        best[active[agree]] = newton[agree]
        error[active[agree]] = difference[agree]
        active = active[~agree & (fraction > tolerance)]
    return start + best[:, None] * (end - start), error


def _parabola_root(t: Floats, f: Floats, a: Floats, b: Floats, f_a: Floats, f_b: Floats) -> Floats:
    """Return the zero nearest to `t` of the parabola through three points; nan where it has none."""
    with np.errstate(invalid="ignore", divide="ignore"):
        before = (f - f_a) / (t - a)
        after = (f_b - f) / (b - t)
        bend = (after - before) / (b - a)
        slope = before + bend * (t - a)
        root = np.sqrt(slope * slope - 4 * bend * f)
        zero: Floats = t - 2 * f / (slope + np.copysign(root, slope))
    return zero

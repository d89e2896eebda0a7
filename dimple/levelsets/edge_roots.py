"""Crossings on lattice edges, brought onto the level set without leaving their edge."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
# So many steps follow the parabola; what has not landed by then goes on by false position, which always arrives.
CURVED = 4
# The share of a bracket that a step of false position leaves on either side of it.
INSIDE = 1e-3


def landed(
    level: Callable[[Floats], Floats], start: Floats, end: Floats, values: Floats, steps: int = 8, within: float = 1e-6
) -> tuple[Floats, Floats]:
    """The zero of the level on each segment whose ends `(E, n)` have values `(E, 2)` of opposite signs.

    Newton steps, with the slope of the parabola through the last point and the two ends of the bracket around the zero;
    a step that leaves the bracket is one of false position with the Illinois rule instead. So no point leaves its
    segment, and a mesh made of these points keeps the topology that the signs gave it. A point has landed once its
    level is below `within` of the segment's change of level, or once, below the square root of that, both kinds of
    step agree to `within` of its length.

    Args:
        level: points `(M, n)` to values `(M,)`.
        steps: the most values asked for on one segment.

    Returns:
        The points `(E, n)`, and how far each may be from the zero, `(E,)`, as a share of its segment: by its level, or
        by how far the two steps differ; more than `within` where it has not landed.

    Example:
        >>> ends = np.array([[0.0]]), np.array([[1.0]])
        >>> point, left = landed(lambda x: x[:, 0] ** 2 - 0.25, *ends, np.array([[-0.25, 0.75]]), steps=20)
        >>> round(float(point[0, 0]), 6)
        0.5
    """
    brackets = np.stack([np.zeros(len(start)), np.ones(len(start))]), values.T.copy()
    change = np.abs(values[:, 0] - values[:, 1])
    best = values[:, 0] / (values[:, 0] - values[:, 1])
    # Strictly within, where the sides of a fold that holds an end can be told apart.
    t = np.clip(best, INSIDE, 1 - INSIDE)
    left, side = np.full(len(start), np.inf), np.zeros(len(start))
    active = np.arange(len(start))
    for step in range(steps):
        if len(active) == 0:
            break
        (a, b), (f_a, f_b) = (both[:, active] for both in brackets)
        at = t[active]
        f = level(start[active] + at[:, None] * (end[active] - start[active]))
        share = np.abs(f) / change[active]
        better = share < left[active]
        best[active], left[active] = np.where(better, at, best[active]), np.where(better, share, left[active])
        newton = _on_parabola(at, f, a, b, f_a, f_b)
        lower = (f >= 0) == (f_a >= 0)
        # The end that stays twice in a row loses half its weight, else it would stay for ever.
        halve = np.where(side[active] == lower, 0.5, 1.0)
        side[active] = lower
        a, f_a = np.where(lower, at, a), np.where(lower, f, halve * f_a)
        b, f_b = np.where(lower, b, at), np.where(lower, halve * f_b, f)
        brackets[0][:, active], brackets[1][:, active] = (a, b), (f_a, f_b)
        # Both ends may be zero by now, where one was from the start.
        weight = np.divide(f_a, f_a - f_b, out=np.full_like(f_a, 0.5), where=f_a != f_b)
        false = a + (b - a) * np.clip(weight, INSIDE, 1 - INSIDE)
        inside = (newton > a) & (newton < b) & (step < CURVED)
        t[active] = np.where(inside, newton, false)
        agree = inside & (np.abs(newton - false) < within) & (share < within**0.5) & (share > within)
        best[active[agree]], left[active[agree]] = newton[agree], np.abs(newton - false)[agree]
        active = active[~agree & (share > within)]
    return start + best[:, None] * (end - start), left


def _on_parabola(t: Floats, f: Floats, a: Floats, b: Floats, f_a: Floats, f_b: Floats) -> Floats:
    """The zero next to `t` of the parabolas through three points each; nan where one has none."""
    with np.errstate(invalid="ignore", divide="ignore"):
        before, after = (f - f_a) / (t - a), (f_b - f) / (b - t)
        bend = (after - before) / (b - a)
        slope = before + bend * (t - a)
        root = np.sqrt(slope * slope - 4 * bend * f)
        zero: Floats = t - 2 * f / (slope + np.copysign(root, slope))
    return zero

"""Crossings on lattice edges, brought onto the level set without leaving their edge."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def landed(
    level: Callable[[Floats], Floats], start: Floats, end: Floats, values: Floats, steps: int = 8, within: float = 1e-6
) -> tuple[Floats, Floats]:
    """The zero of the level on each segment whose ends `(E, n)` have values `(E, 2)` of opposite signs.

    False position with the Illinois rule: one step where the level is linear, and never outside the segment, so that a
    mesh made of these points keeps the topology that the signs gave it.

    Args:
        level: points `(M, n)` to values `(M,)`.
        steps: the most values asked for on one segment.
        within: points whose level is below this share of the segment's change of level have landed.

    Returns:
        The points `(E, n)`, and the level that is left there, `(E,)`.

    Example:
        >>> ends = np.array([[0.0]]), np.array([[1.0]])
        >>> point, left = landed(lambda x: x[:, 0] ** 2 - 0.25, *ends, np.array([[-0.25, 0.75]]), steps=20)
        >>> round(float(point[0, 0]), 6)
        0.5
    """
    near, far = np.zeros(len(start)), np.ones(len(start))
    near_value, far_value = values[:, 0].copy(), values[:, 1].copy()
    best = near_value / (near_value - far_value)
    left, side = np.full(len(start), np.inf), np.zeros(len(start))
    tolerance = within * np.abs(values[:, 0] - values[:, 1])
    active = np.arange(len(start))
    for _ in range(steps):
        if len(active) == 0:
            break
        a, b, f_a, f_b = near[active], far[active], near_value[active], far_value[active]
        t = a + (b - a) * np.clip(f_a / (f_a - f_b), 1e-3, 1 - 1e-3)
        f = level(start[active] + t[:, None] * (end[active] - start[active]))
        better = np.abs(f) < np.abs(left[active])
        best[active], left[active] = np.where(better, t, best[active]), np.where(better, f, left[active])
        lower = (f > 0) == (f_a > 0)
        now = np.where(lower, 1.0, -1.0)
        # The end that stays twice in a row loses half its weight, else it would stay for ever.
        halve = np.where(side[active] == now, 0.5, 1.0)
        side[active] = now
        near[active], near_value[active] = np.where(lower, t, a), np.where(lower, f, halve * f_a)
        far[active], far_value[active] = np.where(lower, b, t), np.where(lower, halve * f_b, f)
        active = active[np.abs(f) > tolerance[active]]
    return start + best[:, None] * (end - start), left

"""Root finding on edges of a grid: the points where a level set crosses the edges."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dimple.boundary.root_finding import find_roots

Floats = NDArray[np.float64]


def find_edge_roots(
    level: Callable[[Floats], Floats],
    start: Floats,
    end: Floats,
    values: Floats,
    max_steps: int = 8,
    tolerance: float = 1e-6,
) -> tuple[Floats, Floats]:
    """Find the zero of the level on each segment whose ends `(E, n)` have values `(E, 2)` of opposite signs.

    No point leaves its segment, so a mesh made of these points keeps the topology that the signs give it.

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
    positive = values[:, 0] >= 0
    sign = torch.from_numpy(np.where(positive, 1.0, -1.0))
    near_value, far_value = sign * torch.from_numpy(values.T.copy())

    def function(rows: Tensor, t: Tensor) -> Tensor:
        segments = rows.numpy()
        points = start[segments] + t.numpy()[:, None] * (end[segments] - start[segments])
        return sign[rows] * torch.from_numpy(level(points))

    roots = find_roots(function, near_value, far_value, max_steps, tolerance, confirm=False)
    return start + roots.root.numpy()[:, None] * (end - start), roots.error.numpy()

"""Which part of a section are inputs at all: those whose coordinates keep their bounds, such as pixels in [0, 1]."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dimple.boundary.affine_slice import Section
from dimple.tensors import Box

Floats = NDArray[np.float64]
# Of the bounds' range, less than a pixel's level of 255: images whose pixels are 0 or 1 stand on the bounds.
SLACK = 1e-3


def valid_corners(section: Section, bounds: Box, low: Sequence[float], high: Sequence[float]) -> Floats:
    """The corners `(P, k)` of the convex part of a box of the section in which every coordinate keeps its bounds.

    In the plane they go round it. Without a corner, `(0, k)`, where that part has no extent.

    Example:
        >>> import torch
        >>> diagonal = Section(torch.zeros(2), torch.tensor([[1.0, 1.0], [1.0, -1.0]]))
        >>> corners = valid_corners(diagonal, Box(0.0, 1.0), (-2, -2), (2, 2))
        >>> np.abs(corners).max(0).round(2)
        array([1.42, 0.71])
    """
    from scipy.optimize import linprog
    from scipy.spatial import ConvexHull, HalfspaceIntersection, QhullError

    axes = section.axes.double().cpu().numpy()
    origin = section.origin.reshape(-1).double().cpu().numpy()
    slack, eye = SLACK * (bounds.high - bounds.low), np.eye(len(low))
    normals = np.concatenate([axes, -axes, eye, -eye])
    limits = np.concatenate([bounds.high + slack - origin, origin - bounds.low + slack, high, -np.array(low)])
    size = np.linalg.norm(normals, axis=1)
    # The middle of the largest ball within: a place from which all walls are seen.
    ball = linprog([*np.zeros(len(low)), -1.0], A_ub=np.column_stack([normals, size]), b_ub=limits, bounds=(None, None))
    if not ball.success or ball.x[-1] < 1e-9 * (high[0] - low[0]):
        return np.zeros((0, len(low)))
    try:
        corners = HalfspaceIntersection(np.column_stack([normals, -limits]), ball.x[:-1]).intersections
        hull = ConvexHull(corners)
    except QhullError:
        return np.zeros((0, len(low)))
    found: Floats = corners[hull.vertices]
    return found


def valid_share(corners: Floats, low: Sequence[float], high: Sequence[float]) -> float:
    """The area or volume of that part over that of the box.

    Example:
        >>> valid_share(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), (-1, -1), (1, 1))
        0.125
    """
    from scipy.spatial import ConvexHull

    if len(corners) <= len(low):
        return 0.0
    return float(ConvexHull(corners).volume / np.prod(np.array(high) - np.array(low)))

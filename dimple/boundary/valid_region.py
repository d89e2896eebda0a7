"""The valid region of an affine slice: the points whose coordinates are all within bounds, such as pixels in [0, 1]."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dimple.boundary.affine_slice import AffineSlice
from dimple.tensors import Box

Floats = NDArray[np.float64]
# Allowance beyond the bounds, as a fraction of their range, for the rounding of images and axes in single precision.
ROUNDING_TOLERANCE = 1e-6
# A region whose largest ball has a smaller radius, as a fraction of the range, has no extent: only the allowance gives
# it some. So it is around an image with many pixels on the bounds, which nearly every direction takes beyond them.
MIN_RADIUS = 1e-3


def valid_region_vertices(
    affine_slice: AffineSlice, bounds: Box, low: Sequence[float], high: Sequence[float]
) -> Floats:
    """Return the vertices `(P, k)` of the convex region of a slice in which every coordinate is within the bounds.

    In two dimensions the vertices are in order around the polygon.

    Args:
        affine_slice: the slice.
        bounds: the bounds of every coordinate of a sample, with an allowance of `ROUNDING_TOLERANCE`.
        low: k lower limits of the box, in slice coordinates, to which the region is cut.
        high: k upper limits of that box.

    Returns:
        The vertices; `(0, k)` where the region has no extent.

    Example:
        >>> import torch
        >>> diagonal = AffineSlice(torch.zeros(2), torch.tensor([[1.0, 1.0], [1.0, -1.0]]))
        >>> vertices = valid_region_vertices(diagonal, Box(0.0, 1.0), (-2, -2), (2, 2))
        >>> np.abs(vertices).max(0).round(2)
        array([1.41, 0.71])
    """
    from scipy.optimize import linprog
    from scipy.spatial import ConvexHull, HalfspaceIntersection, QhullError

    axes = affine_slice.axes.double().cpu().numpy()
    origin = affine_slice.origin.reshape(-1).double().cpu().numpy()
    lowest, highest = bounds.for_rows(affine_slice.origin[None]).to_numpy()
    width = float(np.max(highest - lowest))
    slack = ROUNDING_TOLERANCE * width
    eye = np.eye(len(low))
    normals = np.concatenate([axes, -axes, eye, -eye])
    limits = np.concatenate([highest + slack - origin, origin - lowest + slack, high, -np.array(low)])
    size = np.linalg.norm(normals, axis=1)
    # The center of the largest ball in the region: HalfspaceIntersection needs an interior point.
    ball = linprog([*np.zeros(len(low)), -1.0], A_ub=np.column_stack([normals, size]), b_ub=limits, bounds=(None, None))
    if not ball.success or ball.x[-1] < MIN_RADIUS * width:
        return np.zeros((0, len(low)))
    try:
        vertices = HalfspaceIntersection(np.column_stack([normals, -limits]), ball.x[:-1]).intersections
        hull = ConvexHull(vertices)
    except QhullError:
        return np.zeros((0, len(low)))
    ordered: Floats = vertices[hull.vertices]
    return ordered


def valid_fraction(vertices: Floats, low: Sequence[float], high: Sequence[float]) -> float:
    """Return the area or volume of the valid region as a fraction of that of the box from `low` to `high`.

    Example:
        >>> valid_fraction(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), (-1, -1), (1, 1))
        0.125
    """
    from scipy.spatial import ConvexHull

    if len(vertices) <= len(low):
        return 0.0
    return float(ConvexHull(vertices).volume / np.prod(np.array(high) - np.array(low)))

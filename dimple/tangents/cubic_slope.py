"""The slope that a surface has at the center of its neighborhoods beside that of their planes, by cubic fits.

A wave that is higher on one side of a neighborhood than on the other turns its plane away from the tangent plane, at
the center. Where it is lower than the noise, neither the spectrum of the neighborhood nor the differences of close
neighbors show it. The linear coefficients of a cubic fit do, on average over many neighborhoods.

Reference: Fan and Gijbels 1996, Local polynomial modelling and its applications, section 3.1.
"""

import itertools
import math
from collections.abc import Iterable

import torch
from torch import Tensor

# Neighbors for each coefficient of a fit, at least.
POINTS_PER_COEFFICIENT = 1.5
# A slope is taken for one from this number of standard errors of pure noise on.
MIN_STANDARD_ERRORS = 3.0


def cubic_slope_angle(
    neighborhoods: Iterable[tuple[Tensor, Tensor, Tensor, Tensor]], neighbors: int, cloud_size: int
) -> float:
    """Return the root mean square angle between planes and the surface at their centers, beyond noise, in radians.

    It is 0 where noise may be the cause, and where there are too few neighbors for a fit. Directions add their squares.

    Args:
        neighborhoods: differences from a point `(B, k, n)`, weights `(B, k)`, bases of the planes `(B, n, d)` and radii
            `(B,)`.
        neighbors: the number of neighbors with a weight, at most.
        cloud_size: the number of points, which limits how many neighborhoods are independent.
    """
    parts = []
    for differences, weight, basis, radius in neighborhoods:
        if neighbors < POINTS_PER_COEFFICIENT * math.comb(basis.shape[2] + 3, 3):
            return 0.0
        parts.append(_squared_slopes(differences, weight, basis, radius))
    if not parts:
        return 0.0
    square, by_noise, precision = torch.cat(parts).unbind(1)
    total = precision.sum().clamp(min=torch.finfo(precision.dtype).tiny)
    mean = float((precision * (square - by_noise)).sum() / total)
    independent = max(1.0, min(len(square), 2 * cloud_size / neighbors))
    spread = float((2 * (precision * by_noise).square().sum()).sqrt() / total)
    error = spread * math.sqrt(len(square) / independent)
    return math.atan(math.sqrt(mean)) if mean > MIN_STANDARD_ERRORS * error else 0.0


def _squared_slopes(differences: Tensor, weight: Tensor, basis: Tensor, radius: Tensor) -> Tensor:
    """Return the squared slope at the center, what noise adds to it, and the precision of the fit, `(B, 3)` float64."""
    d = basis.shape[2]
    size = radius.clamp(min=torch.finfo(radius.dtype).tiny)[:, None, None]
    inside = differences @ basis
    heights = ((differences - inside @ basis.mT) / size).double()
    inside = (inside / size).double()
    terms = [
        inside[:, :, list(axes)].prod(2)
        for power in range(4)
        for axes in itertools.combinations_with_replacement(range(d), power)
    ]
    root = weight.double().sqrt()[:, :, None]
    q, r = torch.linalg.qr(root * torch.stack(terms, 2))
    pivots = torch.diagonal(r, dim1=1, dim2=2).abs()
    freedom = (weight > 0).sum(1) - r.shape[1]
    determined = (pivots.amin(1) > 1e-6 * pivots.amax(1)) & (freedom > 0)
    eye = torch.eye(r.shape[1], dtype=r.dtype, device=r.device)
    inverse = torch.linalg.solve_triangular(torch.where(determined[:, None, None], r, eye), eye, upper=True)
    projected = q.mT @ (root * heights)
    slopes = inverse[:, 1 : d + 1] @ projected
    variance = (root * heights - q @ projected).square().sum((1, 2)) / freedom.clamp(min=1)
    spread = inverse[:, 1 : d + 1].square().sum((1, 2))
    precision = torch.where(determined, 1 / spread, 0.0)
    return torch.stack([slopes.square().sum((1, 2)), variance * spread, precision], 1)

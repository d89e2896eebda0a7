"""Quadratic fit over an estimated tangent plane, which removes the error that curvature causes."""

import math

import torch
from torch import Tensor

from dimple.tangents.base import orthonormalize


def quadratic_coefficient_count(dim: int) -> int:
    """Return the number of coefficients of a quadratic function of `dim` variables.

    Example:
        >>> quadratic_coefficient_count(2)
        6
    """
    return (dim + 1) * (dim + 2) // 2


def fit_quadratic(
    differences: Tensor, weight: Tensor, basis: Tensor, radius: Tensor, error: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute the tangent space at the sample of the quadratic surface that fits its neighbors best, with its error.

    Every coordinate of the neighbors is regressed on the constant, linear and quadratic terms of their coordinates
    within the plane; the linear coefficients span the tangent space. Its expected angle is the jackknife standard error
    of these slopes. On clean, dense data, where only the bias of the cubic and higher terms is left, it is up to four
    times too small. Where the neighbors do not determine the surface, the plane and its error are returned unchanged.

    Args:
        differences: `(B, k, n)` neighbors minus the sample.
        weight: `(B, k)`, zero for neighbors that are left out.
        basis: `(B, n, d)` orthonormal columns of the plane.
        radius: `(B,)`, the radius of the neighborhood.
        error: `(B,)` radians, the error of the plane.

    Returns:
        Orthonormal columns `(B, n, d)` and the expected angles `(B,)`.

    Reference: MacKinnon and White 1985, Some heteroskedasticity-consistent covariance matrix estimators, HC3.
    """
    d = basis.shape[2]
    size = radius.clamp(min=torch.finfo(radius.dtype).tiny)[:, None, None]
    inside = (differences @ basis) / size
    i, j = torch.triu_indices(d, d, device=differences.device)
    terms = torch.cat([torch.ones_like(inside[:, :, :1]), inside, inside[:, :, i] * inside[:, :, j]], dim=2)
    root = weight.sqrt()[:, :, None]
    q, r = torch.linalg.qr(root * terms)
    pivots = torch.diagonal(r, dim1=1, dim2=2).abs()
    determined = pivots.amin(1) > 1e-4 * pivots.amax(1)
    eye = torch.eye(r.shape[1], dtype=r.dtype, device=r.device)
    inverse = torch.linalg.solve_triangular(torch.where(determined[:, None, None], r, eye), eye, upper=True)
    heights = (differences * root) / size
    projected = q.mT @ heights
    slopes = (inverse[:, 1 : d + 1] @ projected).mT
    residual = torch.linalg.vector_norm(heights - q @ projected, dim=2)
    # The deviation from a quadratic grows outwards, so the variance is not constant: HC3 takes the residual of each
    # neighbor from the fit without it.
    jackknife_residual = residual / (1 - q.square().sum(2)).clamp(min=1e-3)
    influence = inverse[:, 1 : d + 1] @ q.mT
    slope_error = (influence.square().sum(1) * jackknife_residual.square()).sum(1).sqrt().clamp(max=math.pi / 2)
    columns = torch.where(determined[:, None, None], slopes, basis)
    return orthonormalize(columns), torch.where(determined, slope_error, error)

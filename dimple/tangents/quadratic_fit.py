"""The quadratic surface over an estimated tangent plane: what curvature adds to the neighbours, fitted and removed."""

import math

import torch
from torch import Tensor

from dimple.tangents.base import orthonormal


def unknowns(dim: int) -> int:
    """How many coefficients a quadratic function of `dim` variables has.

    Example:
        >>> unknowns(2)
        6
    """
    return (dim + 1) * (dim + 2) // 2


def osculate(near: Tensor, weight: Tensor, basis: Tensor, radius: Tensor, error: Tensor) -> tuple[Tensor, Tensor]:
    """The tangent space, at the sample, of the quadratic surface that fits the neighbours best, and its error.

    Every coordinate of the neighbours is regressed on the constant, the linear and the quadratic terms of their
    coordinates within the plane; the linear coefficients span the tangent. Its expected angle is the jackknife
    standard error of those slopes; on clean, dense data, where only the bias of the cubic and higher terms is left, it
    comes out up to four times too small. Where the neighbours do not determine the surface, the plane and its error
    stay as they came.

    Args:
        near: `(B, k, n)` neighbours, seen from the sample.
        weight: `(B, k)`, zero for those that do not count.
        basis: `(B, n, d)` orthonormal columns of the plane.
        radius: `(B,)`, the size of the neighbourhood.
        error: `(B,)` radians, for the rows that stay.

    Returns:
        Orthonormal columns `(B, n, d)` and the expected angles `(B,)`.

    Reference: MacKinnon and White 1985, Some heteroskedasticity-consistent covariance matrix estimators, HC3.
    """
    d = basis.shape[2]
    size = radius.clamp(min=torch.finfo(radius.dtype).tiny)[:, None, None]
    inside = (near @ basis) / size
    i, j = torch.triu_indices(d, d, device=near.device)
    terms = torch.cat([torch.ones_like(inside[:, :, :1]), inside, inside[:, :, i] * inside[:, :, j]], dim=2)
    root = weight.sqrt()[:, :, None]
    q, r = torch.linalg.qr(root * terms)
    pivots = torch.diagonal(r, dim1=1, dim2=2).abs()
    determined = pivots.amin(1) > 1e-4 * pivots.amax(1)
    eye = torch.eye(r.shape[1], dtype=r.dtype, device=r.device)
    inverse = torch.linalg.solve_triangular(torch.where(determined[:, None, None], r, eye), eye, upper=True)
    heights = (near * root) / size
    projected = q.mT @ heights
    slopes = (inverse[:, 1 : d + 1] @ projected).mT
    missed = torch.linalg.vector_norm(heights - q @ projected, dim=2)
    # What a quadratic cannot follow grows outwards, so each neighbour's own miss counts, as it would be without it.
    alone = missed / (1 - q.square().sum(2)).clamp(min=1e-3)
    influence = inverse[:, 1 : d + 1] @ q.mT
    fitted = (influence.square().sum(1) * alone.square()).sum(1).sqrt().clamp(max=math.pi / 2)
    columns = torch.where(determined[:, None, None], slopes, basis)
    return orthonormal(columns), torch.where(determined, fitted, error)

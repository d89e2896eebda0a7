"""Eigenvectors of symmetric matrices."""

import torch
from torch import Tensor


def symmetric_eigen(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Return the eigenvalues `(..., k)` of symmetric matrices `(..., k, k)`, ascending, and their eigenvectors.

    In single precision LAPACK fails for some matrices of many equal eigenvalues, such as Gram matrices of images with
    pixels that never change; these are decomposed in double precision.

    Raises:
        LinAlgError: if that fails too.

    Example:
        >>> symmetric_eigen(torch.diag(torch.tensor([3.0, 1.0])))[0]
        tensor([1., 3.])
    """
    try:
        values, vectors = torch.linalg.eigh(matrix)
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
        if matrix.dtype == torch.float64:
            raise
        values, vectors = torch.linalg.eigh(matrix.double())
    return values.to(matrix.dtype), vectors.to(matrix.dtype)

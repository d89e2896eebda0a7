"""Lanczos iteration: extreme eigenvalues and spectral means of large symmetric maps, from their products alone."""

import dataclasses
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor


@final
@dataclasses.dataclass(frozen=True)
class RitzDecomposition:
    """Ritz values and vectors of symmetric maps in a Krylov space, one row for each map.

    Attributes:
        values: `(B, m)`, Ritz values in ascending order: the first and the last approach the extreme eigenvalues from
            inside.
        weights: `(B, m)`, the fraction of the start's squared length along each Ritz vector:
            `(weights * f(values)).sum(1)` estimates the mean of f over the spectrum, without bias where the start is
            isotropic.
        residuals: `(B, m)`: an eigenvalue lies within this distance of each value.
        basis: `(B, m, n)`, orthonormal rows that span the Krylov space.
        coordinates: `(B, m, m)`, the Ritz vectors as columns in the coordinates of the basis.
    """

    values: Tensor
    weights: Tensor
    residuals: Tensor
    basis: Tensor
    coordinates: Tensor

    def vector(self, index: int) -> Tensor:
        """Return the Ritz vectors of one of the values, `(B, n)`."""
        return torch.einsum("bm,bmn->bn", self.coordinates[:, :, index], self.basis)


def lanczos(product: Callable[[Tensor], Tensor], start: Tensor, steps: int) -> RitzDecomposition:
    """Run the Lanczos iteration for each symmetric map, with full reorthogonalization.

    The result is exact as soon as the Krylov space is invariant, after at most n steps. A row whose space is invariant
    does not change while the others continue. A start of zeros gives zeros.

    Args:
        product: maps `(B, n)` to `(B, n)`, one symmetric map for each row.
        start: `(B, n)`, the first vector of each row.
        steps: the number of products.

    Reference: Golub and Van Loan, Matrix Computations, section 10.1; Golub and Meurant 1994 for the weights.

    Example:
        >>> scales = torch.tensor([[1.0, 2.0, 5.0]])
        >>> lanczos(lambda v: scales * v, torch.ones(1, 3), 3).values.round(decimals=3)
        tensor([[1., 2., 5.]])
    """
    length = start.norm(dim=1, keepdim=True)
    vector = start / length.clamp(min=torch.finfo(start.dtype).tiny)
    basis = [vector]
    diagonal: list[Tensor] = []
    off_diagonal: list[Tensor] = []
    largest = torch.zeros_like(length)
    for _ in range(steps):
        image = product(vector)
        alpha = (vector * image).sum(1, keepdim=True)
        previous = torch.stack(basis, dim=1)
        # Two passes are enough: the second removes the rounding error of the first.
        for _ in range(2):
            image = image - torch.einsum("bm,bmn->bn", torch.einsum("bmn,bn->bm", previous, image), previous)
        beta = image.norm(dim=1, keepdim=True)
        has_ended = vector.abs().amax(1, keepdim=True) == 0
        # A value within the range of the true ones, so that the extremes of a row that has ended do not change.
        diagonal.append(torch.where(has_ended, diagonal[0] if diagonal else alpha, alpha))
        largest = torch.maximum(largest, torch.maximum(alpha.abs(), beta))
        is_invariant = beta <= 100 * torch.finfo(start.dtype).eps * largest
        off_diagonal.append(torch.where(is_invariant, 0.0, beta))
        vector = torch.where(is_invariant, 0.0, image / beta.clamp(min=torch.finfo(start.dtype).tiny))
        basis.append(vector)
    matrix = torch.diag_embed(torch.cat(diagonal, 1))
    if steps > 1:
        upper = torch.diag_embed(torch.cat(off_diagonal[:-1], 1), offset=1)
        matrix = matrix + upper + upper.mT
    values, coordinates = torch.linalg.eigh(matrix)
    residuals = off_diagonal[-1] * coordinates[:, -1].abs()
    return RitzDecomposition(values, coordinates[:, 0].square(), residuals, torch.stack(basis[:-1], 1), coordinates)

"""The extreme eigenvalues and the spectral means of large symmetric maps that are known by their products only."""

import dataclasses
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor


@final
@dataclasses.dataclass(frozen=True)
class Ritz:
    """What a Krylov space knows of a symmetric map's spectrum, one row a map.

    Attributes:
        values: `(B, m)` rising Ritz values: the first and the last approach the extreme eigenvalues from inside.
        weights: `(B, m)`, the share of the start's squared length on each: `(weights * f(values)).sum(1)` estimates the
            mean of f over the spectrum, without bias where the start is isotropic.
        residuals: `(B, m)`: an eigenvalue lies within so much of each value.
        basis: `(B, m, n)` orthonormal rows of the Krylov space.
        coordinates: `(B, m, m)`, the Ritz vectors as columns over the basis.
    """

    values: Tensor
    weights: Tensor
    residuals: Tensor
    basis: Tensor
    coordinates: Tensor

    def vector(self, index: int) -> Tensor:
        """The Ritz vector of one of the values, `(B, n)`."""
        return torch.einsum("bm,bmn->bn", self.coordinates[:, :, index], self.basis)


def lanczos(product: Callable[[Tensor], Tensor], start: Tensor, steps: int) -> Ritz:
    """Run `steps` products of each symmetric map from its row of `start` `(B, n)`, with full reorthogonalisation.

    Exact as soon as the Krylov space is invariant, at the latest after n steps; a row that gets there early stays as it
    is while the others go on. A start of zeros gives zeros.

    Args:
        product: `(B, n)` to `(B, n)`, one symmetric map a row.

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
    beside: list[Tensor] = []
    largest = torch.zeros_like(length)
    for _ in range(steps):
        image = product(vector)
        alpha = (vector * image).sum(1, keepdim=True)
        known = torch.stack(basis, dim=1)
        # Twice is enough: what rounding leaves after the first pass, the second removes.
        for _ in range(2):
            image = image - torch.einsum("bm,bmn->bn", torch.einsum("bmn,bn->bm", known, image), known)
        beta = image.norm(dim=1, keepdim=True)
        ended = vector.abs().amax(1, keepdim=True) == 0
        # A value within the range of the genuine ones, so that a row that has ended keeps its extremes.
        diagonal.append(torch.where(ended, diagonal[0] if diagonal else alpha, alpha))
        largest = torch.maximum(largest, torch.maximum(alpha.abs(), beta))
        invariant = beta <= 100 * torch.finfo(start.dtype).eps * largest
        beside.append(torch.where(invariant, 0.0, beta))
        vector = torch.where(invariant, 0.0, image / beta.clamp(min=torch.finfo(start.dtype).tiny))
        basis.append(vector)
    matrix = torch.diag_embed(torch.cat(diagonal, 1))
    if steps > 1:
        off = torch.diag_embed(torch.cat(beside[:-1], 1), offset=1)
        matrix = matrix + off + off.mT
    values, coordinates = torch.linalg.eigh(matrix)
    residuals = beside[-1] * coordinates[:, -1].abs()
    return Ritz(values, coordinates[:, 0].square(), residuals, torch.stack(basis[:-1], 1), coordinates)

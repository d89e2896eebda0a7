"""Tangent spaces that are known at certain samples, such as those of a generator with latents."""

from typing import final

import torch
from torch import Tensor

from dimple.errors import ShapeError
from dimple.tensors import chunks, flatten, pairwise_distances, require_samples

# The number of samples that are looked up together.
CHUNK_SIZE = 256
# The distance at which a sample counts as one of the table, relative to the root mean square length of the table.
RELATIVE_TOLERANCE = 1e-5


@final
class TabulatedTangents:
    """Tangent field that is known at the samples of a table, and nowhere else.

    A sample is looked up by its values; it may be rounded to single precision. Two equal samples of the table have the
    tangent space of the first one.

    Args:
        x: samples `(N, *shape)`.
        basis: orthonormal columns `(N, n, d)` at these samples.

    Raises:
        ShapeError: if the shapes differ; from `tangent_basis` for a sample that is not in the table.

    Example:
        >>> field = TabulatedTangents(torch.eye(2), torch.eye(2)[:, :, None])
        >>> field.tangent_basis(torch.tensor([[0.0, 1.0]])).squeeze()
        tensor([0., 1.])
    """

    def __init__(self, x: Tensor, basis: Tensor) -> None:
        self.rows = flatten(require_samples(x))
        if basis.dim() != 3 or basis.shape[:2] != self.rows.shape:
            raise ShapeError(
                f"TabulatedTangents: basis has shape {tuple(basis.shape)} for {len(x)} samples of "
                f"{self.rows.shape[1]} numbers; it must be (N, n, d)"
            )
        self.basis = basis
        self._tolerance = RELATIVE_TOLERANCE * float(self.rows.square().sum(1).mean().sqrt())

    def tangent_basis(self, x: Tensor) -> Tensor:
        """Return the columns `(B, n, d)` of the table at the samples `x` `(B, *shape)`."""
        rows = flatten(x).to(self.rows)
        if rows.shape[1] != self.rows.shape[1]:
            raise ShapeError(f"the tabulated samples have {self.rows.shape[1]} numbers, and x has {rows.shape[1]}")
        # The product form of a distance would lose the digits in which samples far from the origin differ.
        nearest = torch.cat(
            [pairwise_distances(rows[part], self.rows).argmin(1) for part in chunks(len(rows), CHUNK_SIZE)]
        )
        distance = (rows - self.rows[nearest]).norm(dim=1)
        unknown = torch.nonzero(distance > self._tolerance).squeeze(1)
        if len(unknown):
            row = int(unknown[0])
            raise ShapeError(
                f"x[{row}] is {float(distance[row]):.3g} away from the nearest of the {len(self.rows)} samples whose "
                "tangent space is known; measure samples of the table, or estimate tangents by LocalPCA"
            )
        return self.basis[nearest.to(self.basis.device)].to(x)

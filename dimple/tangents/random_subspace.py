"""Random subspaces: the null of every tangent field."""

from typing import final

import torch
from torch import Tensor

from dimple.tensors import flatten, generator


@final
class RandomSubspace:
    """Tangent field of one d-dimensional subspace of R^n, drawn uniformly: the null of every other tangent field.

    The same seed and draw give the same subspace for every batch.

    Args:
        dim: d.
        seed: seed of the sequence of subspaces.
        draw: index of the subspace in this sequence of independent ones.

    Example:
        >>> RandomSubspace(dim=2, seed=0, draw=1).tangent_basis(torch.zeros(4, 3)).shape
        torch.Size([4, 3, 2])
    """

    def __init__(self, dim: int, seed: int, draw: int) -> None:
        self.dim = dim
        self.seed = seed
        self.draw = draw

    def tangent_basis(self, x: Tensor) -> Tensor:
        """Return the same orthonormal columns at every sample, `(B, n, d)`, as a view without a copy for each."""
        n = flatten(x).shape[1]
        return self.basis(n).to(x).expand(len(x), -1, -1)

    def basis(self, n: int) -> Tensor:
        """Return the orthonormal columns `(n, d)`, float64."""
        stream = generator(self.seed, "random subspace", n, self.dim, self.draw)
        gaussian = torch.randn(n, self.dim, generator=stream, dtype=torch.float64)
        columns: Tensor = torch.linalg.qr(gaussian).Q
        return columns

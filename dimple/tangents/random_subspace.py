"""Random subspaces, the null of every tangent field."""

from typing import final

import torch
from torch import Tensor

from dimple.tensors import flatten, generator


@final
class RandomSubspace:
    """One d-dimensional subspace of R^n, uniform over all of them, as a tangent field: the null of every other one.

    Args:
        dim: d.
        seed: the same seed and draw give the same subspace, whatever the batch.
        draw: which of the independent subspaces.

    Example:
        >>> RandomSubspace(dim=2, seed=0, draw=1).tangent_basis(torch.zeros(4, 3)).shape
        torch.Size([4, 3, 2])
    """

    def __init__(self, dim: int, seed: int, draw: int) -> None:
        self.dim = dim
        self.seed = seed
        self.draw = draw

    def tangent_basis(self, x: Tensor) -> Tensor:
        """The same orthonormal columns at every sample, `(B, n, d)`; they take no memory of their own."""
        n = flatten(x).shape[1]
        return self.columns(n).to(x).expand(len(x), -1, -1)

    def columns(self, n: int) -> Tensor:
        """The orthonormal columns `(n, d)`, float64."""
        stream = generator(self.seed, "random subspace", n, self.dim, self.draw)
        gaussian = torch.randn(n, self.dim, generator=stream, dtype=torch.float64)
        columns: Tensor = torch.linalg.qr(gaussian).Q
        return columns

"""Random subspaces: the null of every tangent field."""

from typing import final

import torch
from torch import Tensor

from dimple.stats.null_bands import DEFAULT_NULL_DRAWS
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


def random_tangent_fractions(basis: Tensor, seed: int) -> Tensor:
    """Return the fraction of the squared length of random directions along each tangent space, `(B, draws)`.

    Each draw is one direction for all samples, as the normal of a flat boundary is, and so the null of every statistic
    over samples of a direction: the tangent spaces of a curved manifold differ from sample to sample, those of a flat
    one do not.

    Args:
        basis: orthonormal columns `(B, n, d)`.
        seed: seed of the directions, which are the same for every batch.

    Example:
        >>> plane = RandomSubspace(dim=2, seed=0, draw=0).tangent_basis(torch.zeros(1, 3))
        >>> random_tangent_fractions(plane, seed=0).shape
        torch.Size([1, 39])
    """
    n = basis.shape[1]
    stream = generator(seed, "random directions", n)
    directions = torch.randn(n, DEFAULT_NULL_DRAWS, generator=stream, dtype=torch.float64)
    directions /= directions.norm(dim=0)
    return (basis.mT @ directions.to(basis)).square().sum(1).clamp(max=1)

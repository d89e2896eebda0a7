"""Where a search may move: everywhere, only along a subspace, or only off it."""

from typing import final

import torch
from torch import Tensor

from dimple.tensors import project


@final
class Restriction:
    """A linear subspace that a search must stay in, given by orthonormal columns.

    Args:
        basis: `(B, n, d)`, one subspace a sample, or `(n, d)`, one for all.
        off: move only orthogonally to it instead.
    """

    def __init__(self, basis: Tensor, off: bool = False) -> None:
        self.basis = basis
        self.off = off

    @property
    def dim(self) -> int:
        """The dimension d of the subspace that `basis` spans."""
        return self.basis.shape[-1]

    def apply(self, vectors: Tensor) -> Tensor:
        """The allowed part of each of `(B, *shape)`, or of each of R vectors a sample, `(B, R, *shape)` flattened."""
        along = project(self.basis, vectors)
        return vectors - along if self.off else along

    def apply_each(self, vectors: Tensor) -> Tensor:
        """The allowed part of R vectors a sample, `(B, R, *shape)`."""
        return torch.stack([self.apply(vectors[:, column]) for column in range(vectors.shape[1])], 1)

    def rows(self, index: Tensor) -> "Restriction":
        """The restriction of some of the samples."""
        return Restriction(self.basis[index] if self.basis.dim() == 3 else self.basis, self.off)

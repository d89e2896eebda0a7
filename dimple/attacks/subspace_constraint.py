"""Subspace constraints: searches that move only along a linear subspace, or only orthogonally to it."""

from typing import final

import torch
from torch import Tensor

from dimple.tensors import project_onto_span


@final
class SubspaceConstraint:
    """A linear subspace that a search must stay in, given by orthonormal columns.

    Args:
        basis: `(B, n, d)`, one subspace for each sample, or `(n, d)`, one for all samples.
        orthogonal: if true, the search stays in the orthogonal complement of the subspace instead.
    """

    def __init__(self, basis: Tensor, orthogonal: bool = False) -> None:
        self.basis = basis
        self.orthogonal = orthogonal

    @property
    def dim(self) -> int:
        """The dimension d of the subspace that `basis` spans."""
        return self.basis.shape[-1]

    def project(self, vectors: Tensor) -> Tensor:
        """Return the allowed component of one vector for each sample, `(B, *shape)`."""
        along = project_onto_span(self.basis, vectors)
        return vectors - along if self.orthogonal else along

    def project_each(self, vectors: Tensor) -> Tensor:
        """Return the allowed components of R vectors for each sample, `(B, R, *shape)`."""
        return torch.stack([self.project(vectors[:, column]) for column in range(vectors.shape[1])], 1)

    def select(self, index: Tensor) -> "SubspaceConstraint":
        """Return the constraint of some of the samples."""
        return SubspaceConstraint(self.basis[index] if self.basis.dim() == 3 else self.basis, self.orthogonal)

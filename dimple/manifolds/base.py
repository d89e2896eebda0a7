"""What every manifold knows: exact geometry that needs no training and no estimate."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from dimple.manifolds.patches import Drawn


class Manifold(ABC):
    """A d-dimensional surface in R^n whose nearest points, tangents and uniform measure are known exactly.

    A member is a frozen `@settings` class: its fields are the keys of the scene file, and it answers the six
    questions below. Points are rows `(B, n)` of any floating dtype on any device, and both are kept.
    """

    @property
    @abstractmethod
    def dim(self) -> int:
        """The intrinsic dimension d."""

    @property
    @abstractmethod
    def ambient_dim(self) -> int:
        """The dimension n of the space around it."""

    @property
    @abstractmethod
    def reach(self) -> float:
        """The largest r such that every point nearer than r has one nearest point; `inf` for a flat."""

    @abstractmethod
    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """`(count, n)` float64 points, independent and uniform in d-volume."""

    @abstractmethod
    def project(self, x: Tensor) -> Tensor:
        """The nearest point of the manifold for each of `(B, n)`."""

    @abstractmethod
    def tangent_basis(self, x: Tensor) -> Tensor:
        """Orthonormal tangent columns `(B, n, d)` at the nearest point of each of `(B, n)`."""

    def distance(self, x: Tensor) -> Tensor:
        """The Euclidean distance from each of `(B, n)` to the manifold, `(B,)`."""
        return torch.linalg.vector_norm(x - self.project(x), dim=-1)

    def mesh(self) -> Drawn | None:
        """Vertices `(V, n)` and triangles `(F, 3)` of a surface, or segments `(F, 2)` of a curve, in 2 or 3 dimensions.

        None where there is nothing to draw.
        """
        return None

    @property
    def codim(self) -> int:
        """How many directions leave the manifold: n - d."""
        return self.ambient_dim - self.dim

"""What every rule for labels answers."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from dimple.manifolds import Manifold


class Labelling(ABC):
    """A rule that labels the training points."""

    @abstractmethod
    def labels(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """The classes `(N,)`, int64, of training points `(N, n)`."""

    def extend(self, x: Tensor, train: Tensor, labels: Tensor) -> Tensor:
        """The classes of other points `(M, n)` of the manifold: that of the nearest training point.

        Rules that are functions of the place override this with the function itself.
        """
        distance = torch.cdist(x, train, compute_mode="donot_use_mm_for_euclid_dist")
        return labels[distance.argmin(dim=1)]

    def on(self, manifold: Manifold) -> "Labelling":
        """The same rule, having seen the manifold whose points it labels; most do not care."""
        return self


class Rule(Labelling):
    """A function of the place, the same for all points."""

    @abstractmethod
    def at(self, x: Tensor) -> Tensor:
        """The classes `(N,)`, int64, of any points `(N, n)`."""

    def labels(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """The function."""
        return self.at(x)

    def extend(self, x: Tensor, train: Tensor, labels: Tensor) -> Tensor:
        """The same function anywhere."""
        return self.at(x)

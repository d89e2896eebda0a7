"""The base classes of rules that label points of a manifold."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from dimple.manifolds import Manifold
from dimple.tensors import pairwise_distances


class LabelRule(ABC):
    """A rule that labels training points and other points of a manifold."""

    @abstractmethod
    def label_training_points(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Return the classes `(N,)`, int64, of training points `(N, n)`."""

    def label_new_points(self, x: Tensor, train: Tensor, train_labels: Tensor) -> Tensor:
        """Return the classes `(M,)`, int64, of other points `(M, n)` of the manifold.

        The class is that of the nearest training point, unless the rule is a function of the position.
        """
        distance = pairwise_distances(x, train)
        return train_labels[distance.argmin(dim=1)]

    def bind(self, manifold: Manifold) -> "LabelRule":
        """Return the rule for the points of `manifold`; only rules that depend on the manifold differ from `self`."""
        return self


class PointwiseLabels(LabelRule):
    """A rule whose class is a function of the position, the same for training points and other points."""

    @abstractmethod
    def evaluate(self, x: Tensor) -> Tensor:
        """Return the classes `(N,)`, int64, of points `(N, n)`."""

    def label_training_points(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return self.evaluate(x)

    def label_new_points(self, x: Tensor, train: Tensor, train_labels: Tensor) -> Tensor:
        return self.evaluate(x)

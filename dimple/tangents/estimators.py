"""Tangent estimators as settings: which estimate a scene fits to its training samples, and how."""

from abc import ABC, abstractmethod
from typing import final

from torch import Tensor

from dimple.protocols import TangentField
from dimple.settings import Count, Dimension, settings
from dimple.tangents.global_pca import ClassPCA, GlobalPCA
from dimple.tangents.local_pca import LocalPCA


class TangentEstimator(ABC):
    """A way to estimate the tangent spaces of data from samples."""

    @abstractmethod
    def fit(self, x: Tensor, y: Tensor) -> TangentField:
        """Return the tangent spaces of samples `(N, *shape)` with classes `(N,)`.

        Raises:
            ShapeError: if there are too few samples.
        """


@final
@settings
class LocalPCAEstimator(TangentEstimator):
    """The `dim` leading principal directions of the nearest training samples.

    Args:
        dim: the dimension of the tangent spaces; null for the widest eigengap.
        neighbors: number of nearest samples.
    """

    dim: Dimension | None = 10
    neighbors: Count = 50

    def fit(self, x: Tensor, y: Tensor) -> LocalPCA:
        return LocalPCA(x, self.dim, self.neighbors)


@final
@settings
class GlobalPCAEstimator(TangentEstimator):
    """The `dim` widest directions of all training samples, the same everywhere; null for the widest eigengap."""

    dim: Dimension | None = 10

    def fit(self, x: Tensor, y: Tensor) -> GlobalPCA:
        return GlobalPCA(x, self.dim)


@final
@settings
class ClassPCAEstimator(TangentEstimator):
    """The `dim` widest directions of the training samples of one class, that of the nearest training sample."""

    dim: Dimension = 10

    def fit(self, x: Tensor, y: Tensor) -> ClassPCA:
        return ClassPCA(x, y, self.dim)


TANGENT_ESTIMATORS: dict[str, type[TangentEstimator]] = {
    "class_pca": ClassPCAEstimator,
    "global_pca": GlobalPCAEstimator,
    "local_pca": LocalPCAEstimator,
}

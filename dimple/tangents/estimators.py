"""Tangent estimators as settings: which estimate is fitted to training samples, and how."""

import math
from abc import ABC, abstractmethod
from typing import final

from torch import Tensor

from dimple.protocols import TangentField
from dimple.settings import Count, Dimension, Natural, settings
from dimple.tangents.autoencoder import Autoencoder
from dimple.tangents.decoder_jacobian import AutoencoderJacobian
from dimple.tangents.global_pca import ClassPCA, GlobalPCA
from dimple.tangents.local_pca import LocalPCA
from dimple.tensors import generator


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
    """The `dim` widest directions of the training samples of one class, that of the nearest training sample.

    Args:
        dim: the dimension of the tangent spaces; null for the widest eigengap of all classes together.
    """

    dim: Dimension | None = 10

    def fit(self, x: Tensor, y: Tensor) -> ClassPCA:
        return ClassPCA(x, y, GlobalPCA(x, None).dim if self.dim is None else self.dim)


@final
@settings
class AutoencoderEstimator(TangentEstimator):
    """The directions in which the decoder of an autoencoder moves its image, fitted to the training samples.

    Args:
        dim: the dimension of the tangent spaces and of the code; null for the widest eigengap of the samples.
        steps: updates of the weights.
        seed: of the weights and the batches.
    """

    dim: Dimension | None = 10
    steps: Count = 2000
    seed: Natural = 0

    def fit(self, x: Tensor, y: Tensor) -> AutoencoderJacobian:
        encoder, decoder = self.autoencoder(x).fit(x, generator(self.seed, "autoencoder"))
        # A probe compares the distance from the reconstruction with the length of its own steps.
        return AutoencoderJacobian(encoder, decoder, math.inf)

    def autoencoder(self, x: Tensor) -> Autoencoder:
        """Return the autoencoder to be fitted to samples `(N, *shape)`."""
        return Autoencoder(latent=GlobalPCA(x, None).dim if self.dim is None else self.dim, steps=self.steps)


TANGENT_ESTIMATORS: dict[str, type[TangentEstimator]] = {
    "autoencoder": AutoencoderEstimator,
    "class_pca": ClassPCAEstimator,
    "global_pca": GlobalPCAEstimator,
    "local_pca": LocalPCAEstimator,
}

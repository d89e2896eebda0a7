"""Intrinsic dimension of a point cloud, by the estimators of scikit-dimension on dimple's neighbor search."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dimple.errors import ShapeError
from dimple.tangents.neighbors import NearestNeighbors

Distances = NDArray[np.float64]


def _two_nn(distance: Distances) -> float:
    from skdim.id import TwoNN

    # Edges and noise dominate the largest tenth of the ratios; these enter as censored values ("at least this large").
    estimator = TwoNN(dist=True, discard_fraction=0.1, method="mle")
    return float(estimator.fit(distance[:, :2]).dimension_)


def _mle(distance: Distances) -> float:
    from skdim.id import MLE

    # MLE uses only the number of points of its first argument, and not the indices of the neighbors.
    indices = np.zeros(distance.shape, dtype=np.int64)
    return float(MLE().fit(distance, precomputed_knn_arrays=(distance, indices)).dimension_)


# Each takes the distances (N, k) to the nearest neighbors, increasing; two_nn uses the first two of them.
DIMENSION_ESTIMATORS: dict[str, Callable[[Distances], float]] = {
    "two_nn": _two_nn,
    "mle": _mle,
}


def intrinsic_dimension(cloud: Tensor, neighbors: int = 20) -> dict[str, float]:
    """Estimate the dimension of the manifold that a cloud lies on, by every method of `DIMENSION_ESTIMATORS`.

    The estimates are real numbers. `two_nn` uses the ratio of the distances to the second and the first neighbor, that
    is the finest scale; `mle` (maximum likelihood) uses the growth of the distances up to the k-th neighbor. Where they
    disagree, the dimension of the cloud depends on the scale: noise raises the estimate at the fine scale, curvature
    and edges change the one at the coarse scale. Both are too low in more than about ten dimensions. Points that are
    equal count as one, because a distance of zero has no ratio. `LocalPCA` with `dim=None` estimates the dimension from
    an eigengap instead.

    Args:
        cloud: `(N, *shape)`, independent samples.
        neighbors: k, from 3 to N - 1.

    Returns:
        The dimension by the name of the estimator.

    Raises:
        ShapeError: for too few neighbors, or no more different points than neighbors.

    Reference: Facco et al. 2017, Estimating the intrinsic dimension of datasets by a minimal neighborhood information;
        Levina and Bickel 2004, Maximum likelihood estimation of intrinsic dimension, with the average of MacKay and
        Ghahramani 2005.

    Example:
        >>> import torch
        >>> from dimple.tensors import generator
        >>> square = torch.rand(2000, 2, generator=generator(0, "square"))
        >>> {name: round(value) for name, value in intrinsic_dimension(square).items()}
        {'two_nn': 2, 'mle': 2}
    """
    if neighbors < 3:
        raise ShapeError(f"intrinsic_dimension: neighbors is {neighbors}; it must be 3 or more")
    search = NearestNeighbors(cloud)
    distance = search.query(search.points, neighbors)[0]
    if not bool(distance[:, 0].all()):
        # A further copy would be a neighbor of others at the same distance.
        points = search.points.unique(dim=0)
        if len(points) <= neighbors:
            raise ShapeError(
                f"intrinsic_dimension: {len(points)} of {len(cloud)} points are different; more than the {neighbors} "
                "neighbors are needed"
            )
        distance = NearestNeighbors(points).query(points, neighbors)[0]
    distances = distance.double().numpy(force=True)
    return {name: estimate(distances) for name, estimate in DIMENSION_ESTIMATORS.items()}

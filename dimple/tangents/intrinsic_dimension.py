"""The intrinsic dimension of a cloud, by scikit-dimension's estimators on our own neighbour search."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dimple.errors import ShapeError
from dimple.tangents.neighbors import Neighbours

Distances = NDArray[np.float64]


def _two_nn(distance: Distances) -> float:
    from skdim.id import TwoNN

    # The tenth of the ratios that is largest says most of edges and noise; it enters as "at least this large".
    estimator = TwoNN(dist=True, discard_fraction=0.1, method="mle")
    return float(estimator.fit(distance[:, :2]).dimension_)


def _maximum_likelihood(distance: Distances) -> float:
    from skdim.id import MLE

    # It reads the distances alone, and takes the points for their number; nor does it look at who the neighbours are.
    ranks = np.zeros(distance.shape, dtype=np.int64)
    return float(MLE().fit(distance, precomputed_knn_arrays=(distance, ranks)).dimension_)


# Each takes the distances (N, k) to the nearest neighbours, rising; only two_nn looks at no more than two of them.
ESTIMATORS: dict[str, Callable[[Distances], float]] = {
    "two_nn": _two_nn,
    "mle": _maximum_likelihood,
}


def intrinsic_dimension(cloud: Tensor, neighbours: int = 20) -> dict[str, float]:
    """The dimension of the manifold that a cloud lies on, by every estimator of `ESTIMATORS`; no whole numbers.

    `two_nn` looks at the ratio of the distances to the second and the first neighbour, so at the finest scale there
    is; `mle` (maximum likelihood) at the growth of the distances out to the k-th. Where they disagree, the cloud has
    another dimension at another scale: noise raises the fine one, curvature and edges bend the coarse one. Both come
    out low in more than about ten dimensions. Points that another one equals are left out: a distance of zero has no
    ratio. `LocalPCA` with `dim=None` answers the same question by a gap of variances.

    Args:
        cloud: `(N, *shape)`, independent samples.
        neighbours: k, from 3 to N - 1.

    Raises:
        ShapeError: for too few neighbours, or fewer than three points that equal no other.

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
    if neighbours < 3:
        raise ShapeError(f"intrinsic_dimension: {neighbours} neighbours; ask for 3 or more")
    search = Neighbours(cloud)
    distance = search.nearest(search.points, neighbours)[0].double().numpy(force=True)
    apart = distance[distance[:, 0] > 0]
    if len(apart) < 3:
        raise ShapeError(f"intrinsic_dimension: {len(apart)} of {len(cloud)} points equal no other; three are needed")
    return {name: estimate(apart) for name, estimate in ESTIMATORS.items()}

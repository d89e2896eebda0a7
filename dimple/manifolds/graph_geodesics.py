"""Geodesic distances along a neighbor graph, for manifolds without a formula."""

import functools
import math
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree
from torch import Tensor

from dimple.tensors import generator


class SupportsSampling(Protocol):
    """Interface of a manifold that `shortest_path_lengths` uses."""

    @property
    def dim(self) -> int:
        """Intrinsic dimension."""
        ...

    @property
    def reach(self) -> float:
        """Minimum distance to the medial axis."""
        ...

    @property
    def volume(self) -> float:
        """Volume of the intrinsic dimension."""
        ...

    def __hash__(self) -> int: ...

    def project(self, x: Tensor, /) -> Tensor:
        """Return the closest points."""
        ...

    def sample(self, count: int, generator: torch.Generator, /) -> Tensor:
        """Return uniform points."""
        ...


MIN_CLOUD_POINTS = 3000
MAX_CLOUD_POINTS = 20000


def shortest_path_lengths(manifold: SupportsSampling, a: Tensor, b: Tensor) -> Tensor:
    """Return the lengths `(A, B)` of shortest paths from each of `(A, n)` to each of `(B, n)`; `inf` if there is none.

    The nodes are a fixed uniform point cloud and the projections of both. Edges join each node to its nearest nodes,
    if they are shorter than twice the reach: two points at such a distance lie on one sheet, others may not.
    """
    ends = torch.cat([manifold.project(a), manifold.project(b)]).detach().cpu().double().numpy()
    # A point that is in both is one node; otherwise the path to itself would be a detour.
    unique, node = np.unique(ends, axis=0, return_inverse=True)
    node = node.reshape(-1)
    points = np.concatenate([unique, point_cloud(manifold)])
    starts, row = np.unique(node[: len(a)], return_inverse=True)
    lengths = dijkstra(_neighbor_graph(points, 16 * manifold.dim, 2 * manifold.reach), directed=False, indices=starts)
    selected = lengths[row.reshape(-1)][:, node[len(a) :]]
    return torch.from_numpy(selected).to(a.device, a.dtype)


@functools.lru_cache(maxsize=8)
def point_cloud(manifold: SupportsSampling) -> NDArray[np.float64]:
    """Return uniform points `(N, n)`, whose spacing is below the reach if `MAX_CLOUD_POINTS` are enough for that."""
    required = manifold.volume / (manifold.reach / 3) ** manifold.dim
    count = min(max(MIN_CLOUD_POINTS, math.ceil(required)), MAX_CLOUD_POINTS)
    sample: NDArray[np.float64] = manifold.sample(count, generator(0, "geodesics")).numpy()
    return sample


def _neighbor_graph(points: NDArray[np.float64], n_neighbors: int, max_length: float) -> coo_matrix:
    count = min(n_neighbors, len(points) - 1)
    length, index = cKDTree(points).query(points, k=count + 1)
    rows = np.repeat(np.arange(len(points)), count + 1)
    columns = index.reshape(-1)
    weights = length.reshape(-1)
    # Each undirected edge once, because the sparse matrix adds up duplicates.
    low = np.minimum(rows, columns)
    high = np.maximum(rows, columns)
    keep = (low < high) & (weights < max_length)
    _, first = np.unique(low[keep] * len(points) + high[keep], return_index=True)
    edges = (weights[keep][first], (low[keep][first], high[keep][first]))
    return coo_matrix(edges, shape=(len(points), len(points)))

"""Geodesic distances along a neighbour graph, for manifolds without a formula."""

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


class Surface(Protocol):
    """What the paths need of a manifold."""

    @property
    def dim(self) -> int:
        """The intrinsic dimension."""
        ...

    @property
    def reach(self) -> float:
        """The least distance to the medial axis."""
        ...

    @property
    def volume(self) -> float:
        """The volume."""
        ...

    def __hash__(self) -> int: ...

    def project(self, x: Tensor, /) -> Tensor:
        """The nearest points."""
        ...

    def sample(self, count: int, generator: torch.Generator, /) -> Tensor:
        """Uniform points."""
        ...


SMALLEST, LARGEST = 3000, 20000


def shortest_paths(manifold: Surface, a: Tensor, b: Tensor) -> Tensor:
    """The lengths `(A, B)` of shortest paths from each of `(A, n)` to each of `(B, n)`; `inf` where none is found.

    The nodes are a fixed uniform cloud and the projections of both; each is joined to its nearest ones. Joints of
    twice the reach or more are left out: two points nearer than that lie on one sheet, farther ones may not.
    """
    ends = torch.cat([manifold.project(a), manifold.project(b)]).detach().cpu().double().numpy()
    # A point that stands among both is one node, or its way to itself would be a detour.
    unique, which = np.unique(ends, axis=0, return_inverse=True)
    which = which.reshape(-1)
    points = np.concatenate([unique, cloud(manifold)])
    starts, back = np.unique(which[: len(a)], return_inverse=True)
    lengths = dijkstra(_graph(points, 16 * manifold.dim, 2 * manifold.reach), directed=False, indices=starts)
    found = lengths[back.reshape(-1)][:, which[len(a) :]]
    return torch.from_numpy(found).to(a.device, a.dtype)


@functools.lru_cache(maxsize=8)
def cloud(manifold: Surface) -> NDArray[np.float64]:
    """Uniform points `(N, n)`, dense enough that neighbours are nearer than the reach, up to a largest number."""
    wanted = manifold.volume / (manifold.reach / 3) ** manifold.dim
    count = min(max(SMALLEST, math.ceil(wanted)), LARGEST)
    sample: NDArray[np.float64] = manifold.sample(count, generator(0, "geodesics")).numpy()
    return sample


def _graph(points: NDArray[np.float64], neighbours: int, longest: float) -> coo_matrix:
    count = min(neighbours, len(points) - 1)
    length, index = cKDTree(points).query(points, k=count + 1)
    rows = np.repeat(np.arange(len(points)), count + 1)
    columns, weights = index.reshape(-1), length.reshape(-1)
    # Each undirected edge once, or the sparse matrix would add its two copies up.
    low, high = np.minimum(rows, columns), np.maximum(rows, columns)
    keep = (low < high) & (weights < longest)
    _, first = np.unique(low[keep] * len(points) + high[keep], return_index=True)
    edges = (weights[keep][first], (low[keep][first], high[keep][first]))
    return coo_matrix(edges, shape=(len(points), len(points)))

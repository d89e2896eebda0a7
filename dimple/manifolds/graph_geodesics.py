"""Geodesic distances along a graph of short paths on the manifold, for manifolds without a formula."""

import functools
import math
from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree
from torch import Tensor

from dimple.errors import SceneError
from dimple.tensors import chunks, generator


class Source(Protocol):
    """Interface of the domain of a chart that `shortest_path_lengths` uses."""

    @property
    def dim(self) -> int:
        """Intrinsic dimension."""
        ...

    def project(self, x: Tensor, /) -> Tensor:
        """Return the closest points."""
        ...

    def sample(self, count: int, generator: torch.Generator, /) -> Tensor:
        """Return uniform points."""
        ...


class SupportsPaths(Protocol):
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

    def parametrization(self) -> tuple[Source, Callable[[Tensor], Tensor]]:
        """Return a domain and the chart of it."""
        ...

    def source_points(self, x: Tensor, /) -> Tensor:
        """Return the points of the domain whose images are the closest points."""
        ...

    def source_step(self, start: Tensor, end: Tensor, /) -> Tensor:
        """Return the shortest steps in the domain between points."""
        ...


MIN_NODES = 3000
MAX_NODES = 20000
# Points from which each node is chosen, in proportion to the growth of the volume.
POOL_FACTOR = 8
# Parts of a path: at first, and at most; and the change from half of them at which they suffice.
FIRST_PARTS = 8
MAX_PARTS = 512
LENGTH_TOLERANCE = 1e-3
# The mean change of the lengths from half of the nodes to all, above which they are refused where nodes are lacking.
MAX_CHANGE = 0.03
# Paths measured together.
PATHS_PER_CHUNK = 1 << 14


def shortest_path_lengths(manifold: SupportsPaths, a: Tensor, b: Tensor) -> Tensor:
    """Return the lengths `(A, B)` of shortest paths from each of `(A, n)` to each of `(B, n)`.

    The nodes are a fixed uniform point cloud and the projections of both. Edges join each node to its nearest nodes;
    their length is that of the straight line in the domain of the chart, a path on the manifold, so that no length is
    below that of the geodesic. Where the manifold needs more than `MAX_NODES` nodes, paths over half of them show how
    much too long the lengths still are: about twice the mean change.

    Raises:
        SceneError: if that change exceeds `MAX_CHANGE`.
    """
    ends = torch.cat([manifold.source_points(a), manifold.source_points(b)]).detach().cpu().double().numpy()
    # A point that is in both is one node; otherwise the path to itself would be a detour.
    unique, node = np.unique(ends, axis=0, return_inverse=True)
    node = node.reshape(-1)
    starts, row = np.unique(node[: len(a)], return_inverse=True)

    def measure_over(cloud: Tensor) -> NDArray[np.float64]:
        graph = _path_graph(manifold, torch.cat([torch.from_numpy(unique), cloud]))
        lengths: NDArray[np.float64] = dijkstra(graph, directed=False, indices=starts)
        return lengths[row.reshape(-1)][:, node[len(a) :]]

    cloud = node_cloud(manifold)
    lengths = measure_over(cloud)
    if _required_nodes(manifold) > MAX_NODES:
        change = measure_over(cloud[: MAX_NODES // 2]).sum() - lengths.sum()
        if change > MAX_CHANGE * lengths.sum():
            raise SceneError(
                f"{type(manifold).__name__}: geodesic distances still change by {change / lengths.sum():.0%} from "
                f"{MAX_NODES // 2:,} nodes to {MAX_NODES:,}, which are too few for its reach of {manifold.reach:.3g}; "
                "choose a manifold that bends less often"
            )
    return torch.from_numpy(lengths).to(a.device, a.dtype)


def _required_nodes(manifold: SupportsPaths) -> float:
    """Return the number of uniform nodes that lie closer than the reach."""
    return manifold.volume / (manifold.reach / 3) ** manifold.dim


@functools.lru_cache(maxsize=8)
def node_cloud(manifold: SupportsPaths) -> Tensor:
    """Return points of the domain `(N, m)` whose images are uniform, closer than the reach if `MAX_NODES` suffice."""
    source, chart = manifold.parametrization()
    count = math.ceil(min(max(MIN_NODES, _required_nodes(manifold)), MAX_NODES))
    stream = generator(0, "geodesics")
    pool = source.sample(POOL_FACTOR * count, stream)
    image = chart(pool).numpy()
    # The volume of a cell is the power d of the distance to the nearest points.
    distance = cKDTree(image).query(image, k=4 * manifold.dim + 1)[0][:, -1]
    growth = torch.from_numpy(distance**manifold.dim)
    return pool[torch.multinomial(growth / growth.max(), count, generator=stream)]


def _path_graph(manifold: SupportsPaths, points: Tensor) -> coo_matrix:
    """Return the graph of the nodes `(N, m)` of the domain, with the lengths of paths to the nearest nodes."""
    image = manifold.parametrization()[1](points).numpy()
    index = cKDTree(image).query(image, k=min(16 * manifold.dim, len(points) - 1) + 1)[1]
    pairs = np.stack([np.repeat(np.arange(len(points)), index.shape[1]), index.reshape(-1)], axis=1)
    # Each undirected edge once, because the sparse matrix adds up duplicates.
    pairs = np.unique(np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1), axis=0)
    start, end = (points[torch.from_numpy(column)] for column in pairs.T)
    weights = torch.cat(
        [_path_lengths(manifold, start[part], end[part]) for part in chunks(len(start), PATHS_PER_CHUNK)]
    )
    return coo_matrix((weights.numpy(), tuple(pairs.T)), shape=(len(points), len(points)))


def _path_lengths(manifold: SupportsPaths, start: Tensor, end: Tensor) -> Tensor:
    """Return the lengths `(B,)` of the images of straight lines in the domain, from the limit of inscribed polygons.

    The error of a polygon falls by four with twice its sides, so a third of the last change remains; half of it is
    added.
    """
    source, chart = manifold.parametrization()
    step = manifold.source_step(start, end)

    def polygon_lengths(rows: Tensor, parts: int) -> Tensor:
        at = torch.linspace(0, 1, parts + 1, dtype=torch.float64)
        z = start[rows, None] + at[:, None] * step[rows, None]
        x = chart(source.project(z.reshape(-1, z.shape[2]))).reshape(len(rows), parts + 1, -1)
        lengths: Tensor = (x[:, 1:] - x[:, :-1]).norm(dim=2).sum(1)
        return lengths

    active = torch.arange(len(start))
    parts = FIRST_PARTS
    coarse = polygon_lengths(active, parts // 2)
    length = polygon_lengths(active, parts)
    found = length + (length - coarse) / 2
    while parts < MAX_PARTS:
        active = active[length - coarse > LENGTH_TOLERANCE * length]
        if len(active) == 0:
            break
        parts *= 2
        coarse = polygon_lengths(active, parts // 2)
        length = polygon_lengths(active, parts)
        found[active] = length + (length - coarse) / 2
    return found

"""Exact nearest neighbors in a point cloud, in any dimension, without a matrix of all distances."""

import contextlib
from collections.abc import Iterator
from functools import cached_property
from typing import Any, final

import torch
from scipy.spatial import KDTree
from torch import Tensor

from dimple.errors import ShapeError
from dimple.tangents.base import principal_directions
from dimple.tensors import chunks, flatten, pairwise_distances

# Up to this dimension a tree on the CPU is faster than a comparison of all pairs.
MAX_TREE_DIMENSIONS = 8
# Points of the cloud that determine the axes of the tree in more dimensions.
AXES_SAMPLE_POINTS = 256
# Samples on which a search by projection is tried before the others.
TRIAL_SAMPLES = 64
# Numbers that are held at a time: 128 MiB in single precision.
MAX_CHUNK_NUMBERS = 2**25
# Candidates beyond the requested number that a search by projection or in single precision finds.
EXTRA_CANDIDATES = 8
# The largest coordinate of which sums of squared differences are finite, of the root of the largest number.
MAX_SQUARE_FRACTION = 1e-4


@final
class NearestNeighbors:
    """Exact nearest-neighbor search in a point cloud.

    In few dimensions a k-d tree finds the neighbors. In more dimensions the tree holds the cloud's projection on a few
    principal directions, which increases no distance: its candidates contain the neighbors where the projected distance
    of the last candidate exceeds the distance of the farthest neighbor found. Where this fails, as for images, and on a
    GPU, matrix products in single precision give the candidates; where rounding could have hidden a nearer point, the
    sample is compared with the full cloud. The result is exact with every method.

    Args:
        cloud: `(N, *shape)`, N >= 2.

    Raises:
        ShapeError: if the cloud is not a floating point batch of finite samples.

    Example:
        >>> line = NearestNeighbors(torch.tensor([[0.0], [1.0], [3.0], [7.0]]))
        >>> line.query(torch.tensor([[1.0]]), 2)
        (tensor([[1., 2.]]), tensor([[0, 2]]))
    """

    def __init__(self, cloud: Tensor) -> None:
        if not cloud.is_floating_point() or cloud.dim() < 2 or len(cloud) < 2 or not bool(cloud.isfinite().all()):
            raise ShapeError(
                f"cloud has shape {tuple(cloud.shape)} and dtype {cloud.dtype}; "
                "it must be (N, *shape), N >= 2, floating point and finite"
            )
        self.points = flatten(cloud)
        largest = float(cloud.abs().max())
        if largest > MAX_SQUARE_FRACTION * torch.finfo(cloud.dtype).max ** 0.5:
            raise ShapeError(f"cloud has coordinates up to {largest:.3g}, whose squares overflow; scale the samples")

    def __len__(self) -> int:
        return len(self.points)

    def query(self, x: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Find the `count` points nearest to each sample; one point that equals the sample is left out.

        Args:
            x: `(B, *shape)`.
            count: from 1 to N - 1.

        Returns:
            Distances `(B, count)`, increasing, and the indices of the points in the cloud `(B, count)`.

        Raises:
            ShapeError: if the cloud does not have more than `count` points, or its points differ from samples in size.
        """
        rows = self.to_rows(x)
        if not 1 <= count < len(self):
            raise ShapeError(f"{len(self)} points cannot give {count} neighbors each; ask for fewer")
        index = self.query_unordered(rows, count + 1)
        distance, order = self._distances(rows, index).sort(dim=1, stable=True)
        selected = (distance[:, :1] == 0).long() + torch.arange(count, device=distance.device)
        return distance.gather(1, selected), index.gather(1, order).gather(1, selected)

    def to_rows(self, x: Tensor) -> Tensor:
        """Return samples `(B, *shape)` as rows `(B, n)` in the dtype and on the device of the cloud."""
        rows = flatten(x).to(self.points)
        if rows.shape[1] != self.points.shape[1]:
            raise ShapeError(f"a sample has {rows.shape[1]} numbers, a point of the cloud {self.points.shape[1]}")
        return rows

    def query_unordered(self, rows: Tensor, count: int) -> Tensor:
        """Return the indices `(B, count)` of the points nearest to each row, in any order, an equal point included."""
        if self.points.device.type != "cpu":
            return self._query_by_comparison(rows, count)
        if self.points.shape[1] <= MAX_TREE_DIMENSIONS:
            return self._query_tree(rows, count)[0]
        first, num_failed = self._query_by_projection(rows[:TRIAL_SAMPLES], count)
        if num_failed * 2 > len(first) or len(rows) <= TRIAL_SAMPLES:
            return torch.cat([first, self._query_by_comparison(rows[TRIAL_SAMPLES:], count)])
        return torch.cat([first, self._query_by_projection(rows[TRIAL_SAMPLES:], count)[0]])

    @cached_property
    def _projection_axes(self) -> Tensor:
        """The leading principal directions of the cloud, orthonormal columns `(n, r)`."""
        subset = self.points[:: max(1, len(self) // AXES_SAMPLE_POINTS)][:AXES_SAMPLE_POINTS] - self._center
        return principal_directions(subset[None], min(MAX_TREE_DIMENSIONS, len(subset)))[0][0]

    def _tree_coordinates(self, rows: Tensor) -> Tensor:
        """Return the coordinates of points in the tree: all of them in few dimensions, otherwise their projection."""
        if self.points.shape[1] <= MAX_TREE_DIMENSIONS:
            return rows
        return torch.cat(
            [(rows[part] - self._center) @ self._projection_axes for part in chunks(len(rows), self._chunk_size(1))]
        )

    def _chunk_size(self, count: int) -> int:
        """Return the number of samples with `count` points each that are held at a time."""
        return max(1, MAX_CHUNK_NUMBERS // (count * self.points.shape[1]))

    def _query_tree(self, rows: Tensor, count: int) -> tuple[Tensor, Tensor]:
        coordinates = self._tree_coordinates(rows).numpy(force=True)
        distance, index = self._tree.query(coordinates, count, workers=torch.get_num_threads())
        shape = (len(rows), count)
        return torch.from_numpy(index).reshape(shape), torch.from_numpy(distance).reshape(shape)

    def _query_by_projection(self, rows: Tensor, count: int) -> tuple[Tensor, int]:
        """Return the nearest points, and for how many samples the projection could not decide."""
        num_candidates = min(count + EXTRA_CANDIDATES, len(self))
        index, projected_distance = self._query_tree(rows, num_candidates)
        distance, order = self._distances(rows, index).sort(dim=1, stable=True)
        found = index.gather(1, order)[:, :count]
        length = torch.linalg.vector_norm(rows - self._center, dim=1) + self._max_norm
        bound = projected_distance[:, -1].to(rows) - 8 * torch.finfo(rows.dtype).eps * length
        failed = (distance[:, count - 1] >= bound).nonzero().squeeze(1)
        if num_candidates < len(self) and len(failed):
            found[failed] = self._query_by_comparison(rows[failed], count)
        return found, len(failed)

    def _query_by_comparison(self, rows: Tensor, count: int) -> Tensor:
        parts = [
            self._query_by_products(rows[part], count)
            for part in chunks(len(rows), max(1, MAX_CHUNK_NUMBERS // len(self)))
        ]
        return torch.cat([rows.new_zeros((0, count), dtype=torch.long), *parts])

    @cached_property
    def _tree(self) -> Any:
        return KDTree(self._tree_coordinates(self.points).numpy(force=True))

    @cached_property
    def _center(self) -> Tensor:
        return self.points.mean(0)

    @cached_property
    def _max_norm(self) -> Tensor:
        return self._centered_single_precision[1].max().sqrt().to(self.points)

    @cached_property
    def _centered_single_precision(self) -> tuple[Tensor, Tensor]:
        """The centered cloud in single precision, where products round least, and its squared lengths."""
        single = (self.points - self._center).float()
        return single, single.square().sum(1)

    def _query_by_products(self, rows: Tensor, count: int) -> Tensor:
        single, squared = self._centered_single_precision
        centered = (rows - self._center).float()
        num_candidates = min(count + EXTRA_CANDIDATES, len(self))
        # The sample's own squared length is left out: it does not change the order.
        values, index = torch.addmm(squared, centered, single.mT, alpha=-2).topk(num_candidates, largest=False)
        found = index[:, :count].clone()
        if num_candidates == count:
            return found
        squared_length = centered.square().sum(1)
        rounding = 8 * torch.finfo(torch.float32).eps * (squared_length + squared.max())
        close = (values[:, count] - values[:, count - 1] <= 2 * rounding).nonzero().squeeze(1)
        if len(close):
            distance, order = self._distances(rows[close], index[close]).sort(dim=1, stable=True)
            found[close] = index[close].gather(1, order)[:, :count]
            bound = values[close, -1] + squared_length[close] - rounding[close]
            undecided = close[distance[:, count - 1].square() >= bound]
            for part in chunks(len(undecided), max(1, MAX_CHUNK_NUMBERS // len(self))):
                exact = pairwise_distances(rows[undecided[part]], self.points)
                found[undecided[part]] = exact.topk(count, largest=False).indices
        return found

    def _distances(self, rows: Tensor, index: Tensor) -> Tensor:
        # Small chunks stay in the cache between the gathering, the subtraction and the squaring.
        parts = self.iterate_differences(rows, index, max(1, self._chunk_size(index.shape[1]) // 64))
        with limit_to_one_thread():
            return torch.cat([torch.linalg.vector_norm(differences, dim=2) for differences in parts])

    def iterate_differences(self, rows: Tensor, index: Tensor, chunk_size: int) -> Iterator[Tensor]:
        """Iterate over differences `(b, k, n)`, b <= `chunk_size`, of the points with indices `(B, k)` minus the rows.

        Each chunk overwrites the previous one: new memory for each would cost more than filling it.
        """
        buffer = self.points.new_empty(min(chunk_size, len(rows)) * index.shape[1], self.points.shape[1])
        for part in chunks(len(rows), chunk_size):
            gathered = buffer[: index[part].numel()]
            torch.index_select(self.points, 0, index[part].reshape(-1), out=gathered)
            yield gathered.view(-1, *index.shape[1:], buffer.shape[1]).sub_(rows[part, None])


@contextlib.contextmanager
def limit_to_one_thread() -> Iterator[None]:
    """Limit torch to one thread within the context: with many small steps, several threads wait more than they work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)

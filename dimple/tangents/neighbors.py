"""The nearest points of a cloud, exactly, in few dimensions and in thousands, without ever holding all distances."""

import contextlib
from collections.abc import Iterator
from functools import cached_property
from typing import Any, final

import torch
from scipy.spatial import KDTree
from torch import Tensor

from dimple.errors import ShapeError
from dimple.tangents.base import principal
from dimple.tensors import chunks, flatten

# Up to this dimension a tree on the CPU beats comparing everything with everything.
TREE_DIMENSIONS = 8
# How many points of the cloud choose the axes of the tree in more dimensions, and how many samples try it out.
AXES_FROM, TRIAL = 256, 64
# How many numbers one step may hold: 128 MiB in single precision.
BUDGET = 2**25
# A search by projections or in single precision finds this many candidates more than asked for, to choose from.
SLACK = 8


@final
class Neighbours:
    """The points of a cloud, ready to be asked which of them are nearest to a sample.

    In few dimensions a k-d tree answers. In more it holds the cloud's projection on a few principal directions, which
    brings no two points farther apart: its candidates are the answer where the last of them is farther than what
    was found. Where that fails, as for images, and on a GPU, matrix products in single precision give the candidates,
    and where rounding could have hidden a nearer point, the sample is compared with the whole cloud again. So the
    answer is exact whichever way it is found.

    Args:
        cloud: `(N, *shape)`, N >= 2.

    Raises:
        ShapeError: for a cloud that is no floating point batch of finite samples.

    Example:
        >>> line = Neighbours(torch.tensor([[0.0], [1.0], [3.0], [7.0]]))
        >>> line.nearest(torch.tensor([[1.0]]), 2)
        (tensor([[1., 2.]]), tensor([[0, 2]]))
    """

    def __init__(self, cloud: Tensor) -> None:
        if not cloud.is_floating_point() or cloud.dim() < 2 or len(cloud) < 2 or not bool(cloud.isfinite().all()):
            raise ShapeError(
                f"cloud has shape {tuple(cloud.shape)} and dtype {cloud.dtype}; "
                "it must be (N, *shape), N >= 2, floating point and finite"
            )
        self.points = flatten(cloud)

    def __len__(self) -> int:
        return len(self.points)

    def nearest(self, x: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """The `count` points nearest to each sample, one point that equals the sample not counted.

        Args:
            x: `(B, *shape)`.
            count: from 1 to N - 1.

        Returns:
            Distances `(B, count)`, rising, and the points' rows in the cloud `(B, count)`.

        Raises:
            ShapeError: if the cloud has no more than `count` points, or samples of another size.
        """
        rows = self.rows(x)
        if not 1 <= count < len(self):
            raise ShapeError(f"{len(self)} points cannot give {count} neighbours each; ask for fewer")
        index = self.around(rows, count + 1)
        distance, order = self._distances(rows, index).sort(dim=1, stable=True)
        keep = (distance[:, :1] == 0).long() + torch.arange(count, device=distance.device)
        return distance.gather(1, keep), index.gather(1, order).gather(1, keep)

    def rows(self, x: Tensor) -> Tensor:
        """Samples `(B, *shape)` as rows `(B, n)` in the dtype and on the device of the cloud."""
        rows = flatten(x).to(self.points)
        if rows.shape[1] != self.points.shape[1]:
            raise ShapeError(f"a sample has {rows.shape[1]} numbers, a point of the cloud {self.points.shape[1]}")
        return rows

    def around(self, rows: Tensor, count: int) -> Tensor:
        """The rows of the `count` points nearest to each of `rows(x)`, `(B, count)` unordered, itself among them."""
        if self.points.device.type != "cpu":
            return self._by_comparison(rows, count)
        if self.points.shape[1] <= TREE_DIMENSIONS:
            return self._candidates(rows, count)[0]
        first, failed = self._by_projection(rows[:TRIAL], count)
        if failed * 2 > len(first) or len(rows) <= TRIAL:
            return torch.cat([first, self._by_comparison(rows[TRIAL:], count)])
        return torch.cat([first, self._by_projection(rows[TRIAL:], count)[0]])

    @cached_property
    def _axes(self) -> Tensor:
        """Orthonormal columns `(n, r)` along which the cloud is wide."""
        some = self.points[:: max(1, len(self) // AXES_FROM)][:AXES_FROM] - self._centre
        return principal(some[None], min(TREE_DIMENSIONS, len(some)))[0][0]

    def _low(self, rows: Tensor) -> Tensor:
        """What the tree holds of points: all of them in few dimensions, otherwise their projection."""
        if self.points.shape[1] <= TREE_DIMENSIONS:
            return rows
        return torch.cat([(rows[part] - self._centre) @ self._axes for part in chunks(len(rows), self._step(1))])

    def _step(self, count: int) -> int:
        """How many samples with `count` points each one step may hold."""
        return max(1, BUDGET // (count * self.points.shape[1]))

    def _candidates(self, rows: Tensor, count: int) -> tuple[Tensor, Tensor]:
        low = self._low(rows).numpy(force=True)
        distance, index = self._tree.query(low, count, workers=torch.get_num_threads())
        shape = (len(rows), count)
        return torch.from_numpy(index).reshape(shape), torch.from_numpy(distance).reshape(shape)

    def _by_projection(self, rows: Tensor, count: int) -> tuple[Tensor, int]:
        """The nearest points, and for how many samples the projection could not tell."""
        wanted = min(count + SLACK, len(self))
        index, low = self._candidates(rows, wanted)
        distance, order = self._distances(rows, index).sort(dim=1, stable=True)
        found = index.gather(1, order)[:, :count]
        length = torch.linalg.vector_norm(rows - self._centre, dim=1) + self._longest
        bound = low[:, -1].to(rows) - 8 * torch.finfo(rows.dtype).eps * length
        failed = (distance[:, count - 1] >= bound).nonzero().squeeze(1)
        if wanted < len(self) and len(failed):
            found[failed] = self._by_comparison(rows[failed], count)
        return found, len(failed)

    def _by_comparison(self, rows: Tensor, count: int) -> Tensor:
        parts = [self._by_products(rows[part], count) for part in chunks(len(rows), max(1, BUDGET // len(self)))]
        return torch.cat([rows.new_zeros((0, count), dtype=torch.long), *parts])

    @cached_property
    def _tree(self) -> Any:
        return KDTree(self._low(self.points).numpy(force=True))

    @cached_property
    def _centre(self) -> Tensor:
        return self.points.mean(0)

    @cached_property
    def _longest(self) -> Tensor:
        return self._single[1].max().sqrt().to(self.points)

    @cached_property
    def _single(self) -> tuple[Tensor, Tensor]:
        """The cloud about its mean, where products round least, and the squared lengths."""
        single = (self.points - self._centre).float()
        return single, single.square().sum(1)

    def _by_products(self, rows: Tensor, count: int) -> Tensor:
        single, squared = self._single
        centred = (rows - self._centre).float()
        wanted = min(count + SLACK, len(self))
        # Without the sample's own squared length, which changes no order.
        values, index = torch.addmm(squared, centred, single.mT, alpha=-2).topk(wanted, largest=False)
        found = index[:, :count].clone()
        if wanted == count:
            return found
        own = centred.square().sum(1)
        rounding = 8 * torch.finfo(torch.float32).eps * (own + squared.max())
        close = (values[:, count] - values[:, count - 1] <= 2 * rounding).nonzero().squeeze(1)
        if len(close):
            distance, order = self._distances(rows[close], index[close]).sort(dim=1, stable=True)
            found[close] = index[close].gather(1, order)[:, :count]
            beyond = values[close, -1] + own[close] - rounding[close]
            hidden = close[distance[:, count - 1].square() >= beyond]
            for part in chunks(len(hidden), max(1, BUDGET // len(self))):
                whole = torch.cdist(rows[hidden[part]], self.points, compute_mode="donot_use_mm_for_euclid_dist")
                found[hidden[part]] = whole.topk(count, largest=False).indices
        return found

    def _distances(self, rows: Tensor, index: Tensor) -> Tensor:
        # Small steps: what was gathered should still be in the cache when it is subtracted and squared.
        seen = self.seen(rows, index, max(1, self._step(index.shape[1]) // 64))
        with one_thread():
            return torch.cat([torch.linalg.vector_norm(near, dim=2) for near in seen])

    def seen(self, rows: Tensor, index: Tensor, step: int) -> Iterator[Tensor]:
        """Points of the cloud, by rows `(B, k)`, as seen from the samples: differences `(b, k, n)`, b <= `step`.

        Every step is written over the one before: taking new memory for each costs more than filling it.
        """
        room = self.points.new_empty(min(step, len(rows)) * index.shape[1], self.points.shape[1])
        for part in chunks(len(rows), step):
            near = room[: index[part].numel()]
            torch.index_select(self.points, 0, index[part].reshape(-1), out=near)
            yield near.view(-1, *index.shape[1:], room.shape[1]).sub_(rows[part, None])


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Keep torch to one thread meanwhile: over many small steps several threads wait longer than they work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)

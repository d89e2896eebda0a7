"""The nearest points of a cloud, exactly, in few dimensions and in thousands, without ever holding all distances."""

from functools import cached_property
from typing import Any, final

import torch
from scipy.spatial import KDTree
from torch import Tensor

from dimple.errors import ShapeError
from dimple.tensors import chunks, flatten

# Up to this dimension a tree on the CPU beats comparing everything with everything.
TREE_DIMENSIONS = 8
# How many numbers one step may hold: 128 MiB in single precision.
BUDGET = 2**25
# Single precision finds this many candidates more than asked for, from which double precision chooses.
SLACK = 8


@final
class Neighbours:
    """The points of a cloud, ready to be asked which of them are nearest to a sample.

    In few dimensions a k-d tree answers. Otherwise, and on a GPU, matrix products in single precision give some more
    candidates than needed, whose distances are then computed from the differences themselves; where rounding could
    have hidden a nearer point, that sample is compared with the whole cloud again. So the answer is exact.

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
        if self.points.shape[1] <= TREE_DIMENSIONS and self.points.device.type == "cpu":
            _, index = self._tree.query(rows.numpy(force=True), count, workers=torch.get_num_threads())
            return torch.from_numpy(index).reshape(len(rows), count)
        size = max(1, BUDGET // len(self))
        return torch.cat([self._by_products(rows[part], count) for part in chunks(len(rows), size)])

    @cached_property
    def _tree(self) -> Any:
        return KDTree(self.points.numpy(force=True))

    @cached_property
    def _centre(self) -> Tensor:
        return self.points.mean(0)

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
        size = max(1, BUDGET // (index.shape[1] * rows.shape[1]))
        return torch.cat(
            [
                torch.linalg.vector_norm(self.points[index[part]] - rows[part, None], dim=2)
                for part in chunks(len(rows), size)
            ]
        )

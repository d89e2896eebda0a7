"""What an iterated search remembers of its way: the nearest crossing of each sample, and what it has cost."""

from typing import final

import torch
from torch import Tensor

from dimple.attacks.base import Reached, reached
from dimple.attacks.subspace_constraint import Restriction
from dimple.tensors import flatten
from dimple.tensors import norm as norm_of


@final
class Nearest:
    """The nearest misclassified point that has been met from each sample, in rows `(B, n)`.

    Attributes:
        origin: the samples.
        points, distance: the nearest crossings; the sample itself and `inf` where there is none yet.
        passes: what has been spent on each row.
        settled: rows for which further steps would change little.
    """

    def __init__(self, x: Tensor, norm: str) -> None:
        self.shape, self.norm = x.shape, norm
        self.origin = flatten(x)
        self.points = self.origin.clone()
        self.distance = torch.full_like(self.origin[:, 0], torch.inf)
        self.passes, self._milestone = torch.zeros_like(self.distance), self.distance.clone()
        self.settled = torch.zeros_like(self.distance, dtype=torch.bool)

    def keep(self, rows: Tensor, here: Tensor, across: Tensor, cost: float) -> None:
        """Pay for a query at `here` `(R, n)` of some rows, and take over those points that are across and nearer."""
        length = norm_of(here - self.origin[rows], self.norm)
        nearer = across & (length < self.distance[rows])
        self.distance[rows] = torch.where(nearer, length, self.distance[rows])
        self.points[rows] = torch.where(nearer[:, None], here, self.points[rows])
        self.passes[rows] += cost

    def settle(self, gain: float) -> None:
        """Call settled whoever has come nearer by less than this share of the distance since this was asked last."""
        self.settled |= torch.isfinite(self.distance) & (self.distance >= (1 - gain) * self._milestone)
        self._milestone = self.distance.clone()

    def going(self) -> Tensor:
        """The numbers of the rows that have not settled."""
        return torch.nonzero(~self.settled).squeeze(1)

    def shaped(self, here: Tensor) -> Tensor:
        """Rows `(R, n)` in the shape of samples."""
        return here.reshape(len(here), *self.shape[1:])

    def reached(self, x: Tensor) -> Reached:
        """What has been found, as a search answers it."""
        settled = self.settled | (self.distance == 0)
        return reached(x, self.points.reshape(self.shape), torch.isfinite(self.distance), self.passes, settled)


def some(
    rows: Tensor, restriction: Restriction | None, targets: Tensor | None
) -> tuple[Restriction | None, Tensor | None]:
    """The restriction and the targets of some of the samples."""
    return (None if restriction is None else restriction.rows(rows)), (None if targets is None else targets[rows])

"""The state of an iterated search: the nearest adversarial point of each sample, and the passes spent."""

from typing import final

import torch
from torch import Tensor

from dimple.attacks.base import AttackResult, make_attack_result
from dimple.attacks.subspace_constraint import SubspaceConstraint
from dimple.tensors import flatten
from dimple.tensors import norm as norm_of


@final
class BestSoFar:
    """The nearest adversarial point found so far from each sample, in rows `(B, n)`.

    Attributes:
        origin: the samples.
        points: the nearest adversarial points; the sample itself where there is none yet.
        distance: the distances of these points; `inf` where there is none yet.
        passes: the passes spent on each row.
        converged: rows for which further steps would change little.
    """

    def __init__(self, x: Tensor, norm: str) -> None:
        self.shape = x.shape
        self.norm = norm
        self.origin = flatten(x)
        self.points = self.origin.clone()
        self.distance = torch.full_like(self.origin[:, 0], torch.inf)
        self.passes = torch.zeros_like(self.distance)
        self._previous_distance = self.distance.clone()
        self.converged = torch.zeros_like(self.distance, dtype=torch.bool)

    def record_query(self, rows: Tensor, query: Tensor, is_adversarial: Tensor, cost: float) -> None:
        """Add the cost of queries `(R, n)` of some rows, and keep those that are adversarial and nearer."""
        length = norm_of(query - self.origin[rows], self.norm)
        nearer = is_adversarial & (length < self.distance[rows])
        self.distance[rows] = torch.where(nearer, length, self.distance[rows])
        self.points[rows] = torch.where(nearer[:, None], query, self.points[rows])
        self.passes[rows] += cost

    def mark_converged(self, min_relative_gain: float) -> None:
        """Mark rows as converged whose distance fell by less than this fraction since the previous call."""
        self.converged |= torch.isfinite(self.distance) & (
            self.distance >= (1 - min_relative_gain) * self._previous_distance
        )
        self._previous_distance = self.distance.clone()

    def active_rows(self) -> Tensor:
        """Return the numbers of the rows that have not converged."""
        return torch.nonzero(~self.converged).squeeze(1)

    def to_samples(self, points: Tensor) -> Tensor:
        """Return rows `(R, n)` in the shape of samples."""
        return points.reshape(len(points), *self.shape[1:])

    def to_attack_result(self, x: Tensor) -> AttackResult:
        """Return the result of the search from the samples `x`."""
        converged = self.converged | (self.distance == 0)
        return make_attack_result(
            x, self.points.reshape(self.shape), torch.isfinite(self.distance), self.passes, converged
        )


def select_rows(
    rows: Tensor, constraint: SubspaceConstraint | None, targets: Tensor | None
) -> tuple[SubspaceConstraint | None, Tensor | None]:
    """Return the constraint and the targets of some of the samples."""
    return (None if constraint is None else constraint.select(rows)), (None if targets is None else targets[rows])

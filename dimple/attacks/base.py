"""What every search for a boundary point owes, whatever its method: the contract that `Margin` builds on."""

import dataclasses
from typing import Protocol, final

import torch
from torch import Tensor

from dimple.attacks.subspace_constraint import Restriction
from dimple.boundary.boundary import Boundary
from dimple.tensors import per_sample

CONVERGED, BUDGET, NO_CROSSING = 0, 1, 2


@final
@dataclasses.dataclass(frozen=True)
class Reached:
    """Where a search came to, one row a sample.

    Attributes:
        points: `(B, *shape)`, each across the boundary where `found`, the sample itself where not.
        found: `(B,)`, whether a point of the class sought was met.
        passes: `(B,)`, forwards (.4 each) and backwards (.6 each) spent on the sample.
        status: `(B,)`, 0 converged, 1 stopped by the budget, 2 no crossing.
        landed: `(B,)`, rows whose gap at the point is zero to rounding already; None where the search does not know.
        masked: `(B,)`, whether further starts came so much nearer that the first one's gradients cannot have shown the
            way; None from a search that starts once.
    """

    points: Tensor
    found: Tensor
    passes: Tensor
    status: Tensor
    landed: Tensor | None = None
    masked: Tensor | None = None


class Search(Protocol):
    """A way to a point across the boundary, near the sample; `Margin` lands it, verifies it and measures it."""

    def __call__(
        self,
        boundary: Boundary,
        x: Tensor,
        y: Tensor,
        norm: str,
        budget: float,
        restriction: Restriction | None = None,
        targets: Tensor | None = None,
    ) -> Reached:
        """Search from each of `x` `(B, *shape)`, which the classifier gives to `y` `(B,)`.

        Args:
            norm: `l1`, `l2` or `linf`, in which a point is near.
            budget: the most passes spent on a sample.
            restriction: a subspace to stay in (l2 only); such a search ignores the boundary's box, because clamping
                would leave the subspace.
            targets: `(B,)` classes to reach, none of them the sample's own; None for any class but `y`. Either way a
                point is across when `boundary.gap(points, y, targets) <= 0`.
        """
        ...


def reached(x: Tensor, points: Tensor, found: Tensor, passes: Tensor, settled: Tensor) -> Reached:
    """The answer of a search that knows where it found a point and where more budget would have changed nothing."""
    status = torch.where(settled, CONVERGED, BUDGET).where(found, NO_CROSSING)
    return Reached(torch.where(per_sample(found, x), points, x), found, passes, status)


def gaps_and_gradients(
    boundary: Boundary, x: Tensor, y: Tensor, rivals: int | Tensor, targets: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """The gap `(B,)`, and the gaps `(B, R)` with their gradients `(B, R, *shape)` that a search may linearise.

    Those are the gaps to the chosen rivals (`(B, R)` classes, or how many of the highest-scoring ones), or, towards a
    target, the one gap that its class must close, R = 1.
    """
    if targets is None:
        return boundary.gap_and_rival_gradients(x, y, rivals)
    gap, gradient = boundary.gap_and_gradient(x, y, targets)
    return gap, gap[:, None], gradient[:, None]

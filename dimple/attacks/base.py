"""The interface of minimum-norm attacks: the protocol, the result, and functions that several attacks use."""

import dataclasses
from typing import Protocol, final

import torch
from torch import Tensor

from dimple.attacks.subspace_constraint import SubspaceConstraint
from dimple.boundary.boundary import Boundary
from dimple.tensors import broadcast_per_sample

# Values of `AttackResult.status`.
CONVERGED = 0
MAX_PASSES_REACHED = 1
NO_CROSSING = 2


@final
@dataclasses.dataclass(frozen=True)
class AttackResult:
    """The result of a search, one row for each sample.

    Attributes:
        points: `(B, *shape)`, on the far side of the boundary where `found`; elsewhere the sample itself.
        found: `(B,)`, true where a point of the class sought was found.
        passes: `(B,)`, forwards (.4 each) and backwards (.6 each) spent on the sample.
        status: `(B,)`, 0 converged, 1 stopped by `max_passes`, 2 no crossing.
        on_boundary: `(B,)`, true where the logit margin at the point is already zero to rounding; None if the search
            does not compute it.
        multiple_minima: `(B,)`, true where a restart came at least a tenth nearer than the first search; None from a
            search without restarts.
    """

    points: Tensor
    found: Tensor
    passes: Tensor
    status: Tensor
    on_boundary: Tensor | None = None
    multiple_minima: Tensor | None = None


class MinimumNormAttack(Protocol):
    """A search for a point on the far side of the boundary that is near the sample.

    `Margin` then refines the point to the boundary, verifies it and measures its distance.
    """

    def __call__(
        self,
        boundary: Boundary,
        x: Tensor,
        y: Tensor,
        norm: str,
        max_passes: float,
        constraint: SubspaceConstraint | None = None,
        targets: Tensor | None = None,
    ) -> AttackResult:
        """Search from each of the samples `x`.

        A point is adversarial, which means on the far side of the boundary, if
        `boundary.logit_margin(points, y, targets) <= 0`.

        Args:
            boundary: the boundary; its bounds limit the search.
            x: `(B, *shape)` samples that the classifier assigns to `y`.
            y: `(B,)` classes.
            norm: `l1`, `l2` or `linf`, the norm of the distance to be minimized.
            max_passes: the maximum number of passes spent on one sample.
            constraint: a subspace to stay in (l2 only). Such a search ignores the bounds of the boundary, because
                clamping would leave the subspace.
            targets: `(B,)` classes to reach, each other than the sample's own; None for any class but `y`.
        """
        ...


def make_attack_result(x: Tensor, points: Tensor, found: Tensor, passes: Tensor, converged: Tensor) -> AttackResult:
    """Return the result of a search from the points `(B, *shape)` and the masks of those found and of those converged.

    A search has converged where more passes would not have changed the result.
    """
    status = torch.where(converged, CONVERGED, MAX_PASSES_REACHED).where(found, NO_CROSSING)
    return AttackResult(torch.where(broadcast_per_sample(found, x), points, x), found, passes, status)


def logit_margins_and_gradients(
    boundary: Boundary, x: Tensor, y: Tensor, other_classes: int | Tensor, targets: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the logit margin `(B,)`, and the class margins `(B, R)` with gradients `(B, R, *shape)` to linearize.

    Without targets these are the margins `z_y - z_other` over `other_classes` (`(B, R)` classes, or the number of
    highest-scoring ones). With targets it is the one margin of the target class, R = 1.
    """
    if targets is None:
        return boundary.logit_margin_and_class_gradients(x, y, other_classes)
    logit_margin, gradient = boundary.logit_margin_and_gradient(x, y, targets)
    return logit_margin, logit_margin[:, None], gradient[:, None]

"""Margin: the distance of samples from the decision boundary, at refined and verified boundary points."""

from functools import partial
from typing import Literal, final

import torch
from torch import Tensor

from dimple.attacks.base import MinimumNormAttack
from dimple.attacks.boundary_points import (
    BoundaryPoints,
    missing_boundary_points,
    refine_attack_result,
    scatter_boundary_points,
    select_closest,
    stationarity_angle,
)
from dimple.attacks.closest import closest_point
from dimple.attacks.deepfool import deepfool
from dimple.attacks.fab import fab
from dimple.attacks.lbfgs import lbfgs
from dimple.attacks.pgd import pgd
from dimple.attacks.subspace_constraint import SubspaceConstraint
from dimple.boundary.boundary import Boundary, runner_up_classes
from dimple.errors import ShapeError
from dimple.probes.base import Measurement, Probe
from dimple.protocols import TangentField
from dimple.settings import Count, Natural, Positive, settings
from dimple.tensors import broadcast_per_sample, flatten

# The search methods by the name in `Margin.method`.
METHODS: dict[str, MinimumNormAttack] = {
    "closest": closest_point,
    "deepfool": deepfool,
    "fab": fab,
    "lbfgs": lbfgs,
    "pgd": pgd,
}


@final
@settings
class Margin(Probe):
    """The distance of each sample from the closest input that the classifier assigns to another class.

    A search finds a point of another class near the sample. The point is moved along its ray from the sample until it
    lies on the boundary, and the distance of this verified point is reported. It is an upper bound of the true margin.
    It is positive where the sample is classified correctly, negative where it is misclassified (the distance from the
    predicted class), and `inf` in absolute value where no crossing was found.

    Columns: `margin` (signed, in the norm), `margin_found`, `adversarial_class` (the class on the other side of the
    boundary point), `margin_unrefined` (signed, the distance of the point before its refinement to the boundary),
    `stationarity_angle` (degrees between the step and the steepest one at the boundary, among the coordinates that the
    bounds leave free; 0 at a closest point where the boundary is smooth, see
    `dimple.attacks.boundary_points.stationarity_angle`), `margin_passes` (of the search), `margin_status`,
    `margin_multiple_minima` (another restart found a point that is more than a tenth closer: the gradient at the sample
    does not lead to the closest point, or the boundary has several local minima of the distance).
    Details: `boundary_point` and `boundary_normal` (unit, towards the side of the sample; 0 where not found), both
    `(B, *shape)`; with `adversarial_class: each` also `margin_by_class` `(B, K)`, unsigned, `inf` for the predicted
    class.

    Args:
        norm: the norm of the distance.
        method: the search: `closest` descends along the boundary to the closest point; `deepfool` stops at the first
            crossing; `fab` crosses the boundary repeatedly and steps back towards the sample; `pgd` descends the logit
            margin within `radius` of the sample; `lbfgs` minimizes distance and loss sample by sample (l2 only; it
            needs hundreds of passes).
        max_passes: the largest number of passes of one search for one sample; each restart of `closest` has as many.
        restarts: the number of searches of `closest`, the first included; None takes more in few dimensions.
        radius: the radius of `pgd`; None takes the smallest one in which it succeeds, by bisection.
        adversarial_class: `any` searches for the closest input of any other class, a class number for the closest input
            of that class, and `each` for the closest input of every class, with `max_passes` for each of them.

    Reference: Moosavi-Dezfooli et al. 2016 for DeepFool; Mickisch et al. 2020 for its use along training; Croce and
    Hein 2020 for FAB; Madry et al. 2018 for PGD; Szegedy et al. 2014 for L-BFGS.

    Example:
        >>> half_space = Boundary(lambda x: torch.stack([-x[:, 0], x[:, 0]], dim=1))
        >>> Margin()(half_space, torch.tensor([[2.0, 5.0]]), torch.tensor([1])).columns["margin"].round(decimals=3)
        tensor([2.])
    """

    norm: Literal["l1", "l2", "linf"] = "l2"
    method: Literal["closest", "deepfool", "fab", "lbfgs", "pgd"] = "closest"
    max_passes: Positive = 40.0
    restarts: Count | None = None
    radius: Positive | None = None
    adversarial_class: Literal["any", "each"] | Natural = "any"

    def run(self, boundary: Boundary, x: Tensor, y: Tensor, tangents: TangentField | None) -> Measurement:
        scores = boundary.scores(x)
        predicted = scores.argmax(1)
        details: dict[str, Tensor] = {}
        target: Tensor | None = None
        if self.adversarial_class == "any":
            found = self._find_boundary_points(boundary, x, predicted)
            adversarial_class = runner_up_classes(boundary.scores(found.points), predicted, 1).squeeze(1)
        else:
            classes = self._target_classes(scores.shape[1])
            by_class = [self._find_in_class(boundary, x, predicted, number) for number in classes]
            found = select_closest(by_class)
            distances = torch.stack([points.distance for points in by_class], 1)
            adversarial_class = target = torch.tensor(classes, device=x.device)[distances.argmin(1)]
            if self.adversarial_class == "each":
                details["margin_by_class"] = distances
        _, gradient = boundary.logit_margin_and_gradient(found.points, predicted, target)
        length = flatten(gradient).norm(dim=1).clamp(min=torch.finfo(x.dtype).tiny)
        angle = stationarity_angle(found.points - x, gradient, found.points, self.norm, boundary.bounds)
        sign = torch.where(predicted == y, 1.0, -1.0).to(x)
        columns = {
            "margin": sign * found.distance,
            "margin_found": found.found,
            "adversarial_class": torch.where(found.found, adversarial_class, predicted),
            "margin_unrefined": sign * found.unrefined_distance,
            "stationarity_angle": angle.where(found.found, torch.inf),
            "margin_passes": found.passes,
            "margin_status": found.status,
            "margin_multiple_minima": found.multiple_minima,
        }
        details["boundary_point"] = found.points
        unit_gradient = gradient / broadcast_per_sample(length, x)
        details["boundary_normal"] = unit_gradient * broadcast_per_sample(found.found, x)
        return Measurement(columns, self._units(), details)

    def search(
        self, boundary: Boundary, x: Tensor, predicted: Tensor, constraint: SubspaceConstraint | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return boundary points `(B, *shape)`, their distances `(B,)` (inf if not found), and the flags `found`."""
        found = self._find_boundary_points(boundary, x, predicted, constraint)
        return found.points, found.distance, found.found

    def _find_boundary_points(
        self,
        boundary: Boundary,
        x: Tensor,
        predicted: Tensor,
        constraint: SubspaceConstraint | None = None,
        targets: Tensor | None = None,
    ) -> BoundaryPoints:
        search = METHODS[self.method]
        if self.method == "closest":
            search = partial(closest_point, restarts=self.restarts)
        elif self.method == "pgd":
            search = partial(pgd, radius=self.radius)
        result = search(boundary, x, predicted, self.norm, self.max_passes, constraint, targets)
        return refine_attack_result(boundary, x, predicted, self.norm, result, targets)

    def _find_in_class(self, boundary: Boundary, x: Tensor, predicted: Tensor, target: int) -> BoundaryPoints:
        """Return the nearest inputs of one class; samples that are predicted as this class have no crossing."""
        rows = torch.nonzero(predicted != target).squeeze(1)
        if len(rows) == 0:
            return missing_boundary_points(x)
        targets = torch.full_like(rows, target)
        found = self._find_boundary_points(boundary, x[rows], predicted[rows], None, targets)
        return scatter_boundary_points(found, rows, x)

    def _target_classes(self, num_classes: int) -> list[int]:
        """Return the classes to search for: all of them, or the chosen one if the classifier has it."""
        if isinstance(self.adversarial_class, str):
            return list(range(num_classes))
        if self.adversarial_class >= num_classes:
            raise ShapeError(
                f"Margin.adversarial_class is {self.adversarial_class}; "
                f"the classifier has the classes 0 to {num_classes - 1}"
            )
        return [self.adversarial_class]

    def _units(self) -> dict[str, str]:
        distance = f"{self.norm}, input units"
        return {
            "margin": distance,
            "margin_found": "yes or no",
            "adversarial_class": "class",
            "margin_unrefined": distance,
            "stationarity_angle": "degrees",
            "margin_passes": "passes",
            "margin_status": "0 converged, 1 max_passes reached, 2 no crossing",
            "margin_multiple_minima": "yes or no",
        }

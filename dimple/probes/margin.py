"""Margin: the distance of samples from the decision boundary, at refined and verified boundary points."""

import math
from functools import partial
from typing import Literal, final

import torch
from torch import Tensor

from dimple.attacks.bisection import bisection
from dimple.attacks.closest import closest_point, takes_references
from dimple.attacks.deepfool import deepfool
from dimple.attacks.fab import fab
from dimple.attacks.lbfgs import lbfgs
from dimple.attacks.pgd import pgd
from dimple.attacks.projections import stationarity_angle
from dimple.attacks.search import MinimumNormAttack, SearchProblem, SearchState
from dimple.attacks.subspace_constraint import SubspaceConstraint
from dimple.boundary.boundary import BACKWARD_COST, FORWARD_COST, Boundary, compute_logit_margin, runner_up_classes
from dimple.errors import ShapeError
from dimple.probes.base import Probe, ProbeResult
from dimple.protocols import TangentField
from dimple.settings import Code, Natural, Passes, Positive, Repeats, SettingError, settings
from dimple.tensors import broadcast_per_sample, flatten, unit_vectors

# The search methods by the name in `Margin.method`.
METHODS: dict[str, MinimumNormAttack] = {
    "bisection": bisection,
    "closest": closest_point,
    "deepfool": deepfool,
    "fab": fab,
    "lbfgs": lbfgs,
    "pgd": pgd,
}


# A sample has multiple minima if a restart finds a distance below this fraction of that of the first search.
MULTIPLE_MINIMA_RATIO = 0.9
# The passes of a sample besides its search: its prediction, and the gradient at its boundary point.
PROBE_COST = 2 * FORWARD_COST + BACKWARD_COST


@final
@settings
class Margin(Probe):
    """The distance of each sample from the closest input that the classifier assigns to another class.

    A search finds a point of another class near the sample. The point is moved along its ray from the sample until it
    lies on the boundary, and the distance of this verified point is reported. It is an upper bound of the true margin.
    It is positive where the sample is classified correctly, negative where it is misclassified (the distance from the
    predicted class), `inf` in absolute value where no crossing was found, and nan where the scores of the sample are.

    Columns: `margin` (signed, in the norm), `margin_found`, `adversarial_class` (the class on the other side of the
    boundary point), `margin_unrefined` (signed, the distance of the point before its refinement to the boundary),
    `stationarity_angle` (degrees between the step and the steepest one at the boundary, among the coordinates that the
    bounds leave free; 0 at a closest point where the boundary is smooth, see
    `dimple.attacks.projections.stationarity_angle`), `margin_passes` (all that were spent on the sample),
    `margin_status`, `margin_multiple_minima` (another search of the same sample found a point more than a tenth closer:
    the gradient at the sample does not lead to the closest point, or the distance has several local minima); with
    reference samples in more than 64 dimensions also `gradient_masking_ratio`, the margin over what the descent from
    the sample alone has found: where its median is clearly below one, the gradients mask nearer points of other
    classes; nan where the passes leave none for these samples.
    Details: `boundary_point` and `boundary_normal` (unit, towards the side of the sample; 0 where not found), both
    `(B, *shape)`; with `adversarial_class: each` also `margin_by_class` `(B, K)`, unsigned, `inf` for the predicted
    class.

    Args:
        norm: the norm of the distance; `l0` counts the coordinates that change, each channel of a pixel as one, needs
            bounds and the method `closest`, and has no angle.
        method: the search: `closest` descends along the boundary to the closest point; `deepfool` stops at the first
            crossing; `fab` crosses the boundary repeatedly and steps back towards the sample; `pgd` descends the logit
            margin within `radius` of the sample; `lbfgs` minimizes distance and loss sample by sample (l2 only; it
            needs hundreds of passes); `bisection` needs decisions only, no gradient: an upper bound, about a quarter
            too long with 5 passes for each dimension, without angle and normal. In Python also an attack of another
            library, from `dimple.attacks.from_foolbox` or `from_adv_lib`, which `max_passes` does not limit.
        max_passes: the largest number of passes spent on one sample, all restarts, the refinement and the check of the
            boundary point included. With fewer than two nothing is found.
        restarts: the number of descents of `closest`, the first included, which share the passes; None takes as many
            as can have 40 passes each; in more than 64 dimensions one of up to 100 passes (all of them in l1), or of 40
            with reference samples of the boundary, and further ones from those of other classes and from around the
            nearest point known.
        radius: the radius of `pgd`; None takes the smallest one in which it succeeds, by bisection.
        adversarial_class: `any` searches for the closest input of any other class, a class number for the closest input
            of that class, and `each` for the closest input of every class, with `max_passes` for each of them.

    Reference: Moosavi-Dezfooli et al. 2016 for DeepFool; Mickisch et al. 2020 for its use along training; Croce and
    Hein 2020 for FAB; Madry et al. 2018 for PGD; Szegedy et al. 2014 for L-BFGS; Chen et al. 2020 for decisions only.

    Example:
        >>> half_space = Boundary(lambda x: torch.stack([-x[:, 0], x[:, 0]], dim=1))
        >>> Margin()(half_space, torch.tensor([[2.0, 5.0]]), torch.tensor([1])).columns["margin"].round(decimals=3)
        tensor([2.])
    """

    norm: Literal["l0", "l1", "l2", "linf"] = "l2"
    method: Literal["bisection", "closest", "deepfool", "fab", "lbfgs", "pgd"] | Code = "closest"
    max_passes: Passes = 40.0
    restarts: Repeats | None = None
    radius: Positive | None = None
    adversarial_class: Literal["any", "each"] | Natural = "any"

    def __post_init__(self) -> None:
        if self.norm == "l0" and isinstance(self.method, str) and self.method != "closest":
            raise SettingError("Margin", "method", f"is {self.method}, which does not search in l0; choose closest")

    @property
    def needs_gradient(self) -> bool:
        return self.method != "bisection"

    @property
    def _own_cost(self) -> float:
        return PROBE_COST if self.needs_gradient else 2 * FORWARD_COST

    def run(self, boundary: Boundary, x: Tensor, y: Tensor, tangents: TangentField | None) -> ProbeResult:
        scores = boundary.scores(x)
        predicted = scores.argmax(1)
        details: dict[str, Tensor] = {}
        target: Tensor | None = None
        # The prediction and the gradient at the boundary point are part of the passes of the sample.
        max_passes = self.max_passes - self._own_cost
        if self.adversarial_class == "any":
            found = self._search(SearchProblem(boundary, x, predicted, self.norm), max_passes)
        else:
            classes = self._target_classes(scores.shape[1])
            by_class = [self._search_class(boundary, x, predicted, number, max_passes) for number in classes]
            found = SearchState(SearchProblem(boundary, x, predicted, self.norm), max_passes)
            for state in by_class:
                found.absorb(found.problem.all_rows, state)
            distances = torch.stack([state.distance for state in by_class], 1)
            target = torch.tensor(classes, device=x.device)[distances.argmin(1)]
            if self.adversarial_class == "each":
                details["margin_by_class"] = distances
        return self._measure(boundary, x, y, predicted, found, target, details)

    def _measure(
        self,
        boundary: Boundary,
        x: Tensor,
        y: Tensor,
        predicted: Tensor,
        found: SearchState,
        target: Tensor | None,
        details: dict[str, Tensor],
    ) -> ProbeResult:
        """Return the columns and details of the points that were found."""
        points = found.points.reshape(x.shape)
        described = self.describe_points(boundary, x, predicted, points, target)
        sign = torch.where(predicted == y, 1.0, -1.0).to(x).where(found.has_scores, torch.nan)
        columns = {
            "margin": sign * found.distance,
            "margin_found": found.found,
            "adversarial_class": torch.where(found.found, described["adversarial_class"], predicted),
            "margin_unrefined": sign * found.unrefined_distance,
            "stationarity_angle": described["stationarity_angle"].where(found.found, torch.inf),
            "margin_passes": found.passes + self._own_cost,
            "margin_status": found.status,
            "margin_multiple_minima": found.restart_ratio < MULTIPLE_MINIMA_RATIO,
        }
        has_references = self.method == "closest" and boundary.reference is not None and self.norm != "l0"
        n = flatten(x).shape[1]
        if has_references and takes_references(n, math.inf):
            is_checked = takes_references(n, self.max_passes - self._own_cost)
            ratio = found.restart_ratio
            columns["gradient_masking_ratio"] = ratio if is_checked else torch.full_like(ratio, torch.nan)
        details["boundary_point"] = points
        is_found = broadcast_per_sample(found.found, x)
        details["boundary_normal"] = torch.where(is_found, described["boundary_normal"], 0.0)
        return ProbeResult(columns, {name: self._units()[name] for name in columns}, details)

    def describe_points(
        self, boundary: Boundary, x: Tensor, predicted: Tensor, points: Tensor, target: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Return class, angle and normal of boundary points `(B, *shape)`, at the cost of one pass for each.

        Without a gradient the angle is nan and the normal zero.
        """
        if not self.needs_gradient:
            return {
                "adversarial_class": runner_up_classes(boundary.scores(points), predicted, 1).squeeze(1)
                if target is None
                else target,
                "stationarity_angle": torch.full_like(flatten(x)[:, 0], torch.nan),
                "boundary_normal": torch.zeros_like(x),
            }
        scores, _, gradient = boundary.scores_and_gradient(points, lambda z: compute_logit_margin(z, predicted, target))
        return {
            "adversarial_class": runner_up_classes(scores, predicted, 1).squeeze(1) if target is None else target,
            "stationarity_angle": stationarity_angle(points - x, gradient, points, self.norm, boundary.row_bounds(x)),
            "boundary_normal": unit_vectors(flatten(gradient)).reshape(x.shape),
        }

    def search(
        self,
        boundary: Boundary,
        x: Tensor,
        predicted: Tensor,
        constraint: SubspaceConstraint | None = None,
        first_classes: Tensor | None = None,
    ) -> SearchState:
        """Return the boundary points nearest to the samples, which the classifier assigns to the classes given."""
        problem = SearchProblem(boundary, x, predicted, self.norm, constraint, first_classes=first_classes)
        return self._search(problem, self.max_passes)

    def _search(self, problem: SearchProblem, max_passes: float) -> SearchState:
        if callable(self.method):
            found: SearchState = self.method(problem, max_passes)
            return found
        attack = METHODS[self.method]
        if self.method == "closest":
            attack = partial(closest_point, restarts=self.restarts)
        elif self.method == "pgd":
            attack = partial(pgd, radius=self.radius)
        return attack(problem, max_passes)

    def _search_class(
        self, boundary: Boundary, x: Tensor, predicted: Tensor, target: int, max_passes: float
    ) -> SearchState:
        """Return the nearest inputs of one class; samples that are predicted as this class have no crossing."""
        problem = SearchProblem(boundary, x, predicted, self.norm, targets=torch.full_like(predicted, target))
        found = SearchState(problem, max_passes)
        rows = torch.nonzero(predicted != target).squeeze(1)
        if len(rows) > 0:
            found.absorb(rows, self._search(problem.select(rows), max_passes))
        return found

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
        distance = f"{self.norm}, {'coordinates' if self.norm == 'l0' else 'input units'}"
        return {
            "margin": distance,
            "margin_found": "yes or no",
            "adversarial_class": "class",
            "margin_unrefined": distance,
            "stationarity_angle": "degrees",
            "margin_passes": "passes",
            "margin_status": "0 converged, 1 max_passes reached, 2 no crossing, 3 no scores, 4 decisions only",
            "margin_multiple_minima": "yes or no",
            "gradient_masking_ratio": "margin / margin of the first descent",
        }

"""The distance to the decision boundary, landed and verified."""

from functools import partial
from typing import Literal, final

import torch
from torch import Tensor

from dimple.attacks.base import Search
from dimple.attacks.closest import closest
from dimple.attacks.deepfool import deepfool
from dimple.attacks.fab import fab
from dimple.attacks.lbfgs import lbfgs
from dimple.attacks.pgd import pgd
from dimple.attacks.result import Landed, landed, nearest, nowhere, optimality, scattered
from dimple.attacks.subspace_constraint import Restriction
from dimple.boundary.boundary import Boundary, best_rivals
from dimple.errors import ShapeError
from dimple.probes.base import Measurement, Probe
from dimple.protocols import TangentField
from dimple.settings import Count, Natural, Positive, settings
from dimple.tensors import flatten, per_sample

METHODS: dict[str, Search] = {
    "closest": closest,
    "deepfool": deepfool,
    "fab": fab,
    "lbfgs": lbfgs,
    "pgd": pgd,
}


@final
@settings
class Margin(Probe):
    """How far each sample is from the nearest input that the classifier gives to another class.

    The point that the search reaches is pulled back until it lies on the boundary, and the distance of that verified
    point is reported. It is an upper bound of the true margin. Positive where the sample is classified correctly,
    negative where it is not (then it is the distance from the predicted class), `inf` where no crossing was found.
    `method: closest` walks along the boundary to the nearest point that `budget` passes find from each of `starts`
    (by default more in few dimensions); `method: deepfool` stops at the first crossing, `fab` crosses and comes back
    again and again, `pgd` descends within `radius` (None for the smallest one that succeeds, by bisection), `lbfgs`
    minimises distance and loss, sample by sample (l2 only; give it a budget of hundreds).

    `rival: any` asks for the nearest other class, a class number for the nearest input of that class, `each` for both:
    every class is searched for, at the budget each.

    Columns: `margin` (signed, in the norm), `margin_found`, `rival` (the class on the other side), `margin_reached`
    (signed, before landing), `margin_residual` (degrees between the step and the steepest one at the boundary, among
    the coordinates that the box leaves free; 0 at a nearest point where the boundary is smooth, see
    `dimple.attacks.result.optimality`), `margin_passes` (spent by the search), `margin_status`, `margin_masked` (a
    further start came more than a tenth nearer: the gradient at the sample hides the boundary, or it has pockets).
    Details: `boundary_point` and `boundary_normal` (unit, towards the sample's side; 0 where not found), both
    `(B, *shape)`; with `rival: each` also `margin_by_class` `(B, K)`, unsigned, `inf` at the sample's own class.

    Reference: Moosavi-Dezfooli et al. 2016 for DeepFool; Mickisch et al. 2020 for its use along training; Croce and
    Hein 2020 for FAB; Madry et al. 2018 for PGD; Szegedy et al. 2014 for L-BFGS.

    Example:
        >>> half_space = Boundary(lambda x: torch.stack([-x[:, 0], x[:, 0]], dim=1))
        >>> Margin()(half_space, torch.tensor([[2.0, 5.0]]), torch.tensor([1])).columns["margin"].round(decimals=3)
        tensor([2.])
    """

    norm: Literal["l1", "l2", "linf"] = "l2"
    method: Literal["closest", "deepfool", "fab", "lbfgs", "pgd"] = "closest"
    budget: Positive = 40.0
    starts: Count | None = None
    radius: Positive | None = None
    rival: Literal["any", "each"] | Natural = "any"

    def run(self, boundary: Boundary, x: Tensor, y: Tensor, tangents: TangentField | None) -> Measurement:
        """Search from the predicted class, land, and give the distance the sign of the prediction."""
        scores = boundary.scores(x)
        predicted, details = scores.argmax(1), {}
        if self.rival == "any":
            there, towards = self._landed(boundary, x, predicted), None
        else:
            classes = range(scores.shape[1]) if isinstance(self.rival, str) else [self._class(scores.shape[1])]
            parts = [self._towards(boundary, x, predicted, target) for target in classes]
            there, by_class = nearest(parts), torch.stack([part.distance for part in parts], 1)
            towards = torch.tensor(list(classes), device=x.device)[by_class.argmin(1)]
            details = {"margin_by_class": by_class} if self.rival == "each" else {}
        rival = best_rivals(boundary.scores(there.points), predicted, 1).squeeze(1) if towards is None else towards
        _, gradient = boundary.gap_and_gradient(there.points, predicted, towards)
        found = per_sample(there.found, x)
        length = flatten(gradient).norm(dim=1).clamp(min=torch.finfo(x.dtype).tiny)
        residual = optimality(there.points - x, gradient, there.points, self.norm, boundary.box)
        sign = torch.where(predicted == y, 1.0, -1.0).to(x)
        columns = {
            "margin": sign * there.distance,
            "margin_found": there.found,
            "rival": torch.where(there.found, rival, predicted),
            "margin_reached": sign * there.reached,
            "margin_residual": residual.where(there.found, torch.inf),
            "margin_passes": there.passes,
            "margin_status": there.status,
            "margin_masked": there.masked,
        }
        details |= {"boundary_point": there.points, "boundary_normal": (gradient / per_sample(length, x)) * found}
        return Measurement(columns, self._units(), details)

    def search(
        self, boundary: Boundary, x: Tensor, predicted: Tensor, restriction: Restriction | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The landed points `(B, *shape)`, their distances `(B,)` (inf where none) and whether each was found."""
        there = self._landed(boundary, x, predicted, restriction)
        return there.points, there.distance, there.found

    def _landed(
        self,
        boundary: Boundary,
        x: Tensor,
        predicted: Tensor,
        restriction: Restriction | None = None,
        targets: Tensor | None = None,
    ) -> Landed:
        search = METHODS[self.method]
        if self.method == "closest":
            search = partial(closest, starts=self.starts)
        elif self.method == "pgd":
            search = partial(pgd, radius=self.radius)
        answer = search(boundary, x, predicted, self.norm, self.budget, restriction, targets)
        return landed(boundary, x, predicted, self.norm, answer, targets)

    def _towards(self, boundary: Boundary, x: Tensor, predicted: Tensor, target: int) -> Landed:
        """The nearest inputs of one class; samples that are of it already have no crossing."""
        rows = torch.nonzero(predicted != target).squeeze(1)
        if len(rows) == 0:
            return nowhere(x)
        targets = torch.full_like(rows, target)
        return scattered(self._landed(boundary, x[rows], predicted[rows], None, targets), rows, x)

    def _class(self, classes: int) -> int:
        """The rival asked for, if the classifier has it."""
        assert isinstance(self.rival, int)
        if self.rival >= classes:
            raise ShapeError(f"Margin.rival is {self.rival}; the classifier has the classes 0 to {classes - 1}")
        return self.rival

    def _units(self) -> dict[str, str]:
        distance = f"{self.norm}, input units"
        return {
            "margin": distance,
            "margin_found": "yes or no",
            "rival": "class",
            "margin_reached": distance,
            "margin_residual": "degrees",
            "margin_passes": "passes",
            "margin_status": "0 converged, 1 budget, 2 no crossing",
            "margin_masked": "yes or no",
        }

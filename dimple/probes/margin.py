"""The distance to the decision boundary, landed and verified."""

from typing import Literal, final

import torch
from torch import Tensor

from dimple.boundary.boundary import Boundary
from dimple.boundary.crossing import land
from dimple.probes.base import Measurement, Probe
from dimple.probes.closest import closest
from dimple.probes.deepfool import deepfool
from dimple.probes.restriction import Restriction
from dimple.protocols import TangentField
from dimple.settings import Count, NonNegative, Positive, settings
from dimple.tensors import norm, per_sample

LANDING_STEPS = 60


@final
@settings
class Margin(Probe):
    """How far each sample is from the nearest input that the classifier gives to another class.

    The point that the search reaches is pulled back until it lies on the boundary, and the distance of that verified
    point is reported. It is an upper bound of the true margin. Positive where the sample is classified correctly,
    negative where it is not (then it is the distance from the predicted class), `inf` where no crossing was found.
    `method: closest` walks along the boundary to the nearest point that `budget` passes find from each of `starts`
    (by default more in few dimensions); `method: deepfool` stops at the first crossing, after at most `steps`
    linearisations of `candidates` rivals.

    Columns: `margin` (signed, in the norm), `margin_found`, `rival` (the class on the other side).
    Details: `boundary_point`, `(B, *shape)`.

    Reference: Moosavi-Dezfooli et al. 2016 for DeepFool; Mickisch et al. 2020 for its use along training.

    Example:
        >>> half_space = Boundary(lambda x: torch.stack([-x[:, 0], x[:, 0]], dim=1))
        >>> Margin()(half_space, torch.tensor([[2.0, 5.0]]), torch.tensor([1])).columns["margin"].round(decimals=3)
        tensor([2.])
    """

    norm: Literal["l2", "linf"] = "l2"
    method: Literal["closest", "deepfool"] = "closest"
    budget: Positive = 40.0
    starts: Count | None = None
    steps: Count = 50
    candidates: Count = 3
    overshoot: NonNegative = 0.02

    def run(self, boundary: Boundary, x: Tensor, y: Tensor, tangents: TangentField | None) -> Measurement:
        """Search from the predicted class, land, and give the distance the sign of the prediction."""
        predicted = boundary.predict(x)
        points, distance, found = self.search(boundary, x, predicted)
        columns = {
            "margin": torch.where(predicted == y, distance, -distance),
            "margin_found": found,
            "rival": torch.where(found, boundary.predict(points), predicted),
        }
        units = {"margin": f"{self.norm}, input units", "margin_found": "yes or no", "rival": "class"}
        return Measurement(columns, units, {"boundary_point": points})

    def search(
        self, boundary: Boundary, x: Tensor, predicted: Tensor, restriction: Restriction | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The landed points `(B, *shape)`, their distances `(B,)` (inf where none) and whether each was found."""
        if self.method == "closest":
            nearest = closest(boundary, x, predicted, self.norm, self.budget, self.starts, restriction)
            reached, found = nearest.points, torch.isfinite(nearest.distance)
        else:
            reached, found = deepfool(
                boundary, x, predicted, self.norm, self.steps, self.candidates, self.overshoot, restriction
            )
        # Scores that saturate leave a search far beyond the crossing; the steps are spent on such samples alone.
        points, _, gap = land(boundary, x, torch.where(per_sample(found, x), reached, x), predicted, LANDING_STEPS)
        found = found & (gap <= 0)
        distance = torch.where(found, norm(points - x, self.norm), torch.inf)
        return points, distance, found

"""L-BFGS: minimise distance and loss together inside the box, for the largest weight of the distance that succeeds.

Reference: Szegedy et al., "Intriguing properties of neural networks" (ICLR 2014), section 4.1. The paper asks for the
smallest weight c; with its objective, c |r| + loss, the smallest r comes from the largest c that still succeeds.
"""

import math
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from dimple.attacks.base import Reached, gaps_and_gradients
from dimple.attacks.best_so_far import Nearest, some
from dimple.attacks.deepfool import linear_distances
from dimple.attacks.projections import FAR
from dimple.attacks.subspace_constraint import Restriction
from dimple.boundary.boundary import BACKWARD, FORWARD, Boundary, best_rivals, gap_of
from dimple.errors import SceneError

Vector = NDArray[np.float64]

# The gap at the sample, in the units that the loss sees: so the scale of the scores does not matter.
GAP = 10.0
# The rivals that are tried, the nearest by linearised distance first, as far as each has so many passes.
RIVALS, PASSES_EACH = 3, 60
# The weight, in units of the squared linearised distance, starts at one, goes by decades, at most so many, until one
# has succeeded and one failed, and is then bisected in its logarithm; one minimisation takes at most so many passes.
START, DECADE, DECADES, BISECTIONS, PASSES_ONE = 1.0, 10.0, 12, 8, 25


def lbfgs(
    boundary: Boundary,
    x: Tensor,
    y: Tensor,
    norm: str,
    budget: float,
    restriction: Restriction | None = None,
    targets: Tensor | None = None,
) -> Reached:
    """The nearest point of a rival class that box-constrained L-BFGS meets, sample by sample: a tool for few samples.

    Minimises c |r|^2 + the rival's cross-entropy inside the box, for the largest c that succeeds. To bracket and bisect
    c takes some 100 to 200 passes a rival, in batches of one: the default budget stops it early, and a GPU gains
    nothing. Without a target the rivals are the three nearest by linearised distance, or as many of them as the budget
    gives 60 passes each. The arguments are those of `Search`.

    Raises:
        SceneError: for another norm than l2, the one that it minimises.

    Example:
        >>> half_space = Boundary(lambda x: torch.stack([-x[:, 0], x[:, 0]], dim=1))
        >>> found = lbfgs(half_space, torch.tensor([[2.0, 5.0]]), torch.tensor([1]), "l2", 100.0)
        >>> found.points.round(decimals=1).abs()
        tensor([[0., 5.]])
    """
    if norm != "l2":
        raise SceneError(f"lbfgs minimises the l2 distance, and norm is {norm}; choose norm: l2, or method: fab")
    best, every = Nearest(x, norm), torch.arange(len(x), device=x.device)
    rivals = targets[:, None] if targets is not None else best_rivals(boundary.scores(x), y, RIVALS)
    gap, gaps, gradients = gaps_and_gradients(boundary, x, y, rivals, targets)
    best.keep(every, best.origin, gap <= 0, (FORWARD if targets is None else 0) + FORWARD + BACKWARD * gaps.shape[1])
    flat = gradients.flatten(2) if restriction is None else restriction.apply_each(gradients.flatten(2))
    distances = linear_distances(gaps, flat, norm).clamp(max=FAR)
    tried = min(rivals.shape[1], max(1, int(budget / PASSES_EACH)))
    for row in torch.nonzero(gap > 0):
        best.settled[row] = True
        for number, column in enumerate(distances[row[0]].argsort()[:tried]):
            descent = Descent(boundary, best, row, y[row], *some(row, restriction, targets))
            descent.left = float(budget - best.passes[row]) / (tried - number)
            best.settled[row] &= descent.search(rivals[row, column], gaps[row, column], float(distances[row, column]))
    return best.reached(x)


class Spent(Exception):  # noqa: N818 - no error, but how a minimisation is told to end
    """The budget does not allow another query."""


@final
class Descent:
    """The search from one sample: in double precision, in units of the linearised distance.

    Attributes:
        left: the passes that it may still spend.
    """

    def __init__(
        self,
        boundary: Boundary,
        best: Nearest,
        row: Tensor,
        y: Tensor,
        restriction: Restriction | None,
        target: Tensor | None,
    ) -> None:
        self.boundary, self.best, self.row, self.y = boundary, best, row, y
        self.restriction, self.target = restriction, target
        self.left = 0.0

    def search(self, rival: Tensor, gap: Tensor, unit: float) -> bool:
        """Bracket the largest weight that succeeds and bisect it; whether the budget has allowed that to its end."""
        self.rival, self.sharpness, self.unit = rival, GAP / gap, unit
        weight, succeeded, failed = START, 0.0, math.inf
        try:
            for _ in range(DECADES):
                if self._minimised(weight):
                    succeeded, weight = weight, weight * DECADE
                else:
                    failed, weight = weight, weight / DECADE
                if succeeded > 0 and failed < math.inf:
                    break
            for _ in range(BISECTIONS if succeeded > 0 else 0):
                weight = math.sqrt(succeeded * failed)
                succeeded, failed = (weight, failed) if self._minimised(weight) else (succeeded, weight)
        except Spent:
            return False
        return True

    def _minimised(self, weight: float) -> bool:
        """Whether the point that minimises the weighted sum is misclassified; it starts from the nearest crossing."""
        # Here, because it takes a third of a second to load.
        from scipy.optimize import Bounds, minimize

        self.lowest, self.succeeds = math.inf, False
        origin = _numbers(self.best.origin[self.row])
        start = (_numbers(self.best.points[self.row]) - origin) / self.unit
        box = self.boundary.box if self.restriction is None else None
        bounds = None if box is None else Bounds((box.low - origin) / self.unit, (box.high - origin) / self.unit)
        limits = {"maxfun": PASSES_ONE, "maxiter": PASSES_ONE}
        minimize(self._objective, start, (weight,), "L-BFGS-B", jac=True, bounds=bounds, options=limits)
        return self.succeeds

    def _objective(self, way: Vector, weight: float) -> tuple[float, Vector]:
        """The weighted sum at so many units from the sample, and its gradient; the point is kept if it is across."""
        if self.left < FORWARD + BACKWARD:
            raise Spent
        self.left -= FORWARD + BACKWARD
        origin = self.best.origin[self.row]
        step = self.unit * torch.from_numpy(way).to(origin)[None]
        here = origin + (step if self.restriction is None else self.restriction.apply(step))
        if self.boundary.box is not None and self.restriction is None:
            here = self.boundary.box.clamp(here)
        scores, loss, gradient = self.boundary.scores_and_gradient(
            self.best.shaped(here), lambda z: cross_entropy(self.sharpness * z, self.rival, reduction="none")
        )
        across = gap_of(scores, self.y, self.target) <= 0
        self.best.keep(self.row, here, across, FORWARD + BACKWARD)
        flat = gradient.flatten(1) if self.restriction is None else self.restriction.apply(gradient.flatten(1))
        value = float(loss) + weight * float(way @ way)
        if value < self.lowest:
            self.lowest, self.succeeds = value, bool(across)
        return value, self.unit * _numbers(flat) + 2 * weight * way


def _numbers(row: Tensor) -> Vector:
    """One row as a vector of scipy's."""
    vector: Vector = row[0].double().cpu().numpy()
    return vector

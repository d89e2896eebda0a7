"""L-BFGS attack: distance and loss are minimized together, for the largest weight of the distance that succeeds.

Reference: Szegedy et al., "Intriguing properties of neural networks" (ICLR 2014), section 4.1. The paper minimizes
c |r| + loss and names the smallest weight c; but the smallest r comes from the largest c that still succeeds.
"""

import math
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from dimple.attacks.deepfool import linearized_distances
from dimple.attacks.projections import max_step_size
from dimple.attacks.search import PASSES_TOLERANCE, SearchProblem, SearchState, start_search
from dimple.boundary.boundary import BACKWARD_COST, FORWARD_COST
from dimple.errors import SceneError

Vector = NDArray[np.float64]

# The scores are scaled so that the logit margin at the sample has this value: their own scale then does not matter.
SCALED_LOGIT_MARGIN = 10.0
# The maximum number of adversarial classes that are tried, those of the smallest linearized distance first.
CANDIDATE_CLASSES = 3
# A further class is tried only if each class has at least this number of passes.
MIN_PASSES_PER_CLASS = 60
# The first weight of the squared distance, in units of the squared linearized distance.
INITIAL_WEIGHT = 1.0
# The factor between successive weights until one has succeeded and one has failed.
WEIGHT_FACTOR = 10.0
# The maximum number of these weights.
MAX_BRACKET_STEPS = 12
# The number of bisections of the logarithm of the weight that follow.
BISECTION_STEPS = 8
# The maximum number of passes, and of iterations, of the minimization for one weight.
MAX_PASSES_PER_MINIMIZATION = 25


def lbfgs(
    problem: SearchProblem, max_passes: float, scaled_logit_margin: float | None = SCALED_LOGIT_MARGIN
) -> SearchState:
    """Search with box-constrained L-BFGS, sample by sample; it is meant for few samples.

    The search minimizes c |r|^2 + the cross-entropy of an adversarial class within the bounds, for the largest c that
    succeeds. To bracket and bisect c takes some 100 to 200 passes for each class, in batches of one: the default
    `max_passes` stops it early, and a GPU gains nothing. Without targets the classes are the three of the smallest
    linearized distance, or as many of them as can have 60 passes each.

    Args:
        problem: the question.
        max_passes: as of `dimple.attacks.search.MinimumNormAttack`.
        scaled_logit_margin: the scores are scaled so that the logit margin at the sample has this value; None leaves
            them as they are, which is the search of the paper: where the scores hardly differ, its minima lie beyond
            the boundary.

    Raises:
        SceneError: for another norm than l2, the norm that it minimizes.

    Example:
        >>> from dimple.boundary import Boundary
        >>> half_space = Boundary(lambda x: torch.stack([-x[:, 0], x[:, 0]], dim=1))
        >>> problem = SearchProblem(half_space, torch.tensor([[2.0, 5.0]]), torch.tensor([1]))
        >>> lbfgs(problem, 100.0).points.round(decimals=1).abs()
        tensor([[0., 5.]])
    """
    norm = problem.norm
    if norm != "l2":
        raise SceneError(f"lbfgs minimizes the l2 distance, and norm is {norm}; choose norm: l2, or method: fab")
    state = start_search(problem, max_passes)
    count = state.affordable_classes(CANDIDATE_CLASSES)
    if count == 0:
        return state
    classes, class_margins, gradients = state.query_samples(count)
    distances = linearized_distances(class_margins, gradients, norm).clamp(max=max_step_size(gradients.dtype))
    num_tried = min(classes.shape[1], max(1, int(max_passes / MIN_PASSES_PER_CLASS)))
    for row in torch.nonzero(state.is_open):
        state.converged[row] = True
        for number, column in enumerate(distances[row[0]].argsort()[:num_tried]):
            weight_search = WeightSearch(state, row, scaled_logit_margin)
            weight_search.reserve = float(state.remaining[row]) * (1 - 1 / (num_tried - number))
            state.converged[row] &= weight_search.search(
                classes[row, column], class_margins[row, column], float(distances[row, column])
            )
    return state.finish(max_passes)


class PassesExhausted(Exception):  # noqa: N818 - not an error: it ends a minimization of scipy
    """The signal that the remaining passes do not suffice for another query."""


@final
class WeightSearch:
    """The search from one sample for one adversarial class, in double precision and units of the linearized distance.

    Attributes:
        scaled_logit_margin: as of `lbfgs`.
        reserve: the passes that it leaves to the other classes.
    """

    def __init__(self, state: SearchState, row: Tensor, scaled_logit_margin: float | None) -> None:
        self.state = state
        self.row = row
        self.scaled_logit_margin = scaled_logit_margin
        self.reserve = 0.0

    def search(self, adversarial_class: Tensor, logit_margin: Tensor, unit: float) -> bool:
        """Bracket and bisect the largest weight that succeeds; return whether the passes sufficed.

        Args:
            adversarial_class: `(1,)`, the class whose cross-entropy is minimized.
            logit_margin: `(1,)`, the margin of the sample over that class.
            unit: the linearized distance to that class.
        """
        self.adversarial_class = adversarial_class
        scaled = self.scaled_logit_margin
        self.score_scale = torch.ones_like(logit_margin) if scaled is None else scaled / logit_margin
        self.unit = unit
        weight = INITIAL_WEIGHT
        largest_success = 0.0
        smallest_failure = math.inf
        try:
            for _ in range(MAX_BRACKET_STEPS):
                if self._minimize(weight):
                    largest_success = weight
                    weight = weight * WEIGHT_FACTOR
                else:
                    smallest_failure = weight
                    weight = weight / WEIGHT_FACTOR
                if largest_success > 0 and smallest_failure < math.inf:
                    break
            for _ in range(BISECTION_STEPS if largest_success > 0 else 0):
                weight = math.sqrt(largest_success * smallest_failure)
                if self._minimize(weight):
                    largest_success = weight
                else:
                    smallest_failure = weight
        except PassesExhausted:
            return False
        return True

    def _minimize(self, weight: float) -> bool:
        """Minimize the weighted sum from the nearest adversarial point; return whether the minimum is adversarial."""
        # Imported here, because it takes a third of a second to load.
        from scipy.optimize import Bounds, minimize

        self.min_objective = math.inf
        self.is_minimum_adversarial = False
        origin = _to_numpy(self.state.origin[self.row])
        start = (_to_numpy(self.state.points[self.row]) - origin) / self.unit
        box = self.state.problem.bounds
        bounds = None if box is None else Bounds(*((bound - origin) / self.unit for bound in box.to_numpy()))
        limits = {"maxfun": MAX_PASSES_PER_MINIMIZATION, "maxiter": MAX_PASSES_PER_MINIMIZATION}
        minimize(self._objective, start, (weight,), "L-BFGS-B", jac=True, bounds=bounds, options=limits)
        return self.is_minimum_adversarial

    def _objective(self, scaled_step: Vector, weight: float) -> tuple[float, Vector]:
        """Return the weighted sum and its gradient after a step in the search's units; record the query."""
        state = self.state
        if float(state.remaining[self.row]) - self.reserve < FORWARD_COST + BACKWARD_COST - PASSES_TOLERANCE:
            raise PassesExhausted
        step = self.unit * torch.from_numpy(scaled_step).to(state.origin)[None]
        query = state.problem.confine(self.row, state.origin[self.row] + step)
        logit_margin, loss, gradient = state.query_loss(
            self.row,
            query,
            lambda z: cross_entropy(self.score_scale * z, self.adversarial_class, reduction="none"),
        )
        is_adversarial = logit_margin <= 0
        value = float(loss) + weight * float(scaled_step @ scaled_step)
        if value < self.min_objective:
            self.min_objective = value
            self.is_minimum_adversarial = bool(is_adversarial)
        return value, self.unit * _to_numpy(gradient) + 2 * weight * scaled_step


def _to_numpy(row: Tensor) -> Vector:
    """Return one row `(1, n)` as a vector for scipy."""
    vector: Vector = row[0].double().cpu().numpy()
    return vector
